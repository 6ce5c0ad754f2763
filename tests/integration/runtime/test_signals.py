"""Signals, sent to a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from mcs_controller.runtime.signals import ECHO_SECONDS, is_echo

PROGRAM = """
import asyncio, logging, sys
from mcs_controller.runtime import signals
from mcs_controller.runtime.logging import setup_logging
from mcs_controller.runtime.signals import stop_on_signals

async def main(drains):
    stopping = asyncio.Event()
    with stop_on_signals(stopping.set):
        print("ready", flush=True)
        await stopping.wait()
        print("stopping", flush=True)
        if not drains:
            await asyncio.Event().wait()

signals.ECHO_SECONDS = float(sys.argv[2])
setup_logging(2, "text", sys.stderr)
asyncio.run(main(sys.argv[1] == "drains"))
sys.stdin.read()  # until all signals have been sent: an interpreter on its way out has no handlers any more
print("drained", flush=True)
"""


async def start(how: str, *, echo_seconds: float = ECHO_SECONDS) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, how, str(echo_seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_first_signal_asks_to_stop(number: signal.Signals):
    process = await start("drains")
    process.send_signal(number)
    out, err = await asyncio.wait_for(process.communicate(b""), 60)
    assert (process.returncode, out) == (0, b"stopping\ndrained\n")
    assert f"Stopping signal={number.name}" in err.decode()


async def test_signal_that_comes_twice_at_once_is_one():
    process = await start("drains", echo_seconds=600)  # on a busy machine the second one may be late
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(process.communicate(b""), 60)
    assert (process.returncode, out) == (0, b"stopping\ndrained\n")
    assert err.decode().count("Stopping signal=SIGTERM") == 1


@pytest.mark.parametrize(
    ("number", "seconds", "echo"),
    [
        (signal.SIGTERM, 0.0, True),
        (signal.SIGTERM, 0.19, True),
        (signal.SIGTERM, 0.2, False),
        (signal.SIGINT, 0.0, False),
    ],
)
def test_only_the_same_signal_right_after_the_first_is_its_echo(number: signal.Signals, seconds: float, echo: bool):
    assert is_echo(number, seconds, of=signal.SIGTERM) is echo


async def test_second_signal_ends_the_process_at_once():
    process = await start("hangs")
    assert process.stdout is not None
    process.send_signal(signal.SIGTERM)
    assert await process.stdout.readline() == b"stopping\n"
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(b""), 60)
    assert (process.returncode, out) == (1, b"")
    assert "Second signal: exiting at once signal=SIGINT" in err.decode()
