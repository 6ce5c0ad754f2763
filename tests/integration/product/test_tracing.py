"""The trace of a change, as an OpenTelemetry collector receives it from a process on real API servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.works import SliceRef
from mcs_controller.tracing.changes import Change
from testbed import ControllerProcess
from testbed.controller import installed_binary
from tests.integration.product.conftest import IMPATIENT
from tests.integration.product.test_availability import asked
from tests.support.fleet import SLICES, Space, endpointslice, eventually
from tests.support.otlp import Collector

if TYPE_CHECKING:
    from testbed import Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")

EACH = ["endpointslice change", "write EndpointSlice", "write collected Work", "write dispatched Work"]


def changed(addresses: list[str], moment: str) -> dict[str, Any]:
    """The slice `web-a`, as Kubernetes' controller writes it."""
    content = endpointslice("web-a", "web", addresses)
    content["metadata"]["annotations"] = {wk.TRIGGER_TIME: moment}
    return content


async def test_a_change_is_one_trace_from_the_provider_to_the_consumer_and_after_a_restart(fleet_bed: Bed):
    async with Collector() as collector:
        environment = (f"OTEL_EXPORTER_OTLP_ENDPOINT={collector.address}", "OTEL_BSP_SCHEDULE_DELAY=200")
        process = ControllerProcess(
            fleet_bed.root / "controller.kubeconfig",
            root=fleet_bed.root,
            name="traced",
            extra_args=[*IMPATIENT, "--v=4", "--tracing"],
            program=["/usr/bin/env", *environment, "OTEL_SERVICE_NAME=mcs-test", str(installed_binary())],
        )

        def origin(space: Space) -> SliceRef:
            return SliceRef("member1", space.namespace, "web-a")

        async def arrived(change: Change) -> list[str]:
            return sorted(collector.of(change.ids()[0]))

        async with process:
            space = await Space.make(fleet_bed)
            await asked(space)
            first, second = (Change(origin(space), f"2026-01-01T00:00:0{number}Z") for number in (1, 2))
            await space.create_in("member1", changed(["192.0.2.1"], first.version))
            await eventually("the trace of a new slice", lambda: arrived(first), EACH)
            await space.member("member1").patch(
                SLICES, "web-a", changed(["192.0.2.1", "192.0.2.2"], second.version), namespace=space.namespace
            )
            await eventually("the trace of a change", lambda: arrived(second), EACH)
        for change in (first, second):
            trace_id, span_id = change.ids()
            spans = collector.of(trace_id)
            (root,) = spans["endpointslice change"]
            assert (root.span, root.parent) == (span_id, 0)
            assert root.attributes["mcs.provider"] == "member1"
            assert root.resource["service.name"] == "mcs-test"
            assert {one.attributes["mcs.cluster"] for one in spans["write EndpointSlice"]} == {"member2"}
            assert {one.attributes["mcs.cluster"] for one in spans["write dispatched Work"]} == {"member2"}
            assert not any(one.failed for found in spans.values() for one in found)
            assert {one.parent for name in EACH[1:] for one in spans[name]} == {span_id}
        # What the next process finds to do belongs to the change that it is done for.
        (name,) = await space.dispatched("member2")
        await space.member("member2").delete(SLICES, name, namespace=space.namespace)
        third = Change(origin(space), "2026-01-01T00:00:03Z")
        await space.member("member1").patch(
            SLICES, "web-a", changed(["192.0.2.3"], third.version), namespace=space.namespace
        )
        async with process:
            await eventually("the trace of a change while nobody ran", lambda: arrived(third), EACH)
        await space.remove()
