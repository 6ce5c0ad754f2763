"""The page of codes: it is what the rules say, and each rule is shown by a test."""

from __future__ import annotations

from mcs_controller.diagnosis.rules import RULES
from mcs_controller.mcsctl.render import DOCS
from tools.diagnosis_page import ROOT, codes_in_tests, diagnosis_page


def test_committed_page_is_that_of_the_rules():
    page = diagnosis_page()
    assert (ROOT / DOCS).read_text(encoding="utf-8") == page, "run `make docs`"
    assert all(f'<a id="{code.lower()}"></a>' in page for code in RULES)


def test_every_rule_is_shown_on_real_servers():
    assert set(RULES) - set(codes_in_tests("integration", "e2e")) == set()
