"""RESTMapper: where one API server has the objects of a kind; asked once, and again where one may be new.

After client-go `restmapper.DeferredDiscoveryRESTMapper` and controller-runtime `apiutil.NewDynamicRESTMapper`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from informers.discovery import APIResource, Malformed, parse_served
from informers.errors import DecodeError, from_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from informers.client.transport import RawResponse
    from informers.resource import GroupVersionKind
    from workqueue.clock import Clock

FRESH_SECONDS: Final = 10.0
"""How long "there is no such kind" is believed. That there is one is believed for good."""


class RawClient(Protocol):
    """The part of ApiClient that is needed here."""

    async def raw(self, method: str, path: str) -> RawResponse:
        """See `ApiClient.raw`."""
        ...


@dataclass(frozen=True, slots=True)
class _Document:
    read_at: float
    kinds: Mapping[str, APIResource]


class RESTMapper:
    """The kinds of one API server. Those who ask for the same group version at the same time share the request."""

    def __init__(self, client: RawClient, *, clock: Clock) -> None:
        """Asks nothing yet. `clock` tells when to ask again for a kind that was not there."""
        self._client = client
        self._clock = clock
        self._documents: dict[str, _Document] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def find(self, kind: GroupVersionKind) -> APIResource | None:
        """Where the kind is; None if the server has no such kind that can be listed, watched and patched.

        Raises:
            KubeError: the server does not tell.
        """
        async with self._locks.setdefault(kind.api_version, asyncio.Lock()):
            known = self._documents.get(kind.api_version)
            if known is not None and kind.kind in known.kinds:
                return known.kinds[kind.kind]
            if known is None or self._clock.monotonic() - known.read_at >= FRESH_SECONDS:
                known = _Document(self._clock.monotonic(), await self._read(kind.root))
                self._documents[kind.api_version] = known
            return known.kinds.get(kind.kind)

    async def _read(self, path: str) -> Mapping[str, APIResource]:
        answer = await self._client.raw("GET", path)
        if answer.status == 404:
            return {}
        if answer.status != 200:
            raise from_response(answer.status, answer.body)
        try:
            return parse_served(answer.body)
        except Malformed as error:
            raise DecodeError(f"{path}: {error}") from error
