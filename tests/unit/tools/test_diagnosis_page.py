"""The page of codes: it is what the rules say, and each rule is shown by a test."""

from __future__ import annotations

from mcs_controller.diagnosis.rules import RULES
from mcs_controller.mcsctl.render import DOCS
from tools.diagnosis_page import ROOT, codes_in_tests, diagnosis_page

NOT_ON_REAL_SERVERS = {
    "MCS024",
    "MCS060",
    "MCS061",
    "MCS062",
    "MCS063",
    "MCS068",
    "MCS071",
    "MCS072",
    "MCS074",
    "MCS075",
    "MCS076",
    "MCS080",
}
"""Codes that no test on real API servers shows yet. It must shrink: the aim is none."""


def test_committed_page_is_that_of_the_rules():
    page = diagnosis_page()
    assert (ROOT / DOCS).read_text(encoding="utf-8") == page, "run `make docs`"
    assert all(f'<a id="{code.lower()}"></a>' in page for code in RULES)


def test_every_rule_is_shown_on_real_servers_but_for_a_list_that_shrinks():
    assert set(RULES) - set(codes_in_tests("integration", "e2e")) == NOT_ON_REAL_SERVERS
