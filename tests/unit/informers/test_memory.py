"""Caches of servers that are not trusted: what they may take, who gives way, and what that does to informers."""

import asyncio
import gc
import json
import tracemalloc
import weakref
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers.client.wire import ListPage, decode_page
from informers.errors import CacheFull, DecodeError, KubeError
from informers.memory import READER, RETRY_SECONDS, MemoryAccount, MemoryBudget, footprint, parsed_size
from informers.meta import ObjectKey
from informers.resource import GroupVersionKind, Resource
from informers.watch.watcher import MAX_IDLE_PAGES, Line, NeedsList, Page, Watcher
from mcs_controller.api import resources
from mcs_controller.api.common import unstructured_decoder
from tests.support.clock import settle
from tests.support.informer_bench import Bench, running
from tests.support.objects import CONFIG_MAPS, ConfigMap, bookmark_line, config_map, event_line, manifest

KEY = ObjectKey("ns", "a")


def slice_of(**parts: Any) -> bytes:
    metadata = {"name": "web-x", "namespace": "shop", "resourceVersion": "1", **parts.pop("metadata", {})}
    return json.dumps({"addressType": "IPv4", "endpoints": [], "ports": [], "metadata": metadata, **parts}).encode()


SHAPES = {
    "ordinary": slice_of(endpoints=[{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}] * 100),
    "many labels": slice_of(metadata={"labels": {str(number): "" for number in range(20_000)}}),
    "many finalizers": slice_of(metadata={"finalizers": ["x" * 8] * 20_000}),
    "many owners": slice_of(
        metadata={"ownerReferences": [{"apiVersion": "v1", "kind": "x", "name": "y", "uid": "z"}] * 5_000}
    ),
    "a wide character": slice_of(metadata={"annotations": {"a": "x" * 100_000 + "😀"}}),
    "a wide character, not escaped": json.dumps(
        {"addressType": "IPv4", "metadata": {"name": "x", "annotations": {"a": "x" * 100_000 + "😀"}}},
        ensure_ascii=False,
    ).encode(),
    "empty lists": slice_of(endpoints=[[] for _ in range(20_000)]),
    "empty objects": slice_of(ports=[{} for _ in range(20_000)]),
    "numbers": slice_of(ports=list(range(1000, 20_000))),
    "one key each": slice_of(ports=[{str(number): ""} for number in range(10_000)]),
    "two keys each": slice_of(ports=[{str(number): "", f"{number}x": ""} for number in range(10_000)]),
    "strings": slice_of(ports=[str(number) for number in range(10_000)]),
    "nested": slice_of(ports=[[[]] for _ in range(10_000)]),
    "many keys": slice_of(ports=[{str(number): number + 0.5 for number in range(20_000)}]),
}


MALFORMED = ("empty lists", "numbers", "strings", "nested")
"""For an EndpointSlice."""

ANY: Resource[Any] = Resource(
    group="",
    version="v1",
    plural="anys",
    kind="Any",
    decode=unstructured_decoder(GroupVersionKind("v1", "Any")),
    size=parsed_size,
)
CASES = [
    (resource, shape)
    for resource in (resources.ENDPOINTSLICES, ANY, resources.SERVICEEXPORTS)
    for shape in SHAPES
    if resource is not resources.ENDPOINTSLICES or shape not in MALFORMED
]


@pytest.mark.parametrize(("resource", "shape"), CASES, ids=str)
def test_an_object_takes_no_more_than_is_estimated(resource: Resource[Any], shape: str) -> None:
    raw = SHAPES[shape]
    gc.collect()
    tracemalloc.start()
    try:
        obj = resource.decode(raw)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken <= footprint(obj.metadata, resource.size(raw))


def test_an_ordinary_slice_is_not_taken_for_much_more_than_it_is() -> None:
    obj = resources.ENDPOINTSLICES.decode(SHAPES["ordinary"])
    assert footprint(obj.metadata, resources.ENDPOINTSLICES.size(SHAPES["ordinary"])) < 2 * len(SHAPES["ordinary"])


class Accounts:
    """Accounts of one budget, and the order in which they had to give way."""

    def __init__(self, *names: str, total: int = 100, **limits: int) -> None:
        self.budget = MemoryBudget(total, **limits)
        self.evicted: list[str] = []
        self.by_name = {name: self._account(name) for name in names}

    def _account(self, name: str) -> MemoryAccount:
        return self.budget.account(lambda: self.evicted.append(name))


def test_whoever_takes_most_gives_way_whoever_asks() -> None:
    accounts = Accounts("large", "small")
    large, small = accounts.by_name.values()
    large.charge(70)
    small.charge(30)
    small.charge(1)
    assert (accounts.evicted, large.used, small.used, accounts.budget.used) == (["large"], 0, 31, 31)
    assert large.exceeded is not None
    with pytest.raises(CacheFull, match="all caches together may take 100 bytes"):
        small.charge(70)
    assert (accounts.evicted, accounts.budget.used) == (["large", "small"], 0)


def test_limits_of_one_account_hold_whatever_is_left() -> None:
    accounts = Accounts("bytes", "objects", max_bytes=50, max_objects=2)
    with pytest.raises(CacheFull, match="may take 50 bytes"):
        accounts.by_name["bytes"].charge(51)
    objects = accounts.by_name["objects"]
    for name in ("a", "b", "a"):
        objects.keep(ObjectKey("", name), 1, listing=False)
    with pytest.raises(CacheFull, match="may have 2 objects"):
        objects.keep(ObjectKey("", "c"), 1, listing=False)
    assert (accounts.evicted, accounts.budget.used) == (["bytes", "objects"], 0)


def test_what_is_held_in_between_is_released_also_if_it_had_to_give_way() -> None:
    accounts = Accounts("one")
    one = accounts.by_name["one"]
    with one.held() as charge:
        charge(40)
        charge(-10)
        assert accounts.budget.used == 30
    assert accounts.budget.used == 0

    def twice(size: int) -> None:
        with one.held() as charge:
            charge(size)
            charge(size)

    with pytest.raises(CacheFull):
        twice(60)
    other = accounts.budget.account(lambda: None)
    with one.held() as charge:
        charge(60)
        other.charge(50)
        charge(-20)  # what was read is handed on, after all of it was given to the other
        other.release(50)
    assert accounts.budget.used == 0


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 40)), max_size=60))
def test_an_equal_share_is_never_taken_away(charges: list[tuple[int, int]]) -> None:
    names = [str(number) for number in range(5)]
    accounts = Accounts(*names, total=100)
    for number, size in charges:
        before = {name: account.used for name, account in accounts.by_name.items()}
        gone = len(accounts.evicted)
        try:
            accounts.by_name[str(number)].charge(size)
        except CacheFull:
            assert accounts.evicted[-1] == str(number)
        assert accounts.budget.used == sum(account.used for account in accounts.by_name.values()) <= 100
        before[str(number)] += size
        assert all(before[name] > 100 / 5 for name in accounts.evicted[gone:])


# --- informers --------------------------------------------------------------------------------------------------------


def added(name: str, version: int, size: int = 1000) -> bytes:
    return event_line("ADDED", manifest(name, version, data={"text": "x" * size}))


def error_of(bench: Bench) -> KubeError | None:
    return bench.informer.last_error


async def test_a_first_list_without_an_end_is_given_up_and_tried_again_later() -> None:
    budget = MemoryBudget(20_000)
    async with running(memory=budget) as bench:
        await settle()
        stream = bench.server.pending.open()
        for number in range(100):
            stream.send(added(f"a{number}", number))
        await settle()
        assert isinstance(error_of(bench), CacheFull)
        assert (bench.informer.has_synced, budget.used, stream.closed) == (False, 0, True)
        await bench.clock.advance(RETRY_SECONDS - 1)
        assert bench.server.waiting == []
        await bench.clock.advance(31)
        bench.server.pending.open(added("a", 1), bookmark_line(10, initial_events_end=True))
        await settle()
        assert bench.informer.has_synced
        assert error_of(bench) is None
        assert 1000 < budget.used < 3000
    assert budget.used == 0


async def test_what_grows_without_an_end_is_dropped_and_nobody_is_told_that_it_is_gone() -> None:
    async with running(memory=MemoryBudget(20_000)) as bench:
        stream = await bench.synced(("a", 1))
        bench.informer.add_handler(bench.handler)
        for number in range(100):
            stream.send(added(f"b{number}", 11 + number))
        await settle()
        assert (len(bench.informer.store), bench.informer.has_synced) == (0, False)
        assert bench.told[0] == "added a 1 initial"
        assert all(line.startswith("added b") for line in bench.told[1:])
        bench.told.clear()
        await bench.clock.advance(RETRY_SECONDS + 31)
        bench.server.pending.open(added("a", 200), bookmark_line(300, initial_events_end=True))
        await settle()
        assert (bench.told, bench.informer.has_synced) == (["added a 200"], True)


@pytest.mark.parametrize("total", range(18_000, 21_000, 500))
@pytest.mark.parametrize("listed", [True, False], ids=["growing", "listing"])
async def test_what_was_dropped_is_not_kept_alive(listed: bool, total: int) -> None:
    """Neither by the traceback of the error, wherever the last byte was missing."""
    decoded: list[weakref.ref[ConfigMap]] = []

    def decode(raw: bytes | msgspec.Raw) -> ConfigMap:
        obj = CONFIG_MAPS.decode(raw)
        decoded.append(weakref.ref(obj))
        return obj

    async with running(memory=MemoryBudget(total), resource=replace(CONFIG_MAPS, decode=decode)) as bench:
        await settle()
        stream = await bench.synced() if listed else bench.server.pending.open()
        for number in range(100):
            stream.send(added(f"a{number}", 11 + number))
        await settle()
        assert isinstance(error_of(bench), CacheFull)
        gc.collect()
        assert decoded
        assert not [one for one in decoded if one() is not None]


async def test_deleted_and_changed_objects_make_room() -> None:
    budget = MemoryBudget(20_000)
    async with running(memory=budget) as bench:
        stream = await bench.synced(("a", 1))
        before = budget.used
        for number in range(50):
            stream.send(added("b", 100 + 2 * number))
            stream.send(added("c", 101 + 2 * number))
            await bench.send(stream, "DELETED", "c", 102 + 2 * number)
        await bench.send(stream, "DELETED", "b", 400)
        assert (bench.informer.last_error, budget.used) == (None, before)


async def test_one_informer_gives_way_to_another_in_the_middle_of_its_list() -> None:
    budget = MemoryBudget(20_000)
    async with running(memory=budget) as large, running(memory=budget) as small:
        await settle()
        stream = large.server.pending.open(*(added(f"a{number}", number) for number in range(8)))
        await settle()
        other = await small.synced(("b", 1))
        for number in range(6):
            other.send(added(f"b{number}", 11 + number))
        stream.send(bookmark_line(10, initial_events_end=True))  # of a list of which the beginning is forgotten
        await settle()
        assert (large.informer.has_synced, len(large.informer.store)) == (False, 0)
        assert isinstance(large.informer.last_error, CacheFull)
        assert (small.informer.last_error, len(small.informer.store)) == (None, 7)


async def test_one_that_gives_way_while_nothing_comes_tells_it_at_once() -> None:
    budget = MemoryBudget(20_000)
    async with running(memory=budget) as large, running(memory=budget) as small:
        stream = await large.synced()
        stream.send(*(added(f"a{number}", 11 + number) for number in range(8)))
        await settle()
        dropped = large.informer.wait_dropped()
        other = await small.synced()
        other.send(*(added(f"b{number}", 11 + number) for number in range(7)))
        await settle()
        await dropped
        assert isinstance(large.informer.last_error, CacheFull)
        assert stream.closed
        assert small.informer.has_synced


async def test_one_that_is_on_its_way_out_can_be_asked_again() -> None:
    async with running(memory=MemoryBudget(20_000)) as bench:
        stream = await bench.synced(("a", 1))
        for _ in range(5):
            assert bench.informer._memory is not None
            bench.informer._memory._evicted("too large")
            await asyncio.sleep(0)
        await settle()
        assert stream.closed


async def test_one_that_gives_way_during_a_pause_tells_it_after_that() -> None:
    budget = MemoryBudget(20_000)
    async with running(memory=budget) as large, running(memory=budget) as small:
        stream = await large.synced()
        stream.send(*(added(f"a{number}", 11 + number) for number in range(8)))
        stream.fail(DecodeError("garbage"))
        await settle()
        other = await small.synced()
        other.send(*(added(f"b{number}", 11 + number) for number in range(7)))
        await settle()
        await large.clock.advance(31)
        assert isinstance(large.informer.last_error, CacheFull)
        assert (large.server.waiting, large.informer.has_synced) == ([], False)


# --- pages ------------------------------------------------------------------------------------------------------------


def page_of(number: int, objects: int) -> bytes:
    items = [manifest(f"a{number}-{each}", 1, data={"text": "x" * 1000}) for each in range(objects)]
    return msgspec.json.encode({"metadata": {"resourceVersion": "9", "continue": f"t{number}"}, "items": items})


def paged(memory: MemoryAccount) -> Watcher[ConfigMap]:
    watcher = Watcher(CONFIG_MAPS, streaming=False, memory=memory)
    watcher.request()
    return watcher


def take(watcher: Watcher[ConfigMap], *received: Line | Page[ConfigMap]) -> None:
    for each in received:
        watcher.step(each)


def added_badly(name: str) -> bytes:
    return event_line("ADDED", {"metadata": {"name": name}, "data": 5})


def test_pages_without_an_end_find_no_room() -> None:
    budget = MemoryBudget(50_000)
    account = budget.account(lambda: None)
    token = READER.set(account)
    try:
        watcher = paged(account)
        with pytest.raises(CacheFull):
            take(watcher, *(Page(decode_page(CONFIG_MAPS, page_of(number, 5))) for number in range(100)))
        with pytest.raises(CacheFull):
            decode_page(CONFIG_MAPS, page_of(0, 50))  # one that is too large in itself
    finally:
        READER.reset(token)
    assert budget.used == 0


def test_pages_that_tell_nothing_new_are_no_list() -> None:
    watcher = paged(MemoryBudget(1 << 20).account(lambda: None))
    page = ListPage(items=[config_map("a")], resource_version="9", continue_token="again", sizes=[10])
    for _ in range(MAX_IDLE_PAGES + 1):
        assert watcher.step(Page(page)).error is None
    step = watcher.step(Page(page))
    assert isinstance(step.error, DecodeError)
    assert isinstance(watcher.state, NeedsList)


def test_objects_that_cannot_be_read_take_room_too() -> None:
    budget = MemoryBudget(50_000)
    watcher = Watcher(CONFIG_MAPS, memory=budget.account(lambda: None))
    watcher.request()
    with pytest.raises(CacheFull):
        take(watcher, *(Line(added_badly(f"a{number}")) for number in range(100)))
