"""Recording and writing of Events, against an API that keeps them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from informers.errors import AlreadyExists, Forbidden, KubeError, NamespaceTerminating, NotFound, TransportError
from informers.meta import ObjectMeta
from informers.resource import PartialObject, Resource
from mcs_controller.runtime.events import EVENTS, EventBroadcaster, ObjectReference
from tests.support.clock import FakeClock, settle

MCS = ObjectReference("networking.karmada.io/v1alpha1", "MultiClusterService", "web", "default", "uid-1")
CLUSTER = ObjectReference("cluster.karmada.io/v1alpha1", "Cluster", "member1")


class FakeEvents:
    """The events API: keeps what is written, and fails as it is told."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[str] = []
        self.error: KubeError | None = None
        self.loses_answers = False
        self.gate = asyncio.Event()  # requests wait for it
        self.gate.set()

    async def create(
        self, resource: Resource[PartialObject], body: Mapping[str, Any], namespace: str = ""
    ) -> PartialObject:
        await self._request("create", resource)
        key = namespace, body["metadata"]["name"]
        if key in self.events:
            raise AlreadyExists(409, "AlreadyExists", "it exists")
        self.events[key] = dict(body)
        return self._answer()

    async def patch(
        self, resource: Resource[PartialObject], name: str, body: Mapping[str, Any], namespace: str = ""
    ) -> PartialObject:
        await self._request("patch", resource)
        if (namespace, name) not in self.events:
            raise NotFound(404, "NotFound", "gone")
        self.events[namespace, name].update(body)
        return self._answer()

    async def _request(self, verb: str, resource: Resource[PartialObject]) -> None:
        assert resource is EVENTS
        self.requests.append(verb)
        await self.gate.wait()
        if self.error is not None:
            raise self.error

    def _answer(self) -> PartialObject:
        if self.loses_answers:
            raise TransportError("connection reset")
        return PartialObject(ObjectMeta())

    @property
    def all(self) -> list[dict[str, Any]]:
        return list(self.events.values())


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.api = FakeEvents()
        self.broadcaster = EventBroadcaster(self.api, clock=self.clock)
        self.recorder = self.broadcaster.for_component("the-controller")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.broadcaster.run())
            await settle()
            yield
            task.cancel()


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_event_has_the_wire_format_of_client_go(bench: Bench):
    async with bench.running():
        bench.recorder.event(MCS, "Warning", "SyncServiceFailed", "it failed")
        await settle()
    ((namespace, name), event) = next(iter(bench.api.events.items()))
    assert namespace == "default"
    object_name, stamp = name.rsplit(".", 1)
    assert (object_name, int(stamp, 16)) == ("web", int(bench.clock.utcnow().timestamp()) * 10**9)
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "default"},
        "involvedObject": {
            "apiVersion": "networking.karmada.io/v1alpha1",
            "kind": "MultiClusterService",
            "namespace": "default",
            "name": "web",
            "uid": "uid-1",
        },
        "reason": "SyncServiceFailed",
        "message": "it failed",
        "type": "Warning",
        "source": {"component": "the-controller"},
        "reportingComponent": "the-controller",
        "reportingInstance": "",
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
    }


async def test_event_about_a_cluster_scoped_object_lives_in_the_default_namespace(bench: Bench):
    async with bench.running():
        bench.recorder.event(CLUSTER, "Normal", "CreateExecutionSpaceSucceed", "done")
        await settle()
    (event,) = bench.api.all
    assert event["metadata"]["namespace"] == "default"
    assert event["involvedObject"] == {
        "apiVersion": "cluster.karmada.io/v1alpha1",
        "kind": "Cluster",
        "name": "member1",
    }


async def test_same_event_again_raises_the_count_of_the_first(bench: Bench):
    async with bench.running():
        for _ in range(3):
            bench.recorder.event(MCS, "Normal", "R", "m")
            await bench.clock.advance(10)
    (event,) = bench.api.all
    assert bench.api.requests == ["create", "patch", "patch"]
    assert (event["count"], event["firstTimestamp"], event["lastTimestamp"]) == (
        3,
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:20Z",
    )


async def test_repetitions_while_waiting_are_one_request(bench: Bench):
    async with bench.running():
        for _ in range(5):
            bench.recorder.event(MCS, "Normal", "R", "m")
        await settle()
        assert [event["count"] for event in bench.api.all] == [5]
        for _ in range(5):
            bench.recorder.event(MCS, "Normal", "R", "m")
        await settle()
    assert [event["count"] for event in bench.api.all] == [10]
    assert bench.api.requests == ["create", "patch"]


async def test_repetition_while_the_first_is_being_written_is_not_lost(bench: Bench):
    bench.api.gate.clear()
    async with bench.running():
        bench.recorder.event(MCS, "Normal", "R", "m")
        await settle()
        bench.recorder.event(MCS, "Normal", "R", "m")
        bench.api.gate.set()
        await settle()
        assert [event["count"] for event in bench.api.all] == [2]
    assert bench.api.requests == ["create", "patch"]


@pytest.mark.parametrize(
    "other",
    [
        (CLUSTER, "Normal", "R", "m"),
        (MCS._replace(uid="uid-2"), "Normal", "R", "m"),
        (MCS, "Warning", "R", "m"),
        (MCS, "Normal", "S", "m"),
        (MCS, "Normal", "R", "n"),
    ],
    ids=["object", "uid", "type", "reason", "message"],
)
async def test_different_events_are_different_objects(bench: Bench, other: Any):
    async with bench.running():
        bench.recorder.event(MCS, "Normal", "R", "m")
        bench.recorder.event(*other)
        await settle()
    assert [event["count"] for event in bench.api.all] == [1, 1]


async def test_components_speak_for_themselves(bench: Bench):
    async with bench.running():
        bench.recorder.event(MCS, "Normal", "R", "m")
        bench.recorder.for_component("another").event(MCS, "Normal", "R", "m")
        await settle()
    assert [event["source"]["component"] for event in bench.api.all] == ["the-controller", "another"]


async def test_expired_event_is_created_anew_with_its_count(bench: Bench):
    async with bench.running():
        bench.recorder.event(MCS, "Normal", "R", "m")
        await settle()
        bench.api.events.clear()
        bench.recorder.event(MCS, "Normal", "R", "m")
        await settle()
    assert bench.api.requests == ["create", "patch", "create"]
    assert [event["count"] for event in bench.api.all] == [2]


async def test_object_with_too_many_events_is_throttled_alone(bench: Bench):
    async with bench.running():
        for number in range(30):
            bench.recorder.event(MCS, "Warning", "R", str(number))
        bench.recorder.event(CLUSTER, "Warning", "R", "m")
        await settle()
        assert len(bench.api.all) == 26
        await bench.clock.advance(300)
        bench.recorder.event(MCS, "Warning", "R", "later")
        bench.recorder.event(MCS, "Warning", "R", "too early again")
        await settle()
    assert [event["message"] for event in bench.api.all][-2:] == ["m", "later"]


@pytest.mark.parametrize(
    ("message", "kept"), [("x" * 2000, "x" * 1024), ("x" * 1023 + "ä", "x" * 1023)], ids=["long", "within a character"]
)
async def test_message_is_capped_at_1024_bytes(bench: Bench, message: str, kept: str):
    async with bench.running():
        bench.recorder.event(MCS, "Normal", "R", message)
        await settle()
    assert bench.api.all[0]["message"] == kept


async def test_long_object_name_still_makes_a_valid_event_name(bench: Bench):
    async with bench.running():
        bench.recorder.event(MCS._replace(name="n" * 253), "Normal", "R", "m")
        await settle()
    assert len(bench.api.all[0]["metadata"]["name"]) == 253


async def test_server_that_is_away_is_tried_again_every_ten_seconds(bench: Bench):
    bench.api.error = TransportError("connection refused")
    async with bench.running():
        bench.recorder.event(MCS, "Normal", "R", "m")
        await bench.clock.advance(25)
        assert bench.api.requests == ["create"] * 3
        bench.api.error = None
        await bench.clock.advance(5)
        assert len(bench.api.all) == 1


async def test_lost_answer_does_not_make_a_second_event(bench: Bench):
    bench.api.loses_answers = True
    async with bench.running():
        bench.recorder.event(MCS, "Normal", "R", "m")
        await settle()
        bench.api.loses_answers = False
        await bench.clock.advance(10)
        assert [event["count"] for event in bench.api.all] == [1]
        bench.recorder.event(MCS, "Normal", "R", "m")
        await settle()
    assert [event["count"] for event in bench.api.all] == [2]


async def test_event_is_given_up_after_twelve_tries_and_the_next_goes_on(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    bench.api.error = TransportError("connection refused")
    async with bench.running():
        bench.recorder.event(MCS, "Normal", "R", "m")
        await bench.clock.advance(119)
        bench.api.error = None
        await bench.clock.advance(1)
        assert bench.api.all == []
        bench.recorder.event(MCS, "Normal", "R", "n")
        await settle()
        assert [event["message"] for event in bench.api.all] == ["n"]
    assert [record.message for record in caplog.records] == ["Dropping event after failed attempts"]


async def test_refused_event_is_logged_and_not_tried_again(bench: Bench, caplog: pytest.LogCaptureFixture):
    bench.api.error = Forbidden(403, "Forbidden", "no rights for events")
    async with bench.running():
        bench.recorder.event(MCS, "Normal", "R", "m")
        await bench.clock.advance(100)
    assert bench.api.requests == ["create"]
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert vars(record)["object"] == "MultiClusterService default/web"
    assert "no rights" in vars(record)["error"]


@pytest.mark.parametrize("error", [NamespaceTerminating(403, "Forbidden", "is being terminated"), NotFound(404)])
async def test_events_of_a_namespace_that_goes_are_dropped_without_a_warning(
    bench: Bench, caplog: pytest.LogCaptureFixture, error: KubeError
):
    bench.api.error = error
    async with bench.running():
        bench.recorder.event(MCS, "Normal", "R", "m")
        await bench.clock.advance(100)
    assert bench.api.requests == ["create"]
    assert [record.message for record in caplog.records if record.levelno >= logging.INFO] == []


async def test_recording_never_waits_and_drops_what_is_too_much(bench: Bench, caplog: pytest.LogCaptureFixture):
    for number in range(1001):
        bench.recorder.event(MCS._replace(name=f"n{number}"), "Normal", "R", "m")
    assert [record.message for record in caplog.records] == ["Event dropped: too many are waiting to be written"]
    async with bench.running():
        await settle()
    assert len(bench.api.all) == 1000


async def test_stopping_writes_what_is_left(bench: Bench):
    bench.api.error = TransportError("connection refused")
    async with bench.running():
        bench.recorder.event(MCS, "Normal", "R", "m")
        bench.recorder.event(CLUSTER, "Normal", "R", "m")
        await settle()
        bench.api.error = None
    assert len(bench.api.all) == 2


async def test_stopping_takes_five_seconds_at_most(bench: Bench, caplog: pytest.LogCaptureFixture):
    bench.api.gate.clear()
    running = asyncio.create_task(bench.broadcaster.run())
    bench.recorder.event(MCS, "Normal", "R", "m")
    await settle()
    running.cancel()
    await bench.clock.advance(4.9)
    assert not running.done()
    await bench.clock.advance(0.1)
    assert running.cancelled()
    assert vars(caplog.records[-1])["events"] == 1
