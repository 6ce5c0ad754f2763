"""The latency of one change of a slice from the provider to the consumer, compared with a minimal program."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from benchmarks.product.baseline import Place, Plan, Server
from benchmarks.product.fleet import HOST, SPACE, Fleet, fleet, offer, ours
from benchmarks.product.objects import (
    CONSUMER,
    PROVIDER,
    SLICES,
    WORKS,
    Object,
    arrived_name,
    endpoints,
    endpointslice,
    mark,
    namespace,
    slice_name,
)
from benchmarks.product.stream import Marks, observing
from benchmarks.scenario import OURS, Competitor, Context, Measurement, Outcome, Rounds, Scenario, Target
from testbed import karmada
from testbed.api import resource_path
from testbed.errors import BedError
from testbed.processes import Process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from testbed import ClusterAccess

CHAINED: Final = "chained"
OVERLAPPED: Final = "overlapped"
COMPETITORS: Final = (OURS, CHAINED, OVERLAPPED)
WEB: Final = "web"
SECONDS: Final = 20.0
PAUSE_SECONDS: Final = 0.03
"""Between two changes, at least: until then all have read all that the change before made them hear."""

HOPS: Final = ("provider answered", "collected", "dispatched", "arrived")


@dataclass(frozen=True, slots=True)
class Way:
    """The objects in which one competitor's changes are observed.

    Attributes:
        source: namespace of the slice in the provider.
        marks: of the collected Work, the dispatched Work and the slice in the consumer.
    """

    source: str
    marks: tuple[Marks, Marks, Marks]


async def run(context: Context) -> Outcome:
    """See :data:`SCENARIO`."""
    rounds, changes = (3, 10) if context.quick else (10, 30)
    hops = {hop: Rounds(COMPETITORS) for hop in HOPS}
    async with fleet(context) as world, AsyncExitStack() as stack:
        controller = await world.start()
        await offer(world, WEB)
        ways = {OURS: await stack.enter_async_context(observed(world, SPACE, "karmada-es-"))}
        for name in (CHAINED, OVERLAPPED):
            spaces = await _copy(world, name)
            await stack.enter_async_context(_baseline(world, name))
            ways[name] = await stack.enter_async_context(observed(world, *spaces))
        numbers = iter(range(1, 1_000_000))
        rng = random.Random(1)
        for way in ways.values():
            for _ in range(changes):  # until connections, caches and code are warm
                await change(world, way, next(numbers))
        for number in range(rounds):
            context.tell(f"round {number + 1} of {rounds}: {changes} changes of each in turns")
            found: dict[str, list[list[float]]] = {name: [] for name in COMPETITORS}
            for turn in range(changes):
                shift = turn % len(COMPETITORS)
                for name in (*COMPETITORS[shift:], *COMPETITORS[:shift]):
                    await asyncio.sleep(PAUSE_SECONDS * (1 + rng.random()))
                    found[name].append(await change(world, ways[name], next(numbers)))
            for name, samples in found.items():
                for hop, values in zip(HOPS, zip(*samples, strict=True), strict=True):
                    hops[hop].add(name, values)
        asked = await _requests(world, ways[OURS], numbers, changes)
        assert controller.pid is not None
    return Outcome(
        competitors=_competitors(),
        measurements=[*_latencies(hops), _request_count(asked, changes)],
        conditions=[
            f"{rounds * changes} changes of each competitor, one after the other, in turns: the next one begins when "
            f"the last one has arrived and {1000 * PAUSE_SECONDS:.0f} to {2000 * PAUSE_SECONDS:.0f} ms have passed.",
            "All times begin when the PATCH of a slice of ten endpoints is sent to the provider, and end when a watch "
            "of the measuring process brings it. That process looks for bytes in what it gets and decodes nothing.",
            "The baselines run beside, as processes of their own, with the same credentials, kinds, sizes and kinds "
            "of patches. Their Works are in namespaces that no controller looks into; that the controller's watches "
            "bring them nevertheless is the only way in which they disturb each other.",
        ],
    )


def _competitors() -> list[Competitor]:
    return [
        ours(),
        Competitor(
            CHAINED,
            "baseline, chained",
            "a bare script: three watches, three writes, one after the other's event",
            reference=True,
        ),
        Competitor(
            OVERLAPPED, "baseline, overlapped", "the same script with its three writes at the same time", reference=True
        ),
    ]


def _latencies(hops: dict[str, Rounds]) -> list[Measurement]:
    total = Measurement(
        "From the PATCH in the provider to the watch event in the consumer",
        "ms",
        "lower",
        hops["arrived"].found,
        parts=[0.5, 0.9, 0.99],
        targets=[
            Target(part=0.5, against=CHAINED, at_most=0.75),
            Target(part=0.99, against=OURS, against_part=0.5, at_most=2.0),
        ],
    )
    titles = {
        "provider answered": "To the provider's answer to the PATCH",
        "collected": "To the watch event of the first Work on the control plane (collected)",
        "dispatched": "To the watch event of the second Work (dispatched)",
    }
    others = [
        Measurement(title, "ms", "lower", hops[hop].found, parts=[0.5, 0.9, 0.99]) for hop, title in titles.items()
    ]
    return [total, *others]


def _request_count(asked: int, changes: int) -> Measurement:
    return Measurement(
        "Requests of the controller for one change: two Works and a slice",
        "requests",
        "lower",
        {OURS: [[asked / changes]]},
        targets=[Target(at_most=3.0)],
    )


async def _requests(world: Fleet, way: Way, numbers: Iterator[int], changes: int) -> int:
    """The number of requests of the controller for this number of changes."""
    requests = world.requests()
    await requests.quiet()
    requests.restart()
    for _ in range(changes):
        await change(world, way, next(numbers))
    await requests.quiet()
    return requests.count().total()


async def change(world: Fleet, way: Way, number: int) -> list[float]:
    """One change; milliseconds to the end of each of :data:`HOPS`."""
    sought = f'"{mark(number)}"'.encode()
    expected = [marks.expect(sought) for marks in way.marks]
    body = {"endpoints": endpoints(number)}
    began = time.perf_counter()
    await world.member(PROVIDER).patch(SLICES, slice_name(WEB), body, namespace=way.source)
    answered = time.perf_counter()
    try:
        async with asyncio.timeout(SECONDS):
            moments = await asyncio.gather(*expected)
    except TimeoutError:
        missing = [hop for hop, each in zip(HOPS[1:], expected, strict=True) if each.cancelled()]
        raise BedError(f"a change in {way.source} was not {' and '.join(missing)} within {SECONDS:g} s") from None
    return [1000 * (moment - began) for moment in (answered, *moments)]


@asynccontextmanager
async def observed(world: Fleet, source: str, works: str) -> AsyncIterator[Way]:
    """Watches of the objects in which changes in a namespace are seen.

    Args:
        world: the fleet.
        source: the namespace.
        works: what the names of the namespaces of its Works begin with.
    """
    marks = (Marks(), Marks(), Marks())
    host, consumer = world.bed.host.access, world.bed.members[CONSUMER].access
    async with AsyncExitStack() as stack:
        for access, resource, space, seen in (
            (host, WORKS, works + PROVIDER, marks[0]),
            (host, WORKS, works + CONSUMER, marks[1]),
            (consumer, SLICES, source, marks[2]),
        ):
            await stack.enter_async_context(observing(access, resource, space, seen))
        yield Way(source, marks)


# --- the baselines ---------------------------------------------------------------------------------------------------


def disguised(observed: Object, name: str, space: str) -> Object:
    """A copy of an object, of the same size, without the controller's labels."""
    metadata = observed["metadata"]
    kept = {key: metadata[key] for key in ("labels", "annotations") if key in metadata}
    content = {key: value for key, value in observed.items() if key not in ("metadata", "status", "apiVersion")}
    text = msgspec.json.encode({"metadata": kept, **content}).replace(b"karmada.io", b"example.io")
    copy: Object = msgspec.json.decode(text)
    copy["apiVersion"] = observed["apiVersion"]
    copy["metadata"] |= {"name": name, "namespace": space}
    return copy


async def _copy(world: Fleet, name: str) -> tuple[str, str]:
    """Give a baseline its objects; the namespace of its slices, and what those of its Works begin with."""
    source, works = name, f"{name}-es-"
    await world.host.create(namespace(works + PROVIDER))
    await world.host.create(namespace(works + CONSUMER))
    for member in (PROVIDER, CONSUMER):
        await world.member(member).create(namespace(source))
        (work,) = [
            each
            for each in await world.host.list(WORKS, namespace=f"karmada-es-{member}")
            if each["spec"]["workload"]["manifests"][0]["kind"] == "EndpointSlice"
        ]
        await world.host.create(disguised(work, WEB, works + member))
    await world.member(PROVIDER).create(
        endpointslice(WEB, 0) | {"metadata": {"name": slice_name(WEB)}}, namespace=source
    )
    arrived = await world.member(CONSUMER).get(SLICES, arrived_name(WEB), namespace=SPACE)
    copy = disguised(
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"} | arrived, arrived_name(WEB), source
    )
    await world.member(CONSUMER).create(copy, namespace=source)
    return source, works


@asynccontextmanager
async def _baseline(world: Fleet, name: str) -> AsyncIterator[None]:
    root = world.bed.root / name
    root.mkdir()
    ready = root / "ready"
    plan = Plan(
        overlapped=name == OVERLAPPED,
        servers={
            HOST: _server(world.access),
            **{member: _server(await _member_access(world, member)) for member in (PROVIDER, CONSUMER)},
        },
        places=[
            Place(server=PROVIDER, collection=resource_path(SLICES, namespace=name), name=slice_name(WEB)),
            Place(server=HOST, collection=resource_path(WORKS, namespace=f"{name}-es-{PROVIDER}"), name=WEB),
            Place(server=HOST, collection=resource_path(WORKS, namespace=f"{name}-es-{CONSUMER}"), name=WEB),
            Place(server=CONSUMER, collection=resource_path(SLICES, namespace=name), name=arrived_name(WEB)),
        ],
        ready=str(ready),
    )
    path = root / "plan.json"
    path.write_bytes(msgspec.json.encode(plan))
    process = Process(
        f"baseline, {name}",
        [sys.executable, "-m", "benchmarks.product.baseline", str(path)],
        log=root / "baseline.log",
        root=world.bed.root,
        environ={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    await process.start()
    try:

        async def is_ready() -> bool:
            return ready.exists()

        await process.until(is_ready, timeout=SECONDS)
        yield
        if not process.running:
            raise process.failure("ended before it was told to")
    finally:
        with contextlib.suppress(ProcessLookupError):
            await process.kill()


async def _member_access(world: Fleet, member: str) -> ClusterAccess:
    plane = world.bed.members[member]
    token = await karmada.request_token(plane, karmada.SYSTEM_NAMESPACE, karmada.SERVICE_ACCOUNT)
    return plane.token_access(token, world.bed.root / f"{member}-as-controller.kubeconfig")


def _server(access: ClusterAccess) -> Server:
    return Server(url=access.server, ca=access.ca_pem.decode(), token=access.token)


SCENARIO = Scenario(
    name="one_change",
    title="One change of an endpoint",
    about=(
        "The latency of one changed endpoint from a provider to a consumer in an idle fleet, and its requests, "
        "compared with a minimal script that makes only the necessary ones."
    ),
    run=run,
)
