"""A command that goes on and on in a network namespace, and is listened to line by line."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

from testbed.errors import BedError
from testbed.processes import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType


class Lines:
    """Listens for as long as the ``async with`` block lasts; then the command is killed.

    Args:
        argv: the command.
        env: its whole environment.
        take: called with each line.
        ready: awaited once the command runs, before its first line is taken.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        take: Callable[[str], Awaitable[None]],
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._argv = argv
        self._env = env
        self._take = take
        self._ready = ready
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=dict(self._env),
            cwd="/",
            preexec_fn=die_with_parent(),
        )
        try:
            if self._ready is not None:
                await self._ready()
        except BaseException:
            await self._end()
            raise
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end()

    def check(self) -> None:
        """Nothing more is heard of a command that is gone.

        Raises:
            BedError: it ended by itself, or a line could not be taken.
        """
        if self._task is not None and self._task.done():
            cause = None if self._task.cancelled() else self._task.exception()
            raise BedError(f"`{' '.join(self._argv)}` is not listened to any more: {cause or 'it ended'}")

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            await self._take(line.decode(errors="replace").rstrip("\n"))

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
