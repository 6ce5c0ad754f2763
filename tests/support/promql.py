"""What PromQL asks for, against the metrics that the process has."""

import re
from pathlib import Path
from typing import Any

import promql_parser

ROOT = Path(__file__).parents[2]
TARGET = frozenset({"job", "instance"})
"""Labels that Prometheus adds to whatever it scrapes."""


def metrics() -> dict[str, set[str]]:
    """Labels by series, of docs/reference/metrics.md, which is made from the code."""
    page = (ROOT / "docs/reference/metrics.md").read_text()
    found: dict[str, set[str]] = {}
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", page, re.M):
        names = set(re.findall(r"`(\w+)`", labels))
        if kind == "histogram":
            found |= {f"{name}_bucket": names | {"le"}, f"{name}_sum": names, f"{name}_count": names}
        else:
            found[name] = names
    return found


def filled(expression: str) -> str:
    """A query of the dashboard, with everything chosen in Grafana's variables."""
    return re.sub(r"\$(namespace|cluster|job)\b", ".*", expression.replace("$__rate_interval", "1m"))


def parts(expression: str, kind: Any) -> list[Any]:
    """All parts of that kind. Raises ValueError if the expression is none."""
    found: list[Any] = []

    def visit(part: Any) -> None:
        if isinstance(part, kind):
            found.append(part)

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def check(expression: str) -> set[str]:
    """Assert that metrics and labels exist. Returns the labels that the result may have."""
    known = metrics()
    selectors = parts(expression, promql_parser.VectorSelector)
    assert selectors
    labels = {label for selector in selectors for label in known[selector.name]} | TARGET
    for selector in selectors:
        assert {matcher.name for matcher in selector.matchers.matchers} <= known[selector.name] | TARGET
    aggregates = parts(expression, promql_parser.AggregateExpr)
    grouped = [set(part.modifier.labels) if part.modifier is not None else set() for part in aggregates]
    assert set().union(*grouped) <= labels
    return set.union(*grouped) if grouped else labels
