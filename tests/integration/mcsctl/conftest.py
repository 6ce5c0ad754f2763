"""A fleet that a person would diagnose: real API servers, the controller, a service that works, and kubeconfigs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from mcs_controller.diagnosis.findings import Severity
from mcs_controller.mcsctl.access import AccessOptions
from mcs_controller.mcsctl.doctor import run as run_doctor
from testbed import Bed, ControllerProcess, NotYet, karmada, wait_for
from tests.integration.mcsctl.calls import paste
from tests.support.fleet import PATIENCE_SECONDS, Space, deployment, multiclusterservice, service
from tests.support.no_findings import kubeconfig_of
from tools.components import OLDER_KUBERNETES_VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator
    from pathlib import Path

    from mcs_controller.diagnosis.findings import Finding
    from mcs_controller.diagnosis.verdict import Diagnosis

# What breaks is noticed soon, and what is mended is believed at once.
IMPATIENT = (
    "--cluster-status-update-frequency=1s",
    "--cluster-success-threshold=1s",
    "--cluster-failure-threshold=3s",
)

YOUNG = tuple(f"mcs_controller.diagnosis.rules.{name}" for name in ("chain.YOUNG_SECONDS", "clusters._YOUNG_SECONDS"))
"""For how long a broken link may be a change on its way. What is so long enough is shown by unit tests."""

YOUNG_SECONDS = 5.0

INTERVAL_SECONDS = 1.5
"""Between two diagnoses: each is a hundred requests, which keep the controller from what is waited for."""

PASSED = pytest.StashKey[bool]()
"""Of a test: whether its last phase has passed."""


@dataclass(frozen=True)
class Patient:
    """A service `web` from member1 to member2 that works, in a namespace of its own, and who can be asked about it."""

    space: Space
    process: ControllerProcess
    kubeconfig: str

    async def doctor(self, service_name: str = "web", from_cluster: str = "") -> Diagnosis:
        """One diagnosis of the service; without a name, of the installation."""
        options = AccessOptions(kubeconfig=self.kubeconfig, context="karmada")
        target = (self.space.namespace, service_name) if service_name else None
        return await run_doctor(options, target, from_cluster)

    async def verdict_is(self, code: str, service_name: str = "web") -> Finding:
        """Wait until the first broken link is this one; it is the only error then."""

        async def probe() -> Finding:
            diagnosis = await self.doctor(service_name)
            errors = [one for one in diagnosis.findings if one.severity is Severity.ERROR]
            if [one.code for one in errors] != [code]:
                raise NotYet(f"{[(one.code, one.problem) for one in errors]}")
            return errors[0]

        return await wait_for(f"verdict {code} and no other", probe, PATIENCE_SECONDS, interval=INTERVAL_SECONDS)

    async def problems(self, service_name: str = "web") -> list[tuple[str, ...]]:
        """What one diagnosis finds, and what could not be looked at."""
        findings = (await self.doctor(service_name)).findings
        worse = [one for one in findings if one.severity > Severity.INFO]
        return [(one.code, one.severity.name, one.problem, one.evidence) for one in worse]

    async def healthy(self, service_name: str = "web") -> None:
        """Wait until nothing is found, and everything could be looked at."""

        async def probe() -> bool:
            if problems := await self.problems(service_name):
                raise NotYet(f"{problems}")
            return True

        await wait_for("a diagnosis without findings", probe, PATIENCE_SECONDS, interval=INTERVAL_SECONDS)

    async def paste(self, command: str) -> str:
        """Run a fix in a shell, as it was printed."""
        return await paste(command)


@pytest.fixture(autouse=True)
def short_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes count as young for a third of the usual time, in this test alone."""
    for name in YOUNG:
        monkeypatch.setattr(name, YOUNG_SECONDS)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def doctors_bed(binaries: dict[str, Path]) -> AsyncIterator[tuple[Bed, ControllerProcess]]:
    """One fleet and one controller for all tests here."""
    async with Bed(versions={"member2": OLDER_KUBERNETES_VERSION}) as bed:
        await karmada.install(bed)
        await karmada.join_all(bed)
        kubeconfig = await karmada.controller_kubeconfig(bed)
        async with ControllerProcess(kubeconfig, root=bed.root, extra_args=IMPATIENT) as process:
            yield bed, process


async def new_patient(bed: Bed, process: ControllerProcess) -> Patient:
    """A service that works, in a namespace that is removed if it does not get so far."""
    space = await Space.make(bed)
    made = Patient(space, process, kubeconfig_of(bed))
    try:
        web = service("web", selector={"app": "web"})
        await space.create(web, multiclusterservice("web", ["member1"], ["member2"]))
        await space.create_in("member1", deployment("web", 1))
        await made.healthy()
    except BaseException:
        await space.remove()
        raise
    return made


@pytest_asyncio.fixture(loop_scope="session")
async def patient(doctors_bed: tuple[Bed, ControllerProcess]) -> AsyncIterator[Patient]:
    """A service that works, for one test to break."""
    made = await new_patient(*doctors_bed)
    yield made
    await made.space.remove()


@pytest.fixture(scope="session")
def used() -> list[Patient]:
    """Services that tests have left as they were, for the next ones to break: a namespace costs more than a test."""
    return []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember which tests have passed."""
    outcome = yield
    item.stash[PASSED] = outcome.passed
    return outcome


@pytest_asyncio.fixture(loop_scope="session")
async def shared(
    request: pytest.FixtureRequest, doctors_bed: tuple[Bed, ControllerProcess], used: list[Patient]
) -> AsyncIterator[Patient]:
    """A service that works, for a test that leaves it, and its namespace, as they were."""
    made = used.pop() if used else await new_patient(*doctors_bed)
    yield made
    if request.node.stash[PASSED]:
        used.append(made)
    else:
        await made.space.remove()
