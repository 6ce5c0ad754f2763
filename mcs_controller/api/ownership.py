"""Field ownership of an object: its `metadata.managedFields`, folded into one tree.

The tree has the keys of fieldsV1 ("f:<field>", 'k:{"port":80}', 'v:"x"'; see structured-merge-diff's `fieldpath`). Its
nodes say besides who set what is there: `OURS`, `OTHERS`, both, or, if a server or an admission webhook filled it in,
nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Container

OURS: Final = "+"
"""Key of nodes that one of us set."""

OTHERS: Final = "-"
"""Key of nodes that somebody else set."""

ITSELF: Final = "."
"""Key of nodes that have members: it was set by itself, besides them."""

ITEM: Final = "k:"
"""Begin of the keys of nodes that are items of a list."""

FieldTree = dict[str, Any]
"""Nodes are dicts, leaves as well."""

_OUTSIDE: Final = ("f:metadata", "f:status", "f:apiVersion", "f:kind")
"""Labels and annotations have a record of their own (contract 4.3), and the status is the member's."""


class ManagedFields(msgspec.Struct, rename="camel"):
    """One entry of metadata.managedFields."""

    manager: str = ""
    subresource: str = ""
    fields_v1: FieldTree = {}


class _Meta(msgspec.Struct, rename="camel"):
    managed_fields: list[ManagedFields] | None = None


class _Owned(msgspec.Struct):
    metadata: _Meta


_decoder = msgspec.json.Decoder(_Owned)
_item_key = msgspec.json.Decoder(dict[str, Any])


def field_tree(raw: bytes | msgspec.Raw, ours: Container[str]) -> FieldTree:
    """The folded tree of an object, without its metadata and status; empty if nobody is named.

    Args:
        raw: the object as JSON.
        ours: names of managers that count as ourselves.

    Raises:
        msgspec.DecodeError: it is no such tree.
    """
    tree: FieldTree = {}
    for entry in _decoder.decode(raw).metadata.managed_fields or ():
        if not entry.subresource:
            fields = {key: below for key, below in entry.fields_v1.items() if key not in _OUTSIDE}
            if fields:
                _fold(tree, fields, OURS if entry.manager in ours else OTHERS)
    return tree


def _fold(tree: FieldTree, fields: Any, who: str) -> None:
    if not isinstance(fields, dict):
        raise msgspec.ValidationError("managedFields are not a tree of fields")
    if not fields:
        tree[who] = {}
    for key, below in fields.items():
        if key == ITSELF:
            tree[who] = tree[ITSELF] = {}
        else:
            if key.startswith(ITEM):
                item_key(key)
            _fold(tree.setdefault(key, {}), below, who)


def item_key(key: str) -> dict[str, Any]:
    """By which fields an item of a list is told apart, of the key of a node that is one.

    Raises:
        msgspec.DecodeError: it is not written so.
    """
    return _item_key.decode(key.removeprefix(ITEM))
