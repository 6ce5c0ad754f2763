"""The verdict: the first broken link is named, independent faults are listed, consequences are hidden."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mcs_controller.diagnosis.findings import CONTROL_PLANE, Finding, Link, ObjectRef, Severity
from mcs_controller.diagnosis.rules import RULES
from mcs_controller.diagnosis.rules.rule import Rule, Scope
from mcs_controller.diagnosis.verdict import diagnose
from mcs_controller.diagnosis.world import CLUSTERS, Snapshot, Unseen, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcs_controller.diagnosis.rules.rule import Context

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def rule(code: str, link: Link, *, scope: Scope = Scope.WORLD, symptom: bool = False, **about: Any) -> Rule:
    """A rule that finds something each time; `unseen` names clusters that it cannot look at."""
    blind = about.get("unseen", ())

    def check(context: Context) -> Iterator[Finding]:
        if context.cluster in blind:
            raise Unseen(f"pods of {context.cluster}: 403")
        yield context.found(ObjectRef(context.cluster, "Thing"), f"{code} is wrong")

    return Rule(
        code=code,
        title="a title",
        link=link,
        scope=scope,
        severity=about.get("severity", Severity.ERROR),
        symptom=symptom,
        meaning="",
        evidence="",
        fix="",
        check=check,
    )


def world(*members: str) -> World:
    host = Snapshot()
    host.add(CLUSTERS, [{"metadata": {"name": name}} for name in members])
    return World(now=NOW, host=host, members={name: Snapshot(name=name) for name in members})


def test_the_first_link_is_the_verdict_and_independent_faults_are_listed():
    diagnosis = diagnose(world(), [rule("MCS902", Link.TRAFFIC), rule("MCS901", Link.PROVIDER)])
    assert diagnosis.verdict is not None
    assert diagnosis.verdict.code == "MCS901"
    assert [one.code for one in diagnosis.findings] == ["MCS901", "MCS902"]


def test_a_symptom_is_hidden_by_a_cause_of_the_same_cluster_alone():
    cause = rule("MCS901", Link.CLUSTERS, scope=Scope.MEMBER, unseen=("b",))
    diagnosis = diagnose(world("a", "b"), [cause, rule("MCS902", Link.CONSUMER, scope=Scope.MEMBER, symptom=True)])
    assert [(one.code, one.object.cluster) for one in diagnosis.hidden] == [("MCS902", "a")]
    shown = {(one.code, one.object.cluster, one.severity) for one in diagnosis.findings}
    assert ("MCS902", "b", Severity.ERROR) in shown
    assert ("MCS901", "b", Severity.UNKNOWN) in shown


def test_of_two_symptoms_the_earlier_one_is_shown_and_a_warning_explains_nothing():
    symptoms = [rule("MCS902", Link.DELIVERY, symptom=True), rule("MCS903", Link.DELIVERY, symptom=True)]
    diagnosis = diagnose(world(), [rule("MCS901", Link.CLUSTERS, severity=Severity.WARNING), *symptoms])
    assert [one.code for one in diagnosis.findings] == ["MCS901", "MCS902"]
    assert [one.code for one in diagnosis.hidden] == ["MCS903"]


def test_what_cannot_be_looked_at_is_neither_healthy_nor_the_verdict():
    diagnosis = diagnose(world("a"), [rule("MCS901", Link.PROVIDER, scope=Scope.MEMBER, unseen=("a",))])
    assert diagnosis.verdict is None
    assert diagnosis.severity is Severity.UNKNOWN
    assert diagnosis.checked == frozenset()
    assert diagnosis.findings[0].evidence == "pods of a: 403"


def test_a_snapshot_tells_nothing_of_what_was_not_read():
    snapshot = Snapshot(name="a")
    diagnosis = diagnose(World(now=NOW, host=snapshot, service=("default", "web")), RULES.values())
    assert diagnosis.verdict is None or diagnosis.verdict.object.cluster == CONTROL_PLANE
    assert any(one.severity is Severity.UNKNOWN for one in diagnosis.findings)
