"""Generate docs/reference and the dashboard from the code and the lock; `--check` fails if they are not up to date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcs_controller.arguments import ACCUMULATING, CONTROLLERS_ELSEWHERE, GATES_ELSEWHERE, IGNORED
from mcs_controller.controllers import CONTROLLERS, STANDALONE
from mcs_controller.options import ENVIRONMENT_PREFIX, FLAGS
from tools.dashboard import dashboard_manifest
from tools.licences import dependencies_page
from tools.markdown import code, table
from tools.metrics_page import metrics_page
from tools.rbac_page import rbac_page
from tools.troubleshooting_page import troubleshooting_page
from tools.wire_pages import annotations_page, events_page

if TYPE_CHECKING:
    from collections.abc import Iterable

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"


def flags_page() -> str:
    """docs/reference/flags.md."""
    lines = [
        "# Flags and controllers",
        "",
        "Made from `mcs_controller/options.py` and `mcs_controller/controllers.py` by `make docs`. Names and defaults "
        "are those of karmada-controller-manager. Every flag can also be set by an environment variable: "
        f"`{ENVIRONMENT_PREFIX}_` and the name in upper case with underscores.",
    ]
    for group in dict.fromkeys(flag.group for flag in FLAGS):
        rows = [(f"`--{flag.name}`", _default(flag.default), flag.help) for flag in FLAGS if flag.group == group]
        lines += ["", f"## {group}", *table(["flag", "default", "meaning"], rows)]
    controllers = [
        (f"`{info.key}`", f"no (`{STANDALONE}`)" if info.standalone else "yes", info.gate or "", info.about)
        for info in CONTROLLERS
    ]
    lines += ["", "## Controllers", *table(["key", "on by default", "feature gate", "what it does"], controllers)]
    lines += [
        "",
        "## As Karmada's",
        "",
        f"{_names(ACCUMULATING)} may be given several times, and add up; `-v=4`, `-v 4` and `-v4` are `--v=4`.",
        "",
        "So that the Deployment of karmada-controller-manager can be copied, these are taken, and named in one warning "
        f"at the start. Flags: {_names(IGNORED)}. In `--controllers`: {_names(CONTROLLERS_ELSEWHERE, '')}. "
        f"In `--feature-gates`: {_names(GATES_ELSEWHERE, '')}.",
    ]
    return "\n".join(lines) + "\n"


def _names(names: Iterable[str], dashes: str = "--") -> str:
    return code(f"{dashes}{name}" for name in sorted(names))


def _default(value: object) -> str:
    if value == "":
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


PAGES = {
    "flags.md": flags_page,
    "metrics.md": metrics_page,
    "events.md": events_page,
    "rbac.md": rbac_page,
    "annotations.md": annotations_page,
    "../troubleshooting.md": troubleshooting_page,
    "dependencies.md": dependencies_page,
    "../../manifests/observability/dashboard.yaml": dashboard_manifest,
}


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if a page is out of date.")
def main(check: bool) -> None:
    """Write or check every page."""
    stale = []
    for name, page in PAGES.items():
        path, text = REFERENCE / name, page()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if check:
            stale.append(name)
        else:
            REFERENCE.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            click.echo(f"wrote {path}")
    if stale:
        click.echo(f"out of date: {', '.join(stale)}; run `make docs`", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
