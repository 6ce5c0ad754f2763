"""The conditions and events of a service: what the reconcilers report, written by one hand."""

from collections.abc import Sequence
from typing import Any

import pytest

from informers.cache.event import Event
from informers.errors import Conflict, NotFound, ServerError
from mcs_controller.api.resources import CLUSTERS, MULTICLUSTERSERVICES, RESOURCEBINDINGS, SERVICES, WORKS
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.conditions import StepResult
from mcs_controller.domain.indexes import SERVICE_INDEXES, WORK_INDEXES
from mcs_controller.domain.naming import work_name
from mcs_controller.domain.selection import SkippedCluster
from mcs_controller.domain.works import SliceRef
from mcs_controller.reconcilers.service_status import ServiceStatusReconciler, StatusAggregator, requests_for_work
from mcs_controller.runtime.reconcile import Request, Result
from tests.support.builders import (
    a_work,
    binding,
    cluster,
    collected_work,
    condition,
    dispatched_work,
    mcs,
    service,
    slice_,
    work,
)
from tests.support.clock import FakeClock
from tests.support.memory import MemoryApi, MemoryRecorder

WEB, API = Request("default", "web"), Request("default", "api")
ONE, TWO = SliceRef("m1", "default", "web-1"), SliceRef("m1", "default", "web-2")
NOT_READY = SkippedCluster("m2", "SyncServiceFailed", "the cluster is not ready")
GOOD, BAD = StepResult(), StepResult(errors=("slice default/web-1 of m1 in m2: no",))


NOT_FOUND = condition(
    wk.ENDPOINTS_AVAILABLE, "False", "ServiceNotFound", "Service default/web does not exist in the control plane."
) | {"observedGeneration": 1}


class Bench:
    """A status reconciler with a service, and two collected slices if wanted.

    The control plane has no Service, and that is said already: what endpoints there are is not the matter here.
    """

    def __init__(self, *works: Any, conditions: Sequence[Any] = (), **fields: Any) -> None:
        self.api = MemoryApi()
        self.aggregator = StatusAggregator()
        self.told: list[Request] = []
        self.aggregator.subscribe(self.told.append)
        self.recorder = MemoryRecorder()
        self.clock = FakeClock()
        self.api.seed(mcs(conditions=[*conditions, NOT_FOUND], **fields))
        for one in works:
            self.api.seed(one)
        self.services = self.api.cached(MULTICLUSTERSERVICES, SERVICE_INDEXES)
        self.works = self.api.informer(WORKS, WORK_INDEXES).store
        self.clusters = self.api.informer(CLUSTERS).store
        self.templates = self.api.informer(SERVICES).store
        self.bindings = self.api.informer(RESOURCEBINDINGS).store
        self.restart()

    def restart(self) -> None:
        """Another process comes, which knows the objects only; reports are to come again."""
        self.reconciler = ServiceStatusReconciler(
            aggregator=self.aggregator,
            services=self.services,
            works=self.works,
            clusters=self.clusters,
            bindings=self.bindings,
            templates=self.templates,
            own=None,
            recorder=self.recorder,
            clock=self.clock,
        )

    async def reconcile(self) -> Result:
        return await self.reconciler.reconcile(WEB)

    @property
    def conditions(self) -> dict[str, Any]:
        content = self.api.find(wk.MCS_KIND, "default", "web") or {}
        conditions = {one["type"]: one for one in content.get("status", {}).get("conditions", ())}
        conditions.pop(wk.ENDPOINTS_AVAILABLE, None)
        return conditions

    def reasons(self) -> list[str]:
        return [reason for _, reason in self.recorder.take()]


async def test_nothing_is_said_before_anything_is_reported():
    bench = Bench(collected_work("m1"))
    await bench.reconcile()
    assert bench.api.writes == []
    assert bench.reasons() == []


async def test_both_conditions_go_out_in_one_request_with_their_events():
    bench = Bench(collected_work("m1"))
    bench.aggregator.report_service(WEB, GOOD)
    bench.aggregator.report_slice(ONE, WEB, GOOD)
    assert bench.told == [WEB, WEB]
    await bench.reconcile()
    assert [str(call) for call in bench.api.writes] == ["patch multiclusterservices/default/web/status"]
    assert {kind: one["status"] for kind, one in bench.conditions.items()} == {
        wk.SERVICE_APPLIED: "True",
        wk.SLICE_DISPATCHED: "True",
    }
    assert {one["lastTransitionTime"] for one in bench.conditions.values()} == {"2026-01-01T00:00:00Z"}
    assert bench.recorder.events == [
        (
            "multiclusterservice-controller",
            wk.MCS_KIND,
            "default/web",
            "Normal",
            "SyncServiceSucceed",
            "Service is propagated to target clusters.",
        ),
        (
            "endpointslice-dispatch-controller",
            wk.MCS_KIND,
            "default/web",
            "Normal",
            "DispatchEndpointSliceSucceed",
            "EndpointSlice are dispatched successfully",
        ),
    ]


async def test_case_26_the_condition_on_slices_is_written_as_karmada_writes_it():
    bench = Bench(collected_work("m1"))
    bench.aggregator.report_slice(ONE, WEB, GOOD)
    await bench.reconcile()
    assert bench.conditions == {
        wk.SLICE_DISPATCHED: {
            "type": "EndpointSliceDispatched",
            "status": "True",
            "reason": "EndpointSliceDispatchedSucceed",
            "message": "EndpointSlice are dispatched successfully",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    }


async def test_the_same_outcome_again_is_neither_written_nor_said():
    bench = Bench(collected_work("m1"))
    for _ in range(3):
        bench.aggregator.report_service(WEB, StepResult(errors=("no",)))
        bench.aggregator.report_slice(ONE, WEB, BAD)
        await bench.reconcile()
        await bench.clock.advance(5)
    assert len(bench.api.writes) == 1
    assert {event[3] for event in bench.recorder.events} == {"Warning"}
    assert bench.reasons() == ["SyncServiceFailed", "DispatchEndpointSliceFailed"]


async def test_a_change_of_one_condition_is_one_event_and_leaves_the_others_time_alone():
    bench = Bench(collected_work("m1"))
    bench.aggregator.report_service(WEB, GOOD)
    bench.aggregator.report_slice(ONE, WEB, GOOD)
    await bench.reconcile()
    bench.reasons()
    await bench.clock.advance(60)
    bench.aggregator.report_slice(ONE, WEB, BAD)
    await bench.reconcile()
    assert bench.reasons() == ["DispatchEndpointSliceFailed"]
    assert bench.conditions[wk.SERVICE_APPLIED]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert bench.conditions[wk.SLICE_DISPATCHED]["lastTransitionTime"] == "2026-01-01T00:01:00Z"
    assert bench.conditions[wk.SLICE_DISPATCHED]["message"] == BAD.errors[0]


async def test_other_words_keep_the_time_and_are_said():
    bench = Bench()
    bench.aggregator.report_service(WEB, GOOD)
    await bench.reconcile()
    bench.reasons()
    await bench.clock.advance(60)
    bench.aggregator.report_service(WEB, StepResult(skips=(NOT_READY,)))
    await bench.reconcile()
    assert bench.conditions[wk.SERVICE_APPLIED]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert bench.reasons() == ["SyncServiceFailed"], "it had succeeded before"
    assert (await bench.reconcile(), bench.reasons()) == (Result(), [])


@pytest.mark.parametrize(
    "reason", [wk.EVENT_CLUSTER_NOT_FOUND, wk.EVENT_API_INCOMPATIBLE, wk.EVENT_SYNC_SERVICE_FAILED]
)
async def test_a_skipped_cluster_is_one_warning_however_many_slices_skip_it(reason: str):
    skip = SkippedCluster("m2", reason, "because")
    bench = Bench(collected_work("m1"), collected_work("m1", slice_("web-2")))
    for one in (ONE, TWO):
        bench.aggregator.report_slice(one, WEB, StepResult(skips=(skip,)))
    await bench.reconcile()
    assert [event[3:] for event in bench.recorder.events[1:]] == [("Warning", reason, "m2: because")]


@pytest.mark.parametrize("first", [wk.SERVICE_APPLIED, wk.SLICE_DISPATCHED])
async def test_a_cluster_that_the_other_condition_names_already_is_no_news(first: str):
    bench = Bench(collected_work("m1"))
    bench.aggregator.report_service(WEB, GOOD)
    bench.aggregator.report_slice(ONE, WEB, GOOD)
    await bench.reconcile()
    bench.reasons()
    skipping = StepResult(skips=(NOT_READY,))
    for kind in sorted((wk.SERVICE_APPLIED, wk.SLICE_DISPATCHED), key=lambda one: one != first):
        if kind == wk.SERVICE_APPLIED:
            bench.aggregator.report_service(WEB, skipping)
        else:
            bench.aggregator.report_slice(ONE, WEB, skipping)
        await bench.reconcile()
    assert len(bench.api.writes) == 3
    second = "DispatchEndpointSliceSucceed" if first == wk.SERVICE_APPLIED else "SyncServiceSucceed"
    assert bench.reasons() == ["SyncServiceFailed", second], "that the other condition changed, too"


async def test_of_thousands_of_clusters_that_are_skipped_each_is_said_once_and_many_together():
    skips = tuple(
        SkippedCluster(f"m{number:04}", "SyncServiceFailed", "the cluster is not ready") for number in range(100)
    )
    bench = Bench(collected_work("m1"))
    bench.aggregator.report_slice(ONE, WEB, GOOD)
    await bench.reconcile()
    bench.reasons()
    for number in (80, 81, 81, 100):
        bench.aggregator.report_slice(ONE, WEB, StepResult(skips=skips[:number]))
        await bench.reconcile()

    def some(first: int) -> str:
        return f"{', '.join(f'm{number:04}' for number in range(first, first + 10))} and others"

    warnings = [event[5] for event in bench.recorder.events if event[3] == "Warning"]
    assert [one.removesuffix(": the cluster is not ready") for one in warnings] == [some(0), "m0080", some(81)]
    bench.reasons()
    bench.restart()
    for outcome in (StepResult(skips=skips), StepResult(skips=skips[::-1])):
        bench.aggregator.report_slice(ONE, WEB, outcome)
        await bench.reconcile()
    assert bench.reasons() == [], "the condition has not changed"
    bench.aggregator.report_slice(
        ONE, WEB, StepResult(skips=(*skips, SkippedCluster("n", "SyncServiceFailed", "is not ready")))
    )
    await bench.reconcile()
    assert [event[5] for event in bench.recorder.events if event[3] == "Warning"] == ["n: is not ready"]


# --- the verdict over all slices --------------------------------------------------------------------------------------


async def test_the_verdict_waits_until_every_collected_slice_has_reported():
    bench = Bench(
        collected_work("m1"),
        collected_work("m1", slice_("web-2")),
        collected_work("m1", slice_("web-3"), deleting=True),
        dispatched_work("m9", "m1", slice_("web-9")),
        collected_work("m1", slice_("api-1", service="api")),
    )
    bench.aggregator.report_slice(TWO, WEB, GOOD)
    await bench.reconcile()
    assert bench.conditions == {}
    bench.aggregator.report_slice(ONE, WEB, BAD)
    await bench.reconcile()
    assert bench.conditions[wk.SLICE_DISPATCHED]["status"] == "False"


async def test_a_report_on_a_slice_that_is_collected_no_more_does_not_count():
    bench = Bench(collected_work("m1"))
    bench.aggregator.report_slice(ONE, WEB, GOOD)
    bench.aggregator.report_slice(TWO, WEB, BAD)
    await bench.reconcile()
    assert bench.conditions[wk.SLICE_DISPATCHED]["status"] == "True"


async def test_opening_10_a_later_success_does_not_hide_an_earlier_failure():
    bench = Bench(collected_work("m1"), collected_work("m1", slice_("web-2")))
    bench.aggregator.report_slice(ONE, WEB, BAD)
    bench.aggregator.report_slice(TWO, WEB, GOOD)
    await bench.reconcile()
    assert bench.conditions[wk.SLICE_DISPATCHED]["message"] == BAD.errors[0]


async def test_a_service_without_any_slice_never_gets_the_condition_on_them():
    bench = Bench()
    bench.aggregator.report_service(WEB, GOOD)
    await bench.reconcile()
    assert bench.conditions.keys() == {wk.SERVICE_APPLIED}


async def test_a_failure_ends_with_the_slice_it_was_about():
    bench = Bench(collected_work("m1"), collected_work("m1", slice_("web-2")))
    bench.aggregator.report_slice(ONE, WEB, BAD)
    bench.aggregator.report_slice(TWO, WEB, GOOD)
    await bench.reconcile()
    for one in bench.api.all("Work"):
        bench.api.edit("Work", "karmada-es-m1", one["metadata"]["name"], {"metadata": {"finalizers": []}})
        bench.api.remove("Work", "karmada-es-m1", one["metadata"]["name"])
    for origin in (ONE, TWO):
        bench.aggregator.report_slice(origin, None, GOOD)
    await bench.reconcile()
    assert bench.conditions[wk.SLICE_DISPATCHED]["status"] == "True"


async def test_after_a_restart_the_verdict_stands_until_all_have_reported_again():
    message = BAD.errors[0]
    before = [condition(wk.SLICE_DISPATCHED, "False", wk.SLICE_DISPATCHED_FAILED, message)]
    bench = Bench(collected_work("m1"), collected_work("m1", slice_("web-2")), conditions=before)
    bench.aggregator.report_slice(TWO, WEB, GOOD)
    await bench.reconcile()
    bench.aggregator.report_slice(ONE, WEB, BAD)
    await bench.reconcile()
    assert bench.api.writes == []
    assert bench.reasons() == []


async def test_what_could_not_be_collected_counts_until_it_could():
    bench = Bench(collected_work("m1"))
    bench.aggregator.report_slice(ONE, WEB, GOOD)
    bench.aggregator.report_uncollected(TWO, WEB, BAD)
    await bench.reconcile()
    assert bench.conditions[wk.SLICE_DISPATCHED]["status"] == "False"
    bench.aggregator.report_uncollected(TWO, API, BAD)
    assert bench.told[-2:] == [WEB, API], "both are told when a slice moves"
    await bench.reconcile()
    assert bench.conditions[wk.SLICE_DISPATCHED]["status"] == "True"
    bench.aggregator.report_uncollected(TWO, None, GOOD)
    assert bench.aggregator.uncollected(API) == []


# --- what Karmada wrote -----------------------------------------------------------------------------------------------

PROPAGATED = "Service is propagated to target clusters."
KARMADAS = (
    condition(wk.SERVICE_APPLIED, "True", wk.SERVICE_APPLIED_SUCCEED, PROPAGATED),
    condition(wk.SLICE_DISPATCHED, "True", wk.SLICE_DISPATCHED_SUCCEED, "EndpointSlice are dispatched successfully"),
)


@pytest.mark.parametrize("slices", [2, 1, 0])
async def test_what_karmada_wrote_stays_to_the_byte(slices: int):
    works = [collected_work("m1"), collected_work("m1", slice_("web-2"))][:slices]
    bench = Bench(*works, conditions=list(KARMADAS[: 1 + min(slices, 1)]))
    bench.aggregator.report_service(WEB, GOOD)
    for one in (ONE, TWO)[:slices]:
        bench.aggregator.report_slice(one, WEB, GOOD)
    assert await bench.reconcile() == Result()
    assert bench.api.writes == []
    assert bench.reasons() == []


async def test_when_all_slices_are_gone_the_condition_stays_as_it_is():
    bench = Bench(collected_work("m1"))
    bench.aggregator.report_slice(ONE, WEB, GOOD)
    await bench.reconcile()
    before = bench.conditions
    [work] = bench.api.all("Work")
    bench.api.edit("Work", "karmada-es-m1", work["metadata"]["name"], {"metadata": {"finalizers": []}})
    bench.api.remove("Work", "karmada-es-m1", work["metadata"]["name"])
    bench.aggregator.report_slice(ONE, None, GOOD)
    assert await bench.reconcile() == Result()
    assert bench.conditions == before


# --- what is told of the consumers ------------------------------------------------------------------------------------


def failing(message: str = "no room", since: str | None = "2026-01-01T00:00:00Z", **fields: Any) -> Any:
    """A copy in m2 that execution could not apply."""
    copy = dispatched_work("m1", "m2", **fields)
    copy["status"] = {"conditions": [condition(wk.APPLIED, "False", message=message) | {"lastTransitionTime": since}]}
    return copy


@pytest.mark.parametrize(
    ("since", "waits"),
    [
        ("2025-12-31T23:59:57Z", 2.0),
        ("2026-01-01T00:00:00Z", 5.0),
        ("2025-12-31T23:59:55Z", None),
        ("2026-01-01T00:00:01Z", None),
        (None, None),
    ],
    ids=["for three seconds", "just now", "for five seconds", "in the future", "nobody knows since when"],
)
async def test_opening_23_a_copy_may_fail_for_some_seconds_before_it_is_told(since: str | None, waits: float | None):
    bench = Bench(collected_work("m1"), failing(since=since))
    bench.aggregator.report_slice(ONE, WEB, GOOD)
    assert await bench.reconcile() == Result(requeue_after=waits)
    assert bench.conditions[wk.SLICE_DISPATCHED]["status"] == ("False" if waits is None else "True")
    await bench.clock.advance(waits or 0)
    assert await bench.reconcile() == Result()
    assert bench.conditions[wk.SLICE_DISPATCHED]["message"] == "slice default/web-1 of m1 in m2: no room, retrying"


async def test_opening_23_a_namespace_that_a_consumer_lacks_is_named_with_what_to_do():
    bench = Bench(collected_work("m1"), failing('create slice: namespaces "default" not found', since=None))
    bench.aggregator.report_slice(ONE, WEB, GOOD)
    await bench.reconcile()
    assert bench.conditions[wk.SLICE_DISPATCHED]["message"] == (
        'slice default/web-1 of m1 in m2: create slice: namespaces "default" not found (create the namespace there), '
        "retrying"
    )


async def test_opening_23_a_copy_on_its_way_out_and_what_is_no_copy_fail_nobody():
    own = collected_work("m1") | {"status": failing()["status"]}
    bench = Bench(own, failing(deleting=True, since=None))
    bench.aggregator.report_slice(ONE, WEB, GOOD)
    await bench.reconcile()
    assert bench.conditions[wk.SLICE_DISPATCHED]["status"] == "True"


# --- where the Service is ---------------------------------------------------------------------------------------------

SERVICE_NAME = work_name(wk.SERVICE_KIND, "default", "web")


def service_work(member: str = "m2", *said: Any) -> Any:
    """The Work that brings the Service to a member, and what that says."""
    return work(member, SERVICE_NAME, service()) | {"status": {"conditions": list(said)}}


def placed(*works: Any) -> Bench:
    """The Service is wanted in m2, and scheduled there."""
    bench = Bench(*works, providers=["m2"], consumers=["m2"])
    bench.api.seed(cluster("m2"), binding(clusters=[{"name": "m2"}]))
    bench.aggregator.report_service(WEB, GOOD)
    return bench


@pytest.mark.parametrize(
    ("works", "text"),
    [([], "not delivered yet"), ([service_work()], "not applied yet")],
    ids=["without Work", "not tried"],
)
async def test_a_service_may_be_on_its_way_for_some_seconds_before_anything_is_said(works: list[Any], text: str):
    bench = placed(*works)
    assert await bench.reconcile() == Result(requeue_after=5.0)
    await bench.clock.advance(2)
    assert await bench.reconcile() == Result(requeue_after=3.0)
    assert bench.api.writes == []
    await bench.clock.advance(3)
    assert await bench.reconcile() == Result()
    assert bench.conditions[wk.SERVICE_APPLIED]["message"] == f"Service default/web in m2: {text}"
    assert bench.reasons() == ["SyncServiceFailed"]
    for one in works:
        meta = one["metadata"]
        bench.api.edit("Work", meta["namespace"], meta["name"], {"status": {"conditions": [condition(wk.APPLIED)]}})
    if works:
        await bench.reconcile()
        assert bench.conditions[wk.SERVICE_APPLIED]["message"] == PROPAGATED


async def test_a_refusal_is_told_after_five_seconds_in_the_members_words():
    said = condition(wk.APPLIED, "False", message="team policy: not allowed here")
    bench = placed(service_work("m2", said | {"lastTransitionTime": "2025-12-31T23:59:57Z"}))
    assert await bench.reconcile() == Result(requeue_after=2.0)
    assert bench.api.writes == []
    await bench.clock.advance(2)
    assert await bench.reconcile() == Result()
    text = "Service default/web in m2: team policy: not allowed here, retrying"
    assert bench.conditions[wk.SERVICE_APPLIED]["message"] == text
    bench.restart()
    assert await bench.reconcile() == Result()
    assert len(bench.api.writes) == 1


async def test_a_service_that_was_taken_before_keeps_its_verdict_while_it_is_on_its_way_again():
    bench = placed(service_work("m2", condition(wk.APPLIED)))
    await bench.reconcile()
    bench.api.edit("Work", "karmada-es-m2", SERVICE_NAME, {"status": {"conditions": []}})
    assert await bench.reconcile() == Result(requeue_after=5.0)
    assert len(bench.api.writes) == 1
    assert bench.conditions[wk.SERVICE_APPLIED]["status"] == "True"


async def test_what_the_service_itself_lacks_is_told_at_once():
    bench = placed()
    bench.aggregator.report_service(WEB, StepResult(errors=("Service default/web does not exist",)))
    assert await bench.reconcile() == Result()
    assert bench.conditions[wk.SERVICE_APPLIED]["status"] == "False"


TAKEN = {"status": {"conditions": [condition(wk.APPLIED)]}}
GOING_WELL = dispatched_work("m1", "m2") | TAKEN


@pytest.mark.parametrize(
    ("old", "new", "worth"),
    [
        (dispatched_work("m1", "m2"), GOING_WELL, True),
        (GOING_WELL, dispatched_work("m1", "m2", slice_(addresses=["10.0.0.1", "10.0.0.2"])) | TAKEN, False),
        (GOING_WELL, dispatched_work("m1", "m2", slice_(addresses=[])) | TAKEN, True),
        (dispatched_work("m1", "m2"), failing(), True),
        (failing(), failing(), False),
        (failing(), failing(since="2026-01-01T00:00:09Z"), False),
        (failing(), failing("another"), True),
        (failing(), GOING_WELL, True),
        (failing(), None, True),
        (None, failing(), True),
        (failing(), failing(deleting=True), True),
        (collected_work("m1"), collected_work("m1") | {"status": failing()["status"]}, False),
        (service_work(), service_work("m2", condition(wk.APPLIED)), True),
        (service_work("m2", condition(wk.APPLIED)), service_work("m2", condition(wk.APPLIED, "False")), True),
        (service_work("m2", condition(wk.APPLIED, "False")), service_work("m2", condition(wk.APPLIED, "False")), False),
    ],
    ids=[
        "succeeds",
        "grows",
        "is emptied",
        "fails",
        "fails on",
        "failed anew",
        "fails otherwise",
        "is mended",
        "goes",
        "was failing at the start",
        "begins to go",
        "is no copy",
        "a Service that is taken",
        "a Service that fails",
        "a Service that fails on",
    ],
)
def test_only_what_may_change_a_condition_makes_anybody_look(old: Any, new: Any, worth: bool):
    event = Event(old=a_work(old) if old else None, new=a_work(new) if new else None)
    assert list(requests_for_work(event)) == ([WEB] if worth else [])


# --- the aggregator ---------------------------------------------------------------------------------------------------


def test_a_slice_that_moves_leaves_its_former_service():
    aggregator = StatusAggregator()
    told: list[Request] = []
    aggregator.subscribe(told.append)
    aggregator.report_slice(ONE, WEB, BAD)
    aggregator.report_slice(ONE, API, GOOD)
    assert aggregator.slice_outcomes(WEB) == {}
    assert aggregator.slice_outcomes(API) == {ONE: GOOD}
    assert told == [WEB, WEB, API]
    aggregator.report_slice(ONE, None, GOOD)
    assert aggregator.slice_outcomes(API) == {}
    assert told == [WEB, WEB, API, API]
    aggregator.report_slice(ONE, WEB, GOOD)
    assert told[4:] == [WEB]


def test_the_same_report_on_a_slice_again_is_heard_by_nobody():
    aggregator = StatusAggregator()
    told: list[Request] = []
    aggregator.subscribe(told.append)
    for outcome in (BAD, BAD, StepResult(errors=BAD.errors), GOOD, BAD):
        aggregator.report_slice(ONE, WEB, outcome)
    assert told == [WEB] * 3
    aggregator.report_slice(ONE, None, BAD)
    aggregator.report_slice(ONE, WEB, BAD)
    aggregator.forget(WEB)
    aggregator.report_slice(ONE, WEB, BAD)
    assert told == [WEB] * 6
    assert aggregator.slice_outcomes(WEB) == {ONE: BAD}


async def test_conditions_that_somebody_wrote_over_are_put_right_by_the_next_report_on_the_service():
    bench = Bench(collected_work("m1"))
    bench.aggregator.report_service(WEB, GOOD)
    bench.aggregator.report_slice(ONE, WEB, BAD)
    await bench.reconcile()
    before = bench.conditions
    bench.api.edit(wk.MCS_KIND, "default", "web", {"status": {"conditions": []}})
    bench.told.clear()
    bench.aggregator.report_service(WEB, GOOD)
    assert bench.told == [WEB]
    await bench.reconcile()
    assert bench.conditions == before


def test_the_board_forgets_a_service_entirely():
    aggregator = StatusAggregator()
    told: list[Request] = []
    aggregator.report_service(WEB, GOOD)
    aggregator.report_slice(ONE, WEB, BAD)
    aggregator.report_uncollected(TWO, WEB, BAD)
    aggregator.report_slice(TWO, API, GOOD)
    aggregator.forget(WEB)
    aggregator.forget(WEB)
    assert aggregator.service_outcome(WEB) is None
    assert aggregator.slice_outcomes(WEB) == {}
    assert aggregator.uncollected(WEB) == []
    assert aggregator.slice_outcomes(API) == {TWO: GOOD}
    aggregator.subscribe(told.append)
    aggregator.report_slice(ONE, API, GOOD)
    assert aggregator.slice_outcomes(API) == {ONE: GOOD, TWO: GOOD}
    assert told == [API]


# --- what others do meanwhile -----------------------------------------------------------------------------------------


async def test_a_conflict_is_looked_at_again_soon_and_nothing_is_said_before():
    bench = Bench()
    bench.aggregator.report_service(WEB, GOOD)
    bench.api.fail(Conflict(409, "Conflict", "changed"), "patch")
    result = await bench.reconcile()
    assert result.requeue_after is not None
    assert result.requeue_after <= 1
    assert bench.reasons() == []
    await bench.reconcile()
    assert bench.reasons() == ["SyncServiceSucceed"]


async def test_conditions_are_never_written_over_what_was_not_seen():
    bench = Bench()
    bench.aggregator.report_service(WEB, GOOD)
    bench.api.hold_watches()
    theirs = condition("Theirs")
    bench.api.edit(wk.MCS_KIND, "default", "web", {"status": {"conditions": [theirs]}})
    assert (await bench.reconcile()).requeue_after is not None
    bench.api.release_watches()
    await bench.reconcile()
    assert bench.conditions.keys() == {"Theirs", wk.SERVICE_APPLIED}


async def test_a_write_that_fails_is_raised_and_said_only_once_it_succeeds():
    bench = Bench()
    bench.aggregator.report_service(WEB, GOOD)
    bench.api.fail(ServerError(500, "x", "x"), "patch")
    with pytest.raises(ServerError):
        await bench.reconcile()
    assert bench.reasons() == []


async def test_a_service_that_goes_meanwhile_is_no_failure():
    bench = Bench()
    bench.aggregator.report_service(WEB, GOOD)
    bench.api.fail(NotFound(404, "NotFound", "x"), "patch")
    assert await bench.reconcile() == Result()
    assert bench.reasons() == []


async def test_conditions_of_others_stay_as_they_are():
    foreign = condition("Foreign", message="")
    bench = Bench(conditions=[foreign])
    bench.aggregator.report_service(WEB, GOOD)
    await bench.reconcile()
    assert bench.conditions["Foreign"] == foreign


@pytest.mark.parametrize(
    "fields", [{"deleting": True}, {"types": ["LoadBalancer"]}], ids=["being deleted", "another type"]
)
async def test_a_service_that_is_not_ours_now_is_not_written(fields: dict[str, Any]):
    bench = Bench(collected_work("m1"), **fields)
    bench.aggregator.report_service(WEB, GOOD)
    bench.aggregator.report_slice(ONE, WEB, GOOD)
    assert await bench.reconcile() == Result()
    assert bench.api.writes == []


async def test_a_service_that_is_gone_is_forgotten():
    bench = Bench(adopted=False)
    bench.aggregator.report_service(WEB, GOOD)
    bench.api.remove(wk.MCS_KIND, "default", "web")
    await bench.reconcile()
    assert bench.aggregator.service_outcome(WEB) is None
