"""Which objects of a member are stale, which of them go, and when that is left to people."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcs_controller.api.common import Unstructured, decode_unstructured
from mcs_controller.domain import well_known as wk
from mcs_controller.standalone.domain.stale_objects import (
    FEW,
    GRACE_SECONDS,
    UNINFORMED_GRACE_SECONDS,
    Fate,
    RemovalPlan,
    Surroundings,
    condition_of,
    digest_of,
    fate_of,
    plan_removal,
)

Kind = tuple[str, str, dict[str, str]]
BEFORE, OWNED_SINCE, AFTER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"
SLICE = (wk.SLICE_API_VERSION, wk.SLICE_KIND, {wk.SLICE_MANAGED_BY: wk.SLICE_DISPATCHER})
IMPORTED = (wk.SLICE_API_VERSION, wk.SLICE_KIND, {wk.SLICE_MANAGED_BY: wk.SLICE_IMPORTER})
NATIVE = (wk.SLICE_API_VERSION, wk.SLICE_KIND, {wk.SLICE_MANAGED_BY: "endpointslice-controller.k8s.io"})
SERVICE: Kind = ("v1", wk.SERVICE_KIND, {})
DEPLOYMENT: Kind = ("apps/v1", "Deployment", {})
NAMESPACE: Kind = ("v1", wk.NAMESPACE_KIND, {})


def made(kind: Kind, name: str = "a", *, work: str = "karmada-es-m1/w", age: str = AFTER, managed: bool = True) -> Any:
    api_version, of, labels = kind
    marks = dict(zip((wk.WORK_NAMESPACE, wk.WORK_NAME), work.split("/"), strict=True)) if work else {}
    metadata = {
        "name": name,
        "namespace": "" if of == wk.NAMESPACE_KIND else "default",
        "uid": f"{of}-{name}",
        "creationTimestamp": age,
        "labels": labels | ({wk.MANAGED: "true"} if managed else {}),
        "annotations": marks,
    }
    return decode_unstructured(msgspec.json.encode({"apiVersion": api_version, "kind": of, "metadata": metadata}))


def around(
    *, works: frozenset[str] = frozenset(), clusters: tuple[str, ...] = ("m1", "m2"), knows: bool = True, **more: Any
) -> Surroundings:
    fields: dict[str, Any] = {
        "cluster": "m1",
        "exists": lambda namespace, name: f"{namespace}/{name}" in works,
        "earlier": ("before",),
        "registered": lambda name: name in clusters,
        "carried": lambda _: False,
        "coming": (lambda _: False) if knows else None,
        "owned_since": datetime(2026, 1, 2, tzinfo=UTC),
    }
    return Surroundings(**fields | more)


@pytest.mark.parametrize(
    ("obj", "more", "fate"),
    [
        pytest.param(made(SLICE), {}, Fate.STALE, id="a-copy"),
        pytest.param(made(IMPORTED), {}, Fate.STALE, id="an-imported-slice"),
        pytest.param(made(SERVICE), {}, Fate.STALE, id="a-service"),
        pytest.param(made(SLICE, work="karmada-es-before/w"), {}, Fate.STALE, id="of-the-clusters-earlier-name"),
        pytest.param(made(SLICE, work="karmada-es-gone/w"), {}, Fate.STRANGE, id="of-a-cluster-that-is-not-registered"),
        pytest.param(made(DEPLOYMENT, work="karmada-es-gone/w"), {}, Fate.FINE, id="a-workload-of-such-a-one"),
        pytest.param(made(SLICE, work="karmada-es-m2/w"), {}, Fate.FINE, id="of-another-cluster"),
        pytest.param(made(SLICE), {"works": frozenset({"karmada-es-m1/w"})}, Fate.FINE, id="with-its-work"),
        pytest.param(made(SLICE), {"carried": lambda _: True}, Fate.FINE, id="carried-by-another-work"),
        pytest.param(made(SLICE), {"coming": lambda _: True}, Fate.COMING, id="about-to-be-carried"),
        pytest.param(made(SLICE, managed=False), {}, Fate.FINE, id="not-managed"),
        pytest.param(made(NATIVE, work=""), {}, Fate.FINE, id="a-native-slice-with-its-services-label"),
        pytest.param(made(SLICE, work="default/w"), {}, Fate.FINE, id="of-no-execution-namespace"),
        pytest.param(made(NATIVE), {}, Fate.KEPT, id="a-slice-of-somebody-else"),
        pytest.param(made(DEPLOYMENT), {}, Fate.KEPT, id="a-workload"),
        pytest.param(made(NAMESPACE), {}, Fate.KEPT, id="a-namespace"),
    ],
)
def test_what_becomes_of_an_object(obj: Unstructured, more: Any, fate: Fate) -> None:
    assert fate_of(obj, around(**more)) is fate


def plan(*objects: Unstructured, now: float = 0.0, seen: Any = None, confirmed: Any = (), **more: Any) -> RemovalPlan:
    return plan_removal(objects, around(**more), seen=seen or {}, now=now, confirmed=confirmed)


def test_copies_go_at_once_and_services_after_a_while() -> None:
    first = plan(made(SLICE), made(SERVICE))
    assert [one.metadata.uid for one in first.remove] == ["EndpointSlice-a"]
    assert first.look_again == GRACE_SECONDS
    later = plan(made(SERVICE), now=GRACE_SECONDS - 1, seen=first.seen)
    assert (later.remove, later.look_again) == ((), 1.0)
    assert plan(made(SERVICE), now=GRACE_SECONDS, seen=first.seen).remove == (made(SERVICE),)


def test_who_cannot_know_what_comes_waits_with_copies_too() -> None:
    first = plan(made(SLICE), knows=False)
    assert (first.remove, first.look_again) == ((), UNINFORMED_GRACE_SECONDS)
    assert plan(made(SLICE), now=UNINFORMED_GRACE_SECONDS, seen=first.seen, knows=False).remove


def test_what_is_about_to_be_carried_is_looked_at_again() -> None:
    coming = plan(made(SLICE), coming=lambda _: True)
    assert (coming.remove, coming.look_again) == ((), GRACE_SECONDS)


def many(count: int, kind: Kind = SLICE, **fields: Any) -> list[Any]:
    return [made(kind, str(number), **fields) for number in range(count)]


@pytest.mark.parametrize(
    ("stale", "others", "held"),
    [(FEW, 0, False), (FEW + 1, 0, True), (FEW + 1, FEW, True), (FEW + 1, FEW + 1, False), (2 * FEW, 2 * FEW, False)],
)
def test_more_than_half_are_left_to_people_unless_they_are_few(stale: int, others: int, *, held: bool) -> None:
    works = frozenset({"karmada-es-m1/there"})
    objects = [*many(stale), *many(others, SERVICE, work="karmada-es-m1/there")]
    found = plan(*objects, works=works)
    assert len(found.held) == (stale if held else 0)
    assert len(found.remove) == (0 if held else stale)
    condition = condition_of(found)
    assert condition.status == ("False" if held else "True")
    assert (f"{wk.REMOVE_STALE}={digest_of(found.held)}" in condition.message) is held


def test_what_waits_counts_among_what_would_go() -> None:
    found = plan(*many(FEW), *many(FEW, SERVICE))
    assert len(found.held) == 2 * FEW


def test_native_slices_are_not_counted() -> None:
    found = plan(*many(FEW + 1), *many(20, NATIVE, work=""))
    assert len(found.held) == FEW + 1


def test_what_is_older_than_the_ownership_is_left_to_people() -> None:
    found = plan(made(SLICE, "old", age=BEFORE), made(SLICE, "same", age=OWNED_SINCE), made(SLICE, "new"))
    assert [one.metadata.name for one in found.held] == ["old"]
    assert {one.metadata.name for one in found.remove} == {"same", "new"}
    assert "older than the ownership of the member" in condition_of(found).message


def test_what_names_a_cluster_nobody_knows_is_left_to_people_and_goes_with_their_consent() -> None:
    found = plan(made(SLICE, work="karmada-es-gone/w"), made(SERVICE, work="karmada-es-gone/w"), made(SLICE, "mine"))
    assert [one.metadata.name for one in found.remove] == ["mine"]
    assert len(found.held) == 2
    assert "may be another control plane's" in condition_of(found).message
    confirmed = {one.metadata.uid for one in found.held}
    assert len(plan(*found.held, confirmed=confirmed).remove) == 2


def test_what_people_agreed_to_lose_goes_at_once_and_nothing_else() -> None:
    objects = [*many(FEW + 1), *many(FEW, SERVICE)]
    confirmed = {one.metadata.uid for one in objects}
    found = plan(*objects, confirmed=confirmed)
    assert {one.metadata.uid for one in found.remove} == confirmed
    newer = [made(IMPORTED, f"n{number}") for number in range(FEW + 1)]
    both = plan(*objects, *newer, confirmed=confirmed)
    assert {one.metadata.uid for one in both.remove} == confirmed
    assert len(both.held) == len(newer)


_OBJECTS = st.lists(
    st.builds(
        made,
        st.sampled_from([SLICE, IMPORTED, NATIVE, SERVICE, DEPLOYMENT, NAMESPACE]),
        st.sampled_from([str(number) for number in range(30)]),
        work=st.sampled_from(
            ["karmada-es-m1/w", "karmada-es-m1/x", "karmada-es-m2/w", "karmada-es-gone/w", "karmada-es-before/w", ""]
        ),
        age=st.sampled_from([BEFORE, AFTER]),
        managed=st.booleans(),
    ),
    unique_by=lambda one: one.metadata.uid,
    max_size=20,
)
_WORKS = st.frozensets(st.sampled_from(["karmada-es-m1/w", "karmada-es-m1/x", "karmada-es-gone/w"]))


@given(objects=_OBJECTS, works=_WORKS, knows=st.booleans(), seconds=st.floats(0, 100))
def test_no_fleet_is_lost(objects: list[Any], works: frozenset[str], *, knows: bool, seconds: float) -> None:
    first = plan(*objects, works=works, knows=knows)
    found = plan(*objects, works=works, knows=knows, now=seconds, seen=first.seen)
    here = around(works=works)
    for one in found.remove:
        assert fate_of(one, here) is Fate.STALE
        assert one.metadata.creation_timestamp == AFTER
        assert one.content["kind"] in (wk.SERVICE_KIND, wk.SLICE_KIND)
    named = [one for one in objects if one.metadata.annotations]
    assert len(found.remove) <= max(FEW, len(named) // 2)
    assert not {one.metadata.uid for one in found.remove} & {one.metadata.uid for one in found.held}
    # Carried out, the plan has nothing more to remove, and still holds what it held.
    gone = {one.metadata.uid for one in found.remove}
    again = plan(
        *[one for one in objects if one.metadata.uid not in gone],
        works=works,
        knows=knows,
        now=seconds,
        seen=found.seen,
    )
    assert again.remove == ()


@given(objects=_OBJECTS, works=_WORKS)
def test_a_confirmation_is_for_these_objects_alone(objects: list[Any], works: frozenset[str]) -> None:
    found = plan(*objects, works=works)
    confirmed = {one.metadata.uid for one in found.held}
    after = plan(*objects, works=works, confirmed=confirmed)
    assert confirmed <= {one.metadata.uid for one in after.remove}
    assert after.held == ()
    assert (digest_of(found.held) == digest_of(found.held[1:])) is (not found.held)
