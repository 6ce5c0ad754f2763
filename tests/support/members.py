"""Member clusters in memory: a `MemoryApi` for each, joined and left by the test."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

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
    _informers: dict[tuple[Resource[Any], frozenset[tuple[str, str]]], MemoryInformer[Any]] = field(
        default_factory=dict
    )

    def informer(
        self, resource: Resource[Any], *, indexers: Indexers[Any] | None = None, **selectors: str
    ) -> MemoryInformer[Any]:
        key = resource, frozenset(selectors.items())
        if key not in self._informers:
            self._informers[key] = self.api.informer(resource, **selectors)  # type: ignore[arg-type]
            if self.listing:
                self._informers[key].synced.clear()
        self._informers[key].add_indexers(indexers or {})
        return self._informers[key]

    async def stop(self, informer: MemoryInformer[Any]) -> None:
        self._informers = {key: other for key, other in self._informers.items() if other is not informer}
        self.api.stop(informer)

    @property
    def informers(self) -> dict[tuple[str, str], MemoryInformer[Any]]:
        """By plural and label selector."""
        return {
            (resource.plural, dict(selectors).get("label_selector", "")): informer
            for (resource, selectors), informer in self._informers.items()
        }


@dataclass(frozen=True, eq=False)
class MemoryMember:
    """A `MemberCluster`."""

    name: str
    client: ApiClient
    informers: InformerFactory

    @property
    def credentials(self) -> str:
        return f"the token in Secret karmada-cluster/{self.name}"


class MemoryMembers:
    """What `MemberClusters` is to those who use it."""

    def __init__(self, apis: Mapping[str, MemoryApi] | None = None) -> None:
        self.problems: dict[str, str] = {}
        self.factories: dict[str, MemoryFactory] = {}
        self.connected: dict[str, MemoryMember] = {}
        self._apis = apis or {}
        self._listeners: list[tuple[Callable[[Member], None], Callable[[str], None]]] = []

    def get(self, name: str) -> MemoryMember | None:
        return self.connected.get(name)

    def problem(self, name: str) -> str | None:
        return self.problems.get(name)

    def add_listener(self, *, joined: Callable[[Member], None], left: Callable[[str], None]) -> None:
        self._listeners.append((joined, left))
        for member in self.connected.values():
            joined(member)

    def join(self, name: str, api: MemoryApi | None = None, *, listing: bool = False) -> None:
        """A connection is there, perhaps again."""
        self.leave(name)
        self.factories[name] = MemoryFactory(api or self._apis[name], listing)
        client = cast("ApiClient", self.factories[name].api)
        self.connected[name] = MemoryMember(name, client, cast("InformerFactory", self.factories[name]))
        for joined, _ in self._listeners:
            joined(self.connected[name])

    def leave(self, name: str) -> None:
        """The connection is closed, if there is one."""
        if self.connected.pop(name, None) is not None:
            for _, left in self._listeners:
                left(name)
