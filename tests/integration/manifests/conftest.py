"""One API server for these tests alone: they change things of the whole cluster, and nothing else may write there."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from testbed.bed import Bed
from testbed.pytest_plugin import require_components
from tests.integration.manifests.support import FOLDERS, ROOT

if TYPE_CHECKING:
    from testbed.controlplane import ControlPlane

Shell = Callable[..., Awaitable["subprocess.CompletedProcess[str]"]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lone_bed() -> AsyncIterator[Bed]:
    """Two API servers, a control plane and a member.

    Without controllers, above all without a garbage collector: the golden objects have owners that are not there.
    """
    require_components(["etcd", "kube-apiserver", "kubectl"])
    async with Bed(members=("member1",), controller_manager=False) as bed:
        yield bed


@pytest.fixture(scope="session")
def shell(lone_bed: Bed) -> Shell:
    """Runs a command line as a person would who has `kubectl` in the path and the kubeconfig in the environment."""
    kubectl = require_components(["kubectl"])["kubectl"]

    async def run(
        line: str, *, plane: ControlPlane = lone_bed.host, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        result = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-o", "pipefail", "-c", line],
            cwd=ROOT,
            env={
                "PATH": f"{kubectl.parent}:{os.environ['PATH']}",
                "HOME": str(lone_bed.root),  # kubectl keeps a discovery cache
                "KUBECONFIG": str(plane.access.kubeconfig),
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 0 or not check, f"{line}\n{result.stdout}{result.stderr}"
        return result

    return run


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def installed(lone_bed: Bed, shell: Shell) -> ControlPlane:
    """The control plane with all its manifests applied, folder by folder, strictly validated by the server."""
    for folder in FOLDERS:
        await shell(f"kubectl apply --validate=strict -f manifests/{folder}/")
        if folder in {"crds", "standalone"}:
            await shell("kubectl wait --for=condition=Established --timeout=30s crd --all")
    return lone_bed.host


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def member(lone_bed: Bed, shell: Shell) -> ControlPlane:
    """The member with the manifests for members applied."""
    plane = lone_bed.members["member1"]
    await shell("kubectl apply --validate=strict -f manifests/member/", plane=plane)
    return plane
