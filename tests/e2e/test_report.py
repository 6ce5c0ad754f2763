"""The report about the behaviours is reproducible."""

from __future__ import annotations

from tests.support.conformance import KARMADA, Behaviour, Check, Report, Row

CHAPTERS = {"test_b": "First", "test_a": "Second"}


def report(measured: str = "") -> Report:
    made = Report(CHAPTERS)
    made.versions["Kubernetes"] = "v1.2.3"
    for test, module in (("a", "test_a"), ("b", "test_b")):
        row = made.row(test, module, Behaviour(sentence=f"{test} | holds", level="Required", clause=KARMADA))
        row.result = "pass"
        row.checks.append(Check(what="Pods", expected="2", observed="2", passed=True, measured=measured))
    return made


def row_of(made: Report, test: str) -> Row:
    row = made.find(test)
    assert row is not None
    return row


def test_the_document_has_the_chapters_in_their_order_whatever_ran_first():
    document = report().markdown()
    assert document.index("## First") < document.index("b \\| holds") < document.index("## Second")
    assert "**2 of 2 behaviours hold**, with Kubernetes v1.2.3." in document


def test_what_differs_from_run_to_run_is_not_in_the_document():
    assert report("17 requests").markdown() == report("18 requests").markdown()
    assert any("17 requests" in str(cell) for column in report("17 requests").table().columns for cell in column.cells)


def test_a_failure_is_told():
    made = report()
    row_of(made, "a").result = "FAIL"
    assert "**1 of 2 behaviours hold**" in made.markdown()
    assert "| **FAIL** |" in made.markdown()
    assert made.writable


def test_nothing_is_written_unless_everything_was_tried():
    made = report()
    made.complete = False
    assert not made.writable
    for result in ("skipped", "not run"):
        made = report()
        row_of(made, "b").result = result
        assert not made.writable
    assert not Report(CHAPTERS).writable
