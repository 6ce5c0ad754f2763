"""The release that upgrades begin with."""

import subprocess

import pytest

from tools import previous


def test_a_clone_without_the_commit_is_told_what_it_lacks(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "clone")], check=True)
    monkeypatch.setattr(previous, "ROOT", tmp_path / "clone")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(previous.PreviousError, match="git fetch --unshallow"):
        previous.resolve()
    assert not previous.located().complete
