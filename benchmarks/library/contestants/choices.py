"""Our own ways and those that we did not take, for the scenario `choices`."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from benchmarks.library.contestants.common import arguments, library, per_second, processor_seconds, say
from informers.store import StoreWriter
from informers.wire import decode_event
from mcs_controller.api.resources import ENDPOINTSLICES

if TYPE_CHECKING:
    from collections.abc import Callable

WARM = 100
"""Objects that are kept, or requests that are made, before anything is measured."""


class _Eager(msgspec.Struct, frozen=True):
    metadata: Any
    address_type: str
    endpoints: Any
    ports: Any


class _Raw(msgspec.Struct, frozen=True):
    metadata: Any
    raw: bytes


class _Identity(msgspec.Struct):
    name: str
    namespace: str
    labels: dict[str, str] = {}


class _Identified(msgspec.Struct):
    metadata: _Identity


def decoder(who: str) -> Callable[[bytes], Any]:
    """From the line of a watch to what is kept."""
    decode = ENDPOINTSLICES.decode
    match who:
        case "eager":

            def eager(line: bytes) -> _Eager:
                found = decode(decode_event(line)[1])
                read = msgspec.json.decode
                return _Eager(found.metadata, found.address_type, read(found.endpoints), read(found.ports))

            return eager
        case "raw":
            identify = msgspec.json.Decoder(_Identified).decode

            def raw(line: bytes) -> _Raw:
                content = decode_event(line)[1]
                return _Raw(identify(content).metadata, bytes(content))

            return raw
        case "interned":
            intern = sys.intern

            def interned(line: bytes) -> Any:
                found = decode(decode_event(line)[1])
                for name in ("labels", "annotations"):
                    texts = {intern(key): intern(value) for key, value in getattr(found.metadata, name).items()}
                    msgspec.structs.force_setattr(found.metadata, name, texts)
                return found

            return interned
        case "msgspec-dicts":
            return lambda line: msgspec.json.decode(line)["object"]
        case "orjson-dicts":
            loads = library("orjson").loads
            return lambda line: loads(line)["object"]
        case _:
            return lambda line: decode(decode_event(line)[1])


def decode(who: str, events: str, seconds: float) -> None:
    """Events decoded a second of processor time."""
    lines = Path(events).read_bytes().splitlines()
    one = decoder(who)
    done, began = 0, processor_seconds()
    while processor_seconds() - began < seconds:
        for line in lines:
            one(line)
        done += len(lines)
    say(per_second(done, began))


def keep(who: str, events: str, freeze: bool) -> None:
    """KiB for each kept object, by what the allocator has handed out, and milliseconds of a full collection then."""
    import tracemalloc

    one = decoder(who)
    kept: dict[tuple[str, str], Any] = {}
    writer: StoreWriter[Any] = StoreWriter({})
    gc.collect()
    gc.freeze()
    tracemalloc.start()
    before = count = 0
    with open(events, "rb") as lines:
        for count, line in enumerate(lines, 1):
            if count == WARM + 1:
                gc.collect()
                before = tracemalloc.get_traced_memory()[0]
            found = one(line)
            if isinstance(found, dict):
                kept[found["metadata"]["namespace"], found["metadata"]["name"]] = found
            elif who in ("eager", "raw"):
                kept[found.metadata.namespace, found.metadata.name] = found
            else:
                writer.put(found)
    gc.collect()
    each = (tracemalloc.get_traced_memory()[0] - before) / 1024 / (count - WARM)
    tracemalloc.stop()
    if freeze:
        gc.freeze()
    pauses = []
    for _ in range(10):
        began = time.perf_counter()
        gc.collect()
        pauses.append(1000 * (time.perf_counter() - began))
    say({"each": each, "pauses": pauses})


async def ask(who: str, kubeconfig: str, path: list[str], count: int) -> None:
    """Milliseconds of one request after the other, and of processor time for each."""
    from informers import ApiClient, load_kubeconfig
    from workqueue import RealClock

    namespace, name = path
    config, clock = await load_kubeconfig(kubeconfig), RealClock()
    client = ApiClient(config, clock=clock, user_agent="benchmark")
    found, began = [], 0.0
    try:
        for number in range(WARM + count):
            if number == WARM:
                began = processor_seconds()
            if who == "new-connections":
                await client.close()
                client = ApiClient(config, clock=clock, user_agent="benchmark")
            sent = time.perf_counter()
            await client.get(ENDPOINTSLICES, name, namespace)
            found.append(1000 * (time.perf_counter() - sent))
    finally:
        await client.close()
    say({"latencies": found[WARM:], "processor": 1000 * (processor_seconds() - began) / count})


def main() -> None:
    """Do what is asked for."""
    who, parameters = arguments()
    what = parameters.pop("what")
    if what == "ask":
        factory = asyncio.new_event_loop if who == "asyncio" else uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(ask(who, **parameters))
    elif what == "keep":
        keep(who, **parameters)
    else:
        decode(who, **parameters)


if __name__ == "__main__":
    main()
