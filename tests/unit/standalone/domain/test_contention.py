"""When an object is written again that somebody else keeps changing back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcs_controller.standalone.domain.contention import (
    REPAIRS,
    LastWrite,
    after_write,
    contended,
    is_forgotten,
    last_writer,
    seconds_to_settle,
    seconds_to_wait,
    with_rival,
)

Json = dict[str, Any]


def repaired(times: int, *, every: float = 0.0) -> LastWrite:
    """What is remembered after a write and so many repairs."""
    last = after_write(None, 1, 0.0)
    for number in range(times):
        last = after_write(last, 1, (number + 1) * every)
    return last


def test_some_drifts_are_repaired_at_once_and_then_each_write_waits_longer() -> None:
    waits = [seconds_to_wait(repaired(times), 1, 0.0) for times in range(REPAIRS + 9)]
    assert waits == [*[0.0] * REPAIRS, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]
    assert seconds_to_wait(None, 1, 0.0) == 0.0
    assert seconds_to_wait(repaired(10**6), 1, 0.0) == 300.0
    assert seconds_to_wait(repaired(REPAIRS), 1, 3.0) == 2.0
    assert seconds_to_wait(repaired(REPAIRS), 1, 6.0) == 0.0


def test_another_manifest_does_not_wait_and_is_no_repair() -> None:
    last = repaired(REPAIRS + 1)
    assert seconds_to_wait(last, 2, 0.0) == 0.0
    last = after_write(last, 2, 1.0)
    assert last.repairs == REPAIRS + 1
    assert seconds_to_wait(last, 2, 1.0) == 10.0
    last = after_write(repaired(0), 2, 0.0)
    assert last.repairs == 0


def test_drifts_that_are_far_apart_are_no_contention() -> None:
    assert repaired(100, every=601.0).repairs == 0
    assert repaired(REPAIRS, every=600.0).repairs == REPAIRS
    assert is_forgotten(repaired(0), 601.0)


def test_it_is_over_once_the_object_has_stayed_as_it_was_written() -> None:
    assert seconds_to_settle(None, 0.0) == 0.0
    assert seconds_to_settle(repaired(REPAIRS), 0.0) == 0.0  # no write had to wait
    assert seconds_to_settle(with_rival(repaired(REPAIRS), ""), 0.0) == 5.0
    last = with_rival(repaired(REPAIRS + 8), "kubectl")
    assert [seconds_to_settle(last, now) for now in (0.0, 29.0, 30.0)] == [30.0, 1.0, 0.0]


def test_name_stays_until_another_is_known() -> None:
    last = after_write(with_rival(repaired(REPAIRS), "kubectl"), 1, 0.0)
    assert (last.rival, last.asked) == ("kubectl", False)
    assert (with_rival(last, "").rival, with_rival(last, "helm").rival) == ("kubectl", "helm")
    assert after_write(last, 1, 601.0).rival is None


@given(st.lists(st.tuples(st.floats(0, 700), st.booleans()), max_size=200))
def test_writes_of_one_manifest_are_few_whatever_the_other_does(steps: list[tuple[float, bool]]) -> None:
    """Six at once; then one after each wait, of which the sixth and all that follow are five minutes."""
    now, last, wrote = 0.0, None, list[float]()
    for seconds, at_once in steps:
        now += 0.0 if at_once else seconds
        if not seconds_to_wait(last, 1, now):
            last = after_write(last, 1, now)
            wrote.append(now)
    for begin in wrote:
        assert sum(begin <= one <= begin + 300 for one in wrote) <= REPAIRS + 1 + 7


# --- who it is --------------------------------------------------------------------------------------------------------


def entry(manager: str, time: str = "2026-01-01T00:00:00Z", **fields: Any) -> Json:
    return {"manager": manager, "time": time, "operation": "Update"} | fields


@pytest.mark.parametrize(
    ("entries", "name"),
    [
        ([], ""),
        ([entry("mcs-controller-manager"), entry("mcs-controller-agent")], ""),
        ([entry("kubectl"), entry("mcs-controller-manager", "2026-01-02T00:00:00Z")], "kubectl"),
        ([entry("helm", "2026-01-01T00:00:01Z"), entry("kubectl")], "helm"),
        ([entry("kubectl"), entry("kubelet", "2026-01-02T00:00:00Z", subresource="status")], "kubectl"),
        ([entry("karmada-controller-manager")], "karmada-controller-manager"),
        ([{"manager": "kubectl"}], "kubectl"),
        ([entry("a\n2026 INFO\x1b[2J")], "a\\n2026 INFO\\x1b[2J"),
        ([entry("x" * 200)], "x" * 63 + "…"),
        ([entry("")], ""),
        ([{"manager": 5}], ""),
        ([5], ""),
        ("kubectl", ""),
        (None, ""),
    ],
)
def test_newest_field_manager_that_is_not_ours(entries: Any, name: str) -> None:
    assert last_writer({"metadata": {"managedFields": entries}}) == name


def test_object_without_metadata_names_nobody() -> None:
    assert last_writer({}) == last_writer({"metadata": 5}) == ""


def test_text_names_the_object_and_who_writes_it() -> None:
    until = "it is written less and less often until that stops"
    assert contended("Service", "shop", "web", "kubectl") == (
        f"Service shop/web: somebody else writes it: kubectl; {until}"
    )
    assert contended("Namespace", "", "shop", "") == (
        f"Namespace shop: somebody else writes it: unknown, its managedFields name nobody; {until}"
    )
