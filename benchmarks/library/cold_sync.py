"""The first list of a large collection, from a real API server."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from benchmarks import golang
from benchmarks.child import answer_of, python
from benchmarks.library.competitors.cold_sync import PAGE_SIZE
from benchmarks.library.slices import ENDPOINTS, NAMESPACES, endpoint_slice
from benchmarks.library.versions import python_versions
from benchmarks.scenario import OURS, Competitor, Context, Measurement, Outcome, Rounds, Scenario
from testbed import Bed
from testbed.api import resource_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testbed import ControlPlane

PAGED = "ours-paged"
TYPED, TYPED_LIST, PROTOBUF = "go-typed", "go-typed-list", "go-protobuf"
UNSTRUCTURED, UNSTRUCTURED_LIST = "go-unstructured", "go-unstructured-list"
MODELS, KOPF = "kubernetes-asyncio", "kopf"

_GO = {
    TYPED: "typed",
    TYPED_LIST: "typed",
    PROTOBUF: "protobuf",
    UNSTRUCTURED: "unstructured",
    UNSTRUCTURED_LIST: "unstructured",
}
NAMES = (OURS, PAGED, UNSTRUCTURED, UNSTRUCTURED_LIST, TYPED, TYPED_LIST, PROTOBUF, MODELS, KOPF)
ENDPOINTSLICES = "discovery.k8s.io/v1/endpointslices"
WRITERS = 16


async def run(context: Context) -> Outcome:
    """Measure all followers on one server."""
    rounds, slices = (2, 1_000) if context.quick else (4, 10_000)
    program = await golang.binary(context.tell)
    seconds, processor, peak = Rounds(NAMES), Rounds(NAMES), Rounds(NAMES)
    async with _filled(context, slices) as server:
        kubeconfig = str(server.access.kubeconfig)
        async for _, who in seconds.interleaved(context, rounds=rounds):
            answer = await _first_list(program, who, kubeconfig=kubeconfig, count=slices)
            seconds.add(who, [answer["seconds"]])
            processor.add(who, [answer["cpu"]])
            peak.add(who, [answer["peak"]])
    what = f"{slices:,} slices with {ENDPOINTS} endpoints"
    return Outcome(
        competitors=await _competitors(program),
        measurements=[
            Measurement(f"Time until the handler has seen {what}", "s", "lower", seconds.found),
            Measurement("CPU time for it", "s", "lower", processor.found),
            Measurement("Peak memory of the whole process", "MiB", "lower", peak.found),
        ],
        conditions=[
            "A real etcd and kube-apiserver on the same machine, with TLS; nothing else works on them.",
            "Time runs from the first request, when everything is imported and configured. Each competitor is a new "
            f"process with all cores, one after the other; {rounds} rounds. Pages have {PAGE_SIZE} objects.",
        ],
    )


@asynccontextmanager
async def _filled(context: Context, count: int) -> AsyncIterator[ControlPlane]:
    """An API server with this number of slices in twenty namespaces, and without controllers."""
    context.tell("starting etcd and an API server")
    async with Bed(members=(), controller_manager=False) as bed:
        api = bed.host.api
        for number in range(NAMESPACES):
            await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{number}"}})
        left = iter(range(count))

        async def create() -> None:
            for number in left:
                if number % 1000 == 0:
                    context.tell(f"making {count:,} slices: {number:,}")
                content = endpoint_slice(number)
                path = resource_path(ENDPOINTSLICES, namespace=content["metadata"]["namespace"])
                await api.raw("POST", path, body=content)

        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(create())
        yield bed.host


async def _first_list(program: Path, who: str, **parameters: Any) -> Any:
    if who in _GO:
        environ = {"KUBE_FEATURE_WatchListClient": str(not who.endswith("-list")).lower()}
        return await answer_of(golang.command(program, "cold_sync", _GO[who], **parameters), environ=environ)
    return await answer_of(python("benchmarks.library.competitors.cold_sync", who, json.dumps(parameters)))


async def _competitors(program: Path) -> list[Competitor]:
    """The descriptions of all followers."""
    go = await golang.versions(program)
    ours = python_versions("mcs-controller", "aiohttp", "msgspec")
    return [
        Competitor(OURS, "this project", "`SharedInformer`; a streaming list.", ours),
        Competitor(PAGED, "this project, pages", "As on servers without streaming lists.", ours, reference=True),
        Competitor(UNSTRUCTURED, "Go, unstructured", "Informer of a dynamic factory; a streaming list.", go),
        Competitor(
            UNSTRUCTURED_LIST,
            "Go, unstructured, list",
            "The same with one list of everything, as before streaming lists.",
            go,
        ),
        Competitor(TYPED, "Go, typed", "Typed informer, JSON; a streaming list.", go),
        Competitor(
            TYPED_LIST, "Go, typed, list", "The same with one list of everything, as before streaming lists.", go
        ),
        Competitor(PROTOBUF, "Go, typed, protobuf", "As Kubernetes' own controllers do; built-in kinds only.", go),
        Competitor(
            MODELS,
            "kubernetes_asyncio",
            "Pages into a dict, then `watch.Watch`; its users write the rest.",
            python_versions("kubernetes-asyncio", "aiohttp"),
        ),
        Competitor(
            KOPF,
            "kopf",
            "An operator with one `kopf.on.event` handler, default settings; finding the kinds is included.",
            python_versions("kopf", "aiohttp"),
        ),
    ]


SCENARIO = Scenario(
    name="cold_sync",
    title="Cold sync",
    about="The time and resources to fill a cache, at the start or when a cluster comes back.",
    run=run,
)
