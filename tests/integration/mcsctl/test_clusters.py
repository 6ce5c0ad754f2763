"""Installation and members on real API servers: one link is broken, its code is the verdict, the fix mends it."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mcs_controller.diagnosis.findings import Severity
from mcs_controller.mcsctl.access import AccessOptions
from mcs_controller.mcsctl.doctor import run as run_doctor
from testbed import NotYet, karmada, wait_for
from testbed.ports import free_ports
from tests.integration.mcsctl.test_breakages import mends
from tests.support.fleet import CLUSTERS, CRDS, LEASES, PATIENCE_SECONDS, SECRETS, gone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mcs_controller.diagnosis.findings import Finding
    from testbed import Api
    from tests.integration.mcsctl.conftest import Patient

pytestmark = pytest.mark.asyncio(loop_scope="session")

SYSTEM = karmada.SYSTEM_NAMESPACE
CREDENTIALS = karmada.CLUSTER_NAMESPACE
ROLES = "rbac.authorization.k8s.io/v1/clusterroles"
ROLE = "mcs-controller-manager-member"
LEASE = "mcs-controller-manager"
KARMADA = "karmada-controller-manager"


@asynccontextmanager
async def restored(api: Api, resource: str, name: str, namespace: str | None = None) -> AsyncIterator[Any]:
    """An object that afterwards is what it was, whatever happens to it."""
    before = await api.get(resource, name, namespace=namespace)
    try:
        yield before
    finally:
        for field in ("resourceVersion", "uid", "managedFields", "generation"):
            before["metadata"].pop(field, None)
        now = await api.find(resource, name, namespace=namespace)
        if now is None:
            await api.create(before, namespace=namespace)
        else:
            version = {"resourceVersion": now["metadata"]["resourceVersion"]}
            await api.replace({**before, "metadata": before["metadata"] | version}, namespace=namespace)


async def patch_secret(patient: Patient, **data: bytes | None) -> None:
    encoded = {key: value if value is None else base64.b64encode(value).decode() for key, value in data.items()}
    await patient.space.host.patch(SECRETS, "member1", {"data": encoded}, namespace=CREDENTIALS)


def secret(patient: Patient) -> Any:
    return restored(patient.space.host, SECRETS, "member1", CREDENTIALS)


def cluster(patient: Patient) -> Any:
    return restored(patient.space.host, CLUSTERS, "member1")


async def installation_has(patient: Patient, code: str, severity: Severity = Severity.ERROR) -> Finding:
    """Wait until the diagnosis without a service has this, and nothing else that is as bad."""

    async def probe() -> Finding:
        options = AccessOptions(kubeconfig=patient.kubeconfig, context="karmada")
        found = [one for one in (await run_doctor(options)).findings if one.severity is severity]
        if [one.code for one in found] != [code]:
            raise NotYet(f"{[(one.code, one.problem) for one in found]}")
        return found[0]

    return await wait_for(f"{code} of the installation", probe, PATIENCE_SECONDS)


async def test_breakage_8_and_9_a_bad_token_while_the_controller_is_connected(patient: Patient):
    async with secret(patient):
        await patch_secret(patient, token=b"bad")
        await mends(patient, "MCS015")


async def test_a_token_that_is_expired(patient: Patient):
    parts = [json.dumps(each).encode() for each in ({"alg": "RS256"}, {"exp": 1_700_000_000, "sub": "somebody"})]
    token = b".".join(base64.urlsafe_b64encode(each).rstrip(b"=") for each in [*parts, b"signature"])
    async with secret(patient):
        await patch_secret(patient, token=token)
        await mends(patient, "MCS016")


async def test_breakage_10_the_wrong_authority(patient: Patient):
    async with secret(patient):
        await patch_secret(patient, caBundle=patient.space.bed.members["member2"].access.ca_pem)
        finding = await patient.verdict_is("MCS017")
        assert "issued by" in finding.evidence
        assert "the stored CA is" in finding.evidence
        await mends(patient, "MCS017")


async def test_a_secret_without_a_certificate(patient: Patient):
    async with secret(patient):
        await patch_secret(patient, caBundle=None)
        await mends(patient, "MCS013")


async def test_breakage_11_the_secret_is_missing(patient: Patient):
    async with secret(patient):
        await patient.space.host.delete(SECRETS, "member1", namespace=CREDENTIALS)
        await mends(patient, "MCS012")


async def test_breakage_12_a_secret_in_another_namespace(patient: Patient):
    host, namespace = patient.space.host, patient.space.namespace
    async with cluster(patient):
        copy = await host.get(SECRETS, "member1", namespace=CREDENTIALS)
        await host.create({**copy, "metadata": {"name": "member1"}}, namespace=namespace)
        await host.patch(CLUSTERS, "member1", {"spec": {"secretRef": {"namespace": namespace, "name": "member1"}}})
        await mends(patient, "MCS014")


async def test_breakage_13_the_wrong_endpoint(patient: Patient):
    async with cluster(patient):
        (port,) = free_ports(1)
        await patient.space.host.patch(CLUSTERS, "member1", {"spec": {"apiEndpoint": f"https://127.0.0.1:{port}"}})
        await mends(patient, "MCS018")


async def deny(api: Api, *verbs: str) -> None:
    """Take verbs on EndpointSlices from the roles of the stored token."""
    for name in (ROLE, f"{ROLE}-standalone"):
        role = await api.get(ROLES, name)
        for rule in role["rules"]:
            if rule.get("resources") == ["endpointslices"]:
                rule["verbs"] = [verb for verb in rule["verbs"] if verb not in verbs] or ["none"]
        await api.patch(ROLES, name, {"rules": role["rules"]})


async def test_breakage_14_a_provider_whose_endpoints_may_not_be_read(patient: Patient):
    member = patient.space.member("member1")
    async with restored(member, ROLES, ROLE), restored(member, ROLES, f"{ROLE}-standalone"):
        await deny(member, "list", "watch")
        await mends(patient, "MCS022")


async def test_breakage_15_a_consumer_that_may_not_be_written_to(patient: Patient):
    member = patient.space.member("member2")
    async with restored(member, ROLES, ROLE), restored(member, ROLES, f"{ROLE}-standalone"):
        await deny(member, "create", "patch")
        await mends(patient, "MCS023")


async def test_the_controller_lacks_rights_in_the_control_plane(patient: Patient):
    host = patient.space.host
    async with restored(host, ROLES, LEASE) as role:
        rules = [rule for rule in role["rules"] if rule.get("resources") != ["events"]]
        await host.patch(ROLES, LEASE, {"rules": rules})
        await mends(patient, "MCS009")


async def test_a_definition_that_is_older_than_the_controller(patient: Patient):
    host = patient.space.host
    name = "multiclusterservices.networking.karmada.io"
    async with restored(host, CRDS, name) as definition:
        path = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/loadBalancer"
        assert definition["spec"]["versions"][0]["name"] == "v1alpha1"
        await host.patch(CRDS, name, [{"op": "remove", "path": path}], patch_type="json")
        await mends(patient, "MCS003")


async def test_breakage_21_no_controller_leads_or_ever_has(patient: Patient):
    try:
        await patient.process.terminate()
        finding = await patient.verdict_is("MCS005")
        assert "rollout restart" in finding.fix
        await patient.space.host.delete(LEASES, LEASE, namespace=SYSTEM)
        await patient.verdict_is("MCS004")
    finally:
        await patient.process.start()
    await patient.healthy()


async def test_breakage_25_a_pull_cluster_without_agent(patient: Patient):
    host = patient.space.host
    try:
        await host.create(
            {
                "apiVersion": "cluster.karmada.io/v1alpha1",
                "kind": "Cluster",
                "metadata": {"name": "pulled"},
                "spec": {"syncMode": "Pull"},
            }
        )
        await installation_has(patient, "MCS020")
        lease = {"holderIdentity": "agent", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}
        await host.create(
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": "mcs-controller-agent"},
                "spec": lease,
            },
            namespace="karmada-es-pulled",
        )
        await installation_has(patient, "MCS021")
    finally:
        await host.delete(CLUSTERS, "pulled", missing_ok=True)
        await gone(host, CLUSTERS, "pulled")
