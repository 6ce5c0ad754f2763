"""Planes stop and come back, beds coexist, and nothing outlives its owner."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from testbed import Bed, ProcessFailed, wait_for
from testbed.identity import processes_of

# The bed's own life changes seldom, and each of these starts beds of its own.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]

REPOSITORY = Path(__file__).resolve().parents[3]


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


async def no_process_of(root: Path) -> None:
    async def gone() -> bool | None:
        return not list(processes_of(root)) or None

    await wait_for(f"no process of {root} to be left", gone)


async def test_a_killed_api_server_refuses_connections_and_comes_back_with_its_data_and_pods(new_bed):
    bed = await new_bed(members=("far",))
    plane = bed.members["far"]
    await plane.api.create(config_map("kept"))
    server = plane.access.server

    await plane.kill_apiserver()
    assert plane.apiserver.returncode == -signal.SIGKILL
    with pytest.raises(aiohttp.ClientConnectionError):
        await plane.api.list("v1/configmaps")
    await bed.host.api.list("v1/configmaps")  # the others do not notice

    await plane.start_apiserver()
    assert plane.access.server == server
    assert await plane.api.find("v1/configmaps", "kept", namespace="default") is not None
    pod = {"containers": [{"name": "c", "image": "nginx"}]}
    await plane.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "late"}, "spec": pod})

    async def running() -> bool | None:
        found = await plane.api.get("v1/pods", "late", namespace="default")
        return found["status"]["phase"] == "Running" or None

    await wait_for("a pod made after the restart to run", running)

    await plane.stop_apiserver()
    assert not plane.apiserver.running
    await plane.start_apiserver()
    assert await plane.api.find("v1/configmaps", "kept", namespace="default") is not None


async def test_two_beds_side_by_side_know_nothing_of_each_other(new_bed):
    async with asyncio.TaskGroup() as tasks:
        starts = [tasks.create_task(new_bed(members=(), controller_manager=False)) for _ in range(2)]
    one, other = (start.result() for start in starts)
    assert one.root != other.root
    await one.host.api.create(config_map("here"))
    assert await other.host.api.find("v1/configmaps", "here", namespace="default") is None


async def test_a_bed_that_ended_leaves_no_process_and_no_directory(binaries):
    async with Bed(members=(), controller_manager=False) as bed:
        root = bed.root
        assert len(list(processes_of(root))) == 2
    await no_process_of(root)
    assert not root.exists()


async def test_a_bed_whose_block_failed_keeps_its_directory_when_asked_and_says_where(binaries):
    roots = []

    async def failing_block() -> None:
        async with Bed(members=(), controller_manager=False, keep_on_failure=True) as bed:
            roots.append(bed.root)
            raise KeyError("a test failed")

    with pytest.raises(KeyError) as failure:
        await failing_block()
    (root,) = roots
    assert failure.value.__notes__ == [f"the bed's logs are kept in {root}"]
    assert (root / "karmada" / "kube-apiserver.log").exists()
    await no_process_of(root)
    shutil.rmtree(root)


OWNER = """
import asyncio, sys
from pathlib import Path
from typing import Any
from testbed import Bed

async def main():
    async with Bed(members=(), controller_manager=False, root=Path(sys.argv[1])):
        print("up", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "Ctrl-C"])
async def test_when_the_owner_of_a_bed_dies_no_process_is_left(binaries, tmp_path, signum):
    root = tmp_path / "bed"
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER, str(root)),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert owner.stdout is not None
    assert await owner.stdout.readline() == b"up\n"
    assert len(list(processes_of(root))) == 2
    owner.send_signal(signum)
    await owner.wait()
    await no_process_of(root)
    assert root.exists() is (signum is signal.SIGKILL)  # nobody was left to remove it


async def test_a_component_that_fails_is_named_with_the_end_of_its_log(tmp_path, monkeypatch):
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in ("etcd", "kube-apiserver"):
        (assets / name).write_text("#!/bin/sh\necho 'no space left on device'\nexit 3\n")
        (assets / name).chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    bed = Bed(members=(), controller_manager=False, root=tmp_path / "bed")
    with pytest.raises(ProcessFailed) as failure:
        await bed.__aenter__()
    assert "etcd ended before it was ready (exit code 3)" in str(failure.value)
    assert "no space left on device" in str(failure.value)
    assert failure.value.__notes__ == [f"all logs are kept in {tmp_path / 'bed'}"]
