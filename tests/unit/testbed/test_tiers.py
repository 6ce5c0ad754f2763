"""What `make test` makes of two runs of pytest: it is not green unless both were, to their end."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from string import ascii_lowercase

import pytest

from tests.support.side_by_side import MAX_REPEATED, Part, run_side_by_side
from tests.tiers import PARTS, divided, has_real_servers, needs_one_process

REPOSITORY = Path(__file__).parents[3]
PASSES = "def test_passes(): pass\n"
FIXTURES = """
import pytest

@pytest.fixture
def before():
    1/0

@pytest.fixture
def after():
    yield
    1/0

def test_before(before): pass
def test_after(after): pass
def test_one(): pass
def test_two(): pass
@pytest.mark.skip
def test_skipped(): pass
"""


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Part]:
    """Two folders of tests, empty yet, for a pytest without plugins: it starts in a third of the time."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return [Part(name, [str(tmp_path / name)]) for name in ("one", "two")]


def write(part: Part, text: str) -> None:
    (Path(part.paths[0]) / f"test_{part.name}.py").write_text(text)


@pytest.mark.parametrize(
    ("second", "closing_line"),
    [
        (PASSES, "2 passed, 0 failed"),
        (PASSES + "def test_fails(): assert False\n", "2 passed, 1 failed"),
        (FIXTURES, "3 passed, 2 failed"),
        ("import nothing_of_that_name\n", "1 passed, 1 failed"),
        ("", "1 passed, 1 failed"),
        (PASSES + "def test_ends():\n import os\n os._exit(0)\n", "1 passed, 1 failed"),
        (PASSES + "def test_dies():\n import os\n os.kill(os.getpid(), 9)\n", "1 passed, 1 failed"),
        (PASSES + "def test_stops():\n raise KeyboardInterrupt\n", "2 passed, 1 failed"),
        (PASSES + "def test_leaves(request):\n request.config.add_cleanup(lambda: 1 / 0)\n", "3 passed, 1 failed"),
    ],
    ids=[
        *("all pass", "one fails", "fixtures fail, one is skipped", "not importable", "no tests"),
        *("ends with code 0 in the middle", "is killed", "is interrupted", "leaves what fails at the end"),
    ],
)
def test_result_is_that_of_both_and_its_last_line_says_so(
    parts: list[Part], second: str, closing_line: str, capfdbinary: pytest.CaptureFixture[bytes]
):
    write(parts[0], PASSES)
    write(parts[1], second)
    exit_code = run_side_by_side(parts, [], at_once=2)
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert lines[-1] == closing_line
    assert exit_code == (0 if closing_line.endswith(" 0 failed") else 1)
    told = [line for line in lines if line.startswith(("===== part 1 of 2", "===== part 2 of 2"))]
    assert len(told) == 2
    assert any("test_one.py" in line for line in lines)
    verdicts = [line for line in lines if line.startswith(("part 1 of 2: ", "part 2 of 2: "))]
    assert sorted(line.split(": ")[1] for line in verdicts) == ["one", "two"]


def test_what_was_left_open_is_named_at_the_end(parts: list[Part], capfdbinary: pytest.CaptureFixture[bytes]):
    write(parts[0], PASSES)
    write(parts[1], PASSES + "def test_leaves(request):\n request.config.add_cleanup(lambda: 1 / 0)\n")
    assert run_side_by_side(parts, [], at_once=2) == 1
    lines = capfdbinary.readouterr().out.decode().splitlines()
    named = lines.index("LEAKED two:")
    assert any(line.startswith("ZeroDivisionError") for line in lines[named:])


def test_no_more_parts_run_at_a_time_than_asked_for(parts: list[Part], capfdbinary: pytest.CaptureFixture[bytes]):
    alone = (
        "import os, pathlib\n"
        "def test_is_alone():\n"
        f"    mark = pathlib.Path({str(Path(parts[0].paths[0]).parent / 'mark')!r})\n"
        "    mark.touch(exist_ok=False)\n"
        "    mark.unlink()\n"
    )
    for part in parts:
        write(part, alone)
    assert run_side_by_side(parts, [], at_once=1) == 0
    shown = capfdbinary.readouterr().out.decode()
    assert shown.index("===== part 1 of 2: ") < shown.index("test_one.py") < shown.index("===== part 2 of 2: ")


def test_failures_and_the_slowest_tests_are_named_at_the_end(
    parts: list[Part], capfdbinary: pytest.CaptureFixture[bytes]
):
    write(parts[0], "def test_fails(): assert False\n")
    write(parts[1], "import time\ndef test_sleeps(): time.sleep(1)\n")
    run_side_by_side(parts, [], at_once=2)
    lines = capfdbinary.readouterr().out.decode().splitlines()
    for things, name in (("files", "test_two.py"), ("tests", "test_two.py::test_sleeps")):
        [heading] = [number for number, line in enumerate(lines) if f"slowest {things}" in line]
        assert lines[heading + 1].endswith(name)
    assert [line for line in lines if line.startswith("part ")][-1].endswith("s of CPU time")
    assert lines[-2].startswith("FAILED ")
    assert lines[-2].endswith("test_one.py::test_fails")


FAILS_AT_FIRST = """
import pathlib

def fails(name, times):
    mark = pathlib.Path(__file__).with_name(name)
    runs = int(mark.read_text()) if mark.exists() else 0
    mark.write_text(str(runs + 1))
    assert runs >= times
"""


TOO_MANY = ascii_lowercase[: MAX_REPEATED + 1]


@pytest.mark.parametrize(
    ("tests", "may_be_flaky", "end"),
    [
        ("def test_a(): fails('a', 1)\n", True, ["FLAKY  one/test_one.py::test_a: failed, then passed 2 times"]),
        ("def test_a(): fails('a', 1)\n", False, ["FAILED one/test_one.py::test_a"]),
        ("def test_a(): fails('a', 2)\n", True, ["FAILED one/test_one.py::test_a"]),
        (
            "def test_a(): fails('a', 1)\ndef test_b(): fails('b', 9)\n",
            True,
            ["FLAKY  one/test_one.py::test_a: failed, then passed 2 times", "FAILED one/test_one.py::test_b"],
        ),
        (
            "".join(f"def test_{name}(): fails('{name}', 1)\n" for name in TOO_MANY),
            True,
            [f"FAILED one/test_one.py::test_{name}" for name in TOO_MANY],
        ),
    ],
    ids=["once", "once, no real servers", "twice", "one once and one always", "too many"],
)
def test_a_few_that_failed_are_run_again_and_named(
    parts: list[Part],
    tests: str,
    may_be_flaky: bool,
    end: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
):
    write(parts[0], FAILS_AT_FIRST + tests)
    write(parts[1], PASSES)
    monkeypatch.chdir(Path(parts[0].paths[0]).parent)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    exit_code = run_side_by_side(parts, [], at_once=2, may_be_flaky=lambda name: may_be_flaky)
    flaky = sum(line.startswith("FLAKY") for line in end)
    failed = len(end) - flaky
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert lines[-len(end) - 1 : -1] == end
    assert lines[-1] == f"{1 + flaky} passed, {failed} failed" + (f", {flaky} flaky" if flaky else "")
    assert exit_code == (1 if failed else 0)


@pytest.mark.parametrize(
    ("second", "options", "closing_line"),
    [
        ("import os\ndef test_dies(): os.kill(os.getpid(), 9)\n", [], "0 passed, 2 failed"),
        ("def test_stops(): raise KeyboardInterrupt\n", [], "0 passed, 2 failed"),
        (PASSES, ["-x"], "1 passed, 1 failed"),
    ],
    ids=["is killed", "is interrupted", "stops at the first failure"],
)
def test_nothing_is_forgiven_if_a_part_did_not_come_to_its_end(
    parts: list[Part],
    second: str,
    options: list[str],
    closing_line: str,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
):
    write(parts[0], FAILS_AT_FIRST + "def test_a(): fails('a', 1)\n")
    write(parts[1], second)
    monkeypatch.chdir(Path(parts[0].paths[0]).parent)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    assert run_side_by_side(parts, options, at_once=2, may_be_flaky=lambda name: True) == 1
    assert capfdbinary.readouterr().out.decode().splitlines()[-1] == closing_line


def test_only_tests_with_real_servers_may_be_flaky():
    assert has_real_servers("tests/e2e/test_outages.py::test_x")
    assert has_real_servers("tests/integration/product/test_flags.py::test_x[a]")
    assert not has_real_servers("tests/unit/domain/test_naming.py::test_x")
    assert not has_real_servers("tests/model/test_histories.py::test_x")


def test_one_run_has_such_a_line_too(parts: list[Part], capfdbinary: pytest.CaptureFixture[bytes]):
    write(parts[0], PASSES + "def test_fails(): assert False\n")
    command = "import sys; from tests.support.side_by_side import run_here; sys.exit(run_here(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", command, *parts[0].paths], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "1 passed, 1 failed"
    assert done.returncode == 1


WAITS = """
import pathlib, time, pytest

HERE = pathlib.Path(__file__).parent

@pytest.fixture
def bed():
    yield
    (HERE / "down").touch()

def test_waits(bed):
    (HERE / "up").touch()  # not in the fixture: interrupted before its `yield`, it has nothing to take down
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_signal_ends_both_and_takes_their_beds_down(parts: list[Part], number: signal.Signals):
    """Also when whoever started us did so in the background, where Ctrl-C is ignored."""
    for part in parts:
        write(part, WAITS)
    command = (
        "import sys; from tests.support.side_by_side import Part, run_side_by_side; "
        "sys.exit(run_side_by_side([Part('one', [sys.argv[1]]), Part('two', [sys.argv[2]])], [], at_once=2))"
    )
    paths = [part.paths[0] for part in parts]
    process = subprocess.Popen(
        [sys.executable, "-c", command, *paths],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    _until(lambda: all((Path(path) / "up").exists() for path in paths))
    process.send_signal(number)
    output, _ = process.communicate()
    _until(lambda: all((Path(path) / "down").exists() for path in paths))
    if number is not signal.SIGKILL:
        assert process.returncode == 1
        assert output.decode().splitlines()[-1] == "0 passed, 2 failed"


def _until(condition) -> None:
    while not condition():
        time.sleep(0.01)


LONG = ("hostile", "upgrade")
"""Of `make test-long` alone."""


def test_all_parts_together_run_every_file_once():
    parts = divided(["tests/unit", "tests/model", "tests/integration", "tests/e2e"])
    paths = [Path(path) for part in parts for path in part.paths]
    for file in REPOSITORY.glob("tests/**/test_*.py"):
        times = 0 if file.parent.name in LONG else 1
        assert sum(file.relative_to(REPOSITORY).is_relative_to(path) for path in paths) == times, file
    for name in LONG:
        assert f" tests/{name} " in (REPOSITORY / "Makefile").read_text()
    assert {part.name for part in parts} == set(PARTS)
    assert [part.name for part in divided(["tests/unit", "tests/model"])] == ["crash-points", "unit"]


@pytest.mark.parametrize(
    ("arguments", "alone"),
    [
        (["-k", "word"], True),
        (["-kword"], True),
        (["--lf"], True),
        (["--junitxml=report.xml"], True),
        (["--co"], True),
        (["--collect-only"], True),
        (["-q", "--color=no", "--maxfail=1", "-x", "--durations=5", "--timeout=600"], False),
        ([], False),
    ],
    ids=str,
)
def test_what_speaks_of_one_run_is_run_by_one_process(arguments: list[str], alone: bool):
    assert needs_one_process(arguments) is alone
