"""How many Works each member's slices have, and which slices wait until there is room for more.

Counted from the events of the cache of Works, and of those that are on their way: nothing is ever listed or summed up.
Each change of a member's Works, and each of its slices that found room, lets one that waits try again. So a member with
a hundred thousand slices that wait costs no more than one, and all are tried as soon as there is room. Slices that have
some of their Works come first.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from informers.meta import ObjectKey
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.work_limits import Withheld, WorkLimits, WorkUsage, is_new_slice, usage_of
from mcs_controller.runtime.events import ObjectReference
from mcs_controller.runtime.reconcile import ClusterRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from informers.cache.informer import Event
    from informers.cache.store import Store
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.work import Work
    from mcs_controller.domain.works import SliceRef, WorkWrite
    from mcs_controller.runtime.events import Recorder

_log = logging.getLogger(__name__)

_RELIEF: Final = 0.9
"""Share of the limits below which it is over: reached again, it is told again."""

_NO_MORE: Final = "so no further ones are made for its slices"
_NO_LARGER: Final = "twice, so none of them becomes larger"

_NOTHING: Final = WorkUsage()


class MemberWorks:
    """The Works of all members' slices. Not thread-safe."""

    def __init__(
        self,
        limits: WorkLimits,
        *,
        enqueue_slice: Callable[[ClusterRequest], None],
        clusters: Store[Cluster],
        recorder: Recorder | None,
    ) -> None:
        """Args.

        Args:
            limits: what one member may have.
            enqueue_slice: has a slice looked at again.
            clusters: all Clusters.
            recorder: for events about them; None where that is for others, as in an agent.
        """
        self._limits = limits
        self._enqueue_slice = enqueue_slice
        self._clusters = clusters
        self._recorder = recorder.for_component(wk.COLLECT_CONTROLLER) if recorder is not None else None
        self._usage: dict[str, WorkUsage] = {}
        self._counted: dict[ObjectKey, tuple[str, int]] = {}
        """What each Work was counted as: the event of its end may show a later state."""
        self._waiting: dict[Withheld, dict[str, dict[SliceRef, None]]] = {what: {} for what in Withheld}
        """Slices by cluster, those that have waited longest first."""
        self._reported: dict[str, str] = {}
        """Clusters whose limit was told, with the words."""

    def usage(self) -> dict[str, WorkUsage]:
        """What each member has."""
        return dict(self._usage)

    def waiting(self) -> dict[str, int]:
        """How many slices of each member that is at its limit wait."""
        return {
            cluster: sum(len(those.get(cluster, ())) for those in self._waiting.values())
            for cluster in sorted(self._reported)
        }

    def observe(self, event: Event[Work]) -> None:
        """Count a change of a Work. A handler of the informer of Works."""
        meta = event.object.metadata
        place = ObjectKey(meta.namespace, meta.name)
        before, after = self._counted.pop(place, None), usage_of(event.new)
        if after is not None:
            self._counted[place] = after
        if before != after:
            self._change(before, after)

    def reserve(self, work: Work, creating: Awaitable[None]) -> Awaitable[None]:
        """A create, to be awaited. The Work counts from now on, and not only when it is in the cache."""
        self._change(None, usage_of(work))
        return self._reserved(work, creating)

    async def _reserved(self, work: Work, creating: Awaitable[None]) -> None:
        try:
            await creating
        finally:
            self._change(usage_of(work), None)

    def withheld(self, origin: SliceRef, write: WorkWrite, observed: Callable[[], Work | None]) -> str | None:
        """Why a write for a slice is not done now, for people; None if it may be. The slice then waits for room.

        `observed` is asked for the Work as it is, where that matters.
        """
        usage = self._usage.get(origin.cluster, _NOTHING)
        what = self._limits.withheld(origin.cluster, write, observed, usage)
        problem = self._limits.problem(usage, what) if what is not None else None
        if problem is None and origin.cluster in self._waiting[Withheld.COPY] and is_new_slice(origin.cluster, write):
            what, problem = Withheld.SLICE, self._reported.get(origin.cluster)
        if what is None or problem is None:
            return None
        self._waiting[what].setdefault(origin.cluster, {})[origin] = None
        self._tell(origin.cluster, problem)
        return f"{origin.cluster}: {problem}, {_NO_LARGER if what is Withheld.GROWTH else _NO_MORE}"

    @contextmanager
    def looking_at(self, origin: SliceRef) -> Iterator[None]:
        """A slice is reconciled in the body, which finds out whether it waits. If it does not, the next one may try."""
        for those in self._waiting.values():
            if (slices := those.get(origin.cluster)) is not None:
                slices.pop(origin, None)
                if not slices:
                    del those[origin.cluster]
        try:
            yield
        finally:
            if not any(origin in those.get(origin.cluster, ()) for those in self._waiting.values()):
                self._look_again(origin.cluster)

    def _look_again(self, cluster: str) -> None:
        """Let a slice of the cluster that waits try again, if there is room."""
        usage = self._usage.get(cluster, _NOTHING)
        for what, those in self._waiting.items():
            if (slices := those.get(cluster)) is not None and self._limits.problem(usage, what) is None:
                self._enqueue_slice(ClusterRequest(*next(iter(slices))))
                break
        waits = any(cluster in those for those in self._waiting.values())
        if cluster in self._reported and not waits and self._limits.problem(usage, share=_RELIEF) is None:
            del self._reported[cluster]
            _log.info("Member has room for Works again", extra={"cluster": cluster})

    def _change(self, before: tuple[str, int] | None, after: tuple[str, int] | None) -> None:
        for found, works in ((before, -1), (after, 1)):
            if found is not None:
                cluster, size = found
                usage = self._usage.get(cluster, _NOTHING)
                self._usage[cluster] = WorkUsage(usage.works + works, usage.bytes + works * size)
                if self._usage[cluster].works == 0:
                    del self._usage[cluster]
        for cluster in {found[0] for found in (before, after) if found is not None}:
            self._look_again(cluster)

    def _tell(self, cluster: str, problem: str) -> None:
        if cluster in self._reported:
            return
        self._reported[cluster] = problem
        _log.warning("No further Works are made for slices of a member", extra={"cluster": cluster, "why": problem})
        registered = self._clusters.get(ObjectKey("", cluster))
        if self._recorder is not None and registered is not None:
            about = ObjectReference(
                api_version=wk.CLUSTER_API_VERSION,
                kind=wk.CLUSTER_KIND,
                namespace="",
                name=cluster,
                uid=registered.metadata.uid,
            )
            message = f"No further Works are made for its slices: {problem}"
            self._recorder.event(about, "Warning", wk.EVENT_MEMBER_WORKS_LIMIT, message)
