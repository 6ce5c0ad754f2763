"""The list of scenarios."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.scenario import Scenario

MODULES: tuple[str, ...] = (
    "benchmarks.library.workqueue",
    "benchmarks.library.decode",
    "benchmarks.library.memory",
    "benchmarks.library.cold_sync",
    "benchmarks.product.one_change",
    "benchmarks.product.burst",
    "benchmarks.product.recovery",
    "benchmarks.product.services_growth",
    "benchmarks.product.failover",
    "benchmarks.product.attacks",
    "benchmarks.product.doctor",
)
"""A line for each, in the order of the page. Its name is the last part; the module is imported when it is asked for."""


def names() -> list[str]:
    """The names of all scenarios."""
    return [module.rpartition(".")[2] for module in MODULES]


def load(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        KeyError: there is none.
    """
    module = dict(zip(names(), MODULES, strict=True))[name]
    scenario: Scenario = import_module(module).SCENARIO
    return scenario
