"""The controller as a user runs it: the installed binary with flags and its own kubeconfig."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Self

import aiohttp

from testbed.errors import ProcessFailed
from testbed.ports import free_ports
from testbed.processes import Process

if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence
    from types import TracebackType

BINARY = "mcs-controller-manager"
READY_SECONDS = 120.0
PORT_TRIES = 3

RECENT: deque[ControllerProcess] = deque(maxlen=3)
"""Those that were started last: what they say belongs to the report of a test that fails."""


def installed_binary() -> Path:
    """The executable beside this interpreter.

    Raises:
        ProcessFailed: the project is not installed in this environment.
    """
    path = Path(sys.executable).with_name(BINARY)
    if not path.exists():
        raise ProcessFailed(f"{path} does not exist: install the project into this environment (pip install -e .)")
    return path


class ControllerProcess:
    """One replica of the controller manager. Several, with different names, elect a leader among them.

    Use as an async context manager, or call :meth:`start` and :meth:`terminate`.

    Args:
        kubeconfig: of the control plane; :func:`testbed.karmada.controller_kubeconfig` makes one with the least rights.
            None: the program finds its way without.
        root: the bed's directory; the log goes to ``<root>/<name>.log``.
        name: tells replicas apart.
        feature_gates: the flag's value; empty leaves the flag out.
        controllers: the flag's value; empty leaves the flag out.
        extra_args: further flags; a repeated one wins over ours.
        program: the beginning of the command line; empty: the installed binary.
    """

    def __init__(
        self,
        kubeconfig: Path | None,
        *,
        root: Path,
        name: str = "controller",
        feature_gates: str = "MultiClusterService=true",
        controllers: str = "*,standalone",
        extra_args: Sequence[str] = (),
        program: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.log = root / f"{name}.log"
        self._root = root
        self._flags = [
            *([f"--kubeconfig={kubeconfig}"] if kubeconfig else []),
            *([f"--feature-gates={feature_gates}"] if feature_gates else []),
            *([f"--controllers={controllers}"] if controllers else []),
        ]
        self._extra = list(extra_args)
        self._program = list(program)
        self._process: Process | None = None
        self._metrics_port = 0
        self._health_port = 0

    @property
    def command(self) -> list[str]:
        """The command line, as a person could type it."""
        if self._process is None:
            raise ProcessFailed(f"{self.name} was never started")
        return self._process.argv

    @property
    def pid(self) -> int | None:
        """The pid while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def returncode(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.returncode if self._process is not None else None

    @property
    def metrics_url(self) -> str:
        """The URL for Prometheus."""
        return f"http://127.0.0.1:{self._metrics_port}/metrics"

    @property
    def health_url(self) -> str:
        """The base URL of ``/healthz`` and ``/readyz``."""
        return f"http://127.0.0.1:{self._health_port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.terminate()

    async def start(self, *, ready: bool = True, timeout: float = READY_SECONDS) -> None:
        """Start it and, by default, wait until ``/healthz`` and ``/readyz`` succeed.

        Args:
            ready: False for a start that is expected to fail: the caller waits for the exit code itself.
            timeout: seconds to give it.

        Raises:
            ProcessFailed: it ended or was not ready in time; the end of its log is in the text.
        """
        # It cannot share a reserved port, so somebody may take a free one first: then with two others.
        for last in (*[False] * (PORT_TRIES - 1), True):
            self._metrics_port, self._health_port = free_ports(2)
            self._process = Process(
                self.name,
                [
                    *(self._program or [str(installed_binary())]),
                    *self._flags,
                    f"--metrics-bind-address=127.0.0.1:{self._metrics_port}",
                    f"--health-probe-bind-address=127.0.0.1:{self._health_port}",
                    *self._extra,
                ],
                log=self.log,
                root=self._root,
            )
            await self._process.start()
            if self not in RECENT:
                RECENT.append(self)
            if not ready:
                return
            try:
                await self._process.until(self._ready, timeout=timeout)
                return
            except ProcessFailed as failure:
                await self._process.kill()
                if last or "address already in use" not in str(failure).lower():
                    raise

    async def wait(self, timeout: float = READY_SECONDS) -> int:
        """Wait at most ``timeout`` seconds for it to end; its exit code."""
        if self._process is None:
            raise ProcessFailed(f"{self.name} was never started")
        try:
            async with asyncio.timeout(timeout):
                return await self._process.wait()
        except TimeoutError:
            raise self._process.failure(f"did not end within {timeout:g} s") from None

    async def terminate(self, timeout: float = READY_SECONDS) -> int | None:
        """Send SIGTERM and wait for the end; the exit code (None: never started)."""
        if self._process is None:
            return None
        await self._process.stop(timeout)
        return self._process.returncode

    async def kill(self) -> None:
        """Send SIGKILL: the Lease stays held until it expires."""
        if self._process is not None:
            await self._process.kill()

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to it, if it runs."""
        if self._process is not None:
            self._process.signal(signum)

    def tail(self, lines: int = 30) -> str:
        """The last lines of its log."""
        return self._process.tail(lines) if self._process is not None else ""

    async def _ready(self) -> bool:
        timeout = aiohttp.ClientTimeout(total=10.0)
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with aiohttp.ClientSession(timeout=timeout) as session:
                for path in ("/healthz", "/readyz"):
                    async with session.get(self.health_url + path) as response:
                        if response.status != 200:
                            return False
            return True
        return False
