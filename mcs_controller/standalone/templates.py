"""Objects of the control plane that are brought to members: one informer for each kind, there as long as it is wanted.

Which kinds those are, policies and bindings tell; where they are, the API server's discovery.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from informers.cache.cached_client import CachedClient
from informers.dynamic import DynamicInformers
from informers.errors import KubeError
from informers.resource import GroupVersionKind
from mcs_controller.api.common import Unstructured, unstructured_decoder
from mcs_controller.standalone.domain.policy_claims import TEMPLATE_INDEXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from informers.cache.event import Event
    from informers.cache.factory import InformerFactory
    from informers.cache.informer import SharedInformer
    from informers.cache.registration import Registration
    from informers.client.client import ApiClient
    from informers.resource import Resource
    from informers.rest_mapper import RESTMapper
    from workqueue.clock import Clock

_ASK_AGAIN_SECONDS: Final = 10.0
"""After discovery failed, or knew no such kind: a CustomResourceDefinition may be on its way."""


class TemplateInformers:
    """Informers of templates by kind. A runnable that needs leadership, like its users. Not thread-safe."""

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
        self._templates = DynamicInformers[GroupVersionKind, Unstructured](
            clock=clock, register=self._register, synced=self._tell_available, stop=informers.stop
        )
        self._problems: dict[GroupVersionKind, str] = {}
        self._absent: set[GroupVersionKind] = set()
        self._changed: list[Callable[[GroupVersionKind, Event[Unstructured]], None]] = []
        self._available: list[Callable[[GroupVersionKind], None]] = []

    def subscribe(
        self,
        *,
        changed: Callable[[GroupVersionKind, Event[Unstructured]], None],
        available: Callable[[GroupVersionKind], None],
    ) -> None:
        """Hear of changed templates, and of kinds of which more is known now.

        `changed` begins with all templates as they are listed. Both are called between two awaits, so
        they must do no more than enqueue.
        """
        self._changed.append(changed)
        self._available.append(available)

    def want(self, user: str, kinds: Iterable[GroupVersionKind]) -> None:
        """These, and no others than before, are the kinds that `user` needs. What nobody needs is stopped."""
        self._wanted[user] = frozenset(kinds)
        wanted = frozenset[GroupVersionKind]().union(*self._wanted.values())
        for kind in self._templates:
            if kind not in wanted:
                self._templates.remove(kind)
        for kind in sorted(wanted):
            if kind not in self._templates:
                self._templates.find(kind, functools.partial(self._find, kind))

    def get(self, kind: GroupVersionKind) -> CachedClient[Unstructured] | None:
        """All templates of the kind; None as long as they are not known."""
        informer = self._templates.get_synced(kind)
        return CachedClient(self._host, informer) if informer is not None else None

    def problem(self, kind: GroupVersionKind) -> str | None:
        """Why they are not known, in words for whoever wrote the policy; None if nothing is known to be wrong."""
        informer = self._templates.get(kind)
        if informer is not None and not informer.has_synced and informer.last_error is not None:
            return f"{kind} cannot be listed: {informer.last_error}"
        return self._problems.get(kind)

    def is_absent(self, kind: GroupVersionKind) -> bool:
        """Whether the control plane is known to have no templates of the kind, since it has no such kind."""
        return kind in self._absent

    async def run(self) -> None:
        """Start and stop informers as they are wanted, until cancelled."""
        await self._templates.run()

    def _register(
        self, kind: GroupVersionKind, informer: SharedInformer[Unstructured]
    ) -> Sequence[Registration[Unstructured]]:
        def forward(event: Event[Unstructured]) -> None:
            for listener in self._changed:
                listener(kind, event)

        return (informer.add_handler(forward, name=f"templates {kind}"),)

    def _tell_available(self, kind: GroupVersionKind) -> None:
        for listener in self._available:
            listener(kind)

    async def _find(self, kind: GroupVersionKind) -> SharedInformer[Unstructured]:
        try:
            return self._informers.informer(await self._locate(kind), indexers=TEMPLATE_INDEXES)
        finally:
            self._problems.pop(kind, None)
            self._absent.discard(kind)

    async def _locate(self, kind: GroupVersionKind) -> Resource[Unstructured]:
        while True:
            try:
                served = await self._kinds.find(kind)
            except KubeError as error:
                problem = f"the control plane does not tell whether it serves {kind}: {error}"
            else:
                if served is not None and served.namespaced:
                    return served.resource(kind, unstructured_decoder(kind))
                self._absent.add(kind)
                problem = f"the control plane serves no {kind} that lives in namespaces"
            if self._problems.get(kind) != problem:
                self._problems[kind] = problem
                self._tell_available(kind)
            await self._clock.sleep(_ASK_AGAIN_SECONDS)
