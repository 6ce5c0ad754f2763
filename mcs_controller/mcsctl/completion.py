"""Completion of the command line: names that the control plane has, and `kubectl_complete-mcs`, which kubectl calls."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from mcs_controller.mcsctl.main import NAME, cli, options_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcs_controller.diagnosis.world import Kind, Object

_TIMEOUT_SECONDS: Final = 2.0
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
"""What else a server says is no name, and must not get into anybody's command line."""

_FILES, _NO_FILES = 0, 4
"""Directives of cobra: whether names of files are offered, too."""


def services(ctx: click.Context, _: click.Parameter, incomplete: str) -> Sequence[str]:
    """MultiClusterServices of the namespace that is named already."""
    from mcs_controller.diagnosis.world import MULTICLUSTERSERVICES

    namespace = "" if ctx.params.get("all_namespaces") else ctx.params.get("namespace") or "default"
    return _names(ctx, MULTICLUSTERSERVICES, namespace, "name", incomplete)


def namespaces(ctx: click.Context, _: click.Parameter, incomplete: str) -> Sequence[str]:
    """Those that have a MultiClusterService."""
    from mcs_controller.diagnosis.world import MULTICLUSTERSERVICES

    return _names(ctx, MULTICLUSTERSERVICES, "", "namespace", incomplete)


def clusters(ctx: click.Context, _: click.Parameter, incomplete: str) -> Sequence[str]:
    """The registered members."""
    from mcs_controller.diagnosis.world import CLUSTERS

    return _names(ctx, CLUSTERS, "", "name", incomplete)


def _names(ctx: click.Context, kind: Kind, namespace: str, field: str, incomplete: str) -> Sequence[str]:
    """What the control plane answers within two seconds; nothing if it does not."""
    from informers.errors import KubeError
    from mcs_controller.diagnosis.world import text

    try:
        options: dict[str, Any] = options_of(ctx.find_root().params) | {"timeout_seconds": _TIMEOUT_SECONDS}
        found = {text(one, "metadata", field) for one in _ask(options, kind, namespace)}
    except (KubeError, OSError, click.ClickException):
        return []  # TimeoutError is an OSError
    return sorted(one for one in found if one.startswith(incomplete) and _NAME.fullmatch(one))


def _ask(options: dict[str, Any], kind: Kind, namespace: str) -> Sequence[Object]:
    from mcs_controller.mcsctl.access import Access, AccessOptions
    from mcs_controller.mcsctl.objects import list_all

    async def ask() -> Sequence[Object]:
        async with asyncio.timeout(_TIMEOUT_SECONDS), Access(AccessOptions(**options)) as access:
            return await list_all((await access.host()).client, kind, namespace)

    return asyncio.run(ask())


def main(argv: Sequence[str] | None = None) -> int:
    """Complete `kubectl mcs`: print what the last word may be, one a line, and a directive of cobra. Returns 0.

    Args:
        argv: the words after `kubectl mcs`, the last of which is incomplete; None takes the process's own.
    """
    from click.shell_completion import ShellComplete

    *words, incomplete = (sys.argv[1:] if argv is None else argv) or [""]
    found = ShellComplete(cli, {}, NAME, f"_{NAME.upper()}_COMPLETE").get_completions(words, incomplete)
    for one in found:
        if one.type == "plain":
            click.echo(f"{one.value}\t{one.help}" if one.help else one.value)
    click.echo(f":{_FILES if any(one.type in ('file', 'dir') for one in found) else _NO_FILES}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
