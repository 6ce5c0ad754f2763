"""A three-way merge: the desired object of a member, from the manifest, the live object and its field managers.

    named by the manifest                      as the manifest says
    not named, and we alone set it             gone: an earlier manifest of ours had it
    not named, and somebody else set it        as it is
    not named, and a server or webhook did     as it is

This is what server-side apply does. It is done here because a create must not write over what somebody else has under
that name, and an apply would; and because of Works that older versions, and Karmada, applied by updates. Who set what
the server itself records for every kind of write (`api.ownership`), so nothing has to be added to the objects.

Server defaults that a manifest leaves out are recorded as if the manifest's author had written them. Of Services and
slices, which this project makes itself, they are known here; of other kinds the control plane's own server has filled
them in before. Semantics: pkg/apis/{core,discovery}/v1/defaults.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from informers.patches import without_nulls
from mcs_controller.api.ownership import ITEM, ITSELF, OTHERS, OURS, FieldTree, item_key
from mcs_controller.domain import well_known as wk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcs_controller.api.common import JsonObject

_UNMANAGED_PARTS: Final = ("apiVersion", "kind", "metadata", "status")
_ABSENT: Final = object()
_EMPTY: Final[tuple[Any, ...]] = ("", [], {})
_SERVICE_DEFAULTS: Final[Mapping[str, Any]] = {
    "type": "ClusterIP",
    "sessionAffinity": "None",
    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
    "internalTrafficPolicy": "Cluster",
    "externalTrafficPolicy": "Cluster",
    "allocateLoadBalancerNodePorts": True,
    "publishNotReadyAddresses": False,
}
_ADDRESSES: Final = ("clusterIP", "clusterIPs")
_FAMILIES: Final = ("ipFamilies", "ipFamilyPolicy")
_NODE_PORT_TYPES: Final = ("NodePort", "LoadBalancer")
_SLICE_FIELDS: Final[FieldTree] = {f"f:{name}": {OURS: {}} for name in ("addressType", "endpoints", "ports")}
"""A slice that a Work brings is ours as a whole: its lists are replaced, whoever changed them."""

_SERVICE_PORT: Final = 'k:{"port":0,"protocol":""}'
"""An item that is in no Service: how the items of `spec.ports` are told apart."""


def merge(manifest: JsonObject, there: JsonObject, fields: FieldTree) -> tuple[JsonObject, JsonObject]:
    """What is there, and what should be, of the parts that manifests speak of: all but metadata and status.

    Args:
        manifest: what is to be applied.
        there: the member's object.
        fields: who set what of it; see `api.ownership.field_tree`.
    """
    wanted, known = _own_parts(manifest), _own_parts(there)
    kind = (manifest["apiVersion"], manifest["kind"])
    if kind == ("v1", wk.SERVICE_KIND):
        wanted["spec"] = _service_spec(wanted.get("spec") or {}, known.get("spec") or {})
        ports = (fields.get("f:spec") or {}).get("f:ports") or {}
        fields = fields | {"f:spec": fields.get("f:spec", {}) | {"f:ports": ports | {_SERVICE_PORT: {}}}}
    elif kind == (wk.SLICE_API_VERSION, wk.SLICE_KIND):
        fields = _SLICE_FIELDS
        for slice_ in (wanted, known):
            ports = [{"name": "", "protocol": "TCP"} | port for port in slice_.get("ports") or ()]
            for key, value in (("ports", ports), ("endpoints", slice_.get("endpoints"))):
                slice_.pop(key, None)
                if value:
                    slice_[key] = value
    return known, _members(wanted, known, fields)


def _own_parts(content: JsonObject) -> JsonObject:
    return {key: without_nulls(value) for key, value in content.items() if key not in _UNMANAGED_PARTS}


# --- the merge -------------------------------------------------------------------------------------------------------


def _members(wanted: JsonObject, there: JsonObject, fields: FieldTree) -> JsonObject:
    merged: JsonObject = {}
    for key, known in there.items():
        below = fields.get(f"f:{key}")
        value = _value(wanted[key], known, below) if key in wanted else _left(known, below)
        if value is not _ABSENT:
            merged[key] = value
    return merged | {key: value for key, value in wanted.items() if key not in there}


def _value(wanted: Any, there: Any, fields: FieldTree | None) -> Any:
    """A field that the manifest names, and that is there."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        whole = fields is not None and ITSELF not in fields and not _has_members(fields)
        return wanted if whole else _members(wanted, there, fields or {})
    if isinstance(wanted, list) and isinstance(there, list) and fields is not None:
        if (names := _key_names(fields)) is not None:
            return _items(wanted, there, fields, names)
        if any(key.startswith("v:") for key in fields):
            others = [one for one in there if _left(one, fields.get(_key("v", one))) is not _ABSENT]
            return [*wanted, *(one for one in others if one not in wanted)]
    return wanted


def _items(wanted: list[Any], there: list[Any], fields: FieldTree, names: Sequence[str]) -> list[Any]:
    """Items of a list that are told apart by some of their fields: first ours, in the manifest's order."""
    keys = [_item_key(item, names) for item in wanted]
    known = {key: item for item in there if (key := _item_key(item, names)) is not None}
    if None in keys or len(known) < len(there):
        return wanted
    merged = [
        _value(item, known[key], fields.get(key, {ITSELF: {}})) if key in known else item
        for key, item in zip(keys, wanted, strict=True)
        if key is not None
    ]
    return merged + [
        item for key, item in known.items() if key not in keys and _left(item, fields.get(key)) is not _ABSENT
    ]


def _left(there: Any, fields: FieldTree | None) -> Any:
    """What stays of something that the manifest does not name."""
    if fields is None:
        return there
    if OURS in fields and not _speaks_of_others(fields):
        return _ABSENT
    if isinstance(there, list) and (names := _key_names(fields)) is not None:
        return _items([], there, fields, names) or _ABSENT
    if not isinstance(there, dict) or not _has_members(fields):
        return there
    left = {key: kept for key, known in there.items() if (kept := _left(known, fields.get(f"f:{key}"))) is not _ABSENT}
    return left if left or not there else _ABSENT


def _speaks_of_others(fields: FieldTree) -> bool:
    return OTHERS in fields or any(_speaks_of_others(below) for below in fields.values())


def _has_members(fields: FieldTree) -> bool:
    return any(key.startswith("f:") for key in fields)


def _key_names(fields: FieldTree) -> tuple[str, ...] | None:
    """By which fields the items of a list are told apart; None if they are not."""
    for key in fields:
        if key.startswith(ITEM):
            return tuple(sorted(item_key(key)))
    return None


def _item_key(item: Any, names: Sequence[str]) -> str | None:
    if not isinstance(item, dict) or any(name not in item for name in names):
        return None
    return _key("k", {name: item[name] for name in names})


def _key(letter: str, value: Any) -> str:
    return f"{letter}:{msgspec.json.encode(value, order='sorted').decode()}"


# --- what servers fill in --------------------------------------------------------------------------------------------


def _service_spec(spec: JsonObject, there: JsonObject) -> JsonObject:
    """The wanted spec with what is there already by default, or because the member's server chose it."""
    spec = {key: value for key, value in spec.items() if value not in _EMPTY}
    if not spec.get("publishNotReadyAddresses", True):
        del spec["publishNotReadyAddresses"]  # which servers leave out
    spec |= {key: value for key, value in _SERVICE_DEFAULTS.items() if key not in spec and there.get(key) == value}
    if spec.get("type") != "ExternalName":
        # Addresses are immutable; whether a Service has one at all is the affair of `domain.immutable`.
        spec |= {key: there[key] for key in _ADDRESSES if key in there}
        spec |= {key: there[key] for key in _FAMILIES if key in there and key not in spec}
    if there.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = there["healthCheckNodePort"]
    if "ports" in spec:
        chosen = spec.get("type") in _NODE_PORT_TYPES
        spec["ports"] = _service_ports(spec["ports"], there.get("ports") or [], keep_node_ports=chosen)
    return spec


def _service_ports(ports: list[JsonObject], there: list[JsonObject], *, keep_node_ports: bool) -> list[JsonObject]:
    known = {(port.get("port"), port.get("protocol")): port for port in there}
    taken = {port.get("nodePort") for port in ports}
    filled = []
    for port in ports:
        port = {"protocol": "TCP"} | {key: value for key, value in port.items() if value not in (*_EMPTY, 0)}
        before = known.get((port.get("port"), port["protocol"]), {})
        if before.get("targetPort") == port.get("port"):
            port.setdefault("targetPort", port.get("port"))
        if keep_node_ports and before.get("nodePort") and before["nodePort"] not in taken:
            port.setdefault("nodePort", before["nodePort"])
        filled.append(port)
    return filled
