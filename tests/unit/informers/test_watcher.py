"""Every answer a server can give, in every state, one row each."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers.client.nesting import cut
from informers.client.wire import ListPage, Rejected, TooDeep
from informers.errors import (
    BadRequest,
    DecodeError,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    ServerError,
    ServerRolledBack,
    TooManyRequests,
    TransportError,
    Unauthorized,
    WatchIdle,
)
from informers.meta import ObjectKey
from informers.watch.watcher import (
    MAX_RESUME_FAILURES,
    Bookmark,
    Deleted,
    Ended,
    Failed,
    Input,
    Line,
    ListMode,
    ListRequest,
    NeedsList,
    Page,
    Replaced,
    Step,
    Undecodable,
    Upsert,
    Watcher,
    Watching,
    WatchRequest,
)
from tests.support.objects import CONFIG_MAPS, ConfigMap, bookmark_line, config_map, event_line, key, manifest, status

STREAM = WatchRequest(resource_version="", send_initial_events=True)
PAGES = ListRequest(limit=2)
WHOLE = ListRequest(limit=0)

UNREACHABLE = TransportError("connection refused")
GONE = Gone(410, "Expired")
BUSY = TooManyRequests(429, "TooManyRequests", "slow down", retry_after=7.0)
BROKEN = ServerError(500, "InternalError")
UNAVAILABLE = ServerError(503, "ServiceUnavailable", retry_after=3.0)
REFUSED = Unauthorized(401, "Unauthorized")


def watch(version: int | str) -> WatchRequest:
    return WatchRequest(resource_version=str(version))


def added(name: str, version: int | str) -> Line:
    return Line(event_line("ADDED", manifest(name, version)))


def page(
    *objects: ConfigMap, version: str = "10", token: str = "", rejected: Sequence[Rejected] = ()
) -> Page[ConfigMap]:
    return Page(ListPage(items=list(objects), resource_version=version, continue_token=token, rejected=list(rejected)))


END = Line(bookmark_line(10, initial_events_end=True))
SYNCED: tuple[Input[ConfigMap], ...] = (added("a", 5), END)
A, B = config_map("a", 5), config_map("b", 6)
KEYS = st.sampled_from(
    ["metadata", "name", "namespace", "uid", "resourceVersion", "annotations", "labels", "code", "details"]
)
THROTTLED = Line(event_line("ERROR", status(429, "TooManyRequests")))
EXPIRED = Line(event_line("ERROR", status(410, "Expired")))
INTERNAL = Line(event_line("ERROR", status(500, "InternalError")))
DEEP = b"[" * 5000 + b"]" * 5000
BAD = manifest("bad", 11) | {"data": 7}


def cut_line(data: bytes) -> Line:
    """What is left of a line that is nested too deep."""
    return Line(asyncio.run(cut(data)), was_cut=True)


def deep(kind: str) -> Line:
    """An event about an object `bad` at 11 that the server can store and we cannot read."""
    return cut_line(event_line(kind, manifest("bad", 11) | {"spec": "x"}).replace(b'"x"', DEEP))


def content(output: Any) -> Any:
    """An output, in short."""
    match output:
        case Upsert(obj):
            return "put", obj.metadata.name, obj.metadata.resource_version
        case Deleted(identity=identity, final=final):
            return "removed", identity.name, identity.resource_version, final is not None
        case Undecodable(identity):
            return "skipped", identity.name, identity.resource_version
        case Bookmark(version):
            return "advanced", version
        case Replaced(objects=objects, resource_version=version, keep=keep):
            return "replaced", [obj.metadata.name for obj in objects], version, sorted(keep)
    return None


@dataclass
class Row:
    """In the state after `given`, when `received` comes: what follows, and what is asked next."""

    id: str
    given: Sequence[Input[ConfigMap]]
    received: Input[ConfigMap]
    output: Any = None
    request: ListRequest | WatchRequest | None = None
    pause: float | None = None
    rejected: int = 0
    error: type[Exception] | None = None
    streaming: bool = True


def watching(id: str, received: Input[ConfigMap], **expected: Any) -> Row:
    return Row(f"watching: {id}", SYNCED, received, **expected)


def streaming(id: str, received: Input[ConfigMap], **expected: Any) -> Row:
    return Row(f"streaming list: {id}", (added("a", 5),), received, **expected)


def starting(id: str, received: Input[ConfigMap], **expected: Any) -> Row:
    return Row(f"start: {id}", (), received, **expected)


def paging(id: str, received: Input[ConfigMap], **expected: Any) -> Row:
    return Row(f"second page: {id}", (page(A, token="t"),), received, streaming=False, **expected)


def comparing(id: str, received: Input[ConfigMap], **expected: Any) -> Row:
    return Row(f"silent watch: server is {id}", (*SYNCED, Ended(), Ended(WatchIdle("idle"))), received, **expected)


REST = ListRequest(limit=2, continue_token="t")
ONE = ListRequest(limit=1)

ROWS = [
    # The request is over and the next one is `request`; without one, the stream goes on.
    starting("first initial event", added("a", 5)),
    starting("empty collection", END, output=("replaced", [], "10", [])),
    starting("no streaming lists, 422", Failed(Invalid(422)), request=PAGES),
    starting("no streaming lists, 400", Failed(BadRequest(400)), request=PAGES),
    starting("unreachable", Failed(UNREACHABLE), request=STREAM, pause=0, error=TransportError),
    starting("401", Failed(REFUSED), request=STREAM, pause=0, error=Unauthorized),
    starting("403", Failed(Forbidden(403)), request=STREAM, pause=0, error=Forbidden),
    starting("404, no such kind", Failed(NotFound(404)), request=STREAM, pause=0, error=NotFound),
    starting("429 with Retry-After", Failed(BUSY), request=STREAM, pause=7, error=TooManyRequests),
    starting("500", Failed(BROKEN), request=STREAM, pause=0, error=ServerError),
    starting("oversized event", Failed(DecodeError("long")), request=PAGES, pause=0, error=DecodeError),
    starting("closed before the first event", Ended(), request=PAGES, pause=0, error=TransportError),
    starting("server ignores sendInitialEvents", Ended(UNREACHABLE), request=PAGES, pause=0, error=TransportError),
    streaming("more initial events", added("b", 6)),
    streaming("object changes meanwhile", Line(event_line("MODIFIED", manifest("a", 7)))),
    streaming("object goes meanwhile", Line(event_line("DELETED", manifest("a", 7)))),
    streaming("bookmark that is not the end", Line(bookmark_line(7))),
    streaming("end", END, output=("replaced", ["a"], "10", [])),
    streaming("undecodable object", Line(event_line("ADDED", BAD))),
    streaming("end without a version", Line(bookmark_line("", initial_events_end=True)),
              request=PAGES, pause=0, error=DecodeError),
    streaming("EOF", Ended(), request=PAGES, pause=0, error=TransportError),
    streaming("connection lost", Ended(UNREACHABLE), request=PAGES, pause=0, error=TransportError),
    streaming("garbage", Line(b"<html>"), request=PAGES, pause=0, error=DecodeError),
    streaming("410 ERROR event", EXPIRED, request=STREAM, pause=0, error=Gone),
    streaming("429 ERROR event", THROTTLED, request=STREAM, pause=0, error=TooManyRequests),
    watching("added", added("b", 11), output=("put", "b", "11")),
    watching("modified", Line(event_line("MODIFIED", manifest("a", 11))), output=("put", "a", "11")),
    watching("deleted", Line(event_line("DELETED", manifest("a", 11))), output=("removed", "a", "11", True)),
    watching("deleted and undecodable", Line(event_line("DELETED", BAD)), output=("removed", "bad", "11", False)),
    watching("bookmark", Line(bookmark_line(12)), output=("advanced", "12")),
    watching("undecodable object", Line(event_line("MODIFIED", BAD)), output=("skipped", "bad", "11"), rejected=1),
    watching("unreadable metadata", Line(event_line("ADDED", {"metadata": {"name": 1}})), rejected=1),
    watching("unreadable deletion", Line(event_line("DELETED", {"metadata": 1})), rejected=1),
    watching("unknown event type", Line(event_line("RENAMED", manifest("a", 11))), rejected=1),
    watching("EOF in good order", Ended(), request=watch(10)),
    watching("EOF at once", Ended(short=True), request=watch(10), pause=0),
    watching("EOF mid-line, or a reset connection", Ended(UNREACHABLE), request=watch(10), error=TransportError),
    watching("silent", Ended(WatchIdle("idle")), request=watch(10)),
    Row("resumed: silent from its opening on", (*SYNCED, Ended()), Ended(WatchIdle("idle")), request=ONE),
    Row("resumed: silent after an event", (*SYNCED, Ended(), added("b", 11)), Ended(WatchIdle("idle")),
        request=watch(11)),
    Row("resumed: silent after a bookmark", (*SYNCED, Ended(), Line(bookmark_line(10))), Ended(WatchIdle("idle")),
        request=watch(10)),
    Row("pages: silent from its opening on", (page(A),), Ended(WatchIdle("idle")), request=ONE, streaming=False),
    comparing("as far as we are", page(A, version="10", token="t"), request=watch(10)),
    comparing("further", page(version="11"), request=watch(10)),
    comparing("not as far", page(version="9"), request=STREAM, pause=0, error=ServerRolledBack),
    comparing("no version", page(version=""), request=STREAM, pause=0, error=ServerRolledBack),
    comparing("unreachable", Failed(UNREACHABLE), request=watch(10), pause=0, error=TransportError),
    comparing("429 with Retry-After", Failed(BUSY), request=watch(10), pause=7, error=TooManyRequests),
    comparing("403", Failed(Forbidden(403)), request=watch(10), pause=0, error=Forbidden),
    comparing("garbage", Failed(DecodeError("html")), request=watch(10), pause=0, error=DecodeError),
    watching("repeated event", added("a", 5)),
    watching("repeated event of our position", added("a", 10)),
    watching("object without a version", added("a", ""), output=("put", "a", "")),
    watching("deletion that kept the object's last version", Line(event_line("DELETED", manifest("a", 5))),
             output=("removed", "a", "5", True)),
    watching("nested too deep, not even an object", cut_line(b'{"type":"ADDED","object":' + DEEP + b"}"),
             request=STREAM, pause=0, error=TooDeep),
    watching("nested too deep", deep("MODIFIED"), output=("skipped", "bad", "11"), rejected=1),
    watching("deleted and nested too deep", deep("DELETED"), output=("removed", "bad", "11", False)),
    watching("nested too deep, unknown event type", deep("RENAMED"), request=STREAM, pause=0, error=TooDeep),
    streaming("nested too deep", deep("ADDED")),
    watching("senseless Retry-After", Line(event_line("ERROR", status(429, "X") | {"details": {
        "retryAfterSeconds": 10**400}})), request=watch(10), pause=300, error=TooManyRequests),
    watching("garbage", Line(b'{"type":"ADD'), request=STREAM, pause=0, error=DecodeError),
    watching("garbage bookmark", Line(event_line("BOOKMARK", {})), request=STREAM, pause=0, error=DecodeError),
    watching("oversized event", Failed(DecodeError("long")), request=STREAM, pause=0, error=DecodeError),
    watching("410 ERROR event", EXPIRED, request=STREAM, pause=0, error=Gone),
    watching("500 ERROR event", INTERNAL, request=STREAM, pause=0, error=ServerError),
    watching("senseless ERROR event", Line(event_line("ERROR", [])), request=STREAM, pause=0, error=ServerError),
    watching("429 ERROR event", THROTTLED, request=watch(10), pause=0, error=TooManyRequests),
    watching("410 on resume", Failed(GONE), request=STREAM, pause=0, error=Gone),
    watching("429 on resume", Failed(BUSY), request=watch(10), pause=7, error=TooManyRequests),
    watching("401 on resume", Failed(REFUSED), request=watch(10), pause=0, error=Unauthorized),
    watching("503 with Retry-After on resume", Failed(UNAVAILABLE), request=watch(10), pause=3, error=ServerError),
    watching("unreachable on resume", Failed(UNREACHABLE), request=watch(10), pause=0, error=TransportError),
    watching("400 on resume", Failed(BadRequest(400)), request=STREAM, pause=0, error=BadRequest),
    watching("404 on resume, the kind went", Failed(NotFound(404)), request=STREAM, pause=0, error=NotFound),
    Row("pages: only one", (), page(A), output=("replaced", ["a"], "10", []), request=watch(10), streaming=False),
    Row("pages: first of two", (), page(A, token="t"), request=REST, streaming=False),
    Row("pages: no version", (), page(A, version=""), request=PAGES, pause=0, error=DecodeError, streaming=False),
    paging("last", page(B), output=("replaced", ["a", "b"], "10", []), request=watch(10)),
    paging("410", Failed(GONE), request=WHOLE, error=Gone),
    paging("429 with Retry-After", Failed(BUSY), request=REST, pause=7, error=TooManyRequests),
    paging("500", Failed(BROKEN), request=REST, pause=0, error=ServerError),
    paging("unreachable", Failed(UNREACHABLE), request=REST, pause=0, error=TransportError),
    paging("401", Failed(REFUSED), request=REST, pause=0, error=Unauthorized),
    paging("403", Failed(Forbidden(403)), request=PAGES, pause=0, error=Forbidden),
    paging("garbage", Failed(DecodeError("html")), request=PAGES, pause=0, error=DecodeError),
    Row("whole list after 410: here", (page(A, token="t"), Failed(GONE)), page(B, version="12"),
        output=("replaced", ["b"], "12", []), request=watch(12), streaming=False),
    Row("whole list after 410: fails too", (page(A, token="t"), Failed(GONE)), Failed(BROKEN),
        request=PAGES, pause=0, error=ServerError, streaming=False),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_what_follows(row: Row) -> None:
    watcher = Watcher(CONFIG_MAPS, page_size=2, streaming=row.streaming)
    for earlier in row.given:
        watcher.step(earlier)
    step = watcher.step(row.received)
    assert content(step.output) == row.output
    assert step.again is (row.request is not None)
    if row.request is not None:
        assert watcher.request() == row.request
    assert (step.pause and step.pause.seconds) == row.pause
    assert len(step.rejected) == row.rejected
    assert type(step.error) is (row.error or type(None))


def run(watcher: Watcher[ConfigMap], *received: Input[ConfigMap]) -> Step[ConfigMap]:
    """The last step."""
    return [watcher.step(one) for one in received][-1]


def test_events_and_bookmarks_move_the_point_to_resume_from() -> None:
    watcher = Watcher(CONFIG_MAPS)
    run(watcher, *SYNCED, added("b", 11))
    assert watcher.request() == watch(11)
    run(watcher, Line(bookmark_line(20)), Line(bookmark_line(30)), Ended())
    assert watcher.request() == watch(30)
    run(watcher, Line(event_line("DELETED", manifest("b", 31))))
    assert watcher.request() == watch(31)
    run(watcher, Line(event_line("ADDED", BAD | {"metadata": {"name": "bad", "resourceVersion": "32"}})))
    assert watcher.request() == watch(32)


def test_repeated_events_do_not_move_the_point_to_resume_from_back() -> None:
    watcher = Watcher(CONFIG_MAPS)
    run(watcher, *SYNCED, added("b", 11), added("a", 5), Line(event_line("DELETED", manifest("c", 7))), Ended())
    assert watcher.request() == watch(11)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from([(), SYNCED]), st.lists(st.one_of(
    st.binary(max_size=40),
    st.builds(event_line, st.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "X"]), JSON),
), max_size=5))  # fmt: skip
def test_no_line_whatsoever_breaks_the_machine(given_: tuple[Input[ConfigMap], ...], lines: list[bytes]) -> None:
    watcher = Watcher(CONFIG_MAPS)
    for received in (*given_, *map(Line, lines)):
        watcher.step(received)
        watcher.request()


def test_half_a_streaming_list_leaves_nothing_behind() -> None:
    watcher = Watcher(CONFIG_MAPS)
    step = run(watcher, added("a", 5), added("ghost", 6), Ended(), page(A))
    assert content(step.output) == ("replaced", ["a"], "10", [])


def test_streaming_list_that_is_asked_for_again_begins_anew() -> None:
    watcher = Watcher(CONFIG_MAPS)
    run(watcher, added("ghost", 6))  # and then nobody reads on: the informer is stopped, and run again
    assert watcher.request() == STREAM
    assert content(run(watcher, *SYNCED).output) == ("replaced", ["a"], "10", [])


def test_streaming_list_with_changes_in_between_is_the_final_state() -> None:
    step = run(
        Watcher(CONFIG_MAPS),
        *(added(name, number) for number, name in enumerate("abc", start=1)),
        Line(event_line("MODIFIED", manifest("a", 7))),
        Line(event_line("DELETED", manifest("b", 8))),
        END,
    )
    assert isinstance(step.output, Replaced)
    assert [(obj.metadata.name, obj.metadata.resource_version) for obj in step.output.objects] == [
        ("a", "7"),
        ("c", "3"),
    ]


def test_undecodable_objects_of_a_list_are_kept_and_reported_once_the_list_is_whole() -> None:
    step = run(Watcher(CONFIG_MAPS), Line(event_line("ADDED", BAD)), added("a", 5), END)
    assert content(step.output) == ("replaced", ["a"], "10", [key("bad")])
    assert [rejected.key for rejected in step.rejected] == [key("bad")]

    rejected = Rejected(key("bad"), DecodeError("bad"))
    step = run(Watcher(CONFIG_MAPS, streaming=False), page(A, token="t", rejected=[rejected]), page(B))
    assert content(step.output) == ("replaced", ["a", "b"], "10", [key("bad")])
    assert step.rejected == (rejected,)


def test_line_that_is_nested_too_deep_changes_nothing_before_it_is_cut() -> None:
    watcher = Watcher(CONFIG_MAPS)
    run(watcher, *SYNCED)
    before = watcher.state
    with pytest.raises(TooDeep):
        watcher.step(Line(b'{"type":"ADDED","object":' + DEEP + b"}"))
    assert watcher.state == before


def test_object_of_a_streaming_list_that_is_nested_too_deep_costs_itself_only() -> None:
    step = run(Watcher(CONFIG_MAPS), deep("ADDED"), added("a", 5), END)
    assert content(step.output) == ("replaced", ["a"], "10", [key("bad")])


def test_undecodable_object_that_goes_before_the_list_ends_is_not_kept() -> None:
    step = run(Watcher(CONFIG_MAPS), deep("ADDED"), deep("DELETED"), added("a", 5), END)
    assert content(step.output) == ("replaced", ["a"], "10", [])


def test_undecodable_object_mended_before_the_list_ends_is_in_the_list() -> None:
    step = run(
        Watcher(CONFIG_MAPS), Line(event_line("ADDED", BAD)), Line(event_line("MODIFIED", manifest("bad", 12))), END
    )
    assert content(step.output) == ("replaced", ["bad"], "10", [])


def test_rejected_object_without_key_keeps_nothing() -> None:
    step = run(Watcher(CONFIG_MAPS, streaming=False), page(A, rejected=[Rejected(None, DecodeError("bad"))]))
    assert isinstance(step.output, Replaced)
    assert step.output.keep == frozenset[ObjectKey]()


def test_server_that_refused_streaming_lists_is_not_asked_for_one_again() -> None:
    watcher = Watcher(CONFIG_MAPS, page_size=2)
    run(watcher, Failed(Invalid(422)), page(A), Failed(GONE))
    assert watcher.request() == PAGES


def test_server_whose_streaming_list_broke_is_asked_for_one_the_next_time() -> None:
    watcher = Watcher(CONFIG_MAPS, page_size=2)
    run(watcher, added("a", 5), Ended(), page(A), Failed(GONE))
    assert watcher.request() == STREAM


def test_server_errors_on_resume_end_in_a_list() -> None:
    watcher = Watcher(CONFIG_MAPS)
    run(watcher, *SYNCED, *[Failed(BROKEN)] * MAX_RESUME_FAILURES)
    assert watcher.request() == watch(10)
    run(watcher, Failed(BROKEN))
    assert watcher.state == NeedsList(ListMode.STREAM)


def test_watch_that_opens_forgives_earlier_server_errors() -> None:
    watcher = Watcher(CONFIG_MAPS)
    run(watcher, *SYNCED, *[Failed(BROKEN)] * MAX_RESUME_FAILURES, Ended(), Failed(BROKEN))
    assert watcher.state == Watching(resource_version="10", failures=1)


def test_versions_that_are_no_numbers_are_compared_for_equality() -> None:
    watcher = Watcher(CONFIG_MAPS, page_size=2, streaming=False)
    silence = Ended(WatchIdle("idle"))
    run(watcher, page(A, version="x"), silence, page(A, version="x"))
    assert watcher.request() == watch("x")
    run(watcher, silence, page(A, version="y"))
    assert watcher.request() == PAGES


def test_silence_after_a_watch_is_opened_anew_is_of_that_watch() -> None:
    watcher = Watcher(CONFIG_MAPS)
    run(watcher, *SYNCED)  # the stream has said something; then the informer is stopped, and run again
    assert watcher.request() == watch(10)
    run(watcher, Ended(WatchIdle("idle")))
    assert watcher.request() == ONE


def test_unreachable_server_never_causes_a_list() -> None:
    watcher = Watcher(CONFIG_MAPS)
    run(watcher, *SYNCED, *[Failed(UNREACHABLE)] * 100)
    assert watcher.request() == watch(10)
