"""Who gets a token, when; by exact times."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.clock import FakeClock, settle
from tests.support.scale import SCALE
from workqueue import LOW, NORMAL, URGENT, TokenBucket, at_priority, in_flow
from workqueue.priority import AGING_INTERVAL


class Tap:
    """An empty bucket of one token a second, and notes of who had one when."""

    def __init__(self, qps: float = 1, burst: int = 1) -> None:
        self.clock = FakeClock()
        self.bucket = TokenBucket(qps, burst, clock=self.clock)
        for _ in range(burst):
            assert self.bucket.try_take()
        self.served: list[tuple[str, float]] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def order(self) -> str:
        return "".join(name for name, _ in self.served)

    async def come(self, name: str, priority: int | None = None) -> None:
        self.tasks[name] = asyncio.get_running_loop().create_task(self._wait(name, priority))
        await settle()

    async def go(self, name: str) -> None:
        self.tasks[name].cancel()
        await settle()
        assert self.tasks[name].cancelled()

    async def _wait(self, name: str, priority: int | None) -> None:
        await self.bucket.wait(priority=priority)
        self.served.append((name, round(self.clock.monotonic() - 1000, 6)))

    @asynccontextmanager
    async def left_clean(self) -> AsyncIterator[None]:
        """At the end nobody waits and no timer runs."""
        yield
        assert all(task.done() for task in self.tasks.values())
        assert self.clock.sleepers == 0


@pytest.fixture
async def tap() -> AsyncIterator[Tap]:
    tap = Tap()
    async with tap.left_clean():
        yield tap


async def test_full_bucket_lets_a_burst_pass_at_once_and_then_one_at_a_time():
    tap = Tap(qps=10, burst=3)
    await tap.clock.advance(100)
    async with tap.left_clean():
        for name in "abcde":
            await tap.come(name)
        assert tap.order == "abc"
        await tap.clock.advance(0.2)
    assert tap.served[3:] == [("d", 100.1), ("e", 100.2)]


async def test_waiters_of_one_priority_are_served_in_the_order_of_their_calls_each_at_its_time(tap: Tap):
    for name in "abc":
        await tap.come(name)
        await tap.clock.advance(0.25)
    await tap.clock.advance(10)
    assert tap.served == [("a", 1), ("b", 2), ("c", 3)]


async def test_higher_priority_is_served_first(tap: Tap):
    await tap.come("a", LOW)
    await tap.come("b", NORMAL)
    await tap.come("c", URGENT)
    await tap.clock.advance(2.5)
    await tap.come("d", NORMAL)
    await tap.clock.advance(10)
    assert tap.served == [("c", 1), ("b", 2), ("d", 3), ("a", 4)]


async def test_priority_is_that_of_what_is_being_done_unless_named(tap: Tap):
    with at_priority(LOW):
        await tap.come("a")
        await tap.come("b", URGENT)
    await tap.come("c")
    await tap.clock.advance(3)
    assert tap.order == "bca"


async def test_waiter_of_low_priority_is_not_starved(tap: Tap):
    for name in "abcd":
        await tap.come(name, NORMAL)
    await tap.come("L", LOW)
    for name in "efghijklmnopqrstuvwxyz":
        await tap.come(name, NORMAL)
        await tap.clock.advance(1)
    assert "L" in tap.order[: AGING_INTERVAL * (4 + 1)]
    await tap.clock.advance(10)


async def test_quarter_of_the_tokens_goes_to_bulk_work_and_no_more(tap: Tap):
    for number in range(10):
        await tap.come(f"L{number}", LOW)
    for number in range(30):
        await tap.come(f"h{number}", NORMAL)
    await tap.clock.advance(20)
    assert sum(name[0] == "L" for name, _ in tap.served) == 5
    await tap.clock.advance(20)
    assert len(tap.served) == 40


async def test_change_waits_for_no_more_than_two_tokens_behind_any_amount_of_bulk_work(tap: Tap):
    for number in range(50):
        await tap.come(f"L{number}", LOW)
    for number in range(8):
        came = number * 5 + 0.5
        await tap.clock.advance(came - (tap.clock.monotonic() - 1000))
        await tap.come(f"h{number}", NORMAL)
        await tap.clock.advance(1.5)
        assert dict(tap.served)[f"h{number}"] <= came + 1.5
    await tap.clock.advance(100)


@pytest.mark.parametrize("who", ["a", "b", "c"])
async def test_cancelled_waiter_gives_its_place_to_the_next(tap: Tap, who: str):
    for name in "abc":
        await tap.come(name)
    await tap.clock.advance(0.5)
    await tap.go(who)
    await tap.clock.advance(10)
    assert tap.order == "abc".replace(who, "")
    assert [time for _, time in tap.served] == [1, 2]
    assert tap.bucket.try_take()


@pytest.mark.parametrize("in_order", [True, False], ids=["oldest first", "newest first"])
async def test_all_waiters_may_leave_one_after_the_other(tap: Tap, in_order: bool):
    for name in "abcd":
        await tap.come(name)
    for name in "abcd" if in_order else "dcba":
        assert tap.clock.sleepers == 1
        await tap.go(name)
    assert tap.clock.sleepers == 0
    await tap.clock.advance(1)
    assert tap.bucket.try_take()
    assert not tap.bucket.try_take()


@pytest.mark.parametrize("who", ["a", "b"], ids=["who watches the time", "who does not"])
async def test_waiter_cancelled_right_after_it_got_a_token_gives_it_to_the_next(who: str):
    tap = Tap()
    priorities = {"a": NORMAL, "b": NORMAL, "c": LOW} | {who: URGENT}

    async def cancel_in_the_very_step() -> None:
        await tap.clock.sleep(1)
        assert not tap.bucket.try_take()  # its token is given away by this
        tap.tasks[who].cancel()

    async with tap.left_clean(), asyncio.TaskGroup() as group:
        group.create_task(cancel_in_the_very_step())
        await settle()
        for name, priority in priorities.items():
            await tap.come(name, priority)
        await tap.clock.advance(1)
        assert tap.tasks[who].cancelled()
        assert tap.served == [("b" if who == "a" else "a", 1)]
        await tap.clock.advance(1)
        assert tap.served[1:] == [("c", 2)]


async def test_one_timer_serves_any_number_of_waiters(tap: Tap):
    for number in range(100):
        await tap.come(str(number), number % 3)
    for _ in range(99):
        assert tap.clock.sleepers == 1
        await tap.clock.advance(1)
    assert len(tap.served) == 99
    await tap.clock.advance(1)
    assert [time for _, time in tap.served] == list(range(1, 101))


async def test_reservation_is_unconditional_and_puts_waiters_back(tap: Tap):
    await tap.come("a")
    await tap.clock.advance(0.5)
    assert tap.bucket.reserve() == pytest.approx(0.5)
    assert tap.bucket.reserve() == pytest.approx(1.5)
    await tap.clock.advance(10)
    assert tap.served == [("a", 3)]


async def test_try_take_does_not_overtake_those_who_wait():
    tap = Tap()

    async def try_in_the_very_step() -> bool:
        await tap.clock.sleep(1)
        return tap.bucket.try_take()

    async with tap.left_clean(), asyncio.TaskGroup() as group:
        trying = group.create_task(try_in_the_very_step())
        await settle()
        await tap.come("a")
        await tap.clock.advance(1)
        assert not trying.result()
        assert tap.served == [("a", 1)]


async def test_newcomer_of_high_priority_does_not_wait_for_who_watches_the_time(tap: Tap):
    await tap.come("a", LOW)
    await tap.clock.advance(0.999)
    await tap.come("b", URGENT)
    await tap.clock.advance(0.001)
    assert tap.served == [("b", 1)]
    await tap.clock.advance(1)


def test_numbers_that_cannot_work_are_refused():
    for qps, burst in ((0, 1), (1, 0), (-1, 1)):
        with pytest.raises(ValueError, match="must be positive"):
            TokenBucket(qps, burst, clock=FakeClock())


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.sampled_from([LOW, NORMAL, URGENT])),
        st.tuples(st.just("go"), st.integers(0, 9)),
        st.tuples(st.just("pass"), st.sampled_from([0.1, 0.5, 1.0, 1.3, 3.0])),
        st.tuples(st.just("go and pass"), st.integers(0, 9)),
    ),
    max_size=40,
)


@given(STEPS)
def test_no_token_is_lost_or_made_whoever_comes_and_goes(steps: list[tuple[str, float]]):
    """Whatever happens, the tokens given are those that have come, and somebody waits only while there is none."""

    async def run() -> None:
        tap = Tap(qps=2, burst=3)
        tokens = 0.0
        async with tap.left_clean():
            for number, (step, value) in enumerate(steps):
                before, seconds = len(tap.served), 0.0
                if step == "come":
                    await tap.come(str(number), int(value))
                elif step == "pass":
                    seconds = value
                elif waiting := [name for name, task in tap.tasks.items() if not task.done()]:
                    if step == "go":
                        await tap.go(waiting[int(value) % len(waiting)])
                    else:
                        seconds = 0.5
                        tap.tasks[waiting[int(value) % len(waiting)]].cancel()
                await tap.clock.advance(seconds)
                tokens += 2 * seconds - (len(tap.served) - before)
                assert tokens > -1e-3
                waiting = [name for name, task in tap.tasks.items() if not task.done()]
                assert not waiting or tokens < 1 + 1e-3
                assert tap.clock.sleepers == bool(waiting)
                tokens = min(tokens, 3)
            await tap.clock.advance(100)

    asyncio.run(run())


async def test_waiter_rises_with_what_it_waits_for_unless_its_priority_was_named(tap: Tap):
    await tap.come("n", NORMAL)
    with at_priority(LOW) as turn:
        await tap.come("a")
        await tap.come("b", LOW)
    turn.promote(URGENT)
    turn.promote(LOW)
    assert turn.priority == URGENT
    await tap.clock.advance(3)
    assert tap.order == "anb"
    assert not turn.waits


# --- flows ------------------------------------------------------------------------------------------------------------


async def test_flows_take_turns_for_tokens(tap: Tap):
    for number in range(20):
        with in_flow(("mad", str(number))):
            await tap.come(f"m{number}")
    with in_flow(("good",)):
        await tap.come("g")
    await tap.clock.advance(2)
    assert [name for name, _ in tap.served] == ["m0", "g"]
    await tap.clock.advance(20)


@given(mad=st.integers(1, 5), each=st.integers(1, 30), priority=st.sampled_from([NORMAL, URGENT]))
@settings(max_examples=20 * SCALE, deadline=None)
def test_waiter_waits_for_its_turn_among_flows_however_many_wait_in_each(mad: int, each: int, priority: int):
    """One token for each flow, at its own priority; AGING_INTERVAL of them where others are of a higher one."""

    async def run() -> None:
        tap = Tap()
        async with tap.left_clean():
            for flow in range(mad):
                for number in range(each):
                    with in_flow((flow,)):
                        await tap.come(f"{flow}-{number}", priority)
            await tap.clock.advance(0.5)
            with in_flow(("good",)):
                await tap.come("good", NORMAL)
            flows = mad + 1
            await tap.clock.advance(0.5 + (flows if priority == NORMAL else AGING_INTERVAL * flows))
            assert "good" in dict(tap.served)
            await tap.clock.advance(mad * each)

    asyncio.run(run())
