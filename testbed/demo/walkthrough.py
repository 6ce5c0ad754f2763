"""What there is to see and to do in the walkthrough, one function each: the steps of :mod:`testbed.demo.chapters`.

Probes raise NotYet, with what they saw, as long as it is not so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.demo.world import (
    CONSUMER,
    DEPLOYMENTS,
    HOST,
    MULTICLUSTERSERVICES,
    NAME,
    NAMESPACE,
    PODS,
    PROVIDER,
    RESOURCEBINDINGS,
    SERVICES,
    SLICES,
    WORKS,
    World,
    addresses,
    annotations_of,
    condition_texts,
    conditions,
    held,
    labels_of,
    listing,
    must,
    require,
)
from testbed.errors import NotYet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from testbed.api import Object

MCS_WORK = "nginx-747889f6c4"
SERVICE_WORK = "nginx-64b7849b5"
BINDING = "nginx-service"
FROM_PROVIDER = f"karmada-es-{PROVIDER}"
TO_CONSUMER = f"karmada-es-{CONSUMER}"

MCS_CONTROLLER = "multiclusterservice-controller"
COLLECT_CONTROLLER = "endpointslice-collect-controller"
DISPATCH_CONTROLLER = "endpointslice-dispatch-controller"
SCHEDULER = "default-scheduler"
BINDING_CONTROLLER = "binding-controller"
EXECUTION_CONTROLLER = "execution-controller"

THIS = f"{NAMESPACE}/{NAME}"
SLICE = f"EndpointSlice {NAMESPACE}/{{slice}} in {PROVIDER}"
COLLECTED = f"Work {FROM_PROVIDER}/{{work}} on {HOST}"
DISPATCHED = f"Work {TO_CONSUMER}/{{work}} on {HOST}"
IMPORTED = f"EndpointSlice {NAMESPACE}/{PROVIDER}-{{slice}} in {CONSUMER}"

SLICE_CONTROLLER = "endpointslice-controller.k8s.io"
DISPATCHER = "endpointslice-dispatch-controller.karmada.io"
CLAIMED_BY = "resourcetemplate.karmada.io/claimed-by"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
PERMANENT_ID = "multiclusterservice.karmada.io/permanent-id"
PROVISION_CLUSTER = "endpointslice.karmada.io/provision-cluster"
SERVICE_NAME = "kubernetes.io/service-name"


def _mcs(world: World) -> Object:
    found = world.view.find(HOST, MULTICLUSTERSERVICES, NAMESPACE, NAME)
    return must(found, f"MultiClusterService {NAMESPACE}/{NAME} on {HOST}")


def _service(world: World, cluster: str) -> Object:
    return must(world.view.find(cluster, SERVICES, NAMESPACE, NAME), f"Service {NAMESPACE}/{NAME} in {cluster}")


def _work(world: World, namespace: str, name: str) -> Object:
    return must(world.view.find(HOST, WORKS, namespace, name), f"Work {namespace}/{name} on {HOST}")


def provider_pods(world: World) -> dict[str, str]:
    """Addresses of the provider's Pods that are ready and stay, by name."""
    return {
        pod["metadata"]["name"]: pod["status"]["podIP"]
        for pod in world.view.all(PROVIDER, PODS, NAMESPACE)
        if labels_of(pod).get("app") == NAME
        and not pod["metadata"].get("deletionTimestamp")
        and conditions(pod).get("Ready", {}).get("status") == "True"
    }


def _pods(world: World) -> list[str]:
    return sorted(provider_pods(world).values())


def _native(world: World) -> Object:
    """The slice that Kubernetes itself makes in the provider."""
    for each in world.view.all(PROVIDER, SLICES, NAMESPACE):
        if labels_of(each).get(SERVICE_NAME) == NAME and labels_of(each).get(MANAGED_BY) == SLICE_CONTROLLER:
            world.names["slice"] = each["metadata"]["name"]
            return each
    raise NotYet(f"no EndpointSlice of Service {NAMESPACE}/{NAME} in {PROVIDER}")


def _collected(world: World) -> Object:
    """The Work with the provider's slice as it is there, whatever its name."""
    wanted = _native(world)["metadata"]["name"]
    for work in world.view.all(HOST, WORKS, FROM_PROVIDER):
        content = held(work)
        if content.get("kind") == "EndpointSlice" and content["metadata"]["name"] == wanted:
            world.names["work"] = work["metadata"]["name"]
            return work
    raise NotYet(f"no Work in {FROM_PROVIDER} with EndpointSlice {wanted}")


def _dispatched(world: World) -> Object:
    return _work(world, TO_CONSUMER, _collected(world)["metadata"]["name"])


def _imported(world: World) -> Object:
    """The slice as the consumer has it."""
    name = f"{PROVIDER}-{_native(world)['metadata']['name']}"
    found = world.view.find(CONSUMER, SLICES, NAMESPACE, name)
    return must(found, f"EndpointSlice {NAMESPACE}/{name} in {CONSUMER}")


def _same_addresses(world: World, of: Object) -> str:
    """The addresses of a slice; NotYet unless they are those of the provider's Pods."""
    wanted, there = _pods(world), addresses(of)
    require(there == wanted, f"addresses {listing(there)}; the Pods in {PROVIDER} have {listing(wanted)}")
    return listing(there)


def pods_ready(count: int) -> Callable[[World], str]:
    """The provider's Pods, by number."""

    def probe(world: World) -> str:
        ready = _pods(world)
        require(len(ready) == count, f"{len(ready)} ready Pods of {count}: {listing(ready)}")
        return f"{count} ready: {listing(ready)}"

    return probe


def adopted(world: World) -> str:
    """The controller has taken the MultiClusterService up."""
    mcs = _mcs(world)
    finalizers = listing(mcs["metadata"].get("finalizers") or ())
    require("karmada.io/multiclusterservice-controller" in finalizers, f"finalizers: {finalizers}")
    identity = labels_of(mcs).get(PERMANENT_ID)
    require(bool(identity), f"no label {PERMANENT_ID}")
    return f"finalizer {finalizers}, permanent id {identity}"


def provider_work(world: World) -> str:
    """The request to collect from the provider."""
    work = _work(world, FROM_PROVIDER, MCS_WORK)
    require(held(work).get("kind") == "MultiClusterService", f"it holds {held(work).get('kind')}")
    require(work["spec"].get("suspendDispatching") is True, "it is not suspended")
    identity = labels_of(_mcs(world)).get(PERMANENT_ID)
    require(labels_of(work).get(PERMANENT_ID) == identity, f"permanent id {labels_of(work).get(PERMANENT_ID)}")
    return "suspended, holds the MultiClusterService, carries its permanent id"


def claimed(world: World) -> str:
    """The Service on the control plane is marked as the MultiClusterService's."""
    claim = {key: value for key, value in labels_of(_service(world, HOST)).items() if "karmada.io" in key}
    identity = labels_of(_mcs(world)).get(PERMANENT_ID)
    require(
        claim.get(CLAIMED_BY) == "MultiClusterService" and claim.get(PERMANENT_ID) == identity,
        f"labels {listing(list(claim))}",
    )
    return f"{CLAIMED_BY}=MultiClusterService, permanent id of the MultiClusterService"


def placed(world: World) -> str:
    """The Service is bound for both members."""
    binding = must(
        world.view.find(HOST, RESOURCEBINDINGS, NAMESPACE, BINDING), f"ResourceBinding {NAMESPACE}/{BINDING} on {HOST}"
    )
    placed = sorted(each["name"] for each in binding["spec"].get("clusters") or ())
    require(placed == [PROVIDER, CONSUMER], f"clusters: {listing(placed)}; {listing(condition_texts(binding))}")
    return f"clusters: {listing(placed)}"


def service_works(world: World) -> str:
    """The Works that carry the Service."""
    for namespace in (FROM_PROVIDER, TO_CONSUMER):
        work = _work(world, namespace, SERVICE_WORK)
        require(held(work).get("kind") == "Service", f"{namespace}: it holds {held(work).get('kind')}")
    return "both hold the Service"


def services_in_members(world: World) -> str:
    """The Service itself, in provider and consumer."""
    services = [_service(world, member) for member in (PROVIDER, CONSUMER)]
    world.seen["services"] = [each["metadata"]["uid"] for each in services]
    return f"cluster IPs {listing([each['spec']['clusterIP'] for each in services])}"


def native_slice(world: World) -> str:
    """What the provider's Kubernetes makes of Service and Pods."""
    return f"{_native(world)['metadata']['name']}: {_same_addresses(world, _native(world))}"


def collected_work(world: World) -> str:
    """The provider's slice, on the control plane."""
    work = _collected(world)
    require(work["spec"].get("suspendDispatching") is True, "it is not suspended")
    return f"suspended, holds EndpointSlice {world.names['slice']}: {_same_addresses(world, held(work))}"


def dispatched_work(world: World) -> str:
    """The slice as it is sent to the consumer."""
    work = _dispatched(world)
    provider = annotations_of(work).get(PROVISION_CLUSTER)
    require(provider == PROVIDER, f"annotation {PROVISION_CLUSTER} is {provider}")
    content = held(work)
    return f"for {CONSUMER}, holds {content['metadata']['name']}: {_same_addresses(world, content)}"


def imported_slice(world: World) -> str:
    """The slice in the consumer, the same object all the time."""
    found = _imported(world)
    manager = labels_of(found).get(MANAGED_BY)
    require(manager == DISPATCHER and labels_of(found).get(SERVICE_NAME) == NAME, f"labels {labels_of(found)}")
    before = world.seen.setdefault("imported", found["metadata"]["uid"])
    require(found["metadata"]["uid"] == before, "it was replaced, not updated")
    return f"{_same_addresses(world, found)}; of Service {NAME}"


def told(world: World) -> str:
    """What the status says."""
    mcs = _mcs(world)
    by_type = conditions(mcs)
    wanted = ("ServiceApplied", "EndpointSliceDispatched")
    told = listing([f"{kind}={by_type.get(kind, {}).get('status', 'missing')}" for kind in wanted])
    require(all(by_type.get(kind, {}).get("status") == "True" for kind in wanted), listing(condition_texts(mcs)))
    return told


def scale(replicas: int) -> Callable[[World], Awaitable[str]]:
    """Scale the Deployment on the control plane."""

    async def observe(world: World) -> str:
        body = {"spec": {"replicas": replicas}}
        answer = await world.host.patch(DEPLOYMENTS, NAME, body, namespace=NAMESPACE, subresource="scale")
        return f"replicas {answer['spec']['replicas']}"

    return observe


def counted(count: int, probe: Callable[[World], str]) -> Callable[[World], str]:
    """The probe, but not before there are this many Pods: what was true before the change does not count."""

    def counted(world: World) -> str:
        pods_ready(count)(world)
        return probe(world)

    return counted


async def delete(world: World) -> str:
    """Delete the MultiClusterService."""
    await world.host.delete(MULTICLUSTERSERVICES, NAME, namespace=NAMESPACE)
    return "accepted"


def gone(cluster: str, resource: str, namespace: str, name: str) -> Callable[[World], str]:
    """A probe for an object that is to go; the name may be one that was learned on the way."""

    def probe(world: World) -> str:
        found = world.view.find(cluster, resource, namespace, name.format(**world.names))
        if found is None:
            return "gone"
        metadata = found["metadata"]
        going = metadata.get("deletionTimestamp")
        finalizers = listing(metadata.get("finalizers") or ())
        raise NotYet(f"still there, being deleted, finalizers: {finalizers}" if going else "still there, untouched")

    return probe


def released(world: World) -> str:
    """The Service is nobody's again."""
    left = [key for key in labels_of(_service(world, HOST)) if key in (CLAIMED_BY, PERMANENT_ID)]
    require(not left, f"labels {listing(left)}")
    return "claim labels gone"


async def stayed(world: World) -> str:
    """What belongs to the Service, not to the MultiClusterService."""
    uids = []
    for member in (PROVIDER, CONSUMER):
        service = await world.member(member).find(SERVICES, NAME, namespace=NAMESPACE)
        uids.append(must(service, f"Service {NAMESPACE}/{NAME} in {member}")["metadata"]["uid"])
    require(uids == world.seen["services"], "a Service was replaced")
    name = world.names["slice"]
    must(
        await world.member(PROVIDER).find(SLICES, name, namespace=NAMESPACE),
        f"EndpointSlice {NAMESPACE}/{name} in {PROVIDER}",
    )
    must(
        await world.host.find(RESOURCEBINDINGS, BINDING, namespace=NAMESPACE),
        f"ResourceBinding {NAMESPACE}/{BINDING} on {HOST}",
    )
    return f"the same objects as before; so are ResourceBinding {BINDING} and {PROVIDER}'s own EndpointSlice"
