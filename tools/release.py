"""``make release``: everything that a version is given out as, in ``dist/<version>``, and the checksums of all of it.

=============================  =====================================================================================
``*.whl``, ``*.tar.gz``        the wheel, and the source distribution without tests
``mcs-controller-manager-*``   the image (:mod:`tools.image`)
``manifests-*.tar.gz``         ``manifests/``
``mcs-controller-*.tgz``       the Helm chart (:mod:`tools.chart`)
``sbom.cdx.json``              what is in the image: CycloneDX
``dependencies.md``            licences
``changes.md``                 what CHANGELOG.md says of the version
``provenance.json``            from which commit, and of what: an in-toto statement, which whoever publishes it may sign
``SHA256SUMS``                 for ``sha256sum --check``
=============================  =====================================================================================

Two releases of one commit are equal, as far as docs/image.md says it of the image.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mcs_controller import __version__
from tools import chart, image

if TYPE_CHECKING:
    from tools.image import Image

ROOT: Final = image.ROOT
LOCKS: Final = ("requirements/runtime.txt", "requirements/dev.txt")
SUMS: Final = "SHA256SUMS"

_SECTION: Final = re.compile(r"^## \[(?P<version>[^\]]+)\][^\n]*\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


class ReleaseError(Exception):
    """There is no release of this checkout; the text says why."""


def changes(version: str, changelog: str) -> str:
    """What a changelog says of a version.

    Raises:
        ReleaseError: nothing.
    """
    sections = {found["version"]: found["text"].strip() for found in _SECTION.finditer(changelog)}
    if not sections.get(version):
        raise ReleaseError(
            f"CHANGELOG.md has nothing of {version}: give the section [Unreleased] that title and a date"
        )
    return f"{sections[version]}\n"


def provenance(files: dict[str, str], *, revision: str, locks: dict[str, str]) -> dict[str, Any]:
    """A statement in the format of in-toto, with the predicate of SLSA 1.0.

    Args:
        files: digests by name.
        revision: the commit.
        locks: digests of what the dependencies are pinned by.
    """
    pinned = [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(locks.items())]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(files.items())],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "make release",
                "externalParameters": {"version": __version__},
                "resolvedDependencies": [{"name": "source", "digest": {"gitCommit": revision}}, *pinned],
            },
            "runDetails": {"builder": {"id": "tools/release.py", "version": {"python": sys.version.split()[0]}}},
        },
    }


def make(inside: Image, output: Path, *, may_be_dirty: bool = False) -> None:
    """Make the release of this checkout in a folder, which is emptied first, with this image of it.

    Raises:
        ReleaseError: files differ from the commit, or the changelog knows nothing of the version.
        ImageError: something cannot be packed.
    """
    epoch, revision = image.last_commit()
    if revision.endswith("-dirty") and not may_be_dirty:
        raise ReleaseError("files differ from the last commit: commit them, or give --dirty")
    notes = changes(__version__, (ROOT / "CHANGELOG.md").read_text())
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    for path in (inside.archive, inside.sbom):
        shutil.copy(path, output)
    pack(output, epoch)
    (output / "changes.md").write_text(notes)
    shutil.copyfile(ROOT / "docs" / "reference" / "dependencies.md", output / "dependencies.md")
    made = digests(output)
    statement = provenance(made, revision=revision, locks={name: _digest(ROOT / name) for name in LOCKS})
    (output / "provenance.json").write_text(json.dumps(statement, indent=2))
    sums = "".join(f"{digest}  {name}\n" for name, digest in digests(output).items())
    (output / SUMS).write_text(sums)


def pack(output: Path, epoch: int) -> None:
    """Make wheel and source distribution, whose files are of the `epoch`, and archives of manifests and chart."""
    build = [sys.executable, "-m", "hatchling", "build", f"--directory={output}"]
    image.run(build, "run `make setup`", cwd=ROOT, env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)})
    files = [path for path in sorted((ROOT / "manifests").rglob("*")) if path.is_file()]
    tree = {str(path.relative_to(ROOT)): image.File(data=path.read_bytes()) for path in files}
    (output / f"manifests-{__version__}.tar.gz").write_bytes(gzip.compress(image.tar(tree), mtime=0))
    (output / chart.ARCHIVE).write_bytes(chart.archive(chart.files()))


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 by name, of all files."""
    return {path.name: _digest(path) for path in sorted(folder.iterdir())}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "dist" / __version__, help="Where to write.")
@click.option("--mirror", default="", help="A mirror or a snapshot of Debian's archive (default: the usual ones).")
@click.option("--cached", "from_cache", is_flag=True, help="Use what an earlier build downloaded. For tests.")
@click.option("--dirty", is_flag=True, help="Also if files differ from the last commit.")
def main(output: Path, mirror: str, from_cache: bool, dirty: bool) -> None:
    """Make the release of this checkout."""
    try:
        with image.downloads(mirror, from_cache=from_cache) as inputs, tempfile.TemporaryDirectory() as folder:
            make(image.make(inputs, Path(folder)), output, may_be_dirty=dirty)
    except (ReleaseError, image.ImageError) as error:
        raise click.ClickException(str(error)) from error
    for path in sorted(output.iterdir()):
        click.echo(f"{path.stat().st_size / 1e6:8.2f} MB  {path}")


if __name__ == "__main__":
    main()
