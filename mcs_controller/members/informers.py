"""Objects of one kind in the members: one watch per member, begun when it is first asked for.

A watch lasts as long as the member does. When a member's connection is rebuilt its watch begins anew: until the first
complete list is in, what the member has counts as unknown.

Whether what a member has is stale, `runtime.freshness` tells.

Why nothing comes from a member is told as soon as it is known: a server that refuses a list has given its final answer
(an unknown token only after the Secret was read again); one that says nothing may yet do so.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from informers.dynamic import DynamicInformers
from informers.errors import CacheFull, Forbidden, NotFound, Unauthorized
from informers.meta import KubeObject
from mcs_controller.runtime.reconcile import ClusterRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from informers.cache.event import Event
    from informers.cache.informer import SharedInformer
    from informers.cache.store import Indexers, Store
    from informers.errors import KubeError
    from informers.resource import Resource
    from mcs_controller.members.registry import MemberCluster, MemberClusters
    from mcs_controller.runtime.controller import Controller, Registration
    from workqueue.clock import Clock

_log = logging.getLogger(__name__)

T = TypeVar("T", bound=KubeObject)
R = TypeVar("R", bound="Hashable")


class _Queue(NamedTuple):
    controller: Controller[Any]
    mapper_in: Callable[[str], Callable[[Event[Any]], Iterable[Any]]]
    changed: Callable[[Event[Any]], bool] | None
    urgent: Callable[[Event[Any]], bool] | None


class MemberInformers(Generic[T]):
    """The watches of all members. A Runnable: what it waits for is waited for in its own tasks."""

    def __init__(
        self,
        members: MemberClusters,
        resource: Resource[T],
        *,
        clock: Clock,
        sync_timeout: float,
        indexers: Indexers[T] | None = None,
    ) -> None:
        """Watches nothing yet.

        Args:
            members: who has the connections.
            resource: the kind.
            clock: for the time limit.
            sync_timeout: seconds after which a first list that is not complete is reported; it goes on being tried.
            indexers: by what the objects are looked up.
        """
        self._members = members
        self._resource = resource
        self._indexers = indexers or {}
        self._queues: list[_Queue] = []
        self._on_synced: list[Callable[[str], None]] = []
        self._on_problem: list[Callable[[str], None]] = []
        self._problems: dict[str, str] = {}
        self._refusals: dict[str, type[KubeError]] = {}
        """How a cluster last refused a list, as long as it does."""
        self._informers = DynamicInformers[str, T](
            clock=clock,
            register=self._register,
            synced=self._listed,
            sync_timeout=sync_timeout,
            overdue=self._overdue,
        )
        members.add_listener(joined=self._joined, left=self._left)

    def add_queue(
        self,
        controller: Controller[R],
        mapper_in: Callable[[str], Callable[[Event[T]], Iterable[R]]],
        changed: Callable[[Event[T]], bool] | None = None,
        *,
        urgent: Callable[[Event[T]], bool] | None = None,
    ) -> None:
        """Let a controller reconcile what `mapper_in(cluster)` makes of the events there.

        To be called before anything is watched.

        Args:
            controller: has the queue.
            mapper_in: see `requests_in`, for example.
            changed: which events are worth a reconcile; None for all.
            urgent: which of these must not wait behind ordinary work; None for none.
        """
        self._queues.append(_Queue(controller, mapper_in, changed, urgent))

    def on_synced(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the cluster's name when it joins, and when its watch has the first complete list.

        Also when the first list is overdue because the cluster says that it has no such kind.
        """
        self._on_synced.append(listener)

    def on_problem(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the cluster's name when its `problem` begins or ends."""
        self._on_problem.append(listener)

    def problem(self, cluster: str) -> str | None:
        """Why the cluster's objects cannot be listed, in words for people; None as long as nothing is known of that."""
        return self._problems.get(cluster)

    def ensure(self, cluster: str) -> None:
        """Watch the cluster's objects from now on. One watch per cluster, however often it is asked for."""
        member = self._members.get(cluster)
        if member is None or cluster in self._informers:
            return
        informer = member.informers.informer(self._resource, indexers=self._indexers)
        self._informers.add(cluster, informer)
        informer.on_failure(lambda error: self._answered(member, informer, error))
        if informer.last_error is not None:
            self._answered(member, informer, informer.last_error)

    def objects(self, cluster: str) -> Store[T] | None:
        """The cluster's objects; None as long as they are not known completely."""
        informer = self._informers.get_synced(cluster)
        return informer.store if informer is not None else None

    def is_refused(self, cluster: str) -> bool:
        """Whether the cluster's API server says that it has no such kind. It may get one at any time."""
        informer = self._informers.get(cluster)
        return informer is not None and not informer.has_synced and isinstance(informer.last_error, NotFound)

    async def run(self) -> None:
        """Tell the listeners of each watch that has its first list. Runs until cancelled."""
        await self._informers.run()

    def _register(self, cluster: str, informer: SharedInformer[T]) -> list[Registration]:
        return [
            queue.controller.add_source(informer, queue.mapper_in(cluster), queue.changed, urgent=queue.urgent)
            for queue in self._queues
        ]

    def _listed(self, cluster: str) -> None:
        self._set_problem(cluster, None)
        self._tell(cluster)

    def _overdue(self, cluster: str, informer: SharedInformer[T]) -> None:
        if cluster not in self._problems:
            error = informer.last_error
            self._cannot_list(cluster, str(error) if error is not None else "the list is still under way")
        if self.is_refused(cluster):
            self._tell(cluster)

    def _answered(self, member: MemberCluster, informer: SharedInformer[T], error: KubeError | None) -> None:
        """A list or a watch failed, or works again."""
        cluster = member.name
        if self._informers.get(cluster) is not informer:
            return
        if error is None:
            if self._refusals.pop(cluster, None) is not None:
                self._set_problem(cluster, None)
        elif isinstance(error, CacheFull):
            self._cannot_list(cluster, str(error))  # until it has been listed
        elif isinstance(error, Unauthorized | Forbidden | NotFound):
            again = self._refusals.get(cluster) is type(error)
            self._refusals[cluster] = type(error)
            if isinstance(error, Unauthorized):
                if again:  # now with what the Secret holds
                    self._cannot_list(cluster, f"it refused {member.credentials}")
            elif not again:
                self._cannot_list(cluster, str(error))

    def _cannot_list(self, cluster: str, words: str) -> None:
        problem = f"its {self._resource.plural} cannot be listed: {words}"
        if self._problems.get(cluster) != problem:
            fields = {"cluster": cluster, "resource": str(self._resource), "error": words}
            _log.warning("Objects of a member cannot be listed; what was collected from it stays", extra=fields)
            self._set_problem(cluster, problem)

    def _joined(self, member: MemberCluster) -> None:
        # Whether anybody wants its objects is for the Works to say.
        self._tell(member.name)

    def _tell(self, cluster: str) -> None:
        for listener in self._on_synced:
            listener(cluster)

    def _set_problem(self, cluster: str, problem: str | None) -> None:
        if self._problems.get(cluster) == problem:
            return
        if problem is not None:
            self._problems[cluster] = problem
        else:
            del self._problems[cluster]
        for listener in self._on_problem:
            listener(cluster)

    def _left(self, cluster: str) -> None:
        self._informers.remove(cluster)
        self._refusals.pop(cluster, None)
        self._set_problem(cluster, None)


def requests_in(cluster: str) -> Callable[[Event[Any]], Iterable[ClusterRequest]]:
    """Maps events of a member's objects to the object in that member."""

    def mapper(event: Event[Any]) -> Iterable[ClusterRequest]:
        meta = event.object.metadata
        return (ClusterRequest(cluster, meta.namespace, meta.name),)

    return mapper
