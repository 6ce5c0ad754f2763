"""The memory for the caches of members follows the container's limit."""

from pathlib import Path

import pytest

from mcs_controller.members.cache_memory import default_cache_bytes


@pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])
def test_the_limit_of_the_container_decides(tmp_path: Path, file: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(f"{1 << 20}\n")
    assert default_cache_bytes(tmp_path) == int(0.4 * (1 << 20))


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n", None])
def test_without_a_limit_it_is_the_memory_of_the_machine(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "memory.max").write_text(text)
    assert 64 << 20 < default_cache_bytes(tmp_path) < 1 << 50
