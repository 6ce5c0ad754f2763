"""What a fleet must look like, told by the rules alone, from what people asked for and what the members have.

Knows no Works and nothing else of how it is done. The rules: a slice of a provider that belongs to a Service of which
there is a MultiClusterService goes to each of its consumers, except the provider; empty lists mean every cluster. Of
its ports go those that the service lists, if it lists any. Of a Service that is gone nobody has anything. Slices of an
exported Service are in the control plane as well, under the Service that an import of it makes.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fleet_model import Fleet

Json = dict[str, Any]

DISPATCHER = "endpointslice-dispatch-controller.karmada.io"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
IMPORTER = "endpointslice-controller.karmada.io"
SERVICE_NAME = "kubernetes.io/service-name"
PROVIDER = "endpointslice.karmada.io/provision-cluster"
WITHDRAW_AFTER = "multiclusterservice.karmada.io/withdraw-not-ready-after"
TIERS = "multiclusterservice.karmada.io/tiers"
MINIMUM = "multiclusterservice.karmada.io/tier-minimum"
STRICT = "multiclusterservice.karmada.io/tier-strict"
DRAIN = "multiclusterservice.karmada.io/drain"
DERIVED = "derived-"
DISPATCHED = "EndpointSlice are dispatched successfully"


class Copy(NamedTuple):
    """A provider's slice as a consumer is to have it, but for its name."""

    namespace: str
    service: str
    provider: str
    address_type: str
    endpoints: str
    ports: str


class Wanted(NamedTuple):
    """A copy, what it is called unless another one is called so already, and what hinders it."""

    copy: Copy
    name: str
    hindered: bool


def copy_of(slice_: Json, provider: str) -> Copy:
    """How a slice of that provider looks elsewhere."""
    meta = slice_["metadata"]
    empty_is_absent = (json.dumps(slice_.get(part) or None, sort_keys=True) for part in ("endpoints", "ports"))
    return Copy(
        meta["namespace"], meta["labels"].get(SERVICE_NAME, ""), provider, slice_["addressType"], *empty_is_absent
    )


def _living(objects: list[Json]) -> list[Json]:
    return [one for one in objects if "deletionTimestamp" not in one["metadata"]]


def services(fleet: Fleet) -> list[Json]:
    """The MultiClusterServices that are to be acted on."""
    return [one for one in _living(fleet.host.all("MultiClusterService")) if "CrossCluster" in one["spec"]["types"]]


def service_of(fleet: Fleet, mcs: Json) -> Json | None:
    """The Service that a MultiClusterService speaks of."""
    return fleet.host.find("Service", mcs["metadata"]["namespace"], mcs["metadata"]["name"])


def clusters(fleet: Fleet) -> set[str]:
    """Those that are registered and do not leave."""
    return {one["metadata"]["name"] for one in _living(fleet.host.all("Cluster"))}


def chosen(fleet: Fleet, mcs: Json, field: str) -> set[str]:
    """The clusters of a list, as far as they are registered."""
    named = {one["name"] for one in mcs["spec"].get(field) or ()}
    return (named or clusters(fleet)) & clusters(fleet)


def own_slices(fleet: Fleet, member: str) -> list[Json]:
    """A member's own slices; none of those that were brought there."""
    slices = _living(fleet.members[member].all("EndpointSlice"))
    return [one for one in slices if one["metadata"].get("labels", {}).get(MANAGED_BY) != DISPATCHER]


def namespaces_in(fleet: Fleet, member: str) -> set[str]:
    """A member's namespaces."""
    return {space["metadata"]["name"] for space in _living(fleet.members[member].all("Namespace"))}


def is_ready(fleet: Fleet, cluster: str) -> bool:
    """Whether a registered cluster says so."""
    there = fleet.host.find("Cluster", "", cluster) or {}
    return any(one["type"] == "Ready" and one["status"] == "True" for one in there["status"]["conditions"])


def exposed(fleet: Fleet, mcs: Json, slice_: Json) -> Json:
    """The slice with those of its ports that the service lists, by name or by the number in the Service."""
    listed = mcs["spec"].get("ports")
    if not listed or not slice_.get("ports"):
        return slice_
    service = service_of(fleet, mcs) or {"spec": {}}
    offered = {port["port"]: port.get("name", "") for port in service["spec"].get("ports", ())}
    known = {*offered.values(), *(port.get("name", "") for port in slice_["ports"])}
    names = {one["name"] if one.get("name", "") in known - {""} else offered.get(one["port"]) for one in listed}
    return slice_ | {"ports": [port for port in slice_["ports"] if port.get("name", "") in names]}


def provided(fleet: Fleet, mcs: Json) -> list[tuple[str, Json]]:
    """The slices that a MultiClusterService speaks of, each with its provider."""
    about = (mcs["metadata"]["namespace"], mcs["metadata"]["name"])
    return [
        (provider, one)
        for provider in sorted(chosen(fleet, mcs, "providerClusters"))
        for one in own_slices(fleet, provider)
        if (one["metadata"]["namespace"], one["metadata"].get("labels", {}).get(SERVICE_NAME)) == about
    ]


def has_tiers(fleet: Fleet, mcs: Json) -> bool:
    """Whether not every consumer gets the endpoints of all providers."""
    return bool(mcs["metadata"].get("annotations", {}).get(TIERS)) or bool(
        drained(fleet) & chosen(fleet, mcs, "providerClusters")
    )


def drained(fleet: Fleet) -> set[str]:
    """Clusters that are drained for all services."""
    return {one["metadata"]["name"] for one in fleet.host.all("Cluster") if DRAIN in one["metadata"].get("labels", {})}


def ready_in(slices: list[Json]) -> int:
    """How many ready endpoints these slices have."""
    return sum(
        (one.get("conditions") or {}).get("ready") is not False
        for each in slices
        for one in each.get("endpoints") or ()
    )


def offered(fleet: Fleet, mcs: Json, consumer: str) -> set[str]:
    """The providers whose endpoints the consumer is to have once all is handed back, by the tiers of the service."""
    marks = mcs["metadata"].get("annotations", {})
    providers = chosen(fleet, mcs, "providerClusters")
    if not has_tiers(fleet, mcs):
        return providers
    slices = [
        (provider, one)
        for provider, one in provided(fleet, mcs)
        if not one.get("ports") or exposed(fleet, mcs, one)["ports"]
    ]
    ready = {name: ready_in([one for provider, one in slices if provider == name]) for name in providers}
    if consumer not in providers:
        push = (fleet.host.find("Cluster", "", consumer) or {})["spec"]["syncMode"] == "Push"
        about = (mcs["metadata"]["namespace"], mcs["metadata"]["name"])
        theirs = [
            one
            for one in own_slices(fleet, consumer)
            if (one["metadata"]["namespace"], one["metadata"].get("labels", {}).get(SERVICE_NAME)) == about
        ]
        ready[consumer] = ready_in(theirs) if push else 0
    going = (drained(fleet) & providers) - {consumer}
    written = [one.strip() for one in marks.get(TIERS, "").split(";") if one.strip()]
    named = [{consumer} if one == "local" else set(one.partition("=")[2].split(",")) for one in written]
    if marks.get(STRICT) != "true" or not named:
        named.append(set(ready))
    allowed: set[str] = set()
    last = set().union(*named) & going
    for tier in named:
        here = (tier & ready.keys()) - allowed - going
        allowed |= here
        if sum(ready[name] for name in here) >= int(marks.get(MINIMUM, "1")):
            break
    return allowed | (last if not any(ready[name] for name in allowed) else set())


def expected(fleet: Fleet) -> dict[str, list[Wanted]]:
    """What each member is to have."""
    wanted: dict[str, list[Wanted]] = {name: [] for name in fleet.names}
    for mcs in services(fleet):
        namespace = mcs["metadata"]["namespace"]
        for provider, whole in provided(fleet, mcs) if service_of(fleet, mcs) is not None else ():
            one = exposed(fleet, mcs, whole)
            withdrawn = WITHDRAW_AFTER in mcs["metadata"].get("annotations", {}) and not is_ready(fleet, provider)
            if withdrawn or (whole.get("ports") and not one["ports"]):
                continue
            for consumer in sorted(chosen(fleet, mcs, "consumerClusters") - {provider}):
                name = f"{provider}-{one['metadata']['name']}"
                taken = {(own["metadata"]["namespace"], own["metadata"]["name"]) for own in own_slices(fleet, consumer)}
                if provider not in offered(fleet, mcs, consumer):
                    one = {**one, "endpoints": None}
                hindered = namespace not in namespaces_in(fleet, consumer) or (namespace, name) in taken
                wanted[consumer].append(Wanted(copy_of(one, provider), name, hindered))
    return wanted


def asked_exports(fleet: Fleet, member: str) -> set[tuple[str, str]]:
    """What somebody wants exported there: a ServiceExport is on its way to the member."""
    carried = [
        manifest["metadata"]
        for work in _living(fleet.host.all("Work"))
        if work["metadata"]["namespace"] == f"karmada-es-{member}"
        for manifest in work["spec"]["workload"]["manifests"]
        if isinstance(manifest, dict) and manifest["kind"] == "ServiceExport"
    ]
    return {(one["namespace"], one["name"]) for one in carried}


def there_exports(fleet: Fleet, member: str) -> set[tuple[str, str]]:
    """What a member's ServiceExports say."""
    living = _living(fleet.members[member].all("ServiceExport"))
    return {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in living}


def imports(
    fleet: Fleet, exported_in: Callable[[Fleet, str], set[tuple[str, str]]] = asked_exports
) -> list[tuple[str, Copy]]:
    """What the control plane is to have of exported Services: the usual name, and the slice."""
    wanted = []
    homes = {one["metadata"]["name"] for one in _living(fleet.host.all("Namespace"))}
    for member in clusters(fleet):
        exported = exported_in(fleet, member)
        for one in own_slices(fleet, member):
            meta = one["metadata"]
            service = meta.get("labels", {}).get(SERVICE_NAME)
            if meta["namespace"] in homes and (meta["namespace"], service) in exported:
                filed = one | {"metadata": meta | {"labels": {SERVICE_NAME: f"{DERIVED}{service}"}}}
                wanted.append((f"imported-{member}-{meta['name']}", copy_of(filed, "")))
    return sorted(wanted)


def derived(fleet: Fleet) -> dict[str, tuple[str, list[str]]]:
    """The Services that are to be there for ServiceImports: their ports and addresses."""
    return {
        f"{one['metadata']['namespace']}/{DERIVED}{one['metadata']['name']}": (
            json.dumps(one["spec"]["ports"], sort_keys=True),
            one["spec"].get("ips", []),
        )
        for one in _living(fleet.host.all("ServiceImport"))
        if one["spec"]["type"] == "ClusterSetIP"
    }


def present_derived(fleet: Fleet) -> dict[str, tuple[str, list[str]]]:
    """Those that are there."""
    return {
        f"{one['metadata']['namespace']}/{one['metadata']['name']}": (
            json.dumps(one["spec"]["ports"], sort_keys=True),
            [at["ip"] for at in one.get("status", {}).get("loadBalancer", {}).get("ingress") or ()],
        )
        for one in fleet.host.all("Service")
        if one["metadata"]["name"].startswith(DERIVED)
    }


def imported(fleet: Fleet) -> list[tuple[str, Copy]]:
    """What the control plane has of them."""
    found = [one for one in fleet.host.all("EndpointSlice") if one["metadata"]["labels"].get(MANAGED_BY) == IMPORTER]
    return sorted((one["metadata"]["name"], copy_of(one, "")) for one in found)


def present(fleet: Fleet, member: str) -> dict[str, Copy]:
    """The copies that a member has, by namespace and name."""
    found: dict[str, Copy] = {}
    theirs = {key[1] for key in fleet.members[member].theirs}
    for one in fleet.members[member].all("EndpointSlice"):
        meta = one["metadata"]
        if meta.get("labels", {}).get(MANAGED_BY) == DISPATCHER and (meta["namespace"], meta["name"]) not in theirs:
            found[f"{meta['namespace']}/{meta['name']}"] = copy_of(one, meta["annotations"][PROVIDER])
    return found


# --- what a MultiClusterService says of itself ------------------------------------------------------------------------


def conditions(fleet: Fleet, mcs: Json) -> dict[str, tuple[str, str]]:
    """Type to (status, message), of a fleet in which every registered cluster is well. No message is any message."""
    meta = mcs["metadata"]
    service = service_of(fleet, mcs)
    named = {
        field: {one["name"] for one in mcs["spec"].get(field) or ()}
        for field in ("providerClusters", "consumerClusters")
    }
    there = clusters(fleet)
    if service is None or "deletionTimestamp" in service["metadata"]:
        applied = (
            "False",
            f"Service {meta['namespace']}/{meta['name']} does not exist; create it in the control plane",
        )
    else:
        applied = ("True", "Service is propagated to target clusters.")
    slices = provided(fleet, mcs)
    said = {one["type"] for one in mcs.get("status", {}).get("conditions") or ()}
    missing = named["providerClusters"] if applied[0] == "False" else {one for names in named.values() for one in names}
    wanted = {"ServiceApplied": (applied[0], _skipped(applied[1], missing - there))}
    if chosen(fleet, mcs, "consumerClusters"):
        wanted["EndpointsAvailable"] = (str(applied[0] == "True" and available(fleet, mcs)), "")
    targets = chosen(fleet, mcs, "providerClusters") | chosen(fleet, mcs, "consumerClusters")
    if any(is_ready(fleet, one) and meta["namespace"] not in namespaces_in(fleet, one) for one in targets):
        wanted["ServiceApplied"] = ("False", "")
    if not slices:
        if "EndpointSliceDispatched" in said:
            wanted["EndpointSliceDispatched"] = ("True", DISPATCHED)
        return _of_the_ready(fleet, wanted)
    if service is None:
        wanted["EndpointSliceDispatched"] = ("True", DISPATCHED)
        return _of_the_ready(fleet, wanted)
    wanted["EndpointSliceDispatched"] = ("True", _skipped(DISPATCHED, named["consumerClusters"] - there))
    hindered = [one for wishes in expected(fleet).values() for one in wishes if one.hindered]
    if any((one.copy.namespace, one.copy.service) == (meta["namespace"], meta["name"]) for one in hindered):
        wanted["EndpointSliceDispatched"] = ("False", "")
    if mcs["spec"].get("ports"):
        found = any(exposed(fleet, mcs, one)["ports"] for _, one in slices)
        wanted["EndpointSliceDispatched"] = (wanted["EndpointSliceDispatched"][0] if found else "False", "")
    return _of_the_ready(fleet, wanted)


def _of_the_ready(fleet: Fleet, wanted: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """What is certain although a cluster may not be ready."""
    if all(is_ready(fleet, one) for one in clusters(fleet)):
        return wanted
    return {kind: (status, "") for kind, (status, _) in wanted.items() if kind != "EndpointsAvailable"}


def available(fleet: Fleet, mcs: Json) -> bool:
    """Whether each consumer has a ready endpoint for each port, of those that the service lists if it lists some."""
    meta, listed = mcs["metadata"], mcs["spec"].get("ports")
    service = service_of(fleet, mcs) or {"spec": {}}
    ports = {
        port.get("name", "")
        for port in service["spec"].get("ports", ())
        if not listed or any(one["port"] == port["port"] or one.get("name") == port.get("name", "") for one in listed)
    }
    wishes = expected(fleet)
    providers = chosen(fleet, mcs, "providerClusters")

    def offers(consumer: str) -> list[tuple[Any, Any]]:
        copies = [one.copy for one in wishes[consumer] if not one.hindered]
        # What a Pull cluster has of its own the control plane only knows if its agent collects it.
        known = consumer in providers or (fleet.host.find("Cluster", "", consumer) or {})["spec"]["syncMode"] == "Push"
        theirs = [copy_of(one, "") for one in own_slices(fleet, consumer)] if known else []
        return [
            (json.loads(one.endpoints), json.loads(one.ports))
            for one in (*copies, *theirs)
            if (one.namespace, one.service) == (meta["namespace"], meta["name"])
        ]

    return bool(ports) and all(
        any(
            any((one.get("conditions") or {}).get("ready") is not False for one in endpoints or ())
            and (there is None or port in {one.get("name", "") for one in there})
            for endpoints, there in offers(consumer)
        )
        for consumer in chosen(fleet, mcs, "consumerClusters")
        for port in ports
    )


def _skipped(message: str, missing: set[str]) -> str:
    if not missing:
        return message
    message = message if message.endswith(".") else f"{message}."
    return f"{message} Skipped: {', '.join(sorted(missing))}: no such Cluster is registered."


# --- the verdict ------------------------------------------------------------------------------------------------------


def complaints(fleet: Fleet, *, leftovers: frozenset[str] = frozenset(), stripped: bool = False) -> list[str]:
    """What is not as it should be, in a fleet at rest in which every cluster can be reached.

    `leftovers` are members that left while nobody could clean up there: they may have more than they should. If marks
    were `stripped`, Works may have gone without a clean-up, and what only people may delete then stays.
    """
    found: list[str] = [line for server in fleet.servers for line in server.touched()]
    tiered = {
        (one["metadata"]["namespace"], one["metadata"]["name"]) for one in services(fleet) if has_tiers(fleet, one)
    }
    for member, wishes in expected(fleet).items():
        # What is not delivered keeps the endpoints of other tiers.
        unclear = tiered & {(one.copy.namespace, one.copy.service) for one in wishes if one.hindered}
        # What the loss of a finalizer leaves behind is removed from members that are registered.
        exactly = member not in leftovers and not (stripped and member not in clusters(fleet))
        found += _misplaced(member, wishes, present(fleet, member), exactly=exactly, unclear=unclear)
    found += orphans(fleet, _REMOVED if stripped else (*_REMOVED, *_KEPT), leftovers=leftovers)
    found += _imported_wrongly(fleet, exactly=not leftovers)
    if present_derived(fleet) != derived(fleet):
        found.append(f"the control plane has {present_derived(fleet)}, not {derived(fleet)}")
    for mcs in services(fleet):
        found += _said_wrongly(fleet, mcs)
        found += _lacking(fleet, mcs)
    return found


_REMOVED = ("Service", "EndpointSlice")
_KEPT = ("Namespace", "ServiceExport")
"""Kinds of objects whose Work is gone without its execution: removed, and left to people."""


def orphans(fleet: Fleet, kinds: tuple[str, ...], *, leftovers: frozenset[str] = frozenset()) -> list[str]:
    """What members hold that names a Work which is gone, but for members that left before they could be cleaned up."""
    works = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in fleet.host.all("Work")}
    found = []
    for member in sorted(clusters(fleet) - leftovers):
        for kind in kinds:
            for one in fleet.members[member].all(kind):
                meta = one["metadata"]
                named = tuple(
                    meta.get("annotations", {}).get(f"work.karmada.io/{part}") for part in ("namespace", "name")
                )
                ours = meta.get("labels", {}).get("karmada.io/managed") == "true"
                if ours and named[0] == f"karmada-es-{member}" and named not in works:
                    found.append(
                        f"{member} has {kind} {meta.get('namespace', '')}/{meta['name']} of a Work that is gone"
                    )
    return found


def without_endpoints(copy: Copy, of: set[tuple[str, str]]) -> Copy:
    """The copy but for its endpoints, if it is of one of these services."""
    return copy._replace(endpoints="") if (copy.namespace, copy.service) in of else copy


def _misplaced(
    member: str, wishes: list[Wanted], there: dict[str, Copy], *, exactly: bool, unclear: set[tuple[str, str]]
) -> list[str]:
    wanted = sorted(without_endpoints(one.copy, unclear) for one in wishes if not one.hindered)
    found = sorted(without_endpoints(one, unclear) for one in there.values())
    if not exactly:
        return [f"{member} lacks {one}" for one in wanted if one not in found]
    if found != wanted:
        return [f"{member} has {there}, not {wanted}"]
    usual = {f"{one.copy.namespace}/{one.name}" for one in wishes}
    last = [re.compile(rf"{one.copy.namespace}/[0-9a-f]{{20}}-{one.copy.provider}") for one in wishes]
    odd = [
        name
        for name in there
        if name not in usual
        and not any(name.startswith(f"{one}-") for one in usual)
        and not any(one.fullmatch(name) for one in last)
    ]
    return [f"{member} has copies that are called {odd}"] if odd else []


def _imported_wrongly(fleet: Fleet, *, exactly: bool) -> list[str]:
    there, wanted = imported(fleet), imports(fleet)
    # A ServiceExport that is left behind in a member speaks as soon as somebody listens again.
    possible = wanted if exactly else [*wanted, *imports(fleet, there_exports)]
    copies = [copy for _, copy in there]
    # Two slices may ask for one name, and the second one gets another.
    named = all(any(name == usual or name.startswith(f"{usual}-") for usual, _ in possible) for name, _ in there)
    lacks = [copy for _, copy in wanted if copies.count(copy) < [one for _, one in wanted].count(copy)]
    spare = [copy for copy in copies if copies.count(copy) > [one for _, one in possible].count(copy)]
    return [] if named and not lacks and not spare else [f"the control plane has {there}, not {wanted}"]


def _said_wrongly(fleet: Fleet, mcs: Json) -> list[str]:
    said = {one["type"]: (one["status"], one["message"]) for one in mcs.get("status", {}).get("conditions") or ()}
    wrong = []
    for kind, (status, message) in conditions(fleet, mcs).items():
        says = said.get(kind, ("", ""))
        if says[0] != status or (message and says[1] != message):
            wrong.append(f"{mcs['metadata']['name']} says {kind} {says}, not {(status, message)}")
    return wrong


def _lacking(fleet: Fleet, mcs: Json) -> list[str]:
    """Members in which the Service of a MultiClusterService is missing."""
    space, name = mcs["metadata"]["namespace"], mcs["metadata"]["name"]
    if not _living([one] if (one := fleet.host.find("Service", space, name)) else []):
        return []
    return [
        f"{member} lacks the Service {space}/{name}"
        for member in sorted(chosen(fleet, mcs, "providerClusters") | chosen(fleet, mcs, "consumerClusters"))
        if _living([one] if (one := fleet.members[member].find("Namespace", "", space)) else [])
        and fleet.members[member].find("Service", space, name) is None
    ]
