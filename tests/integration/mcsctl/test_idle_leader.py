"""A controller that seems to lead and does nothing: what it leaves undone has its codes, a restart mends all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed import karmada
from tests.integration.mcsctl.conftest import Patient
from tests.integration.mcsctl.test_breakages import mends
from tests.integration.mcsctl.test_clusters import LEASE, lease, restarted
from tests.support.fleet import (
    LEASES,
    MCS,
    SERVICES,
    SLICES,
    WORKS,
    Space,
    endpointslice,
    multiclusterservice,
    service,
)
from tests.support.no_findings import kubeconfig_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from testbed import Bed, ControllerProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXECUTION = "karmada-es-member2"


async def work_of(space: Space, name: str) -> str:
    """The Work that brings member2 the slice of a service."""
    works = await space.works("member2", "EndpointSlice")
    (found,) = [one for one in works if one["spec"]["workload"]["manifests"][0]["metadata"]["name"] == copy(name)]
    work: str = found["metadata"]["name"]
    return work


def copy(name: str) -> str:
    """A service's slice in member2."""
    return f"member1-{name}-hand"


async def forget(space: Space, work: str) -> None:
    """Delete a Work so that nobody notices: what it brought stays."""
    await space.host.patch(WORKS, work, {"metadata": {"finalizers": None}}, namespace=EXECUTION)
    await space.host.delete(WORKS, work, namespace=EXECUTION)


async def test_a_controller_that_leads_and_leaves_something_undone(doctors_bed: tuple[Bed, ControllerProcess]):
    """One service for each hop. Nobody runs the bed's Deployment, or leads: that is played here."""
    bed, process = doctors_bed
    space = await Space.make(bed)
    patient = Patient(space, process, kubeconfig_of(bed))
    ours, theirs, namespace = space.host, space.member("member2"), space.namespace
    more = endpointslice("mcs060-more", "mcs060", ["10.99.0.2"])
    ports = {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 9999}]}}
    not_ready = [{"addresses": ["10.99.0.1"], "conditions": {"ready": False}}]
    no_conditions = {"status": {"conditions": None}}
    breaks: dict[str, Callable[[str], Awaitable[object]]] = {
        "MCS062": lambda name: forget(space, works[name]),
        "MCS063": lambda name: ours.patch(WORKS, works[name], no_conditions, namespace=EXECUTION, subresource="status"),
        "MCS068": lambda name: ours.patch(MCS, name, no_conditions, namespace=namespace, subresource="status"),
        "MCS071": lambda name: theirs.delete(SERVICES, name, namespace=namespace),
        "MCS072": lambda name: theirs.delete(SLICES, copy(name), namespace=namespace),
        # Of these an object is young then: they are broken first, and asked about last.
        "MCS060": lambda _: space.create_in("member1", more),
        "MCS061": lambda name: space.set_addresses("member1", f"{name}-hand", ["10.99.0.2"]),
        "MCS074": lambda name: theirs.patch(SERVICES, name, ports, namespace=namespace),
        "MCS076": lambda name: theirs.patch(SLICES, copy(name), {"endpoints": not_ready}, namespace=namespace),
    }
    services = {code: code.lower() for code in breaks}
    try:
        for name in services.values():
            await space.create_in("member1", endpointslice(f"{name}-hand", name, ["10.99.0.1"]))
            await space.create(service(name), multiclusterservice(name, ["member1"], ["member2"]))
        for name in services.values():
            await space.dispatched_are("member2", {copy(name): ["10.99.0.1"]}, name)
            await space.succeeded(name)
        works = {name: await work_of(space, name) for name in services.values()}
        before = await restarted(ours)
        await process.terminate()

        async def start() -> None:
            assert await restarted(ours) != before
            await ours.delete(LEASES, LEASE, namespace=karmada.SYSTEM_NAMESPACE)
            await process.start()

        try:
            await ours.patch(LEASES, LEASE, {"spec": lease(LEASE)["spec"]}, namespace=karmada.SYSTEM_NAMESPACE)
            for code, do in reversed(breaks.items()):
                await do(services[code])
            findings = {code: await patient.verdict_is(code, name) for code, name in services.items()}
            assert len({one.fix for one in findings.values()}) == 1
            code, finding = next(iter(findings.items()))
            await mends(patient, code, service_name=services[code], finding=finding, then=start)
            for name in services.values():
                await patient.healthy(name)
        finally:
            if process.pid is None:
                await process.start()
    finally:
        await space.remove()
