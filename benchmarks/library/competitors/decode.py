"""Decode watch events from bytes to the objects that a handler gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.library.competitors.common import arguments, library, per_second, processor_seconds, run, say

if TYPE_CHECKING:
    from collections.abc import Callable


async def decoder(who: str) -> Callable[[bytes], Any]:
    """The decoder of one line. Each imports only what it needs: memory is measured with these, too."""
    match who:
        case "ours":
            from informers.client.wire import decode_event
            from mcs_controller.api.resources import ENDPOINTSLICES

            decode = ENDPOINTSLICES.decode
            return lambda line: decode(decode_event(line)[1])
        case "json":
            return lambda line: json.loads(line)["object"]
        case "orjson":
            loads = library("orjson").loads
            return lambda line: loads(line)["object"]
        case "kubernetes-asyncio":
            from kubernetes_asyncio.watch import Watch

            watch = Watch()
            return lambda line: watch.unmarshal_event(line.decode(), "V1EndpointSlice")["object"]
        case _:
            raise ValueError(who)


async def main(who: str, lines: list[bytes], seconds: float) -> None:
    """Decode all lines in turns for this number of seconds."""
    decode = await decoder(who)
    done, began = 0, processor_seconds()
    while processor_seconds() - began < seconds:
        for line in lines:
            decode(line)
        done += len(lines)
    say(per_second(done, began))


if __name__ == "__main__":
    competitor, parameters = arguments()
    run(main(competitor, Path(parameters["events"]).read_bytes().splitlines(), parameters["seconds"]))
