"""What `get` and `describe` show of a service on real API servers."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from mcs_controller.mcsctl.main import EXIT_BROKEN, EXIT_HEALTHY, EXIT_INTERRUPTED, main
from testbed import NotYet, wait_for
from tests.integration.mcsctl.calls import environment
from tests.support.fleet import DEPLOYMENTS, PATIENCE_SECONDS, SLICES, eventually

if TYPE_CHECKING:
    from tests.integration.mcsctl.conftest import Patient

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def mcsctl(
    patient: Patient, capsys: pytest.CaptureFixture[str], *words: str, code: int = EXIT_HEALTHY
) -> tuple[str, str]:
    """Run a command as a person would, and return what it says on standard output and standard error."""
    capsys.readouterr()
    arguments = ["--kubeconfig", patient.kubeconfig, "--context", "karmada", *words]
    found = await asyncio.to_thread(main, arguments)
    output = capsys.readouterr()
    assert found == code, output
    return output.out, output.err


async def test_get_shows_each_route_with_its_endpoints(shared: Patient, capsys: pytest.CaptureFixture[str]):
    space = ("-n", shared.space.namespace)

    async def delivered() -> Any:
        output, _ = await mcsctl(shared, capsys, "get", *space, "-o", "json")
        (row,) = json.loads(output)["services"]
        if [one["state"] for one in row["routes"]] != ["ok"] or row["notes"]:
            raise NotYet(output)
        return row

    row = await wait_for("a delivered route", delivered, PATIENCE_SECONDS)
    (route,) = row["routes"]
    assert (route["provider"], route["consumer"]) == ("member1", "member2")
    assert route["offered"] == route["delivered"] == {"ready": 1, "total": 1}
    for words in (["web", *space], ["-A", "-o", "wide"]):
        output, _ = await mcsctl(shared, capsys, "get", *words)
        assert "1/1" in output
        assert "\x1b" not in output, "no colours in a pipe"
    output, _ = await mcsctl(shared, capsys, "graph", "web", *space, "--format", "mermaid")
    assert '-->|"1/1"|' in output
    output, errors = await mcsctl(shared, capsys, "get", "wbe", *space, code=EXIT_BROKEN)
    assert (output, "No MultiClusterService wbe" in errors) == ("", True)


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
async def test_get_watch_shows_a_change_until_it_is_interrupted(shared: Patient, terminal: bool):
    space = shared.space
    reading, writing = pty.openpty() if terminal else os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mcs_controller.mcsctl.main", "--context", "karmada"),
        *("get", "web", "-n", space.namespace, "-w"),
        env=environment(shared.kubeconfig),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=writing,
        stderr=writing,
    )
    os.close(writing)
    shown = bytearray()
    ended = asyncio.create_task(asyncio.to_thread(read_all, reading, shown))

    async def scale(replicas: int) -> None:
        body = {"spec": {"replicas": replicas}}
        await space.member("member1").patch(DEPLOYMENTS, "web", body, namespace=space.namespace)

        async def seen() -> bool:
            return f"member2 {replicas}/{replicas}".encode() in shown

        await eventually(f"{replicas} endpoints", seen, True)
        shown.clear()

    try:
        for replicas in (1, 2, 1):
            await scale(replicas)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == EXIT_INTERRUPTED
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await ended
        os.close(reading)
    assert b"Traceback" not in shown
    await shared.healthy()


def read_all(source: int, into: bytearray) -> None:
    """Read a pipe, or a terminal, to its end, which is an error of a terminal."""
    with suppress(OSError):
        while some := os.read(source, 65536):
            into.extend(some)


async def test_kubectl_completes_the_plugin(shared: Patient):
    async def completed(words: str) -> list[str]:
        return (
            await shared.paste(f"KUBECONFIG={shared.kubeconfig} kubectl __complete mcs {words} 2>/dev/null")
        ).splitlines()

    assert (await completed("doc"))[0].startswith("doctor\tFind out")
    named = f"--context karmada doctor -n {shared.space.namespace}"
    assert (await completed(f"{named} we"))[:2] == ["web", ":4"]
    assert (await completed(f"{named} --from member"))[:3] == ["member1", "member2", ":4"]
    assert (await completed(f"--context nobody doctor -n {shared.space.namespace} we"))[0] == ":4"


async def test_describe_follows_the_chain_object_by_object(shared: Patient, capsys: pytest.CaptureFixture[str]):
    space = ("-n", shared.space.namespace)
    output, _ = await mcsctl(shared, capsys, "describe", "web", *space, "-o", "json")
    steps = json.loads(output)["chain"]
    assert {one["status"] for one in steps} == {"there"}, output
    assert all(one["version"] for one in steps)
    sections = list(dict.fromkeys(one["section"] for one in steps))
    assert sections == ["control plane", "member1, provider", "member2, consumer", "member1 → member2"]
    output, _ = await mcsctl(shared, capsys, "describe", "web", *space)
    assert "karmada-es-member2" in output
    output, _ = await mcsctl(shared, capsys, "describe", "wbe", *space, code=EXIT_BROKEN)
    assert output.count("missing") == 3


async def test_trace_times_each_hop_and_leaves_nothing(shared: Patient, capsys: pytest.CaptureFixture[str]):
    space = shared.space.namespace
    output, _ = await mcsctl(shared, capsys, "trace", "web", "-n", space, "--touch", "-o", "json")
    hops = json.loads(output)["hops"]
    assert [one["cluster"] for one in hops] == ["member1", "member1", "member2", "member2"]
    assert all(one["milliseconds"] is not None for one in hops)
    left = await shared.space.bed.members["member1"].api.list(SLICES, namespace=space)
    assert not [one for one in left if "-trace-" in one["metadata"]["name"]]
