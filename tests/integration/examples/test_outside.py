"""The test bed in a project of somebody else, as docs/writing-a-controller.md shows it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BLOCKS = re.findall(
    r"^```python\n(.*?)^```$", (ROOT / "docs/writing-a-controller.md").read_text(), re.DOTALL | re.MULTILINE
)


@pytest.mark.asyncio(loop_scope="session")
async def test_plugin_serves_a_project_outside_of_this_repository(binaries: dict[str, Path], tmp_path: Path):
    conftest, test = (block for block in BLOCKS[1:] if block.startswith('"""'))
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_copier.py").write_text(test)
    shutil.copy(ROOT / "examples/02-configmap-copier/smallest.py", tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
        cwd=tmp_path,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert "1 passed" in output.decode()
    assert f"rootdir: {tmp_path}" in output.decode()
