"""Ours with the MultiClusterService part only, beside Karmada's own components (tests/support/fake_karmada.py).

The control plane is Karmada's: its definitions without rules of ours, its webhooks, its aggregated Cluster API.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest_asyncio
import yaml

from testbed import Bed, ControllerProcess, karmada
from tests.integration.product.conftest import UNLIMITED
from tests.support.fake_karmada import FakeKarmada
from tests.support.fake_karmada_aggregated import AggregatedClusters
from tests.support.fleet import Space, serve_exports
from tests.support.traffic import Refusals

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., Awaitable[ControllerProcess]]

CONTROLLERS = "*"
"""Without `standalone`."""


def karmadas_manifests(root: Path) -> Path:
    """What is applied beside Karmada: its definitions, our roles, and in members the right to read."""
    directory = root / "manifests"
    crds = [*karmada.load(karmada.MANIFESTS / "crds"), *karmada.load(karmada.MANIFESTS / "standalone")]
    definitions = [without_rules(one) for one in crds if one["kind"] == "CustomResourceDefinition"]
    (directory / "crds").mkdir(parents=True)
    (directory / "crds" / "all.yaml").write_text(yaml.safe_dump_all(definitions))
    (directory / "member").mkdir()
    shutil.copy(karmada.MANIFESTS / "member" / "rbac.yaml", directory / "member")
    shutil.copytree(karmada.MANIFESTS / "controller", directory / "controller")
    return directory


def without_rules(value: Any) -> Any:
    """A definition without its CEL rules: Karmada checks with webhooks."""
    if isinstance(value, dict):
        return {key: without_rules(one) for key, one in value.items() if key != "x-kubernetes-validations"}
    return [without_rules(one) for one in value] if isinstance(value, list) else value


async def make_karmadas(bed: Bed, *, pull: Collection[str] = ()) -> Bed:
    """Make a bed a fleet of Karmada's, in which nobody acts yet. Of Pull clusters nobody there holds credentials."""
    manifests = karmadas_manifests(bed.root)
    await karmada.install(bed, manifests=manifests, standalone=False)
    for member in bed.members:
        if member in pull:
            body = {"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster", "metadata": {"name": member}}
            await bed.host.api.create(body | {"spec": {"syncMode": "Pull"}})
        else:
            await karmada.join(bed, member, manifests=manifests)
    await serve_exports(bed)
    return bed


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def karmada_bed(binaries: dict[str, Path]) -> AsyncIterator[Bed]:
    """A fleet of Karmada's, for all tests here that need no world of their own."""
    async with Bed(audit=True) as bed:
        yield await make_karmadas(bed)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def fake_karmada(karmada_bed: Bed) -> AsyncIterator[FakeKarmada]:
    """Karmada's components at work in that fleet."""
    async with FakeKarmada(karmada_bed) as running:
        await running.webhook.convert_bindings()
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def aggregated(karmada_bed: Bed) -> AsyncIterator[AggregatedClusters]:
    """Our way to that control plane."""
    async with AggregatedClusters(await karmada.controller_access(karmada_bed)) as proxy:
        yield proxy


@asynccontextmanager
async def starting(bed: Bed, kubeconfig: Path) -> AsyncIterator[Run]:
    """A function that starts ours: ``await run("name", *flags)``. What still runs at the end is killed.

    Ours never asks for what it may not do, which is checked at the end.
    """
    refusals = Refusals.since_now(bed)
    async with AsyncExitStack() as stack:

        async def start(name: str, *flags: str) -> ControllerProcess:
            process = ControllerProcess(
                kubeconfig, root=bed.root, name=name, controllers=CONTROLLERS, extra_args=[*UNLIMITED, "--v=4", *flags]
            )
            stack.push_async_callback(process.kill)
            await process.start()
            return process

        yield start
    assert refusals.found() == []


@pytest_asyncio.fixture(loop_scope="session")
async def run(karmada_bed: Bed, fake_karmada: FakeKarmada, aggregated: AggregatedClusters) -> AsyncIterator[Run]:
    """See :func:`starting`."""
    async with starting(karmada_bed, aggregated.kubeconfig(karmada_bed.root / "aggregated.kubeconfig")) as start:
        yield start


@pytest_asyncio.fixture(loop_scope="session")
async def space(karmada_bed: Bed, fake_karmada: FakeKarmada) -> AsyncIterator[Space]:
    """A namespace of one's own, brought to the members by the fake Karmada."""
    made = await Space.make(karmada_bed)
    yield made
    await made.remove()
