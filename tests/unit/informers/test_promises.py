"""The table of promises and tests in README.md names all promises, and only tests that exist."""

import inspect
import re
from pathlib import Path

from informers.cache.informer import SharedInformer

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TABLE = (HERE / "README.md").read_text()


def test_every_promise_has_its_row() -> None:
    promised = re.findall(r"^(\d+)\. \*", inspect.getdoc(SharedInformer) or "", re.MULTILINE)
    assert re.findall(r"^\| (\d+) \|", TABLE, re.MULTILINE) == promised
    assert len(promised) > 10


def test_every_test_named_there_exists() -> None:
    files = [*HERE.glob("test_*.py"), *(ROOT / "tests" / "integration" / "informers").glob("test_*.py")]
    code = "\n".join(file.read_text() for file in files)
    defined = set(re.findall(r"^(?: *(?:async )?def|class) ([Tt]est\w+)", code, re.MULTILINE))
    named = set(re.findall(r"`([Tt]est\w+)`", TABLE))
    assert named - defined == set()
    assert set(re.findall(r"`(test_\w+\.py)`", TABLE)) <= {file.name for file in files}
