"""Where a node's kube-proxy sends a Service's connections, followed as the kernel is told, without asking again.

``nft monitor`` prints every change of the rules when it takes effect, a transaction at a time.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Self

from testbed.dataplane import network
from testbed.dataplane.execute import PATH
from testbed.demo.lines import Lines
from testbed.identity import BED_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

TABLE = "kube-proxy"

# kube-proxy has a chain for each port of a Service: service-<hash>-<namespace>/<name>/<protocol>/<port's name>. Its
# rule names the endpoints: `dnat to 10.81.1.0:80`, or `... map { 0 : 10.81.1.0 . 80, 1 : 10.81.1.1 . 80 }`.
_CHAIN = r"service-[0-9A-Z]+-(?P<service>[^/\s]+/[^/\s]+)/\S*"
_LISTED = re.compile(rf"chain {_CHAIN} \{{\n(?P<rules>.*?)\n\t\}}", re.DOTALL)
_CHANGED = re.compile(rf"(?P<verb>add|delete) (?:rule|chain) ip {TABLE} {_CHAIN}(?P<rule>.*)")
_ENDPOINT = re.compile(r"(\d+\.\d+\.\d+\.\d+)(?::| \. )\d+")
_COMMITTED = "# new generation"


class Targets:
    """The addresses behind each Service, ``namespace/name``, as the rules have them."""

    def __init__(self) -> None:
        self._now: dict[str, frozenset[str]] = {}
        self._next: dict[str, frozenset[str]] = {}

    def of(self, service: str) -> list[str]:
        """Where connections to a Service go, sorted."""
        return sorted(self._now.get(service, ()))

    def take_all(self, listing: str) -> None:
        """Begin with what ``nft list table`` printed."""
        self._now = {}
        for chain in _LISTED.finditer(listing):
            known = self._now.get(chain["service"], frozenset())
            self._now[chain["service"]] = known | set(_ENDPOINT.findall(chain["rules"]))
        self._next = dict(self._now)

    def take(self, line: str) -> bool:
        """Take one line of ``nft monitor``; whether it ends a transaction that changed something.

        A rule that changes is deleted and added; a line that deletes one does not say what was in it.
        """
        if change := _CHANGED.match(line):
            added = _ENDPOINT.findall(change["rule"]) if change["verb"] == "add" else None
            known = self._next.get(change["service"], frozenset())
            self._next[change["service"]] = frozenset() if added is None else known | set(added)
        if not line.startswith(_COMMITTED) or self._next == self._now:
            return False
        self._now = dict(self._next)
        return True


class Rules:
    """Follows kube-proxy's rules in a node for as long as the ``async with`` block lasts.

    Args:
        node: the node's network namespace.
        root: the bed's directory.
        on_change: called after every change.

    Attributes:
        at: when they changed last, by the monotonic clock.
    """

    def __init__(self, node: str, *, root: Path, on_change: Callable[[], None] = lambda: None) -> None:
        self.at = 0.0
        self._inside = ["ip", "netns", "exec", node]
        self._on_change = on_change
        self._targets = Targets()
        self._lines = Lines(
            [*self._inside, "nft", "monitor"],
            env={"PATH": PATH, BED_VARIABLE: str(root)},
            take=self._take,
            ready=self._list,
        )

    async def __aenter__(self) -> Self:
        await self._lines.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._lines.__aexit__(kind, error, traceback)

    def targets(self, service: str) -> list[str]:
        """The addresses to which connections to a Service go, ``namespace/name``; sorted."""
        self._lines.check()
        return self._targets.of(service)

    async def _list(self) -> None:
        self._targets.take_all(await network.run([*self._inside, "nft", "list", "table", "ip", TABLE]))
        self._changed()

    async def _take(self, line: str) -> None:
        if line.startswith("#") and "lost" in line:  # more changes at once than the kernel kept for us
            await self._list()
        elif self._targets.take(line):
            self._changed()

    def _changed(self) -> None:
        self.at = time.monotonic()
        self._on_change()
