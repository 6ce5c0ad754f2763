"""What a diagnosis looks like: text for people, JSON and YAML for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from mcs_controller.diagnosis.findings import Severity

if TYPE_CHECKING:
    from mcs_controller.diagnosis.findings import Finding
    from mcs_controller.diagnosis.verdict import Diagnosis

FORMATS: Final = ("text", "json", "yaml")

DOCS: Final = "docs/troubleshooting.md"

_MARKS: Final = {
    Severity.ERROR: ("✗", "red"),
    Severity.UNKNOWN: ("?", "magenta"),
    Severity.IN_PROGRESS: ("…", "cyan"),
    Severity.WARNING: ("!", "yellow"),
    Severity.INFO: ("i", "blue"),
}


def show(diagnosis: Diagnosis, output: str) -> None:
    """Print a diagnosis on standard output."""
    if output == "text":
        _show_text(diagnosis)
    else:
        dump(as_json(diagnosis), output)


def dump(data: Any, output: str) -> None:
    """Print data as JSON or YAML."""
    if output == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        import yaml

        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """The diagnosis for programs; see docs/reference/mcsctl.md for the fields."""
    verdict = diagnosis.verdict
    return {
        "healthy": verdict is None,
        "verdict": verdict.code if verdict is not None else None,
        "findings": [finding_as_json(one) for one in diagnosis.findings],
        "hidden": [finding_as_json(one) for one in diagnosis.hidden],
        "checked": sorted(diagnosis.checked),
    }


def finding_as_json(finding: Finding) -> dict[str, Any]:
    """One finding for programs."""
    return {
        "code": finding.code,
        "link": finding.link.name.lower(),
        "severity": finding.severity.name.lower(),
        "object": finding.object._asdict(),
        "problem": finding.problem,
        "evidence": finding.evidence,
        "fix": finding.fix,
        "clusters": sorted(finding.clusters),
        "docs": f"{DOCS}#{finding.code.lower()}",
    }


def _show_text(diagnosis: Diagnosis) -> None:
    verdict = diagnosis.verdict
    link = None
    for finding in diagnosis.findings:
        if finding.link != link:
            link = finding.link
            click.secho(f"\n{link.name.capitalize()}", bold=True)
        _show_finding(finding, is_verdict=finding is verdict)
    click.echo()
    if verdict is not None:
        click.secho(f"Broken: {verdict.code} {verdict.problem}", fg="red", bold=True)
    elif any(one.severity is Severity.UNKNOWN for one in diagnosis.findings):
        click.secho("Nothing is known to be broken, and not everything could be looked at.", fg="magenta", bold=True)
    elif any(one.severity is Severity.IN_PROGRESS for one in diagnosis.findings):
        click.secho("A change is on its way; look again.", fg="cyan", bold=True)
    else:
        click.secho(f"Healthy: {len(diagnosis.checked)} rules found nothing wrong.", fg="green", bold=True)
    sys.stdout.flush()


def _show_finding(finding: Finding, *, is_verdict: bool) -> None:
    mark, colour = _MARKS[finding.severity]
    click.echo(click.style(f"  {mark} {finding.code} ", fg=colour, bold=is_verdict) + f"{finding.object}")
    click.echo(f"      {printable(finding.problem)}")
    if finding.evidence:
        click.echo(click.style("      seen:  ", dim=True) + printable(finding.evidence))
    if finding.fix:
        click.echo(click.style("      fix:   ", dim=True) + printable(finding.fix))
    click.echo(click.style("      about: ", dim=True) + f"{DOCS}#{finding.code.lower()}")


def printable(text: str) -> str:
    """Text of others without what a terminal would take for commands."""
    return "".join(char if char.isprintable() else " " for char in text)
