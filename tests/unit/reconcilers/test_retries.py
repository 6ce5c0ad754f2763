"""When a Work that its member did not take is tried again."""

import random

import pytest

from informers.errors import Conflict, Forbidden, Invalid, ServerError, TooManyRequests, TransportError, Unauthorized
from mcs_controller.reconcilers.retries import Deferred, Retries
from mcs_controller.runtime.reconcile import Request
from mcs_controller.standalone.domain.execution import NotOurs
from tests.support.clock import FakeClock

REFUSALS = (Forbidden(403, "Forbidden", "quota"), Invalid(422, "Invalid", "no"), NotOurs("theirs"))


def _requests(count: int) -> list[Request]:
    return [Request("karmada-es-m1", f"w{number}") for number in range(count)]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def retries(clock: FakeClock) -> Retries:
    return Retries(clock=clock, rng=random.Random(1), member_qps=40.0)


@pytest.mark.parametrize("error", REFUSALS, ids=["403", "422", "theirs"])
async def test_what_is_refused_is_tried_again_about_every_minute_however_often(
    retries: Retries, clock: FakeClock, error: Exception
) -> None:
    [request] = _requests(1)
    delays = []
    for _ in range(50):
        delays.append(retries.after(request, "m1", [error]))
        await clock.advance(delays[-1])
    assert all(48.0 <= delay <= 72.0 for delay in delays)
    assert len(set(delays)) > 40


async def test_thousands_that_are_refused_use_a_tenth_of_the_limit(retries: Retries, clock: FakeClock) -> None:
    began, due = clock.monotonic(), []
    for request in _requests(2000):
        due.append(clock.monotonic() - began + retries.after(request, "m1", [REFUSALS[0]]))
        await clock.advance(1 / 40)
    for second in range(int(min(due)), int(max(due))):
        assert sum(second <= one < second + 10 for one in due) <= 41
    assert max(due) < 2000 / 4 + 200


def test_few_that_are_left_are_tried_every_minute_again(retries: Retries) -> None:
    *many, last = _requests(2000)
    for request in many:
        retries.after(request, "m1", [REFUSALS[0]])
    for request in many[1:]:
        retries.succeeded(request, "m1")
    assert retries.after(last, "m1", [REFUSALS[0]]) <= 73.0


def test_members_do_not_wait_for_each_other(retries: Retries) -> None:
    for request in _requests(2000):
        retries.after(request, "m1", [REFUSALS[0]])
    assert retries.after(Request("karmada-es-m2", "w"), "m2", [REFUSALS[0]]) <= 72.0


@pytest.mark.parametrize(
    ("error", "longest"),
    [
        pytest.param(TransportError("reset"), 6.0, id="no-answer"),
        pytest.param(Unauthorized(401, "Unauthorized", "old token"), 6.0, id="401"),
        pytest.param(ServerError(500, "InternalError", "webhook"), 72.0, id="500"),
        pytest.param(Conflict(409, "Conflict", "changed"), 72.0, id="conflict"),
    ],
)
def test_what_may_pass_is_tried_soon_and_then_later_and_later(
    retries: Retries, error: Exception, longest: float
) -> None:
    [request] = _requests(1)
    delays = [retries.after(request, "m1", [error]) for _ in range(20)]
    assert delays[0] <= 0.3
    assert longest / 2 <= delays[-1] <= longest
    retries.succeeded(request, "m1")
    assert retries.after(request, "m1", [error]) <= 0.3


def test_a_server_that_asks_for_time_gets_it(retries: Retries) -> None:
    assert retries.after(_requests(1)[0], "m1", [TooManyRequests(429, "", "", retry_after=33.0)]) == 33.0


def test_the_log_hears_of_each_change_once(retries: Retries, caplog: pytest.LogCaptureFixture) -> None:
    [request] = _requests(1)
    for error in (REFUSALS[0], REFUSALS[0], REFUSALS[1], REFUSALS[1]):
        retries.after(request, "m1", [error])
    retries.succeeded(request, "m1")
    retries.after(request, "m1", [REFUSALS[1]])
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 3


def test_what_is_put_off_is_tried_when_that_says_and_other_failures_of_the_work_as_ever(retries: Retries) -> None:
    [work] = _requests(1)
    put_off = Deferred("somebody else writes it: kubectl", 20.0)
    assert retries.after(work, "m1", [put_off]) == 20.0
    assert retries.after(work, "m1", [put_off, Deferred("another", 5.0)]) == 5.0
    assert retries.after(work, "m1", [put_off, ServerError(500, "InternalError", "no")]) < 1.0
