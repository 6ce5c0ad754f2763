"""The alerts ask for metrics that there are, and each has a page section that says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

ROOT = Path(__file__).parents[3]
(RULES,) = yaml.safe_load((ROOT / "manifests/observability/prometheusrule.yaml").read_text())["spec"]["groups"]
PAGE = (ROOT / "docs/alerts.md").read_text()
ALERTS = [pytest.param(rule, id=rule["alert"]) for rule in RULES["rules"]]


def metrics() -> dict[str, set[str]]:
    """Labels by metric, of docs/reference/metrics.md, which is made from the code."""
    rows = re.findall(r"^\| `(\w+)` \| \w+ \| ([^|]*) \|", (ROOT / "docs/reference/metrics.md").read_text(), re.M)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def parts(expression: str, kind: Any) -> list[Any]:
    found: list[Any] = []

    def visit(part: Any) -> None:
        if isinstance(part, kind):
            found.append(part)

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


@pytest.mark.parametrize("rule", ALERTS)
def test_metrics_and_labels_exist(rule: dict[str, Any]):
    known = metrics()
    selectors = parts(rule["expr"], promql_parser.VectorSelector)
    assert selectors
    labels = {label for selector in selectors for label in known[selector.name]}
    for selector in selectors:
        assert {matcher.name for matcher in selector.matchers.matchers} <= known[selector.name]
    aggregates = parts(rule["expr"], promql_parser.AggregateExpr)
    grouped = [part.modifier.labels for part in aggregates if part.modifier is not None]
    assert {label for some in grouped for label in some} <= labels
    # What its texts name must be left over by the expression.
    named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    assert named <= (set(grouped[0]) if grouped else set() if aggregates else labels)


@pytest.mark.parametrize("rule", ALERTS)
def test_each_alert_has_its_section(rule: dict[str, Any]):
    page, anchor = rule["annotations"]["runbook"].split("#")
    assert (page, anchor) == ("docs/alerts.md", rule["alert"].lower())
    assert re.search(rf"^## {rule['alert']}$", PAGE, re.M)
    assert rule["labels"]["severity"] in {"warning", "critical"}


def test_the_page_has_no_other_sections():
    assert re.findall(r"^## (\w+)$", PAGE, re.M) == [rule["alert"] for rule in RULES["rules"]]
