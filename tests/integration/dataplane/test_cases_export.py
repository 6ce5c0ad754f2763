"""An exported service to its end: a client in another member is answered under the derived name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import yaml

from testbed import Bed, ControllerProcess, karmada, wait_for
from tests.integration.dataplane.support import answered_by, pod, running
from tests.support.fleet import DEPLOYMENTS, EVENTS, SERVICES, SLICES, eventually, serve_exports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed.pytest_plugin import NewBed

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLE = Path(__file__).parents[3] / "examples" / "03-service-export"
FILES = ("deployment", "serviceexport", "serviceimport", "propagationpolicy")


@pytest_asyncio.fixture(loop_scope="session")
async def fleet(dataplane: dict[str, Path], new_bed: NewBed) -> AsyncIterator[Bed]:
    """Two members whose Pods answer, a client in the second, and the controller, which has been given the example."""
    bed = await new_bed(dataplane=True)
    await karmada.install(bed)
    await karmada.join_all(bed)
    await serve_exports(bed)
    await bed.members["member2"].api.create(pod("curl", "curlimages/curl"), namespace="default")
    for file in FILES:
        for each in yaml.safe_load_all((EXAMPLE / f"{file}.yaml").read_text()):
            await bed.host.api.create(each)
    async with ControllerProcess(await karmada.controller_kubeconfig(bed), root=bed.root):
        yield bed


async def test_cases_90_and_91_what_is_exported_answers_under_its_derived_name_and_grows(fleet: Bed):
    consumer = fleet.members["member2"].api
    await running(fleet.members["member2"], "default", "curl")

    async def address() -> str | None:
        derived = await consumer.find(SERVICES, "derived-serve", namespace="default")
        return str(derived["spec"]["clusterIP"]) if derived is not None else None

    derived = await wait_for("the derived Service in member2", address, 60)
    pods = await running(fleet.members["member1"], "default", "serve", 1)

    async def endpoints() -> list[int]:
        selector = "kubernetes.io/service-name=derived-serve"
        found = [
            await api.list(SLICES, namespace="default", label_selector=selector) for api in (fleet.host.api, consumer)
        ]
        return [sum(len(each["endpoints"] or ()) for each in slices) for slices in found]

    await eventually("one endpoint on the control plane and in member2", endpoints, [1, 1])
    await answered_by(fleet, "member2", "default", f"http://{derived}", list(pods))

    async def told() -> bool:
        about = "involvedObject.kind=ServiceImport,involvedObject.name=serve"
        events = await fleet.host.api.list(EVENTS, namespace="default", field_selector=about)
        return "SyncDerivedServiceSucceed" in {each["reason"] for each in events}

    await eventually("the event about the derived Service", told, True)

    await fleet.host.api.patch(DEPLOYMENTS, "serve", {"spec": {"replicas": 2}}, namespace="default")
    pods = await running(fleet.members["member1"], "default", "serve", 2)
    await eventually("two endpoints on the control plane and in member2", endpoints, [2, 2])
    await answered_by(fleet, "member2", "default", "http://derived-serve", list(pods))
