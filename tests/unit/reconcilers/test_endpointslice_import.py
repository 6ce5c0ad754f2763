"""endpointslice-controller over an API server in memory."""

import asyncio
import itertools
from typing import Any

import pytest

from informers.cache.event import Event
from informers.errors import Forbidden, ServerError
from mcs_controller.api.resources import ENDPOINTSLICES, NAMESPACES, WORKS
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.import_slices import IMPORT_WORK_INDEXES, IMPORTED_INDEXES
from mcs_controller.domain.indexes import WORK_INDEXES
from mcs_controller.reconcilers.endpointslice import EndpointSliceReconciler
from mcs_controller.reconcilers.endpointslice_collect import SliceCollection
from mcs_controller.reconcilers.endpointslice_import import (
    EndpointSliceImportReconciler,
    ImportedSlices,
    requests_for_work,
)
from mcs_controller.reconcilers.outdated import OutdatedWorks
from mcs_controller.reconcilers.writes import AggregateError, ReservedWorks
from mcs_controller.runtime.reconcile import ClusterRequest, Request, Result
from tests.support.builders import Json, a_slice, a_work, collected_work, exported_work, filed, ids, slice_
from tests.support.member_works import unlimited
from tests.support.memory import MemoryApi

NAME = "web-1-748bc4d6dc"
WORK = Request("karmada-es-m1", NAME)
SLICE = ClusterRequest("m1", "default", "web-1")
IMPORTED = "imported-m1-web-1"


class Bench:
    """The reconciler, and what its watches ask for."""

    def __init__(self, api: MemoryApi | None = None) -> None:
        self.api = api or MemoryApi()
        self.asked: list[Request] = []
        self.slices: list[ClusterRequest] = []
        works = self.api.cached(WORKS, {**WORK_INDEXES, **IMPORT_WORK_INDEXES})
        slices = self.api.cached(ENDPOINTSLICES, IMPORTED_INDEXES)
        imported = self.imported_slices = ImportedSlices(works=works.store, slices=slices)
        self.reconciler = EndpointSliceImportReconciler(
            imported=imported, works=works, slices=slices, enqueue_slice=self.slices.append
        )
        reserved = ReservedWorks(works, unlimited())
        self.writer = EndpointSliceReconciler(
            works=reserved,
            collection=SliceCollection(
                works=reserved,
                slices=lambda _: None,
                sources=(),
                withdrawal=None,
                collects=lambda _: False,
                leaving=lambda _: False,
                new_id=ids(),
            ),
            dispatch=None,
            imported=imported,
            execution=None,
            outdated=OutdatedWorks(),
        )
        works.informer.add_handler(lambda event: self.asked.extend(requests_for_work(event)))
        slices.informer.add_handler(lambda event: self.asked.extend(imported.requests_for_slice(event)))
        namespaces = self.api.cached(NAMESPACES).informer
        namespaces.add_handler(lambda event: self.asked.extend(self.reconciler.requests_for_namespace(event)))

    async def settle(self) -> None:
        """Reconcile what was asked for, until nothing is."""
        for _ in range(20):
            if self.asked:
                request = self.asked.pop(0)
                self.asked = [one for one in self.asked if one != request]
                await self.reconciler.reconcile(request)
            elif self.slices:
                await self.writer.reconcile(self.slices.pop(0))
            else:
                return
        raise AssertionError(f"no rest: {self.asked}")

    @property
    def imported(self) -> dict[str, list[str]]:
        return {
            one["metadata"]["name"]: [each["addresses"][0] for each in one["endpoints"] or ()]
            for one in self.api.all("EndpointSlice")
        }


async def at_rest() -> Bench:
    bench = Bench()
    bench.api.seed(exported_work("m1"))
    await bench.settle()
    bench.api.calls.clear()
    return bench


async def test_case_63_a_collected_work_gets_its_slice():
    bench = Bench()
    bench.api.seed(exported_work("m1"))
    await bench.settle()
    assert bench.imported == {IMPORTED: ["10.0.0.1"]}
    assert [str(call) for call in bench.api.writes] == [f"create endpointslices/default/{IMPORTED}"]


async def test_two_slices_of_one_usual_name_that_are_made_at_once_get_one_each():
    bench = Bench(MemoryApi())
    bench.api.travel = lambda: asyncio.sleep(0)
    bench.api.seed(exported_work("m1"), exported_work("m1-web", slice_("1", addresses=["10.0.0.2"])))
    first, second = sorted(set(bench.asked))
    await asyncio.gather(bench.reconciler.reconcile(first), bench.reconciler.reconcile(second))
    assert sorted(bench.imported.values()) == [["10.0.0.1"], ["10.0.0.2"]]
    assert IMPORTED in bench.imported


async def test_case_61_a_change_arrives_and_a_copy_that_somebody_spoils_or_deletes_is_restored():
    bench = await at_rest()
    changed = {"spec": {"workload": {"manifests": [slice_(addresses=["10.0.0.2"])]}}}
    bench.api.edit("Work", "karmada-es-m1", NAME, changed)
    await bench.settle()
    assert bench.imported == {IMPORTED: ["10.0.0.2"]}
    bench.api.edit("EndpointSlice", "default", IMPORTED, {"endpoints": [], "metadata": {"labels": None}})
    await bench.settle()
    bench.api.remove("EndpointSlice", "default", IMPORTED)
    await bench.settle()
    assert bench.imported == {IMPORTED: ["10.0.0.2"]}


async def test_case_64_a_shared_work_stays_and_its_slice_goes():
    bench = await at_rest()
    labels = {wk.EXPORT_NAME: None, wk.EXPORT_NAMESPACE: None, wk.COLLECTED_BY: wk.COLLECTED_BY_MCS} | filed()
    finalizers = [wk.DISPATCH_FINALIZER, wk.IMPORT_FINALIZER]
    bench.api.edit("Work", "karmada-es-m1", NAME, {"metadata": {"labels": labels, "finalizers": finalizers}})
    await bench.settle()
    assert bench.imported == {}
    assert bench.api.read("Work", "karmada-es-m1", NAME)["metadata"]["finalizers"] == [wk.DISPATCH_FINALIZER]


async def test_a_work_that_goes_takes_its_slice_with_it_first():
    bench = await at_rest()
    bench.api.remove("Work", "karmada-es-m1", NAME)
    await bench.settle()
    assert [str(call) for call in bench.api.writes] == [
        f"delete endpointslices/default/{IMPORTED}",
        f"patch works/karmada-es-m1/{NAME}",
    ]
    assert bench.api.find("Work", "karmada-es-m1", NAME) is None


async def test_a_work_is_held_as_long_as_its_slice_cannot_be_deleted():
    bench = await at_rest()
    bench.api.remove("Work", "karmada-es-m1", NAME)
    bench.api.fail(Forbidden(403, "Forbidden", "no"), "delete", "EndpointSlice")
    with pytest.raises(AggregateError, match=IMPORTED):
        await bench.reconciler.reconcile(WORK)
    assert bench.api.find("Work", "karmada-es-m1", NAME) is not None
    await bench.settle()
    assert bench.api.find("Work", "karmada-es-m1", NAME) is None


async def test_a_work_is_let_go_of_by_the_one_writer_of_its_slice():
    bench = await at_rest()
    bench.api.remove("Work", "karmada-es-m1", NAME)
    await bench.writer.reconcile(SLICE)
    assert bench.api.find("Work", "karmada-es-m1", NAME) is not None, "its slice is not gone yet"
    assert await bench.reconciler.reconcile(WORK) == Result()
    assert bench.imported == {}
    assert bench.api.find("Work", "karmada-es-m1", NAME) is not None
    assert bench.slices == [SLICE]
    assert await bench.writer.reconcile(SLICE) == Result()
    assert bench.api.find("Work", "karmada-es-m1", NAME) is None


async def test_a_crash_between_the_two_writes_is_mended():
    bench = await at_rest()
    bench.api.remove("Work", "karmada-es-m1", NAME)
    bench.api.fail(ServerError(500, "InternalError", "down"), "patch", "Work")
    await bench.reconciler.reconcile(WORK)
    with pytest.raises(ServerError):
        await bench.writer.reconcile(SLICE)
    assert bench.imported == {}
    again = Bench(bench.api)
    await again.settle()
    assert again.api.find("Work", "karmada-es-m1", NAME) is None


@pytest.mark.parametrize("how", ["by force", "while the controller was down"])
async def test_opening_03_a_work_that_vanished_leaves_no_slice(how: str):
    bench = await at_rest()
    if how != "by force":
        bench.api.stop()
    bench.api.edit("Work", "karmada-es-m1", NAME, {"metadata": {"finalizers": []}})
    bench.api.remove("Work", "karmada-es-m1", NAME)
    after = bench if how == "by force" else Bench(bench.api)
    await after.settle()
    assert after.imported == {}


async def test_opening_06_a_restart_writes_nothing():
    bench = await at_rest()
    again = Bench(bench.api)
    await again.settle()
    assert again.api.writes == []


def namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


async def test_a_namespace_that_comes_late_is_noticed_at_once():
    bench = Bench(MemoryApi(strict_namespaces=True))
    bench.api.seed(namespace("karmada-es-m1"), exported_work("m1"))
    with pytest.raises(AggregateError):
        await bench.settle()
    bench.api.seed(namespace("other"))
    assert bench.asked == []
    bench.api.seed(namespace("default"))
    assert bench.asked == [WORK]
    await bench.settle()
    assert bench.imported == {IMPORTED: ["10.0.0.1"]}
    bench.api.edit("Namespace", "", "default", {"metadata": {"labels": {"a": "b"}}})
    assert bench.asked == []


async def test_slices_of_others_are_left_alone():
    bench = Bench()
    bench.api.seed(slice_("kubernetes"), slice_("imported-m1-web-9"), exported_work("m1"))
    bench.api.seed(collected_work("m2"))
    await bench.settle()
    bench.api.remove("Work", "karmada-es-m1", NAME)
    await bench.settle()
    assert bench.imported.keys() == {"kubernetes", "imported-m1-web-9"}


MARKS = [
    ("labels", wk.WORK_PERMANENT_ID),
    ("labels", wk.SERVICE_NAME),
    ("labels", wk.SLICE_MANAGED_BY),
    ("annotations", wk.WORK_NAMESPACE),
    ("annotations", wk.WORK_NAME),
]
SUBSETS = [subset for count in range(len(MARKS) + 1) for subset in itertools.combinations(MARKS, count)]


def told(subset: tuple[tuple[str, str], ...]) -> str:
    return " ".join(key for _, key in subset) or "none"


@pytest.mark.parametrize("name", ["usual name", "distinct name"])
@pytest.mark.parametrize("while_down", [False, True], ids=["seen", "unseen"])
@pytest.mark.parametrize("subset", SUBSETS, ids=told)
async def test_marks_that_somebody_takes_off_come_back_and_no_second_slice_does(
    name: str, while_down: bool, subset: tuple[tuple[str, str], ...]
):
    bench = Bench()
    if name == "distinct name":
        # Another cluster's slice, which has the same usual name.
        bench.api.seed(exported_work("m1-web", slice_("1", labels={wk.SERVICE_NAME: "web"})))
        await bench.settle()
    bench.api.seed(exported_work("m1"))
    await bench.settle()
    before = without_versions(bench.api.all("EndpointSlice"))
    assert len(before) == (2 if name == "distinct name" else 1)
    if while_down:
        bench.api.stop()
    for each in before:
        patch: dict[str, Any] = {
            "metadata": {field: {key: None for its, key in subset if its == field} for field, _ in MARKS}
        }
        bench.api.edit("EndpointSlice", "default", each["metadata"]["name"], patch)
    bench.api.calls.clear()
    after = Bench(bench.api) if while_down else bench
    await after.settle()
    if while_down and len(subset) == len(MARKS):
        # Nothing says any more whose it is, and nobody has seen it. It is in no Service, and so in nobody's way.
        assert len(after.imported) == len(before) + 1
        assert not {call.verb for call in bench.api.writes} & {"delete"}
        return
    assert without_versions(bench.api.all("EndpointSlice")) == before
    assert {call.verb for call in bench.api.writes} <= {"patch"}


def without_versions(objects: list[Any]) -> list[Any]:
    return [one | {"metadata": one["metadata"] | {"resourceVersion": ""}} for one in objects]


def test_only_what_may_matter_is_looked_at():
    exported: Any = a_work(exported_work("m1"))
    plain: Any = a_work(collected_work("m1"))
    assert list(requests_for_work(Event(new=exported))) == [WORK]
    assert list(requests_for_work(Event(old=exported, new=plain))) == [WORK]
    assert list(requests_for_work(Event(new=plain))) == []
    assert list(Bench().imported_slices.requests_for_slice(Event(new=a_slice()))) == []


async def test_addresses_that_are_left_out_are_logged_when_the_reason_changes(caplog: pytest.LogCaptureFixture):
    bench = Bench()
    bench.api.seed(exported_work("m1", slice_(addresses=["10.0.0.1", "127.0.0.1"])))
    await bench.settle()
    assert bench.imported == {IMPORTED: ["10.0.0.1"]}

    def told() -> list[tuple[str, object]]:
        found = [
            (one.getMessage(), one.__dict__["why"]) for one in caplog.records if "addresses" in one.getMessage().lower()
        ]
        caplog.clear()
        return found

    assert told() == [("Addresses of a member's endpoints are left out", "loopback")]
    for addresses, expected in (
        (["10.0.0.2", "127.0.0.1", "127.0.0.2"], []),
        (["10.0.0.2", "239.0.0.1"], [("Endpoints of a member have suspicious addresses", "multicast")]),
        (["10.0.0.2"], []),
        (["239.0.0.1"], [("Endpoints of a member have suspicious addresses", "multicast")]),
    ):
        changed = {"spec": {"workload": {"manifests": [slice_(addresses=addresses)]}}}
        bench.api.edit("Work", "karmada-es-m1", NAME, changed)
        await bench.settle()
        assert told() == expected
