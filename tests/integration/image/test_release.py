"""A release of this checkout: complete, what its checksums say, and the same one each time."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mcs_controller import __version__
from tools import image, release

if TYPE_CHECKING:
    from tests.support.image import Unpacked


@pytest.fixture(scope="module")
def released(unpacked: Unpacked, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "dist"
    release.make(unpacked.image, folder, may_be_dirty=True)
    return folder


def names_in(archive: Path) -> list[str]:
    with tarfile.open(archive) as content:
        return content.getnames()


def test_it_is_complete_and_its_checksums_are_right(released: Path):
    assert {path.name for path in released.iterdir()} == {
        f"mcs_controller-{__version__}-py3-none-any.whl",
        f"mcs_controller-{__version__}.tar.gz",
        f"mcs-controller-manager-{__version__}.tar",
        f"manifests-{__version__}.tar.gz",
        f"mcs-controller-{__version__}.tgz",
        "sbom.cdx.json",
        "dependencies.md",
        "changes.md",
        "provenance.json",
        "SHA256SUMS",
    }
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=released, check=True, stdout=subprocess.DEVNULL
    )
    listed = (released / "SHA256SUMS").read_text().splitlines()
    assert len(listed) == len(list(released.iterdir())) - 1
    statement = json.loads((released / "provenance.json").read_text())
    digests = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    assert {f"{digest}  {name}" for name, digest in digests.items()} <= set(listed)
    (source, *locks) = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert source["digest"]["gitCommit"] == image.last_commit()[1]
    assert [one["name"] for one in locks] == ["requirements/dev.txt", "requirements/runtime.txt"]


def test_the_source_distribution_has_no_tests_and_the_manifests_are_those_of_the_repository(released: Path):
    inside = {name.partition("/")[2] for name in names_in(released / f"mcs_controller-{__version__}.tar.gz")}
    assert {"pyproject.toml", "mcs_controller/app.py", "manifests/controller/deployment.yaml"} <= inside
    assert not [name for name in inside if name.startswith(("tests/", "tools/", "benchmarks/", "testbed/"))]
    folder = image.ROOT / "manifests"
    there = {str(path.relative_to(image.ROOT)) for path in folder.rglob("*") if path.is_file()}
    assert there <= set(names_in(released / f"manifests-{__version__}.tar.gz"))


def test_what_is_packed_anew_is_equal(released: Path, tmp_path: Path):
    """The image is made twice in test_image."""
    release.pack(tmp_path, image.last_commit()[0])
    packed = release.digests(tmp_path)
    assert len(packed) == 4
    assert packed.items() <= release.digests(released).items()


def test_a_version_that_the_changelog_does_not_know_is_not_released():
    text = (
        "# Changelog\n\n## [Unreleased]\n\n- new\n\n## [0.2.0] - 2026-12-01\n\n- one\n- two\n\n## [0.1.0]\n\n- first\n"
    )
    assert release.changes("0.2.0", text) == "- one\n- two\n"
    assert release.changes("0.1.0", text) == "- first\n"
    with pytest.raises(release.ReleaseError, match=r"CHANGELOG.md has nothing of 0\.3\.0"):
        release.changes("0.3.0", text)
