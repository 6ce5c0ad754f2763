"""Run every tier of tests that this machine can run, in one pytest run, and name those it cannot.

`make test` calls it; arguments go to pytest. In CI (the variable CI is set) a tier that cannot run is a failure.
"""

from __future__ import annotations

import os
import sys

import pytest
from rich.console import Console

from testbed.bed import required_components
from testbed.dataplane import missing_capabilities
from tools.components import OLDER_KUBERNETES_VERSION, ComponentError, resolve
from tools.progress import ProgressPrinter


def main(arguments: list[str]) -> int:
    """Returns pytest's exit code, or 1 if CI lacks a component."""
    tiers = ["tests/unit", "tests/model"]
    lacking = missing_capabilities()
    if lacking:
        print(f"end-to-end tier cannot run here: {'; '.join(lacking)}", file=sys.stderr, flush=True)
        if os.environ.get("CI"):
            return 1
    try:
        with ProgressPrinter(Console(stderr=True)) as progress:
            wanted = required_components(dataplane=not lacking, versions=[OLDER_KUBERNETES_VERSION])
            resolve([*wanted, "kubectl"], on_progress=progress)
        tiers += ["tests/integration"] if lacking else ["tests/integration", "tests/e2e"]
    except ComponentError as error:
        print(f"integration tier cannot run here: {error}", file=sys.stderr, flush=True)
        if os.environ.get("CI"):
            return 1
    print(f"tiers: {', '.join(tier.removeprefix('tests/') for tier in tiers)}", flush=True)
    return int(pytest.main([*tiers, *arguments]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
