"""The errors of the test bed.

::

    BedError
    ├── ProcessFailed        a component ended, or did not become ready; carries the end of its log
    ├── ApiStatusError       an API server answered with an error status
    ├── WaitTimeout          something did not come true in time; carries what was last seen
    └── StateError           a named bed's directory cannot be used as asked
"""

from __future__ import annotations


class BedError(Exception):
    """Base class of the test bed's errors."""


class ProcessFailed(BedError):
    """A component ended when it should not have, or did not become ready in time."""


class ApiStatusError(BedError):
    """An API server answered with an error.

    Attributes:
        status: the HTTP status code.
        reason: Kubernetes' word for it (``NotFound``, ``AlreadyExists``, ``Conflict``, ...); may be empty.
        message: the server's sentence.
    """

    def __init__(self, status: int, reason: str, message: str, *, request: str = "") -> None:
        super().__init__(f"{request + ': ' if request else ''}{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class WaitTimeout(BedError):
    """A wait timed out; the text ends with the last observation."""


class NotYet(Exception):
    """Raised by a probe of :func:`testbed.api.wait_for` that must be repeated; the text has its observation."""


class StateError(BedError):
    """The state of a named bed's directory does not allow the operation."""
