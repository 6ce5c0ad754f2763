"""Objects of the control plane that are brought to members: one informer for each kind, there as long as it is wanted.

Which kinds those are, policies and bindings tell; where they are, the API server's discovery.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from informers.cache.cached_client import CachedClient
from informers.errors import KubeError
from informers.resource import GroupVersionKind
from mcs_controller.api.common import decode_unstructured
from mcs_controller.standalone.domain.policy import TEMPLATE_INDEXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from informers.cache.event import Event
    from informers.cache.factory import InformerFactory
    from informers.cache.informer import SharedInformer
    from informers.client.client import ApiClient
    from informers.resource import Resource
    from informers.rest_mapper import RESTMapper
    from mcs_controller.api.common import Unstructured
    from workqueue.clock import Clock

_ASK_AGAIN_SECONDS: Final = 10.0
"""After discovery failed, or knew no such kind: a CustomResourceDefinition may be on its way."""


class TemplateInformers:
    """The templates by kind. A runnable that needs leadership, like those who use it. Not thread-safe."""

    def __init__(self, host: ApiClient, informers: InformerFactory, kinds: RESTMapper, *, clock: Clock) -> None:
        """Asks nothing yet.

        Args:
            host: the control plane.
            informers: its informers, run by somebody else.
            kinds: what it serves.
            clock: for the pauses between questions to discovery.
        """
        self._host = host
        self._informers = informers
        self._kinds = kinds
        self._clock = clock
        self._wanted: dict[str, frozenset[GroupVersionKind]] = {}
        self._serving: dict[GroupVersionKind, asyncio.Task[None]] = {}
        self._informing: dict[GroupVersionKind, SharedInformer[Unstructured]] = {}
        self._problems: dict[GroupVersionKind, str] = {}
        self._absent: set[GroupVersionKind] = set()
        self._wants_changed = asyncio.Event()
        self._changed: list[Callable[[GroupVersionKind, Event[Unstructured]], None]] = []
        self._available: list[Callable[[GroupVersionKind], None]] = []

    def subscribe(
        self,
        *,
        changed: Callable[[GroupVersionKind, Event[Unstructured]], None],
        available: Callable[[GroupVersionKind], None],
    ) -> None:
        """Hear of changed templates, and of kinds of which more is known now.

        `changed` begins with a replay of all templates once they are listed. Both are called between two awaits, so
        they must do no more than enqueue.
        """
        self._changed.append(changed)
        self._available.append(available)

    def want(self, user: str, kinds: Iterable[GroupVersionKind]) -> None:
        """These, and no others than before, are the kinds that `user` needs. What nobody needs is stopped."""
        wanted = frozenset(kinds)
        if self._wanted.get(user) != wanted:
            self._wanted[user] = wanted
            self._wants_changed.set()

    def get(self, kind: GroupVersionKind) -> CachedClient[Unstructured] | None:
        """All templates of the kind; None as long as they are not known."""
        informer = self._informing.get(kind)
        return CachedClient(self._host, informer) if informer is not None and informer.has_synced else None

    def problem(self, kind: GroupVersionKind) -> str | None:
        """Why they are not known, in words for whoever wrote the policy; None if nothing is known to be wrong."""
        informer = self._informing.get(kind)
        if informer is not None and not informer.has_synced and informer.last_error is not None:
            return f"{kind} cannot be listed: {informer.last_error}"
        return self._problems.get(kind)

    def is_absent(self, kind: GroupVersionKind) -> bool:
        """Whether the control plane is known to have no templates of the kind, since it has no such kind."""
        return kind in self._absent

    async def run(self) -> None:
        """Start and stop informers as they are wanted, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wants_changed.clear()
                wanted = frozenset[GroupVersionKind]().union(*self._wanted.values())
                for kind in sorted(self._serving.keys() - wanted):
                    self._serving.pop(kind).cancel()
                for kind in sorted(wanted - self._serving.keys()):
                    self._serving[kind] = group.create_task(self._serve(kind), name=f"templates {kind}")
                await self._wants_changed.wait()

    async def _serve(self, kind: GroupVersionKind) -> None:
        try:
            informer = self._informers.informer(await self._locate(kind), indexers=TEMPLATE_INDEXES)
        finally:
            self._problems.pop(kind, None)
            self._absent.discard(kind)
        self._informing[kind] = informer
        try:
            await informer.wait_synced()
            for listener in self._available:
                listener(kind)
            informer.add_handler(self._forward(kind), name=f"templates {kind}")
            await asyncio.Event().wait()
        finally:
            if self._informing.get(kind) is informer:
                del self._informing[kind]
            await self._informers.stop(informer)

    def _forward(self, kind: GroupVersionKind) -> Callable[[Event[Unstructured]], None]:
        def forward(event: Event[Unstructured]) -> None:
            for listener in self._changed:
                listener(kind, event)

        return forward

    async def _locate(self, kind: GroupVersionKind) -> Resource[Unstructured]:
        while True:
            try:
                served = await self._kinds.find(kind)
            except KubeError as error:
                problem = f"the control plane does not tell whether it serves {kind}: {error}"
            else:
                if served is not None and served.namespaced:
                    return served.resource(kind, decode_unstructured)
                self._absent.add(kind)
                problem = f"the control plane serves no {kind} that lives in namespaces"
            if self._problems.get(kind) != problem:
                self._problems[kind] = problem
                for listener in self._available:
                    listener(kind)
            await self._clock.sleep(_ASK_AGAIN_SECONDS)
