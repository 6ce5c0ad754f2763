"""Every version of every object that matters, as watches tell them, and who wrote which field when.

Fields are attributed by managedFields: each writer here has a field manager of its own.
"""

import asyncio
import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, NamedTuple, Self

from testbed import Bed
from tests.support.fake_karmada_loop import Reflector

Object = dict[str, Any]

HOST_KINDS = (
    "networking.karmada.io/v1alpha1/multiclusterservices",
    "work.karmada.io/v1alpha1/works",
    "work.karmada.io/v1alpha2/resourcebindings",
    "v1/services",
    "discovery.k8s.io/v1/endpointslices",
)
MEMBER_KINDS = ("v1/services", "discovery.k8s.io/v1/endpointslices")


class Identity(NamedTuple):
    """One object; another one of the same name is another object."""

    plane: str
    kind: str
    namespace: str
    name: str
    uid: str


class History:
    """Records while the block lasts, on all planes of a bed."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._stack = AsyncExitStack()
        self.versions: dict[Identity, list[Object]] = defaultdict(list)
        self.ended: set[Identity] = set()
        self.log: list[tuple[Identity, Object | None]] = []

    async def __aenter__(self) -> Self:
        planes = [(self._bed.host, HOST_KINDS), *((one, MEMBER_KINDS) for one in self._bed.members.values())]
        for plane, kinds in planes:
            for kind in kinds:
                reflector = Reflector(plane.api, kind, functools.partial(self._record, plane.name))
                task = asyncio.create_task(reflector.run())
                self._stack.push_async_callback(_ended, task)
                await reflector.synced.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _record(self, plane: str, before: Object | None, after: Object | None) -> None:
        obj = after or before
        assert obj is not None
        metadata = obj["metadata"]
        identity = Identity(plane, obj["kind"], metadata.get("namespace", ""), metadata["name"], metadata["uid"])
        if after is None:
            self.ended.add(identity)
        else:
            self.versions[identity].append(after)
        self.log.append((identity, after))

    def writers(self) -> dict[tuple[Identity, str], list[str]]:
        """By object and path of each field, its writers one after the other."""
        result: dict[tuple[Identity, str], list[str]] = {}
        for identity, versions in self.versions.items():
            for version in versions:
                for path, writer in _owners(version):
                    names = result.setdefault((identity, path), [])
                    if not names or names[-1] != writer:
                        names.append(writer)
        return result

    def contested(self) -> dict[tuple[Identity, str], list[str]]:
        """Those that had several writers. Also what was taken over once is in here; a fight is a longer list."""
        return {field: names for field, names in self.writers().items() if len(names) > 1}

    def fewest(self, plane: str, service: str, since: int = 0) -> int:
        """The least number of ready addresses that the slices of a Service ever had together.

        Args:
            plane: where to look.
            service: `namespace/name`.
            since: position in `log` from which on it counts.
        """
        there: dict[Identity, set[str]] = {}
        counts = []
        for position, (identity, obj) in enumerate(self.log):
            there[identity] = _ready(obj) if obj is not None and _serves(plane, service, identity, obj) else set()
            if position + 1 >= since:
                counts.append(len(set().union(*there.values())))
        return min(counts) if counts else len(set().union(*there.values()))


def _serves(plane: str, service: str, identity: Identity, obj: Object) -> bool:
    name = (obj["metadata"].get("labels") or {}).get("kubernetes.io/service-name")
    return identity[:2] == (plane, "EndpointSlice") and f"{identity.namespace}/{name}" == service


def _ready(slice_: Object) -> set[str]:
    return {
        address
        for endpoint in slice_.get("endpoints") or ()
        if endpoint.get("conditions", {}).get("ready", True)
        for address in endpoint["addresses"]
    }


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _owners(obj: Object) -> Iterator[tuple[str, str]]:
    """(path, manager) of each leaf; one that several own, as they wrote the same, counts as the first one's."""
    seen: dict[str, str] = {}
    entries = sorted(obj["metadata"].get("managedFields") or (), key=lambda one: one.get("time", ""))
    for entry in entries:
        for path in _leaves(entry.get("fieldsV1") or {}, ()):
            seen.setdefault(path, entry["manager"])
    yield from seen.items()


def _leaves(fields: Object, path: tuple[str, ...]) -> Iterator[str]:
    for key, below in fields.items():
        if key == ".":
            continue
        if below:
            yield from _leaves(below, (*path, key))
        else:
            yield " ".join((*path, key))


def told(contested: Iterable[tuple[tuple[Identity, str], list[str]]]) -> str:
    """One line for each, for failure messages."""
    return "\n".join(f"{one.plane} {one.kind} {one.name} {path}: {names}" for (one, path), names in contested)
