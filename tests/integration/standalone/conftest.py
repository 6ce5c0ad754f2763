"""Two fleets for all tests here: one that the controllers of a test act on, one with the installed binary."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest_asyncio

from testbed import Bed, ControllerProcess, karmada
from tests.support.fleet import NAMESPACES, gone
from tests.support.propagation_world import BINDINGS, CLUSTERS, SPACE, WORKS, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lone_member(binaries: dict[str, Path]) -> AsyncIterator[Bed]:
    """A control plane and one member, `m1`, that has not joined."""
    async with Bed(members=("m1",), audit=True) as bed:
        await karmada.install(bed)
        yield bed


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(lone_member: Bed) -> AsyncIterator[Bed]:
    """The same, joined and said to be ready, for the tests of a module."""
    host = lone_member.host.api
    await karmada.join(lone_member, "m1")
    ready = {"type": "Ready", "status": "True", "reason": "ClusterReady", "message": ""}
    ready["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    await host.patch(CLUSTERS, "m1", {"status": {"conditions": [ready]}}, subresource="status")
    await host.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
    yield lone_member
    await karmada.unjoin(lone_member, "m1")
    await host.delete(NAMESPACES, SPACE)
    await gone(host, NAMESPACES, SPACE)


@pytest_asyncio.fixture(loop_scope="session")
async def world(fleet: Bed) -> AsyncIterator[World]:
    """Each test has namespaces of its own, and leaves no Work behind."""
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    for plane in (fleet.host, fleet.members["m1"]):
        await plane.api.create(manifest)
    yield World(fleet, await karmada.controller_access(fleet), namespace)
    for work in await fleet.host.api.list(WORKS):
        name = work["metadata"]["name"]
        await fleet.host.api.patch(WORKS, name, {"metadata": {"finalizers": None}}, namespace=SPACE)
        await fleet.host.api.delete(WORKS, name, namespace=SPACE, missing_ok=True)
    for binding in await fleet.host.api.list(BINDINGS, namespace=namespace):
        name = binding["metadata"]["name"]
        await fleet.host.api.patch(BINDINGS, name, {"metadata": {"finalizers": None}}, namespace=namespace)
        await fleet.host.api.delete(BINDINGS, name, namespace=namespace, missing_ok=True)


class Installed:
    """A fleet, and the installed binary that acts on it and can be started anew."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.process = self._new()

    def _new(self) -> ControllerProcess:
        flags = ["--cluster-status-update-frequency=1s", "--cluster-success-threshold=1s", "--v=4"]
        return ControllerProcess(self.bed.root / "controller.kubeconfig", root=self.bed.root, extra_args=flags)

    async def restart(self) -> None:
        await self.process.terminate()
        self.process = self._new()
        await self.process.start()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def installed(binaries: dict[str, Path]) -> AsyncIterator[Installed]:
    async with Bed(audit=True) as bed:
        await karmada.install(bed)
        await karmada.join_all(bed)
        await karmada.controller_kubeconfig(bed)
        installed = Installed(bed)
        await installed.process.start()
        yield installed
        assert await installed.process.terminate() == 0, installed.process.tail()
