"""docs/parity.md: which tests show what, read from their files."""

from __future__ import annotations

from dataclasses import replace
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from tools.parity import CONTRACT, Contract, OneTest, Shown, collect, numbers_in, page, problems, shown_by
from tools.parity_cases import Case, Opening
from tools.parity_clauses import Clause, Deviation

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("test_case_01_a_deleted_service", {("case", 1)}),
        ("test_cases_37_and_39_what_stays", {("case", 37), ("case", 39)}),
        ("test_openings_03_and_20_and_case_54_what_went", {("opening", 3), ("opening", 20), ("case", 54)}),
        ("case-12 another type", {("case", 12)}),
        ("case-88-not-over", {("case", 88)}),
        ("case 78, its id: Work", {("case", 78)}),
        ("case 72: rule 4 refuses a name twice", {("case", 72)}),
        ("opening-20 created", {("opening", 20)}),
        ("cases 1, 2 and 30", {("case", 1), ("case", 2), ("case", 30)}),
        ("test_in_any_case_it_ends", set()),
        ("test_uppercase_names", set()),
    ],
)
def test_numbers_are_read_from_names_and_ids(text: str, found: set[tuple[str, int]]):
    assert numbers_in(text) == found


def written(root: Path, **files: str) -> list[OneTest]:
    """What is collected from files of tests/."""
    for name, text in files.items():
        path = root / "tests" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))
    return collect(root)


def test_functions_are_found_wherever_they_are_defined(tmp_path: Path):
    found = written(
        tmp_path,
        test_one="""
            async def test_b(): ...
            def helper(): ...
            class TestThings:
                def test_a(self): ...
        """,
        support="def test_not_in_a_test_file(): ...",
    )
    assert found == [OneTest("tests/test_one.py", "test_b"), OneTest("tests/test_one.py", "test_a")]


def test_ids_are_found_where_parameters_are_written_down(tmp_path: Path):
    [test] = written(
        tmp_path,
        test_one="""
            import pytest
            from tests.rules import REFUSED as OTHERS, unknown
            HERE: list = [pytest.param(1, id="assigned here")]
            @pytest.mark.parametrize("a", [pytest.param(1, id="literal"), 2, *HERE])
            @pytest.mark.parametrize("b", OTHERS + [pytest.param(1, id="added")])
            @pytest.mark.parametrize("c", [1, 2], ids=["by ids", None])
            @pytest.mark.parametrize("d", unknown)
            @pytest.mark.parametrize("e", argvalues=(pytest.param(1, id="by name"),))
            @pytest.mark.timeout(3)
            def test_it(a, b, c, d, e): ...
        """,
        rules="""
            import pytest
            REFUSED = [pytest.param(1, id="imported")]
        """,
    )
    assert set(test.ids) == {"literal", "assigned here", "imported", "added", "by ids", "by name"}


def test_ids_that_a_comprehension_may_leave_out_do_not_count(tmp_path: Path):
    [test] = written(
        tmp_path,
        test_one="""
            import pytest
            ALL = [pytest.param(1, id="case-1 left out")]
            @pytest.mark.parametrize("a", [one for one in ALL if one.values[0] > 1])
            def test_it(a): ...
        """,
    )
    assert test.ids == ()


def test_a_name_speaks_for_all_parameters_and_an_id_for_itself():
    one = OneTest("tests/a.py", "test_case_1_and_more", ("case-1 this", "case-2 that", "case-2 other", "rest"))
    assert shown_by([one]) == {
        ("case", 1): [Shown("tests/a.py", "test_case_1_and_more")],
        ("case", 2): [Shown("tests/a.py", "test_case_1_and_more", ("case-2 that", "case-2 other"))],
    }


CASE = Case(1, "part", "given", "expected")
OPENING = Opening(1, "situation", "theirs", "ours")
CLAUSE = Clause("Chapter", "1.1", "text", cases=(1,))
DEVIATION = Deviation("key", "ours", "theirs", "why")
TESTS = [OneTest("tests/a.py", "test_case_1_x"), OneTest("tests/a.py", "test_opening_1_y")]


SMALL = Contract((CLAUSE,), (CASE,), (OPENING,), ())


def wrong(tests: list[OneTest] = TESTS, **fields: Any) -> list[str]:
    """The problems of a small world in which all is well but for what is given."""
    return problems(replace(SMALL, **{name: tuple(one) for name, one in fields.items()}), tests)


def test_all_is_well_when_everything_has_its_test():
    assert wrong() == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        pytest.param({"tests": TESTS[1:]}, "case 1 has no test", id="the test of a case vanished"),
        pytest.param({"tests": TESTS[:1]}, "opening 1 has no test", id="the test of an opening vanished"),
        pytest.param(
            {"tests": [*TESTS, OneTest("tests/a.py", "test_case_96_z")]},
            "test_case_96_z speaks of case 96, which there is not",
            id="a number that is none",
        ),
        pytest.param(
            {"clauses": [replace(CLAUSE, tests=("tests/a.py::test_gone",))]},
            "clause 1.1 (text...) names tests/a.py::test_gone, which is not there",
            id="a test of a clause vanished",
        ),
        pytest.param(
            {"clauses": [replace(CLAUSE, tests=("tests/gone.py",))]},
            "clause 1.1 (text...) names tests/gone.py, which is not there",
            id="a file of a clause vanished",
        ),
        pytest.param(
            {"clauses": [CLAUSE, replace(CLAUSE, section="2", cases=())]},
            "clause 2 (text...) is shown by nothing",
            id="a clause without anything",
        ),
        pytest.param(
            {"clauses": [replace(CLAUSE, cases=(), tests=("tests/a.py",))]},
            "case 1 belongs to no clause",
            id="a case without clause",
        ),
        pytest.param(
            {"clauses": [replace(CLAUSE, cases=(1, 2))]},
            "case 2 of a clause does not exist",
            id="a clause of a case that is none",
        ),
        pytest.param(
            {"cases": [replace(CASE, deviations=("key",))]},
            "deviation key is not described",
            id="a deviation without reason",
        ),
        pytest.param(
            {"deviations": [DEVIATION]}, "deviation key is of no clause and no case", id="a deviation of nothing"
        ),
    ],
)
def test_what_is_wrong_is_said(fields: dict[str, Any], problem: str):
    assert wrong(**fields) == [problem]


def test_what_is_known_to_be_missing_is_no_problem():
    later = {"cases": [replace(CASE, lacks="later")], "openings": [replace(OPENING, lacks="later")]}
    assert wrong(tests=[], **later) == []


def test_a_clause_may_name_a_test_or_a_whole_file():
    assert wrong(clauses=[replace(CLAUSE, tests=("tests/a.py", "tests/a.py::test_case_1_x"))]) == []


def test_every_case_and_opening_has_its_number():
    assert [one.number for one in CONTRACT.cases] == list(range(1, 96))
    assert [one.number for one in CONTRACT.openings] == list(range(1, 29))


def rows(contract: Contract, tests: list[OneTest]) -> list[str]:
    """The rows of the page's tables, without their heads."""
    lines = page(contract, tests).splitlines()
    heads = {number - 1 for number, line in enumerate(lines) if line.startswith("|---")}
    return [line for number, line in enumerate(lines) if line.startswith("| ") and number not in heads]


def test_everything_has_its_row():
    clause = replace(CLAUSE, tests=("tests/a.py", "tests/a.py::test_case_1_x"), deviations=("key",))
    case = replace(CASE, deviations=("key",))
    tests = [*TESTS, OneTest("tests/b.py", "test_z", ("opening-1 a|b", "opening-1 c"))]
    assert rows(Contract((clause,), (case,), (OPENING,), (DEVIATION,)), tests) == [
        '| <a id="d1"></a>D1 | ours | theirs | why |',
        "| 1.1 | text | cases [1](#case-1)<br>[a.py](../tests/a.py)<br>[test_case_1_x](../tests/a.py) | [D1](#d1) |",
        '| <a id="case-1"></a>1 | part | given | expected | [test_case_1_x](../tests/a.py) | [D1](#d1) |',
        "| 1 | situation | theirs | ours "
        "| [test_opening_1_y](../tests/a.py)<br>[test_z](../tests/b.py) `[opening-1 a\\|b]` `[opening-1 c]` | shown |",
    ]


@pytest.mark.parametrize(("tests", "state"), [([], "not yet: later"), (TESTS, "in part: later")], ids=["none", "some"])
def test_what_is_missing_is_said(tests: list[OneTest], state: str):
    clause, case = replace(CLAUSE, lacks="later"), replace(CASE, lacks="later")
    found = rows(Contract((clause,), (case,), (replace(OPENING, lacks="later"),), ()), tests)
    assert ["*not yet: later*" in row for row in found] == [True, True, False]
    assert found[-1].endswith(f"| {state} |")
