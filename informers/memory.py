"""How much memory the caches of many servers may take together, and which of them gives way when that is used up.

A collection is as large as the server that has it likes. Informers of servers that are not trusted account for what
they keep, and for what they read, to a :class:`MemoryBudget`. It is shared max-min: when it is used up, whoever uses
most gives way, so one that uses no more than an equal share never has to, and one that is alone may use all of it.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from informers.errors import CacheFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from informers.meta import ObjectKey, ObjectMeta

RETRY_SECONDS: Final = 60.0
"""After giving way, until the collection is listed again."""

_OBJECT_BYTES: Final = 1536
"""Of an object's own fields, its key, its place in the store and in indexes, and in the queues of its controllers."""

_ENTRY_BYTES: Final = 160
"""Of a label, an annotation or a finalizer beside its text."""

_OWNER_BYTES: Final = 512
_VALUE_BYTES: Final = {b"{": 184, b"[": 64, b",": 72}
"""Of a value that is kept as a Python object, by what JSON has of it: dicts with a key, lists, further values."""


class MemoryBudget:
    """Bytes that the caches of a process may take together. Belongs to one event loop.

    What objects take is estimated from their JSON, rather too high than too low: see :func:`footprint`.

    Attributes:
        used: bytes, by that estimate.
        evictions: how often an account had to give way.
    """

    def __init__(self, total: int, *, max_bytes: int = 0, max_objects: int = 0) -> None:
        """An empty budget.

        Args:
            total: bytes of all accounts together.
            max_bytes: of one account, whatever is left; 0 means no such limit.
            max_objects: the same for the objects that it keeps.
        """
        self.total = total
        self.max_bytes = max_bytes
        self.max_objects = max_objects
        self.used = 0
        self.evictions = 0
        self._accounts: dict[MemoryAccount, None] = {}

    def account(self, on_evicted: Callable[[], None]) -> MemoryAccount:
        """For one more collection. It counts from its first charge until it is closed.

        Args:
            on_evicted: drops all that the informer keeps, at once; must not raise. Called when the account has to give
                way, whether it is itself that needs the room (then CacheFull is raised after it) or another one.
        """
        return MemoryAccount(self, on_evicted)

    def _charge(self, account: MemoryAccount, size: int) -> None:
        self._accounts[account] = None
        account.used += size
        self.used += size
        if self.max_bytes and account.used > self.max_bytes:
            raise account._evicted(f"one kind in one cluster may take {self.max_bytes} bytes")
        while self.used > self.total:
            largest = max(self._accounts, key=lambda one: one.used)
            full = largest._evicted(f"all caches together may take {self.total} bytes, and no other one takes more")
            if largest is account:
                raise full


class MemoryAccount:
    """The memory account of one informer: what it stores and what it is reading.

    Attributes:
        used: bytes.
        exceeded: why this had to give way, until the informer begins anew.
    """

    def __init__(self, budget: MemoryBudget, on_evicted: Callable[[], None]) -> None:
        self.used = 0
        self.exceeded: CacheFull | None = None
        self._budget = budget
        self._on_evicted = on_evicted
        self._kept: dict[ObjectKey, int] = {}
        self._listed: dict[ObjectKey, int] = {}
        self._times = 0

    def charge(self, size: int) -> None:
        """Count bytes that are needed now.

        Raises:
            CacheFull: there is no room for them, so all that was kept is dropped.
        """
        self._budget._charge(self, size)

    def release(self, size: int) -> None:
        """Count them no more."""
        self.used -= size
        self._budget.used -= size

    @contextmanager
    def held(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that charges bytes, and raises CacheFull; release all of them at the end."""
        times, sizes = self._times, 0

        def charge(size: int) -> None:
            nonlocal sizes
            if times == self._times:  # else it had to give way, and will be told at the next line
                self.charge(size)
                sizes += size

        try:
            yield charge
        finally:
            if times == self._times:  # else nothing of it is counted any more
                self.release(sizes)

    def keep(self, key: ObjectKey, size: int, *, listing: bool) -> None:
        """An object is kept, in the store or in the list under way, in place of an earlier state of it.

        Raises:
            CacheFull: there is no room for it.
        """
        objects = self._listed if listing else self._kept
        if self._budget.max_objects and len(objects) >= self._budget.max_objects and key not in objects:
            raise self._evicted(f"one kind in one cluster may have {self._budget.max_objects} objects")
        self.charge(size)
        self.release(objects.get(key, 0))
        objects[key] = size

    def drop(self, key: ObjectKey, *, listing: bool) -> None:
        """An object is kept no more."""
        self.release((self._listed if listing else self._kept).pop(key, 0))

    def begin_list(self) -> None:
        """A list is begun, or begun again."""
        self.release(sum(self._listed.values()))
        self._listed = {}

    def end_list(self) -> None:
        """The list is what the store holds from now on."""
        self.release(sum(self._kept.values()))
        self._kept, self._listed = self._listed, {}

    def close(self) -> None:
        """Nothing of this is kept any more."""
        self._times += 1
        self._budget._accounts.pop(self, None)
        self.release(self.used)
        self._kept, self._listed = {}, {}

    def _evicted(self, limit: str) -> CacheFull:
        self.exceeded = CacheFull(f"there is no room for its objects: {limit}", RETRY_SECONDS)
        self._budget.evictions += 1
        self._on_evicted()
        self.close()
        return self.exceeded


READER: ContextVar[MemoryAccount | None] = ContextVar("reader", default=None)
"""Whose account pays for the answer that is being read. Each informer sets it in its own task."""


@contextmanager
def held() -> Iterator[Callable[[int], None]]:
    """:meth:`MemoryAccount.held` of the present reader. Where nobody accounts for what is read, it costs nothing."""
    reader = READER.get()
    if reader is None:
        yield lambda _: None
    else:
        with reader.held() as charge:
            yield charge


def footprint(metadata: ObjectMeta, size: int) -> int:
    """Bytes that a decoded object takes, at most: `size` for the rest of it, see :attr:`Resource.size`."""
    entries = len(metadata.labels) + len(metadata.annotations) + len(metadata.finalizers)
    return _OBJECT_BYTES + size + _ENTRY_BYTES * entries + _OWNER_BYTES * len(metadata.owner_references)


def text_size(raw: bytes) -> int:
    """Bytes that JSON takes as text: a string with one character beyond Latin-1 takes four bytes for each of them."""
    return len(raw) if raw.isascii() and b"\\u" not in raw else 4 * len(raw)


def parsed_size(raw: bytes) -> int:
    """Bytes that JSON takes as Python objects, at most, if its metadata is kept once more as text."""
    return 2 * text_size(raw) + sum(raw.count(sign) * size for sign, size in _VALUE_BYTES.items())
