"""Who follows a real API server in the scenarios `cold_sync` and `watch`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import golang
from benchmarks.child import python
from benchmarks.library.versions import python_versions
from benchmarks.scenario import OURS, Contestant

if TYPE_CHECKING:
    from pathlib import Path

PAGED = "ours-paged"
TYPED, TYPED_LIST, PROTOBUF = "go-typed", "go-typed-list", "go-protobuf"
UNSTRUCTURED, UNSTRUCTURED_LIST = "go-unstructured", "go-unstructured-list"
MODELS, KOPF, BARE = "kubernetes-asyncio", "kopf", "bare"

_GO = {
    TYPED: "typed",
    TYPED_LIST: "typed",
    PROTOBUF: "protobuf",
    UNSTRUCTURED: "unstructured",
    UNSTRUCTURED_LIST: "unstructured",
}


class Start(NamedTuple):
    """How a follower is started: the arguments of :func:`benchmarks.child.started`."""

    command: list[str]
    environ: dict[str, str]


def start(program: Path, what: str, who: str, **parameters: Any) -> Start:
    """How to start one; `what` is the scenario."""
    if who in _GO:
        environ = {"KUBE_FEATURE_WatchListClient": str(not who.endswith("-list")).lower()}
        return Start(golang.command(program, what, _GO[who], **parameters), environ)
    return Start(python("benchmarks.library.contestants.follow", who, json.dumps({"what": what, **parameters})), {})


async def contestants(program: Path, *names: str) -> list[Contestant]:
    """Those of these names, described."""
    go = await golang.versions(program)
    ours = python_versions("mcs-controller", "aiohttp", "msgspec", "uvloop")
    everybody = [
        Contestant(name=OURS, title="this project", about="`SharedInformer`; a streaming list.", versions=ours),
        Contestant(
            name=PAGED,
            title="this project, pages",
            about="As on servers without streaming lists.",
            versions=ours,
            reference=True,
        ),
        Contestant(
            name=UNSTRUCTURED,
            title="Go, unstructured",
            about="Informer of a dynamic factory; a streaming list.",
            versions=go,
        ),
        Contestant(
            name=UNSTRUCTURED_LIST,
            title="Go, unstructured, list",
            about="The same with one list of everything, as before streaming lists.",
            versions=go,
        ),
        Contestant(name=TYPED, title="Go, typed", about="Typed informer, JSON; a streaming list.", versions=go),
        Contestant(
            name=TYPED_LIST,
            title="Go, typed, list",
            about="The same with one list of everything, as before streaming lists.",
            versions=go,
        ),
        Contestant(
            name=PROTOBUF,
            title="Go, typed, protobuf",
            about="As Kubernetes' own controllers do; built-in kinds only.",
            versions=go,
        ),
        Contestant(
            name=MODELS,
            title="kubernetes_asyncio",
            about="Pages into a dict, then `watch.Watch`; its users write the rest.",
            versions=python_versions("kubernetes-asyncio", "aiohttp", "uvloop"),
        ),
        Contestant(
            name=KOPF,
            title="kopf",
            about="An operator with one `kopf.on.event` handler, default settings; finding the kinds is included.",
            versions=python_versions("kopf", "aiohttp", "uvloop"),
        ),
        Contestant(
            name=BARE,
            title="bare watch in Python",
            about="Only the annotation is cut out of the bytes; nothing is decoded or kept: the least there can be.",
            versions=python_versions("aiohttp", "uvloop"),
            reference=True,
        ),
    ]
    return [each for each in everybody if each.name in names]
