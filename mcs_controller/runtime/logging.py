"""Log lines: a constant message plus fields, as text or JSON.

Fields come from two places: `extra` of the single call (any key that `logging` does not claim for itself), and
:func:`log_fields` around everything that a reconcile does:

    with log_fields(controller="binding", request="default/nginx", reconcile_id=17):
        log.info("Created Work", extra={"work": "karmada-es-member1/nginx-687f7fb96f"})
"""

from __future__ import annotations

import json
import logging
import math
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
WRITES: Final = "mcs_controller.writes"
_SHOWN_FROM: Final = {WRITES: (2, logging.INFO), "informers.client.requests": (6, logging.DEBUG)}
"""Loggers of one kind of line: from which verbosity on, and the level of the lines."""


MAX_TEXT: Final = 8192
"""Characters of a message, of a field and of a traceback."""

REPEAT_SECONDS: Final = 600.0
"""Until the traceback of the same error is logged again."""

_MAX_REMEMBERED: Final = 256
"""Tracebacks."""

_MAX_NESTING: Final = 3
"""Of a field's value."""

_MAX_INTEGER: Final = 1 << 64
"""Larger ones are text: Python refuses to write some, and nobody reads them as numbers."""


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
        verbosity: as klog's `--v`: information, warnings and errors; from 2 on also each write; from 4 on also what we
            do step by step, each reconcile with its outcome; from 6 on also each request, and what libraries say about
            themselves.
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
    for name, (shown_from, level) in _SHOWN_FROM.items():
        logging.getLogger(name).setLevel(level if verbosity >= shown_from else level + 1)


class _Formatter(logging.Formatter):
    """A log formatter that leaves out tracebacks shown lately, so that retries do not hide the rest of the log."""

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
        line |= {key: _plain(value) for key, value in _fields_of(record).items() if key not in line}
        if (traceback := self.traceback(record)) is not None:
            line["stacktrace"] = traceback
        text = json.dumps(line, ensure_ascii=False, allow_nan=False)
        # Half a surrogate pair, of a name that is no UTF-8, cannot be written otherwise, and would lose the line.
        return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    own = {key: value for key, value in vars(record).items() if key not in _OWN_ATTRIBUTES}
    return {**_fields.get({}), **own}


def _plain(value: object, depth: int = 0) -> object:
    """What JSON has for a value; text for what it has nothing for, as for what is nested deeper than anybody reads."""
    if value is None or isinstance(value, bool | str) or (type(value) is int and abs(value) < _MAX_INTEGER):
        return _capped(value) if isinstance(value, str) else value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if depth < _MAX_NESTING and type(value) is dict:
        return {str(key): _plain(one, depth + 1) for key, one in value.items()}
    if depth < _MAX_NESTING and type(value) in (list, tuple, set, frozenset):
        return [_plain(one, depth + 1) for one in value]  # type: ignore[attr-defined]
    return _text(value)


def _text(value: object) -> str:
    try:
        return _capped(str(value))
    except Exception as error:  # a line that cannot say one thing still says the others
        return f"<{type(value).__name__} without text: {type(error).__name__}>"


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
    text = _text(value)
    plain = text.isprintable() and text and not any(char in text for char in ' "=')
    return text if plain else _escaped(json.dumps(text, ensure_ascii=False))
