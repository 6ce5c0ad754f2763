"""Delivery, consumers and traffic on real API servers: each link is broken, named, and mended as printed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from mcs_controller.diagnosis.findings import Severity
from mcs_controller.mcsctl.access import AccessOptions
from mcs_controller.mcsctl.doctor import run as run_doctor
from mcs_controller.mcsctl.probing import ProbeOptions
from testbed import NotYet, wait_for
from tests.integration.mcsctl.conftest import INTERVAL_SECONDS
from tests.integration.mcsctl.test_breakages import mends
from tests.support.fleet import (
    CONFIGMAPS,
    DEPLOYMENTS,
    MCS,
    NAMESPACES,
    PATIENCE_SECONDS,
    SERVICES,
    SLICES,
    WORKS,
    Object,
    condition_of,
    configmap,
    deployment,
    endpointslice,
    eventually,
    multiclusterservice,
    service,
)

if TYPE_CHECKING:
    from mcs_controller.diagnosis.findings import Finding
    from tests.integration.mcsctl.conftest import Patient

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUOTAS = "v1/resourcequotas"
DAEMONSETS = "apps/v1/daemonsets"
WEBHOOKS = "admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
POLICIES = "networking.k8s.io/v1/networkpolicies"


async def try_again(patient: Patient) -> None:
    """Have the Works of the Service tried again at once, not after a minute."""
    await touch(patient, {"example.com/again": uuid4().hex})


async def touch(patient: Patient, annotations: Object) -> None:
    """Annotate the Service in the control plane."""
    body = {"metadata": {"annotations": annotations}}
    await patient.space.host.patch(SERVICES, "web", body, namespace=patient.space.namespace)


async def test_a_work_that_is_held_by_a_finalizer(shared: Patient):
    (work,) = await shared.space.works("member2", "EndpointSlice")
    name, where = work["metadata"]["name"], "karmada-es-member2"
    finalizers = {"metadata": {"finalizers": [*work["metadata"]["finalizers"], "example.com/hold"]}}
    await shared.space.host.patch(WORKS, name, finalizers, namespace=where)
    try:
        await shared.space.host.delete(WORKS, name, namespace=where)
        await mends(shared, "MCS064")
    finally:
        with suppress(Exception):
            left = {"metadata": {"finalizers": ["karmada.io/execution-controller"]}}
            await shared.space.host.patch(WORKS, name, left, namespace=where)


async def test_a_webhook_of_a_member_does_not_answer(shared: Patient):
    member, namespace = shared.space.member("member2"), shared.space.namespace
    hook = {
        "name": "gone.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/validate"},
        "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["services"]}
        ],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "timeoutSeconds": 1,
        "admissionReviewVersions": ["v1"],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    await member.create({**kind, "metadata": {"name": namespace}, "webhooks": [hook]})
    try:
        await _refused(shared)
        await mends(shared, "MCS066")
    finally:
        await member.delete(WEBHOOKS, namespace)


async def _refused(patient: Patient) -> None:
    """Delete the consumer's Service until it is refused: what is to do so takes a moment to begin."""
    member, namespace = patient.space.member("member2"), patient.space.namespace

    async def probe() -> bool:
        await member.delete(SERVICES, "web", namespace=namespace, missing_ok=True)
        (work,) = await patient.space.works("member2", "Service")
        if condition_of(work, "Applied")[0] != "False":
            raise NotYet("it is taken")
        return True

    await wait_for("member2 to refuse the Service", probe, PATIENCE_SECONDS)


async def test_a_quota_of_a_member_is_used_up(shared: Patient):
    member, namespace = shared.space.member("member2"), shared.space.namespace
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few"},
        "spec": {"hard": {"services": "0"}},
    }
    await member.create(quota, namespace=namespace)

    # The bed has no controller of quotas: what it would write is written here, before and after the fix.
    used: Object = {"status": {"hard": {"services": "0"}, "used": {"services": "0"}}}
    await member.patch(QUOTAS, "few", used, namespace=namespace, subresource="status")
    await _refused(shared)

    async def count() -> None:
        used["status"]["hard"] = (await member.get(QUOTAS, "few", namespace=namespace))["spec"]["hard"]
        await member.patch(QUOTAS, "few", used, namespace=namespace, subresource="status")
        await try_again(shared)

    await mends(shared, "MCS067", then=count)
    await member.delete(QUOTAS, "few", namespace=namespace)


async def test_the_namespace_of_a_consumer_is_being_deleted(shared: Patient):
    member, namespace = shared.space.member("member2"), shared.space.namespace
    held = configmap("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await member.create(held, namespace=namespace)
    try:
        await member.delete(NAMESPACES, namespace)
        finding = await shared.verdict_is("MCS070")
        assert "Terminating" in await shared.paste(finding.fix)
    finally:
        await member.patch(CONFIGMAPS, "held", {"metadata": {"finalizers": None}}, namespace=namespace)
    await shared.healthy()


async def test_breakage_32_a_foreign_slice_has_the_name_of_a_copy(shared: Patient):
    foreign = endpointslice("member1-web-hand", "other", ["10.99.0.1"])
    await shared.space.create_in("member2", foreign)
    await shared.space.create_in("member1", endpointslice("web-hand", "web", ["10.99.0.2"]))
    # Tried again at once, not after a minute.
    await mends(shared, "MCS073", then=lambda: shared.space.set_addresses("member1", "web-hand", ["10.99.0.3"]))
    await shared.space.member("member1").delete(SLICES, "web-hand", namespace=shared.space.namespace)


async def test_breakage_32_a_foreign_service_has_the_name_of_ours(shared: Patient):
    await touch(shared, {"work.karmada.io/conflict-resolution": "abort"})
    member, namespace = shared.space.member("member2"), shared.space.namespace

    async def mark() -> Any:
        found = await member.get(SERVICES, "web", namespace=namespace)
        return found["metadata"]["annotations"].get("work.karmada.io/conflict-resolution")

    await eventually("the annotation in member2", mark, "abort")
    found = await member.get(SERVICES, "web", namespace=namespace)
    nothing = {
        "labels": dict.fromkeys(found["metadata"]["labels"]),
        "annotations": dict.fromkeys(found["metadata"]["annotations"]),
    }
    await member.patch(SERVICES, "web", {"metadata": nothing}, namespace=namespace)
    await try_again(shared)
    await mends(shared, "MCS073")
    await touch(shared, {"work.karmada.io/conflict-resolution": None})


async def test_somebody_else_writes_the_service_in_a_consumer(shared: Patient):
    member, namespace = shared.space.member("member2"), shared.space.namespace

    async def rival() -> None:
        body = {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 9999}]}}
        while True:
            await member.patch(SERVICES, "web", body, namespace=namespace)
            await asyncio.sleep(0.2)

    writing = asyncio.create_task(rival())
    try:
        finding = await shared.verdict_is("MCS065")
        assert "somebody else writes it: " in finding.evidence
        assert "manager: " in await shared.paste(finding.fix)
    finally:
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
    await try_again(shared)
    await shared.healthy()


async def test_a_member_refuses_an_object_for_a_reason_that_has_no_rule(shared: Patient):
    space, member = shared.space, shared.space.member("member2")
    port = {"name": "http", "port": 80, "nodePort": 30123}

    async def expose(kind: str, number: int | None) -> None:
        spec = {"type": kind, "ports": [port | {"nodePort": number}]}
        await space.host.patch(SERVICES, "web", {"spec": spec}, namespace=space.namespace)

    taken = service("taken") | {"spec": {"type": "NodePort", "ports": [port]}}
    await space.create_in("member2", taken)
    try:
        await expose("NodePort", 30123)
        finding = await shared.verdict_is("MCS063")
        assert "30123: provided port is already allocated" in finding.evidence
        assert "nodePort" in await shared.paste(finding.fix)  # the member's words in full, and what it is to take
    finally:
        await member.delete(SERVICES, "taken", namespace=space.namespace)
    await try_again(shared)
    await shared.healthy()
    await expose("ClusterIP", None)
    await shared.healthy()


async def test_breakage_24_the_dns_of_a_consumer_is_stopped(shared: Patient):
    member, system = shared.space.member("member2"), "kube-system"
    coredns = deployment("coredns", 1)
    labels = {"k8s-app": "kube-dns"}
    coredns["metadata"]["labels"] = labels
    coredns["spec"] |= {"selector": {"matchLabels": labels}}
    coredns["spec"]["template"]["metadata"]["labels"] = labels
    await member.create(service("kube-dns", selector=labels), namespace=system)
    await member.create(coredns, namespace=system)
    try:
        await shared.healthy()
        await member.patch(DEPLOYMENTS, "coredns", {"spec": {"replicas": 0}}, namespace=system)
        await mends(shared, "MCS081")
    finally:
        await member.delete(DEPLOYMENTS, "coredns", namespace=system)
        await member.delete(SERVICES, "kube-dns", namespace=system)


async def test_a_network_policy_of_a_consumer_denies_egress(shared: Patient):
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"]},
    }
    await shared.space.create_in("member2", policy)
    await mends(shared, "MCS083")
    await remove_networkpolicies(shared, "member2")


async def test_endpoints_of_a_family_that_the_service_of_a_consumer_lacks(shared: Patient):
    space = shared.space
    await space.create(service("six"), multiclusterservice("six", ["member1"], ["member2"]))
    await space.create_in("member1", endpointslice("six-a", "six", ["2001:db8::1"]) | {"addressType": "IPv6"})
    finding = await shared.verdict_is("MCS084", "six")
    assert "IPv4" in finding.problem
    await space.host.delete(MCS, "six", namespace=space.namespace)
    await space.host.delete(SERVICES, "six", namespace=space.namespace)


async def remove_networkpolicies(patient: Patient, cluster: str) -> None:
    """Those of a test, and those of fixes, which are about the Pods of one Service."""
    api, namespace = patient.space.member(cluster), patient.space.namespace
    for one in await api.list(POLICIES, namespace=namespace):
        await api.delete(POLICIES, one["metadata"]["name"], namespace=namespace)


async def test_a_node_of_a_consumer_is_not_ready(shared: Patient):
    member = shared.space.member("member2")
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "stopped"}, "spec": {"unschedulable": True}}
    await member.create(node)
    try:
        assert "Unschedulable" in await shared.paste((await warning(shared, "MCS085")).fix)
    finally:
        await member.delete("v1/nodes", "stopped")
    await shared.healthy()


async def warning(patient: Patient, code: str) -> Finding:
    """Wait until this is all that is worse than to be mentioned."""

    async def probe() -> Finding:
        worse = [one for one in (await patient.doctor()).findings if one.severity > Severity.INFO]
        if [one.code for one in worse] != [code]:
            raise NotYet(f"{[(one.code, one.problem) for one in worse]}")
        return worse[0]

    return await wait_for(f"{code} and nothing else", probe, PATIENCE_SECONDS, interval=INTERVAL_SECONDS)


async def test_endpoints_of_its_own_in_a_consumer_are_a_warning(patient: Patient):
    await patient.space.create_in("member2", deployment("web", 1))
    await mends(patient, "MCS077", finding=await warning(patient, "MCS077"))


async def test_the_pod_of_a_probe_passes_pod_security_and_is_deleted_when_the_user_ends_it(shared: Patient):
    member, namespace = shared.space.member("member2"), shared.space.namespace
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    await member.patch(NAMESPACES, namespace, labels)
    options = AccessOptions(kubeconfig=shared.kubeconfig, context="karmada")
    doctor = asyncio.create_task(run_doctor(options, (namespace, "web"), probing=ProbeOptions()))

    async def count() -> int:
        selector = "app.kubernetes.io/name=mcsctl-probe"
        return len(await member.list("v1/pods", namespace=namespace, label_selector=selector))

    try:
        await eventually("the Pod of the probe", count, 1)
    finally:
        doctor.cancel()
    with suppress(asyncio.CancelledError):
        await doctor
    await eventually("no Pod of the probe", count, 0)
    await member.patch(NAMESPACES, namespace, {"metadata": {"labels": dict.fromkeys(labels["metadata"]["labels"])}})


async def mentions(patient: Patient, code: str) -> bool:
    """Whether the diagnosis tells of it without calling it wrong."""
    return code in [one.code for one in (await patient.doctor()).findings if one.severity is Severity.INFO]


async def test_a_consumer_without_kube_proxy_is_mentioned(shared: Patient):
    assert await mentions(shared, "MCS082")


async def test_topology_hints_for_a_zone_that_the_consumer_does_not_have_are_mentioned(shared: Patient):
    hinted = endpointslice("web-hinted", "web", ["10.99.0.4"])
    hinted["endpoints"][0] |= {"zone": "moon-1", "hints": {"forZones": [{"name": "moon-1"}]}}
    await shared.space.create_in("member1", hinted)
    await eventually("hints that are mentioned", lambda: mentions(shared, "MCS075"), True, interval=INTERVAL_SECONDS)
    await shared.healthy()
    await shared.space.member("member1").delete(SLICES, "web-hinted", namespace=shared.space.namespace)
    await eventually("nothing that is mentioned", lambda: mentions(shared, "MCS075"), False, interval=INTERVAL_SECONDS)


async def test_breakage_23_kube_proxy_of_a_consumer_is_not_ready(shared: Patient):
    """The bed's members have no controller of DaemonSets: that is played here. tests/e2e stops a real one."""
    member, system = shared.space.member("member2"), "kube-system"
    proxy = deployment("kube-proxy", 1) | {"kind": "DaemonSet"}
    del proxy["spec"]["replicas"]

    async def count(ready: int) -> None:
        status = {"desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberReady": ready}
        await member.patch(DAEMONSETS, "kube-proxy", {"status": status}, namespace=system, subresource="status")

    await member.create(proxy, namespace=system)
    try:
        await count(0)

        async def start() -> None:
            template = (await member.get(DAEMONSETS, "kube-proxy", namespace=system))["spec"]["template"]
            assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
            await count(1)

        await mends(shared, "MCS080", then=start)
    finally:
        await member.delete(DAEMONSETS, "kube-proxy", namespace=system)
