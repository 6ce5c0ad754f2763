"""docs/troubleshooting.md: every code of `mcsctl doctor` in it, from the rules and from the tests that show them."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from mcs_controller.diagnosis.rules import RULES, Rule
from mcs_controller.mcsctl.render import DOCS
from tools.markdown import table

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / DOCS
HEADING: Final = "## Codes of `mcsctl doctor`"
"""What follows it is generated; what precedes it is not."""

_CODE: Final = re.compile(r"\bMCS\d{3}\b")


class Shown(NamedTuple):
    """A test in which a code is written.

    Attributes:
        test: `file.py::test` or, outside of a test, `file.py`.
        mended: whether the test pastes the printed fix and expects health: it calls `mends` with the code, or with a
            variable.
    """

    test: str
    mended: bool


@cache
def codes_in_tests(*folders: str) -> dict[str, list[Shown]]:
    """The tests in which each code is written, those first that mend it."""
    found: dict[str, dict[str, bool]] = {}
    for path in sorted(path for folder in folders for path in (ROOT / "tests" / folder).rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        if "MCS" not in source:
            continue
        file, lines = str(path.relative_to(ROOT / "tests")), source.splitlines()
        tests = [
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        ]
        outside = set(range(len(lines)))
        for node in tests:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)]) - 1
            inside = range(first, node.end_lineno or first)
            outside -= set(inside)
            mended = set(_mended(node))
            for code in (code for number in inside for code in _CODE.findall(lines[number])):
                found.setdefault(code, {})[f"{file}::{node.name}"] = not mended.isdisjoint({code, ""})
        for code in (code for number in sorted(outside) for code in _CODE.findall(lines[number])):
            found.setdefault(code, {}).setdefault(file, False)
    return {
        code: sorted((Shown(test, mended) for test, mended in tests.items()), key=lambda one: not one.mended)
        for code, tests in found.items()
    }


def _mended(test: ast.AST) -> Iterator[str]:
    """The codes with which a test calls `mends`; empty where it is a variable."""
    for node in ast.walk(test):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name == "mends":
                codes = [each.value for each in node.args if isinstance(each, ast.Constant)]
                yield from (str(code) for code in codes or [""])


def troubleshooting_page() -> str:
    """docs/troubleshooting.md: what people wrote, and the codes."""
    written, heading, _ = PAGE.read_text(encoding="utf-8").partition(f"\n{HEADING}\n")
    if not heading:
        raise ValueError(f"{DOCS} has no line {HEADING!r}")
    return f"{written}\n{codes_section()}"


def codes_section() -> str:
    """The codes, with their heading."""
    shown, unit = codes_in_tests("integration", "e2e"), codes_in_tests("unit/diagnosis")
    lines = [
        HEADING,
        "",
        "From here on this page is made from the rules in `mcs_controller/diagnosis/rules` by `make docs`; a merge "
        "conflict below this line ends with `make docs`. A code never gets another meaning. The rules follow the chain "
        "of a service; the first link with an error is the verdict. The consequences of an error are hidden, "
        "independent errors are all listed. A finding can be less severe than its rule: `unknown` if the rule could "
        "not look, `in_progress` in the middle of a change. Where a test is said to mend a code, it breaks this link "
        "on real API servers, runs the command that is printed as it is, and expects a diagnosis without findings.",
    ]
    rules = sorted(RULES.values(), key=lambda rule: (rule.link, rule.code))
    rows = [
        (f"[{rule.code}](#{rule.code.lower()})", rule.link.name.lower(), _severity(rule), rule.title) for rule in rules
    ]
    lines += table(["code", "link", "severity", "title"], rows)
    for rule in rules:
        tests = shown.get(rule.code) or unit.get(rule.code) or ()
        lines += [
            "",
            f'<a id="{rule.code.lower()}"></a>',
            "",
            f"### {rule.code}: {rule.title}",
            "",
            rule.meaning,
            "",
            f"- Link: {rule.link.name.lower()}; severity: {_severity(rule)}",
            f"- Evidence: {rule.evidence}",
            f"- Fix: {rule.fix}",
            *([f"- No command mends it {rule.no_command}"] if rule.no_command else []),
            *_tests("Mended by its printed fix in", [one.test for one in tests if one.mended]),
            *_tests("Shown by", [one.test for one in tests if not one.mended]),
        ]
    return "\n".join(lines) + "\n"


def _severity(rule: Rule) -> str:
    return rule.severity.name.lower() + (", hidden by an earlier error" if rule.symptom else "")


def _tests(what: str, tests: list[str]) -> list[str]:
    return [f"- {what} {', '.join(map(_link, tests))}"] if tests else []


def _link(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[{name or file}](../tests/{file})"
