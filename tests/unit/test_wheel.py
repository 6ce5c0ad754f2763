"""What the wheel has besides the code."""

from __future__ import annotations

import configparser
from pathlib import Path
from zipfile import ZipFile

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]


def test_the_wheel_has_the_commands_and_the_manifests_that_they_apply(tmp_path):
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with ZipFile(wheel) as archive:
        packaged = {
            name.removeprefix("mcs_controller/manifests/"): archive.read(name).decode()
            for name in archive.namelist()
            if name.startswith("mcs_controller/manifests/")
        }
        (entry_points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        scripts = configparser.ConfigParser()
        scripts.read_string(archive.read(entry_points).decode())
    manifests = ROOT / "manifests"
    files = [each for each in manifests.rglob("*") if each.is_file()]
    assert packaged == {each.relative_to(manifests).as_posix(): each.read_text() for each in files}
    assert dict(scripts["console_scripts"]) == {
        "mcs-controller-manager": "mcs_controller.app:main",
        "mcsctl": "mcs_controller.mcsctl.main:main",
        "kubectl-mcs": "mcs_controller.mcsctl.main:main",
        "kubectl_complete-mcs": "mcs_controller.mcsctl.completion:main",
    }
