"""What the controllers of one process share."""

import logging
import random
import types
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from mcs_controller import start
from mcs_controller.context import ControllerContext
from mcs_controller.domain import well_known as wk
from mcs_controller.metrics import Metrics
from mcs_controller.options import Options, command
from tests.support.clock import FakeClock
from workqueue import LOW, NORMAL

AGENT = ("--cluster-name=m1", f"--karmada-kubeconfig={__file__}")  # nobody reads that
GATE = "--feature-gates=MultiClusterService=true"


def context(*flags: str) -> tuple[ControllerContext, list[tuple[str, bool]]]:
    """A context of a process with these flags, and the runnables that it gets, with whether they need the lease."""
    runnables: list[tuple[str, bool]] = []
    manager = types.SimpleNamespace(
        add_informers=lambda _: None,
        add_controller=lambda _: None,
        add_runnable=lambda one, *, needs_leader: runnables.append((type(one).__name__, needs_leader)),
        require_only_for=lambda *_: None,
        prepare_metrics=lambda _: None,
    )
    values = command("test", "0", "").main(args=list(flags), prog_name="test", standalone_mode=False)
    recorder: Any = types.SimpleNamespace()
    recorder.for_component = lambda _: recorder
    made = ControllerContext(
        Options.of(values),
        cast(Any, manager),
        cast(Any, types.SimpleNamespace()),
        clock=FakeClock(),
        rng=random.Random(0),
        user_agent="test",
        recorder=recorder,
        metrics=Metrics(CollectorRegistry()),
    )
    return made, runnables


@pytest.mark.parametrize("name", ["slice_requests", "binding_locks", "slice_works", "works", "members"])
async def test_there_is_one_for_all_controllers(name: str):
    ctx, _ = context()
    assert getattr(ctx, name) is getattr(ctx, name)


async def test_what_talks_to_members_runs_only_with_the_lease():
    ctx, runnables = context(GATE)
    start.start_controllers(ctx)
    assert runnables == [("MemberClusters", True), ("ProviderInformers", True), ("MemberInformers", True)]


async def test_an_agent_asks_for_nothing_but_its_own_clusters_objects():
    ctx, _ = context(*AGENT)
    assert ctx.works.informer._namespace == "karmada-es-m1"
    assert ctx.clusters.informer._field_selector == "metadata.name=m1"
    ctx, _ = context()
    assert (ctx.works.informer._namespace, ctx.clusters.informer._field_selector) == ("", "")


@pytest.mark.parametrize(("enabled", "priority"), [("true", LOW), ("false", NORMAL)])
async def test_priorities_are_a_feature_gate(enabled: str, priority: int):
    ctx, _ = context(f"--feature-gates=ControllerPriorityQueue={enabled}")
    controller = ctx.controller("test", cast(Any, None), workers=1, flow=None)
    controller.enqueue(cast(Any, "a"), LOW)
    assert await controller.queue.get() == "a"
    assert controller.queue.priority_of(cast(Any, "a")) == priority


@pytest.mark.parametrize(
    ("flags", "enabled", "disabled"),
    [
        (("--controllers=*",), wk.EXPORT_CONTROLLER, {"multiclusterservice", "execution"}),
        ((GATE, "--controllers=-policy,*,standalone"), wk.MCS_CONTROLLER, {"policy"}),
        (AGENT, wk.EXPORT_CONTROLLER, {"endpointsliceCollect", "execution"}),
    ],
    ids=["gate off", "stand-alone", "agent"],
)
def test_the_start_says_what_is_served_and_what_is_not(
    caplog: pytest.LogCaptureFixture, flags: tuple[str, ...], enabled: str, disabled: set[str]
):
    caplog.set_level(logging.INFO)
    ctx, _ = context(*flags)
    start.start_controllers(ctx)
    ctx.announce()
    [said] = [vars(record) for record in caplog.records if record.message == "Controllers"]
    assert enabled in said["enabled"].split(",")
    off = set(said["disabled"].split(","))
    assert disabled <= off
    assert "serviceExport" not in off
    assert flags != AGENT or "scheduler" not in off, "an agent has none"
    assert said["version"]
    assert said["gates"]


def test_that_nothing_runs_is_a_warning(caplog: pytest.LogCaptureFixture):
    ctx, _ = context("--controllers=multiclusterservice")
    start.start_controllers(ctx)
    ctx.announce()
    assert [(record.levelname, vars(record)["switch_on"]) for record in caplog.records] == [("WARNING", GATE)]
