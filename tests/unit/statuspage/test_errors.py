"""What is kept of the log."""

import logging
from typing import Any

import pytest

from mcs_controller.runtime.logging import log_fields
from mcs_controller.statuspage.errors import CAPACITY, RecentErrors
from mcs_controller.statuspage.model import ErrorView


@pytest.fixture
def errors() -> RecentErrors:
    return RecentErrors()


@pytest.fixture
def log(errors: RecentErrors) -> logging.Logger:
    made = logging.Logger("test")
    made.addHandler(errors)
    return made


def test_warnings_and_errors_are_kept_and_nothing_else(errors: RecentErrors, log: logging.Logger):
    log.info("Fine")
    log.warning("Late", extra={"cluster": "m1", "seconds": 5})
    log.error("Failed")
    assert [(one.level, one.message, one.fields) for one in errors.views()] == [
        ("warning", "Late", "cluster=m1 seconds=5"),
        ("error", "Failed", ""),
    ]


def test_the_same_line_is_counted_and_each_try_is_the_same(errors: RecentErrors, log: logging.Logger):
    for number in range(3):
        with log_fields(request="default/web", reconcile_id=number):
            log.warning("Reconcile failed")
    log.warning("Reconcile failed")
    assert [(one.fields, one.times) for one in errors.views()] == [("request=default/web", 3), ("", 1)]


def test_of_a_traceback_its_last_line_is_kept(errors: RecentErrors, log: logging.Logger):
    for _ in range(2):
        try:
            raise ValueError("no such thing")
        except ValueError:
            log.exception("Crashed")
    assert [(one.fields, one.times) for one in errors.views()] == [("raised=ValueError: no such thing", 2)]


def test_the_oldest_lines_make_room(errors: RecentErrors, log: logging.Logger):
    for number in range(CAPACITY + 3):
        log.warning("Number %s", number)
        log.warning("Again and again")
    found = [one.message for one in errors.views()]
    assert len(found) == CAPACITY
    assert found[0] == "Number 4"
    assert found[-1] == "Again and again"


def test_long_lines_are_cut(errors: RecentErrors, log: logging.Logger):
    log.warning("x" * 9000, extra={"y": "z" * 9000})
    (one,) = errors.views()
    assert len(one.message) + len(one.fields) < 1300


def test_a_thread_may_log_while_the_page_is_made(
    errors: RecentErrors, log: logging.Logger, monkeypatch: pytest.MonkeyPatch
):
    def view(**fields: Any) -> ErrorView:
        log.warning("From a thread that sends spans, say")
        return ErrorView(**fields)

    monkeypatch.setattr("mcs_controller.statuspage.errors.ErrorView", view)
    for number in range(3):
        log.warning("Number %s", number)
    assert len(errors.views()) == 3
