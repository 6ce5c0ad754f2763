"""mcsctl as people call it: a process of its own, by the code of this checkout."""

from __future__ import annotations

import asyncio
import os
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

from testbed.controller import installed_binary
from tools.components import resolve

ROOT = Path(__file__).resolve().parents[3]
LIMIT_SECONDS = 120.0

outputs: list[str] = []
"""Everything that any call has printed in this test run; see test_canaries."""


class Answer(NamedTuple):
    """What a call came to."""

    code: int
    out: str
    err: str


def environment(kubeconfig: str = "") -> dict[str, str]:
    """Ours, with this checkout's code and this kubeconfig alone."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "KUBECONFIG": kubeconfig, "COLUMNS": "200"}


async def run(*args: str, kubeconfig: str = "") -> Answer:
    """Call it; no traceback is ever printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mcs_controller.mcsctl.main", *args),
        env=environment(kubeconfig),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(LIMIT_SECONDS):
        out, err = (each.decode() for each in await process.communicate())
    outputs.extend([out, err])
    assert "Traceback" not in out + err, err
    return Answer(process.returncode or 0, out, err)


async def mcsctl(*args: str, kubeconfig: str = "") -> str:
    """Call it with success; what it printed."""
    answer = await run(*args, kubeconfig=kubeconfig)
    assert answer.code == 0, f"{args}: {answer}"
    return answer.out


@cache
def shims() -> Path:
    """A directory with the commands of the wheel for PATH that are the code of this checkout."""
    directory = Path(mkdtemp(prefix="mcsctl-"))
    for name, module in {"mcsctl": "main", "kubectl-mcs": "main", "kubectl_complete-mcs": "completion"}.items():
        script = directory / name
        command = f"{sys.executable} -m mcs_controller.mcsctl.{module}"
        script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {command} "$@"\n')
        script.chmod(0o755)
    return directory


async def paste(command: str) -> str:
    """Run a command in a shell, as it was printed, with success; what it printed."""
    binaries = f"{shims()}:{installed_binary().parent}:{resolve(['kubectl'])['kubectl'].parent}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command),
        env={**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(LIMIT_SECONDS):
        output, _ = await process.communicate()
    assert process.returncode == 0, f"{command}\n{output.decode()}"
    return output.decode()
