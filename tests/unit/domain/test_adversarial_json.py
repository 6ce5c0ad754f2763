"""Whatever objects hold, the functions of the domain answer, or raise one of the project's own errors.

Each function is called with objects that went through the production decoders, one of them mutated. What a parameter
gets is told by its annotation; `CALLS` are functions that take for granted what they are called with, and `WITHOUT` the
ones that no observed object gets to. A new function is called as well, or has to be put there.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

import mcs_controller.domain
import mcs_controller.standalone.domain
from informers.cache.event import Event
from informers.errors import UNDECODABLE, KubeError
from informers.meta import Condition, OwnerReference
from informers.resource import GroupVersionKind
from mcs_controller.api import resources
from mcs_controller.api.common import Unstructured, unstructured_decoder
from mcs_controller.api.shapes import CONFIGMAP, ENDPOINTSLICE, NAMESPACE, SERVICE
from mcs_controller.domain import collect, dispatch, works
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.addresses import AddressRules, parse_suspicious
from mcs_controller.domain.bindings import ForeignController
from mcs_controller.domain.endpoint_selection import ConsumerView, Counts, decide, endpoints_in
from mcs_controller.domain.naming import NotAnExecutionNamespace
from mcs_controller.domain.reserved import RESERVED
from mcs_controller.domain.tiers import DEFAULTS, KEYS, SelectionRules, rules_for, tiers_of
from mcs_controller.domain.works import Role, SliceRef, WorkTerminating, origin_of, role_of
from mcs_controller.standalone.domain import binding as bindings
from mcs_controller.standalone.domain import (
    execution,
    immutable,
    member_ownership,
    policy_spec,
    scheduling,
    stale_objects,
)
from mcs_controller.standalone.reconcilers.binding_status import decode_loadbalancer
from tests.support import builders as build
from tests.support.adversarial import mutated
from tests.support.managed_fields import entry
from tests.support.scale import SCALE

OWN_ERRORS = (
    *(KubeError, ForeignController, NotAnExecutionNamespace, WorkTerminating, execution.InvalidManifest),
    *(execution.NotOurs, immutable.Immutable, policy_spec.UnsupportedPolicy),
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)

# --- the objects, as servers send them --------------------------------------------------------------------------------

_SERVICE = build.service(
    labels={wk.MANAGED: "true"},
    annotations={wk.WORK_NAMESPACE: "karmada-es-m1", wk.WORK_NAME: "web"},
    type="LoadBalancer",
    clusterIP="10.0.0.1",
    clusterIPs=["10.0.0.1"],
    ipFamilies=["IPv4"],
    ports=[{"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080, "targetPort": 80}],
) | {"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}]}}}
_SERVICE["metadata"]["managedFields"] = [entry(_SERVICE), entry(_SERVICE, "kubectl")]
_COPY = build.slice_(
    "m1-web-1",
    labels={wk.MANAGED: "true", wk.SLICE_MANAGED_BY: wk.SLICE_DISPATCHER},
    annotations={wk.WORK_NAMESPACE: "karmada-es-m2", wk.WORK_NAME: "w", wk.PROVISION_CLUSTER: "m1"},
)
_CARRIED = build.work("m1", "web", _SERVICE, annotations={}) | {
    "status": {
        "conditions": [build.condition(wk.APPLIED)],
        "manifestStatuses": [
            {
                "identifier": {"ordinal": 0, "version": "v1", "kind": "Service", "namespace": "default", "name": "web"},
                "health": "Healthy",
                "status": _SERVICE["status"],
            }
        ],
    }
}
_NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "uid": "n"}, "spec": {}}
_THING: dict[str, Any] = {
    "apiVersion": "example.io/v1",
    "kind": "Thing",
    "metadata": {"name": "thing", "namespace": "default", "uid": "t"},
    "spec": {
        "ports": [{"port": 1, "protocol": "TCP"}],
        "containers": [{"name": "a", "image": "i"}],
        "selector": {"a": "b"},
    },
}
_THING["metadata"]["managedFields"] = [entry(_THING), entry(_THING, "kubectl")]
_OWNERSHIP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": member_ownership.OBJECT, "namespace": wk.SYSTEM_NAMESPACE, "uid": "c"},
    "data": {"control-plane": "uid", "cluster": "m1"},
}
_POLICY = {
    "apiVersion": "policy.karmada.io/v1alpha1",
    "kind": "PropagationPolicy",
    "metadata": {"name": "p", "namespace": "default", "uid": "p", "labels": {wk.POLICY_PERMANENT_ID: "id"}},
    "spec": {
        "resourceSelectors": [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "labelSelector": {
                    "matchLabels": {"a": "b"},
                    "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}],
                },
            }
        ],
        "placement": {
            "clusterAffinity": {"clusterNames": ["m1"]},
            "replicaScheduling": {"replicaSchedulingType": "Duplicated"},
        },
        "priority": 1,
    },
}
_BINDING = build.binding(
    placed=["m1", "m2"],
    labels={wk.BINDING_PERMANENT_ID: "b"},
    annotations={wk.APPLIED_PLACEMENT: '{"clusterAffinity":{"clusterNames":["m1"]}}'},
    clusters=[{"name": "m1"}],
    gracefulEvictionTasks=[{"fromCluster": "m2"}],
) | {"status": {"conditions": [build.condition("Scheduled")], "aggregatedStatus": [{"clusterName": "m1"}]}}
_MCS = build.mcs(providers=["m1"], consumers=["m1", "m2"], conditions=[build.condition("ServiceApplied")])
_MCS["spec"]["ports"] = [{"name": "http", "port": 80}]
_MCS["metadata"]["annotations"] = {
    wk.WITHDRAW_AFTER: "30s",
    wk.TIERS: "local; clusters=m1; selector=a in (b); same-zone; same-region; same-provider; any",
    wk.TIER_MINIMUM: "50%",
    wk.TIER_STRICT: "true",
    wk.HAND_BACK_AFTER: "0",
    wk.HAND_BACK_STEP: "50%",
    wk.HAND_BACK_EVERY: "1s",
    wk.DRAIN: "m2",
}

SENT: Final[list[tuple[str, Any, Callable[[bytes], Any]]]] = [
    ("Work", build.collected_work("m1"), resources.WORKS.decode),
    ("Work", build.dispatched_work("m1", "m2"), resources.WORKS.decode),
    ("Work", build.exported_work("m1"), resources.WORKS.decode),
    ("Work", build.export_work("m1"), resources.WORKS.decode),
    ("Work", build.mcs_work("m1"), resources.WORKS.decode),
    ("Work", _CARRIED, resources.WORKS.decode),
    ("Work", build.work("m1", "ns", _NAMESPACE), resources.WORKS.decode),
    ("Unstructured", _SERVICE, unstructured_decoder(SERVICE, applied=True)),
    ("Unstructured", _COPY, unstructured_decoder(ENDPOINTSLICE)),
    ("Unstructured", _NAMESPACE, unstructured_decoder(NAMESPACE, applied=True)),
    ("Unstructured", _THING, unstructured_decoder(GroupVersionKind("example.io/v1", "Thing"), applied=True)),
    ("Unstructured", _OWNERSHIP, unstructured_decoder(CONFIGMAP)),
    ("EndpointSlice", build.slice_(), resources.ENDPOINTSLICES.decode),
    ("EndpointSlice", _COPY, resources.ENDPOINTSLICES.decode),
    ("Service", _SERVICE, resources.SERVICES.decode),
    ("MultiClusterService", _MCS, resources.MULTICLUSTERSERVICES.decode),
    ("ServiceImport", build.service_import(ips=["10.0.0.1"]), resources.SERVICEIMPORTS.decode),
    ("ServiceExport", build.service_export(), resources.SERVICEEXPORTS.decode),
    ("Cluster", build.cluster("m1"), resources.CLUSTERS.decode),
    ("Cluster", build.cluster("m2"), resources.CLUSTERS.decode),
    ("ResourceBinding", _BINDING, resources.RESOURCEBINDINGS.decode),
    ("PropagationPolicy", _POLICY, resources.PROPAGATIONPOLICIES.decode),
    ("Namespace", _NAMESPACE, resources.NAMESPACES.decode),
    ("LoadBalancer", _SERVICE, decode_loadbalancer),
]
VALID: Final = [decode(msgspec.json.encode(content)) for _, content, decode in SENT]


class Found:
    """A store, or another way to look things up, that has one object under every name."""

    def __init__(self, *objects: Any) -> None:
        self._objects = objects

    def get(self, *_: Any) -> Any:
        return self._objects[0] if self._objects else None

    def values(self) -> list[Any]:
        return list(self._objects)

    def by_index(self, *_: Any) -> list[Any]:
        return list(self._objects)


class World:
    """All objects, with one of them mutated."""

    def __init__(self, place: int, changed: Any) -> None:
        self._objects = [*VALID]
        self._objects[place] = changed
        self._place = place

    def of(self, kind: str) -> list[Any]:
        """The objects of that kind; only the mutated one, if it is one of them."""
        if SENT[self._place][0] == kind:
            return [self._objects[self._place]]
        return [one for (its, _, _), one in zip(SENT, self._objects, strict=True) if its == kind]

    def all(self, kind: str) -> list[Any]:
        """All objects of that kind."""
        return [one for (its, _, _), one in zip(SENT, self._objects, strict=True) if its == kind]

    def manifests(self) -> Iterator[tuple[Any, Any]]:
        """What Works carry, ready to be applied."""
        for work in self.of("Work"):
            for one in work.manifests:
                try:
                    yield work, execution.manifest_of(work, one)
                except execution.InvalidManifest:
                    continue

    def values(self, annotation: str) -> list[Any] | None:
        """What a parameter of that annotation may get; None if nobody knows."""
        if annotation in PLAIN:
            return PLAIN[annotation]
        if annotation.endswith(" | None"):
            inner = self.values(annotation.removesuffix(" | None"))
            return None if inner is None else [*inner, None]
        for sort in ("Iterable", "Sequence", "Collection"):
            if annotation.startswith(f"{sort}[") and annotation[len(sort) + 1 : -1] in KINDS:
                return [self.all(annotation[len(sort) + 1 : -1]), self.of(annotation[len(sort) + 1 : -1])]
        if annotation in KINDS:
            return self.of(annotation)
        if annotation.startswith("Store["):
            return [Found(*self.all(annotation[6:-1]))]
        match annotation:
            case "KubeObject":
                return [*self.of("Unstructured"), *self.of("ResourceBinding")]
            case "ObjectMeta":
                return [self._objects[self._place].metadata]
            case "Clusters":
                return [_Registered(self.all("Cluster"))]
            case "Manifest":
                return [one for work in self.of("Work") for one in work.manifests]
            case "Callable[[str, str], Work | None]" | "FindWork":
                return [Found(one).get for one in self.of("Work")] + [Found().get]
            case "Callable[[str], Cluster | None]":
                return [_Registered(self.all("Cluster")).get]
            case "Callable[[Problem], Iterable[EndpointSlice] | str | None]":
                return [lambda _: self.of("EndpointSlice")]
            case "Event[Work]":
                return [Event(old=a, new=b) for a in self.of("Work") for b in self.all("Work")[:2]]
            case "Mapping[CollectFeature, Wants]":
                return [{collect.MCS: wants, collect.EXPORT: wants} for wants in (_yes, _no, _unknown)]
            case "Collection[CollectFeature]":
                return [[collect.MCS]]
            case "Identities":
                return [member_ownership.Identities("uid", "member", {"m2": "member"})]
            case "Surroundings":
                return [_around()]
            case _:
                return None


KINDS: Final = frozenset(kind for kind, _, _ in SENT)
PLAIN: Final[dict[str, list[Any]]] = {
    "str": ["m1"],
    "bool": [True, False],
    "int": [0],
    "float": [30.0],
    "datetime": [NOW],
    "Callable[[], str]": [lambda: "id"],
    "Mapping[str, float]": [{}],
    "Collection[str]": [()],
    "Iterable[str]": [("m1",)],
    "ReservedObjects": [RESERVED],
    "PolicyLimits": [policy_spec.PolicyLimits()],
    "SliceRef": [SliceRef("m1", "default", "web-1")],
    "GroupVersionKind": [bindings.SERVICE],
    "OwnerReference": [OwnerReference("v1", "Namespace", "n", "u")],
    "Sequence[Condition]": [[Condition("Ready", "True")]],
    "Sequence[JsonObject] | None": [[], None],
    "frozenset[str] | None": [None, frozenset({"m1"})],
    "tuple[re.Pattern[str], ...]": [()],
}


class _Registered(Found):
    def get(self, name: Any = "") -> Any:
        return next((one for one in self._objects if one.metadata.name == name), self._objects[0])

    def __init__(self, clusters: Iterable[Any]) -> None:
        super().__init__(*clusters)


def _yes(_: object) -> bool:
    return True


def _no(_: object) -> bool:
    return False


def _unknown(_: object) -> None:
    return None


def _around() -> stale_objects.Surroundings:
    return stale_objects.Surroundings(
        cluster="m1",
        exists=lambda *_: False,
        registered=_yes,
        earlier=("m2",),
        carried=_no,
        coming=_no,
        owned_since=NOW,
    )


# --- functions that take something for granted ------------------------------------------------------------------------


def _dispatch(world: World) -> Iterator[tuple[Any, ...]]:
    strict = AddressRules(parse_suspicious(["10.0.0.0/8"]), drop_suspicious=True)
    told = dispatch.DispatchPolicy(strip_topology=True, withdraw_after=1.0, addresses=strict)
    for policy_ in (dispatch.DispatchPolicy(), told):
        for mcs, service in product(world.of("MultiClusterService"), world.of("Service")):
            there = world.all("Work")
            collected = [work for work in there if role_of(work) is Role.COLLECTED]
            copies = [work for work in there if role_of(work) is Role.DISPATCHED]
            context = dispatch.DispatchContext(
                service=Found(mcs).get,
                template=Found(service).get,
                gone_for=lambda _: None,
                clusters=_Registered(world.all("Cluster")),
                find=Found().get,
                find_by_copy_name=Found(*copies).by_index,
                new_id=lambda: "id",
                policy=policy_,
            )
            for work in (*collected, *copies):
                origin = origin_of(work)
                if origin is not None:
                    yield origin, [work, *collected], copies, context, NOW


def _collect(world: World) -> Iterator[tuple[Any, ...]]:
    collected = [work for work in world.all("Work") if role_of(work) is Role.COLLECTED]
    for slice_ in world.of("EndpointSlice"):
        for wants in (_yes, _no, _unknown):
            sources = {collect.MCS: wants, collect.EXPORT: wants}
            origin = SliceRef("m1", slice_.metadata.namespace, slice_.metadata.name)
            yield origin, slice_, sources, collected, Found().get, lambda: "id"
            yield origin, slice_, sources, [], Found().get, lambda: "id"


def _imported(world: World) -> Iterator[tuple[Any, ...]]:
    for work in (*world.of("Work"), None):
        for slices in (world.of("EndpointSlice"), []):
            yield work, slices, Found(*slices).get


def _onto(world: World) -> Iterator[tuple[Any, Any, Any]]:
    for (work, manifest), observed in product(world.manifests(), world.of("Unstructured")):
        yield work, manifest, observed
    for observed in world.of("Unstructured"):
        for valid in (one for one in VALID if isinstance(one, Unstructured)):
            yield world.all("Work")[0], valid.content, observed


def _policies(world: World) -> Iterator[tuple[Any, ...]]:
    for one in world.of("PropagationPolicy"):
        spec = policy_spec.parse_policy(one)
        for template, observed in product(world.of("Unstructured"), [*world.of("ResourceBinding"), None]):
            yield one, spec, template, observed, lambda: "id"


def _bound(world: World) -> Iterator[tuple[Any, Any]]:
    for binding, template in product(world.of("ResourceBinding"), world.of("Unstructured")):
        if wk.BINDING_PERMANENT_ID in binding.metadata.labels:  # `plan_adopt` comes first
            yield binding, template


def _intents(world: World) -> Iterator[tuple[Any, ...]]:
    for binding, template in _bound(world):
        for intent, observed in product(bindings.plan_works(binding, template), [*world.of("Work"), None]):
            yield intent, observed, lambda: "id"


def _predicted(world: World) -> Iterator[tuple[Any, ...]]:
    for intent, observed, new_id in _intents(world):
        write = works.plan_work(intent, observed, new_id)
        if write is not None:
            yield write, observed


def _exposed(world: World) -> Iterator[tuple[Any, ...]]:
    for mcs, service in product(world.of("MultiClusterService"), [*world.of("Service"), None]):
        for _, manifest in world.manifests():
            yield mcs.ports, service, manifest.get("ports") or ()


def _decided(world: World) -> Iterator[tuple[Any, ...]]:
    for binding in world.of("ResourceBinding"):
        decision = scheduling.schedule(binding, _Registered(world.all("Cluster")).get)
        yield binding, decision, "2026-01-01T00:00:00Z"


def _rules(world: World) -> Iterator[SelectionRules]:
    for mcs, namespace in product(world.of("MultiClusterService"), world.of("Namespace")):
        for draining in (True, False):
            found = rules_for(mcs.metadata.annotations, namespace.metadata.annotations, DEFAULTS, draining=draining)
            if found.rules is not None:
                yield found.rules


def _tiers(world: World) -> Iterator[tuple[Any, ...]]:
    clusters = _Registered(world.all("Cluster"))
    for rules, consumer in product(_rules(world), ("m1", "m2")):
        yield rules, consumer, ["m1", "m2", *(one.metadata.name for one in world.of("Cluster"))], clusters


def _views(world: World) -> Iterator[tuple[Any, ...]]:
    for rules, consumer, providers, clusters in _tiers(world):
        for work in world.all("Work"):
            origin = origin_of(work) or SliceRef("m1", "default", "web-1")
            source = endpoints_in(work, origin)
            held = {origin: frozenset(one.address for one in source)}
            view = ConsumerView(
                name=consumer,
                tiers=tiers_of(rules, consumer, providers, clusters),
                source=source,
                own=Counts(),
                held=held,
                delivered=frozenset(held),
            )
            for before in (None, decide(rules, view, None, 0.0)):
                yield rules, view, before, 60.0


CALLS: Final[dict[str, Callable[[World], Iterable[tuple[Any, ...]]]]] = {
    "dispatch.plan_dispatch": _dispatch,
    "collect.plan_collect": _collect,
    "import_slices.plan_import": _imported,
    "multiclusterservice.plan_provider_works": lambda world: (
        (mcs, _Registered(world.all("Cluster")), world.all("Work"), Found(work).get, lambda: "id")
        for mcs in world.of("MultiClusterService")
        if wk.MCS_PERMANENT_ID in mcs.metadata.labels  # as above
        for work in world.of("Work")
    ),
    "multiclusterservice.plan_binding": lambda world: (
        (mcs, service, ("m1",), observed, lambda: "id")
        for mcs in world.of("MultiClusterService")
        if wk.MCS_PERMANENT_ID in mcs.metadata.labels
        for service in world.of("Service")
        for observed in (*world.of("ResourceBinding"), None)
    ),
    "multiclusterservice.plan_claim": lambda world: (
        (service, mcs)
        for mcs in world.of("MultiClusterService")
        if wk.MCS_PERMANENT_ID in mcs.metadata.labels
        for service in world.of("Service")
    ),
    "endpoint_selection.decide": _views,
    "tiers.tiers_of": _tiers,
    "tiers.rules_for": lambda world: (
        (mcs.metadata.annotations, namespace.metadata.annotations, DEFAULTS)
        for mcs, namespace in product(world.of("MultiClusterService"), world.of("Namespace"))
    ),
    "tiers.problem_with": lambda world: (
        (key, text)
        for mcs in world.of("MultiClusterService")
        for text in mcs.metadata.annotations.values()
        for key in KEYS
    ),
    "endpoint_counts.count_tiers": lambda world: ((world.all("Work"),),),
    "dispatch.endpoints_to_dispatch": lambda world: (
        (work, origin, mcs, service, dispatch.DispatchPolicy())
        for work in world.all("Work")
        for mcs in world.of("MultiClusterService")
        for service in (*world.of("Service"), None)
        if (origin := origin_of(work)) is not None
    ),
    "endpoint_counts.count_endpoints": lambda world: (
        (mcs, world.all("Work"), _Registered(world.all("Cluster"))) for mcs in world.of("MultiClusterService")
    ),
    "ports.expose": _exposed,
    "ports.without_topology": lambda world: ((one.get("endpoints") or (),) for _, one in world.manifests()),
    "works.finish_manifest": lambda world: ((intent, "id") for intent, _, _ in _intents(world)),
    "works.plan_work": _intents,
    "works.predict_result": _predicted,
    "works.prune": lambda world: ((manifest,) for _, manifest in world.manifests()),
    "works.same_json": lambda world: (
        (one.raw, manifest) for work in world.of("Work") for one in work.manifests for _, manifest in world.manifests()
    ),
    "binding.plan_works": _bound,
    "binding.plan_bound_work": _intents,
    "binding_status.plan_ingress": lambda world: ((world.all("Work"), one.ingress) for one in world.of("LoadBalancer")),
    "contention.last_writer": lambda world: ((one.content,) for one in world.of("Unstructured")),
    "availability.families_of": lambda world: ((one.content.get("spec"),) for one in world.of("Unstructured")),
    "execution.check_overwrite": lambda world: (
        (manifest, observed, work, other) for work, manifest, observed in _onto(world) for other in (None, work)
    ),
    "execution.plan_update": lambda world: ((manifest, observed) for _, manifest, observed in _onto(world)),
    "execution.preserve_on_deletion": lambda world: (
        (one, namespace)
        for work in world.of("Work")
        for one in work.manifests
        for namespace in (*world.of("Namespace"), None)
    ),
    "immutable.unchangeable": lambda world: ((manifest, observed) for _, manifest, observed in _onto(world)),
    "immutable.check_replaceable": lambda world: ((manifest, obj, "a field") for _, manifest, obj in _onto(world)),
    "merging.merge": lambda world: ((manifest, obj.content, obj.fields) for _, manifest, obj in _onto(world)),
    "policy.plan_binding": _policies,
    "policy_spec.is_duplicated": lambda world: (
        ((one.spec.get("placement")),) for one in world.of("PropagationPolicy")
    ),
    "scheduling.plan_schedule_status": _decided,
    "scheduling.is_news": lambda world: ((binding, decision) for binding, decision, _ in _decided(world)),
    "work_status.manifest_status": lambda world: (
        (0, one.ref, obj)
        for work in world.of("Work")
        for one in work.manifests
        if one.ref is not None
        for obj in world.of("Unstructured")
    ),
    "cluster_status.plan_status": lambda world: (
        (one, Condition("Ready", "True"), None, "2026-01-01T00:00:00Z") for one in world.of("Cluster")
    ),
    "naming.named_in": lambda world: ((one.metadata.labels, "a", "b") for one in world.of("Work")),
    "conditions.merge": lambda world: (
        (one.conditions, (Condition("Ready", "True"),), "2026-01-01T00:00:00Z")
        for kind in ("Work", "MultiClusterService", "Cluster")
        for one in world.of(kind)
    ),
    "stale_objects.condition_of": lambda world: (
        (stale_objects.plan_removal(world.of("Unstructured"), _around(), seen={}, now=100.0),) for _ in (1,)
    ),
    "member_ownership.condition_of": lambda world: (
        (member_ownership.plan_ownership(cluster, member_ownership.Identities("uid"), observed).ownership,)
        for cluster, observed in product(world.of("Cluster"), world.of("Unstructured"))
    ),
}
KEYWORDS: Final[dict[str, list[dict[str, Any]]]] = {
    "execution.check_overwrite": [{"owned": True}, {"owned": False}],
    "execution.preserve_on_deletion": [{"leaving": True}, {"leaving": False}],
    "tiers.rules_for": [{"draining": True}, {"draining": False}],
}
WITHOUT: Final = frozenset(
    {
        *("collect.free_name", "conditions.by_reason", "conditions.news", "conditions.service_applied"),
        *("conditions.slices_dispatched", "conditions.equal_ignoring_time", "availability.is_news", "conditions.clip"),
        *("conditions.listed", "withdrawal.service_gone_due", "cluster_status.apply_thresholds"),
        *("cluster_status.next_probe", "cluster_status.enablements_condition", "cluster_status.from_probe"),
        *("contention.after_write", "contention.contended", "contention.is_forgotten", "contention.seconds_to_settle"),
        *("contention.seconds_to_wait", "contention.with_rival"),
        *("work_status.applied", "policy_spec.is_distributed", "durations.parse_duration"),
        *("addresses.parse_member_ranges", "addresses.parse_suspicious", "work_limits.is_new_slice"),
        *(f"tiers.parse_{what}" for what in ("tiers", "names", "minimum", "strict", "step", "every", "drained")),
    }
)
"""What they are called with is not what was observed, or comes from others, which are called."""

FUNCTIONS: Final = {
    f"{module.__name__.rpartition('.')[2]}.{name}": function
    for package in (mcs_controller.domain, mcs_controller.standalone.domain)
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    for module in (importlib.import_module(info.name),)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
}
MODULES: Final = [
    importlib.import_module(info.name)
    for package in (mcs_controller.domain, mcs_controller.standalone.domain)
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
]
INDEXES: Final = [
    (table.__name__ if hasattr(table, "__name__") else name, kind, index)
    for module in MODULES
    for name, table in vars(module).items()
    if name.endswith("_INDEXES")
    for kind in [str(inspect.get_annotations(module).get(name, ""))]
    for index in table.values()
]


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return [
        one
        for one in inspect.signature(function).parameters.values()
        if one.default is one.empty or one.kind != one.KEYWORD_ONLY
    ]


def _arguments(
    name: str, function: Callable[..., Any], world: World
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    if name in CALLS:
        yield from product(CALLS[name](world), KEYWORDS.get(name, [{}]))
        return
    parameters = _parameters(function)
    choices = [world.values(str(one.annotation)) for one in parameters]
    for values in product(*(one or () for one in choices)):
        given = dict(zip((one.name for one in parameters), values, strict=True))
        yield (), given


def test_every_function_is_called() -> None:
    world = World(0, VALID[0])
    strangers = {
        name: [str(one.annotation) for one in _parameters(function)]
        for name, function in FUNCTIONS.items()
        if name not in CALLS
        and name not in WITHOUT
        and any(world.values(str(one.annotation)) is None for one in _parameters(function))
    }
    assert strangers == {}
    assert not (WITHOUT | CALLS.keys()) - FUNCTIONS.keys()


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - WITHOUT))
def test_valid_objects_reach(name: str) -> None:
    """Or the mutated ones would not, either."""
    called = 0
    for place in range(len(SENT)):
        for args, keywords in _arguments(name, FUNCTIONS[name], World(place, VALID[place])):
            called += 1
            try:
                FUNCTIONS[name](*args, **keywords)
            except OWN_ERRORS:
                continue
    assert called


@settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=120 * SCALE,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(mutated([content for _, content, _ in SENT]))
def test_mutated_objects(case: tuple[int, bytes]) -> None:
    place, text = case
    try:
        changed = SENT[place][2](text)
    except UNDECODABLE:
        return
    world = World(place, changed)
    for _, kind, index in INDEXES:
        for one in world.of(SENT[place][0]) if f"[[{SENT[place][0]}]" in kind else ():
            hash(tuple(index(one)))
    for name in sorted(FUNCTIONS.keys() - WITHOUT):
        try:
            for args, keywords in _arguments(name, FUNCTIONS[name], world):
                try:
                    FUNCTIONS[name](*args, **keywords)
                except OWN_ERRORS:
                    continue
        except OWN_ERRORS:
            continue
