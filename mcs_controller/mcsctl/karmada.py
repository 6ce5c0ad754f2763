"""Flags of Karmada's own manager that enable controllers which ours has, and the edit that turns them off, or on."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, Final

from mcs_controller.controllers import CONTROLLERS
from mcs_controller.diagnosis.world import items, text
from mcs_controller.domain import well_known as wk
from mcs_controller.features import MULTI_CLUSTER_SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mcs_controller.diagnosis.world import Object

MANAGER: Final = (wk.SYSTEM_NAMESPACE, "karmada-controller-manager")
"""Namespace and name of its Deployment, where Karmada's tools install it."""

_BY_NAME: Final = [info.key for info in CONTROLLERS if not info.standalone and info.gate is None]
"""Without a gate: `--controllers` has to name them."""

_FIELDS: Final = ("command", "args")


def switch(deployment: Object, *, on: bool) -> list[dict[str, Any]]:
    """The JSON patch after which Karmada's manager has its controllers of multi-cluster services on, or off.

    Values of a flag that is there several times add up, as pflag's do: the first mention of a controller wins, and the
    last of a gate.

    Args:
        deployment: of karmada-controller-manager.
        on: which of the two.

    Returns:
        Operations that replace single flags, each after a test of the old value; empty if it is so already.
    """
    containers = items(deployment, "spec", "template", "spec", "containers")
    at = next((i for i, one in enumerate(containers) if text(one, "name") == MANAGER[1]), 0)
    lists = {field: [str(one) for one in items(containers[at], field)] for field in _FIELDS} if containers else {}
    patch: list[dict[str, Any]] = []
    for flag, change in (("--controllers", _controllers), ("--feature-gates", _gates)):
        found = [(field, *one) for field, words in lists.items() for one in _values(words, flag)]
        old = [value for *_, value in found]
        new = change(old, on=on)
        for (field, index, prefix, value), wanted in zip(found, new, strict=False):
            if value != wanted:
                path = f"/spec/template/spec/containers/{at}/{field}/{index}"
                patch += [
                    {"op": "test", "path": path, "value": prefix + value},
                    {"op": "replace", "path": path, "value": prefix + wanted},
                ]
        if len(new) > len(found):  # the flag is not there
            word = f"{flag}={new[-1]}"
            field = next((one for one in reversed(_FIELDS) if lists.get(one)), "")
            path = f"/spec/template/spec/containers/{at}/{field or 'args'}"
            patch.append({"op": "add", "path": f"{path}/-" if field else path, "value": word if field else [word]})
            lists[field or "args"] = [*lists.get(field, ()), word]
    return patch


def pasted(kubectl: str, deployment: Object, patch: Sequence[Object]) -> str:
    """The patch as a command."""
    name, namespace = text(deployment, "metadata", "name"), text(deployment, "metadata", "namespace")
    words = f"-n {namespace} patch deployment {name} --type=json -p {shlex.quote(json.dumps(patch))}"
    return f"{kubectl} {words}"


def _values(words: Sequence[str], flag: str) -> list[tuple[int, str, str]]:
    """Each value of a flag: the index of its word, what comes before it in the word, and the value."""
    joined = [(i, f"{flag}=", word.removeprefix(f"{flag}=")) for i, word in enumerate(words)]
    apart = [(i + 1, "", words[i + 1]) for i, word in enumerate(words[:-1]) if word == flag]
    return sorted([one for one in joined if words[one[0]].startswith(one[1])] + apart)


def _controllers(values: Sequence[str], *, on: bool) -> list[str]:
    said = [item.strip() for value in values for item in value.split(",")] if values else ["*"]
    first = {item.removeprefix("-"): not item.startswith("-") for item in reversed(said)}
    if all(first.get(name, "*" in said) is on for name in _BY_NAME):
        return list(values)
    extra = [] if on and "*" in said else [name if on else f"-{name}" for name in _BY_NAME]
    return _with(values or ["*"], lambda item: item.removeprefix("-") in _BY_NAME, extra)


def _gates(values: Sequence[str], *, on: bool) -> list[str]:
    said = dict(item.strip().partition("=")[::2] for value in values for item in value.split(","))
    is_on = said.get(MULTI_CLUSTER_SERVICE, said.get("AllAlpha", "false")).lower() in ("true", "t", "1")
    if is_on is on:
        return list(values)
    extra = [f"{MULTI_CLUSTER_SERVICE}={str(on).lower()}"]
    return _with(values or [""], lambda item: item.partition("=")[0] == MULTI_CLUSTER_SERVICE, extra)


def _with(values: Sequence[str], replaced: Callable[[str], bool], extra: Sequence[str]) -> list[str]:
    kept = [[item for item in value.split(",") if item and not replaced(item.strip())] for value in values]
    kept[0] += extra
    return [",".join(each) for each in kept]
