"""Whatever happens on the server, on the wire and in our own writes, in whatever order: the store gets it right.

A model of an API server, the real state machine and the real cache; hypothesis decides what happens next.
"""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from informers.cache.cache import Cache
from informers.cache.event import Event
from informers.client.wire import ListPage
from informers.errors import (
    Gone,
    Invalid,
    KubeError,
    ServerError,
    TooManyRequests,
    TransportError,
    Unauthorized,
    WatchIdle,
)
from informers.watch.watcher import (
    Bookmark,
    Deleted,
    Ended,
    Failed,
    Input,
    Line,
    ListRequest,
    Page,
    Replaced,
    Undecodable,
    Upsert,
    Watcher,
    WatchRequest,
)
from tests.support.objects import CONFIG_MAPS, ConfigMap, bookmark_line, config_map, event_line, key, manifest, status
from tests.support.scale import SCALE

NAMES = st.sampled_from("ab")  # few, so that things happen to the same object
PAGE_SIZE = 1
ENDS = [Ended(), Ended(short=True), Ended(TransportError("reset")), Ended(WatchIdle("idle"))]
FAILURES = [Failed(error) for error in (TransportError("x"), ServerError(500), TooManyRequests(429), Unauthorized(401))]
LINES = [
    *(Line(event_line("ERROR", status(code, "X"))) for code in (410, 429, 500)),
    *(Line(garbage) for garbage in (b"<html>", b'{"type":"ADD', b"\xff")),
]


@dataclass
class Change:
    version: int
    kind: str
    name: str
    uid: str


@dataclass
class Stream:
    lines: list[bytes]
    cursor: int


@dataclass
class Model:
    """An API server as the API conventions describe it: one growing version, a history of which the past gets lost."""

    version: int = 1
    objects: dict[str, Change] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)
    compacted: int = 0
    snapshots: dict[str, tuple[int, list[ConfigMap]]] = field(default_factory=dict)
    streaming_lists: bool = True

    def write(self, name: str) -> Change:
        self.version += 1
        old = self.objects.get(name)
        change = Change(self.version, "MODIFIED" if old else "ADDED", name, old.uid if old else f"uid-{self.version}")
        self.objects[name] = change
        self.history.append(change)
        return change

    def delete(self, name: str) -> Change:
        self.version += 1
        change = Change(self.version, "DELETED", name, self.objects.pop(name).uid)
        self.history.append(change)
        return change

    def list(self, request: ListRequest) -> Input[ConfigMap]:
        if request.continue_token:
            if request.continue_token not in self.snapshots:
                return Failed(Gone(410, "Expired"))
            version, items = self.snapshots.pop(request.continue_token)
        else:
            version, items = self.version, [decoded(change) for _, change in sorted(self.objects.items())]
        limit = request.limit or len(items)
        token = f"{version}-{len(items)}" if len(items) > limit else ""
        if token:
            self.snapshots[token] = (version, items[limit:])
        return Page(ListPage(items=items[:limit], resource_version=str(version), continue_token=token))

    def watch(self, request: WatchRequest) -> Stream | Failed:
        if request.send_initial_events:
            if not self.streaming_lists:
                return Failed(Invalid(422, "Invalid"))
            lines = [event_line("ADDED", json(change)) for _, change in sorted(self.objects.items())]
            return Stream([*lines, bookmark_line(self.version, initial_events_end=True)], self.version)
        if int(request.resource_version) < self.compacted:
            return Failed(Gone(410, "Expired"))
        return Stream([], int(request.resource_version))

    def next_line(self, stream: Stream) -> bytes | None:
        if stream.lines:
            return stream.lines.pop(0)
        for change in self.history:
            if change.version > stream.cursor:
                stream.cursor = change.version
                return event_line(change.kind, json(change))
        return None


def json(change: Change) -> dict[str, Any]:
    return manifest(change.name, change.version, uid=change.uid)


def decoded(change: Change) -> ConfigMap:
    return config_map(change.name, change.version, uid=change.uid)


class Informing(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.server = Model()
        self.watcher = Watcher(CONFIG_MAPS, page_size=PAGE_SIZE)
        self.cache: Cache[ConfigMap] = Cache()
        self.stream: Stream | None = None
        self.failure: KubeError | None = None
        self.answers: list[Change] = []  # of our own writes, on their way to us
        self.dead: set[str] = set()  # uids whose deletion by ourselves was answered
        self.observed: dict[str, int] = {}  # by name, the newest of our own writes we have had the answer to
        self.replica: dict[str, tuple[str, str]] = {}  # what a handler believes
        self.newest: dict[str, int] = {}  # by name, the newest version any handler was told

    # --- what happens on the server ---

    @rule(name=NAMES)
    def somebody_writes(self, name: str) -> None:
        self.server.write(name)

    @rule(name=NAMES)
    def somebody_deletes(self, name: str) -> None:
        if name in self.server.objects:
            self.server.delete(name)

    @rule(streaming=st.booleans())
    def history_is_compacted_and_features_change(self, streaming: bool) -> None:
        self.server.compacted = self.server.version
        self.server.snapshots.clear()
        self.server.streaming_lists = streaming

    # --- what we do ---

    @rule(name=NAMES)
    def we_write(self, name: str) -> None:
        self.answers.append(self.server.write(name))

    @rule(name=NAMES)
    def we_delete(self, name: str) -> None:
        if name in self.server.objects:
            self.answers.append(self.server.delete(name))

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def answer_arrives(self, data: st.DataObject) -> None:
        answer = self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1)))
        if answer.kind == "DELETED":
            self.dead.add(answer.uid)
            self._tell(self.cache.observe_deleted(key(answer.name), answer.uid))
        else:
            self._tell(self.cache.observe(decoded(answer)))
            self.observed[answer.name] = max(answer.version, self.observed.get(answer.name, 0))

    # --- what happens on the wire ---

    @rule(lines=st.integers(1, 4))
    def some_time_passes(self, lines: int) -> None:
        for _ in range(lines):
            self._advance()

    @rule()
    def much_time_passes(self) -> None:
        self._catch_up()
        if self.stream is not None:
            self._receive(Line(bookmark_line(self.server.version)))

    @rule(fault=st.sampled_from([*ENDS, *FAILURES, *LINES]))
    def wire_fails(self, fault: Input[ConfigMap]) -> None:
        if isinstance(fault, Failed) is (self.stream is None):
            self._receive(fault)

    @rule(lines=st.integers(0, 4), name=NAMES)
    def informer_is_stopped_and_run_again(self, lines: int, name: str) -> None:
        """In the middle of whatever it was doing; and meanwhile something goes."""
        for _ in range(lines):
            self._advance()
        self.stream = None
        self.somebody_deletes(name)

    # --- the informer, without its I/O ---

    def _advance(self) -> bool:
        """One request or one line. Returns whether anything is left to do."""
        if self.stream is not None:
            line = self.server.next_line(self.stream)
            if line is not None:
                self._receive(Line(line))
            return line is not None
        request = self.watcher.request()
        if isinstance(request, ListRequest):
            self._receive(self.server.list(request))
            return True
        opened = self.server.watch(request)
        if isinstance(opened, Failed):
            self._receive(opened)
        else:
            self.stream = opened
        return True

    def _receive(self, received: Input[ConfigMap]) -> None:
        step = self.watcher.step(received)
        if step.again:
            self.stream = None
        match step.output:
            case Upsert(obj):
                self._tell(self.cache.put(obj))
            case Deleted(identity=identity, final=final):
                self._tell(self.cache.remove(identity, final))
            case Undecodable(identity):
                self.cache.skip(identity)
            case Bookmark(version):
                self.cache.advance(version)
            case Replaced(objects=objects, resource_version=version, keep=keep):
                self._tell(self.cache.replace(objects, version, keep))

    def _tell(self, events: list[Event[ConfigMap]]) -> None:
        for event in events:
            name = event.key.name
            if event.new is None:
                del self.replica[name]  # KeyError: told of a deletion of what it never had
                continue
            version = int(event.new.metadata.resource_version)
            assert version > self.newest.get(name, 0), f"{name} went back from {self.newest[name]} to {version}"
            assert (event.old is not None) == (name in self.replica), f"added and updated are confused: {event}"
            self.newest[name] = version
            self.replica[name] = (event.new.metadata.uid, str(version))

    # --- the laws ---

    @invariant()
    def handlers_know_what_the_store_knows(self) -> None:
        assert self.replica == self._held()

    @invariant()
    def own_writes_stay_visible(self) -> None:
        for name, version in self.observed.items():
            if any(c.kind == "DELETED" and c.name == name and c.version > version for c in self.server.history):
                continue  # what we wrote is no more
            held = self.cache.store.get(key(name))
            assert held is not None, f"our write of {name} at {version} is gone"
            assert int(held.metadata.resource_version) >= version

    @invariant()
    def own_deletions_stay_deleted(self) -> None:
        assert not self.dead & {obj.metadata.uid for obj in self.cache.store.values()}

    def teardown(self) -> None:
        """Left alone, the informer catches up."""
        self._catch_up()
        assert self._held() == {name: (c.uid, str(c.version)) for name, c in self.server.objects.items()}

    def _catch_up(self) -> None:
        for _ in range(10_000):
            if not self._advance():
                return
        raise AssertionError("the informer does not come to rest")

    def _held(self) -> dict[str, tuple[str, str]]:
        return {
            obj.metadata.name: (obj.metadata.uid, obj.metadata.resource_version) for obj in self.cache.store.values()
        }


Informing.TestCase.settings = settings(max_examples=160 * SCALE, stateful_step_count=50, deadline=None)
TestInforming = Informing.TestCase
