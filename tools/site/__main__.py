"""Make the site of the documentation in build/site/html; `--check` only looks for broken links and anchors.

The pages are the repository's own and lie where they do there, so that a link leads to the same place in both. Other
files that they link to are copied as they are.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "site"
NOT_SHOWN = ("tests/",)
"""Pages for those who read the tests."""

_LINK = re.compile(r"\]\(([^)#\s:]+)(?:#[^)\s]*)?\)")


def pages() -> list[Path]:
    """The Markdown files of the repository, relative to its root."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Path(line) for line in listed.splitlines() if not line.startswith(NOT_SHOWN)]


def linked(page: Path) -> set[Path]:
    """The files that a page links to, relative to the root; as far as they exist."""
    targets = {(ROOT / page.parent / target).resolve() for target in _LINK.findall((ROOT / page).read_text())}
    return {target.relative_to(ROOT) for target in targets if target.is_file() and target.is_relative_to(ROOT)}


def copy(source: Path) -> None:
    """Copy the pages and what they link to."""
    shutil.rmtree(source, ignore_errors=True)
    shown = pages()
    for path in {*shown, *(target for page in shown for target in linked(page))}:
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, source / path)


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="Print nothing unless a link or an anchor leads nowhere.")
def main(*, check: bool) -> None:
    """See the module."""
    copy(SITE / "source")
    config = Path(__file__).with_name("mkdocs.yml")
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", str(config)]
    done = subprocess.run(command, cwd=ROOT, env=environ, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        click.echo(done.stderr, err=True)
    elif not check:
        click.echo(SITE / "html" / "index.html")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
