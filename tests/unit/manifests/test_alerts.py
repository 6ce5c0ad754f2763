"""The alerts ask for metrics that there are, and each has a page section that says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.promql import check

ROOT = Path(__file__).parents[3]
(RULES,) = yaml.safe_load((ROOT / "manifests/observability/prometheusrule.yaml").read_text())["spec"]["groups"]
PAGE = (ROOT / "docs/alerts.md").read_text()
ALERTS = [pytest.param(rule, id=rule["alert"]) for rule in RULES["rules"]]


@pytest.mark.parametrize("rule", ALERTS)
def test_metrics_and_labels_exist(rule: dict[str, Any]):
    left = check(rule["expr"])
    # What its texts name must be left over by the expression.
    assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= left


@pytest.mark.parametrize("rule", ALERTS)
def test_each_alert_has_its_section(rule: dict[str, Any]):
    page, anchor = rule["annotations"]["runbook"].split("#")
    assert (page, anchor) == ("docs/alerts.md", rule["alert"].lower())
    assert re.search(rf"^## {rule['alert']}$", PAGE, re.M)
    assert rule["labels"]["severity"] in {"warning", "critical"}


def test_the_page_has_no_other_sections():
    assert re.findall(r"^## (\w+)$", PAGE, re.M) == [rule["alert"] for rule in RULES["rules"]]
