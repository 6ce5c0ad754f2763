"""``python -m tools.previous``: the release before this one, 0.1.0, for tests of upgrades.

It is made of the git history: the wheel in a virtual environment of its own with what ``requirements/0.1.0.txt`` locks,
and the sources, which have its manifests. Both are kept in the components' cache and made only once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tools.build import exclusively
from tools.components import ComponentError, cache_root

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
VERSION: Final = "0.1.0"
COMMIT: Final = "da92e0cfc1c46d9aab746aa5bfd0275537d55153"
LOCK: Final = ROOT / "requirements" / f"{VERSION}.txt"


class PreviousError(ComponentError):
    """There is no earlier release here, and it cannot be made; the text has the remedy."""


@dataclass(frozen=True, slots=True)
class Release:
    """An earlier release.

    Attributes:
        directory: where it is, or will be.
    """

    directory: Path

    @property
    def binary(self) -> Path:
        """The controller."""
        return self.directory / "venv" / "bin" / "mcs-controller-manager"

    @property
    def manifests(self) -> Path:
        """The folder of its manifests."""
        return self.directory / "source" / "manifests"

    @property
    def complete(self) -> bool:
        """Whether it can be used."""
        return (self.directory / "complete").exists()


def located() -> Release:
    """The place of the release in the cache, whether it is there or not."""
    lock = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:10]
    python = f"py{sys.version_info.major}.{sys.version_info.minor}"
    return Release(cache_root(os.environ).parent / "releases" / f"{VERSION}-{lock}-{python}")


def resolve() -> Release:
    """The release, made if it is not there.

    Raises:
        PreviousError: the commit is not in this clone, or something cannot be installed.
    """
    release = located()
    release.directory.parent.mkdir(parents=True, exist_ok=True)
    with exclusively(release.directory.with_suffix(".lock"), lambda _: None):
        if not release.complete:
            _make(release.directory)
    return release


def _make(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    source, venv, wheels = (directory / name for name in ("source", "venv", "wheels"))
    source.mkdir(parents=True)
    remedy = "this clone lacks the commit, as shallow ones do: `git fetch --unshallow`, or clone with all history"
    archive = directory / "source.tar"
    _run(["git", "archive", f"--output={archive}", COMMIT], remedy, cwd=ROOT)
    _run(["tar", "--extract", f"--file={archive}", f"--directory={source}"], "tar is needed", cwd=directory)
    archive.unlink()
    build = [sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={wheels}"]
    _run(build, "run `make setup`", cwd=source)
    _run([sys.executable, "-m", "venv", "--without-pip", str(venv)], "python3-venv is needed", cwd=directory)
    pip = [sys.executable, "-m", "pip", f"--python={venv / 'bin' / 'python'}", "install", "--quiet", "--no-deps"]
    pip.append("--disable-pip-version-check")
    locked = ["--require-hashes", "--only-binary=:all:", f"--requirement={LOCK}"]
    _run([*pip, *locked], f"the wheels of {LOCK.relative_to(ROOT)} are needed", cwd=directory)
    _run([*pip, *map(str, wheels.glob("*.whl"))], "the wheel was just made", cwd=directory)
    (directory / "complete").touch()


def _run(command: Sequence[str], remedy: str, *, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stderr or done.stdout).strip()
        raise PreviousError(f"{VERSION} cannot be made ({remedy}): `{' '.join(command)}`: {told}")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Make the release before this one, if it is not there, and print where it is."""
    try:
        click.echo(resolve().directory)
    except PreviousError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
