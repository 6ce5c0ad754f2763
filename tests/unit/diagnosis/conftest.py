"""Every finding that a test here meets has a fix that a shell takes: a command, and no words for people."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from mcs_controller.diagnosis.rules.rule import Context

if TYPE_CHECKING:
    from mcs_controller.diagnosis.findings import Finding

COMMANDS = ("kubectl ", "KUBECONFIG=", "mcsctl ", "echo ", "sed ", "curl ", "date ", "(set -e; ")

found = Context.found


def is_command(fix: str) -> bool:
    """Whether it begins with a program, asks nothing of its user, and is no comment in any shell."""
    asks = re.search(r" edit | # |\bCONTEXT\b|`", fix)
    return fix.startswith(COMMANDS) and asks is None and bool(shlex.split(fix))


def checked(context: Context, *args: Any, **fields: Any) -> Finding:
    """As the rule found it."""
    finding = found(context, *args, **fields)
    assert not finding.fix or is_command(finding.fix), f"{finding.code}: {finding.fix}"
    return finding


@pytest.fixture(autouse=True)
def every_fix_is_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Context, "found", checked)
