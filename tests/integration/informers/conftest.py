"""The tests against real API servers run once for each kind of server that members have."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio

from testbed import Bed
from testbed.bed import HOST_NAME
from testbed.pytest_plugin import require_components
from tools.components import KUBERNETES_VERSION, OLDER_KUBERNETES_VERSION, apiserver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


class ServerKind(NamedTuple):
    """A kube-apiserver and its flags."""

    version: str
    flags: tuple[str, ...] = ()

    @property
    def streams_lists(self) -> bool:
        return "--feature-gates=WatchList=false" not in self.flags

    def arguments(self) -> dict[str, Any]:
        """Of a bed whose control plane is such a server."""
        return {"versions": {HOST_NAME: self.version}, "apiserver_flags": self.flags, "controller_manager": False}


# v1.32 has streaming lists switched on, v1.31 and v1.33 have not: its users switch them off, and so does a case here.
SERVERS = {
    "newest": ServerKind(KUBERNETES_VERSION),
    "older": ServerKind(OLDER_KUBERNETES_VERSION),
    "older-without-streaming-lists": ServerKind(OLDER_KUBERNETES_VERSION, ("--feature-gates=WatchList=false",)),
}
MARKS = {"older": pytest.mark.long}
"""It differs from each of the others in one thing alone."""


@pytest.fixture(
    scope="session", params=[pytest.param(kind, id=name, marks=MARKS.get(name, ())) for name, kind in SERVERS.items()]
)
def server_kind(request: pytest.FixtureRequest, binaries: dict[str, Path]) -> ServerKind:
    """The kind of server in turn; tests of one kind run after each other."""
    kind: ServerKind = request.param
    require_components([apiserver(kind.version)])
    return kind


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bed(server_kind: ServerKind) -> AsyncIterator[Bed]:
    """In place of the shared bed: one whose control plane is such a server, and a member to mistake it for."""
    async with Bed(members=("member1",), **server_kind.arguments()) as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="session")
async def new_bed(server_kind: ServerKind) -> AsyncIterator[Callable[..., Awaitable[Bed]]]:
    """As everywhere, but the control plane is such a server."""
    async with AsyncExitStack() as stack:

        async def start(**arguments: Any) -> Bed:
            return await stack.enter_async_context(Bed(**{**server_kind.arguments(), **arguments}))

        yield start
