"""The memory of an object in a store."""

from __future__ import annotations

import gc
import tracemalloc
from typing import TYPE_CHECKING, Any

from benchmarks.library.competitors.common import arguments, run, say, status_mib
from benchmarks.library.competitors.decode import decoder
from informers.cache.store import StoreWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WARM = 100
"""Objects that are in the store before it is weighed: what a decoder makes once is no object's cost."""


def keeper(who: str) -> Callable[[Any], None]:
    """The store: ours with two indexes, or a dict by name for libraries without a store."""
    if who == "ours":
        from benchmarks.library.competitors.indexes import INDEXERS

        writer: StoreWriter[Any] = StoreWriter(INDEXERS)
        return lambda obj: writer.put(obj) and None
    objects: dict[tuple[str, str], Any] = {}

    def keep(obj: Any) -> None:
        if isinstance(obj, dict):
            objects[obj["metadata"]["namespace"], obj["metadata"]["name"]] = obj
        else:
            objects[obj.metadata.namespace, obj.metadata.name] = obj

    return keep


async def main(who: str, lines: Iterable[bytes], *, count: int, traced: bool) -> None:
    """Load all events, and print the KiB of one object: traced allocations, or resident memory."""
    decode, keep = await decoder(who), keeper(who)
    if traced:
        tracemalloc.start()

    def used() -> float:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / 1024 if traced else 1024 * status_mib("VmRSS")

    before = 0.0
    for number, line in enumerate(lines):
        if number == WARM:
            before = used()
        keep(decode(line))
    say({"each": (used() - before) / (count - WARM)})


if __name__ == "__main__":
    competitor, parameters = arguments()
    with open(parameters["events"], "rb") as events:
        run(main(competitor, events, count=parameters["count"], traced=parameters["traced"]))
