"""`namespace-sync-controller` (key `namespace`): the control plane's namespaces, in every member (contract 4.4).

Requests name a Namespace. Watches, all of the control plane:

    Namespaces    requests_for_namespace(namespaces)
    Clusters      requests_for_cluster(namespaces)      if cluster_appeared
    Works         requests_for_work                     if work_changed

A Work is made only in an execution namespace that exists; when one appears, all namespaces have their turn. Works go
with their Namespace by garbage collection. A namespace that gets the skip label later keeps its Works, as with Karmada:
with its execution controller, taking them back would delete the members' namespaces with everything in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from informers.meta import ObjectKey, OwnerReference
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace
from mcs_controller.domain.works import WorkTerminating, cluster_of, plan_work
from mcs_controller.predicates import content_changed
from mcs_controller.reconcilers.writes import Failures, gather_writes, label_writes
from mcs_controller.runtime.reconcile import Request, Result
from mcs_controller.standalone.domain.namespaces import is_propagated, namespace_work

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable

    from informers.cache.cached_client import CachedClient
    from informers.cache.event import Event
    from informers.cache.store import Store
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.core import Namespace
    from mcs_controller.api.work import Work
    from mcs_controller.domain.works import WorkWrite


class NamespaceSyncReconciler:
    """Keeps one Work for a Namespace in every cluster's execution namespace."""

    def __init__(
        self,
        *,
        namespaces: Store[Namespace],
        clusters: Store[Cluster],
        works: CachedClient[Work],
        skipped: tuple[re.Pattern[str], ...],
        new_id: Callable[[], str],
    ) -> None:
        """Args are the control plane's caches.

        Args:
            namespaces: all of them.
            clusters: all of them.
            works: all of them.
            skipped: the patterns of `--skipped-propagating-namespaces`. Each must match a whole name to skip it.
            new_id: makes permanent ids for Works that no webhook gave one.
        """
        self._namespaces = namespaces
        self._clusters = clusters
        self._works = works
        self._skipped = skipped
        self._new_id = new_id

    async def reconcile(self, request: Request) -> Result:
        """See the class.

        Raises:
            AggregateError: at least one cluster could not be served; all of them were tried.
        """
        namespace = self._namespaces.get(ObjectKey("", request.name))
        if namespace is None or not is_propagated(namespace, self._skipped):
            return Result()
        failures = Failures()
        await gather_writes(label_writes(self._works, self._writes(namespace)), failures)
        failures.raise_if_any()
        return Result()

    def _writes(self, namespace: Namespace) -> Iterable[WorkWrite]:
        meta = namespace.metadata
        owner = OwnerReference(
            api_version="v1",
            kind=wk.NAMESPACE_KIND,
            name=meta.name,
            uid=meta.uid,
            controller=True,
            block_owner_deletion=True,
        )
        for name in sorted(one.name for one in self._clusters.values() if one.metadata.deletion_timestamp is None):
            space = self._namespaces.get(ObjectKey("", execution_namespace(name)))
            if space is None or space.metadata.deletion_timestamp is not None:
                continue
            intent = namespace_work(namespace, name, owner)
            try:
                write = plan_work(intent, self._works.get(intent.namespace, intent.name), self._new_id)
            except WorkTerminating:
                continue  # its end is an event, and brings us back
            if write is not None:
                yield write


def requests_for_namespace(namespaces: Store[Namespace]) -> Callable[[Event[Namespace]], Iterable[Request]]:
    """The Namespace itself; and for an execution namespace that appears, all of them."""

    def requests(event: Event[Namespace]) -> Iterable[Request]:
        name = event.key.name
        if not name.startswith(wk.EXECUTION_PREFIX):
            return (Request("", name),)
        return _all(namespaces) if event.old is None else ()

    return requests


def requests_for_cluster(namespaces: Store[Namespace]) -> Callable[[Event[Cluster]], Iterable[Request]]:
    """Every Namespace."""

    def requests(_: Event[Cluster]) -> Iterable[Request]:
        return _all(namespaces)

    return requests


def cluster_appeared(event: Event[Cluster]) -> bool:
    """Whether the Cluster was not there before, as the one it is now."""
    old, new = event.old, event.new
    return new is not None and (old is None or old.metadata.uid != new.metadata.uid)


def requests_for_work(event: Event[Work]) -> Iterable[Request]:
    """The Namespace that the Work carries."""
    ref = event.object.ref
    if ref is None or ref.kind != wk.NAMESPACE_KIND or cluster_of(event.object) is None:
        return ()
    return (Request("", ref.name),)


def work_changed(event: Event[Work]) -> bool:
    """Whether somebody changed or deleted a Work. Their appearance is our own doing, and at a start no news."""
    return event.old is not None and content_changed(event)


def _all(namespaces: Store[Namespace]) -> list[Request]:
    return [Request("", name) for _, name in sorted(namespaces.keys()) if not name.startswith(wk.EXECUTION_PREFIX)]
