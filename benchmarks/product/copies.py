"""A large converged fleet in seconds: copies of one service's objects, written directly to etcd.

By way of the API servers, ten thousand objects would take minutes. So one service is made and left to converge; then
the API servers are stopped, every object that belongs to it is copied under other names, with other uids, and the API
servers are started again. What an API server gives for such a copy differs in nothing from what it gives for the
first one; that the controller finds nothing to write in such a world is what shows that the copies are right.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import aiohttp
import msgspec

from benchmarks.product.fleet import HOST
from benchmarks.product.objects import (
    BINDINGS,
    CLUSTERS,
    CONSUMER,
    MCS,
    PROVIDER,
    SERVICES,
    SLICES,
    WORKS,
    arrived_name,
    slice_name,
)
from mcs_controller.domain.naming import work_name
from testbed import wait_for
from testbed.api import resource_path
from testbed.errors import BedError
from testbed.tasks import together

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.product.fleet import Fleet
    from benchmarks.product.objects import Object
    from testbed import Api
    from testbed.etcd import EtcdClient

T = TypeVar("T")

FIRST: Final = "copy-00000"
"""The service that the others are copies of. All names are equally long, as tables of names sort then."""

IN_MEMBERS: Final = (SERVICES, SLICES)
ON_HOST: Final = (SERVICES, MCS, WORKS, BINDINGS, CLUSTERS)
READ_SECONDS: Final = 600.0
REFUSED_SECONDS: Final = 1.0
"""A watch that is refused is refused at once."""

_BATCH: Final = 60
"""Writes in one transaction: etcd takes at most 128, and 1.5 MiB."""

_UID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def copy_name(number: int) -> str:
    """The name of a service; 0 is the first one."""
    return f"copy-{number:05d}"


@dataclass(frozen=True, slots=True)
class Stored:
    """One object in etcd, as JSON.

    Attributes:
        key: in etcd.
        text: the object.
    """

    key: str
    text: str


def copied(stored: Stored, number: int, kept: frozenset[str], namespace: str) -> Stored:
    """The same object of another service.

    Args:
        stored: of the first service.
        number: of the other one.
        kept: uids that are no service's own, such as those of Clusters.
        namespace: of the services.
    """
    name = copy_name(number)
    names = {
        work_name(kind, namespace, own(FIRST)): work_name(kind, namespace, own(name))
        for kind, own in (("MultiClusterService", str), ("Service", str), ("EndpointSlice", slice_name))
    }

    def put(text: str) -> str:
        for before, after in names.items():
            text = text.replace(before, after)
        return text.replace(FIRST, name)

    def uid(found: re.Match[str]) -> str:
        return found[0] if found[0] in kept else f"{number:08x}{found[0][8:]}"

    return Stored(put(stored.key), _UID.sub(uid, put(stored.text)))


class Copies:
    """Adds services to a fleet whose controller does not run.

    Args:
        world: the fleet; its first service, :data:`FIRST`, has converged. It has to be headless.
        namespace: of the services.
    """

    def __init__(self, world: Fleet, namespace: str) -> None:
        self._world = world
        self._namespace = namespace
        self._objects: list[Stored] = []
        self._service = Stored("", "")
        self._version = ""
        self._kept: frozenset[str] = frozenset()
        self.count = 1
        """Services that are there."""

    async def read(self) -> None:
        """Read the objects of the first service."""
        world, space = self._world, self._namespace
        clusters = await world.host.list(CLUSTERS)
        self._kept = frozenset(each["metadata"]["uid"] for each in clusters)
        async with EtcdGateway(world.bed.etcd) as etcd:
            stored = await etcd.read(f"/{HOST}/")
        ours = {key: value for key, value in stored.items() if FIRST in key and "/events/" not in key}
        # Custom resources are JSON in etcd already; the others are read from their server, which takes JSON as well.
        self._objects = [Stored(key, value.decode()) for key, value in ours.items() if value.startswith(b"{")]
        works = [each for each in self._objects if "/works/" in each.key]
        if len(works) != 5 or len(self._objects) != len(works) + 2:
            raise BedError(f"unexpected objects of {FIRST}: {sorted(ours)}")
        for member, resource, name in (
            (PROVIDER, SERVICES, FIRST),
            (PROVIDER, SLICES, slice_name(FIRST)),
            (CONSUMER, SERVICES, FIRST),
            (CONSUMER, SLICES, arrived_name(FIRST)),
        ):
            folder = "services/specs" if resource == SERVICES else "endpointslices"
            observed = await world.member(member).get(resource, name, namespace=space)
            self._objects.append(Stored(f"/{member}/{folder}/{space}/{name}", _text(observed)))
        service = await world.host.get(SERVICES, FIRST, namespace=space)
        self._service = Stored(f"/{HOST}/services/specs/{space}/{FIRST}", _text(service))
        self._version = service["metadata"]["resourceVersion"]

    async def grow(self, count: int) -> None:
        """Copy until there is this number of services. The API servers are restarted."""
        numbers = range(self.count, count)
        if not numbers:
            return
        await together(plane.stop_apiserver() for plane in self._world.planes)
        async with EtcdGateway(self._world.bed.etcd) as etcd:
            # A binding names its Service's resourceVersion, which is that of the transaction which wrote it.
            versions: dict[int, str] = {}
            for batch in _batches(numbers):
                version = str(await etcd.write([self._copied(self._service, number) for number in batch]))
                versions |= dict.fromkeys(batch, version)
            old, new = f'"resourceVersion":"{self._version}"', '"resourceVersion":"{}"'
            for pairs in _batches([(number, each) for number in numbers for each in self._objects]):
                made = [self._copied(each, number) for number, each in pairs]
                await etcd.write(
                    [
                        Stored(one.key, one.text.replace(old, new.format(versions[number])))
                        for (number, _), one in zip(pairs, made, strict=True)
                    ]
                )
        await together(plane.start_apiserver() for plane in self._world.planes)
        await self._until_served()
        self.count = count

    async def _until_served(self) -> None:
        """Wait until the API servers have read etcd: before that they answer 429."""
        members = [(self._world.member(name), resource) for name in (PROVIDER, CONSUMER) for resource in IN_MEMBERS]
        for api, resource in (*((self._world.host, each) for each in ON_HOST), *members):

            async def served(api: Api = api, resource: str = resource) -> bool:
                # A list would be answered from etcd until then, a watch is refused.
                path = resource_path(resource)
                version = (await api.raw("GET", path, query={"limit": "1"}))["metadata"]["resourceVersion"]
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REFUSED_SECONDS):
                        await anext(api.watch(resource, resource_version=version))
                return True

            await wait_for(f"{resource} to be served", served, READ_SECONDS)

    def _copied(self, stored: Stored, number: int) -> Stored:
        return copied(stored, number, self._kept, self._namespace)


def _text(observed: Object) -> str:
    metadata = {key: value for key, value in observed["metadata"].items() if key != "resourceVersion"}
    return msgspec.json.encode(observed | {"metadata": metadata}).decode()


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


class EtcdGateway:
    """The JSON gateway of an etcd: enough to read keys and to write some in one transaction."""

    def __init__(self, client: EtcdClient) -> None:
        context = ssl.create_default_context(cafile=str(client.ca))
        context.load_cert_chain(client.certificate, client.key)
        self._url = client.url
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))

    async def __aenter__(self) -> EtcdGateway:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def read(self, prefix: str) -> dict[str, bytes]:
        """All keys with this prefix, with their values."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        answer = await self._call("range", {"key": _b64(prefix), "range_end": _b64(end)})
        pairs = answer.get("kvs") or ()
        return {base64.b64decode(each["key"]).decode(): base64.b64decode(each.get("value", "")) for each in pairs}

    async def write(self, objects: Sequence[Stored]) -> int:
        """Put all of them in one transaction; its revision."""
        puts = [{"requestPut": {"key": _b64(each.key), "value": _b64(each.text)}} for each in objects]
        answer = await self._call("txn", {"success": puts})
        return int(answer["header"]["revision"])

    async def _call(self, method: str, body: Object) -> Object:
        async with self._session.post(f"{self._url}/v3/kv/{method}", data=msgspec.json.encode(body)) as response:
            content = await response.read()
            if response.status != 200:
                raise BedError(f"etcd {method}: {response.status} {content.decode(errors='replace')[:500]}")
            answer: Object = msgspec.json.decode(content)
            return answer


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
