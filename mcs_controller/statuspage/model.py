"""The content of the status page, computed from the informers' stores. No I/O, and bounded in size.

In camel case the field names are those of the JSON variant. Ages are seconds since a cache was last known to be right.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec

from informers.meta import find_condition
from informers.metrics import STALE_SECONDS
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.endpoint_counts import count_endpoints
from mcs_controller.domain.selection import consumers_of, providers_of
from mcs_controller.domain.works import Role, origin_of, role_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.work import Work
    from mcs_controller.domain.selection import Clusters

T = TypeVar("T")

MAX_SERVICES: Final = 25
"""Services of one page."""

MAX_PAIRS: Final = 10
"""Pairs of provider and consumer that are shown of one service, and names of either."""

MAX_SIDE: Final = 20
"""Providers, and consumers, whose pairs are counted for one service: with 1000 of each it were a million pairs."""

MAX_ROWS: Final = 100
"""Rows of every other list."""

MAX_TEXT: Final = 600
"""Characters of one name or message."""

State: TypeAlias = Literal["ready", "not ready", "pending", "deleting", "not served"]
"""Of a service. `pending` has no condition yet; one that is not of type CrossCluster is `not served`."""


class _View(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class Query(_View, frozen=True, kw_only=True):
    """The query of the page's URL."""

    namespace: str = ""
    not_ready: bool = False
    page: int = 1

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> Query:
        """Read `namespace`, `not-ready` and `page`; what makes no sense is as if it were not there."""
        page = parameters.get("page", "")
        number = int(page) if page.isascii() and page.isdecimal() and len(page) < 7 else 1
        wanted = parameters.get("not-ready", "").lower() in ("1", "true", "on", "yes")
        return cls(namespace=parameters.get("namespace", "").strip()[:253], not_ready=wanted, page=max(1, number))


class Listing(_View, Generic[T], frozen=True, kw_only=True):
    """The first of a list, and how many more there are."""

    shown: tuple[T, ...] = ()
    more: int = 0


def _first(items: Sequence[T], limit: int) -> Listing[T]:
    return Listing(shown=tuple(items[:limit]), more=max(0, len(items) - limit))


class ConditionView(_View, frozen=True, kw_only=True):
    """A condition as it is written."""

    type: str
    status: str
    reason: str
    message: str
    since: str


class PairView(_View, frozen=True, kw_only=True):
    """Endpoints on the way from a provider to a consumer, see `domain.endpoint_counts.Counts`."""

    provider: str
    consumer: str
    wanted: int
    ready: int
    delivered: int

    @property
    def is_complete(self) -> bool:
        """Whether the consumer has all ready endpoints."""
        return self.delivered >= self.ready


class ServiceView(_View, frozen=True, kw_only=True):
    """A MultiClusterService. Of its pairs those that lack endpoints come first."""

    namespace: str
    name: str
    state: State
    providers: Listing[str]
    consumers: Listing[str]
    conditions: tuple[ConditionView, ...]
    pairs: Listing[PairView]


class ServicesView(_View, frozen=True, kw_only=True):
    """A page of the services that the query asks for, by namespace and name.

    Attributes:
        total: all that there are, whatever the query.
        states: how many of these are in each state.
        matching: those that the query asks for.
    """

    total: int
    states: dict[str, int]
    matching: int
    page: int
    pages: int
    shown: tuple[ServiceView, ...]


class FlowView(_View, frozen=True, kw_only=True):
    """All services of the page on the way from a provider to a consumer.

    Attributes:
        age: of the provider's slices; None if nobody here watches them.
    """

    provider: str
    consumer: str
    services: int
    wanted: int
    ready: int
    delivered: int
    age: float | None


class ClusterView(_View, frozen=True, kw_only=True):
    """A registered Cluster.

    Attributes:
        state: of its condition Ready; "unknown" if there is none.
        connected: whether this process has a connection to it.
        age: of its oldest cache here; None if there is none.
    """

    name: str
    state: Literal["ready", "not ready", "unknown"]
    reason: str
    message: str
    mode: str
    version: str
    connected: bool
    age: float | None
    stale: bool


class CacheView(_View, frozen=True, kw_only=True):
    """The objects of one kind in one cluster; `cluster` is empty for the control plane.

    Attributes:
        bytes: an estimate; 0 if nobody counts.
        age: seconds since it was last known to be right; None if the cluster does not have the kind.
    """

    cluster: str
    resource: str
    objects: int
    bytes: int
    age: float | None

    @property
    def is_stale(self) -> bool:
        """Whether it may be out of date, by the bound of docs/alerts.md."""
        return self.age is not None and self.age > STALE_SECONDS


class ErrorView(_View, frozen=True, kw_only=True):
    """A warning or an error of the log.

    Attributes:
        last: when it was logged last.
        fields: `key=value`, as in the log.
        times: how often it was logged since the first that is remembered.
    """

    last: str
    level: str
    message: str
    fields: str
    times: int


class Gate(_View, frozen=True, kw_only=True):
    """A feature gate."""

    name: str
    enabled: bool


class ProcessView(_View, frozen=True, kw_only=True):
    """The process that answers.

    Attributes:
        identity: as in the Lease; empty without leader election.
        leads: whether it writes.
        leader: who held the Lease when it was last looked at; empty if nobody did.
        agent_of: the cluster whose agent it is; empty for the control plane's controllers.
        uptime: seconds.
    """

    name: str
    version: str
    identity: str
    leads: bool
    leader: str
    agent_of: str
    uptime: float
    gates: tuple[Gate, ...]
    controllers: tuple[str, ...]


class Overview(_View, frozen=True, kw_only=True):
    """The whole page.

    Attributes:
        at: when it was made.
        services: None if this process serves none, for which `unserved` has the reason.
    """

    at: str
    process: ProcessView
    query: Query
    services: ServicesView | None
    unserved: str
    flows: Listing[FlowView]
    clusters: Listing[ClusterView]
    caches: Listing[CacheView]
    errors: Listing[ErrorView]


def state_of(mcs: MultiClusterService) -> State:
    """By its conditions: ready if all of them are True."""
    if not mcs.is_cross_cluster:
        return "not served"
    if mcs.metadata.deletion_timestamp is not None:
        return "deleting"
    if not mcs.conditions:
        return "pending"
    return "ready" if all(one.status == "True" for one in mcs.conditions) else "not ready"


class Selected(NamedTuple):
    """The services of a page; the rest as in `ServicesView`."""

    total: int
    states: dict[str, int]
    matching: int
    page: int
    pages: int
    shown: list[MultiClusterService]


def select_services(services: Iterable[MultiClusterService], query: Query) -> Selected:
    """The page that is asked for, or the last one."""
    states = [(state_of(mcs), mcs) for mcs in services]
    matching = [
        mcs
        for state, mcs in states
        if query.namespace in ("", mcs.metadata.namespace)
        and not (query.not_ready and state in ("ready", "not served"))
    ]
    matching.sort(key=lambda mcs: (mcs.metadata.namespace, mcs.metadata.name))
    pages = max(1, -(-len(matching) // MAX_SERVICES))
    page = min(query.page, pages)
    return Selected(
        total=len(states),
        states=dict(sorted(Counter(state for state, _ in states).items())),
        matching=len(matching),
        page=page,
        pages=pages,
        shown=matching[(page - 1) * MAX_SERVICES : page * MAX_SERVICES],
    )


def view_services(selected: Selected, shown: Iterable[ServiceView]) -> ServicesView:
    """The page, with a view of each of its services."""
    return ServicesView(**{**selected._asdict(), "shown": tuple(shown)})


def view_service(mcs: MultiClusterService, works: Sequence[Work], clusters: Clusters) -> ServiceView:
    """One service, of which `works` are."""
    state = state_of(mcs)
    providers, consumers = providers_of(mcs, clusters), consumers_of(mcs, clusters)
    served = state != "not served"
    total = len(providers) * len(consumers) - len({*providers} & {*consumers}) if served else 0
    counted = count_pairs(mcs, works, clusters) if served else []
    return ServiceView(
        namespace=mcs.metadata.namespace,
        name=mcs.metadata.name,
        state=state,
        providers=_first(providers, MAX_PAIRS),
        consumers=_first(consumers, MAX_PAIRS),
        conditions=tuple(
            ConditionView(
                type=clip(one.type),
                status=clip(one.status),
                reason=clip(one.reason),
                message=clip(one.message),
                since=one.last_transition_time or "",
            )
            for one in mcs.conditions[:MAX_PAIRS]
        ),
        pairs=Listing(shown=tuple(counted[:MAX_PAIRS]), more=max(0, total - MAX_PAIRS)),
    )


def count_pairs(mcs: MultiClusterService, works: Sequence[Work], clusters: Clusters) -> list[PairView]:
    """Its pairs, those that lack endpoints first; of too many, those whose providers have endpoints."""
    providers, consumers = providers_of(mcs, clusters), consumers_of(mcs, clusters)
    if max(len(providers), len(consumers)) > MAX_SIDE:
        found = (origin_of(work) for work in works if role_of(work) is Role.COLLECTED)
        offering = {origin.cluster for origin in found if origin is not None}
        mcs = msgspec.structs.replace(
            mcs,
            providers=frozenset(sorted(providers, key=lambda name: name not in offering)[:MAX_SIDE]),
            consumers=frozenset(consumers[:MAX_SIDE]),
        )
    counts = count_endpoints(mcs, works, clusters)
    pairs = [
        PairView(provider=provider, consumer=consumer, **numbers._asdict())
        for (provider, consumer), numbers in counts.items()
    ]
    return sorted(pairs, key=lambda pair: (pair.is_complete, pair.provider, pair.consumer))


def view_flows(services: Iterable[ServiceView], ages: Mapping[str, float]) -> Listing[FlowView]:
    """The pairs of these services, together. `ages` are those of the slices of each provider."""
    together: dict[tuple[str, str], list[PairView]] = {}
    for service in services:
        for pair in service.pairs.shown:
            together.setdefault((pair.provider, pair.consumer), []).append(pair)
    flows = [
        FlowView(
            provider=provider,
            consumer=consumer,
            services=len(pairs),
            wanted=sum(pair.wanted for pair in pairs),
            ready=sum(pair.ready for pair in pairs),
            delivered=sum(pair.delivered for pair in pairs),
            age=ages.get(provider),
        )
        for (provider, consumer), pairs in sorted(together.items())
    ]
    return _first(flows, MAX_ROWS)


def view_clusters(
    clusters: Iterable[Cluster], connected: Collection[str], caches: Iterable[CacheView]
) -> Listing[ClusterView]:
    """Those in trouble first."""
    ages: dict[str, float] = {}
    stale = set[str]()
    for cache in caches:
        if cache.age is not None:
            ages[cache.cluster] = max(cache.age, ages.get(cache.cluster, 0.0))
        if cache.is_stale:
            stale.add(cache.cluster)
    views = [_view_cluster(one, connected, ages.get(one.name), stale=one.name in stale) for one in clusters]
    views.sort(key=lambda one: (one.state == "ready" and not one.stale, one.name))
    return _first(views, MAX_ROWS)


def _view_cluster(cluster: Cluster, connected: Collection[str], age: float | None, *, stale: bool) -> ClusterView:
    ready = find_condition(cluster.conditions, wk.READY)
    return ClusterView(
        name=cluster.name,
        state="unknown" if ready is None else "ready" if ready.status == "True" else "not ready",
        reason=clip(ready.reason) if ready is not None else "",
        message=clip(ready.message) if ready is not None else "",
        mode=clip(cluster.spec.sync_mode),
        version=clip(cluster.kubernetes_version),
        connected=cluster.name in connected,
        age=age,
        stale=stale,
    )


def view_caches(caches: Iterable[CacheView]) -> Listing[CacheView]:
    """The stale ones first, then by cluster and kind."""
    return _first(sorted(caches, key=lambda one: (not one.is_stale, one.cluster, one.resource)), MAX_ROWS)


def view_errors(errors: Sequence[ErrorView]) -> Listing[ErrorView]:
    """The latest first."""
    return _first(sorted(errors, key=lambda one: one.last, reverse=True), MAX_ROWS)


def clip(text: str) -> str:
    """What somebody else wrote, cut to what has room here; half a surrogate pair, which nobody can send, is escaped."""
    text = text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text) - MAX_TEXT} more characters)"
