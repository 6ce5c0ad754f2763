"""What several rules read from objects, and the commands that several fixes are made of."""

from __future__ import annotations

import json
import math
import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

from informers.selectors import LabelSelector, Requirement
from mcs_controller.api.common import parse_time
from mcs_controller.diagnosis.findings import Severity
from mcs_controller.diagnosis.world import dig, items, mapping, text
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.reserved import RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from informers.selectors import Operator
    from mcs_controller.diagnosis.world import Kind, Object, World

YOUNG_SECONDS = 60.0
"""So long what has begun may take until it is taken for broken."""


def reserved_problem(namespace: str, name: str) -> str | None:
    """Why no controller serves a MultiClusterService of that name: every cluster has such a Service of its own.

    By the built-in list: what flags of the controller add to it, its conditions say.
    """
    return RESERVED.problem(wk.SERVICE_KIND, namespace, name)


def apply_command(kubectl: str, manifest: Object) -> str:
    """A command that applies a manifest, as one line."""
    return f"echo {shlex.quote(json.dumps(manifest))} | {kubectl} apply -f -"


def patch_command(kubectl: str, kind: Kind, obj: Object, patch: Any) -> str:
    """A command that patches an object: with a merge patch, or, if the patch is a list, with a JSON patch."""
    way = "json" if isinstance(patch, list) else "merge"
    at = f"{where(obj)} " if kind.namespaced else ""
    return f"{kubectl} {at}patch {kind.group_resource} {named(obj)} --type {way} -p {shlex.quote(json.dumps(patch))}"


def foreign_finalizers(obj: Object | None) -> Sequence[str]:
    """The finalizers of an object that no controller of ours or of Karmada removes."""
    return [one for one in texts(obj, "metadata", "finalizers") if "karmada.io/" not in one]


def release_command(kubectl: str, kind: Kind, obj: Object) -> str:
    """A command that takes the foreign finalizers off an object; empty if it has none."""
    patch: list[Any] = []
    for place, one in reversed(list(enumerate(items(obj, "metadata", "finalizers")))):
        if one in foreign_finalizers(obj):
            path = f"/metadata/finalizers/{place}"
            patch += [{"op": "test", "path": path, "value": one}, {"op": "remove", "path": path}]
    return patch_command(kubectl, kind, obj, patch) if patch else ""


def where(obj: Object) -> str:
    """The flag of kubectl for the namespace of an object."""
    return f"-n {shlex.quote(text(obj, 'metadata', 'namespace'))}"


def named(obj: Object) -> str:
    """The name of an object, as an argument."""
    return shlex.quote(text(obj, "metadata", "name"))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The known name that is most like this one; empty if none is like it."""
    return next(iter(get_close_matches(name, list(known), n=1)), "")


def age(world: World, obj: Any, *path: str) -> float:
    """Seconds since a time that an object states, its creation by default; infinite if it states none."""
    stated = parse_time(text(obj, *(path or ("metadata", "creationTimestamp"))))
    return (world.now - stated).total_seconds() if stated is not None else math.inf


def unchanged(world: World, obj: Any) -> float:
    """Seconds since anybody last wrote an object, as far as it tells."""
    written = [age(world, one, "time") for one in items(obj, "metadata", "managedFields")]
    return min([age(world, obj), *written])


def unless_young(seconds: float, severity: Severity = Severity.ERROR) -> Severity:
    """The severity of what has been so for some seconds."""
    return severity if seconds >= YOUNG_SECONDS else Severity.IN_PROGRESS


def shown(labels: Mapping[str, Any]) -> str:
    """Labels as kubectl writes them."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "none"


def texts(obj: Any, *path: str) -> Sequence[str]:
    """A field that is a list, those items alone that are text."""
    return [one for one in items(obj, *path) if isinstance(one, str)]


def has_labels(labels: Mapping[str, str], wanted: Mapping[str, Any]) -> bool:
    """Whether the selector of a Service, which says something, selects an object of these labels."""
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def selects(selector: Any, labels: Mapping[str, str]) -> bool:
    """Whether a label selector (matchLabels and matchExpressions) selects labels; an empty one selects all."""
    terms = [Requirement(key, "In", frozenset({str(one)})) for key, one in mapping(selector, "matchLabels").items()]
    terms += [
        Requirement(text(one, "key"), cast("Operator", text(one, "operator")), frozenset(texts(one, "values")))
        for one in items(selector, "matchExpressions")
    ]
    return LabelSelector(tuple(terms)).matches(labels)


def pod_labels(workload: Object) -> Mapping[str, str]:
    """The labels of the Pods that a workload makes."""
    found = mapping(dig(workload, "spec", "template"), "metadata", "labels")
    return {key: value for key, value in found.items() if isinstance(value, str)}
