"""Data planes coexist, go on without their API server, and leave nothing behind, however they end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from testbed import Bed
from testbed.dataplane import leftovers, names, network
from testbed.state import BEDS
from tests.integration.dataplane.support import HELLO, curl, pod, running

# The bed's own life changes seldom, and each of these starts beds of its own.
pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).resolve().parents[3]


def left_of(root: Path) -> list[str]:
    """What is named after the bed that was in a directory."""
    bed = names.bed_id(root)
    found = [each for each in network.existing() if names.bed_of(each) == bed]
    if network.ETC_NETNS.is_dir():
        found += [f"{each}" for each in network.ETC_NETNS.iterdir() if names.bed_of(each.name) == bed]
    return found + ([str(leftovers.directory(bed))] if leftovers.directory(bed).exists() else [])


@pytest.mark.asyncio(loop_scope="session")
async def test_two_beds_side_by_side_have_the_same_addresses_and_never_meet(dataplane):
    async with AsyncExitStack() as stack:
        async with asyncio.TaskGroup() as tasks:
            beds = [Bed(members=("only",), dataplane=True) for _ in range(2)]
            for each in beds:
                tasks.create_task(each.__aenter__())
        for each in beds:
            stack.push_async_exit(each.__aexit__)
        addresses = set()
        for number, each in enumerate(beds):
            plane = each.members["only"]
            await plane.api.create(pod(f"web-{number}", "nginx"), namespace="default")
            addresses |= set((await running(plane, "default", f"web-{number}")).values())
            await plane.api.create(pod("curl", "curlimages/curl"), namespace="default")
            await running(plane, "default", "curl")
        (address,) = addresses
        for number, each in enumerate(beds):
            assert await curl(each, "only", "default", f"http://{address}") == HELLO.format(pod=f"web-{number}")

        # What carries traffic needs no API server.
        await beds[0].members["only"].kill_apiserver()
        assert await curl(beds[0], "only", "default", f"http://{address}") == HELLO.format(pod="web-0")
        roots = [each.root for each in beds]
        assert all(left_of(root) for root in roots)
    assert not any(left_of(root) for root in roots)


OWNER = """
import asyncio, sys
from pathlib import Path
from testbed import Bed

async def main():
    async with Bed(members=("only",), dataplane=True, root=Path(sys.argv[1])):
        print("up", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.asyncio(loop_scope="session")
async def test_when_the_owner_of_a_data_plane_is_killed_the_next_bed_removes_what_is_left(dataplane, tmp_path):
    root = tmp_path / "bed"
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER, str(root)),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert owner.stdout is not None
    assert await owner.stdout.readline() == b"up\n"
    assert left_of(root)
    owner.kill()
    await owner.wait()
    async with Bed(members=(), controller_manager=False):
        assert not left_of(root)


def run(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=400)
    if check:
        assert result.returncode == 0, result.stderr
    return result


def test_a_named_bed_lets_commands_run_in_its_pods_and_down_after_a_crash_leaves_nothing(dataplane):
    name = f"test-{uuid.uuid4().hex[:8]}"
    testbed = (sys.executable, "-m", "testbed")
    try:
        up = run(*testbed, "up", "--name", name, "--members=1", "--planes-only", "--dataplane", "--output=json")
        state = json.loads(up.stdout)
        assert state["dataplane"] is True
        kubectl = (state["kubectl"], "--kubeconfig", state["kubeconfigs"]["member1"])
        run(*kubectl, "run", "curl-1", "--image=curlimages/curl")
        run(*kubectl, "wait", "--for=condition=Ready", "pod/curl-1", "--timeout=60s")

        in_pod = (*testbed, "exec", "--name", name, "member1")
        answer = run(*in_pod, "curl", "--", "sh", "-c", "hostname; exit 3", check=False)
        assert (answer.returncode, answer.stdout) == (3, "curl-1\n")
        unknown = run(*in_pod, "nobody", "--", "true", check=False)
        assert "there are curl-1" in unknown.stderr

        os.kill(state["supervisor"]["pid"], signal.SIGKILL)
        assert left_of(BEDS / name)
    finally:
        run(*testbed, "down", "--name", name)
    assert not left_of(BEDS / name)
