"""The controllers that this binary has, and how `--controllers` picks among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mcs_controller.features import MULTI_CLUSTER_SERVICE

AGENT_NAME: Final = "mcs-controller-agent"
"""Of an agent's Lease, and what API servers' logs know it by."""

STANDALONE: Final = "standalone"
"""In `--controllers`: all controllers that do what Karmada's own would do."""


@dataclass(frozen=True, slots=True)
class ControllerInfo:
    """One controller, under the key that upstream has for it.

    Attributes:
        key: name in `--controllers`.
        about: what it does, in a line.
        gate: feature gate without which it does not run.
        standalone: does the work of a Karmada component; off unless named, or `standalone` is.
        agent: talks to members; for a Pull cluster its agent has it.
    """

    key: str
    about: str
    gate: str | None = None
    standalone: bool = False
    agent: bool = False


CONTROLLERS: Final[tuple[ControllerInfo, ...]] = (
    ControllerInfo(
        "multiclusterservice", "providers' Works, the Service's claim and its binding", gate=MULTI_CLUSTER_SERVICE
    ),
    ControllerInfo(
        "endpointsliceCollect", "slices of providers into the control plane", gate=MULTI_CLUSTER_SERVICE, agent=True
    ),
    ControllerInfo("endpointsliceDispatch", "collected slices out to consumers", gate=MULTI_CLUSTER_SERVICE),
    ControllerInfo("serviceExport", "slices of members' ServiceExports into the control plane", agent=True),
    ControllerInfo("endpointSlice", "collected slices of ServiceExports as EndpointSlices of the control plane"),
    ControllerInfo("serviceImport", "the derived Service of a ServiceImport"),
    ControllerInfo("cluster", "execution namespaces, and the end of a cluster", standalone=True),
    ControllerInfo("clusterStatus", "readiness and APIs of members", standalone=True, agent=True),
    ControllerInfo("namespace", "namespaces of the control plane in members", standalone=True),
    ControllerInfo("policy", "ResourceBindings of what PropagationPolicies select", standalone=True),
    ControllerInfo("scheduler", "placement of ResourceBindings", standalone=True),
    ControllerInfo("binding", "Works of scheduled ResourceBindings", standalone=True),
    ControllerInfo("execution", "Works applied in members", standalone=True, agent=True),
    ControllerInfo("bindingStatus", "what became of a ResourceBinding's Works", standalone=True),
)


SERVICE_CONTROLLERS: Final = frozenset(info.key for info in CONTROLLERS if info.gate == MULTI_CLUSTER_SERVICE)
"""The controllers of MultiClusterServices."""


class InvalidControllers(ValueError):
    """`--controllers` names something that is not there."""


@dataclass(frozen=True, slots=True)
class ControllerSet:
    """The parsed value of `--controllers`."""

    enabled: frozenset[str]

    @classmethod
    def parse(cls, text: str, *, agent: bool = False) -> ControllerSet:
        """Read a comma-separated list of `*`, `name`, `-name` and `standalone`; the first mention of a name wins.

        For an agent, `*` and `standalone` stand for those controllers that it has.

        Raises:
            InvalidControllers: there is no name, or one that is unknown, or of a controller that an agent does not
                have; the text lists those that would do.
        """
        if not text.replace(",", "").strip():
            raise InvalidControllers("no controller is named; leave the flag out, or say '*', for the usual ones")
        known = {info.key: info for info in CONTROLLERS}
        said: dict[str, bool] = {}
        star = False
        for item in (part.strip() for part in text.split(",")):
            if not item:
                continue
            if item == "*":
                star = True
                continue
            wanted, name = not item.startswith("-"), item.removeprefix("-")
            if name == STANDALONE:
                names = [info.key for info in CONTROLLERS if info.standalone]
            elif agent and wanted and name in known and not known[name].agent:
                have = ", ".join(info.key for info in CONTROLLERS if info.agent)
                raise InvalidControllers(
                    f"controller {name!r} runs in the control plane only, leave it out; an agent has {have}"
                )
            elif name in known:
                names = [name]
            else:
                raise InvalidControllers(
                    f"unknown controller {name!r}; known are {', '.join([*known, STANDALONE, '*'])}"
                )
            for one in names:
                said.setdefault(one, wanted)
        here = {key: info for key, info in known.items() if info.agent or not agent}
        on = {key for key, info in here.items() if said.get(key, star and not info.standalone)}
        return cls(frozenset(on))

    def __contains__(self, key: str) -> bool:
        return key in self.enabled
