"""All metrics of this binary in one registry (contract, chapter 7)."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client import Gauge

from mcs_controller import __version__
from mcs_controller.runtime.metrics import RuntimeMetrics

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from informers.memory import MemoryBudget


class Metrics:
    """What is told to whom.

    Attributes:
        runtime: queues, controllers, clients, leader election.
        informers: caches, of the control plane and of members.
        registry: for those who have metrics of their own.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.runtime = RuntimeMetrics(registry)
        self.informers = self.runtime.informers
        self.registry = registry
        build = {
            "git_version": f"v{__version__}",
            "git_commit": "",
            "git_short_commit": "",
            "git_tree_state": "",
            "build_date": "",
            "go_version": "",
            "compiler": platform.python_implementation(),
            "platform": f"{platform.system().lower()}/{platform.machine()}",
        }
        info = Gauge("karmada_build_info", "Always 1; the labels tell the build.", tuple(build), registry=registry)
        info.labels(**build).set(1)

    def watch_member_caches(self, memory: MemoryBudget) -> None:
        """Show what the caches of members take."""
        for name, about, read in (
            ("mcs_member_cache_bytes", "What the caches of all members take, estimated.", lambda: memory.used),
            ("mcs_member_cache_limit_bytes", "What they may take together.", lambda: memory.total),
            ("mcs_member_caches_dropped", "How often a member's cache was dropped for that.", lambda: memory.evictions),
        ):
            Gauge(name, about, registry=self.registry).set_function(read)
