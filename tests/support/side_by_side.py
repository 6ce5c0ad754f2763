"""Several runs of pytest at a time, and one result: see :mod:`tests.tiers`.

A part that does not tell what became of it, because it was killed or ended in the middle, has failed, whatever its exit
code was.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRESS_SECONDS: Final = 60.0
"""How often it is said where the parts are. Some pipelines give up on what says nothing for long."""

_MODULE: Final = "tests.support.side_by_side"


@dataclass(frozen=True, slots=True)
class Part:
    """What one process runs.

    Attributes:
        name: what people call it.
        paths: of tests.
    """

    name: str
    paths: Sequence[str]


class Counts(NamedTuple):
    """What became of the tests of one run. `failed` is 0 only if the run ended well."""

    passed: int
    failed: int


class Counter:
    """A plugin of pytest that counts. A test whose fixture fails, before it or after it, has failed."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called for the set-up, the call and the tear-down of each test."""
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.passed and report.when == "call":
            self.passed.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Called for each file."""
        if report.failed:
            self.failed.add(report.nodeid)

    def counts(self, exit_code: int) -> Counts:
        """A run that did not end well has at least one failure, also if no test has."""
        failed = len(self.failed)
        return Counts(len(self.passed - self.failed), max(failed, 1) if exit_code else failed)


def run_here(arguments: Sequence[str]) -> int:
    """One run, in this process. Returns pytest's exit code."""
    counter = Counter()
    exit_code = int(pytest.main([*arguments], plugins=[counter]))
    print(_closing_line([counter.counts(exit_code)]), flush=True)
    return exit_code


def run_side_by_side(parts: Sequence[Part], arguments: Sequence[str]) -> int:
    """All parts at a time. Returns 0 if all tests of all of them passed, and else 1.

    SIGINT and SIGTERM make each part end as Ctrl-C does: beds are taken down. So does the death of this process.
    """
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tiers-")))
        running = [stack.enter_context(_Running.start(part, folder, [*colour, *arguments])) for part in parts]
        stack.enter_context(_forwarding(running))
        for number, part in enumerate(running, 1):
            _wait(part, running)
            print(f"\n===== part {number} of {len(parts)}: {', '.join(part.part.paths)} =====", flush=True)
            part.show()
        results = [part.counts() for part in running]
        print()
        for number, part in enumerate(running, 1):
            print(f"part {number} of {len(parts)}: {part.verdict()}")
    print(_closing_line(results), flush=True)
    return int(any(result.failed for result in results))


def _closing_line(results: Sequence[Counts]) -> str:
    return f"{sum(each.passed for each in results)} passed, {sum(each.failed for each in results)} failed"


@dataclass(frozen=True, slots=True)
class _Running:
    part: Part
    process: subprocess.Popen[bytes]
    output: Path
    report: Path

    @classmethod
    @contextmanager
    def start(cls, part: Part, folder: Path, arguments: Sequence[str]) -> Iterator[_Running]:
        output, report = folder / f"{part.name}.log", folder / f"{part.name}.json"
        cache = ["-o", f"cache_dir=.pytest_cache/{part.name}"]  # or the later one would write over the other's
        there, here = os.pipe()
        with open(there, "rb") as handed_over, output.open("wb") as log:
            command = [sys.executable, "-m", _MODULE, str(there), str(report), *part.paths, *cache, *arguments]
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is forwarded, once: two of them would cut short the tear-down
                pass_fds=[handed_over.fileno()],
            )
        with process, open(here, "wb"):  # closed first, also when something fails here; then waited for
            yield cls(part, process, output, report)

    def lines(self) -> list[str]:
        return self.output.read_text(errors="replace").splitlines()

    def show(self) -> None:
        """Write what it wrote to standard output."""
        sys.stdout.flush()
        sys.stdout.buffer.write(self.output.read_bytes())
        sys.stdout.buffer.flush()

    def counts(self) -> Counts:
        if not self.report.exists():
            return Counts(0, 1)
        passed, failed = json.loads(self.report.read_text())
        return Counts(passed, max(failed, 1) if self.process.returncode else failed)

    def verdict(self) -> str:
        if not self.report.exists():
            return f"did not come to its end (exit code {self.process.returncode})"
        return next((line for line in reversed(self.lines()) if line.strip()), "no output").strip("= ")


@contextmanager
def _forwarding(running: Sequence[_Running]) -> Iterator[None]:
    def forward(*_: object) -> None:
        for part in running:
            if part.process.poll() is None:
                part.process.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(part: _Running, running: Sequence[_Running]) -> None:
    while True:
        try:
            part.process.wait(PROGRESS_SECONDS)
        except subprocess.TimeoutExpired:
            for each in running:
                last = next((line for line in reversed(each.lines()) if line.strip()), "starting")
                print(f"{time.strftime('%H:%M:%S')} {each.part.name}: {last[-120:]}", file=sys.stderr, flush=True)
        else:
            return


def _part(parent: int, report: Path, arguments: list[str]) -> int:
    """What a part runs: pytest, and then a report of what became of it."""
    # Whoever starts us in the background makes us ignore Ctrl-C, and all that our tests start as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # so that the progress can be told
    threading.Thread(target=_end_with, args=[parent], daemon=True).start()
    counter = Counter()
    exit_code = int(pytest.main(arguments, plugins=[counter]))
    complete = report.with_suffix(".new")
    complete.write_text(json.dumps(counter.counts(exit_code)))
    complete.replace(report)
    return exit_code


def _end_with(parent: int) -> None:
    """Once nobody holds the other end of this pipe any more, do what Ctrl-C does."""
    os.read(parent, 1)
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    _, pipe, where, *rest = sys.argv
    sys.exit(_part(int(pipe), Path(where), rest))
