"""Why an object does not exist, as far as the API servers and the controller's log tell."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from testbed.errors import BedError
from testbed.karmada import SYSTEM_NAMESPACE
from testbed.walkthrough import (
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

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from testbed.demo.world import World

READ_SECONDS = 5.0
LOG_LINES = 30

_ENABLED = re.compile(r"\bControllers enabled=(\S+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """A possible explanation of a failure."""

    about: str
    lines: tuple[str, ...]


async def diagnose(world: World, made_by: str) -> tuple[Finding, ...]:
    """Collect findings after a failure. Never fails: the findings say what cannot be read.

    Args:
        world: the demo's.
        made_by: the controller whose object is missing, or empty.
    """
    findings: list[Finding] = []
    controller = world.controller
    if controller is not None and made_by:
        enabled = _ENABLED.search(controller.log.read_text(errors="replace"))
        if enabled is not None and made_by not in enabled[1].split(","):
            running = enabled[1].replace(",", ", ")
            findings.append(Finding("why", (f"{made_by} makes it and does not run; these do: {running}",)))
    if world.up:
        reads: dict[str, Callable[[World], Awaitable[list[str]]]] = {
            f"conditions of MultiClusterService {NAMESPACE}/{NAME}": _conditions,
            f"events of MultiClusterService {NAMESPACE}/{NAME}": _events,
            "Works": _works,
            "Clusters": _clusters,
            f"Lease {SYSTEM_NAMESPACE}/{LEASE}": _lease,
        }
        findings += [Finding(about, tuple(await _lines(world, read))) for about, read in reads.items()]
    if controller is not None:
        state = "runs" if controller.returncode is None else f"ended with exit code {controller.returncode}"
        log = tuple(controller.tail(LOG_LINES).splitlines()) or ("nothing",)
        findings.append(Finding(f"the controller {state}; the end of its log", log))
    return tuple(findings)


async def _lines(world: World, read: Callable[[World], Awaitable[list[str]]]) -> list[str]:
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await read(world) or ["none"]
    except (BedError, aiohttp.ClientError, OSError) as error:
        return [f"cannot be read: {error or type(error).__name__}"]


async def _conditions(world: World) -> list[str]:
    found = await world.host.find(MULTICLUSTERSERVICES, NAME, namespace=NAMESPACE)
    return ["the object does not exist"] if found is None else condition_texts(found)


async def _events(world: World) -> list[str]:
    selector = f"involvedObject.kind=MultiClusterService,involvedObject.name={NAME}"
    events = await world.host.list("v1/events", field_selector=selector)
    return [f"{each.get('type')} {each.get('reason')}: {each.get('message')}" for each in events]


async def _works(world: World) -> list[str]:
    lines = []
    for work in await world.host.list(WORKS):
        metadata = work["metadata"]
        state = " (suspended)" if work["spec"].get("suspendDispatching") else ""
        state += " (being deleted)" if metadata.get("deletionTimestamp") else ""
        told = "; ".join(condition_texts(work)) or "no conditions"
        lines.append(f"{metadata['namespace']}/{metadata['name']}, {held(work).get('kind')}{state}: {told}")
    return lines


async def _clusters(world: World) -> list[str]:
    clusters = await world.host.list(CLUSTERS)
    return [f"{each['metadata']['name']}: {'; '.join(condition_texts(each)) or 'no status'}" for each in clusters]


async def _lease(world: World) -> list[str]:
    lease = await world.host.find(LEASES, LEASE, namespace=SYSTEM_NAMESPACE)
    holder = lease["spec"].get("holderIdentity") if lease is not None else ""
    return [f"held by {holder}" if holder else "held by nobody"]
