"""The one writer of a provider's slice: its collected Work in the control plane, and the dispatched Works (contract 3).

Key: the provider's slice, whichever Work carries it, so copies are found even when what they were copied from has gone.
A queue never hands one key to two workers, so nobody else of this process writes these Works at the same time. What is
written depends on the controllers that are enabled here, each of which contributes its part:

    multiclusterservice     lets go of what was collected for a service that ends (`ServiceWithdrawal`)
    endpointsliceCollect    the collected Work (`SliceCollection`), as serviceExport does for its slices
    endpointsliceDispatch   the dispatched Works (`SliceDispatch`)
    endpointSlice           lets go of a collected Work whose imported slice is gone (`ImportedSlices`)
    cluster                 empties the collected Works of a cluster that is leaving

**Both Works are written side by side.** What is dispatched of a slice follows from its collected Work, and how that
will be is known before its write is answered (`domain.works.predict_result`). A crash between any two writes, or one
that fails, leaves a part of the plan done; the next pass compares, and completes it. Nothing is deleted on the strength
of a prediction, and after a failure to collect the next pass waits for the answer.
A Work that is older than its member's object, after a failed write or a restore, is not executed before (`outdated`).

**What there is no room for is not written** (`domain.work_limits`). The slice is looked at again when there is.

**The member's object as well**, where execution is a controller of this process (`LocalExecution`): it starts the write
that a changed Work will cause and does not make this reconcile wait, so that a slow consumer holds no worker.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from mcs_controller.domain.conditions import copy_in
from mcs_controller.domain.dispatch import is_unreadable, release_collected
from mcs_controller.domain.indexes import BY_ORIGIN
from mcs_controller.domain.naming import execution_namespace
from mcs_controller.domain.works import CreateWork, DeleteWork, PatchWork, Role, SliceRef, predict_result
from mcs_controller.reconcilers.writes import Failures, gather_writes
from mcs_controller.runtime.reconcile import Result, TerminalError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractContextManager

    from mcs_controller.api.common import JsonObject
    from mcs_controller.api.work import Work
    from mcs_controller.domain.dispatch import DispatchPlan
    from mcs_controller.domain.works import WorkWrite
    from mcs_controller.reconcilers.endpointslice_collect import SliceCollection
    from mcs_controller.reconcilers.endpointslice_dispatch import SliceDispatch
    from mcs_controller.reconcilers.endpointslice_import import ImportedSlices
    from mcs_controller.reconcilers.outdated import OutdatedWorks
    from mcs_controller.reconcilers.writes import ReservedWorks
    from mcs_controller.runtime.reconcile import ClusterRequest


_BLOCKED_SECONDS = 1.0
"""Until the next look at a place that somebody else's Work is about to leave."""


class LocalExecution(Protocol):
    """What is needed of the execution controller of this process."""

    def start_writes(self, work: Work, arrived: Callable[[], None] | None, /) -> AbstractContextManager[None]:
        """Start the writes that the Work will cause in its member once it is so. The body writes the Work.

        `arrived` is called once, when these writes are answered, be it later; if others write in that member, when the
        Work is written.
        """
        ...

    def find_service(self, cluster: str, namespace: str, name: str, /) -> JsonObject | None:
        """A Service that was brought to a member, as far as a cache has it."""
        ...


class EndpointSliceReconciler:
    """Writes the collected Work and the dispatched Works of one provider's slice."""

    def __init__(
        self,
        *,
        works: ReservedWorks,
        collection: SliceCollection,
        dispatch: SliceDispatch | None,
        imported: ImportedSlices | None,
        execution: LocalExecution | None,
        outdated: OutdatedWorks,
    ) -> None:
        """Each part is None if the controller that it belongs to is not enabled. `outdated` is execution's."""
        self._works = works
        self._collection = collection
        self._dispatch = dispatch
        self._imported = imported
        self._execution = execution
        self._outdated = outdated
        self._failed: set[SliceRef] = set()
        """Slices whose last collection failed. As long as the control plane cannot follow, nothing is predicted."""

    async def reconcile(self, request: ClusterRequest) -> Result:
        """See the class. Raises what the API server says; outcomes are reported before that."""
        if not request.namespace:
            return await self._release_unreadable(request)
        origin = SliceRef(*request)
        with self._works.usage.looking_at(origin):
            return await self._reconcile(origin)

    async def _reconcile(self, origin: SliceRef) -> Result:
        collecting, dispatching = Failures(), Failures()
        withheld: set[str] = set()
        collect = self._collection.plan(origin)
        writes = [write for write in collect.writes if self._has_room(origin, write, withheld)]
        if collect.error is not None:
            collecting.add(_collecting(origin), collect.error)
        predicted = self._predict(origin, writes)
        dispatch: DispatchPlan | None = None
        uncopied: set[str] = set()
        known = self._collection.is_known(origin.cluster)
        if self._dispatch is not None and predicted is not None:
            foreseen = self._dispatch.plan(origin, (predicted,))
            # Both before anybody else has a turn: names are reserved, and room.
            collected = self._collecting(origin, writes)
            copied = self._copying(self._dispatch, origin, foreseen, uncopied, known=known, deleting=False)
            async with asyncio.TaskGroup() as group:
                group.create_task(gather_writes(copied, dispatching))
                group.create_task(gather_writes(collected, collecting))
        else:
            await gather_writes(self._collecting(origin, writes), collecting)
            if self._dispatch is not None:
                dispatch = self._dispatch.plan(origin)
                known = known and not collecting
                await gather_writes(self._copying(self._dispatch, origin, dispatch, uncopied, known=known), dispatching)
        self._collection.report(origin, collect, collecting, sorted(withheld))
        if collecting:
            self._failed.add(origin)
        else:
            self._failed.discard(origin)
        if self._dispatch is not None and dispatch is not None:
            self._dispatch.report(origin, dispatch, dispatching, sorted(uncopied))
        if not dispatching:
            await self._release(origin, dispatch)
        if collect.error is not None and not dispatching:
            raise TerminalError(str(collect.error))  # only another slice can help
        Failures(*collecting, *dispatching).raise_if_any()
        waits = (_BLOCKED_SECONDS if collect.blocked else None, dispatch.look_again if dispatch is not None else None)
        return Result(requeue_after=min((one for one in waits if one is not None), default=None))

    def _predict(self, origin: SliceRef, writes: Sequence[WorkWrite]) -> Work | None:
        """The collected Work as it will be, if it is created or gets another content; None if that is not to be told.

        The change of the collected Work that is then answered leads back here, and what is left is done.
        """
        if self._dispatch is not None and origin not in self._failed:
            for write in writes:
                if isinstance(write, CreateWork) or (isinstance(write, PatchWork) and "spec" in write.body):
                    return predict_result(write, self._works.get(write.namespace, write.name))
        return None

    def _collecting(self, origin: SliceRef, writes: Sequence[WorkWrite]) -> list[tuple[str, Awaitable[None]]]:
        return [(_collecting(origin), self._works.apply(write)) for write in writes]

    def _copying(
        self,
        dispatch: SliceDispatch,
        origin: SliceRef,
        plan: DispatchPlan,
        withheld: set[str],
        *,
        known: bool,
        deleting: bool = True,
    ) -> list[tuple[str, Awaitable[None]]]:
        """The writes that there is room for, each of which takes its own at once; why there is none for others.

        `known` is whether the plan follows from what the provider has now.
        """
        writes: list[tuple[str, Awaitable[None]]] = []
        done: list[WorkWrite] = []
        for copy in plan.copies:
            if self._has_room(origin, copy.write, withheld):
                done.append(copy.write)
                if deleting or not isinstance(copy.write, DeleteWork):
                    arrived = dispatch.propagation.arrival(origin, copy, plan.triggered)
                    writes.append((copy_in(copy.cluster, origin), self._copy(copy.write, arrived, ahead=known)))
        if known:
            there = self._works.store.by_index(BY_ORIGIN, (Role.DISPATCHED, origin))
            self._outdated.compared(origin, there, done)
        return writes

    def _has_room(self, origin: SliceRef, write: WorkWrite, withheld: set[str]) -> bool:
        """Whether the write may be done now; why it may not is added to `withheld`."""
        reason = self._works.usage.withheld(origin, write, lambda: self._works.get(write.namespace, write.name))
        if reason is not None:
            withheld.add(reason)
        return reason is None

    def _copy(self, write: WorkWrite, arrived: Callable[[], None] | None, *, ahead: bool) -> Awaitable[None]:
        if isinstance(write, CreateWork):
            return self._works.apply(write)  # begins now: its name is taken
        work: Work | None = None
        if ahead and self._execution is not None and isinstance(write, PatchWork):
            work = predict_result(write, self._works.get(write.namespace, write.name))
        return self._execute(work, write, arrived if ahead else None)

    async def _execute(self, work: Work | None, write: WorkWrite, arrived: Callable[[], None] | None) -> None:
        """Write a dispatched Work, and let its member's object be written beside it if `work` says how it will be.

        `arrived` is called when the member has answered, or the control plane if another process writes in the member.
        """
        if self._execution is None or work is None:
            await self._works.apply(write)
            if arrived is not None:
                arrived()
        else:
            with self._execution.start_writes(work, arrived):
                await asyncio.sleep(0)  # the member's write goes out first: its arrival is what people wait for
                await self._works.apply(write)
        self._outdated.written(write)

    async def _release(self, origin: SliceRef, dispatch: DispatchPlan | None) -> None:
        """Let go of collected Works that nobody takes any further.

        Only once no copy is left: after a crash before that it still leads back here.
        """
        if self._dispatch is not None and dispatch is not None and dispatch.release:
            for release in self._dispatch.plan(origin).release:
                await self._works.apply(release)
        for work in self._works.store.by_index(BY_ORIGIN, (Role.COLLECTED, origin)) if self._imported else ():
            if self._imported is not None and (unused := self._imported.release(work)) is not None:
                await self._works.apply(unused)

    async def _release_unreadable(self, request: ClusterRequest) -> Result:
        """Let go of a collected Work that is being deleted and holds no slice (any more)."""
        work = self._works.get(execution_namespace(request.cluster), request.name)
        release = release_collected(work) if work is not None and is_unreadable(work) else None
        if self._dispatch is not None and release is not None:
            await self._works.apply(release)
        return Result()


def _collecting(origin: SliceRef) -> str:
    return f"collecting slice {origin.namespace}/{origin.name} of {origin.cluster}"
