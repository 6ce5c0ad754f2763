"""How long a provider that is not ready keeps its endpoints, and the way to say it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.durations import parse_duration
from mcs_controller.domain.withdrawal import SERVICE_GONE_SECONDS, service_gone_due, withdrawal_due, withdrawal_period
from tests.support.builders import a_cluster, an_mcs, cluster, decode

NOW = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("0s", 0.0), ("15s", 15.0), ("2m0s", 120.0), ("1h30m", 5400.0), ("500ms", 0.5), ("1.5s", 1.5)],
)
def test_a_duration_is_written_as_go_writes_it(text: str, seconds: float):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 m", "-5s", "5m!", "m", "five"])
def test_what_is_no_duration_is_refused_with_an_example(text: str):
    with pytest.raises(ValueError, match="is not a duration; write it like 15s, 2m0s or 500ms"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("annotations", "default", "period"),
    [({}, 0.0, 0.0), ({}, 30.0, 30.0), ({wk.WITHDRAW_AFTER: "5m"}, 30.0, 300.0), ({wk.WITHDRAW_AFTER: "0"}, 30.0, 0.0)],
    ids=["never", "the flag's", "its own", "never, whatever the flag says"],
)
def test_opening_24_a_service_may_say_it_for_itself(annotations: dict[str, str], default: float, period: float):
    assert withdrawal_period(an_mcs(metadata={"annotations": annotations}), default) == (period, None)


def test_opening_24_an_annotation_that_cannot_be_read_is_ignored_and_named():
    period, problem = withdrawal_period(an_mcs(metadata={"annotations": {wk.WITHDRAW_AFTER: "soon"}}), 30.0)
    assert period == 30.0
    assert problem == (
        f"annotation {wk.WITHDRAW_AFTER} is ignored: 'soon' is not a duration; write it like 15s, 2m0s or 500ms"
    )


def since(status: str, at: str | None) -> Any:
    """A Cluster whose condition Ready has that status since then."""
    content = cluster("m1", ready=status)
    content["status"]["conditions"][0]["lastTransitionTime"] = at
    return decode(content)


@pytest.mark.parametrize(
    ("provider", "period", "due"),
    [
        (since("False", "2026-01-01T00:08:00Z"), 300.0, 180.0),
        (since("Unknown", "2026-01-01T00:08:00Z"), 300.0, 180.0),
        (since("False", "2026-01-01T00:05:00Z"), 300.0, 0.0),
        (since("False", "2026-01-01T00:00:00Z"), 300.0, -300.0),
        (since("False", "2026-01-01T00:08:00"), 300.0, 180.0),
        (since("False", "2026-01-01T02:08:00+02:00"), 300.0, 180.0),
        (since("True", "2026-01-01T00:00:00Z"), 300.0, None),
        (since("False", "2026-01-01T00:00:00Z"), 0.0, None),
        (since("False", None), 300.0, None),
        (since("False", "yesterday"), 300.0, None),
        (a_cluster("m1", ready=None), 300.0, None),
        (None, 300.0, None),
    ],
    ids=[
        "not ready",
        "unknown",
        "due now",
        "overdue",
        "without a zone",
        "in another zone",
        "ready",
        "never",
        "no time",
        "no such time",
        "never said",
        "no such cluster",
    ],
)
def test_opening_24_the_time_counts_from_the_clusters_own_condition(provider: Any, period: float, due: float | None):
    assert withdrawal_due(provider, period, NOW) == due


@pytest.mark.parametrize(
    ("gone_for", "due"),
    [(None, None), (0.0, SERVICE_GONE_SECONDS), (3.0, SERVICE_GONE_SECONDS - 3), (SERVICE_GONE_SECONDS + 1, -1.0)],
    ids=["there", "just gone", "gone for a moment", "overdue"],
)
def test_the_copies_of_a_service_that_is_gone_stay_for_a_moment(gone_for: float | None, due: float | None):
    assert service_gone_due(gone_for) == due
