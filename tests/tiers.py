"""Run every tier of tests that this machine can run, and name those it cannot.

`make test` calls it; arguments go to pytest. The tests are divided into parts, a pytest process each with test beds of
its own, and one more than there are CPUs run side by side, as half of the time a test waits for something. What a part
wrote is shown when it ends. The last line is the sum of all, `<n> passed, <n> failed`, where errors of fixtures count
as failed. It says `0 failed`, and the exit code is 0, only if all parts came to their end and all of their tests
passed; tests with real servers that failed once and then passed alone, twice, are named and counted as `flaky`, see
:mod:`tests.support.side_by_side`. In CI (the variable CI is set) a tier that cannot run is a failure.

There is one process if paths are named (then only these are run), if an option is about one run of pytest (-k, --lf,
--pdb, ...), or if there is only one CPU.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import Console

from testbed.bed import required_components
from testbed.dataplane import missing_capabilities
from tests.support.side_by_side import Part, run_here, run_side_by_side
from tools.components import OLDER_KUBERNETES_VERSION, ComponentError, resolve
from tools.progress import ProgressPrinter

# The files of tests/integration/product that have fleets of their own; all others share one.
OWN_FLEETS = " ".join(
    f"integration/product/test_{name}.py"
    for name in (
        *("agent", "agent_in_a_pod", "api_servers", "foreign_objects", "leaving_clusters", "living_clusters"),
        *("member_ownership", "permissions", "permissions_beside", "walkthrough"),
    )
)
# Paths below tests/, for a run each, begun in this order: those that take longest first. `*` has all that no other has.
# Each has a test bed of its own, gone when the part has ended: an API server takes 4 s of CPU time to start, then 2 %.
PARTS = {
    "fleets": OWN_FLEETS,
    "product": "integration/product",
    "crash-points": "model/test_crash_points.py",
    "beside": "integration/beside",
    "unit": "unit model",
    "rest": "*",
    "mcsctl": "integration/mcsctl",
    "library": "integration/informers integration/runtime integration/examples",
    "dataplane": "integration/dataplane integration/testbed",
    "standalone": "integration/standalone",
    "e2e": "e2e",
    "demo": "integration/demo",
}
# Folders whose files are distributed, each to the part that names it, or else its folder, or else has the rest.
DIVIDED = ("tests/integration", "tests/model", "tests/integration/product")

# About one run: what it selects, what it shows while it runs, and files that two would both write.
ONE_PROCESS = (
    *("-k", "-m", "--lf", "--last-failed", "--ff", "--failed-first", "--nf", "--new-first", "--sw", "--stepwise"),
    *("--deselect", "--collect", "--pdb", "--trace", "-s", "--capture", "--junit", "--basetemp", "-h", "--help"),
    *("--version", "--fixtures", "--markers", "--setup", "--cache"),
)


def main(arguments: list[str]) -> int:
    """Returns 0 if everything that can run here passed, and in CI only if everything can run here."""
    paths = [each for each in arguments if not each.startswith("-") and Path(each.split("::")[0]).exists()]
    if paths:
        return run_here(arguments)
    tiers = ["tests/unit", "tests/model"]
    lacking = missing_capabilities()
    if lacking:
        print(f"end-to-end tier cannot run here: {'; '.join(lacking)}", file=sys.stderr, flush=True)
        if os.environ.get("CI"):
            return 1
    try:
        with ProgressPrinter(Console(stderr=True)) as progress:
            wanted = required_components(dataplane=not lacking, versions=[OLDER_KUBERNETES_VERSION])
            resolve([*wanted, "kubectl", "prometheus", "helm"], on_progress=progress)
        tiers += ["tests/integration"] if lacking else ["tests/integration", "tests/e2e"]
    except ComponentError as error:
        print(f"integration tier cannot run here: {error}", file=sys.stderr, flush=True)
        if os.environ.get("CI"):
            return 1
    print(f"tiers: {', '.join(tier.removeprefix('tests/') for tier in tiers)}", flush=True)
    cpus = len(os.sched_getaffinity(0))
    if needs_one_process(arguments) or cpus < 2:
        return run_here([*tiers, *arguments])
    return run_side_by_side(divided(tiers), arguments, at_once=cpus + 1, may_be_flaky=has_real_servers)


def has_real_servers(name: str) -> bool:
    """Whether that test waits for other processes. All others give the same result each time."""
    return name.startswith(("tests/integration/", "tests/e2e/"))


def needs_one_process(arguments: list[str]) -> bool:
    """Whether one of pytest's options speaks of a single run."""
    return any(each == "--co" or each.startswith(ONE_PROCESS) for each in arguments)


def divided(tiers: list[str]) -> list[Part]:
    """What each process runs; fewer of them, if the tiers have nothing for some."""
    files = [file for tier in tiers for file in _divided(tier)]
    parts: dict[str, list[str]] = {name: [] for name in PARTS}
    for file in files:
        names = [name for name, paths in PARTS.items() if any(_is_in(file, f"tests/{path}") for path in paths.split())]
        parts[names[0] if names else "rest"].append(file)
    return [Part(name, paths) for name, paths in parts.items() if paths]


def _divided(path: str) -> list[str]:
    if path not in DIVIDED:
        return [path]
    children = (f"{path}/{each}" for each in sorted(os.listdir(path)) if _has_tests(Path(path, each)))
    return [part for child in children for part in _divided(child)]


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _has_tests(path: Path) -> bool:
    return path.name.startswith("test_") if path.is_file() else any(path.rglob("test_*.py"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
