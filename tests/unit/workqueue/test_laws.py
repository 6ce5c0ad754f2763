"""The table of laws and tests in README.md names only tests that exist."""

import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = (HERE / "README.md").read_text()


def test_every_test_named_there_exists() -> None:
    files = list(HERE.glob("test_*.py"))
    defined = {name for file in files for name in re.findall(r"def (test_\w+)\(", file.read_text())}
    named = set(re.findall(r"`(test_\w+)`", TABLE))
    assert len(named) > 50
    assert named - defined == set()
    assert set(re.findall(r"`(test_\w+\.py)`", TABLE)) <= {file.name for file in files}
