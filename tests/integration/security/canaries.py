"""Secrets that must not be seen anywhere, and how to look for them in whatever an encoding makes of them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter


class Canaries:
    """Makes secrets, each with a word that says where it was planted, and finds them again."""

    def __init__(self) -> None:
        self._planted: dict[str, str] = {}

    def plant(self, where: str) -> str:
        """A new secret. Letters and digits only, so that no quoting changes it."""
        assert where not in self._planted
        self._planted[where] = f"canary{secrets.token_hex(16)}"
        return self._planted[where]

    def plant_value(self, where: str, value: str) -> None:
        """A secret that exists already, such as a real token."""
        self._planted[where] = value

    def found_in(self, texts: Mapping[str, str]) -> list[str]:
        """One line for each secret in each text."""
        return [
            f"{where} in {name}: ...{text[max(text.index(form) - 160, 0) : text.index(form)]!r}"
            for name, text in texts.items()
            for where, secret in self._planted.items()
            for form in forms(secret)
            if form in text
        ]


def forms(secret: str) -> Iterator[str]:
    """The secret as it is, and as it looks within base64, at each of the three places where it can begin."""
    yield secret
    yield secret.encode().hex()
    for offset in range(3):
        encoded = base64.b64encode(b"x" * offset + secret.encode()).decode()
        # The characters at both ends depend on the neighbours, too.
        yield encoded[4 if offset else 0 : -4]


Answer = Callable[[str], bytes]
"""From the head of a request to everything that is sent back."""


@contextlib.asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[int]:
    """A server on a port of its own that answers every request so, and then closes the connection."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            writer.write(answer(head))
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def _response(status: str, body: bytes, kind: str = "application/json", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close", *more]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def echo_status(head: str) -> bytes:
    """An API server that quotes the request in the message of a Status."""
    status = {"kind": "Status", "apiVersion": "v1", "reason": "Forbidden", "code": 403, "message": f"denied: {head}"}
    return _response("403 Forbidden", json.dumps(status).encode())


def echo_page(head: str) -> bytes:
    """Something before the API server that shows the request on an error page."""
    return _response("502 Bad Gateway", f"<pre>{head}</pre>".encode(), "text/html")


def refuse_token(head: str) -> bytes:
    """An API server that does not know the token."""
    status = {"kind": "Status", "apiVersion": "v1", "reason": "Unauthorized", "code": 401, "message": "Unauthorized"}
    return _response("401 Unauthorized", json.dumps(status).encode())


def echo_reason(head: str) -> bytes:
    """A proxy that quotes the request in the reason of its refusal."""
    quoted = " ".join(head.split())
    return _response(f"407 no: {quoted}", b"", "text/plain", 'Proxy-Authenticate: Basic realm="x"')


def redirect(head: str) -> bytes:
    """A server that sends clients elsewhere, with what they sent in the URL."""
    quoted = "".join(head.split())
    return _response("302 Found", b"", "text/plain", f"Location: http://127.0.0.1:1/?{quoted}")


def joined(outputs: Iterable[bytes]) -> str:
    """Several outputs as one text."""
    return b"\n".join(outputs).decode("utf-8", "replace")
