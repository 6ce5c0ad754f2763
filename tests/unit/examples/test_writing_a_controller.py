"""The page about writing a controller shows the example's code, and the example's rule holds."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers import ObjectMeta

ROOT = Path(__file__).parents[3]
COPIER = ROOT / "examples" / "02-configmap-copier" / "copier.py"
PAGE = ROOT / "docs" / "writing-a-controller.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split("(")[0].split(":")[0].strip() for block in BLOCKS])
def test_code_of_the_page_is_the_examples(block: str):
    assert block.rstrip("\n") in COPIER.read_text()


def test_page_shows_every_class_and_the_rule():
    shown = "".join(BLOCKS)
    assert [
        name for name in ("class ConfigMap", "def plan", "class Copier", "async def run") if name not in shown
    ] == []


def _copier() -> Any:
    spec = importlib.util.spec_from_file_location("copier", COPIER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where msgspec looks for what annotations name
    spec.loader.exec_module(module)
    return module


copier = _copier()
namespaces = st.sampled_from("abcde")
some_contents = st.sampled_from([{"data": {}, "binaryData": {}}, {"data": {"k": "1"}, "binaryData": {"b": "AA=="}}])


def config_map(contents: dict[str, dict[str, str]]) -> Any:
    return copier.ConfigMap(metadata=ObjectMeta(), data=contents["data"], binary_data=contents["binaryData"])


@given(wanted=st.dictionaries(namespaces, some_contents), found=st.dictionaries(namespaces, some_contents))
def test_plan_that_was_applied_leaves_what_is_wanted_and_nothing_to_do(wanted: Any, found: Any):
    create, change, delete = copier.plan(wanted, {name: config_map(each) for name, each in found.items()})
    assert not set(create) & found.keys()
    assert set(change) | set(delete) <= found.keys()
    after = {name: each for name, each in found.items() if name not in delete}
    after |= {name: wanted[name] for name in (*create, *change)}
    assert after == wanted
    assert copier.plan(wanted, {name: config_map(each) for name, each in after.items()}) == ([], [], [])
