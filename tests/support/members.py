"""Member clusters in memory: a `MemoryApi` for each, joined and left by the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from informers.cache.factory import InformerFactory
    from informers.cache.store import Indexers
    from informers.client.client import ApiClient
    from informers.resource import Resource
    from mcs_controller.standalone.member_objects import Member
    from tests.support.memory import MemoryApi, MemoryInformer


@dataclass(eq=False)
class MemoryFactory:
    """An `InformerFactory` over a `MemoryApi`. With `listing`, new informers are not synced until the test says so."""

    api: MemoryApi
    listing: bool = False
    informers: dict[tuple[str, str], MemoryInformer[Any]] = field(default_factory=dict)

    def informer(
        self, resource: Resource[Any], *, label_selector: str = "", indexers: Indexers[Any] | None = None
    ) -> MemoryInformer[Any]:
        key = (resource.plural, label_selector)
        if key not in self.informers:
            self.informers[key] = self.api.informer(resource, indexers, label_selector=label_selector)
            if self.listing:
                self.informers[key].synced.clear()
        return self.informers[key]

    async def stop(self, informer: MemoryInformer[Any]) -> None:
        self.informers = {key: other for key, other in self.informers.items() if other is not informer}


@dataclass(frozen=True, eq=False)
class MemoryMember:
    """A `MemberCluster`."""

    name: str
    client: ApiClient
    informers: InformerFactory
    credentials: str = "its credentials"


class MemoryMembers:
    """What `MemberClusters` is to those who use it."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self.factories: dict[str, MemoryFactory] = {}
        self._members: dict[str, MemoryMember] = {}
        self._listeners: list[tuple[Callable[[Member], None], Callable[[str], None]]] = []

    def get(self, name: str) -> MemoryMember | None:
        return self._members.get(name)

    def problem(self, name: str) -> str | None:
        return self.problems.get(name)

    def add_listener(self, *, joined: Callable[[Member], None], left: Callable[[str], None]) -> None:
        self._listeners.append((joined, left))

    def join(self, name: str, api: MemoryApi, *, listing: bool = False) -> None:
        self.factories[name] = MemoryFactory(api, listing)
        member = MemoryMember(name, cast("ApiClient", api), cast("InformerFactory", self.factories[name]))
        self._members[name] = member
        for joined, _ in self._listeners:
            joined(member)

    def leave(self, name: str) -> None:
        del self._members[name]
        for _, left in self._listeners:
            left(name)
