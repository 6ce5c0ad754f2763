"""The page about writing a controller shows the example's code, and the example's rule holds."""

import ast
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
EXAMPLE = ROOT / "examples" / "02-configmap-copier"
SMALLEST, COPIER, SHARE = EXAMPLE / "smallest.py", EXAMPLE / "copier.py", EXAMPLE / "share.py"
PAGE = ROOT / "docs" / "writing-a-controller.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_page_begins_with_the_whole_of_the_smallest_controller():
    assert BLOCKS[0] == SMALLEST.read_text()


def test_smallest_controller_has_the_forty_lines_that_the_page_promises():
    """Imports count, blank lines and docstrings do not; and no line may be longer than elsewhere."""
    text = SMALLEST.read_text()
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                docstrings.update(range(first.lineno, (first.end_lineno or 0) + 1))
    lines = text.splitlines()
    code = [line for number, line in enumerate(lines, 1) if line.strip() and number not in docstrings]
    assert len(code) <= 40
    assert max(map(len, lines)) <= 120
    assert not any(";" in line for line in code)
    assert "in 40 lines" in PAGE.read_text()


FROM_EXAMPLES = [block for block in BLOCKS[1:] if not block.startswith('"""')]
"""The others are files of a project of its own, see tests/integration/examples/test_outside.py."""


@pytest.mark.parametrize("block", FROM_EXAMPLES, ids=[block.strip().partition("\n")[0] for block in FROM_EXAMPLES])
def test_other_code_of_the_page_is_the_larger_examples(block: str):
    assert block.rstrip("\n") in COPIER.read_text() + SHARE.read_text()


def test_page_shows_what_its_headings_promise():
    assert len(BLOCKS) - len(FROM_EXAMPLES) == 3  # the smallest controller, and the test of it with its conftest.py
    shown = "".join(FROM_EXAMPLES)
    helpers = ("generation_changed", "apply(", "controller_reference", "enqueue_owner", "plan_add_finalizer")
    more = ("plan_remove_finalizer", "plan_conditions", "recorder.event", "requeue_after")
    assert [name for name in (*helpers, *more) if name not in shown] == []


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
