"""The client of a node's agent: starts the process and sends requests."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any

from testbed.dataplane.network import NetworkError
from testbed.processes import Process

AGENT = Path(__file__).with_name("agent.py")
READY_SECONDS = 60.0
ANSWER_SECONDS = 30.0


class NodeAgent:
    """See :mod:`testbed.dataplane.agent`.

    Args:
        name: of the node.
        control: where its socket shall be; at most 107 bytes.
        log: its output.
        root: the bed's directory.
        dual_stack: whether servers listen on IPv6 addresses, too.
    """

    def __init__(self, name: str, *, control: Path, log: Path, root: Path, dual_stack: bool = False) -> None:
        self._control = control
        self._hosts = ["0.0.0.0", "::"] if dual_stack else ["0.0.0.0"]
        argv = [sys.executable, "-I", "-S", str(AGENT), "--control", str(control)]
        self.process = Process(f"agent of {name}", argv, log=log, root=root)
        self._ids = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process and connect.

        Raises:
            ProcessFailed: with the end of its log.
        """
        await self.process.start()
        await self.process.until(self._connect, timeout=READY_SECONDS, interval=0.02)

    async def stop(self) -> None:
        """Stop the process: nothing of its node answers any more."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        if self._writer is not None:
            self._writer.close()
        await self.process.kill()

    async def serve_http(self, netns: str, port: int, body: str, log: Path) -> None:
        """Answer HTTP requests to any address of a namespace."""
        await self._ask(op="http", netns=netns, hosts=self._hosts, port=port, body=body, log=str(log))

    async def echo_udp(self, netns: str, port: int, greeting: str, log: Path) -> None:
        """Echo datagrams to any address of a namespace."""
        await self._ask(op="udp", netns=netns, hosts=self._hosts, port=port, greeting=greeting, log=str(log))

    async def relay(self, netns: str, port: int) -> None:
        """Let a namespace reach one port of the machine's loopback address under the same address and port."""
        await self._ask(op="relay", netns=netns, port=port)

    async def close(self, netns: str) -> None:
        """Stop all servers in a namespace."""
        await self._ask(op="close", netns=netns)

    async def probe(self, netns: str, host: str, port: int, path: str = "", *, timeout: float = 1.0) -> int | None:
        """The HTTP status of a request in a namespace (0 for a TCP connection without a path); None: no answer."""
        with contextlib.suppress(NetworkError):
            answer = await self._ask(op="probe", netns=netns, host=host, port=port, path=path, timeout=timeout)
            return int(answer)
        return None

    async def _connect(self) -> bool:
        try:
            reader, self._writer = await asyncio.open_unix_connection(str(self._control))
        except OSError:
            return False
        # Ends with stop(): a TaskGroup would have to be entered and left in the same task, which fixtures do not do.
        self._listening = asyncio.create_task(self._listen(reader))
        return True

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                answer = json.loads(line)
                waiting = self._waiting.pop(answer["id"], None)
                if waiting is None or waiting.done():
                    continue
                if "error" in answer:
                    waiting.set_exception(NetworkError(answer["error"]))
                else:
                    waiting.set_result(answer["result"])
        finally:
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(self.process.failure("does not answer"))
            self._waiting.clear()

    async def _ask(self, **request: Any) -> Any:
        if self._writer is None or self._listening is None or self._listening.done():
            raise self.process.failure("does not answer")
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps({"id": number, **request}).encode() + b"\n")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            raise self.process.failure(f"did not answer {request['op']} in {ANSWER_SECONDS:g} s") from None
        finally:
            self._waiting.pop(number, None)
