"""Where commands that are pasted find the manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcs_controller.mcsctl.manifests import manifests_folder


def test_the_manifests_are_found_from_any_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    folder = Path(manifests_folder())
    assert folder.is_absolute()
    assert {"crds", "member", "controller"} <= {one.name for one in folder.iterdir()}
    monkeypatch.chdir(folder.parent)
    assert manifests_folder() == "manifests"
