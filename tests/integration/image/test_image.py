"""What the image holds, and that it is the same one each time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

from mcs_controller import __version__
from tools import image
from tools.licences import LOCK, locked

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.image import Unpacked


def test_an_image_made_anew_is_equal_bit_for_bit(inputs: image.Inputs, unpacked: Unpacked, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    mask = os.umask(0o077)
    try:
        again = image.make(replace(inputs, layers=None), tmp_path / "elsewhere")
    finally:
        os.umask(mask)
    assert again.digest == unpacked.image.digest
    assert again.archive.read_bytes() == unpacked.image.archive.read_bytes()
    assert again.sbom.read_bytes() == unpacked.image.sbom.read_bytes()


def test_it_has_no_shell_no_package_manager_and_nothing_that_gives_rights(unpacked: Unpacked):
    files = [each for each in unpacked.files.root.rglob("*") if not each.is_symlink()]
    assert [str(each) for each in files if each.stat().st_mode & 0o7022] == []
    programs = {
        str(each.relative_to(unpacked.files.root)) for each in files if each.is_file() and each.stat().st_mode & 0o111
    }
    commands = {"kubectl-mcs", "kubectl_complete-mcs", "mcs-controller-manager", "mcsctl"}
    assert {each for each in programs if ".so" not in each} == {
        f"usr/bin/python{image.PYTHON}",
        *(f"usr/local/bin/{each}" for each in commands),
    }
    assert [str(each) for each in unpacked.files.root.rglob("*") if each.is_symlink() and "/bin/" in str(each)] == [
        str(unpacked.files.root / "usr/bin/python3")
    ]


def test_it_is_small_and_says_what_it_is(unpacked: Unpacked):
    assert unpacked.image.unpacked < 80e6
    config = unpacked.files.config["config"]
    assert config["User"] == f"{image.USER}:{image.USER}"
    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?", config["Labels"]["org.opencontainers.image.revision"])


def test_docker_finds_in_the_archive_what_others_do(unpacked: Unpacked):
    with tarfile.open(unpacked.image.archive) as archive:

        def read(path: str) -> bytes:
            source = archive.extractfile(path)
            assert source is not None
            return source.read()

        (entry,) = json.loads(read("index.json"))["manifests"]
        manifest = json.loads(read(f"blobs/sha256/{entry['digest'][7:]}"))
        (docker,) = json.loads(read("manifest.json"))
        assert docker["RepoTags"] == [f"{image.NAME}:{__version__}"]
        wanted = [manifest["config"], *manifest["layers"]]
        assert [docker["Config"], *docker["Layers"]] == [f"blobs/sha256/{each['digest'][7:]}" for each in wanted]
        for each in (entry, *wanted):
            content = read(f"blobs/sha256/{each['digest'][7:]}")
            assert (len(content), hashlib.sha256(content).hexdigest()) == (each["size"], each["digest"][7:])


def test_the_bill_of_materials_has_the_lock_and_the_packages_of_debian(unpacked: Unpacked):
    components = json.loads(unpacked.image.sbom.read_text())["components"]
    found = {each["name"]: each["version"] for each in components}
    pinned = locked(image.lock_for_image(LOCK.read_text()))
    assert {name: found.get(name) for name in pinned} == pinned
    assert found.keys() == pinned.keys() | image.KEPT.keys()
    status = {each.name: each.read_text() for each in (unpacked.files.root / "var/lib/dpkg/status.d").iterdir()}
    assert status.keys() == image.KEPT.keys()
    for name, text in status.items():
        assert f"Version: {found[name]}\n" in text
        assert (unpacked.files.root / f"usr/share/doc/{name}").resolve().joinpath("copyright").exists(), name


def test_everything_that_was_left_can_be_imported(unpacked: Unpacked):
    """No module lacks a library, or a part of the standard library, that is not there."""
    argv, environ = image.interpreter(unpacked.files.root)
    site = unpacked.files.root / image.SITE
    extensions = [
        each for each in unpacked.files.root.rglob("*.so") if "lib-dynload" in str(each) or site in each.parents
    ]
    names = {each.name.partition(".")[0] for each in extensions if "lib-dynload" in str(each)}
    names |= {
        ".".join((*each.relative_to(site).parent.parts, each.name.partition(".")[0]))
        for each in extensions
        if site in each.parents
    }
    ours = [each for package in ("mcs_controller", "informers", "workqueue") for each in (site / package).rglob("*.py")]
    names |= {".".join(each.relative_to(site).with_suffix("").parts).removesuffix(".__init__") for each in ours}
    names -= {"mcs_controller.tracing.spans"}  # of the extra `otel`, which the image does not have (docs/tracing.md)
    script = f"import sys; sys.path.append({str(site)!r})\nimport importlib\n"
    script += f"for each in {sorted(names)}: importlib.import_module(each)"
    # Elsewhere, or the checkout's modules would be found first.
    done = subprocess.run([*argv, "-c", script], env=environ, cwd=site, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not [each for each in ours if not (each.parent / "__pycache__").exists()]
