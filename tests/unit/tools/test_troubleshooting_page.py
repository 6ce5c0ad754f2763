"""The page of codes: it is what the rules say, each is shown by a test, and its fix mends, or it says why not."""

from __future__ import annotations

from mcs_controller.diagnosis.rules import RULES
from tools.troubleshooting_page import HEADING, PAGE, codes_in_tests, codes_section, troubleshooting_page

SHOWN = codes_in_tests("integration", "e2e")


def test_committed_page_is_that_of_the_rules():
    assert PAGE.read_text(encoding="utf-8") == troubleshooting_page(), "run `make docs`"
    assert all(f'<a id="{code.lower()}"></a>' in codes_section() for code in RULES)


def test_what_people_wrote_on_the_page_stays():
    before, heading, _ = PAGE.read_text(encoding="utf-8").partition(HEADING)
    assert "## Messages of the conditions" in before
    assert troubleshooting_page().startswith(before + heading)


def test_every_rule_is_shown_on_real_servers():
    assert set(RULES) - set(SHOWN) == set()


def test_every_printed_fix_mends_on_real_servers_or_the_page_says_why_no_command_does():
    mended = {code for code, tests in SHOWN.items() if any(one.mended for one in tests)}
    explained = {code for code, rule in RULES.items() if rule.no_command}
    assert set(RULES) - mended - explained == set()
    assert len(mended & set(RULES)) > 50
