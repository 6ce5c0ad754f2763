"""Fixtures for tests against real API servers.

Switch on with ``pytest_plugins = ["testbed.pytest_plugin"]`` in the ``conftest.py`` at the root of the tests, of this
project or of another one (docs/writing-a-controller.md, "Testing"). pytest needs no settings for it. Then::

    pytestmark = pytest.mark.asyncio(loop_scope="session")   # the shared bed lives on the session's event loop

    async def test_something(bed, namespace):
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
        await bed.host.api.create(config, namespace=namespace)

Fixtures:

``bed``
    One for the whole session: a control plane, ``member1`` and ``member2``, audited, with controller managers and Pods
    that "run". Share it, and keep to a namespace of your own. Do not stop its planes.
``installed_bed``
    The same bed with the project's manifests applied and both members joined. No controller runs.
``new_bed``
    A function that starts a bed for this test alone, for tests that kill planes or need other members:
    ``bed = await new_bed(members=("a",), controller_manager=False)``. Arguments are those of :class:`testbed.Bed`.
    It stops when the test ends. About 3 s for a lone plane without controller manager.
``namespace``
    The name of a new namespace, made on every plane of ``bed`` and deleted (not waited for) afterwards.
``dataplane_bed``
    One more bed for the whole session, audited, with two members whose Pods really answer (:mod:`testbed.dataplane`).
    Nothing is installed in it. Keep to a namespace of your own.
``dataplane``
    Skips the test where the machine cannot carry a data plane, for tests that start such a bed themselves with
    ``new_bed(dataplane=True)``.
``older_apiserver``
    The version of the older kube-apiserver that is pinned, for ``new_bed(versions={"member1": older_apiserver})``:
    members are rarely on the newest one.
``binaries``
    Paths of the components. All of the above depend on it.

A machine without the binaries: nothing is ever built from within a test. Locally the test is skipped, with the command
that builds them; where the variable ``CI`` is set it fails, so that no pipeline is green for want of a binary. The same
holds for a machine without root or nftables and the tests that need a data plane.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import pytest_asyncio

from testbed import karmada
from testbed.bed import Bed, required_components
from testbed.dataplane import missing_capabilities
from testbed.tasks import together
from tools.components import OLDER_KUBERNETES_VERSION, ComponentError, apiserver, missing, resolve

if TYPE_CHECKING:
    from pathlib import Path

NewBed = Callable[..., Awaitable[Bed]]


def require_components(names: list[str]) -> dict[str, Path]:
    """Paths of components that are there already; skips the test, or fails it in CI, if one is missing."""
    try:
        absent = missing(names)
        if not absent:
            return resolve(names)
        command = f"python -m tools resolve {' '.join(absent)}"
        reason = f"missing {', '.join(absent)}: run `{command}` (builds once, takes minutes)"
    except ComponentError as error:
        reason = str(error)
    return cannot(reason)


def cannot(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def binaries() -> dict[str, Path]:
    """Paths of the components that beds need, and of kubectl."""
    return require_components([*required_components(), "kubectl"])


@pytest.fixture(scope="session")
def older_apiserver(binaries: dict[str, Path]) -> str:
    """The version of an API server that is not the newest, and that can be had."""
    require_components([apiserver(OLDER_KUBERNETES_VERSION)])
    return OLDER_KUBERNETES_VERSION


@pytest.fixture(scope="session")
def dataplane(binaries: dict[str, Path]) -> dict[str, Path]:
    """Paths of the components that data planes need, too, on a machine that can carry one."""
    if missing_here := missing_capabilities():
        cannot("no data plane is possible here; what is missing: " + "; ".join(missing_here))
    return require_components(required_components(dataplane=True))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dataplane_bed(dataplane: dict[str, Path]) -> AsyncIterator[Bed]:
    """The session's shared bed whose Pods answer."""
    async with Bed(audit=True, dataplane=True) as shared:
        yield shared


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bed(binaries: dict[str, Path]) -> AsyncIterator[Bed]:
    """The session's shared bed."""
    async with Bed(audit=True) as shared:
        yield shared


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def installed_bed(bed: Bed) -> Bed:
    """The shared bed with the project's manifests applied and its members joined."""
    await karmada.install(bed)
    await karmada.join_all(bed)
    return bed


@pytest_asyncio.fixture(loop_scope="session")
async def new_bed(binaries: dict[str, Path]) -> AsyncIterator[NewBed]:
    """A function that starts a bed for this test alone."""
    async with AsyncExitStack() as stack:

        async def start(**arguments: Any) -> Bed:
            return await stack.enter_async_context(Bed(**arguments))

        yield start


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(bed: Bed) -> AsyncIterator[str]:
    """A namespace of one's own on every plane of the shared bed."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    planes = [bed.host, *bed.members.values()]
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await together(plane.api.create(manifest) for plane in planes)
    yield name
    await together(plane.api.delete("v1/namespaces", name, missing_ok=True) for plane in planes)
