"""docs/reference/diagnosis.md: every code of `mcsctl doctor`, from the rules and from the tests that show them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from mcs_controller.diagnosis.rules import RULES, Rule
from tools.markdown import table

ROOT = Path(__file__).resolve().parent.parent


def codes_in_tests(*folders: str) -> dict[str, list[str]]:
    """The tests in which each code is written, each as `file.py::test` or, outside of a test, `file.py`."""
    found: dict[str, list[str]] = {}
    for path in sorted(path for folder in folders for path in (ROOT / "tests" / folder).rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        if "MCS" not in source:
            continue
        tests = [
            (min([node.lineno, *(one.lineno for one in node.decorator_list)]), node.end_lineno or 0, node.name)
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        ]
        for number, line in enumerate(source.splitlines(), 1):
            name = next((f"::{name}" for first, last, name in tests if first <= number <= last), "")
            for code in re.findall(r"\bMCS\d{3}\b", line):
                found.setdefault(code, []).append(f"{path.relative_to(ROOT / 'tests')}{name}")
    return {code: list(dict.fromkeys(tests)) for code, tests in found.items()}


def diagnosis_page() -> str:
    """docs/reference/diagnosis.md."""
    shown, unit = codes_in_tests("integration", "e2e"), codes_in_tests("unit/diagnosis")
    lines = [
        "# Codes of `mcsctl doctor`",
        "",
        "Made from the rules in `mcs_controller/diagnosis/rules` by `make docs`; a merge conflict in this page ends "
        "with `make docs`. A code never gets another meaning. The rules follow the chain of a service; the first link "
        "with an error is the verdict. The consequences of an error are hidden, independent errors are all listed. A "
        "finding can be less severe than its rule: `unknown` if the rule could not look, `in_progress` in the middle "
        "of a change.",
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
            f"## {rule.code}: {rule.title}",
            "",
            rule.meaning,
            "",
            f"- Link: {rule.link.name.lower()}; severity: {_severity(rule)}",
            f"- Evidence: {rule.evidence}",
            f"- Fix: {rule.fix}",
            f"- Shown by {', '.join(map(_test, tests)) or 'no test'}",
        ]
    return "\n".join(lines) + "\n"


def _severity(rule: Rule) -> str:
    return rule.severity.name.lower() + (", hidden by an earlier error" if rule.symptom else "")


def _test(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[{name or file}](../../tests/{file})"
