"""Contestants run in processes of their own: started here, asked for JSON, and gone afterwards.

A contestant prints a JSON object a line. One that goes on until it is told to stop reads its standard input, and ends
when that ends: so nothing is left behind even if this process is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.scenario import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

TIMEOUT_SECONDS = 300.0
_MAX_LINE_BYTES = 64 << 20
_STDERR_LINES = 15


def python(module: str, *arguments: str) -> list[str]:
    """The command of a contestant in Python: this interpreter, a module, arguments."""
    return [sys.executable, "-m", module, *arguments]


def one_core() -> Callable[[], None]:
    """For `before`: keeps a contestant, threads and garbage collectors included, on one and the same core."""
    core = max(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {core})


class Child:
    """A contestant that runs. Made by :func:`started`."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self._name = name
        self._errors = asyncio.create_task(_end_of(process.stderr), name=f"errors of {name}")

    async def answer(self) -> Any:
        """The next JSON value that it prints.

        Raises:
            BenchmarkError: it ended without one, or took too long; with the end of what it complained.
        """
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                line = await self._process.stdout.readline()
                if line:
                    return json.loads(line)
                code = await self._process.wait()
                raise BenchmarkError(f"{self._name} ended with {code}:\n{await self._errors}")
        except TimeoutError:
            raise BenchmarkError(f"{self._name} gave no answer within {TIMEOUT_SECONDS:g} s") from None

    async def ask(self, question: str) -> Any:
        """Write a line to it, and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(question.encode() + b"\n")
        await self._process.stdin.drain()
        return await self.answer()

    async def end(self) -> None:
        """End it, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._errors.cancel()
        await asyncio.wait([self._errors])


@asynccontextmanager
async def started(
    command: Sequence[str], *, environ: Mapping[str, str] | None = None, before: Callable[[], None] | None = None
) -> AsyncIterator[Child]:
    """A contestant that runs as long as the body does.

    Args:
        command: the program and its arguments.
        environ: variables beside those of this process.
        before: called in the new process before the program starts.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environ or {})},
        preexec_fn=before,
        limit=_MAX_LINE_BYTES,
    )
    child = Child(process, " ".join(os.path.basename(part) for part in command[:4]))
    try:
        yield child
    finally:
        await child.end()


async def answer_of(
    command: Sequence[str], *, environ: Mapping[str, str] | None = None, before: Callable[[], None] | None = None
) -> Any:
    """What a contestant says that need not be asked. Arguments as for :func:`started`, errors as of `Child.answer`."""
    async with started(command, environ=environ, before=before) as child:
        return await child.answer()


async def _end_of(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    lines: list[str] = []
    async for line in stream:
        lines = [*lines[1 - _STDERR_LINES :], line.decode(errors="replace").rstrip()]
    return "\n".join(lines)
