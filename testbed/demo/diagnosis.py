"""Why an object is not there, as far as the API servers and the controller's log tell."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from testbed.demo.world import (
    CLUSTERS,
    LEASE,
    LEASES,
    MULTICLUSTERSERVICES,
    NAME,
    NAMESPACE,
    WORKS,
    condition_texts,
    held,
)
from testbed.errors import BedError
from testbed.karmada import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from testbed.demo.world import World

READ_SECONDS = 5.0
LOG_LINES = 30

_ENABLED = re.compile(r"\bControllers enabled=(\S+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that may explain a failure."""

    about: str
    lines: tuple[str, ...]


async def diagnose(world: World, made_by: str) -> tuple[Finding, ...]:
    """Look around after a failure. Never fails itself: what cannot be read is said to be so.

    Args:
        world: the demo's.
        made_by: the controller whose object is missing, or empty.
    """
    findings: list[Finding] = []
    if world.started and made_by and (idle := _not_running(world, made_by)):
        findings.append(Finding("why", (idle,)))
    if world.up:
        looks: list[tuple[str, Callable[[World], Awaitable[list[str]]]]] = [
            (f"conditions of MultiClusterService {NAMESPACE}/{NAME}", _conditions),
            (f"events of MultiClusterService {NAMESPACE}/{NAME}", _events),
            ("Works", _works),
            ("Clusters", _clusters),
            (f"Lease {SYSTEM_NAMESPACE}/{LEASE}", _lease),
        ]
        findings += [Finding(about, tuple(await _read(world, look))) for about, look in looks]
    if world.started:
        code = world.controller.returncode
        state = "runs" if code is None else f"ended with exit code {code}"
        log = tuple(world.controller.tail(LOG_LINES).splitlines()) or ("nothing",)
        findings.append(Finding(f"the controller {state}; the end of its log", log))
    return tuple(findings)


def _not_running(world: World, controller: str) -> str:
    """A sentence if the log says which controllers run and this one is not among them."""
    match = _ENABLED.search(world.controller.log.read_text(errors="replace"))
    if match is None or controller in match.group(1).split(","):
        return ""
    return f"it is made by {controller}, which does not run; these do: {match.group(1).replace(',', ', ')}"


async def _read(world: World, look: Callable[[World], Awaitable[list[str]]]) -> list[str]:
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await look(world) or ["none"]
    except (BedError, aiohttp.ClientError, OSError) as error:
        return [f"cannot be read: {error or type(error).__name__}"]


async def _conditions(world: World) -> list[str]:
    found = await world.host.find(MULTICLUSTERSERVICES, NAME, namespace=NAMESPACE)
    return ["there is no such object"] if found is None else condition_texts(found)


async def _events(world: World) -> list[str]:
    selector = f"involvedObject.kind=MultiClusterService,involvedObject.name={NAME}"
    events = await world.host.list("v1/events", field_selector=selector)
    return [f"{each.get('type')} {each.get('reason')}: {each.get('message')}" for each in events]


async def _works(world: World) -> list[str]:
    lines = []
    for work in await world.host.list(WORKS):
        manifest, spec = held(work), work["spec"]
        told = condition_texts(work) or ["no conditions"]
        suspended = " (suspended)" if spec.get("suspendDispatching") else ""
        going = " (being deleted)" if work["metadata"].get("deletionTimestamp") else ""
        name = f"{work['metadata']['namespace']}/{work['metadata']['name']}"
        lines.append(f"{name}, {manifest.get('kind')}{suspended}{going}: {'; '.join(told)}")
    return lines


async def _clusters(world: World) -> list[str]:
    clusters = await world.host.list(CLUSTERS)
    return [f"{each['metadata']['name']}: {'; '.join(condition_texts(each)) or 'no status'}" for each in clusters]


async def _lease(world: World) -> list[str]:
    lease = await world.host.find(LEASES, LEASE, namespace=SYSTEM_NAMESPACE)
    if lease is None:
        return ["there is no such object: no controller has led"]
    holder = lease["spec"].get("holderIdentity")
    return [f"held by {holder}" if holder else "held by nobody"]
