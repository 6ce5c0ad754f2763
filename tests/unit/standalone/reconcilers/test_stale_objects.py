"""A member's objects compared with its Works, in memory."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from informers.cache.event import Event
from mcs_controller.api.common import canonical, decode_unstructured, parse_time
from mcs_controller.api.resources import CLUSTERS, MULTICLUSTERSERVICES, RESOURCEBINDINGS, WORKS
from mcs_controller.domain import indexes
from mcs_controller.domain import well_known as wk
from mcs_controller.members.sync_mode import CONTROL_PLANE
from mcs_controller.runtime.reconcile import Request
from mcs_controller.standalone.domain.execution import WORK_INDEXES
from mcs_controller.standalone.domain.member_ownership import Ownership, Standing
from mcs_controller.standalone.reconcilers.stale_objects import StaleObjectsReconciler, WorksToCome
from tests.support.builders import a_work, binding, cluster, collected_work, mcs, service, slice_, work
from tests.support.execution import KEY, World
from tests.support.object_store import CREATED

ES = "karmada-es-m1"
M1 = Request("", "m1")


@dataclass
class Comparing(World):
    """A world with a comparison in it."""

    told: list[Request] = field(default_factory=list)

    def restart(self) -> None:
        super().restart()
        self.ownerships.told["m1"] = Ownership(Standing.OWNED, since=parse_time(CREATED))
        works = self.host.cached(WORKS, {**WORK_INDEXES, **indexes.WORK_INDEXES})
        self.stale = StaleObjectsReconciler(
            clusters=self.host.cached(CLUSTERS),
            works=works,
            host=self.host,  # type: ignore[arg-type]
            objects=self.objects,
            ownerships=self.ownerships,
            recorder=self.recorder,
            clock=self.clock,
            sync_modes=CONTROL_PLANE,
            coming=WorksToCome(
                works.store,
                self.host.informer(RESOURCEBINDINGS),  # type: ignore[arg-type]
                self.host.informer(MULTICLUSTERSERVICES),  # type: ignore[arg-type]
            ),
        )

    async def compare(self) -> list[str]:
        """One comparison; what it asked of the member."""
        self.member.calls.clear()
        await self.stale.reconcile(M1)
        return [str(call) for call in self.member.calls]

    def leave_copies(self, count: int, **marks: str) -> None:
        for number in range(count):
            self.member.seed(copy_of(f"web-{number}", **marks))


def copy_of(name: str, *, namespace: str = ES, id_: str = "w") -> Any:
    return slice_(
        f"m2-{name}",
        labels={
            wk.MANAGED: "true",
            wk.SERVICE_NAME: "web",
            wk.SLICE_MANAGED_BY: wk.SLICE_DISPATCHER,
            wk.WORK_PERMANENT_ID: id_,
        },
        annotations={wk.PROVISION_CLUSTER: "m2", wk.WORK_NAMESPACE: namespace, wk.WORK_NAME: f"{name}-work"},
    )


@pytest.fixture
def world() -> Comparing:
    return Comparing()


async def test_a_copy_whose_work_is_gone_is_removed_and_told_once(world: Comparing) -> None:
    world.leave_copies(1)
    assert await world.compare() == ["delete endpointslices/default/m2-web-0"]
    assert world.recorder.take() == [("Cluster", wk.STALE_REMOVED)]
    assert world.ownerships.verified == ["m1"]
    assert await world.compare() == []
    assert world.recorder.take() == []
    assert world.ownerships.verified == ["m1"]


async def test_what_names_no_work_is_compared_when_it_comes_and_what_was_found_when_it_goes(world: Comparing) -> None:
    def asked(*, old: Any = None, new: Any = None, initial: bool = False) -> list[Request]:
        was, is_ = (decode_unstructured(canonical(one)) if one is not None else None for one in (old, new))
        return list(world.stale.requests_for_object("m1", Event(old=was, new=is_, initial=initial)))

    world.member.seed(copy_of("web-0", namespace="karmada-es-gone"))
    held = world.member.find("EndpointSlice", "default", "m2-web-0")
    assert asked(new=held) == [M1]
    assert asked(new=held, initial=True) == []
    assert asked(old=held, new=held) == []
    assert asked(old=held) == [], "nobody has found it yet"
    assert await world.compare() == []
    assert asked(old=held) == [M1], "the Cluster's condition speaks of it"
    world.host.seed(work("m1", "web-1-work"))
    assert asked(new=copy_of("web-1")) == []


async def test_a_copy_whose_work_is_there_stays_though_the_cache_does_not_know_it(world: Comparing) -> None:
    world.leave_copies(1)
    world.host.hold_watches()
    world.host.seed(work("m1", "web-0-work"))
    assert await world.compare() == []


async def test_a_copy_that_is_about_to_get_its_work_stays(world: Comparing) -> None:
    world.leave_copies(1)
    world.host.seed(mcs("web", consumers=["m1"], providers=["m2"]))
    collected = collected_work("m2", slice_("web-0", labels={wk.SERVICE_NAME: "web"}))
    world.host.seed(collected)
    assert await world.compare() == []
    world.host.remove("MultiClusterService", "default", "web")
    assert await world.compare() == ["delete endpointslices/default/m2-web-0"]


async def test_a_service_goes_after_a_while_unless_it_is_bound(world: Comparing) -> None:
    marks = {wk.WORK_NAMESPACE: ES, wk.WORK_NAME: "w", wk.BINDING_NAMESPACE: "default", wk.BINDING_NAME: "web-service"}
    world.member.seed(service(labels={wk.MANAGED: "true"}, annotations=marks))
    world.host.seed(binding(clusters=[{"name": "m1"}]))
    await world.compare()
    await world.clock.advance(61)
    assert await world.compare() == []
    world.host.remove("ResourceBinding", "default", "web-service")
    assert await world.compare() == []
    await world.clock.advance(61)
    assert await world.compare() == ["delete services/default/web"]


@pytest.mark.parametrize("standing", [Standing.FOREIGN, Standing.UNKNOWN])
async def test_nothing_is_removed_in_a_member_that_is_not_known_to_be_ours(
    world: Comparing, standing: Standing
) -> None:
    world.leave_copies(1)
    world.ownerships.told["m1"] = Ownership(standing)
    assert await world.compare() == []
    assert world.host.writes == []


async def test_a_fleet_is_kept_until_somebody_names_what_is_to_go(world: Comparing) -> None:
    world.leave_copies(10)
    assert await world.compare() == []
    found = world.host.read("Cluster", "", "m1")
    said = next(one for one in found["status"]["conditions"] if one["type"] == wk.STALE_OBJECTS_REMOVED)
    assert (said["status"], said["reason"]) == ("False", wk.STALE_UNCONFIRMED)
    assert "more than half of the 10 objects" in said["message"]
    assert world.recorder.take() == [("Cluster", wk.STALE_UNCONFIRMED)]
    assert await world.compare() == []
    assert world.recorder.take() == []

    key, value = said["message"].rsplit(" ", 1)[1].split("=")
    world.host.edit("Cluster", "", "m1", {"metadata": {"annotations": {key: "something else"}}})
    assert await world.compare() == []
    world.host.edit("Cluster", "", "m1", {"metadata": {"annotations": {key: value}}})
    assert len(await world.compare()) == 10
    found = world.host.read("Cluster", "", "m1")
    said = next(one for one in found["status"]["conditions"] if one["type"] == wk.STALE_OBJECTS_REMOVED)
    assert (said["status"], said["reason"]) == ("True", wk.STALE_REMOVED)
    # The annotation that stays is no leave for others.
    world.leave_copies(10)
    assert await world.compare() == []


async def test_copies_of_a_cluster_under_another_name_go_once_it_is_not_registered(world: Comparing) -> None:
    world.host.seed(cluster("old"))
    world.leave_copies(1, namespace="karmada-es-old")
    known = world.ownerships.of("m1")
    world.ownerships.told["m1"] = replace(known, earlier=frozenset({"old"}))
    assert await world.compare() == []
    world.host.remove("Cluster", "", "old")
    assert world.stale.requests_for_vanished("old") == [M1]
    assert await world.compare() == ["delete endpointslices/default/m2-web-0"]


# --- Works that end before anybody cleaned up -------------------------------------------------------------------------


def _ended(world: World) -> str | None:
    """What is made of the end of the Work that the world carries."""
    return world.reconciler.vanished(Event(old=a_work(world.host.read("Work", *KEY))))


async def test_a_work_that_lost_its_finalizer_is_noticed_and_one_that_was_cleaned_up_is_not() -> None:
    world = World()
    world.carry(service())
    assert _ended(world) is None, "it was never applied"
    await world.reconcile()
    assert _ended(world) == "m1"
    found = world.host.read("Work", *KEY)
    world.host.remove("Work", *KEY)
    await world.reconcile()
    assert world.host.find("Work", *KEY) is None
    assert world.reconciler.vanished(Event(old=a_work(found))) is None
