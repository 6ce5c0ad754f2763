"""The probe of a member's API server: health and discovery, for `cluster-status-controller` (contract 4.5)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from informers.discovery import (
    AGGREGATED,
    Discovery,
    Malformed,
    Resources,
    parse_resources,
    parse_root,
    parse_version,
)
from informers.errors import DecodeError, KubeError, NoCredentials, TransportError
from mcs_controller.standalone.domain import cluster_status
from mcs_controller.standalone.domain.cluster_status import Collected

if TYPE_CHECKING:
    from informers.client.transport import RawResponse
    from informers.meta import Condition

_PARALLEL: Final = 4
"""Documents read at a time from a server without aggregated discovery; the rest of the rate limit is for others."""

MAX_KINDS_BYTES: Final = 512 << 10
"""Of what a member serves, as its Cluster has it. etcd refuses an object above 1.5 MiB, and so its condition Ready."""


class RawClient(Protocol):
    """The part of ApiClient that is needed here."""

    async def raw(self, method: str, path: str, *, accept: str = "", timeout: float | None = None) -> RawResponse:
        """See `ApiClient.raw`."""
        ...


class MemberProbe:
    """Probes one member. Nothing raises: every answer of a member, or none, is a result."""

    def __init__(self, client: RawClient, *, timeout: float, credentials: str) -> None:
        """Args: the member's client, how many seconds each answer may take, and what it is shown, in words."""
        self._client = client
        self._timeout = timeout
        self._credentials = credentials

    async def health(self) -> Condition:
        """Condition Ready as the member's health endpoint has it. `/healthz` is for servers without `/readyz`.

        A token that is refused is read again before it is said to be.
        """
        try:
            path, answer = "/readyz", await self._get("/readyz")
            if answer.status == 401:
                answer = await self._get(path)
            if answer.status == 404:
                path, answer = "/healthz", await self._get("/healthz")
        except NoCredentials as error:
            return cluster_status.collection_failed(str(error))
        except KubeError as error:
            return cluster_status.not_reachable(str(error))
        return cluster_status.from_probe(path, answer.status, self._credentials)

    async def collect(self) -> Collected:
        """Version and kinds of a healthy member."""
        try:
            version: str | None = parse_version(await self._read("/version"))
        except (KubeError, Malformed):
            version = None
        core, groups = cluster_status.DISCOVERY_ROOTS
        discovery = await self._discover(core) | await self._discover(groups)
        if (size := discovery.size()) > MAX_KINDS_BYTES:
            discovery = Discovery({}, frozenset({f"room for {size >> 10} KiB of kinds"}))
        return Collected(version, discovery)

    async def _discover(self, root: str) -> Discovery:
        try:
            found = parse_root(await self._read(root, AGGREGATED))
        except (KubeError, Malformed):
            return Discovery({}, frozenset({root}))
        if isinstance(found, Discovery):
            return found
        apis: dict[str, Resources] = {}
        failed: set[str] = set()
        slots = asyncio.Semaphore(_PARALLEL)

        async def read(group_version: str) -> None:
            async with slots:
                try:
                    apis[group_version] = parse_resources(await self._read(f"{root}/{group_version}"))
                except (KubeError, Malformed):
                    failed.add(group_version)

        async with asyncio.TaskGroup() as readers:
            for group_version in found:
                readers.create_task(read(group_version))
        return Discovery(apis, frozenset(failed))

    async def _read(self, path: str, accept: str = "") -> bytes:
        answer = await self._get(path, accept)
        if answer.status != 200:
            raise DecodeError(f"{path} answered {answer.status}")
        return answer.body

    async def _get(self, path: str, accept: str = "") -> RawResponse:
        try:
            return await self._client.raw("GET", path, accept=accept, timeout=self._timeout)
        except TimeoutError as error:
            raise TransportError(f"{path}: no answer within {self._timeout:g} s") from error
