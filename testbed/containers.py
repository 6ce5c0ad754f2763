"""The command line that runs a Pod of a manifest restricted, in an unpacked image (:mod:`testbed.container`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping  # noqa: TC003 -- of a NamedTuple, which others resolve
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from testbed import container as runtime
from testbed.access import write_private

if TYPE_CHECKING:
    from testbed.api import Object

_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9}


class ImageFiles(NamedTuple):
    """An unpacked image: its folder, and its configuration as in the image."""

    root: Path
    config: Mapping[str, Any]


def quantity(text: str) -> int:
    """A quantity of bytes: ``128Mi``."""
    unit = next((each for each in _UNITS if text.endswith(each)), "")
    return int(Decimal(text.removesuffix(unit)) * _UNITS.get(unit, 1))


def command_line(
    pod: Object,
    *,
    image: ImageFiles,
    spec_file: Path,
    files: Mapping[str, Path] | None = None,
    environ: Mapping[str, str] | None = None,
    network: str = "",
) -> list[str]:
    """The command line that runs a Pod's first container, restricted as its security context demands.

    Args:
        pod: with a ``spec``, a Pod or a Pod template.
        image: of the container.
        spec_file: where the specification for :mod:`testbed.container` is written.
        files: what is bound to which path inside, beside what the Pod mounts; and ``volume:<name>`` for its volumes.
        environ: variables that the node adds.
        network: the file of the Pod's network namespace; empty: the caller's.

    Raises:
        ValueError: it asks for less than "restricted" demands: nobody here runs that.
    """
    spec = pod["spec"]
    first = spec["containers"][0]
    outer, inner = spec.get("securityContext", {}), first.get("securityContext", {})
    context = outer | inner
    demanded = (
        context.get("runAsNonRoot") is True
        and context.get("readOnlyRootFilesystem") is True
        and context.get("allowPrivilegeEscalation") is False
        and context.get("capabilities", {}).get("drop") == ["ALL"]
        and context.get("seccompProfile", {}).get("type") == "RuntimeDefault"
    )
    if not demanded:
        raise ValueError(f"container {first['name']} is not restricted: {context}")
    uid, _, gid = image.config["config"]["User"].partition(":")
    given = dict(files or {})
    volumes = {each["name"]: each for each in spec.get("volumes", [])}
    tmpfs, binds = {}, {path: str(source) for path, source in given.items() if not path.startswith("volume:")}
    for each in first.get("volumeMounts", []):
        volume, path = volumes[each["name"]], each["mountPath"]
        if "emptyDir" in volume:
            tmpfs[path] = quantity(str((volume["emptyDir"] or {}).get("sizeLimit", "0")))
        else:
            binds[path] = str(given[f"volume:{each['name']}"])
    inherited = dict(each.split("=", 1) for each in image.config["config"]["Env"])
    own = {each["name"]: each["value"] for each in first.get("env", []) if "value" in each}
    content = {
        "root": str(image.root),
        "user": [context.get("runAsUser", int(uid)), context.get("runAsGroup", int(gid))],
        "groups": [outer["fsGroup"]] if "fsGroup" in outer else [],
        "env": {**inherited, **(environ or {}), **own},
        "binds": binds,
        "tmpfs": tmpfs,
        "memory": quantity(first.get("resources", {}).get("limits", {}).get("memory", "0")),
        "seccomp": True,
        "network": network,
    }
    write_private(spec_file, json.dumps(content).encode())
    command = [*first.get("command", image.config["config"]["Cmd"]), *first.get("args", [])]
    return [sys.executable, "-I", "-S", str(Path(runtime.__file__)), str(spec_file), *command]
