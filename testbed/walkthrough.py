"""The walkthrough of examples/01-walkthrough, as data: objects, commands, and the expected states.

`make demo` shows these steps and the integration tests check them. A step is data and a probe. A probe reads live
copies of the objects; it returns what it saw, or raises NotYet with what it saw instead.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from testbed.errors import NotYet
from testbed.tasks import together
from testbed.view import View

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from testbed.api import Object
    from testbed.bed import Bed

EXAMPLE = Path("examples/01-walkthrough")
REPOSITORY = Path(__file__).resolve().parents[1]

HOST = "karmada"
PROVIDER = "member1"
CONSUMER = "member2"
NAMESPACE = "default"
NAME = "nginx"
CLIENT = "curl"
URL = f"http://{NAME}.{NAMESPACE}"
ANSWER = "Hello, world!\nVersion: 1.0.0\nHostname: "
"""What a Pod answers, up to its name."""

CURL = f"kubectl --context {CONSUMER} exec deploy/{CLIENT} -- curl {URL}"
APPLY = f"kubectl --context {HOST} apply -f {EXAMPLE}/"
DELETE = f"kubectl --context {HOST} delete mcs {NAME}"
SCALE = f"kubectl --context {HOST} scale deployment {NAME} --replicas="

CLUSTERS = "cluster.karmada.io/v1alpha1/clusters"
DEPLOYMENTS = "apps/v1/deployments"
LEASES = "coordination.k8s.io/v1/leases"
MULTICLUSTERSERVICES = "networking.karmada.io/v1alpha1/multiclusterservices"
NAMESPACES = "v1/namespaces"
PODS = "v1/pods"
RESOURCEBINDINGS = "work.karmada.io/v1alpha2/resourcebindings"
SERVICES = "v1/services"
SLICES = "discovery.k8s.io/v1/endpointslices"
WORKS = "work.karmada.io/v1alpha1/works"
KINDS = {
    CLUSTERS: "Cluster",
    LEASES: "Lease",
    MULTICLUSTERSERVICES: "MultiClusterService",
    NAMESPACES: "Namespace",
    RESOURCEBINDINGS: "ResourceBinding",
    SERVICES: "Service",
    SLICES: "EndpointSlice",
    WORKS: "Work",
}
_ON_HOST = (CLUSTERS, LEASES, MULTICLUSTERSERVICES, NAMESPACES, RESOURCEBINDINGS, SERVICES, WORKS)
LEASE = "mcs-controller-manager"
_IN_MEMBERS = (DEPLOYMENTS, NAMESPACES, PODS, SERVICES, SLICES)

BINDING = "nginx-service"
FROM_PROVIDER = f"karmada-es-{PROVIDER}"
TO_CONSUMER = f"karmada-es-{CONSUMER}"

MCS_CONTROLLER = "multiclusterservice-controller"
COLLECT_CONTROLLER = "endpointslice-collect-controller"
DISPATCH_CONTROLLER = "endpointslice-dispatch-controller"
EXECUTION_CONTROLLER = "execution-controller"

CLAIMED_BY = "resourcetemplate.karmada.io/claimed-by"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
PERMANENT_ID = "multiclusterservice.karmada.io/permanent-id"
PROVISION_CLUSTER = "endpointslice.karmada.io/provision-cluster"
SERVICE_NAME = "kubernetes.io/service-name"

THIS = "{namespace}/" + NAME
MCS = f"MultiClusterService {THIS} on {HOST}"
SERVICE = f"Service {THIS} on {HOST}"
IN_BOTH = f"Service {THIS} in {PROVIDER} and {CONSUMER}"
BOUND = f"ResourceBinding {{namespace}}/{BINDING} on {HOST}"
SERVICE_WORKS = f"Works {FROM_PROVIDER}/{{service work}} and {TO_CONSUMER}/{{service work}} on {HOST}"
SLICE = f"EndpointSlice {{namespace}}/{{slice}} in {PROVIDER}"
MCS_WORK = f"Work {FROM_PROVIDER}/{{mcs work}} on {HOST}"
COLLECTED = f"Work {FROM_PROVIDER}/{{slice work}} on {HOST}"
DISPATCHED = f"Work {TO_CONSUMER}/{{slice work}} on {HOST}"
IMPORTED_NAME = f"{PROVIDER}-{{slice}}"
IMPORTED = f"EndpointSlice {{namespace}}/{IMPORTED_NAME} in {CONSUMER}"
CONDITIONS = ("ServiceApplied=True", "EndpointSliceDispatched=True")


@dataclass(kw_only=True)
class Scene:
    """The objects of one walkthrough.

    Attributes:
        view: live copies, see :meth:`follow`.
        names: names that a step's text and later steps need; generated ones are placeholders until they are known.
        seen: values with which later steps compare.
    """

    view: View = field(default_factory=View)
    names: dict[str, str] = field(
        default_factory=lambda: {
            "namespace": NAMESPACE,
            "slice": "nginx-<5 letters>",
            "mcs work": "nginx-747889f6c4",
            "service work": "nginx-64b7849b5",
            "slice work": "nginx-<5 letters>-<hash>",
            "client": f"{CLIENT}-<hash>-<5 letters>",
        }
    )
    seen: dict[str, Any] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """Of the Service and everything that follows it."""
        return self.names["namespace"]

    async def follow(self, bed: Bed) -> None:
        """Follow all objects of the steps; the view must have been entered."""
        collections = [(bed.host, resource) for resource in _ON_HOST]
        collections += [(bed.members[name], resource) for name in (PROVIDER, CONSUMER) for resource in _IN_MEMBERS]
        await together(self.view.follow(plane, resource) for plane, resource in collections)

    def get(self, cluster: str, resource: str, name: str, namespace: str | None = None) -> Object:
        """One object, of the scene's namespace unless another is given; NotYet if it does not exist."""
        namespace = self.namespace if namespace is None else namespace
        found = self.view.find(cluster, resource, namespace, name)
        if found is None:
            full = f"{namespace}/{name}" if namespace else name
            raise NotYet(f"no {KINDS[resource]} {full} {'on' if cluster == HOST else 'in'} {cluster}")
        return found

    def work(self, namespace: str, kind: str, name: str, key: str) -> Object:
        """The Work with this manifest; its own name is remembered as ``key``."""
        for work in self.view.all(HOST, WORKS, namespace):
            content = held(work)
            if content.get("kind") == kind and _identity(content) == (self.namespace, name):
                self.names[key] = work["metadata"]["name"]
                return work
        raise NotYet(f"no Work {namespace}/{self.names[key]} on {HOST}")

    def permanent_id(self) -> str | None:
        """Of the MultiClusterService; None if it has none yet."""
        return labels_of(self.get(HOST, MULTICLUSTERSERVICES, NAME)).get(PERMANENT_ID)

    def provider_pods(self) -> dict[str, str]:
        """The addresses of the provider's Pods that are ready and not being deleted, by name."""
        return {
            pod["metadata"]["name"]: pod["status"]["podIP"]
            for pod in self.view.all(PROVIDER, PODS, self.namespace)
            if labels_of(pod).get("app") == NAME and is_ready(pod) and not pod["metadata"].get("deletionTimestamp")
        }

    def native_slice(self) -> Object:
        """The slice that the provider's own Kubernetes makes."""
        for each in self.view.all(PROVIDER, SLICES, self.namespace):
            labels = labels_of(each)
            if labels.get(SERVICE_NAME) == NAME and labels.get(MANAGED_BY) == "endpointslice-controller.k8s.io":
                self.names["slice"] = each["metadata"]["name"]
                return each
        raise NotYet(f"no EndpointSlice of Service {self.namespace}/{NAME} in {PROVIDER}")

    def same_addresses(self, endpointslice: Object) -> str:
        """The ready addresses of a slice; NotYet unless they are those of the provider's Pods."""
        wanted, there = sorted(self.provider_pods().values()), addresses(endpointslice)
        require(there == wanted, f"addresses {listing(there)}; the Pods in {PROVIDER} have {listing(wanted)}")
        return listing(there)


@dataclass(frozen=True, slots=True)
class Step:
    """One expected state, or one action.

    Attributes:
        key: by which later steps refer to this one.
        title: a few words.
        looking_at: the object and its cluster; :attr:`Scene.names` stand in braces.
        expected: the state it must have.
        observe: a probe; or, if it is a coroutine function, an action or a wait of its own.
        made_by: the controller that is responsible, by its name in logs and events; empty if none is.
        after: key of the step from which the time is counted; empty for the step before, or, in a chapter whose steps
            are observed together, for the chapter's beginning.
        hop: its name in the table of hops from a ready Pod to the first answer; empty if it is not a hop.
        dataplane: it needs a data plane.
    """

    key: str
    title: str
    looking_at: str
    expected: str
    observe: Callable[[Any], str | Awaitable[str]]
    made_by: str = ""
    after: str = ""
    hop: str = ""
    dataplane: bool = False


def step(
    title: str, looking_at: str, expected: str, made_by: str = "", **more: Any
) -> Callable[[Callable[[Any], str | Awaitable[str]]], Step]:
    """Make a function a :class:`Step`, with the function's name as its key."""
    return lambda observe: Step(observe.__name__, title, looking_at, expected, observe, made_by, **more)


@asynccontextmanager
async def following(bed: Bed, namespace: str = NAMESPACE) -> AsyncIterator[Scene]:
    """The scene in a running bed, with another namespace if given."""
    scene = Scene()
    scene.names["namespace"] = namespace
    async with scene.view:
        await scene.follow(bed)
        yield scene


async def observe(scene: Scene, steps: Iterable[Step], timeout: float) -> None:
    """Wait until each step was seen.

    Raises:
        WaitTimeout: with the step and what was last seen.
    """
    for step in steps:
        await scene.view.until(step.title, lambda step=step: step.observe(scene), timeout)  # type: ignore[misc]


def manifests() -> list[Object]:
    """The objects of the example's files, in the order in which ``kubectl apply -f`` takes them."""
    files = sorted((REPOSITORY / EXAMPLE).glob("*.yaml"))
    return [each for file in files for each in yaml.safe_load_all(file.read_text())]


# --- what must be seen once the Service is shared ------------------------------------------------------------------


def pods_ready(count: int) -> Callable[[Scene], str]:
    """A probe for the number of the provider's Pods."""

    def probe(scene: Scene) -> str:
        ready = sorted(scene.provider_pods().values())
        require(len(ready) == count, f"{len(ready)} ready Pods of {count}: {listing(ready)}")
        return f"{count} ready: {listing(ready)}"

    return probe


pods = Step("pods", "Pods", f"Pods {THIS}-… in {PROVIDER}", "2 ready", pods_ready(2))


@step("MultiClusterService adopted", MCS, "finalizer and permanent id", MCS_CONTROLLER)
def adopted(scene: Scene) -> str:
    """The controller has adopted the MultiClusterService."""
    mcs = scene.get(HOST, MULTICLUSTERSERVICES, NAME)
    finalizers, identity = listing(mcs["metadata"].get("finalizers") or ()), labels_of(mcs).get(PERMANENT_ID)
    require("karmada.io/multiclusterservice-controller" in finalizers, f"finalizers: {finalizers}")
    require(bool(identity), f"no label {PERMANENT_ID}")
    return f"finalizer {finalizers}, permanent id {identity}"


@step("MCS-Work", MCS_WORK, "holds the MultiClusterService, suspended", MCS_CONTROLLER, after="adopted")
def mcs_work(scene: Scene) -> str:
    """The Work that requests the collection of the provider's slices."""
    work = scene.work(FROM_PROVIDER, "MultiClusterService", NAME, "mcs work")
    require(work["spec"].get("suspendDispatching") is True, "it is not suspended")
    identity = labels_of(work).get(PERMANENT_ID)
    require(identity == scene.permanent_id(), f"permanent id {identity}")
    return "suspended, holds the MultiClusterService, has its permanent id"


@step("Service claimed", SERVICE, f"labels {CLAIMED_BY} and the permanent id", MCS_CONTROLLER, after="mcs_work")
def claimed(scene: Scene) -> str:
    """The Service on the control plane has the MultiClusterService's labels."""
    labels = labels_of(scene.get(HOST, SERVICES, NAME))
    claim = (labels.get(CLAIMED_BY), labels.get(PERMANENT_ID))
    require(claim == ("MultiClusterService", scene.permanent_id()), f"labels {listing(list(labels))}")
    return f"{CLAIMED_BY}=MultiClusterService, permanent id of the MultiClusterService"


@step("ResourceBinding scheduled", BOUND, f"clusters {PROVIDER} and {CONSUMER}", "default-scheduler", after="claimed")
def scheduled(scene: Scene) -> str:
    """The Service is bound to both members."""
    binding = scene.get(HOST, RESOURCEBINDINGS, BINDING)
    clusters = sorted(each["name"] for each in binding["spec"].get("clusters") or ())
    require(clusters == [PROVIDER, CONSUMER], f"clusters: {listing(clusters)}; {listing(condition_texts(binding))}")
    return f"clusters: {listing(clusters)}"


@step("Works with the Service", SERVICE_WORKS, "hold the Service", "binding-controller", after="scheduled")
def service_works(scene: Scene) -> str:
    """The Works that hold the Service, one for each member."""
    for namespace in (FROM_PROVIDER, TO_CONSUMER):
        scene.work(namespace, "Service", NAME, "service work")
    return "both hold the Service"


@step("Service in both members", IN_BOTH, "exists", EXECUTION_CONTROLLER, after="service_works")
def services(scene: Scene) -> str:
    """The Service in provider and consumer."""
    found = [scene.get(member, SERVICES, NAME) for member in (PROVIDER, CONSUMER)]
    scene.seen["services"] = [each["metadata"]["uid"] for each in found]
    return f"cluster IPs {listing([each['spec']['clusterIP'] for each in found])}"


@step(f"Slice in {PROVIDER}", SLICE, "made by Kubernetes itself: the addresses of the Pods", after="services")
def native(scene: Scene) -> str:
    """The slice that Kubernetes makes from Service and Pods."""
    return f"{scene.native_slice()['metadata']['name']}: {scene.same_addresses(scene.native_slice())}"


@step("Collected Work", COLLECTED, "holds that slice, suspended", COLLECT_CONTROLLER, after="native")
def collected(scene: Scene) -> str:
    """The provider's slice on the control plane."""
    work = scene.work(FROM_PROVIDER, "EndpointSlice", scene.native_slice()["metadata"]["name"], "slice work")
    require(work["spec"].get("suspendDispatching") is True, "it is not suspended")
    return f"suspended, holds EndpointSlice {scene.names['slice']}: {scene.same_addresses(held(work))}"


@step("Dispatched Work", DISPATCHED, f"holds the slice for {CONSUMER}", DISPATCH_CONTROLLER, after="collected")
def dispatched(scene: Scene) -> str:
    """The slice as the consumer gets it."""
    scene.work(FROM_PROVIDER, "EndpointSlice", scene.native_slice()["metadata"]["name"], "slice work")
    work = scene.get(HOST, WORKS, scene.names["slice work"], TO_CONSUMER)
    provider, content = annotations_of(work).get(PROVISION_CLUSTER), held(work)
    require(provider == PROVIDER, f"annotation {PROVISION_CLUSTER} is {provider}")
    return f"for {CONSUMER}, holds {content['metadata']['name']}: {scene.same_addresses(content)}"


@step(f"Slice in {CONSUMER}", IMPORTED, "the same addresses", EXECUTION_CONTROLLER, after="dispatched")
def imported(scene: Scene) -> str:
    """The slice in the consumer, which is updated and never replaced."""
    found = scene.get(CONSUMER, SLICES, f"{PROVIDER}-{scene.native_slice()['metadata']['name']}")
    labels = labels_of(found)
    marked = labels.get(MANAGED_BY) == f"{DISPATCH_CONTROLLER}.karmada.io" and labels.get(SERVICE_NAME) == NAME
    require(marked, f"labels {labels}")
    before = scene.seen.setdefault("imported", found["metadata"]["uid"])
    require(found["metadata"]["uid"] == before, "it was replaced, not updated")
    return f"{scene.same_addresses(found)}; of Service {NAME}"


@step("Conditions", MCS, " and ".join(CONDITIONS), MCS_CONTROLLER, after="dispatched")
def reported(scene: Scene) -> str:
    """The conditions of the MultiClusterService."""
    mcs = scene.get(HOST, MULTICLUSTERSERVICES, NAME)
    told = [f"{kind}={each['status']}" for kind, each in conditions(mcs).items()]
    require(set(CONDITIONS) <= set(told), listing(condition_texts(mcs)))
    return listing(CONDITIONS)


SHARED = (
    pods,
    adopted,
    mcs_work,
    claimed,
    scheduled,
    service_works,
    services,
    native,
    collected,
    dispatched,
    imported,
    reported,
)


# --- what must be seen after the other commands ----------------------------------------------------------------------


def scaled(replicas: int) -> tuple[Step, ...]:
    """The steps from a number of ready Pods to the slice in the consumer."""
    ready = pods_ready(replicas)

    def again(before: Step, title: str, hop: str) -> Step:
        """The step of the first time, once there are so many Pods: the state before does not count."""
        return replace(before, title=title, observe=lambda scene: ready(scene) and before.observe(scene), hop=hop)

    many = "" if replicas == 1 else "s"
    count = f"{replicas} address{many and 'es'}"
    return (
        replace(
            pods,
            title=f"{replicas} Pod{many}",
            expected=f"{replicas} ready",
            observe=ready,
            hop=f"Pod ready in {PROVIDER}",
        ),
        replace(again(native, f"{count} in {PROVIDER}", f"slice written in {PROVIDER}"), after="pods"),
        again(collected, f"{count} in the collected Work", f"collected on {HOST}"),
        again(dispatched, f"{count} in the dispatched Work", f"dispatched on {HOST}"),
        again(imported, f"{count} in {CONSUMER}", f"slice applied in {CONSUMER}"),
    )


@step("Claim released", SERVICE, "claim labels gone", MCS_CONTROLLER)
def released(scene: Scene) -> str:
    """The Service has no label of the MultiClusterService any more."""
    left = [key for key in labels_of(scene.get(HOST, SERVICES, NAME)) if key in (CLAIMED_BY, PERMANENT_ID)]
    require(not left, f"labels {listing(left)}")
    return "claim labels gone"


def _gone(before: Step, title: str, made_by: str, cluster: str, resource: str, namespace: str, name: str) -> Step:
    """The end of an object, looked at by an earlier step."""

    def probe(scene: Scene) -> str:
        found = scene.view.find(cluster, resource, namespace.format(**scene.names), name.format(**scene.names))
        if found is None:
            return "gone"
        finalizers = listing(found["metadata"].get("finalizers") or ())
        deleted = "being deleted" if found["metadata"].get("deletionTimestamp") else "not deleted"
        raise NotYet(f"still there, {deleted}, finalizers: {finalizers}")

    return Step(f"{before.key}_gone", title, before.looking_at, "gone", probe, made_by)


DELETED = (
    released,
    _gone(mcs_work, "MCS-Work gone", MCS_CONTROLLER, HOST, WORKS, FROM_PROVIDER, "{mcs work}"),
    _gone(collected, "Collected Work gone", DISPATCH_CONTROLLER, HOST, WORKS, FROM_PROVIDER, "{slice work}"),
    _gone(
        imported, f"Slice gone from {CONSUMER}", EXECUTION_CONTROLLER, CONSUMER, SLICES, "{namespace}", IMPORTED_NAME
    ),
    _gone(dispatched, "Dispatched Work gone", EXECUTION_CONTROLLER, HOST, WORKS, TO_CONSUMER, "{slice work}"),
    _gone(adopted, "MultiClusterService gone", MCS_CONTROLLER, HOST, MULTICLUSTERSERVICES, "{namespace}", NAME),
)


@step("Service still in both members", IN_BOTH, "the same objects as before")
def stayed(scene: Scene) -> str:
    """The objects that do not belong to the MultiClusterService."""
    uids = [scene.get(member, SERVICES, NAME)["metadata"]["uid"] for member in (PROVIDER, CONSUMER)]
    require(uids == scene.seen["services"], "a Service was replaced")
    scene.native_slice()
    scene.get(HOST, RESOURCEBINDINGS, BINDING)
    return f"the same objects as before; so are ResourceBinding {BINDING} and {PROVIDER}'s own EndpointSlice"


# --- objects ---------------------------------------------------------------------------------------------------------


def require(holds: bool, otherwise: str) -> None:
    """NotYet, with what is there instead, unless it holds."""
    if not holds:
        raise NotYet(otherwise)


def conditions(of: Object) -> dict[str, Object]:
    """An object's conditions by type."""
    return {each["type"]: each for each in of.get("status", {}).get("conditions") or ()}


def condition_texts(of: Object) -> list[str]:
    """An object's conditions, one line each."""
    return [
        f"{kind}={each['status']} {each.get('reason', '')}: {each.get('message', '')}"
        for kind, each in conditions(of).items()
    ]


def is_ready(of: Object) -> bool:
    """Whether the condition Ready is True."""
    return bool(conditions(of).get("Ready", {}).get("status") == "True")


def labels_of(of: Object) -> dict[str, str]:
    """An object's labels."""
    return of["metadata"].get("labels") or {}


def annotations_of(of: Object) -> dict[str, str]:
    """An object's annotations."""
    return of["metadata"].get("annotations") or {}


def held(work: Object) -> Object:
    """The manifest in a Work, or an empty object."""
    found: list[Object] = work["spec"].get("workload", {}).get("manifests") or [{}]
    return found[0]


def addresses(endpointslice: Object) -> list[str]:
    """The addresses of an EndpointSlice's ready endpoints, sorted."""
    return sorted(
        address
        for endpoint in endpointslice.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint["addresses"]
    )


def listing(names: Sequence[str]) -> str:
    """Names for a sentence."""
    return ", ".join(names) or "none"


def _identity(of: Object) -> tuple[str, str]:
    return of["metadata"].get("namespace", ""), of["metadata"]["name"]
