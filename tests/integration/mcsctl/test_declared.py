"""What users declare, broken on real API servers: each code is the verdict, and its printed fix mends it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from mcs_controller.diagnosis.findings import Link, Severity
from mcs_controller.diagnosis.rules import RULES
from mcs_controller.diagnosis.verdict import diagnose
from mcs_controller.mcsctl.access import Access, AccessOptions
from mcs_controller.mcsctl.observe import observe
from testbed import NotYet, wait_for
from tests.integration.mcsctl.conftest import INTERVAL_SECONDS
from tests.integration.mcsctl.test_breakages import mends
from tests.support.fleet import (
    BINDINGS,
    CONFIGMAPS,
    DEPLOYMENTS,
    MCS,
    NAMESPACES,
    PATIENCE_SECONDS,
    POLICIES,
    SERVICES,
    Space,
    configmap,
    deployment,
    eventually,
    gone,
    multiclusterservice,
    propagationpolicy,
    service,
)

if TYPE_CHECKING:
    from mcs_controller.diagnosis.findings import Finding
    from tests.integration.mcsctl.conftest import Patient

pytestmark = pytest.mark.asyncio(loop_scope="session")

SKIP = "namespace.karmada.io/skip-auto-propagation"
WITHDRAW_AFTER = "multiclusterservice.karmada.io/withdraw-not-ready-after"


async def finds(
    patient: Patient, code: str, severity: Severity, *, minutes_later: float = 0, service_name: str = "web"
) -> Finding:
    """Wait until a rule finds what is no error, or, of what only time makes an error, will be one."""
    options = AccessOptions(kubeconfig=patient.kubeconfig, context="karmada")

    async def probe() -> Finding:
        later = datetime.now(UTC) + timedelta(minutes=minutes_later)
        async with Access(options) as access:
            world = await observe(access, service=(patient.space.namespace, service_name), now=later)
        rules = [rule for rule in RULES.values() if rule.link in (Link.DECLARATION, Link.PROVIDER)]
        worse = [one for one in diagnose(world, rules).findings if one.severity is Severity.ERROR or one.code == code]
        if [(one.code, one.severity) for one in worse] != [(code, severity)]:
            raise NotYet(f"{[(one.code, one.severity.name, one.problem) for one in worse]}")
        return worse[0]

    return await wait_for(f"{code}, {severity.name.lower()}", probe, PATIENCE_SECONDS, interval=INTERVAL_SECONDS)


async def patch_service(patient: Patient, spec: dict[str, Any]) -> None:
    await patient.space.host.patch(SERVICES, "web", {"spec": spec}, namespace=patient.space.namespace)


async def test_breakage_29_type_loadbalancer(shared: Patient):
    await shared.space.host.delete(MCS, "web", namespace=shared.space.namespace)
    await gone(shared.space.host, MCS, "web", shared.space.namespace)
    await shared.space.create(multiclusterservice("web", ["member1"], ["member2"], types=["LoadBalancer"]))
    await mends(shared, "MCS032")


async def test_breakage_26_the_consumer_is_the_provider(shared: Patient):
    await shared.space.patch_mcs("web", {"consumerClusters": [{"name": "member1"}]})
    await mends(shared, "MCS034", finding=await finds(shared, "MCS034", Severity.INFO))
    consumers = (await shared.space.mcs("web"))["spec"]["consumerClusters"]
    assert {"name": "member2"} in consumers
    await shared.space.patch_mcs("web", {"consumerClusters": [{"name": "member2"}]})
    await shared.healthy()


async def test_breakage_6_a_port_that_the_service_does_not_have(shared: Patient):
    await shared.space.patch_mcs("web", {"ports": [{"port": 8080}]})
    await mends(shared, "MCS035")


async def test_a_service_of_type_externalname(shared: Patient):
    await patch_service(shared, {"type": "ExternalName", "externalName": "example.com"})
    await mends(shared, "MCS036")


async def test_the_service_that_every_cluster_has(shared: Patient):
    space = Space(shared.space.bed, "default")
    await space.create(multiclusterservice("kubernetes", ["member1"], ["member2"]))
    try:
        there = replace(shared, space=space)
        finding = await finds(there, "MCS037", Severity.ERROR, minutes_later=2, service_name="kubernetes")
        removed = partial(gone, space.host, MCS, "kubernetes", "default")
        await mends(there, "MCS037", service_name="", finding=finding, then=removed)
    finally:
        await space.host.delete(MCS, "kubernetes", namespace="default", missing_ok=True)


async def test_breakage_28_a_policy_on_the_service(shared: Patient):
    await shared.space.create(propagationpolicy("all", ["member1"], service("web"), deployment("other", 1)))
    await mends(shared, "MCS038", finding=await finds(shared, "MCS038", Severity.WARNING))
    await shared.space.host.delete(POLICIES, "all", namespace=shared.space.namespace)


async def test_breakage_27_the_workload_s_policy_is_refused(patient: Patient):
    space = patient.space
    await space.member("member1").delete(DEPLOYMENTS, "web", namespace=space.namespace)
    spread = {
        "clusterAffinity": {"clusterNames": ["member1"]},
        "replicaScheduling": {"replicaSchedulingType": "Divided"},
    }
    policy = propagationpolicy("web", ["member1"], deployment("web", 1))
    policy["spec"]["placement"] = spread
    await space.create(deployment("web", 1), policy)
    await mends(patient, "MCS039")


async def test_local_traffic_only(shared: Patient):
    await patch_service(shared, {"internalTrafficPolicy": "Local"})
    await mends(shared, "MCS040")


async def test_a_finalizer_holds_the_multiclusterservice(patient: Patient):
    """It is created anew then: its name is free."""
    space = patient.space
    held = (await space.mcs("web"))["metadata"]["finalizers"]
    finalizers = {"metadata": {"finalizers": [*held, "example.com/holds"]}}
    await space.host.patch(MCS, "web", finalizers, namespace=space.namespace)
    await space.host.delete(MCS, "web", namespace=space.namespace)
    await finds(patient, "MCS041", Severity.IN_PROGRESS)
    finding = await finds(patient, "MCS041", Severity.ERROR, minutes_later=2)

    async def create_anew() -> None:
        await gone(space.host, MCS, "web", space.namespace)
        await space.create(multiclusterservice("web", ["member1"], ["member2"]))

    await mends(patient, "MCS041", finding=finding, then=create_anew)


async def test_breakage_7_the_namespace_is_kept_out_by_its_label(shared: Patient):
    space = Space(shared.space.bed, f"{shared.space.namespace}-kept")
    labels = {SKIP: "true"}
    await space.host.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space.namespace, "labels": labels}}
    )
    try:
        web = service("web", selector={"app": "web"})
        await space.create(web, multiclusterservice("web", ["member1"], ["member2"]))
        other = replace(shared, space=space)

        async def create_workload() -> None:
            await space.exists_in_members()
            await space.create_in("member1", deployment("web", 1))

        await mends(other, "MCS042", then=create_workload)
    finally:
        await space.remove()


async def test_dispatching_is_suspended(shared: Patient):
    space = shared.space
    suspension = {"spec": {"suspension": {"dispatching": True}}}
    await space.host.patch(BINDINGS, "web-service", suspension, namespace=space.namespace)
    await mends(shared, "MCS043")


async def test_an_annotation_that_cannot_be_read(shared: Patient):
    annotations = {"metadata": {"annotations": {WITHDRAW_AFTER: "5 minutes"}}}
    await shared.space.host.patch(MCS, "web", annotations, namespace=shared.space.namespace)
    await mends(shared, "MCS044", finding=await finds(shared, "MCS044", Severity.WARNING))


async def test_the_namespace_is_being_deleted(patient: Patient):
    space = patient.space
    held = configmap("held")
    held["metadata"]["finalizers"] = ["example.com/holds"]
    await space.create(held)
    try:
        await space.remove()
        finding = await finds(patient, "MCS045", Severity.IN_PROGRESS)
        assert "example.com/holds" in await patient.paste(f"{finding.fix} -o yaml")
        namespace = await space.host.get(NAMESPACES, space.namespace)
        assert namespace["status"]["phase"] == "Terminating"
    finally:
        await space.host.patch(CONFIGMAPS, "held", {"metadata": {"finalizers": None}}, namespace=space.namespace)


async def test_scheduling_is_suspended(shared: Patient):
    space = shared.space

    async def scheduled() -> list[str]:
        found = await space.host.get(BINDINGS, "web-service", namespace=space.namespace)
        return [one["name"] for one in found["spec"]["clusters"]]

    await space.patch_mcs("web", {"consumerClusters": [{"name": "member1"}]})
    await eventually("the Service in the provider alone", scheduled, ["member1"])
    suspension = {"spec": {"suspension": {"scheduling": True}}}
    await space.host.patch(BINDINGS, "web-service", suspension, namespace=space.namespace)
    await space.patch_mcs("web", {"consumerClusters": [{"name": "member2"}]})
    await mends(shared, "MCS046")


async def annotate(patient: Patient, **marks: str | None) -> None:
    patch = {
        "metadata": {"annotations": {f"multiclusterservice.karmada.io/{key}": text for key, text in marks.items()}}
    }
    await patient.space.host.patch(MCS, "web", patch, namespace=patient.space.namespace)


async def test_tiers_that_cannot_be_read(shared: Patient):
    await annotate(shared, tiers="nearby")
    await mends(shared, "MCS048")


async def test_strict_tiers_without_a_ready_endpoint(shared: Patient):
    await annotate(shared, **{"tiers": "clusters=member2", "tier-strict": "true"})
    await mends(shared, "MCS049")
    await annotate(shared, **{"tiers": None, "tier-strict": None})
    await shared.healthy()
