"""Who may write for a request."""

import asyncio

import pytest

from mcs_controller.key_mutex import KeyMutex, ReconcileMutex


def asked() -> tuple[ReconcileMutex[str], list[str]]:
    enqueued = list[str]()
    return ReconcileMutex(enqueued.append), enqueued


def test_a_reconcile_that_nobody_is_ahead_of_has_its_turn_and_needs_no_other():
    turns, enqueued = asked()
    with turns.hold_or_requeue("a") as mine:
        assert mine
    assert enqueued == []


def test_while_somebody_writes_ahead_a_reconcile_is_turned_away_and_follows_when_that_is_over():
    turns, enqueued = asked()
    with turns.try_hold("a") as ahead:
        with turns.hold_or_requeue("a") as mine:
            assert not mine
        assert ahead
        assert enqueued == []
    assert enqueued == ["a"]
    with turns.hold_or_requeue("a") as mine:
        assert mine


def test_what_was_written_ahead_is_compared_even_if_nobody_asked():
    turns, enqueued = asked()
    with turns.try_hold("a"):
        pass
    assert enqueued == ["a"]


def test_nobody_writes_ahead_of_a_reconcile_under_way():
    turns, enqueued = asked()
    with turns.hold_or_requeue("a"), turns.try_hold("a") as ahead:
        assert not ahead
    assert enqueued == [], "the ordinary way brings what is left"


def test_of_two_reconciles_the_second_is_turned_away_and_follows():
    turns, enqueued = asked()
    with turns.hold_or_requeue("a"):
        with turns.hold_or_requeue("a") as second:
            assert not second
        assert enqueued == []
    assert enqueued == ["a"]


def test_of_two_who_would_write_ahead_the_second_does_not():
    turns, enqueued = asked()
    with turns.try_hold("a"):
        with turns.try_hold("a") as second:
            assert not second
        with turns.hold_or_requeue("a") as mine:
            assert not mine, "the first one's turn is not over"
    assert enqueued == ["a"]


def test_requests_have_turns_of_their_own():
    turns, _ = asked()
    with turns.try_hold("a"), turns.hold_or_requeue("b") as mine:
        assert mine


def test_a_turn_ends_with_an_error_too():
    turns, enqueued = asked()
    try:
        with turns.try_hold("a"):
            raise RuntimeError
    except RuntimeError:
        pass
    assert enqueued == ["a"]
    with turns.hold_or_requeue("a") as mine:
        assert mine


async def test_who_writes_for_a_request_does_so_alone_and_in_the_order_of_coming():
    alone, told = KeyMutex[str](), list[str]()

    async def write(name: str, request: str) -> None:
        async with alone.hold(request):
            told.append(f"{name} begins")
            await asyncio.sleep(0)
            told.append(f"{name} ends")

    await asyncio.gather(write("a", "x"), write("b", "x"), write("c", "y"))
    assert [one for one in told if not one.startswith("c")] == ["a begins", "a ends", "b begins", "b ends"]
    assert told.index("c begins") < told.index("a ends"), "another request's writers wait for nobody"


async def test_a_writer_that_fails_or_is_cancelled_leaves_the_next_one_its_turn():
    alone = KeyMutex[str]()

    async def forever() -> None:
        async with alone.hold("x"):
            await asyncio.Event().wait()

    first, second = asyncio.create_task(forever()), asyncio.create_task(forever())
    await asyncio.sleep(0)
    for one in (second, first):
        one.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    with pytest.raises(ZeroDivisionError):
        async with alone.hold("x"):
            raise ZeroDivisionError
    async with alone.hold("x"):
        pass
