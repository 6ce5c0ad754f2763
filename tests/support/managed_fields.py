"""What API servers record about who set which field (KEP-555), as far as these tests go.

Lists of ports and containers have items of their own; other lists, and selectors, are one value.
"""

from typing import Any

import msgspec

Json = dict[str, Any]
Path = tuple[str, ...]
OURS = "mcs-controller-manager"
_KEYS = {"ports": ("port", "protocol"), "containers": ("name",)}
_WHOLE = ("selector",)


def entry(content: Json, manager: str = OURS) -> Json:
    """The entry of a manager who has set all that is there, apart from metadata and status."""
    return _entry(manager, set(_leaves(content)))


def with_fields(stored: Json, *owned: Json) -> Json:
    """An object of which we have set those parts, whether they are there or not."""
    paths = {path for one in owned for path in _leaves(one)}
    return stored | {"metadata": stored["metadata"] | {"managedFields": [_entry(OURS, paths)]}}


def written(before: Json | None, after: Json, *, by_us: bool) -> None:
    """Record in `after` what a write changed. Entries of others, which tests make, are those of `after`."""
    old, new = _leaves(before or {}), _leaves(after)
    owned = _owned(before or {})
    changed = {path for path, value in new.items() if path not in old or old[path] != value}
    owned = (owned & new.keys()) - changed | (changed if by_us else set())
    if owned or "managedFields" in after["metadata"]:
        others = [one for one in after["metadata"].get("managedFields", ()) if one["manager"] != OURS]
        after["metadata"]["managedFields"] = [_entry(OURS, owned), *others]


def _leaves(content: Json) -> dict[Path, Any]:
    found: dict[Path, Any] = {}

    def visit(value: Any, name: str, path: Path) -> None:
        if isinstance(value, dict) and value and name not in _WHOLE:
            for key, one in value.items():
                visit(one, key, (*path, f"f:{key}"))
        elif isinstance(value, list) and name in _KEYS and all(isinstance(one, dict) for one in value):
            found[(*path, ".")] = True
            for item in value:
                item = ({"protocol": "TCP"} | item) if name == "ports" else item
                key = msgspec.json.encode({one: item.get(one) for one in _KEYS[name]}).decode()
                found[(*path, f"k:{key}", ".")] = True
                visit(item, "", (*path, f"k:{key}"))
        elif value is not None:
            found[path] = value

    for key, value in content.items():
        if key not in ("apiVersion", "kind", "metadata", "status"):
            visit(value, key, (f"f:{key}",))
    return found


def _entry(manager: str, paths: set[Path]) -> Json:
    tree: Json = {}
    for path in sorted(paths):
        node = tree
        for part in path:
            node = node.setdefault(part, {})
    return {"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": tree}


def _owned(content: Json) -> set[Path]:
    found: set[Path] = set()

    def visit(node: Json, path: Path) -> None:
        if not node:
            found.add(path)
        for key, below in node.items():
            visit(below, (*path, key))

    for one in content.get("metadata", {}).get("managedFields", ()):
        if one["manager"] == OURS:
            visit(one["fieldsV1"], ())
    return found
