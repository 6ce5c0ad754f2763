"""Child processes that never outlive this process."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from typing import TYPE_CHECKING

from testbed.errors import ProcessFailed
from testbed.identity import BED_VARIABLE, ProcessIdentity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

TERM_GRACE_SECONDS = 30.0
GO = {"GOGC": "400", "GOMEMLIMIT": "768MiB"}
"""For programs in Go: garbage is collected less often, as long as there is little. It saves a fifth of an API server's
start, which is what a test run does most."""
INHERITED = ("PATH", "HOME", "LANG", "GOMAXPROCS")
"""The environment of every process; a test run says by the last one that CPUs are scarce."""
TAIL_LINES = 30

_PR_SET_PDEATHSIG = 1
# Looked up here, not between fork and exec: the dynamic loader's lock may be held by another thread then.
_prctl = ctypes.CDLL(None).prctl


def die_with_parent() -> Callable[[], None]:
    """A function for a child to call between fork and exec: the kernel then SIGKILLs it when we die, however we die.

    The signal is bound to the *thread* that forks: start children from a thread that lives as long as they shall, such
    as the main thread's event loop.
    """
    parent = os.getpid()

    def in_child() -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the call above: nobody would tell us
            os._exit(1)

    return in_child


class Process:
    """One component process: started with a log file, stopped with SIGTERM and then SIGKILL.

    It gets a session of its own (a Ctrl-C on the terminal reaches us, and we stop it in order), and dies with us.
    Starting again after it ended is allowed and appends to the same log.

    Args:
        name: for messages.
        argv: the command.
        log: stdout and stderr go here.
        root: the bed's directory; put into the environment as the mark by which leftovers are found.
        environ: added to a minimal environment (:data:`INHERITED` only, so that a person's proxies or KUBECONFIG
            change nothing).
    """

    def __init__(
        self, name: str, argv: Sequence[str], *, log: Path, root: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = log
        self._root = root
        self._environ = dict(environ or {})
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The pid while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def returncode(self) -> int | None:
        """The exit code of the last run (negative: the signal that ended it); None while it runs or before it ran."""
        return self._process.returncode if self._process is not None else None

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self.pid is not None

    def identity(self) -> ProcessIdentity | None:
        """The identity of the running process."""
        return ProcessIdentity.of(self.pid) if self.pid is not None else None

    async def start(self) -> None:
        """Start it, without waiting until it is ready.

        Raises:
            ProcessFailed: it runs already, or cannot be executed.
        """
        if self.running:
            raise ProcessFailed(f"{self.name} runs already (pid {self.pid})")
        base = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self.argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**base, **GO, **self._environ, BED_VARIABLE: str(self._root)},
                    start_new_session=True,
                    preexec_fn=die_with_parent(),
                )
            except OSError as error:
                raise ProcessFailed(f"cannot start {self.name}: {error}") from error

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signum)

    async def wait(self) -> int:
        """Wait until it ends; its exit code."""
        if self._process is None:
            raise ProcessFailed(f"{self.name} was never started")
        return await self._process.wait()

    async def stop(self, grace: float = TERM_GRACE_SECONDS) -> None:
        """Send SIGTERM, wait at most ``grace`` seconds, send SIGKILL. Does nothing if it does not run."""
        if not self.running:
            return
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                await self.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Send SIGKILL and wait for its end. Does nothing if it does not run."""
        if self.running:
            self.signal(signal.SIGKILL)
            await self.wait()

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def failure(self, what: str) -> ProcessFailed:
        """An exception with the problem, the exit code, and the end of the log."""
        state = f"exit code {self.returncode}" if self.returncode is not None else "still running"
        return ProcessFailed(f"{self.name} {what} ({state}); the end of {self.log}:\n{self.tail()}")

    async def until(self, ready: Callable[[], Awaitable[bool]], *, timeout: float, interval: float = 0.1) -> None:
        """Wait until the awaitable made by ``ready`` is true.

        Args:
            ready: called again and again; its result is awaited; must not raise.
            timeout: seconds to give it.
            interval: seconds between two tries.

        Raises:
            ProcessFailed: the process ended first, or the time is up.
        """
        try:
            async with asyncio.timeout(timeout):
                while True:
                    if not self.running:
                        raise self.failure("ended before it was ready")
                    if await ready():
                        return
                    await asyncio.sleep(interval)
        except TimeoutError:
            raise self.failure(f"was not ready within {timeout:g} s") from None
