"""Several runs of pytest at a time, and one result: see :mod:`tests.tiers`.

A part that does not tell what became of it, because it was killed or ended in the middle, has failed, whatever its exit
code was.

Tests with real servers wait for other processes, and a loaded machine finds races that no reader found. A few that fail
are run again, alone. One that passes `REPEATS` times then is called flaky, by name, next to the output of its failure:
a defect to mend, that does not hide what the others say.
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
import traceback
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

SLOWEST: Final = 10
"""How many of the slowest tests, and of the slowest files, are named at the end."""

REPEATS: Final = 2
"""How often a test that failed is run again; it has to pass each time."""

MAX_REPEATED: Final = 6
"""If more have failed, none is run again: this is not chance."""

MAX_LEAK_LINES: Final = 60
"""How many lines of a leak are shown at the end; the output of the part has them all."""

POLL_SECONDS: Final = 0.1

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
        self.seconds: dict[str, float] = {}
        self.stopped = True

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Called once. `-x` and the like end a run before its end, with the exit code of one that came to it."""
        self.stopped = bool(session.shouldfail or session.shouldstop)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called for the set-up, the call and the tear-down of each test."""
        self.seconds[f"{report.when} {report.nodeid}"] = report.duration
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

    def slowest(self) -> list[tuple[float, str]]:
        """The tests, set-ups and tear-downs that took longest, the slowest first: (seconds, name)."""
        return _slowest((seconds, name) for name, seconds in self.seconds.items())

    def files(self) -> list[tuple[float, str]]:
        """The files that took longest, the slowest first: (seconds, path)."""
        sums: defaultdict[str, float] = defaultdict(float)
        for name, seconds in self.seconds.items():
            sums[name.split(" ", 1)[1].split("::")[0]] += seconds
        return _slowest((seconds, path) for path, seconds in sums.items())


def run_here(arguments: Sequence[str]) -> int:
    """One run, in this process. Returns pytest's exit code."""
    counter = Counter()
    exit_code = int(pytest.main([*arguments], plugins=[counter]))
    _print_slowest("tests, set-ups and tear-downs", counter.slowest())
    print(_closing_line([counter.counts(exit_code)]), flush=True)
    return exit_code


def run_side_by_side(
    parts: Sequence[Part],
    arguments: Sequence[str],
    *,
    at_once: int,
    may_be_flaky: Callable[[str], bool] = lambda name: False,
) -> int:
    """All parts, some at a time, begun in the given order. Returns 0 if all tests of all of them passed, and else 1.

    SIGINT and SIGTERM make each part end as Ctrl-C does: beds are taken down. So does the death of this process.

    Args:
        parts: what to run. What a part wrote is shown when it has ended.
        arguments: for each pytest.
        at_once: how many parts run at a time.
        may_be_flaky: whether a test of that name is run again if it fails.
    """
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tiers-")))
        running: list[_Running] = []
        interrupted = stack.enter_context(_forwarding(running))

        def start(part: Part) -> _Running:
            running.append(stack.enter_context(_Running.start(part, folder, [*colour, *arguments])))
            if interrupted:  # while it was being started: it has not been told
                running[-1].process.send_signal(signal.SIGINT)
            return running[-1]

        def passes_again(name: str) -> bool:
            for number in range(1, REPEATS + 1):
                print(f"\nrunning again, {number} of {REPEATS}: {name}", flush=True)
                parts = [Part(f"again-{len(running)}", [name])]
                if [part.counts() for part in _run(parts, start, interrupted, 1)] != [Counts(1, 0)]:
                    return False
            return True

        ended = _run(parts, start, interrupted, at_once)
        _print_slowest("files", _slowest(each for part in ended for each in part.times("files")))
        _print_slowest(
            "tests, set-ups and tear-downs", _slowest(each for part in ended for each in part.times("tests"))
        )
        for number, part in enumerate(ended, 1):
            print(f"part {number} of {len(parts)}: {part.part.name}: {part.verdict()}")
        failed = [name for part in ended for name in part.failed()]
        flaky: set[str] = set()
        if len(failed) <= MAX_REPEATED and len(ended) == len(parts) and all(part.came_to_its_end() for part in ended):
            flaky = {name for name in failed if may_be_flaky(name) and passes_again(name)}
        results = [part.counts(flaky) for part in ended] + [Counts(0, 1)] * (len(parts) - len(ended))
        for part in ended:
            if leak := part.leak():
                print("\n".join([f"LEAKED {part.part.name}:", *leak.splitlines()[-MAX_LEAK_LINES:]]))
        for name in failed:
            print(f"FLAKY  {name}: failed, then passed {REPEATS} times" if name in flaky else f"FAILED {name}")
    print(_closing_line(results, len(flaky)), flush=True)
    return int(any(result.failed for result in results))


def _run(
    parts: Sequence[Part], start: Callable[[Part], _Running], interrupted: Sequence[int], at_once: int
) -> list[_Running]:
    """Run parts, and show what each wrote; those that have ended, in that order. Not all, if interrupted."""
    running: list[_Running] = []
    ended: list[_Running] = []
    waiting = list(parts)
    told = time.monotonic()
    while waiting or len(ended) < len(running):
        while waiting and len(running) - len(ended) < at_once and not interrupted:
            running.append(start(waiting.pop(0)))
        if interrupted:
            waiting.clear()
        for one in running:
            if one not in ended and one.process.poll() is not None:
                ended.append(one)
                print(f"\n===== part {len(ended)} of {len(parts)}: {', '.join(one.part.paths)} =====", flush=True)
                one.show()
        if time.monotonic() - told > PROGRESS_SECONDS:
            told = time.monotonic()
            _tell([one for one in running if one not in ended])
        time.sleep(POLL_SECONDS)
    return ended


def _closing_line(results: Sequence[Counts], flaky: int = 0) -> str:
    line = f"{sum(each.passed for each in results)} passed, {sum(each.failed for each in results)} failed"
    return f"{line}, {flaky} flaky" if flaky else line


def _slowest(times: Iterable[tuple[float, str]]) -> list[tuple[float, str]]:
    return sorted(times, reverse=True)[:SLOWEST]


def _print_slowest(things: str, slowest: Sequence[tuple[float, str]]) -> None:
    print(f"\nThe {len(slowest)} slowest {things}:")
    for seconds, name in slowest:
        print(f"{seconds:8.1f} s  {name}")
    print()


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
                # API servers that look for work on CPUs which the others need take a third more of them at rest.
                env={"GOMAXPROCS": "1", **os.environ},
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

    def told(self) -> dict[str, Any]:
        """What the part reported of itself; nothing, if it did not come to its end."""
        return dict(json.loads(self.report.read_text())) if self.report.exists() else {}

    def came_to_its_end(self) -> bool:
        """Whether all of its tests have run, and it said which failed."""
        return self.process.returncode in (0, 1) and not self.told().get("stopped", True)

    def counts(self, flaky: Collection[str] = ()) -> Counts:
        """What became of its tests; those of `flaky` have passed."""
        if not (told := self.told()):
            return Counts(0, 1)
        failed, forgiven = len(told["failed"]), len([name for name in told["failed"] if name in flaky])
        return Counts(told["passed"] + forgiven, (max(failed, 1) if self.process.returncode else failed) - forgiven)

    def failed(self) -> list[str]:
        return list(self.told().get("failed", ()))

    def leak(self) -> str:
        """What pytest raised when all tests had run; a failure of the part."""
        return str(self.told().get("leak", ""))

    def times(self, what: str) -> list[tuple[float, str]]:
        """The slowest `tests` or `files` of this part: (seconds, name)."""
        return [(seconds, name) for seconds, name in self.told().get(what, ())]

    def verdict(self) -> str:
        if not self.report.exists():
            return f"did not come to its end (exit code {self.process.returncode})"
        last = next((line for line in reversed(self.lines()) if line.strip()), "no output").strip("= ")
        return f"{last}, {self.told()['cpu']:.0f} s of CPU time"


@contextmanager
def _forwarding(running: Sequence[_Running]) -> Iterator[list[int]]:
    """Pass SIGINT and SIGTERM on to all parts; yields the signals that came."""
    came: list[int] = []

    def forward(number: int, _: object) -> None:
        came.append(number)
        for part in running:
            if part.process.poll() is None:
                part.process.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(running: Sequence[_Running]) -> None:
    for each in running:
        last = next((line for line in reversed(each.lines()) if line.strip()), "starting")
        print(f"{time.strftime('%H:%M:%S')} {each.part.name}: {last[-120:]}", file=sys.stderr, flush=True)


def _part(parent: int, report: Path, arguments: list[str]) -> int:
    """What a part runs: pytest, and then a report of what became of it."""
    # Whoever starts us in the background makes us ignore Ctrl-C, and all that our tests start as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # so that the progress can be told
    threading.Thread(target=_end_with, args=[parent], daemon=True).start()
    counter = Counter()
    leak = ""
    try:
        exit_code = int(pytest.main(arguments, plugins=[counter]))
    except Exception:  # of a plugin that ends: what became of the tests is known
        leak = traceback.format_exc()
        print(leak)
        exit_code = int(pytest.ExitCode.TESTS_FAILED)
    complete = report.with_suffix(".new")
    counts = counter.counts(exit_code)
    complete.write_text(
        json.dumps(
            {
                "passed": counts.passed,
                "failed": sorted(counter.failed),
                "stopped": counter.stopped,
                "leak": leak,
                "tests": counter.slowest(),
                "files": counter.files(),
                "cpu": sum(os.times()[:4]),  # of this process, and of those that it has waited for
            }
        )
    )
    complete.replace(report)
    return exit_code


def _end_with(parent: int) -> None:
    """Once nobody holds the other end of this pipe any more, do what Ctrl-C does."""
    os.read(parent, 1)
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    _, pipe, where, *rest = sys.argv
    sys.exit(_part(int(pipe), Path(where), rest))
