"""Make docs/parity.md: what of the wire contract is shown by which test, and where we differ from Karmada.

`--check` writes nothing; it fails if the page is out of date, or if a case, an opening or a clause has lost its test.

The clauses, cases, openings and deviations are data (`parity_clauses`, `parity_cases`). Tests are found by the numbers
in their ids, `test_case_21_...`, `id="case-21 ..."`, `test_openings_01_and_02_...`, by reading the files and not by
running pytest: it takes a second, and needs no component.
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tools.parity_cases import CASES, OPENINGS, Case, Opening
from tools.parity_clauses import CLAUSES, DEVIATIONS, Clause, Deviation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "parity.md"

_NUMBERS: Final = re.compile(r"(case|opening)s?[ _-](\d+(?:(?:_and_|, | and )\d+)*)(?!\d)", re.IGNORECASE)

Number = tuple[str, int]
"""("case", 21) or ("opening", 1)."""


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything that the page speaks of."""

    clauses: tuple[Clause, ...]
    cases: tuple[Case, ...]
    openings: tuple[Opening, ...]
    deviations: tuple[Deviation, ...]


CONTRACT: Final = Contract(CLAUSES, CASES, OPENINGS, DEVIATIONS)


# --- which tests there are --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OneTest:
    """One test function.

    Attributes:
        path: of its file, from the project's root, with slashes.
        name: of the function.
        ids: of its parameters, as far as they are written down as strings.
    """

    path: str
    name: str
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """A test that shows something; with some of its parameters, or (no ids) as a whole."""

    path: str
    name: str
    ids: tuple[str, ...] = ()


def collect(root: Path) -> list[OneTest]:
    """The test functions below `root`/tests, by path and then as they stand in their file."""
    modules: dict[Path, _Module] = {}
    found = []
    for path in sorted((root / "tests").rglob("test_*.py")):
        module = _module(root, path, modules)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                ids = dict.fromkeys(one for each in node.decorator_list for one in _parameter_ids(each, module))
                found.append(OneTest(path.relative_to(root).as_posix(), node.name, tuple(ids)))
    return found


class _Module:
    """A parsed file, and what the names at its top level stand for."""

    def __init__(self, root: Path, path: Path, modules: dict[Path, _Module]) -> None:
        self.tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        self._root = root
        self._modules = modules
        self._assigned: dict[str, ast.expr] = {}
        self._imported: dict[str, tuple[Path, str]] = {}
        for node in self.tree.body:
            if isinstance(node, ast.Assign):
                self._assigned |= {one.id: node.value for one in node.targets if isinstance(one, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                self._assigned[node.target.id] = node.value
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                source = root / (node.module.replace(".", "/") + ".py")
                self._imported |= {one.asname or one.name: (source, one.name) for one in node.names}

    def resolve(self, name: str) -> tuple[ast.expr, _Module] | None:
        """What a name was assigned, and where that was; None if it cannot be told."""
        if name in self._assigned:
            return self._assigned[name], self
        source, name = self._imported.get(name, (self._root, ""))
        return _module(self._root, source, self._modules).resolve(name) if source.is_file() else None


def _module(root: Path, path: Path, modules: dict[Path, _Module]) -> _Module:
    if path not in modules:
        modules[path] = _Module(root, path, modules)
    return modules[path]


def _parameter_ids(decorator: ast.expr, module: _Module) -> Iterator[str]:
    if not (isinstance(decorator, ast.Call) and _called(decorator) == "parametrize"):
        return
    for values in decorator.args[1:]:
        yield from _ids(values, module)
    for keyword in decorator.keywords:
        if keyword.arg == "argvalues":
            yield from _ids(keyword.value, module)
        elif keyword.arg == "ids":
            yield from (text for one in ast.walk(keyword.value) if (text := _text(one)))


def _ids(values: ast.expr, module: _Module) -> Iterator[str]:
    """Ids of `pytest.param`s. Of a comprehension none: it may leave some of them out."""
    match values:
        case ast.Call() if _called(values) == "param":
            yield from (text for one in values.keywords if one.arg == "id" and (text := _text(one.value)))
        case ast.List(elts=each) | ast.Tuple(elts=each):
            for one in each:
                yield from _ids(one, module)
        case ast.Starred(value=inner):
            yield from _ids(inner, module)
        case ast.BinOp(left=left, right=right):
            yield from _ids(left, module)
            yield from _ids(right, module)
        case ast.Name(id=name):
            found = module.resolve(name)
            if found is not None:
                yield from _ids(*found)


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _text(node: ast.AST) -> str:
    """What a string literal says; empty for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


# --- what they show ---------------------------------------------------------------------------------------------------


def numbers_in(text: str) -> set[Number]:
    """The cases and openings that a test's name, or the id of a parameter, speaks of."""
    return {
        (match[1].lower(), int(number)) for match in _NUMBERS.finditer(text) for number in re.findall(r"\d+", match[2])
    }


def shown_by(tests: Iterable[OneTest]) -> dict[Number, list[Shown]]:
    """Case or opening to the tests that show it."""
    found: dict[Number, list[Shown]] = {}
    for test in tests:
        whole = numbers_in(test.name)
        parts: dict[Number, list[str]] = {}
        for one in test.ids:
            for number in numbers_in(one) - whole:
                parts.setdefault(number, []).append(one)
        for number in whole:
            found.setdefault(number, []).append(Shown(test.path, test.name))
        for number, ids in parts.items():
            found.setdefault(number, []).append(Shown(test.path, test.name, tuple(ids)))
    return found


def problems(contract: Contract, tests: Sequence[OneTest]) -> list[str]:
    """What is wrong with the data or with the tests, in words; empty if nothing is."""
    clauses, cases, openings = contract.clauses, contract.cases, contract.openings
    shown = shown_by(tests)
    there = {test.path for test in tests} | {f"{test.path}::{test.name}" for test in tests}
    known = {one.key for one in contract.deviations}
    named = {key for clause in clauses for key in clause.deviations} | {
        key for case in cases for key in case.deviations
    }
    in_clauses = {number for clause in clauses for number in clause.cases}
    numbers = {("case", one.number) for one in cases} | {("opening", one.number) for one in openings}
    return [
        *(f"case {one.number} has no test" for one in cases if not _shown_or_excused("case", one, shown)),
        *(f"opening {one.number} has no test" for one in openings if not _shown_or_excused("opening", one, shown)),
        *(
            f"{shown[one][0].name} speaks of {one[0]} {one[1]}, which there is not"
            for one in sorted(shown.keys() - numbers)
        ),
        *(
            f"clause {clause.section} ({clause.text[:40]}...) names {test}, which is not there"
            for clause in clauses
            for test in clause.tests
            if test not in there
        ),
        *(f"clause {one.section} ({one.text[:40]}...) is shown by nothing" for one in clauses if not _is_shown(one)),
        *(f"case {one.number} belongs to no clause" for one in cases if one.number not in in_clauses),
        *(f"case {one} of a clause does not exist" for one in sorted(in_clauses - {each.number for each in cases})),
        *(f"deviation {key} is not described" for key in sorted(named - known)),
        *(f"deviation {key} is of no clause and no case" for key in sorted(known - named)),
    ]


def _shown_or_excused(kind: str, one: Case | Opening, shown: Mapping[Number, list[Shown]]) -> bool:
    return bool(shown.get((kind, one.number)) or one.lacks)


def _is_shown(clause: Clause) -> bool:
    return bool(clause.cases or clause.tests or clause.lacks)


# --- the page ---------------------------------------------------------------------------------------------------------

_HEAD: Final = """\
# Parity with Karmada

For operators who replace Karmada's MultiClusterService controllers by this one, or run it beside Karmada; and for
engineers who want to know what is promised, and by which test. Made by `make docs` from `tools/parity_clauses.py`,
`tools/parity_cases.py` and the numbers in the tests' ids; do not edit. `make lint` fails if a test has gone.

"Karmada" is the development line after v1.18. The *wire contract* is everything that an implementation reads and writes
on API servers, so that it can be exchanged for Karmada's own, object by object; its clauses are listed in our words.
"""


def page(contract: Contract, tests: Sequence[OneTest]) -> str:
    """docs/parity.md."""
    shown = shown_by(tests)
    marks = {one.key: f"D{number}" for number, one in enumerate(contract.deviations, 1)}

    def links(keys: Iterable[str]) -> str:
        return " ".join(
            f"[{marks[key]}](#{marks[key].lower()})" for key in sorted(keys, key=lambda one: int(marks[one][1:]))
        )

    lines = [_HEAD, "## In short", "", *_summary(contract, shown), "", "## Where we differ", ""]
    lines += ["| | here | Karmada | why |", "|---|---|---|---|"]
    lines += [
        _row(f'<a id="{marks[one.key].lower()}"></a>{marks[one.key]}', one.ours, one.theirs, one.why)
        for one in contract.deviations
    ]
    for chapter in dict.fromkeys(clause.chapter for clause in contract.clauses):
        lines += ["", f"## {chapter}", "", "| § | clause | cases, tests | differs |", "|---|---|---|---|"]
        lines += [
            _row(clause.section, clause.text, _evidence(clause), links(clause.deviations))
            for clause in contract.clauses
            if clause.chapter == chapter
        ]
    lines += ["", "## The cases", "", "Behaviour that Karmada's own tests check, or that was read from it.", ""]
    lines += ["| # | part | given or when | expected | tests | differs |", "|---|---|---|---|---|---|"]
    lines += [
        _row(
            f'<a id="case-{one.number}"></a>{one.number}',
            one.part,
            one.given,
            one.expected,
            _tests("case", one, shown),
            links(one.deviations),
        )
        for one in contract.cases
    ]
    lines += [
        "",
        "## Better than Karmada",
        "",
        "Situations in which Karmada's own controllers leave something to wish for.",
        "",
    ]
    lines += ["| # | situation | Karmada | here | tests | state |", "|---|---|---|---|---|---|"]
    lines += [
        _row(
            str(one.number),
            one.situation,
            one.theirs,
            one.ours,
            _tests("opening", one, shown, lacks=False),
            _state(one, shown),
        )
        for one in contract.openings
    ]
    return "\n".join(lines) + "\n"


def _summary(contract: Contract, shown: Mapping[Number, list[Shown]]) -> list[str]:
    lacking = ", ".join(f"[{one.number}](#case-{one.number})" for one in contract.cases if one.lacks)
    whole = sum(not one.lacks for one in contract.cases)
    better = sum(_state(one, shown) == "shown" for one in contract.openings)
    return [
        f"- {whole} of {len(contract.cases)} cases are shown in full{f'; all but {lacking}' if lacking else ''}.",
        f"- {better} of {len(contract.openings)} situations in which Karmada can be bettered are shown in full.",
        f"- {len(contract.deviations)} deviations, each with its reason.",
    ]


def _evidence(clause: Clause) -> str:
    cases = ", ".join(f"[{number}](#case-{number})" for number in clause.cases)
    parts = [f"cases {cases}"] if cases else []
    for test in clause.tests:
        path, _, name = test.partition("::")
        parts.append(_link(path, name))
    if clause.lacks:
        parts.append(f"*not yet: {clause.lacks}*")
    return "<br>".join(parts)


def _tests(kind: str, one: Case | Opening, shown: Mapping[Number, list[Shown]], *, lacks: bool = True) -> str:
    parts = []
    for test in shown.get((kind, one.number), ()):
        ids = " ".join(f"`[{each}]`" for each in test.ids)
        parts.append(f"{_link(test.path, test.name)} {ids}".strip())
    if lacks and one.lacks:
        parts.append(f"*not yet: {one.lacks}*")
    return "<br>".join(parts)


def _state(one: Opening, shown: Mapping[Number, list[Shown]]) -> str:
    if not one.lacks:
        return "shown"
    return f"{'in part' if shown.get(('opening', one.number)) else 'not yet'}: {one.lacks}"


def _link(path: str, name: str) -> str:
    return f"[{name or path.removeprefix('tests/')}](../{path})"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@click.option(
    "--check", is_flag=True, help="Write nothing; exit with 1 if a test is missing or the page is out of date."
)
def main(check: bool) -> None:
    """Write or check the page."""
    tests = collect(ROOT)
    wrong = problems(CONTRACT, tests)
    for problem in wrong:
        click.echo(f"parity: {problem}", err=True)
    if wrong:
        sys.exit(1)
    text = page(CONTRACT, tests)
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return
    if check:
        click.echo(f"out of date: {PAGE.relative_to(ROOT)}; run `make docs`", err=True)
        sys.exit(1)
    PAGE.write_text(text, encoding="utf-8")
    click.echo(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
