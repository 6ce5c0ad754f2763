"""Installation and members on real API servers: one link is broken, its code is the verdict, the fix mends it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml
from cryptography import x509

from mcs_controller.diagnosis.findings import Severity
from mcs_controller.mcsctl.access import Access, AccessOptions
from mcs_controller.mcsctl.doctor import run as run_doctor
from mcs_controller.mcsctl.observe import observe
from testbed import ApiStatusError, ControllerProcess, NotYet, karmada, wait_for
from testbed.ports import free_ports
from tests.integration.mcsctl.conftest import IMPATIENT, INTERVAL_SECONDS
from tests.integration.mcsctl.test_breakages import mends
from tests.support.agents import AGENT, member_kubeconfig
from tests.support.fleet import (
    CLUSTERS,
    CRDS,
    DEPLOYMENTS,
    LEASES,
    NAMESPACES,
    PATIENCE_SECONDS,
    SECRETS,
    WORKS,
    deployment,
    eventually,
    gone,
)
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

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

        async def restore() -> Any:
            now = await api.find(resource, name, namespace=namespace)
            if now is None:
                return await api.create(before, namespace=namespace)
            version = {"resourceVersion": now["metadata"]["resourceVersion"]}
            return await api.replace({**before, "metadata": before["metadata"] | version}, namespace=namespace)

        # More than once: a controller that writes the status in between makes it a conflict.
        await wait_for(f"{resource} {name} as it was", restore, PATIENCE_SECONDS)


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

    return await wait_for(f"{code} of the installation", probe, PATIENCE_SECONDS, interval=INTERVAL_SECONDS)


async def test_breakage_8_and_9_a_bad_token_while_the_controller_is_connected(shared: Patient):
    async with secret(shared):
        await patch_secret(shared, token=b"bad")
        await mends(shared, "MCS015")


async def test_a_token_that_is_expired(shared: Patient):
    parts = [json.dumps(each).encode() for each in ({"alg": "RS256"}, {"exp": 1_700_000_000, "sub": "somebody"})]
    token = b".".join(base64.urlsafe_b64encode(each).rstrip(b"=") for each in [*parts, b"signature"])
    async with secret(shared):
        await patch_secret(shared, token=token)
        await mends(shared, "MCS016")


async def test_when_the_credentials_of_a_member_expire_is_seen(shared: Patient):
    async with Access(AccessOptions(kubeconfig=shared.kubeconfig, context="karmada")) as access:
        world = await observe(access, service=(shared.space.namespace, "web"))
    server = urlsplit(shared.space.bed.members["member1"].access.server)
    shown = x509.load_pem_x509_certificate(
        ssl.get_server_certificate((server.hostname or "", server.port or 443)).encode()
    )
    login = world.members["member1"].login
    assert login is not None
    assert login.certificate_expires == shown.not_valid_after_utc
    assert login.token_expires is not None


async def test_breakage_10_the_wrong_authority(shared: Patient):
    async with secret(shared):
        await patch_secret(shared, caBundle=shared.space.bed.members["member2"].access.ca_pem)
        finding = await shared.verdict_is("MCS017")
        assert "issued by" in finding.evidence
        assert "the stored CA is" in finding.evidence
        await mends(shared, "MCS017")


async def test_a_secret_without_a_certificate(shared: Patient):
    async with secret(shared):
        await patch_secret(shared, caBundle=None)
        await mends(shared, "MCS013")


async def test_breakage_11_the_secret_is_missing(shared: Patient):
    async with secret(shared):
        await shared.space.host.delete(SECRETS, "member1", namespace=CREDENTIALS)
        await mends(shared, "MCS012")


async def test_breakage_12_a_secret_in_another_namespace(shared: Patient):
    host, namespace = shared.space.host, shared.space.namespace
    async with cluster(shared):
        copy = await host.get(SECRETS, "member1", namespace=CREDENTIALS)
        await host.create({**copy, "metadata": {"name": "member1"}}, namespace=namespace)
        await host.patch(CLUSTERS, "member1", {"spec": {"secretRef": {"namespace": namespace, "name": "member1"}}})
        await mends(shared, "MCS014")
    await host.delete(SECRETS, "member1", namespace=namespace)


async def test_a_cluster_that_does_not_say_how_it_is_reached(shared: Patient):
    async with secret(shared), cluster(shared):
        await shared.space.host.patch(CLUSTERS, "member1", {"spec": {"apiEndpoint": None}})
        await mends(shared, "MCS010")


async def test_breakage_13_the_wrong_endpoint(shared: Patient):
    async with cluster(shared):
        (port,) = free_ports(1)
        await shared.space.host.patch(CLUSTERS, "member1", {"spec": {"apiEndpoint": f"https://127.0.0.1:{port}"}})

        async def noticed() -> bool:
            return "MCS011" in [one.code for one in (await shared.doctor()).hidden]

        await eventually("the Cluster that is not ready as a consequence", noticed, True, interval=INTERVAL_SECONDS)
        await mends(shared, "MCS018")


def another_server(patient: Patient, tmp_path: Path) -> ssl.SSLContext:
    """The TLS of a server with a certificate of member1's authority."""
    pair = patient.space.bed.members["member1"].server_certificate("127.0.0.1")
    both = tmp_path / "server.pem"
    both.write_bytes(pair.certificate_pem + pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context


async def test_a_member_that_is_too_old(shared: Patient, tmp_path: Path):
    """By what it says: none of the releases that the tests have is so old."""
    access = shared.space.bed.members["member1"].access
    now = (await shared.space.member("member1").raw("GET", "/version"))["gitVersion"]
    old = f"v1.20{now[len('v1.20') :]}"
    behind = ssl.create_default_context(cadata=access.ca_pem.decode())
    instead, front = (now.encode(), old.encode()), another_server(shared, tmp_path)
    async with TcpProxy(access.server, front=front, behind=behind, instead=instead) as proxy:
        async with cluster(shared):
            await shared.space.host.patch(CLUSTERS, "member1", {"spec": {"apiEndpoint": proxy.url}})
            finding = await shared.verdict_is("MCS024")
            assert old in finding.evidence
        await shared.healthy()


async def test_a_certificate_that_is_expired(shared: Patient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("testbed.certificates.LIFETIME", -timedelta(minutes=1))
    context = another_server(shared, tmp_path)
    server = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0, ssl=context)
    async with server:
        async with cluster(shared):
            port = server.sockets[0].getsockname()[1]
            await shared.space.host.patch(CLUSTERS, "member1", {"spec": {"apiEndpoint": f"https://127.0.0.1:{port}"}})
            await shared.verdict_is("MCS019")
        await shared.healthy()  # nobody connects to that server any more: asyncio would lose whoever does as it closes


async def deny(api: Api, *verbs: str) -> None:
    """Take verbs on EndpointSlices from the roles of the stored token."""
    for name in (ROLE, f"{ROLE}-standalone"):
        role = await api.get(ROLES, name)
        for rule in role["rules"]:
            if rule.get("resources") == ["endpointslices"]:
                rule["verbs"] = [verb for verb in rule["verbs"] if verb not in verbs] or ["none"]
        await api.patch(ROLES, name, {"rules": role["rules"]})


async def test_breakage_14_a_provider_whose_endpoints_may_not_be_read(shared: Patient):
    member = shared.space.member("member1")
    async with restored(member, ROLES, ROLE), restored(member, ROLES, f"{ROLE}-standalone"):
        await deny(member, "list", "watch")
        await mends(shared, "MCS022")


async def test_breakage_15_a_consumer_that_may_not_be_written_to(shared: Patient):
    member = shared.space.member("member2")
    async with restored(member, ROLES, ROLE), restored(member, ROLES, f"{ROLE}-standalone"):
        await deny(member, "create", "patch")
        await mends(shared, "MCS023")


async def test_the_controller_lacks_rights_in_the_control_plane(shared: Patient):
    host = shared.space.host
    async with restored(host, ROLES, LEASE) as role:
        rules = [rule for rule in role["rules"] if rule.get("resources") != ["events"]]
        await host.patch(ROLES, LEASE, {"rules": rules})
        await mends(shared, "MCS009")


async def test_breakage_16_a_kind_that_is_not_served(shared: Patient):
    host, name = shared.space.host, "multiclusterservices.networking.karmada.io"
    async with restored(host, CRDS, name):
        off = {"op": "replace", "path": "/spec/versions/0/served", "value": False}
        await host.patch(CRDS, name, [off], patch_type="json")
        await mends(shared, "MCS002")


async def test_a_definition_that_is_older_than_the_controller(shared: Patient):
    host = shared.space.host
    name = "multiclusterservices.networking.karmada.io"
    async with restored(host, CRDS, name) as definition:
        path = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/loadBalancer"
        assert definition["spec"]["versions"][0]["name"] == "v1alpha1"
        await host.patch(CRDS, name, [{"op": "remove", "path": path}], patch_type="json")
        await mends(shared, "MCS003")


async def restarted(api: Api, deployment: str = LEASE) -> str:
    """When a Deployment was told to restart its Pods. Nobody runs those of the bed: the process beside it is played."""
    found = await api.get(DEPLOYMENTS, deployment, namespace=SYSTEM)
    annotations = found["spec"]["template"]["metadata"].get("annotations", {})
    return str(annotations.get("kubectl.kubernetes.io/restartedAt", ""))


async def flags_of(api: Api, deployment: str) -> list[str]:
    """The flags that a Deployment gives its Pods."""
    found = await api.get(DEPLOYMENTS, deployment, namespace=SYSTEM)
    return list(found["spec"]["template"]["spec"]["containers"][0]["command"])


async def test_breakage_21_no_controller_leads_or_ever_has(shared: Patient):
    host, start = shared.space.host, shared.process.start
    before = await restarted(host)
    try:
        await shared.process.terminate()
        await mends(shared, "MCS005", then=start)
        assert await restarted(host) != before
        await shared.process.terminate()
        await host.delete(LEASES, LEASE, namespace=SYSTEM)
        assert f"deployment.apps/{LEASE}" in await mends(shared, "MCS004", then=start)
    finally:
        if shared.process.pid is None:
            await start()


async def test_breakage_20_the_gate_is_off(shared: Patient):
    """What the command gives the Deployment is what the controller runs with afterwards."""
    bed, host = shared.space.bed, shared.space.host
    kubeconfig = await karmada.controller_kubeconfig(bed)

    async def breaks(flag: str, lacking: str, code: str, evidence: str) -> None:
        def controller(name: str, value: str) -> ControllerProcess:
            flags: Any = {flag.replace("-", "_"): value}
            return ControllerProcess(kubeconfig, root=bed.root, name=name, extra_args=IMPATIENT, **flags)

        broken, mended = controller(f"lacking-{code}", lacking), AsyncExitStack()

        async def start_as_told() -> None:
            await broken.terminate()
            name, _, value = (await flags_of(host, LEASE))[-1].removeprefix("--").partition("=")
            assert name == flag
            await mended.enter_async_context(controller(f"mended-{code}", value))

        async with broken, mended:
            finding = await shared.verdict_is(code)
            assert evidence in f"{finding.problem} {finding.evidence}"
            await mends(shared, code, finding=finding, then=start_as_told)

    try:
        await shared.process.terminate()
        async with restored(host, DEPLOYMENTS, LEASE, SYSTEM):
            await breaks("feature-gates", "", "MCS006", "leader-feature-gates of its Lease: ")
            await breaks("controllers", "*,standalone,-endpointsliceDispatch", "MCS029", "endpointsliceDispatch")
    finally:
        await shared.process.start()
    await shared.healthy()


def lease(name: str, *, renewed: timedelta = timedelta(), seconds: int = 3600) -> dict[str, Any]:
    """A Lease that somebody holds."""
    when = (datetime.now(UTC) + renewed).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": "somebody", "leaseDurationSeconds": seconds, "renewTime": when}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}


async def test_breakage_22_two_controllers_for_one_service_and_clocks_that_differ(shared: Patient):
    host, namespace = shared.space.host, shared.space.namespace
    try:
        await host.create(lease(KARMADA), namespace=SYSTEM)
        await shared.healthy()
        # managedFields tell whole seconds: a write in the leader's first second could be one from before it led.
        await asyncio.sleep(1.0)
        await host.raw(
            "PATCH",
            f"/apis/networking.karmada.io/v1alpha1/namespaces/{namespace}/multiclusterservices/web",
            {"metadata": {"annotations": {"written": "twice"}}},
            query={"fieldManager": KARMADA},
            content_type="application/merge-patch+json",
        )
        karmadas = deployment(KARMADA, 0)
        karmadas["spec"]["template"]["spec"]["containers"][0]["command"] = [KARMADA]
        await host.create(karmadas, namespace=SYSTEM)
        await mends(shared, "MCS007", then=partial(host.delete, LEASES, KARMADA, namespace=SYSTEM))
        assert "--feature-gates=MultiClusterService=false" in await flags_of(host, KARMADA)
        await host.create(lease(KARMADA, renewed=timedelta(hours=1), seconds=1), namespace=SYSTEM)
        finding = await installation_has(shared, "MCS008", Severity.WARNING)
        assert f"{datetime.now(UTC):%Y-%m-%dT}" in await shared.paste(finding.fix)
    finally:
        await host.delete(LEASES, KARMADA, namespace=SYSTEM, missing_ok=True)
        await host.delete(DEPLOYMENTS, KARMADA, namespace=SYSTEM, missing_ok=True)


async def test_breakage_30_ranges_that_overlap(shared: Patient):
    nodes = {"member1": "10.250.0.0/24", "member2": "10.250.0.0/25"}
    try:
        for name, cidr in nodes.items():
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "twin"}, "spec": {"podCIDRs": [cidr]}}
            await shared.space.member(name).create(node | {"spec": {"podCIDR": cidr, "podCIDRs": [cidr]}})
            ready = {"conditions": [{"type": "Ready", "status": "True", "reason": "Test"}]}
            await shared.space.member(name).patch("v1/nodes", "twin", {"status": ready}, subresource="status")
        finding = await shared.verdict_is("MCS026")
        assert "10.250.0.0/25" in finding.evidence
        shown = await shared.paste(finding.fix)
        assert all(cidr in shown for cidr in nodes.values())
    finally:
        for name in nodes:
            await shared.space.member(name).delete("v1/nodes", "twin", missing_ok=True)
    await shared.healthy()


async def test_breakage_25_a_pull_cluster_from_its_first_day_to_its_last(shared: Patient, tmp_path: Path):
    """Its API server is that of the control plane: what its agent would do is played."""
    host, namespace = shared.space.host, "karmada-es-pulled"
    guard = {"finalizers": ["example.com/guard"]}
    file = tmp_path / "pulled.kubeconfig"
    config = yaml.safe_load(shared.space.bed.host.access.kubeconfig.read_text())
    config["contexts"][0]["name"] = "pulled"
    file.write_text(yaml.safe_dump(config))
    shared = replace(shared, kubeconfig=f"{shared.kubeconfig}:{file}")
    made = {"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster", "metadata": {"name": "pulled"} | guard}

    async def released() -> bool:
        if (left := await host.find(CLUSTERS, "pulled")) is not None:
            others = [one for one in left["metadata"].get("finalizers", ()) if one not in guard["finalizers"]]
            await host.patch(CLUSTERS, "pulled", {"metadata": {"finalizers": others}})
        return True

    async def end_at_once() -> None:
        """What the controller does when an agent has had 40 seconds to end."""
        if await host.find(CLUSTERS, "pulled") is not None:
            with contextlib.suppress(ApiStatusError):
                await host.patch(CLUSTERS, "pulled", {"metadata": {"finalizers": []}})

    try:
        await host.create(made | {"spec": {"syncMode": "Push"}})
        await installation_has(shared, "MCS010")
        await host.patch(CLUSTERS, "pulled", {"spec": {"syncMode": "Pull"}})
        await installation_has(shared, "MCS020")
        await host.create(lease("mcs-controller-agent", renewed=-timedelta(hours=1), seconds=15), namespace=namespace)
        await installation_has(shared, "MCS021")
        await host.delete(LEASES, "mcs-controller-agent", namespace=namespace)
        await host.create(lease("pulled"), namespace=CREDENTIALS)  # as karmada-agent does
        ready = {"type": "Ready", "status": "True", "reason": "ClusterReady", "message": ""}
        ready["lastTransitionTime"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        await host.patch(CLUSTERS, "pulled", {"status": {"conditions": [ready]}}, subresource="status")
        work = {"apiVersion": "work.karmada.io/v1alpha1", "kind": "Work", "metadata": {"name": "held"} | guard}
        await host.create(work | {"spec": {"workload": {"manifests": []}}}, namespace=namespace)
        await host.delete(NAMESPACES, namespace)

        async def act_as_agent() -> None:
            for one in await host.list(WORKS, namespace=namespace):
                nothing = {"metadata": {"finalizers": None}}
                await host.patch(WORKS, one["metadata"]["name"], nothing, namespace=namespace)

        await mends(shared, "MCS025", service_name="", then=act_as_agent)
        await host.delete(CLUSTERS, "pulled")
        finding = await installation_has(shared, "MCS027", Severity.IN_PROGRESS)
        await mends(shared, "MCS027", service_name="", finding=finding, then=end_at_once)
        await gone(host, CLUSTERS, "pulled")
    finally:
        await host.delete(LEASES, "pulled", namespace=CREDENTIALS, missing_ok=True)
        with contextlib.suppress(ApiStatusError):
            await host.patch(WORKS, "held", {"metadata": {"finalizers": None}}, namespace=namespace)
        await host.delete(CLUSTERS, "pulled", missing_ok=True)

        # More than once: the controller takes its own away in between, which nobody may add again.
        await wait_for("the Cluster without our finalizer", released, PATIENCE_SECONDS)
        await gone(host, CLUSTERS, "pulled")


async def test_breakage_25_an_agent_is_installed_and_later_ends(shared: Patient, tmp_path: Path):
    """What the printed command stores in the member is what the agent here runs with."""
    host, member, bed = shared.space.host, shared.space.member("member2"), shared.space.bed
    file, namespace = tmp_path / "karmada.config", "karmada-es-member2"
    flags = ("--cluster-name=member2", f"--karmada-kubeconfig={file}", *IMPATIENT)
    own = await member_kubeconfig(bed, "member2")
    agent = ControllerProcess(own, root=bed.root, name="agent", extra_args=flags)
    try:
        async with restored(host, CLUSTERS, "member2"):
            await host.patch(CLUSTERS, "member2", {"spec": {"syncMode": "Pull"}})
            async with AsyncExitStack() as running:

                async def start() -> None:
                    stored = (await member.get(SECRETS, f"{AGENT}-config", namespace=SYSTEM))["data"]["karmada.config"]
                    file.write_bytes(base64.b64decode(stored))
                    assert "--cluster-name=member2" in await flags_of(member, AGENT)
                    await running.enter_async_context(agent)

                await mends(shared, "MCS020", then=start)
                await agent.terminate()
                long_ago = lease(AGENT, renewed=-timedelta(hours=1), seconds=15)["spec"]
                await host.patch(LEASES, AGENT, {"spec": long_ago}, namespace=namespace)
                await mends(shared, "MCS021", then=agent.start)
                assert await restarted(member, AGENT)
    finally:
        await host.delete(LEASES, AGENT, namespace=namespace, missing_ok=True)
        await member.delete(DEPLOYMENTS, AGENT, namespace=SYSTEM, missing_ok=True)
        await member.delete(SECRETS, f"{AGENT}-config", namespace=SYSTEM, missing_ok=True)
    await shared.healthy()
