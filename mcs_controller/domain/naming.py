"""Names that several programs must compute alike (contract, chapter 2).

Verified against names that Karmada's own functions produced (tests/golden/names.json). No function truncates: a name
that is too long fails when it is written, and is reported there.
"""

from __future__ import annotations

import itertools
from hashlib import sha256
from typing import TYPE_CHECKING

from informers.meta import ObjectKey
from mcs_controller.domain.well_known import EXECUTION_PREFIX, SLICE_KIND

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FNV_OFFSET = 2166136261
_FNV_PRIME = 16777619
_SAFE_DIGITS = str.maketrans("0123456789", "456789bcdf")
"""Kubernetes' rand.SafeEncodeString avoids letters that spell words; for decimal digits that is this table."""

_SPARE_NAME = "-collected-"

DERIVED_PREFIX = "derived-"
IMPORTED_PREFIX = "imported-"


class NotAnExecutionNamespace(ValueError):
    """The namespace belongs to no cluster."""


def named_in(marks: Mapping[str, str], namespace: str, name: str) -> ObjectKey | None:
    """The object that two labels, or two annotations, name together; None if either is absent or empty.

    An empty value never names anything: it would select the objects of every owner that lacks the mark.
    """
    found = ObjectKey(marks.get(namespace, ""), marks.get(name, ""))
    return found if all(found) else None


def execution_namespace(cluster: str) -> str:
    """Where the Works of a cluster live."""
    return EXECUTION_PREFIX + cluster


def cluster_of_namespace(namespace: str) -> str:
    """The cluster whose Works live in this namespace.

    Raises:
        NotAnExecutionNamespace: the prefix is missing.
    """
    if not namespace.startswith(EXECUTION_PREFIX):
        raise NotAnExecutionNamespace(f"namespace {namespace!r} does not start with {EXECUTION_PREFIX!r}")
    return namespace.removeprefix(EXECUTION_PREFIX)


def work_name(kind: str, namespace: str, name: str) -> str:
    """Name of the Work that carries the object; `namespace` is empty for cluster-scoped objects."""
    safe = go_lower(name.replace(":", "."))
    key = go_lower(f"{namespace}-{safe}-{kind}" if namespace else f"{safe}-{kind}")
    return f"{safe}-{_suffix(key)}"


def collected_names(namespace: str, name: str) -> Iterator[str]:
    """Names for the Work that holds a provider's slice: the usual one, and others should that be taken."""
    yield work_name(SLICE_KIND, namespace, name)
    for turn in itertools.count(1):
        yield work_name(SLICE_KIND, namespace, f"{name}{_SPARE_NAME}{turn}")


def slice_of_work_name(name: str, namespace: str) -> str | None:
    """The slice in that namespace of whose Work this is a name (see `collected_names`); None if it is of none."""
    known, _, suffix = name.rpartition("-")
    if not suffix or work_name(SLICE_KIND, namespace, known) != name:
        return None
    base, _, turn = known.rpartition(_SPARE_NAME)
    return base if base and turn.isdecimal() else known


def binding_name(kind: str, name: str) -> str:
    """Name of the ResourceBinding of a resource template."""
    return go_lower(f"{name.replace(':', '.')}-{kind}")


def dispatched_slice_name(provider: str, name: str) -> str:
    """Name in the consumers of a provider's slice."""
    return f"{provider}-{name}"


def distinct_slice_name(provider: str, name: str) -> str:
    """Name in the consumers of a slice whose usual name is taken: cluster a-b has slice c, cluster a has slice b-c."""
    return f"{provider}-{name}-{_suffix(f'{provider}/{name}')}"


def dispatched_slice_names(provider: str, name: str) -> tuple[str, str, str]:
    """The names that a provider's slice may have in the consumers, in this order.

    Cluster a can call slices so that both `a-b-c` and the distinct name of slice c of a-b are its own. Nobody can take
    the last one, short of a cluster that is called like a digest.
    """
    guarded = f"{sha256(f'{provider}/{name}'.encode()).hexdigest()[:20]}-{provider}"
    return dispatched_slice_name(provider, name), distinct_slice_name(provider, name), guarded


def imported_slice_names(provider: str, name: str) -> tuple[str, ...]:
    """The same in the control plane, of a slice that was exported."""
    return tuple(f"{IMPORTED_PREFIX}{one}" for one in dispatched_slice_names(provider, name))


def derived_service_name(name: str) -> str:
    """Name of the Service that a ServiceImport makes."""
    return f"{DERIVED_PREFIX}{name}"


def imported_slice_name(provider: str, name: str) -> str:
    """Name in the control plane of a slice that was exported by a provider."""
    return f"{IMPORTED_PREFIX}{provider}-{name}"


def go_lower(text: str) -> str:
    """Lower case as Go's strings.ToLower: one code point becomes one code point, whatever stands around it."""
    if text.isascii():
        return text.lower()
    return "".join(letter.lower()[0] for letter in text)


def _suffix(key: str) -> str:
    return str(_fnv1a(key.encode())).translate(_SAFE_DIGITS)


def _fnv1a(data: bytes) -> int:
    value = _FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return value
