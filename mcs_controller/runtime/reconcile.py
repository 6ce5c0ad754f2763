"""The contract between a controller and its reconciler: request, result, errors.

A reconciler is asked to look at one object and to make the world fit it. How it ends says what comes next:

    return, or return Result()           done; look again when something changes
    return Result(requeue_after=30.0)    done for now; look again in 30 s, whatever happens
    raise an error                       try again, later and later (`workqueue.rate_limiters`)
    raise TerminalError                  trying again cannot help; look again when something changes

Waiting is a duration and failing is an exception; there is no third flag (controller-runtime deprecated its
`Requeue: true`).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from informers.errors import Conflict, KubeError, TransportError

R_contra = TypeVar("R_contra", bound=Hashable, contravariant=True)


class Request(NamedTuple):
    """Which object to reconcile: its identity, never its state. `namespace` is empty for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class ClusterRequest(NamedTuple):
    """As :class:`Request`, for an object in a member cluster."""

    cluster: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


@dataclass(frozen=True, slots=True)
class Result:
    """A reconcile that did not fail.

    Attributes:
        requeue_after: seconds after which to reconcile again even if nothing changes; None leaves it to changes.
    """

    requeue_after: float | None = None


class Reconciler(Protocol[R_contra]):
    """Makes the world fit one object.

    A controller never calls it twice at a time for one request, but with several workers for different requests at
    once: what it keeps must stand that. It runs on the event loop, so it must not block or compute for long.
    """

    async def reconcile(self, request: R_contra) -> Result | None:
        """Observe, plan, apply. The object may be gone. Must do nothing if all is as it should be.

        May be cancelled at any await when the process ends or a time limit is over; the next call, perhaps of another
        process, must be able to go on from there.

        Raises:
            TerminalError: only a change of the object can help.
            ReconcileError: an expected failure, to be retried.
            KubeError: the same, of a server or the network.
            Exception: anything else is a defect: logged with its traceback, and retried too.
        """
        ...


class ReconcileError(Exception):
    """An expected failure, with a message that says all: logged without traceback, and retried."""


class TerminalError(ReconcileError):
    """A failure that a retry cannot mend, only a change of the object."""


class ReconcileTimeout(ReconcileError):
    """A reconcile took longer than its controller allows."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How a controller classifies an error of a reconcile.

    Attributes:
        expected: the world is to blame, not the program: no traceback needed.
        terminal: not to be retried.
        away: a server could not be reached, and no more than that.
        conflict: another writer was faster, and no more than that: the next try is made of what that one wrote.
        retry_after: seconds that an API server asked to be left alone; 0 if none did.
        message: one line.
    """

    expected: bool
    terminal: bool
    conflict: bool
    away: bool
    retry_after: float
    message: str


def failure_of(error: BaseException) -> Failure:
    """Judge what a reconcile raised. A group (of concurrent writes) is as bad as its worst member."""
    leaves = leaf_errors(error)
    return Failure(
        expected=all(isinstance(leaf, (KubeError, ReconcileError)) for leaf in leaves),
        away=all(isinstance(leaf, TransportError) for leaf in leaves),
        conflict=all(isinstance(leaf, Conflict) for leaf in leaves),
        terminal=all(isinstance(leaf, TerminalError) for leaf in leaves),
        retry_after=max(getattr(leaf, "retry_after", None) or 0.0 for leaf in leaves),
        message="; ".join(f"{type(leaf).__name__}: {leaf}" for leaf in leaves),
    )


def leaf_errors(error: BaseException) -> list[BaseException]:
    """The errors in a group, groups in it included; or just the error itself."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for member in error.exceptions for leaf in leaf_errors(member)]
    return [error]
