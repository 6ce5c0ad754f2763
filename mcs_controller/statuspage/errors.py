"""The latest warnings and errors of the log, kept in memory."""

from __future__ import annotations

import json
import logging
from typing import Final, NamedTuple

from mcs_controller.runtime.logging import JsonFormatter
from mcs_controller.statuspage.model import ErrorView, clip

CAPACITY: Final = 50
"""Different lines that are kept."""

_LEFT_OUT: Final = frozenset({"ts", "level", "logger", "msg", "stacktrace", "reconcile_id"})
"""What has a place of its own, or is another one with each try of the same thing."""


class _Line(NamedTuple):
    level: str
    message: str
    fields: str


class RecentErrors(logging.Handler):
    """Keeps the latest distinct log lines from WARNING on, as the log shows them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(JsonFormatter())
        self._lines: dict[_Line, tuple[str, int]] = {}
        """When it was logged last, and how often; the latest is the last."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, in place of the same one before. See `logging.Handler.emit`."""
        try:
            found = json.loads(self.format(record))
        except Exception:
            self.handleError(record)
            return
        fields = {key: value for key, value in found.items() if key not in _LEFT_OUT}
        if trace := found.get("stacktrace"):
            fields["raised"] = trace.rstrip().rpartition("\n")[2].removesuffix(" (as before, see its traceback there)")
        texts = (f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in fields.items())
        line = _Line(found["level"], clip(found["msg"]), clip(" ".join(texts)))
        _, times = self._lines.pop(line, ("", 0))
        self._lines[line] = (found["ts"], times + 1)
        if len(self._lines) > CAPACITY:
            del self._lines[next(iter(self._lines))]

    def views(self) -> list[ErrorView]:
        """What is kept, the latest last. Other threads may log meanwhile."""
        return [
            ErrorView(last=last, level=line.level, message=line.message, fields=line.fields, times=times)
            for line, (last, times) in list(self._lines.items())
        ]
