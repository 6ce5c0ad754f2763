"""``python -m tools.mutants``: mutation tests. Apply known mistakes to the product; a test must fail each time.

A test that passes whatever the code does protects nothing. Each entry of `mutants.toml` is a mistake that somebody
could make, and names the tests that have to notice it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).parent.parent
LIST: Final = ROOT / "tools" / "mutants.toml"
KILLED: Final = "killed"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One edit of one file.

    Attributes:
        name: short, and unlike the others.
        file: what is edited, from the root of the repository.
        old: text that occurs in the file exactly once.
        new: what it becomes.
        tests: files or tests of pytest, of which one has to fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def load(path: Path = LIST) -> list[Mutant]:
    """The mutants of the list."""
    return [
        Mutant(name, file, old, new, tuple(f"tests/{test}" for test in tests.split()))
        for file, by_tests in tomllib.loads(path.read_text()).items()
        for tests, mutants in by_tests.items()
        for name, (old, new) in mutants.items()
    ]


def copy_tree(target: Path) -> None:
    """Copy the files of the repository, with uncommitted changes."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


@contextlib.contextmanager
def applied(mutant: Mutant, tree: Path) -> Iterator[bool]:
    """Edit the file for the block. False, without an edit, if the text does not occur exactly once."""
    path = tree / mutant.file
    original = path.read_text()
    if original.count(mutant.old) != 1:
        yield False
        return
    # Python takes a compiled file for fresh by its size and whole seconds, which an edit may leave as they were.
    compiled = Path(importlib.util.cache_from_source(str(path)))
    try:
        path.write_text(original.replace(mutant.old, mutant.new))
        compiled.unlink(missing_ok=True)
        yield True
    finally:
        path.write_text(original)
        compiled.unlink(missing_ok=True)


def run_tests(tests: Sequence[str], tree: Path, seconds: float) -> int | None:
    """The exit code of pytest; None if it took too long."""
    # A mistake may make a test wait for ever: unit tests take no minute.
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--timeout=60", *tests]
    # First on the path, before an editable install of the checkout that the copy is of.
    environment = os.environ | {"PYTHONPATH": str(tree)}
    try:
        return subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=seconds).returncode
    except subprocess.TimeoutExpired:
        return None


def verdict(mutant: Mutant, tree: Path, seconds: float) -> str:
    """`KILLED`, or the problem."""
    with applied(mutant, tree) as done:
        if not done:
            return f"invalid: its text is not found exactly once in {mutant.file}"
        code = run_tests(mutant.tests, tree, seconds)
    match code:
        case 0:
            return f"SURVIVED {' '.join(mutant.tests)}"
        case 1:
            return KILLED
        case None:
            return f"invalid: no result within {seconds:g} s"
    return f"invalid: pytest ended with exit code {code}, so no test has failed"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", multiple=True, metavar="NAME", help="Only this mutant; may be given several times.")
@click.option("--timeout", default=240.0, show_default=True, help="Seconds for the tests of one mutant.")
@click.option(
    "--workers", default=os.cpu_count() or 1, show_default=True, help="Number of mutants tried at the same time."
)
def main(only: tuple[str, ...], timeout: float, workers: int) -> None:
    """Apply each mutant of tools/mutants.toml to a copy of the repository, and run its tests.

    Fails if a mutant survives or is invalid. The tests must pass without a mutant first.
    """
    mutants = load()
    if unknown := set(only) - {one.name for one in mutants}:
        raise click.UsageError(f"no such mutant: {', '.join(sorted(unknown))}")
    mutants = [one for one in mutants if not only or one.name in only]
    console = Console(highlight=False, soft_wrap=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(workers) as pool:
        trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(workers):
            copy_tree(Path(folder, str(number)))
            trees.put(Path(folder, str(number)))

        def tried(mutant: Mutant) -> tuple[str, float]:
            tree, began = trees.get(), time.monotonic()
            try:
                return verdict(mutant, tree, timeout), time.monotonic() - began
            finally:
                trees.put(tree)

        tests = sorted({test for mutant in mutants for test in mutant.tests})
        if (code := run_tests(tests, Path(folder, "0"), 4 * timeout)) != 0:
            raise click.ClickException(f"the tests fail without a mutant (exit code {code}): {' '.join(tests)}")
        running = {pool.submit(tried, mutant): mutant for mutant in mutants}
        wrong: list[str] = []
        for count, future in enumerate(as_completed(running), 1):
            name, (said, seconds) = running[future].name, future.result()
            console.print(f"{count:3}/{len(mutants)} {seconds:5.1f} s  {name}: {said}", markup=False)
            wrong += [name] if said != KILLED else []
    console.print(f"{len(mutants) - len(wrong)} of {len(mutants)} killed in {time.monotonic() - started:.0f} s")
    if wrong:
        raise click.ClickException(f"not killed: {', '.join(sorted(wrong))}")


if __name__ == "__main__":
    main()
