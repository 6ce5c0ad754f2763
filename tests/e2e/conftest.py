"""One fleet for all behaviours, and the report about them: a table at the end of the run, docs/conformance.md."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from rich.console import Console

from testbed import Bed, ControllerProcess, karmada
from testbed.dataplane import missing_capabilities
from testbed.pytest_plugin import cannot
from tests.e2e.world import Scene, World
from tests.support.conformance import Report
from tests.support.fleet import Space
from tests.support.traffic import Refusals

if TYPE_CHECKING:
    from tests.support.conformance import Row

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "conformance.md"
CHAPTERS = {
    "test_walkthrough": "The walkthrough",
    "test_changes": "Scaling and updates",
    "test_outages": "Outages",
    "test_removal": "Removal of clusters and services",
    "test_providers": "Several providers",
    "test_selection": "Which cluster answers",
    "test_headless": "Headless Services",
    "test_ports": "Ports, protocols, endpoints",
}
TABLE_WIDTH = 180
# A member is looked at often, and believed at once if it is well. A probe has no more time than there is between two of
# them: what fails on a busy machine is not believed at once.
IMPATIENT = (
    "--cluster-status-update-frequency=1s",
    "--cluster-success-threshold=1s",
    "--cluster-failure-threshold=10s",
)

REPORT: pytest.StashKey[Report] = pytest.StashKey()
FAILED: pytest.StashKey[bool] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and start a report."""
    config.addinivalue_line("markers", "behaviour(row): this test proves a row of the behaviour matrix")
    config.stash[REPORT] = Report(CHAPTERS)


@pytest.hookimpl(trylast=True)  # without those that are left out as too long: the document has no rows of these
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Know every row before the first test, and whether all of them are going to be tried; chapters run in order."""
    report = config.stash[REPORT]
    order = {HERE / f"{module}.py": number for number, module in enumerate(CHAPTERS)}
    items.sort(key=lambda item: order.get(item.path, -1))
    for item in items:
        _row(item)
    collected = {item.path.stem for item in items if item.path.parent == HERE}
    chosen = config.getoption("keyword") or config.getoption("markexpr") or any("::" in each for each in config.args)
    report.complete = collected >= set(CHAPTERS) and not chosen


def _row(item: pytest.Item) -> Row | None:
    marker = item.get_closest_marker("behaviour")
    return item.config.stash[REPORT].row(item.nodeid, item.path.stem, marker.args[0]) if marker else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record the result of a behaviour's test."""
    outcome = yield
    if row := _row(item):
        if outcome.failed:
            item.stash[FAILED] = True
            row.result, row.reason = "FAIL", str(call.excinfo.value if call.excinfo else "")
        elif outcome.skipped:
            row.result, row.reason = "skipped", str(call.excinfo.value if call.excinfo else "")
        elif outcome.when == "call":
            row.result = "pass"
    return outcome


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table; write the document if all behaviours were tested."""
    report = config.stash[REPORT]
    if not any(report.chapters()):
        return
    buffer = io.StringIO()
    Console(file=buffer, width=TABLE_WIDTH).print(report.table())
    terminalreporter.write_line("")
    terminalreporter.write(buffer.getvalue())
    if report.writable:
        DOCUMENT.write_text(report.markdown())
        terminalreporter.write_line(f"written to {DOCUMENT.relative_to(config.rootpath)}")
    else:
        terminalreporter.write_line("docs/conformance.md is not written: not every behaviour was tried")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(dataplane: dict[str, Path], pytestconfig: pytest.Config) -> AsyncIterator[World]:
    """A control plane, three members, of which the third joins when a behaviour needs it, and the installed binary."""
    if missing_here := missing_capabilities(dual_stack=True):
        cannot("no dual-stack data plane is possible here; what is missing: " + "; ".join(missing_here))
    async with Bed(members=("member1", "member2", "member3"), audit=True, dataplane=True, dual_stack=True) as bed:
        await karmada.install(bed)
        for member in ("member1", "member2"):
            await karmada.join(bed, member)
        version = await bed.host.api.raw("GET", "/version")
        pytestconfig.stash[REPORT].versions["Kubernetes"] = version["gitVersion"]
        kubeconfig = await karmada.controller_kubeconfig(bed)
        refusals = Refusals.since_now(bed)
        async with ControllerProcess(kubeconfig, root=bed.root, extra_args=IMPATIENT) as controller:
            made = World(bed, controller)
            await made.make_clients()
            for member in ("member1", "member2"):
                await made.cluster_is(member, ready=True)
            yield made
            assert controller.pid is not None, f"the controller ended by itself:\n{controller.tail()}"
            ended_with = await controller.terminate()
            assert ended_with == 0, f"SIGTERM made it exit with {ended_with}:\n{controller.tail()}"
        # A kube-apiserver that has just come back knows no roles for a moment: those that were stopped do not count.
        assert [each for each in refusals.found() if not each.startswith(("member1:", "member2:"))] == []


Stage = Callable[..., Awaitable[Scene]]


@pytest_asyncio.fixture(loop_scope="session")
async def stage(world: World, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A function that makes a namespace for this behaviour and waits for it in members: ``await stage("member1")``.

    With ``namespace=`` it is one that is there and stays.
    """
    scenes: list[Scene] = []
    row = _row(request.node)
    assert row is not None, "a test without @behaviour"
    if world.controller.pid is None:  # an earlier test failed while it was down
        await world.controller.start()

    async with AsyncExitStack() as stack:

        async def begin(*members: str, namespace: str = "") -> Scene:
            if namespace:
                scene = Scene(world, Space(world.bed, namespace), row)
            else:
                scene = await Scene.begin(world, row, members=members)
                stack.push_async_callback(scene.end)
            scenes.append(scene)
            return scene

        yield begin
        if request.node.stash.get(FAILED, False):
            for scene in scenes:
                print(await scene.diagnosis())


@pytest_asyncio.fixture(loop_scope="session")
async def scene(stage: Stage) -> Scene:
    """A namespace for this behaviour that exists in `member1` and `member2`."""
    return await stage("member1", "member2")


@pytest_asyncio.fixture(loop_scope="session")
async def standby(world: World) -> AsyncIterator[ControllerProcess]:
    """A second replica of the controller, ready. At the end the first one is the only one again."""
    kubeconfig = world.bed.root / "controller.kubeconfig"
    async with ControllerProcess(kubeconfig, root=world.bed.root, name="standby", extra_args=IMPATIENT) as process:
        try:
            yield process
        finally:
            if world.controller.pid is None:
                await world.controller.start()
