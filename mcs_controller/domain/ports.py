"""What consumers see of a slice: all of it, unless the service lists ports or a flag leaves the topology out.

Karmada copies endpoints and ports as they are (contract 3.3), and accepts `spec.ports` without acting on it (1.1). That
is what happens here as well by default, and without `spec.ports`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mcs_controller.api.common import JsonObject
    from mcs_controller.api.core import Service
    from mcs_controller.api.multiclusterservice import ListedPort

_TOPOLOGY: Final = ("zone", "nodeName", "hints", "deprecatedTopology")


@dataclass(frozen=True, slots=True)
class Ports:
    """What a slice has of the ports that its service lists.

    Attributes:
        exposed: as they are in the slice. One without a number is none of them: it stands for every port, and would
            offer what is not listed. (kube-proxy ignores such ports.)
        listed: all entries of the list, for people.
        missing: entries that no port of the slice answers to.
        there: the slice's ports, for people.
    """

    exposed: tuple[JsonObject, ...]
    listed: tuple[str, ...]
    missing: tuple[str, ...]
    there: tuple[str, ...]


class _ServicePort(msgspec.Struct):
    port: int = 0
    name: str = ""


class _ServiceSpec(msgspec.Struct):
    ports: tuple[_ServicePort, ...] | None = None


_spec = msgspec.json.Decoder(_ServiceSpec)


def expose(listed: Sequence[ListedPort], template: Service | None, ports: Sequence[JsonObject]) -> Ports:
    """Which ports of a slice the entries of `spec.ports` mean.

    A slice knows a port by the name that it has in the Service ("" for the only one of a Service that names none), and
    by the number at the pods, which is another one than the Service's. So an entry is looked up by its name; if neither
    Service nor slice has that name, or it has none, by its number among the Service's ports, which has a name then.

    Args:
        listed: not empty.
        template: the Service in the control plane; without it, numbers mean nothing.
        ports: of the slice.
    """
    offered = _spec.decode(template.spec).ports or () if template is not None else ()
    numbered = [port for port in ports if port.get("port") is not None]
    there = {_name(port) for port in numbered}
    known = there | {one.name for one in offered}
    names: set[str] = set()
    missing: list[str] = []
    for entry in listed:
        if entry.name and entry.name in known:
            meant = {entry.name}
        else:
            meant = {one.name for one in offered if one.port == entry.port}
        if not meant & there:
            missing.append(str(entry))
        names |= meant
    return Ports(
        exposed=tuple(port for port in numbered if _name(port) in names),
        listed=tuple(str(entry) for entry in listed),
        missing=tuple(missing),
        there=tuple(_shown(port) for port in ports),
    )


def without_topology(endpoints: Iterable[JsonObject]) -> list[JsonObject]:
    """The endpoints without what says where in its own cluster each of them is.

    That is `nodeName` too: kube-proxy takes an endpoint for a local one if the name is that of its own node.
    """
    return [{key: value for key, value in one.items() if key not in _TOPOLOGY} for one in endpoints]


def _name(port: JsonObject) -> str:
    return port.get("name") or ""


def _shown(port: JsonObject) -> str:
    number = f"{port.get('port') or 'every port'}/{port.get('protocol') or 'TCP'}"
    return f"{_name(port)} ({number})" if _name(port) else number
