"""Log lines: a constant message plus fields, as text or JSON.

Fields come from two places: `extra` of the single call (any key that `logging` does not claim for itself), and
:func:`log_fields` around everything that a reconcile does:

    with log_fields(controller="binding", request="default/nginx", reconcile_id=17):
        log.info("Created Work", extra={"work": "karmada-es-member1/nginx-687f7fb96f"})
"""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

_fields: ContextVar[Mapping[str, object]] = ContextVar("log_fields")

_OWN_ATTRIBUTES: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_DEBUG_VERBOSITY: Final = 4
_LIBRARY_DEBUG_VERBOSITY: Final = 6
_OUR_PACKAGES: Final = ("mcs_controller", "informers", "workqueue")


MAX_TEXT: Final = 8192
"""Characters of a message, of a field and of a traceback."""

REPEAT_SECONDS: Final = 600.0
"""Until the traceback of the same error is logged again."""

_MAX_REMEMBERED: Final = 256
"""Tracebacks."""


@contextmanager
def log_fields(**fields: object) -> Iterator[None]:
    """Add fields to every log line within, in this task and those it starts. Nests."""
    token = _fields.set({**_fields.get({}), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


def setup_logging(verbosity: int, log_format: Literal["text", "json"], stream: TextIO) -> None:
    """Send all log lines of this process to `stream`, replacing what was set up before.

    Args:
        verbosity: as klog's `--v`: below 4 information, warnings and errors; from 4 on also what we do step by step;
            from 6 on also what libraries say about themselves.
        log_format: one line of text for people, or one JSON object, for each record.
        stream: usually standard error.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbosity >= _LIBRARY_DEBUG_VERBOSITY else logging.INFO)
    for package in _OUR_PACKAGES:
        logging.getLogger(package).setLevel(logging.DEBUG if verbosity >= _DEBUG_VERBOSITY else logging.INFO)


class _Formatter(logging.Formatter):
    """Knows which tracebacks were logged lately: the same one, of every try, hides what else is in the log."""

    def __init__(self) -> None:
        super().__init__()
        self._logged: dict[Hashable, float] = {}

    def traceback(self, record: logging.LogRecord) -> str | None:
        """The traceback of a record, or what stands for it; None if there is none."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None or not record.exc_info:
            return None
        cause = _innermost(error)
        key = (record.name, record.msg, type(cause), _line_of(cause))
        before = self._logged.get(key)
        if before is not None and record.created - before < REPEAT_SECONDS:
            return _capped(f"{type(cause).__name__}: {cause} (as before, see its traceback there)")
        self._logged.pop(key, None)
        self._logged[key] = record.created
        if len(self._logged) > _MAX_REMEMBERED:
            del self._logged[next(iter(self._logged))]
        return _capped(self.formatException(record.exc_info))


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _line_of(error: BaseException) -> tuple[str, int] | None:
    found = None
    traceback = error.__traceback__
    while traceback is not None:
        found = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    return found


class TextFormatter(_Formatter):
    """`2026-08-01T12:00:00.000Z INFO  mcs_controller.app Message key=value key="a value"`, then any traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """See :meth:`logging.Formatter.format`."""
        parts = [_timestamp(record), f"{record.levelname:<7}", record.name, _escaped(_capped(record.getMessage()))]
        parts += (f"{key}={_quoted(value)}" for key, value in _fields_of(record).items())
        line = " ".join(parts)
        traceback = self.traceback(record)
        if traceback is None:
            return line
        # Indented, as an error may quote what another system said, which may look like a line of this log.
        return "\n".join([line, *(f"  {_escaped(each)}" for each in traceback.split("\n"))])


class JsonFormatter(_Formatter):
    """One object a line: ts, level, logger, msg, the fields, and stacktrace if there is an error."""

    def format(self, record: logging.LogRecord) -> str:
        """See :meth:`logging.Formatter.format`."""
        line: dict[str, object] = {
            "ts": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": _capped(record.getMessage()),
        }
        line |= {key: value for key, value in _fields_of(record).items() if key not in line}
        if (traceback := self.traceback(record)) is not None:
            line["stacktrace"] = traceback
        return json.dumps(line, default=str, ensure_ascii=False)


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    own = {key: value for key, value in vars(record).items() if key not in _OWN_ATTRIBUTES}
    fields = {**_fields.get({}), **own}
    return {key: _capped(value) if isinstance(value, str) else value for key, value in fields.items()}


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _escaped(text: str) -> str:
    """One line without control characters: with them a member's words forge lines and move a terminal's cursor."""
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _capped(text: str) -> str:
    """How long a line is must not be up to a member. What ends an error says most."""
    if len(text) <= MAX_TEXT:
        return text
    head, tail = MAX_TEXT // 4, MAX_TEXT - MAX_TEXT // 4
    return f"{text[:head]} ...{len(text) - MAX_TEXT} characters left out... {text[-tail:]}"


def _quoted(value: object) -> str:
    text = _capped(str(value))
    plain = text.isprintable() and text and not any(char in text for char in ' "=')
    return text if plain else json.dumps(text, ensure_ascii=False)
