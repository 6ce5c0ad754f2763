"""Carrying out planned writes: independent ones side by side, so that one that fails keeps no other back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from informers.errors import Conflict, KubeError, TransportError
from mcs_controller.domain.works import CreateWork, PatchWork, WorkWrite

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Iterator

    from informers.cached import CachedResource
    from mcs_controller.api.work import Work


T = TypeVar("T")


class WritesFailed(KubeError):
    """Some writes of a plan failed; the whole is tried again after a back-off."""

    retryable = True


class Failures:
    """What failed while a plan was applied."""

    def __init__(self) -> None:
        self._errors: list[tuple[str, KubeError]] = []

    def add(self, what: str, error: KubeError) -> None:
        """Note that `what` failed."""
        self._errors.append((what, error))

    @property
    def reportable(self) -> tuple[str, ...]:
        """Texts for people. A conflict is none: somebody else was faster, and the next try is due in milliseconds."""
        return tuple(sorted(f"{what}: {error}" for what, error in self._errors if not isinstance(error, Conflict)))

    @property
    def inconclusive(self) -> bool:
        """Whether the next try is what tells: all that failed were conflicts."""
        return bool(self._errors) and not self.reportable

    async def guard(self, what: str, write: Awaitable[T]) -> T | None:
        """The write's answer; None if it failed, which is noted. Only API errors are: anything else is raised."""
        try:
            return await write
        except KubeError as error:
            self.add(what, error)
            return None

    def raise_if_any(self) -> None:
        """Raise WritesFailed, naming everything that failed; or what it was, if all were conflicts or no answers."""
        errors = [error for _, error in self._errors]
        for kind in (Conflict, TransportError):
            if errors and all(isinstance(error, kind) for error in errors):
                raise errors[0]
        if errors:
            raise WritesFailed("; ".join(f"{what}: {error}" for what, error in self._errors))


async def apply_work(works: CachedResource[Work], write: WorkWrite) -> None:
    """Do one planned write. Raises what the API server says."""
    if isinstance(write, CreateWork):
        await works.create(write.body, write.namespace)
    elif isinstance(write, PatchWork):
        await works.patch(write.namespace, write.name, write.request)
    else:
        await works.delete(write.namespace, write.name, uid=write.uid, resource_version=write.resource_version)


def named(works: CachedResource[Work], writes: Iterable[WorkWrite]) -> Iterator[tuple[str, Awaitable[None]]]:
    """The writes, ready for `settle`, each under the name of its Work."""
    for write in writes:
        yield f"Work {write.namespace}/{write.name}", apply_work(works, write)


async def settle(writes: Iterable[tuple[str, Awaitable[object]]], failures: Failures) -> None:
    """Await all of them side by side; API errors are noted under the write's name, anything else ends them all."""
    async with asyncio.TaskGroup() as group:
        for what, write in writes:
            group.create_task(failures.guard(what, write))
