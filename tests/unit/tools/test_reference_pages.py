"""The generated references: nothing that the code writes or registers is missing on its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click import Context

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.availability import Reason
from mcs_controller.domain.tiers import DEFAULTS, KEYS
from mcs_controller.mcsctl.main import cli
from mcs_controller.options import FLAGS
from tools.explanations import EVENTS, MARKS
from tools.rbac_page import MANIFESTS, roles
from tools.reference import PAGES, REFERENCE

ROOT = Path(__file__).parents[3]
SOURCES = {
    path: path.read_text()
    for path in (ROOT / "mcs_controller").rglob("*.py")
    if not {"mcsctl", "diagnosis"} & set(path.parts)
}
KEY = re.compile(r"[a-z.]+\.io/[a-z-]+")


@pytest.mark.parametrize("page", ["metrics.md", "events.md", "rbac.md", "annotations.md", "flags.md"])
def test_committed_page_is_that_of_the_code(page):
    assert (REFERENCE / page).read_text() == PAGES[page](), "run `make docs`"


def test_every_reason_of_an_event_is_explained():
    reasons = {value for name, value in vars(wk).items() if name.startswith("EVENT_")}
    assert reasons <= EVENTS.keys()
    assert {str(reason) for reason in Reason} <= EVENTS.keys()
    for reason, of in EVENTS.items():
        assert of.when, reason
        assert of.todo or of.type == "Normal", f"{reason}: what does a reader do about it?"


def test_commands_that_a_reader_of_events_is_told_to_run_can_be_run():
    commands = {found for of in EVENTS.values() for found in re.findall("`mcsctl ([^`]+)`", of.todo)}
    assert commands
    for name, *words in map(str.split, commands):
        command = cli.get_command(Context(cli), name)
        assert command is not None, name
        command.make_context(name, words)  # raises UsageError


def test_types_of_events_are_those_that_are_written():
    written = {
        (name, type_)
        for source in SOURCES.values()
        for type_, name in re.findall(r'"(Normal|Warning)", wk\.(\w+)', source)
    }
    assert len(written) > 20
    for name, type_ in written:
        assert EVENTS[getattr(wk, name)].type == type_, name


def test_every_label_annotation_and_finalizer_is_explained():
    versions = {value for name, value in vars(wk).items() if name.endswith("_API_VERSION")}
    keys = {value for value in vars(wk).values() if isinstance(value, str) and KEY.fullmatch(value)}
    taints = {wk.TAINT_NOT_READY, wk.TAINT_UNREACHABLE}
    assert keys - versions - taints == set(MARKS)


def test_annotations_and_flags_of_the_choice_by_tiers_are_in_its_table():
    page = (ROOT / "docs" / "selection.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \| (?:`--([\w-]+)`|none) \| (\S+)", page, re.MULTILINE)
    told = {name: (flag, "" if default.startswith("empty") else default.strip("`")) for name, flag, default in rows}
    flags = {flag.name: flag.default for flag in FLAGS}
    names = {key: key.partition("/")[2] for key in KEYS}
    assert told == {names[key]: (names[key] if key in DEFAULTS else "", DEFAULTS.get(key, "")) for key in KEYS}
    assert {key: flags[names[key]] for key in DEFAULTS} == DEFAULTS


def test_every_metric_that_is_declared_is_on_the_page():
    page = PAGES["metrics.md"]()
    declared = {
        name
        for source in SOURCES.values()
        for name in re.findall(r'\b(?:Counter|Gauge|Histogram|\w+MetricFamily)\(\s*"(\w+)"', source)
    }
    assert len(declared) > 30
    assert {name for name in declared if not re.search(rf"`{name}(_total)?`", page)} == set()


def test_every_rule_has_a_reason_and_is_on_the_page():
    page = PAGES["rbac.md"]()
    for path in MANIFESTS.rglob("*.yaml"):
        there = [each for each in yaml.safe_load_all(path.read_text()) if each and each["kind"].endswith("Role")]
        found = list(roles(path))
        assert [role for role, _ in found] == there
        for role, reasons in found:
            assert f"`{role['metadata']['name']}`" in page
            assert len(reasons) == len(role["rules"])
            assert all(reasons), f"{path}: a rule of {role['metadata']['name']} has no comment"
