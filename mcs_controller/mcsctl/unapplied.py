"""`mcsctl doctor -f`: manifests are checked before they are applied, as if the control plane had them already."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import yaml

from mcs_controller.diagnosis import world as w
from mcs_controller.diagnosis.findings import Link
from mcs_controller.diagnosis.rules import RULES
from mcs_controller.diagnosis.verdict import Diagnosis, diagnose
from mcs_controller.mcsctl.access import Access, AccessOptions
from mcs_controller.mcsctl.observe import observe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mcs_controller.diagnosis.findings import Finding

_KINDS: Final = (
    *(w.MULTICLUSTERSERVICES, w.SERVICES, w.POLICIES, w.CLUSTERS, w.NAMESPACES),
    *(w.DEPLOYMENTS, w.STATEFULSETS),
)
_OUTCOMES: Final = (w.BINDINGS, w.EVENTS)
"""What controllers make: without a control plane there is none."""

_LIVE: Final = frozenset({"MCS030", "MCS046"})
"""Rules about what becomes of objects, which those in files are not asked for."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """An object of a file.

    Attributes:
        file: where it is.
        alone: whether nothing else is there.
        kind: its kind, one of those that rules look at.
        obj: itself, with its namespace.
    """

    file: str
    alone: bool
    kind: w.Kind
    obj: w.Object


def load(files: Iterable[str], namespace: str) -> Sequence[Manifest]:
    """The objects of files that rules look at; `-` is standard input.

    Args:
        files: YAML or JSON, with several documents and Lists.
        namespace: of objects that state none.

    Raises:
        UsageError: a file cannot be read, or holds something else.
    """
    found: list[Manifest] = []
    kinds = {(kind.api_version, kind.kind): kind for kind in _KINDS}
    for file in files:
        try:
            source = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
            # By way of JSON: YAML has keys and dates that no API object has.
            objects = [*_flat(json.loads(json.dumps([*yaml.safe_load_all(source)], default=str)))]
        except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, ValueError) as error:
            raise click.UsageError(f"{file}: {error}") from error
        for obj in objects:
            kind = kinds.get((w.text(obj, "apiVersion"), w.text(obj, "kind")))
            if not w.text(obj, "kind") or not w.text(obj, "metadata", "name"):
                raise click.UsageError(f"{file}: an object without kind or metadata.name")
            if kind is not None:
                given = {"namespace": namespace} if kind.namespaced else {}
                obj = {**obj, "metadata": {**given, **w.mapping(obj, "metadata")}}
                found.append(Manifest(file, len(objects) == 1, kind, obj))
    return found


def _flat(documents: Iterable[Any]) -> Iterator[w.Object]:
    for document in documents:
        if isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and "items" in document:
            yield from _flat(w.items(document, "items"))
        elif document is not None:
            yield document


async def check(
    options: AccessOptions, manifests: Sequence[Manifest], service: tuple[str, str] | None, *, offline: bool
) -> Diagnosis:
    """Diagnose what is declared of each service that the manifests are about, or of one.

    Args:
        options: how to reach the control plane.
        manifests: over what it has.
        service: namespace and name; None for all.
        offline: ask nobody: what is not in the manifests does not exist, and Clusters are not known without any.
    """
    targets = [service] if service is not None else sorted(set(_targets(manifests)))
    if not targets:
        raise click.UsageError("the files have no MultiClusterService, Service or PropagationPolicy of a Service")
    rules = [rule for rule in RULES.values() if rule.link is Link.DECLARATION and rule.code not in _LIVE]
    found: list[Diagnosis] = []
    async with Access(options) as access:
        for target in targets:
            if offline:
                world = _world(target, manifests)
            else:
                world = await observe(access, service=target, manifests=manifests)
            found.append(diagnose(world, rules))
    return Diagnosis(
        findings=[*dict.fromkeys(_in_file(one, manifests) for each in found for one in each.findings)],
        hidden=[*dict.fromkeys(_in_file(one, manifests) for each in found for one in each.hidden)],
        checked=frozenset.intersection(*(each.checked for each in found)),
    )


def _targets(manifests: Iterable[Manifest]) -> Iterator[tuple[str, str]]:
    for one in manifests:
        namespace = w.text(one.obj, "metadata", "namespace")
        if one.kind in (w.MULTICLUSTERSERVICES, w.SERVICES):
            yield namespace, w.text(one.obj, "metadata", "name")
        elif one.kind is w.POLICIES:
            for selector in w.items(one.obj, "spec", "resourceSelectors"):
                if w.text(selector, "kind") == w.SERVICES.kind and w.text(selector, "name"):
                    yield namespace, w.text(selector, "name")


def _world(service: tuple[str, str], manifests: Iterable[Manifest]) -> w.World:
    """Without a control plane."""
    host = w.Snapshot()
    for kind in (*_KINDS, *_OUTCOMES):
        if kind is not w.CLUSTERS:
            host.add(kind, [])
    for one in manifests:
        host.add(one.kind, [one.obj])
    return w.World(now=datetime.now(UTC), host=host, service=service)


def _in_file(finding: Finding, manifests: Iterable[Manifest]) -> Finding:
    """The finding with a fix of the file, if its fix is a patch of an object there."""
    words = shlex.split(finding.fix) if " patch " in finding.fix and " -p " in finding.fix else []
    ref = finding.object
    for one in manifests if words else ():
        at = w.text(one.obj, "metadata", "namespace"), w.text(one.obj, "metadata", "name")
        if (ref.kind, ref.namespace, ref.name) == (one.kind.kind, *at):
            patch = shlex.join(words[words.index("--type") :])
            alone = one.alone and one.file != "-"
            fix = f"kubectl patch --local -o yaml -f {shlex.quote(one.file)} {patch}"
            text = f"Merge into {ref.kind} {ref.name} of {one.file}: {words[-1]}"
            return replace(finding, fix=fix if alone else text)
    return finding
