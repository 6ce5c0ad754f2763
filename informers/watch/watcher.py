"""Keeping up with one collection, as a state machine without I/O: what to ask the server next, what its answers mean.

                        page, more to come
                             ┌──────┐
                             ▼      │
    ┌────────┐  page      ┌─────────┴──┐  last page
    │  Must  ├───────────►│   Paging   ├───────────────┐
    │  list  │            └────────────┘               ▼
    │        │  event     ┌────────────┐  end     ┌──────────┐ ◄─┐ event, bookmark,
    │        ├───────────►│ Streaming  ├─────────►│ Watching │ ──┘ EOF, no answer
    └────────┘            └────────────┘ bookmark └────┬─────┘
         ▲    410, ERROR event, garbage               │ ▲
         ├─────────────────────────────────────────────┤ │ page, or no answer
         │  page of a server     ┌───────────┐ silence │ │
         └───────────────────────┤ VerifyingVersion │◄────────┘ │
              that went back     └─────┬─────┘           │
                                       └─────────────────┘

:meth:`Watcher.request` says what the present state asks for, :meth:`Watcher.step` takes in one thing that came back and
says what follows: the next state, a change for the cache, and whether to pause first. :mod:`.reflector` does
the asking and the pausing. Semantics: Kubernetes "API concepts", KEP-365 (pages), KEP-956 (bookmarks), KEP-3157
(streaming lists), KEP-5504 (resource versions grow) and client-go's reflector.go, with these differences: a list page
that fails is asked for again instead of the whole list; a failed start of a watch resumes where it was instead of
listing again; an object that is older than our position is taken for a repetition and dropped; and when a watch opens
and then says nothing at all, the server's resource version is compared with ours.

An idle watch has three causes. Nothing happened: an API server sends bookmarks only when its cache has moved on, which
for a kind that nobody writes is when etcd reports its progress, every ten minutes by default. The connection is dead:
then the next watch cannot be opened. Or the API server was restored from a backup, and is not at our position yet: it
opens a watch from there, and tells nothing until it has. Only a list shows that one, and the shortest will do.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

import msgspec

from informers.client.wire import (
    Identity,
    ListPage,
    Rejected,
    TooDeep,
    decode_bookmark,
    decode_event,
    decode_identity,
    reject,
)
from informers.errors import (
    UNDECODABLE,
    ApiError,
    BadRequest,
    CacheFull,
    DecodeError,
    Gone,
    Invalid,
    KubeError,
    ServerError,
    ServerRolledBack,
    TooManyRequests,
    TransportError,
    Unauthorized,
    WatchIdle,
    from_watch_status,
)
from informers.memory import footprint, held
from informers.meta import KubeObject, ObjectKey, key_of, parse_resource_version

if TYPE_CHECKING:
    from informers.memory import MemoryAccount
    from informers.resource import Resource

T = TypeVar("T", bound=KubeObject)

MAX_RESUME_FAILURES: Final = 5
"""After so many server errors in a row a watch is not resumed any more but listed anew: it may be this resource version
that the server fails over."""

MAX_IDLE_PAGES: Final = 20
"""So many pages in a row may be without a further object."""

REJECTED_BYTES: Final = 2048
"""What an object that cannot be read takes while its list comes in: mostly the text of the error."""


# --- what to ask the server -------------------------------------------------------------------------------------------


class ListRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Ask for a page. `limit` 0 means everything at once."""

    limit: int
    continue_token: str = ""


class WatchRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Open a watch after `resource_version`; with `send_initial_events`, a streaming list."""

    resource_version: str
    send_initial_events: bool = False


# --- what came back ---------------------------------------------------------------------------------------------------


class Page(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """The answer to a ListRequest."""

    page: ListPage[T]


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of a watch.

    Attributes:
        data: its bytes.
        was_cut: it is what is left of a line that was nested too deep.
    """

    data: bytes
    was_cut: bool = False


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The watch was open and is not any more; nothing it said is in doubt.

    Attributes:
        error: why, if not in good order.
        short: it was over so soon that asking again at once would be a tight loop.
    """

    error: KubeError | None = None
    short: bool = False


class Failed(msgspec.Struct, frozen=True, gc=False):
    """The request failed before it gave anything, or the stream gave something that cannot be a watch event."""

    error: KubeError


Input: TypeAlias = Page[T] | Line | Ended | Failed


# --- states -----------------------------------------------------------------------------------------------------------


class ListMode(Enum):
    """How to list."""

    STREAM = "streaming list"
    PAGES = "pages"
    WHOLE = "everything at once"
    """Only when a continue token has expired: it needs no token, and so it ends."""


class NeedsList(msgspec.Struct, frozen=True, gc=False):
    """There is nothing to resume from."""

    by: ListMode


class Listing(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """Some of the objects are here and wait for the others. Owned by the machine, which adds to it in place."""

    objects: dict[ObjectKey, T] = msgspec.field(default_factory=dict)
    rejected: list[Rejected] = msgspec.field(default_factory=list)


class Paging(msgspec.Struct, Generic[T], frozen=True, kw_only=True, gc=False):
    """In the middle of a list by pages. The last `idle` ones had no further object."""

    listing: Listing[T]
    continue_token: str
    idle: int = 0


class Streaming(msgspec.Struct, Generic[T], frozen=True, kw_only=True, gc=False):
    """In the middle of the initial events of a streaming list."""

    listing: Listing[T]


class Watching(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """In step with the server up to `resource_version`.

    Attributes:
        failures: server errors in a row when resuming.
        heard: the present watch has said something.
    """

    resource_version: str
    failures: int = 0
    heard: bool = False


class VerifyingVersion(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Not sure whether the server has got as far as `resource_version`, from which a watch opened and was silent."""

    resource_version: str


State: TypeAlias = NeedsList | Paging[T] | Streaming[T] | Watching | VerifyingVersion


# --- what follows -----------------------------------------------------------------------------------------------------


class Replaced(msgspec.Struct, Generic[T], frozen=True, kw_only=True, gc=False):
    """The whole collection as of `resource_version`. `keep`: objects it has that cannot be read."""

    objects: list[T]
    resource_version: str
    keep: frozenset[ObjectKey]


class Upsert(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """An object was added or modified."""

    object: T


class Deleted(msgspec.Struct, Generic[T], frozen=True, kw_only=True, gc=False):
    """An object was deleted, or left the selection. `final` is its last state, if it can be read."""

    identity: Identity
    final: T | None


class Undecodable(msgspec.Struct, frozen=True, gc=False):
    """An event about an object that cannot be read."""

    identity: Identity


class Bookmark(msgspec.Struct, frozen=True, gc=False):
    """Nothing new up to this resource version."""

    resource_version: str


Output: TypeAlias = Replaced[T] | Upsert[T] | Deleted[T] | Undecodable | Bookmark


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Wait before the next request: a back-off, and at least `seconds` if the server said so."""

    seconds: float = 0.0


class Step(msgspec.Struct, Generic[T], frozen=True, kw_only=True, gc=False):
    """What follows from one input.

    Attributes:
        output: the change for the cache, if any.
        again: the present request is over: make the one of the new state. Else the stream goes on.
        pause: wait before that.
        rejected: objects that cannot be decoded, to be reported.
        error: what went wrong with the request, to be reported; None also when a watch ended as watches do.
    """

    output: Output[T] | None = None
    again: bool = False
    pause: Pause | None = None
    rejected: tuple[Rejected, ...] = ()
    error: KubeError | None = None


class Watcher(Generic[T]):
    """The machine for one collection. Not thread-safe; :attr:`state` is for reading."""

    def __init__(
        self,
        resource: Resource[T],
        *,
        page_size: int = 500,
        streaming: bool = True,
        memory: MemoryAccount | None = None,
    ) -> None:
        """Begins with a list.

        Args:
            resource: what is watched; decodes the objects.
            page_size: objects on a page, when listing by pages.
            streaming: try streaming lists, until the server refuses one.
            memory: pays for the objects; None if the server is trusted to have no more than there is room for.
        """
        self._resource = resource
        self._page_size = page_size
        self._memory = memory
        self._preferred = ListMode.STREAM if streaming else ListMode.PAGES
        self.state: State[T] = NeedsList(self._preferred)

    @property
    def initial_objects(self) -> int | None:
        """How many objects a streaming list has told of, as long as it is not over; None in any other state."""
        return len(self.state.listing.objects) if isinstance(self.state, Streaming) else None

    @property
    def position(self) -> str:
        """The resource version up to which the server has told everything, while watching; empty in other states."""
        return self.state.resource_version if isinstance(self.state, Watching) else ""

    def request(self) -> ListRequest | WatchRequest:
        """What to ask the server in the present state.

        If the answer to an earlier request is not over, because the informer was stopped in the middle of it, that one
        counts for nothing any more.
        """
        if isinstance(self.state, Streaming):
            # Or what is gone by now would come into the new list from the old one.
            self.state = NeedsList(ListMode.STREAM)
        match self.state:
            case NeedsList(ListMode.STREAM):
                return WatchRequest(resource_version="", send_initial_events=True)
            case NeedsList(ListMode.PAGES):
                return ListRequest(limit=self._page_size)
            case NeedsList():
                return ListRequest(limit=0)
            case Paging(continue_token=token):
                return ListRequest(limit=self._page_size, continue_token=token)
            case Watching(resource_version=version, failures=failures):
                self.state = Watching(resource_version=version, failures=failures)  # the new watch has said nothing yet
                return WatchRequest(resource_version=version)
            case VerifyingVersion():
                return ListRequest(limit=1)

    def reset(self) -> None:
        """Forget everything: what follows is a new list."""
        self.state = NeedsList(self._preferred)

    def step(self, received: Input[T]) -> Step[T]:
        """Take in what came back for the present request.

        Raises:
            CacheFull: there is no room for it; call :meth:`reset`.
            TooDeep: it is as if this had not been called; cut the line, and call it again.
        """
        match received:
            case Line(data, was_cut):
                return self._line(data, was_cut=was_cut)
            case Page(page):
                return self._page(page)
            case Ended(error, short):
                return self._ended(error, short=short)
            case Failed(error):
                return self._failed(error)

    def _page(self, page: ListPage[T]) -> Step[T]:
        if isinstance(self.state, VerifyingVersion):
            return self._compared(self.state.resource_version, page.resource_version)
        if not page.resource_version:
            return self._failed(DecodeError(f"list of {self._resource}: no resourceVersion, so it cannot be watched"))
        listing: Listing[T] = self.state.listing if isinstance(self.state, Paging) else self._new_listing()
        before = len(listing.objects)
        listing.objects.update((key_of(obj), obj) for obj in page.items)
        if self._memory is not None:
            for obj, size in zip(page.items, page.sizes, strict=True):
                self._memory.keep(key_of(obj), footprint(obj.metadata, size), listing=True)
        for rejected in page.rejected:
            self._reject(listing, rejected)
        if page.continue_token:
            idle = self.state.idle + 1 if isinstance(self.state, Paging) and len(listing.objects) == before else 0
            if idle > MAX_IDLE_PAGES:
                return self._start_over(self._preferred, DecodeError(f"list of {self._resource}: pages without an end"))
            self.state = Paging(listing=listing, continue_token=page.continue_token, idle=idle)
            return Step(again=True)
        return self._listed(listing, page.resource_version, again=True)

    def _compared(self, ours: str, theirs: str) -> Step[T]:
        if _is_reached(ours, by=theirs):
            self.state = Watching(resource_version=ours)
            return Step(again=True)
        return self._start_over(
            self._preferred, ServerRolledBack(f"{self._resource} went back from version {ours} to {theirs or 'none'}")
        )

    def _line(self, data: bytes, *, was_cut: bool) -> Step[T]:
        try:
            kind, raw = decode_event(data)
            if was_cut:
                return self._too_deep(kind, raw)
            if kind == "BOOKMARK":
                return self._bookmark(*decode_bookmark(raw))
        except TooDeep:
            raise
        except DecodeError as error:
            return self._failed(error)
        if kind == "ERROR":
            return self._error_event(from_watch_status(bytes(raw)))
        if kind in ("ADDED", "MODIFIED"):
            with held() as charge:
                size = 0
                if self._memory is not None:
                    size = self._resource.size(bytes(raw))
                    charge(size)
                try:
                    obj = self._resource.decode(raw)
                except UNDECODABLE as error:
                    return self._undecodable(reject(self._resource, raw, error), decode_identity(raw))
            return self._changed(obj, size)
        if kind == "DELETED":
            return self._deleted(raw)
        unknown = DecodeError(f"watch event of unknown type {kind[:64]!r}")
        return self._undecodable(reject(self._resource, raw, unknown), None)

    def _changed(self, obj: T, size: int) -> Step[T]:
        watching = isinstance(self.state, Watching)
        if watching and not self._reached(obj.metadata.resource_version):
            return Step()
        listing = None if watching else self._initial_events()
        if self._memory is not None:
            self._memory.keep(key_of(obj), footprint(obj.metadata, size), listing=not watching)
        if listing is None:
            return Step(output=Upsert(obj))
        listing.objects[key_of(obj)] = obj
        return Step()

    def _deleted(self, raw: msgspec.Raw) -> Step[T]:
        identity = decode_identity(raw)
        if identity is None:
            return self._undecodable(reject(self._resource, raw, DecodeError("DELETED event")), None)
        try:
            final = self._resource.decode(raw)
        except UNDECODABLE:
            final = None  # gone is gone; the cache knows what it had
        return self._gone(identity, final)

    def _gone(self, identity: Identity, final: T | None) -> Step[T]:
        if not isinstance(self.state, Watching):
            listing = self._initial_events()
            listing.objects.pop(identity.key, None)
            listing.rejected[:] = [other for other in listing.rejected if other.key != identity.key]
            if self._memory is not None:
                self._memory.drop(identity.key, listing=True)
            return Step()
        self._reached(identity.resource_version)
        if self._memory is not None:
            self._memory.drop(identity.key, listing=False)
        return Step(output=Deleted(identity=identity, final=final))

    def _too_deep(self, kind: str, raw: msgspec.Raw) -> Step[T]:
        identity = decode_identity(raw)
        if identity is None or kind not in ("ADDED", "MODIFIED", "DELETED"):
            return self._failed(TooDeep())
        if kind == "DELETED":
            return self._gone(identity, None)
        return self._undecodable(reject(self._resource, raw, TooDeep()), identity)

    def _undecodable(self, rejected: Rejected, identity: Identity | None) -> Step[T]:
        """Skip one object. What the cache has of it goes out of date until a later event of it can be read."""
        if not isinstance(self.state, Watching):
            self._reject(self._initial_events(), rejected)
            return Step()
        if identity is None:
            return Step(rejected=(rejected,))
        self._reached(identity.resource_version)
        return Step(output=Undecodable(identity), rejected=(rejected,))

    def _bookmark(self, resource_version: str, end_of_initial_events: bool) -> Step[T]:
        if isinstance(self.state, Watching):
            self._reached(resource_version)
            return Step(output=Bookmark(resource_version))
        if not end_of_initial_events:
            return Step()
        if not resource_version:
            return self._failed(DecodeError(f"list of {self._resource}: no resourceVersion, so it cannot be watched"))
        return self._listed(self._initial_events(), resource_version, again=False)

    def _error_event(self, error: KubeError) -> Step[T]:
        """The server ends the watch and says why. Whatever it says but "too busy", its position in the log is lost."""
        if isinstance(error, TooManyRequests) and isinstance(self.state, Watching):
            return Step(again=True, pause=_pause(error), error=error)
        return self._start_over(self._preferred, error)

    def _ended(self, error: KubeError | None, *, short: bool) -> Step[T]:
        if isinstance(self.state, Watching):
            version, heard = self.state.resource_version, self.state.heard
            if isinstance(error, WatchIdle):  # no trouble as yet: if it is one, the next request will show it
                self.state = Watching(resource_version=version) if heard else VerifyingVersion(resource_version=version)
                return Step(again=True)
            self.state = Watching(resource_version=version)
            return Step(again=True, pause=Pause() if short else None, error=error)
        # A server that ignores sendInitialEvents looks like this too: so by pages this time, which every server knows.
        early = error if error is not None else TransportError("streaming list ended before its initial events did")
        return self._start_over(ListMode.PAGES, early)

    def _failed(self, error: KubeError) -> Step[T]:
        match self.state, error:
            case NeedsList(ListMode.STREAM), BadRequest() | Invalid():
                self._preferred = ListMode.PAGES  # a server without streaming lists
                self.state = NeedsList(ListMode.PAGES)
                return Step(again=True)
            case Paging(), Gone():
                self.state = NeedsList(ListMode.WHOLE)
                return Step(again=True, error=error)
            case ((NeedsList(ListMode.STREAM) | Streaming()), DecodeError()):
                return self._start_over(ListMode.PAGES, error)
            case VerifyingVersion(resource_version=version), _:
                self.state = Watching(resource_version=version)  # there will be another silence to ask at
                return Step(again=True, pause=_pause(error), error=error)
            case NeedsList(ListMode.STREAM | ListMode.PAGES), _:
                return Step(again=True, pause=_pause(error), error=error)
            case ((Paging() | Watching()), TooManyRequests() | TransportError() | Unauthorized()):
                return Step(again=True, pause=_pause(error), error=error)
            case Paging(), ServerError():
                return Step(again=True, pause=_pause(error), error=error)
            case Watching(resource_version=version, failures=failures), ServerError() if failures < MAX_RESUME_FAILURES:
                self.state = Watching(resource_version=version, failures=failures + 1)
                return Step(again=True, pause=_pause(error), error=error)
            case _:
                return self._start_over(self._preferred, error)

    def _start_over(self, by: ListMode, error: KubeError) -> Step[T]:
        self.state = NeedsList(by)
        return Step(again=True, pause=_pause(error), error=error)

    def _new_listing(self) -> Listing[T]:
        if self._memory is not None:
            self._memory.begin_list()
        return Listing()

    def _reject(self, listing: Listing[T], rejected: Rejected) -> None:
        if self._memory is not None:
            key = rejected.key if rejected.key is not None else ObjectKey("", f"#{len(listing.rejected)}")
            self._memory.keep(key, REJECTED_BYTES, listing=True)
        listing.rejected.append(rejected)

    def _listed(self, listing: Listing[T], resource_version: str, *, again: bool) -> Step[T]:
        if self._memory is not None:
            self._memory.end_list()
        self.state = Watching(resource_version=resource_version, heard=not again)
        keep = frozenset(rejected.key for rejected in listing.rejected if rejected.key is not None)
        output = Replaced(
            objects=list(listing.objects.values()),
            resource_version=resource_version,
            keep=keep - listing.objects.keys(),  # those a later event could be read of
        )
        return Step(output=output, again=again, rejected=tuple(listing.rejected))

    def _initial_events(self) -> Listing[T]:
        if isinstance(self.state, Streaming):
            return self.state.listing
        listing: Listing[T] = self._new_listing()
        self.state = Streaming(listing=listing)
        return listing

    def _reached(self, resource_version: str) -> bool:
        """Move our position on, never back. Returns whether this is news."""
        assert isinstance(self.state, Watching)
        position, version = self.state.resource_version, parse_resource_version(resource_version)
        before = None if version is None else parse_resource_version(position)
        news = version is None or before is None or version > before
        self.state = Watching(resource_version=resource_version if news and resource_version else position, heard=True)
        return news


def _is_reached(version: str, *, by: str) -> bool:
    ours, theirs = parse_resource_version(version), parse_resource_version(by)
    return version == by if ours is None or theirs is None else ours <= theirs


def _pause(error: KubeError) -> Pause:
    retry_after = error.retry_after if isinstance(error, ApiError | CacheFull) else None
    return Pause(retry_after or 0.0)
