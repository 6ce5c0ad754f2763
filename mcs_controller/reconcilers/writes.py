"""Carrying out planned writes: independent ones side by side, so that one that fails keeps no other back."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Generic, TypeVar

from informers.errors import Conflict, KubeError, NotFound, TransportError
from informers.meta import KubeObject
from mcs_controller.domain.works import CreateWork, PatchWork, WorkWrite, predict_result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Iterator

    from informers.cache.cached_client import CachedClient
    from informers.cache.store import Store
    from mcs_controller.api.common import JsonObject
    from mcs_controller.api.work import Work
    from mcs_controller.reconcilers.member_works import MemberWorks

_log = logging.getLogger(__name__)

T = TypeVar("T")
K = TypeVar("K", bound=KubeObject)


class NameReservations(Generic[K]):
    """A store with name reservations: a name that one concurrent writer has chosen is taken for the others.

    Different slices may ask for one name. As long as the first object is on its way to the server no cache holds it,
    and the second would be refused. Shared by all who create such objects. Not thread-safe.
    """

    def __init__(self, objects: CachedClient[K]) -> None:
        self._objects = objects
        self._on_the_way: dict[tuple[str, str], K] = {}

    def get(self, namespace: str, name: str) -> K | None:
        """The cached object, or the one that is being created, or None."""
        return self._objects.get(namespace, name) or self._on_the_way.get((namespace, name))

    def create(self, namespace: str, body: JsonObject, foreseen: K) -> Awaitable[None]:
        """A create, to be awaited; its name is taken from now on. Raises what the API server says.

        Args:
            namespace: where.
            body: what is sent.
            foreseen: what it will be.
        """
        place = (namespace, str(body["metadata"]["name"]))
        self._on_the_way[place] = foreseen
        return self._create(place, body)

    async def _create(self, place: tuple[str, str], body: JsonObject) -> None:
        try:
            await self._objects.create(body, place[0])
        finally:
            self._on_the_way.pop(place, None)


class ReservedWorks:
    """The Works of slices with name reservations, for all controllers that create some."""

    def __init__(self, works: CachedClient[Work], usage: MemberWorks) -> None:
        """`usage` is of these Works; those that are on their way are counted, too."""
        self._works = works
        self.usage = usage
        self._creating = NameReservations(works)

    @property
    def store(self) -> Store[Work]:
        """What the cache holds."""
        return self._works.store

    def get(self, namespace: str, name: str) -> Work | None:
        """The cached Work, or the one that is being created, or None."""
        return self._creating.get(namespace, name)

    def apply(self, write: WorkWrite) -> Awaitable[None]:
        """One planned write, to be awaited; a name is taken from now on. Raises what the API server says."""
        if isinstance(write, CreateWork):
            foreseen = predict_result(write, None)
            return self.usage.reserve(foreseen, self._creating.create(write.namespace, write.body, foreseen))
        return apply_work(self._works, write)


class AggregateError(KubeError):
    """Some writes of a plan failed; the whole is tried again after a back-off."""

    retryable = True


class UnexpectedError(KubeError):
    """An error of a write that is no API error: a defect of ours."""

    retryable = True


def unexpected(what: str, error: Exception) -> UnexpectedError:
    """Log an unexpected error, and make it a failure of `what` alone."""
    _log.error("Failed unexpectedly", extra={"write": what}, exc_info=error)
    return UnexpectedError(f"{type(error).__name__}: {error}")


class Failures:
    """The failed writes of a plan."""

    def __init__(self, *errors: tuple[str, KubeError]) -> None:
        self._errors = list(errors)

    def __iter__(self) -> Iterator[tuple[str, KubeError]]:
        return iter(self._errors)

    def __bool__(self) -> bool:
        return bool(self._errors)

    def add(self, what: str, error: KubeError) -> None:
        """Note that `what` failed."""
        self._errors.append((what, error))

    @property
    def reportable(self) -> tuple[str, ...]:
        """Texts for people. A conflict is none: somebody else was faster, and the next try is due in milliseconds."""
        return tuple(sorted(f"{what}: {error}" for what, error in self._errors if not isinstance(error, Conflict)))

    @property
    def only_conflicts(self) -> bool:
        """Whether the next try is what tells: all that failed were conflicts."""
        return bool(self._errors) and not self.reportable

    async def guard(self, what: str, write: Awaitable[T]) -> T | None:
        """The write's answer; None if it failed, which is noted, whatever it raised: the other writes go on."""
        try:
            return await write
        except KubeError as error:
            self.add(what, error)
        except Exception as error:  # what one member makes us raise is no affair of the others
            self.add(what, unexpected(what, error))
        return None

    def raise_if_any(self) -> None:
        """Raise AggregateError, naming everything that failed; or what it was, if all were conflicts or no answers."""
        errors = [error for _, error in self._errors]
        for kind in (Conflict, TransportError):
            if errors and all(isinstance(error, kind) for error in errors):
                raise errors[0]
        if errors:
            raise AggregateError("; ".join(f"{what}: {error}" for what, error in self._errors))


async def apply_work(works: CachedClient[Work], write: WorkWrite) -> None:
    """Do one planned write. Raises what the API server says."""
    if isinstance(write, CreateWork):
        await works.create(write.body, write.namespace)
    elif isinstance(write, PatchWork):
        await works.patch(write.namespace, write.name, write.request)
    else:
        version = write.resource_version
        if write.emptying is not None:
            version = (await works.patch(write.namespace, write.name, write.emptying)).metadata.resource_version
        if not write.terminating:
            await works.delete(write.namespace, write.name, uid=write.uid, resource_version=version)


def label_writes(works: CachedClient[Work], writes: Iterable[WorkWrite]) -> Iterator[tuple[str, Awaitable[None]]]:
    """The writes, ready for `gather_writes`, each under the name of its Work."""
    for write in writes:
        yield f"Work {write.namespace}/{write.name}", apply_work(works, write)


async def ignore_not_found(write: Awaitable[T]) -> T | None:
    """Await a write that undoes something; None if the object is gone, and what was to be undone with it."""
    try:
        return await write
    except NotFound:
        return None


async def gather_writes(writes: Iterable[tuple[str, Awaitable[object]]], failures: Failures) -> None:
    """Await all of them side by side; errors are noted under the write's name."""
    async with asyncio.TaskGroup() as group:
        for what, write in writes:
            group.create_task(failures.guard(what, write))
