"""What log lines look like."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest

from mcs_controller.runtime.logging import MAX_TEXT, WRITES, log_fields, setup_logging
from mcs_controller.runtime.reconcile import Request


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    names = ("", "mcs_controller", "informers", "workqueue", WRITES, "informers.client.requests")
    before = {name: logging.getLogger(name).level for name in names}
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def lines(log_format: Literal["text", "json"], verbosity: int = 2) -> io.StringIO:
    stream = io.StringIO()
    setup_logging(verbosity, log_format, stream)
    return stream


def test_text_line_has_level_logger_message_and_fields():
    stream = lines("text")
    logging.getLogger("mcs_controller.x").warning("Reconcile failed", extra={"retries": 3, "error": 'no "such" thing'})
    time, rest = stream.getvalue().split(" ", 1)
    assert time.endswith("Z")
    assert rest == 'WARNING mcs_controller.x Reconcile failed retries=3 error="no \\"such\\" thing"\n'


def test_text_field_with_a_line_break_stays_on_its_line():
    stream = lines("text")
    logging.getLogger("informers").info("Hello", extra={"a": "x\ny", "b": ""})
    assert stream.getvalue().endswith(' Hello a="x\\ny" b=""\n')


def test_foreign_words_in_a_text_message_forge_no_line_and_move_no_cursor():
    stream = lines("text")
    logging.getLogger("informers").warning(
        "undecodable: key=%s", "x\n2026-01-01T00:00:00.000Z INFO    x Became leader\x1b[2J"
    )
    assert stream.getvalue().count("\n") == 1
    assert "\\n2026-01-01" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_foreign_words_in_a_traceback_begin_no_line():
    stream = lines("text")
    try:
        raise ValueError("x\n2026-01-01T00:00:00.000Z INFO    x Became leader\x1b[2J")
    except ValueError as error:
        logging.getLogger("x").error("Went wrong", exc_info=error)
    _, *traceback = stream.getvalue().splitlines()
    assert all(line.startswith("  ") for line in traceback)
    assert "\x1b" not in stream.getvalue()


def test_json_line_is_one_object():
    stream = lines("json")
    with log_fields(controller="c"):
        logging.getLogger("informers").error("Went wrong", extra={"cluster": "member1", "level": "mine"})
    line = json.loads(stream.getvalue())
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "error",
        "logger": "informers",
        "msg": "Went wrong",
        "controller": "c",
        "cluster": "member1",
    }


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_traceback_goes_with_the_line(log_format: Literal["text", "json"]):
    stream = lines(log_format)
    try:
        raise ZeroDivisionError("oops")
    except ZeroDivisionError as error:
        logging.getLogger("x").error("Went wrong", exc_info=error)
    text = json.loads(stream.getvalue())["stacktrace"] if log_format == "json" else stream.getvalue()
    assert text.rstrip().endswith("ZeroDivisionError: oops")


def _failing(depth: int, words: str = "oops") -> None:
    if depth:
        _twin(depth - 1, words)
    raise ZeroDivisionError(words)


def _twin(depth: int, words: str) -> None:
    _failing(depth, words)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_tracebacks_and_foreign_words_have_a_limit(log_format: Literal["text", "json"]):
    stream = lines(log_format)
    try:
        _failing(400, "x" * 100_000)
    except ZeroDivisionError as error:
        logging.getLogger("x").error("y" * 100_000, exc_info=error, extra={"error": "z" * 100_000})
    assert len(stream.getvalue()) < 4 * MAX_TEXT
    assert all(character * 1000 in stream.getvalue() for character in "xyz")


def test_a_traceback_is_not_repeated_with_every_try(monkeypatch: pytest.MonkeyPatch):
    stream = lines("text")

    def fail(words: str) -> str:
        stream.truncate(0)
        try:
            raise ExceptionGroup("several", [_caught(words)])
        except ExceptionGroup as error:
            logging.getLogger("x").error("Went wrong", exc_info=error)
        return stream.getvalue()

    assert "Traceback" in fail("one")
    again = fail("two")
    assert "Traceback" not in again
    assert "ZeroDivisionError: two (as before" in again
    monkeypatch.setattr("mcs_controller.runtime.logging.REPEAT_SECONDS", 0.0)
    assert "Traceback" in fail("three")


def _caught(words: str) -> Exception:
    try:
        _failing(0, words)
    except ZeroDivisionError as error:
        return error
    raise AssertionError


async def test_fields_around_a_reconcile_reach_its_tasks_and_nobody_else():
    stream = lines("text")
    log = logging.getLogger("x")

    async def reconcile(number: int) -> None:
        with log_fields(controller="c", reconcile_id=number), log_fields(request=f"ns/{number}"):
            async with asyncio.TaskGroup() as group:
                group.create_task(say(number))

    async def say(number: int) -> None:
        await asyncio.sleep(0)
        log.info("Wrote %d", number)

    await asyncio.gather(reconcile(1), reconcile(2))
    log.info("Outside")
    assert [line.split(" x ", 1)[1] for line in stream.getvalue().splitlines()] == [
        "Wrote 1 controller=c reconcile_id=1 request=ns/1",
        "Wrote 2 controller=c reconcile_id=2 request=ns/2",
        "Outside",
    ]


@pytest.mark.parametrize(
    ("verbosity", "said"), [(0, ["info"]), (3, ["info"]), (4, ["debug", "info"]), (6, ["debug", "library", "info"])]
)
def test_verbosity_decides_whose_details_are_shown(verbosity: int, said: list[str]):
    stream = lines("text", verbosity)
    logging.getLogger("mcs_controller.x").debug("debug")
    logging.getLogger("aiohttp").debug("library")
    logging.getLogger("aiohttp").info("info")
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == said


@pytest.mark.parametrize(
    ("verbosity", "said"),
    [(0, []), (1, []), (2, ["Wrote"]), (4, ["Wrote", "Reconciled"]), (6, ["Wrote", "Reconciled", "request"])],
)
def test_each_level_adds_one_kind_of_line(verbosity: int, said: list[str]):
    stream = lines("text", verbosity)
    logging.getLogger(WRITES).info("Wrote")
    logging.getLogger("mcs_controller.runtime.controller").debug("Reconciled")
    logging.getLogger("informers.client.requests").debug("request")
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == said


class Rude:
    def __str__(self) -> str:
        raise ZeroDivisionError


_LOOP: list[object] = []
_LOOP.append(_LOOP)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), "nan"), (float("-inf"), "-inf"), (1.5, 1.5), (True, True), (None, None),
        (10**5000, "<int without text: ValueError>"), (1 << 70, str(1 << 70)),
        (b"\xff", "b'\\xff'"), ({1: {2}}, {"1": [2]}), ({("a", 1): b"x"}, {"('a', 1)": "b'x'"}), ("\udc80", "\udc80"),
        (Rude(), "<Rude without text: ZeroDivisionError>"), (Request("ns", "a"), "ns/a"), (ValueError("no"), "no"),
        (_LOOP, [[["[[...]]"]]]),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_json_is_valid_with_every_kind_of_value(value: object, expected: object):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")
    setup_logging(2, "json", stream)
    logging.getLogger("x").info("Hello", extra={"value": value})
    stream.seek(0)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(stream.read(), parse_constant=refuse)["value"] == expected


def test_a_field_moves_no_cursor():
    stream = lines("text")
    logging.getLogger("x").info("Hello", extra={"a": "\x9b2J\u2028\x7f \x1b"})
    assert stream.getvalue().rstrip("\n").isprintable()
