"""What the fleet of the crash points looks like, and the changes in the midst of which a process is killed there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace, work_name
from tests.support.builders import condition, export_work, mcs, service, service_export, service_import
from tests.support.fleet_model import Fleet, fresh, marked, namespace
from tests.support.fleet_model_foreign import own, scatter_foreign_objects
from tests.support.fleet_model_oracle import complaints

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fleet_model_process import Kind

    Change = Callable[[Fleet], object]

NAMES = ("a", "a-b", "m")
GRACE_SECONDS = 300
PORTS = [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "metrics", "port": 9090, "protocol": "TCP"}]


async def at_rest(flow: Flow, kinds: tuple[Kind, ...]) -> Any:
    """The servers of a fleet that has been prepared and come to rest."""
    fleet = Fleet(*NAMES, kinds=kinds)
    there = [name for name in NAMES if name != flow.absent]
    for name in ("default", "shop"):
        fleet.host.seed(marked(namespace(name)))
    for name in there:
        fleet.register(name)
    for member in fleet.members.values():
        member.seed(namespace("default"))
    fleet.start()
    assert await fleet.rest() == []
    scatter_foreign_objects(fleet, there)
    beginning(fleet)
    flow.prepare(fleet)
    assert await fleet.rest() == []
    # What others have is compared with Works at the first lists, and said to be somebody's.
    await fleet.crash()
    assert await fleet.rest() == []
    for server in fleet.servers:
        server.accept()
    assert complaints(fleet) == []
    await fleet.stop()
    return fleet.snapshot()


def beginning(fleet: Fleet) -> None:
    """Two services, two providers whose slices ask for one name, two consumers."""
    ports = [{"name": "http", "port": 80}, {"name": "metrics", "port": 90}]
    fleet.host.seed(fresh(marked(service("web", "shop", ports=ports), finalizer=True)))
    fleet.host.seed(fresh(marked(service("api", "shop"), finalizer=True)))
    ask(fleet, "api", ["a"], ["m"])
    for provider, name, of in (("a", "b-c", "web"), ("a", "d", "web"), ("a", "e", "api"), ("a-b", "c", "web")):
        fleet.members[provider].add_theirs(own(provider, name, "shop", of, ["10.0.0.1", "10.0.0.2"]) | {"ports": PORTS})


def ask(fleet: Fleet, name: str, providers: list[str], consumers: list[str]) -> None:
    """Somebody makes a MultiClusterService."""
    made = mcs(name, "shop", providers=providers, consumers=consumers, adopted=False, permanent_id="")
    fleet.host.seed(fresh(marked(made, finalizer=True)))


def of(*changes: Change) -> Change:
    """One after the other, at one moment."""

    def change(fleet: Fleet) -> None:
        for one in changes:
            one(fleet)

    return change


def nothing(_: Fleet) -> None:
    """No change."""


def web(fleet: Fleet) -> None:
    """A service with two providers and two consumers, one of which is both."""
    ask(fleet, "web", ["a", "a-b"], ["a", "m"])


def web_says(patch: dict[str, Any]) -> Change:
    """Somebody changes it."""
    return lambda fleet: fleet.host.edit(wk.MCS_KIND, "shop", "web", patch)


def lists(field: str, *names: str) -> Change:
    """Somebody changes a list of clusters."""
    return web_says({"spec": {field: [{"name": name} for name in names]}})


def web_goes(fleet: Fleet) -> None:
    """Somebody deletes it."""
    fleet.host.remove(wk.MCS_KIND, "shop", "web")


def slice_changes(patch: dict[str, Any]) -> Change:
    """A provider's slice changes."""
    return lambda fleet: fleet.members["a"].change_theirs(wk.SLICE_KIND, "shop", "b-c", patch)


def slice_comes(provider: str, name: str) -> Change:
    """A provider gets another slice."""
    content = own(provider, name, "shop", "web", ["10.0.0.9"]) | {"ports": PORTS}
    return lambda fleet: fleet.members[provider].add_theirs(content)


def slice_goes(fleet: Fleet) -> None:
    """A provider's slice goes."""
    fleet.members["a"].remove_theirs(wk.SLICE_KIND, "shop", "b-c")


def export(fleet: Fleet) -> None:
    """Somebody brings a ServiceExport of the same Service to a provider."""
    fleet.host.seed(fresh(export_work("a", service_export("web", "shop"), applied="")))


def export_goes(fleet: Fleet) -> None:
    """It is withdrawn."""
    name = work_name(wk.SERVICE_EXPORT_KIND, "shop", "web")
    fleet.host.remove("Work", execution_namespace("a"), name)


def imported(fleet: Fleet) -> None:
    """Somebody makes a ServiceImport."""
    fleet.host.seed(fresh(marked(service_import("web", "shop"))))


def import_says(spec: dict[str, Any]) -> Change:
    """Somebody changes it."""
    return lambda fleet: fleet.host.edit(wk.SERVICE_IMPORT_KIND, "shop", "web", {"spec": spec})


def import_goes(fleet: Fleet) -> None:
    """Somebody deletes it."""
    fleet.host.remove(wk.SERVICE_IMPORT_KIND, "shop", "web")


def cluster_goes(fleet: Fleet) -> None:
    """Somebody unregisters the consumer that provides nothing."""
    fleet.host.remove("Cluster", "", "m")


def namespace_goes(fleet: Fleet) -> None:
    """Somebody deletes the namespace of everything."""
    fleet.host.remove("Namespace", "", "shop")


def is_unwell(fleet: Fleet) -> None:
    """A provider is not ready from now on."""
    there = fleet.host.find("Cluster", "", "a-b")
    assert there is not None
    since = {"lastTransitionTime": fleet.clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")}
    others = [one for one in there["status"]["conditions"] if one["type"] != "Ready"]
    conditions = [*others, condition("Ready", "False") | since]
    fleet.host.edit("Cluster", "", "a-b", {"status": {"conditions": conditions}})


class Flow(NamedTuple):
    """A fleet that is at rest, and what happens then.

    Attributes:
        prepare: what is done before it comes to rest.
        change: what happens.
        absent: a cluster that is not registered before.
    """

    prepare: Change
    change: Change
    absent: str = ""


_withdraws = web_says({"metadata": {"annotations": {wk.WITHDRAW_AFTER: f"{GRACE_SECONDS}s"}}})

_prefers_a = web_says({"metadata": {"annotations": {wk.TIERS: "clusters=a"}}})


def _ready(addresses: list[str]) -> Change:
    """So many endpoints of the preferred provider are ready, and one that is not."""
    listed = [{"addresses": [one], "conditions": {"ready": True}} for one in addresses]
    endpoints = [*listed, {"addresses": ["10.8.8.8"], "conditions": {"ready": False}}]

    def change(fleet: Fleet) -> None:
        for name in ("b-c", "d"):
            fleet.members["a"].change_theirs(wk.SLICE_KIND, "shop", name, {"endpoints": endpoints})

    return change


_fails, _is_back = _ready([]), _ready(["10.9.9.9"])

FLOWS: dict[str, Flow] = {
    "a service is created": Flow(nothing, web),
    "a service is deleted": Flow(web, web_goes),
    "a service stops being CrossCluster": Flow(web, web_says({"spec": {"types": ["LoadBalancer"]}})),
    "a service prefers a provider": Flow(web, _prefers_a),
    "the preferred provider fails": Flow(of(web, _prefers_a), _fails),
    "the preferred provider is back": Flow(of(web, _prefers_a, _fails), _is_back),
    "a cluster is drained": Flow(
        web, lambda fleet: fleet.host.edit("Cluster", "", "a", {"metadata": {"labels": {wk.DRAIN: ""}}})
    ),
    "a service lists ports": Flow(web, web_says({"spec": {"ports": [{"port": 80}]}})),
    "a provider is put on": Flow(of(web, lists("providerClusters", "a-b")), lists("providerClusters", "a", "a-b")),
    "a provider is taken off": Flow(web, lists("providerClusters", "a-b")),
    "a consumer is put on": Flow(of(web, lists("consumerClusters", "m")), lists("consumerClusters", "a", "m")),
    "a consumer is taken off": Flow(web, lists("consumerClusters", "m")),
    "lists are turned round": Flow(web, lists("consumerClusters", "a-b")),
    "endpoints change": Flow(web, slice_changes({"endpoints": [{"addresses": ["10.9.9.9"]}]})),
    "a slice is created": Flow(web, slice_comes("a-b", "new")),
    "a slice moves to another service": Flow(web, slice_changes({"metadata": {"labels": {wk.SERVICE_NAME: "api"}}})),
    "a slice is deleted": Flow(web, slice_goes),
    "the Service is deleted": Flow(web, lambda fleet: fleet.host.remove("Service", "shop", "web")),
    "a namespace is deleted": Flow(web, namespace_goes),
    "a cluster joins": Flow(
        of(web, lists("providerClusters"), lists("consumerClusters")), lambda fleet: fleet.register("m"), absent="m"
    ),
    "a cluster is removed": Flow(web, cluster_goes),
    "a provider is not ready for too long": Flow(of(web, _withdraws), is_unwell),
    "a Service is exported": Flow(nothing, export),
    "an export is withdrawn": Flow(export, export_goes),
    "endpoints of an exported Service change": Flow(
        of(export, web), slice_changes({"endpoints": [{"addresses": ["10.9.9.9"]}]})
    ),
    "a service is exported too": Flow(web, export),
    "an exported service is created": Flow(export, web),
    "an exported service is deleted": Flow(of(web, export), web_goes),
    "the export of a service is withdrawn": Flow(of(web, export), export_goes),
    "an import is created": Flow(export, imported),
    "an import is changed": Flow(
        of(export, imported), import_says({"ports": [{"port": 81, "protocol": "TCP"}], "ips": ["10.7.7.7"]})
    ),
    "an import is deleted": Flow(of(export, imported), import_goes),
}
