"""A network between a client and a server that the test can cut, freeze and restore."""

import asyncio
import ssl
from types import TracebackType
from typing import Self, cast
from urllib.parse import urlsplit


class TcpProxy:
    """Forwards connections from a port of its own to `server`, a URL.

    TLS passes through, unless there are contexts for it: then it ends here, and begins anew, and clients can be told
    something else than what the server says, of the same length; `instead` may be changed at any time.
    """

    def __init__(
        self,
        server: str,
        *,
        front: ssl.SSLContext | None = None,
        behind: ssl.SSLContext | None = None,
        instead: tuple[bytes, bytes] | None = None,
    ) -> None:
        self._target = urlsplit(server)
        self._front = front
        self._behind = behind
        self.instead = instead
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._refusing = False
        self._swallowing: set[asyncio.StreamWriter] = set()
        self._open.set()
        self._budget: int | None = None
        self.connections = 0

    @property
    def url(self) -> str:
        """The way through the proxy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"{self._target.scheme}://{self._target.hostname}:{port}"

    @property
    def open_ends(self) -> int:
        """Ends of connections that are open: two for each."""
        return len(self._writers)

    def cut(self) -> None:
        """Reset all connections and every new one."""
        self._refusing = True
        self.reset_all()

    def reset_all(self) -> None:
        """Reset all connections. New ones are welcome."""
        for writer in self._writers:
            writer.transport.abort()

    def cut_after(self, size: int) -> None:
        """Let so many bytes more pass to clients, over whichever connections, and reset the one that carries the last.

        Whoever reads from it has a part of what was sent.
        """
        self._budget = size

    def freeze(self) -> None:
        """Let nothing through any more, without anybody being told."""
        self._open.clear()

    def swallow(self) -> None:
        """Acknowledge what comes on the connections there are, and pass nothing on, for ever. New ones are well."""
        self._swallowing |= self._writers

    def restore(self) -> None:
        """As if nothing had happened, for new connections."""
        self._refusing = False
        self._open.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._front)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        self._open.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        if self._refusing or not await self._welcome(reader, writer):
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(
                self._target.hostname, self._target.port, ssl=self._behind
            )
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer))
                group.create_task(self._pump(far_reader, writer, limited=True))
        finally:
            for end in pair:
                end.transport.abort()
            self._writers -= pair

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether a client may get through, after whatever has to be said first."""
        return True

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, limited: bool = False) -> None:
        try:
            while data := await reader.read(65536):
                await self._open.wait()
                if writer in self._swallowing:
                    continue
                if limited and self.instead is not None:
                    data = data.replace(*self.instead)
                if limited and self._budget is not None:
                    if len(data) >= self._budget:
                        writer.write(data[: self._budget])
                        self._budget = None
                        break
                    self._budget -= len(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.transport.abort()


class ConnectProxy(TcpProxy):
    """An HTTP proxy that leads every CONNECT to `server`, whatever host it names, if it brings a certain header.

    Attributes:
        demanded: that header's name and value.
        refused: how many clients came without.
    """

    def __init__(self, server: str, *, demanded: tuple[str, str]) -> None:
        super().__init__(server)
        self.demanded = demanded
        self.refused = 0

    @property
    def url(self) -> str:
        """Of the proxy itself."""
        return super().url.replace("https://", "http://")

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except (asyncio.IncompleteReadError, OSError):
            return False
        if head[0].startswith("CONNECT ") and ": ".join(self.demanded) in head[1:]:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            return True
        self.refused += 1
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        return False
