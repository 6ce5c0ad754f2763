"""docs/parity.md names only tests that exist, and every case, opening and clause has tests."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "parity.md").read_text()
TESTS = {path: path.read_text() for path in sorted((ROOT / "tests").rglob("*.py"))}
# A test's name, or the id of a parameter: test_cases_01_and_02_..., "case-27 a consumer".
NAME = re.compile(r"""def (test_\w+)|["']((?:case|opening)s?[ -][^"']*)["']""")
NUMBERS = re.compile(r"(case|opening)s?[ _-](\d+(?:(?:_and_|, | and )\d+)*)(?!\d)")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| |", "| #", "| §"))]


def shown() -> set[tuple[str, int]]:
    """The cases and openings that tests have in their names or ids."""
    return {
        (kind, int(number))
        for text in TESTS.values()
        for names in NAME.findall(text)
        for kind, numbers in NUMBERS.findall(" ".join(names))
        for number in re.findall(r"\d+", numbers)
    }


def listed() -> dict[tuple[str, int], str]:
    """The cases and openings of the page, and the rows that they are in."""
    anchors = {row: re.match(r'\| <a id="(case|opening)-(\d+)"></a>\2 ', row) for row in ROWS}
    return {(found[1], int(found[2])): row for row, found in anchors.items() if found}


def test_every_case_and_opening_has_a_test_and_no_test_speaks_of_another():
    waiting = {one for one, row in listed().items() if "not yet" in row}
    assert len(listed()) > 100
    assert shown() >= listed().keys() - waiting
    assert shown() <= listed().keys()


def test_every_clause_has_evidence():
    clauses = [row for row in ROWS if re.match(r"\| \d", row)]
    assert len(clauses) > 30
    assert [row for row in clauses if "](../tests/" not in row and "](#case-" not in row] == []


@pytest.mark.parametrize(("name", "path"), sorted(set(re.findall(r"\[([^\]]+)\]\(\.\./(tests/[^)]+)\)", PAGE))))
def test_every_test_that_is_linked_exists(name: str, path: str):
    if name.startswith("test_"):
        assert f"def {name}(" in TESTS[ROOT / path]
    else:
        assert (ROOT / path).exists()


def test_every_anchor_that_is_linked_exists_once():
    anchors = re.findall(r'<a id="([^"]+)">', PAGE)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#((?:d|case-|opening-)\d+)\)", PAGE)) <= set(anchors)


def test_every_deviation_is_that_of_a_clause_or_case():
    anchors = set(re.findall(r'<a id="(d\d+)">', PAGE))
    assert set(re.findall(r"\]\(#(d\d+)\)", PAGE)) == anchors
