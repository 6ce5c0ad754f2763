"""Which endpoints a consumer is offered: examples, and random histories that are played write by write."""

import itertools
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mcs_controller.domain.endpoint_selection import (
    UNDECIDED,
    ConsumerView,
    Counts,
    Decided,
    Decision,
    Endpoint,
    decide,
    endpoints_in,
    endpoints_of_slice,
)
from mcs_controller.domain.tiers import ConsumerTiers, Minimum, SelectionRules
from mcs_controller.domain.works import SliceRef
from tests.support.builders import collected_work, decode, endpoint, slice_
from tests.support.scale import SCALE

NONE = Counts()
RULES = SelectionRules(hand_back_after=30, hand_back_every=10, hand_back_step=0.5)


@dataclass
class World:
    """A consumer, "me", and what providers have: ready and other endpoints by cluster, a slice each."""

    tiers: tuple[tuple[str, ...], ...]
    drained: tuple[str, ...] = ()
    rules: SelectionRules = RULES
    ready: dict[str, set[str]] = field(default_factory=dict)
    unready: dict[str, set[str]] = field(default_factory=dict)
    own: Counts | None = NONE
    held: dict[str, set[str]] = field(default_factory=dict)
    undelivered: set[str] = field(default_factory=set)
    takes_writes: bool = True
    now: float = 1000.0
    last: Decided | None = None

    def view(self) -> ConsumerView:
        own_tier = next((place for place, names in enumerate(self.tiers) if "me" in names), None)
        return ConsumerView(
            name="me",
            tiers=ConsumerTiers(tuple((str(n), names) for n, names in enumerate(self.tiers)), self.drained, own_tier),
            source=tuple(
                Endpoint(ref(cluster), address, ready)
                for ready, those in ((True, self.ready), (False, self.unready))
                for cluster, addresses in sorted(those.items())
                for address in sorted(addresses)
            ),
            own=self.own,
            held={
                ref(cluster): frozenset(those & self.ready.get(cluster, set())) for cluster, those in self.held.items()
            },
            delivered=frozenset(ref(cluster) for cluster in self.held if cluster not in self.undelivered),
            takes_writes=self.takes_writes,
        )

    def decide(self) -> Decided:
        self.last = decide(self.rules, self.view(), self.last, self.now)
        return self.last

    def offered(self, decision: Decision, cluster: str) -> set[str]:
        if not decision.known:
            return self.held.get(cluster, set()) & self.ready.get(cluster, set())
        addresses = decision.offers(ref(cluster))
        ready = self.ready.get(cluster, set())
        return set(ready) if addresses is None else ready & addresses

    def write(self, cluster: str) -> None:
        """The slice's one writer has its turn."""
        if self.last is not None and self.takes_writes:
            self.held[cluster] = self.offered(self.last.decision, cluster)

    def settle(self) -> Decided:
        found = self.decide()
        for cluster in self.ready:
            self.write(cluster)
        return found

    def total(self) -> int:
        """Ready endpoints that the consumer's Pods reach."""
        own = self.own.ready if self.own is not None else 0
        return own + sum(len(those & self.ready.get(cluster, set())) for cluster, those in self.held.items())


def ref(cluster: str) -> SliceRef:
    return SliceRef(cluster, "default", "web-1")


def some(prefix: str, count: int) -> set[str]:
    return {f"{prefix}.{n}" for n in range(count)}


def test_the_first_tier_that_is_good_enough_is_offered_and_no_later_one() -> None:
    world = World((("me",), ("m1",), ("m2", "m3")), ready={"m1": some("a", 2), "m2": some("b", 2), "m3": some("c", 2)})
    decision = world.settle().decision
    assert (decision.is_short, set(decision.whole)) == (False, {"m1"})
    assert world.held == {"m1": some("a", 2), "m2": set(), "m3": set()}


def test_a_tier_below_the_minimum_is_kept_and_the_next_is_added() -> None:
    world = World(
        (("m1",), ("m2",), ("m3",)),
        rules=replace(RULES, minimum=Minimum(50, percent=True)),
        ready={"m1": some("a", 1), "m2": some("b", 5), "m3": some("c", 5)},
        unready={"m1": some("d", 9)},
    )
    decision = world.decide().decision
    assert (decision.is_short, set(decision.whole)) == (False, {"m1", "m2"})


def test_if_no_tier_is_good_enough_all_are_offered() -> None:
    world = World(
        (("m1",), ("m2",)), rules=replace(RULES, minimum=Minimum(9)), ready={"m1": some("a", 1), "m2": some("b", 1)}
    )
    decision = world.decide().decision
    assert (decision.is_short, set(decision.whole)) == (True, {"m1", "m2"})


def test_the_next_tier_is_offered_at_once_and_handed_back_in_steps() -> None:
    world = World((("m1",), ("m2",)), ready={"m1": some("a", 2), "m2": some("b", 30)})
    world.settle()
    world.ready["m1"] = set()
    assert world.settle().decision.whole == {"m1", "m2"}
    world.ready["m1"] = some("a", 2)
    assert world.settle().decision.whole == {"m1", "m2"}, "it waits"
    assert world.last is not None
    assert world.last.look_again == 30
    left = []
    for _ in range(8):
        assert world.last is not None
        world.now += world.last.look_again or 0
        world.settle()
        left.append(len(world.held["m2"]))
    assert left == [14, 6, 2, 0, 0, 0, 0, 0]
    assert world.held["m1"] == some("a", 2)


def test_the_smallest_step_comes_to_an_end() -> None:
    world = World((("m1",), ("m2",)), rules=replace(RULES, hand_back_step=0.01), ready={"m1": some("a", 2)})
    world.ready["m2"] = world.held["m2"] = some("b", 5)
    for _ in range(8):
        world.settle()
        world.now += 30
    assert world.held["m2"] == set()


def test_a_tier_that_comes_and_goes_hands_nothing_back() -> None:
    world = World((("m1",), ("m2",)), ready={"m1": set(), "m2": some("b", 4)})
    world.settle()
    for _ in range(20):
        world.now += 5
        world.ready["m1"] = set() if world.ready["m1"] else some("a", 1)
        world.settle()
        world.settle()
        assert world.held["m2"] == some("b", 4)


def test_a_fall_back_in_the_middle_of_a_hand_back_is_whole_again() -> None:
    world = World((("m1",), ("m2",)), ready={"m1": some("a", 1), "m2": some("b", 30)}, held={"m2": some("b", 30)})
    world.settle()
    world.now += 30
    world.settle()
    assert len(world.held["m2"]) == 15
    world.ready["m1"] = set()
    world.settle()
    assert world.held["m2"] == some("b", 30)


def test_nothing_is_taken_away_before_the_better_tier_is_delivered() -> None:
    world = World((("m1",), ("m2",)), ready={"m1": some("a", 4), "m2": some("b", 4)}, held={"m2": some("b", 4)})
    world.undelivered = {"m1"}
    world.settle()
    world.now += 100
    assert world.settle().look_again == 1
    assert world.held["m2"] == some("b", 4)
    world.undelivered = set()
    world.settle()
    assert world.held["m2"] == set()


def test_a_step_waits_until_the_one_before_is_written() -> None:
    world = World(
        (("m1",), ("m2",)),
        ready={"m1": some("a", 1), "m2": some("b", 30)},
        held={"m1": some("a", 1), "m2": some("b", 30)},
    )
    world.decide()
    world.now += 30
    world.decide()
    world.now += 60
    assert world.decide().look_again == 1
    assert world.last is not None
    assert len(world.last.decision.kept[ref("m2")]) == 15


def test_a_consumer_that_takes_no_writes_is_handed_back_when_it_is_back() -> None:
    world = World((("m1",), ("m2",)), ready={"m1": some("a", 1), "m2": some("b", 30)}, takes_writes=False)
    world.held = {"m1": some("a", 1), "m2": some("b", 30)}
    for _ in range(5):
        world.now += 30
        found = world.decide()
        assert (found.decision.offers(ref("m2")), found.look_again) == (None, None)
    world.takes_writes = True
    world.settle()
    assert len(world.held["m2"]) == 15


def test_a_process_that_begins_goes_on_with_a_hand_back() -> None:
    world = World(
        (("m1",), ("m2",)),
        ready={"m1": some("a", 1), "m2": some("b", 30)},
        held={"m1": some("a", 1), "m2": some("b", 30)},
    )
    world.settle()
    world.now += 30
    world.settle()
    before = set(world.held["m2"])
    world.last = None
    world.settle()
    assert world.held["m2"] == before
    world.now += 10
    world.settle()
    assert len(world.held["m2"]) == 7
    assert world.held["m2"] < before


def test_a_process_that_begins_waits_anew_for_one_that_has_not_begun() -> None:
    world = World(
        (("m1",), ("m2",)),
        ready={"m1": some("a", 1), "m2": some("b", 4)},
        held={"m1": some("a", 1), "m2": some("b", 4)},
    )
    found = world.settle()
    assert found.look_again == 30
    assert world.held["m2"] == some("b", 4)


def test_a_drained_cluster_goes_at_once_in_steps_and_comes_back_whole() -> None:
    world = World((("m1", "m2"),), ready={"m1": some("a", 10), "m2": some("b", 10)})
    world.settle()
    world.tiers, world.drained = (("m1",),), ("m2",)
    world.rules = replace(RULES, hand_back_step=0.25)
    left = []
    for _ in range(4):
        world.settle()
        left.append(len(world.held["m2"]))
        world.now += 10
    assert left == [5, 2, 0, 0]
    world.tiers, world.drained = (("m1", "m2"),), ()
    world.settle()
    assert world.held["m2"] == some("b", 10)


def test_a_drained_cluster_is_the_last_resort() -> None:
    world = World((("m1",),), drained=("m2",), ready={"m1": set(), "m2": some("b", 2)})
    decision = world.settle().decision
    assert decision.last_resort == ("m2",)
    assert world.held["m2"] == some("b", 2)


def test_a_drain_takes_place_also_if_the_rest_is_not_good_enough() -> None:
    rules = replace(RULES, minimum=Minimum(5))
    world = World((("m1",),), drained=("m2",), rules=rules, ready={"m1": some("a", 1), "m2": some("b", 1)})
    world.held = {"m1": some("a", 1), "m2": some("b", 1)}
    world.settle()
    assert world.held["m2"] == set()


def test_a_rolling_update_of_a_later_tier_replaces_what_is_kept() -> None:
    world = World(
        (("m1",), ("m2",)),
        ready={"m1": some("a", 1), "m2": some("b", 30)},
        held={"m1": some("a", 1), "m2": some("b", 30)},
    )
    world.settle()
    world.now += 30
    world.settle()
    world.ready["m2"] = some("c", 30)
    world.settle()
    assert len(world.held["m2"]) == 15


def test_a_consumer_whose_own_pods_are_not_known_keeps_what_it_has() -> None:
    world = World((("me",), ("m1",)), own=None, ready={"m1": some("a", 2)}, held={"m1": {"a.0"}})
    assert world.settle().decision == UNDECIDED
    assert world.held["m1"] == {"a.0"}
    world.own = Counts()
    world.settle()
    assert world.held["m1"] == some("a", 2)


def test_own_pods_that_no_tier_or_a_later_one_has_are_told() -> None:
    world = World((("m1",), ("me",)), own=Counts(1, 1), ready={"m1": some("a", 2)})
    assert world.decide().decision.own_is_later
    world = World((("me",), ("m1",)), own=Counts(1, 1), ready={"m1": some("a", 2)})
    assert not world.decide().decision.own_is_later


@given(
    ready=st.lists(st.integers(0, 5), min_size=3, max_size=3),
    more=st.integers(0, 2),
    minimum=st.one_of(st.integers(1, 6).map(Minimum), st.integers(1, 100).map(lambda n: Minimum(n, percent=True))),
    listed=st.integers(5, 9),
)
def test_more_ready_endpoints_never_lead_to_a_later_tier(
    ready: list[int], more: int, minimum: Minimum, listed: int
) -> None:
    def tier_with(counts: list[int]) -> int:
        world = World((("m0",), ("m1",), ("m2",)), rules=replace(RULES, minimum=minimum))
        for place, count in enumerate(counts):
            world.ready[f"m{place}"] = some(f"a{place}", count)
            world.unready[f"m{place}"] = {f"u{place}.{n}" for n in range(listed - count)}
        found = world.decide()
        assert found.progress is not None
        return found.progress.tier if any(counts) and not found.decision.is_short else 3

    better = [count + (place == more and count < 5) for place, count in enumerate(ready)]
    assert tier_with(better) <= max(tier_with(ready), more)
    if more <= tier_with(ready):
        assert tier_with(better) <= tier_with(ready)


CLUSTERS = ("m1", "m2", "m3", "m4")


class Histories(RuleBasedStateMachine):
    """Pods come and go, time passes, processes begin, and each write of a copy is looked at by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(())
        self.forbidden: set[str] = set()
        self.made = 0

    @initialize(
        tiers=st.permutations(["me", *CLUSTERS]),
        cuts=st.lists(st.integers(0, 5), max_size=3),
        allowed=st.integers(1, 5),
        percent=st.booleans(),
        minimum=st.integers(1, 4),
        step=st.sampled_from([0.01, 0.2, 0.5]),
    )
    def begin(self, tiers: list[str], cuts: list[int], allowed: int, percent: bool, minimum: int, step: float) -> None:
        named, self.forbidden = tiers[:allowed], set(tiers[allowed:])
        edges = sorted({0, allowed, *(cut for cut in cuts if cut < allowed)})
        self.world.tiers = tuple(tuple(named[a:b]) for a, b in itertools.pairwise(edges))
        number = Minimum(25 * minimum, percent=True) if percent else Minimum(minimum)
        self.world.rules = replace(RULES, minimum=number, hand_back_step=step)
        self.world.ready = {name: set() for name in CLUSTERS}

    @rule(cluster=st.sampled_from(CLUSTERS), count=st.integers(1, 12))
    def pods_come(self, cluster: str, count: int) -> None:
        self.made += count
        self.world.ready[cluster] |= {f"{cluster}.{self.made - n}" for n in range(count)}

    @rule(cluster=st.sampled_from(CLUSTERS), keep=st.integers(0, 3))
    def pods_go(self, cluster: str, keep: int) -> None:
        self.world.ready[cluster] = set(sorted(self.world.ready[cluster])[:keep])

    @rule(count=st.none() | st.integers(0, 6))
    def own_pods_change(self, count: int | None) -> None:
        self.world.own = Counts(count, 6) if count is not None else None

    @rule(cluster=st.sampled_from(CLUSTERS))
    def drain(self, cluster: str) -> None:
        if any(cluster in names for names in self.world.tiers):
            self.world.tiers = tuple(tuple(n for n in names if n != cluster) for names in self.world.tiers)
            self.world.drained = (*self.world.drained, cluster)

    @rule(seconds=st.sampled_from([1, 5, 10, 30, 60]))
    def time_passes(self, seconds: int) -> None:
        self.world.now += seconds

    @rule()
    def process_begins(self) -> None:
        self.world.last = None

    @rule(takes=st.booleans())
    def consumer_is_down_or_up(self, takes: bool) -> None:
        self.world.takes_writes = takes

    @rule(cluster=st.sampled_from(CLUSTERS))
    def delivery(self, cluster: str) -> None:
        self.world.undelivered ^= {cluster}

    @rule()
    def decided(self) -> None:
        self.world.decide()

    @precondition(lambda self: self.world.last is not None)
    @rule(cluster=st.sampled_from(CLUSTERS))
    def written(self, cluster: str) -> None:
        held = self.world.held.get(cluster, set()) & self.world.ready[cluster]
        before = self.world.total()
        self.world.write(cluster)
        gone = held - self.world.held.get(cluster, set())
        if gone and cluster not in self.forbidden:
            assert self.world.total() * 2 >= before, "some Pod gets more than twice what it got"

    @invariant()
    def nothing_beyond_the_tiers(self) -> None:
        if self.world.last is not None and self.world.last.decision.known:
            for cluster in self.forbidden - {"me"}:
                assert self.world.last.decision.offers(ref(cluster)) == frozenset()

    @rule()
    def settled(self) -> None:
        world = self.world
        for _ in range(3):
            world.decide()
            for cluster in CLUSTERS:
                self.written(cluster)
        if world.last is None or not world.last.decision.known or not world.takes_writes or world.own is None:
            return
        allowed = {name for names in world.tiers for name in names} | set(world.drained)
        if any(world.ready[name] for name in allowed - {"me"}) or ("me" in allowed and world.own.ready):
            assert world.total() > 0, "an allowed tier has a ready endpoint"
        again = decide(world.rules, world.view(), world.last, world.now)
        assert again.decision == world.last.decision, "the same world is decided the same"


TestHistories = pytest.mark.filterwarnings("ignore")(Histories.TestCase)
Histories.TestCase.settings = settings(max_examples=60 * SCALE, stateful_step_count=40, deadline=None)


def test_endpoints_are_read_from_works_and_slices() -> None:
    three = [
        endpoint("10.0.0.1"),
        {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
        {"addresses": ["10.0.0.3"], "conditions": {}},
    ]
    wanted = [("10.0.0.1", True), ("10.0.0.2", False), ("10.0.0.3", True)]
    work = decode(collected_work("m1", slice_("web-1", endpoints=three)))
    assert [(one.address, one.ready) for one in endpoints_in(work, ref("m1"))] == wanted
    own = decode(slice_("web-1", endpoints=three))
    assert [(one.address, one.ready) for one in endpoints_of_slice(own, "me")] == wanted
