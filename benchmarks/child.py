"""Runs each competitor in a process of its own, which prints one line of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.scenario import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TIMEOUT_SECONDS = 300.0
_STDERR_LINES = 15


def python(module: str, *arguments: str) -> list[str]:
    """The command of a competitor in Python: this interpreter, a module, arguments."""
    return [sys.executable, "-m", module, *arguments]


def one_core() -> Callable[[], None]:
    """For `before`: pins a competitor with all its threads to one core."""
    core = max(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {core})


async def answer_of(
    command: Sequence[str], *, environ: Mapping[str, str] | None = None, before: Callable[[], None] | None = None
) -> Any:
    """Start a competitor, read its JSON value, and kill it.

    Args:
        command: the program and its arguments.
        environ: variables beside those of this process.
        before: called in the new process before the program starts.

    Raises:
        BenchmarkError: it ended without a value, or took too long; with the end of its standard error.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environ or {})},
        preexec_fn=before,
    )
    name = " ".join(os.path.basename(part) for part in command[:4])
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            output, errors = await process.communicate()
    except TimeoutError:
        raise BenchmarkError(f"{name} did not answer within {TIMEOUT_SECONDS:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if not output:
        complaint = "\n".join(errors.decode(errors="replace").splitlines()[-_STDERR_LINES:])
        raise BenchmarkError(f"{name} ended with {process.returncode}:\n{complaint}")
    return json.loads(output)
