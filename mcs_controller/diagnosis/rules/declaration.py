"""Rules about what users declared: the MultiClusterService, its Service, and policies beside them."""

from __future__ import annotations

import json
import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING

from mcs_controller.diagnosis.findings import CONTROL_PLANE, Link, ObjectRef
from mcs_controller.diagnosis.rules.rule import Scope, rule
from mcs_controller.diagnosis.world import MULTICLUSTERSERVICES, SERVICES, items, mapping, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mcs_controller.diagnosis.findings import Finding
    from mcs_controller.diagnosis.rules.rule import Context
    from mcs_controller.diagnosis.world import Object

_FIELDS = ("providerClusters", "consumerClusters")


def apply_command(kubectl: str, manifest: Object) -> str:
    """A command that applies a manifest, as one line."""
    return f"echo {shlex.quote(json.dumps(manifest))} | {kubectl} apply -f -"


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The known name that is most like this one; empty if none is like it."""
    return next(iter(get_close_matches(name, known, n=1)), "")


@rule(
    "MCS030",
    "The Service has no MultiClusterService",
    Link.DECLARATION,
    Scope.WORLD,
    meaning="Nothing asks for this Service to be reachable from other clusters.",
    evidence="The MultiClusterServices of its namespace in the control plane.",
    fix="Create a MultiClusterService of the same name, or correct the name.",
)
def no_multiclusterservice(context: Context) -> Iterator[Finding]:
    """With the name that was probably meant."""
    world = context.world
    if world.service is None or world.mcs is not None:
        return
    others = [text(mcs, "metadata", "name") for mcs in world.host.list(MULTICLUSTERSERVICES, world.namespace)]
    meant = did_you_mean(world.name, others)
    manifest = {
        "apiVersion": "networking.karmada.io/v1alpha1",
        "kind": "MultiClusterService",
        "metadata": {"name": world.name, "namespace": world.namespace},
        "spec": {"types": ["CrossCluster"]},
    }
    yield context.found(
        ObjectRef(CONTROL_PLANE, "MultiClusterService", world.name, world.namespace),
        "there is no MultiClusterService of this name" + (f"; did you mean {meant}?" if meant else ""),
        evidence=f"MultiClusterServices in namespace {world.namespace}: {', '.join(sorted(others)) or 'none'}",
        fix=f"mcsctl doctor -n {world.namespace} {meant}" if meant else apply_command(world.kubectl(), manifest),
    )


@rule(
    "MCS031",
    "The control plane does not have the Service",
    Link.DECLARATION,
    Scope.SERVICE,
    meaning="A MultiClusterService propagates the Service of its name and namespace in the control plane. "
    "There is none.",
    evidence="The Services of that name in the control plane and in the members.",
    fix="Create the Service in the control plane, in the namespace of the MultiClusterService.",
)
def service_missing(context: Context) -> Iterator[Finding]:
    """It says where there is one."""
    world = context.world
    if world.template is not None:
        return
    elsewhere = [f"namespace {text(one, 'metadata', 'namespace')}" for one in world.host.list(SERVICES)]
    copies = [f"cluster {name}" for name in world.providers if _copy(context, name)]
    where = f"; it is in {', '.join(sorted(elsewhere) + copies)}" if elsewhere or copies else ""
    yield context.found(
        ObjectRef(CONTROL_PLANE, "Service", world.name, world.namespace),
        f"the control plane has no Service {world.namespace}/{world.name}{where}",
        evidence=f"GET services/{world.name}: 404",
        fix=apply_command(world.kubectl(), _template(context)),
    )


def _copy(context: Context, cluster: str) -> Object | None:
    """The Service in a provider, if it can be seen."""
    snapshot = context.world.members.get(cluster)
    if snapshot is None or snapshot.why_unseen(SERVICES):
        return None
    return snapshot.get(SERVICES, context.world.name, context.world.namespace)


def _template(context: Context) -> Object:
    """The Service to create: like the one of a provider, or of another namespace; else a guess."""
    world = context.world
    models = [copy for name in world.providers if (copy := _copy(context, name)) is not None]
    model = next(iter([*models, *world.host.list(SERVICES)]), None)
    ports = [
        {name: port[name] for name in ("name", "port", "targetPort", "protocol") if name in port}
        for port in items(model, "spec", "ports")
        if isinstance(port, dict)
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": world.name, "namespace": world.namespace},
        "spec": {
            "selector": mapping(model, "spec", "selector") if model is not None else {"app": world.name},
            "ports": ports or [{"name": "http", "port": 80}],
        },
    }


@rule(
    "MCS033",
    "A provider or consumer is not registered",
    Link.DECLARATION,
    Scope.SERVICE,
    meaning="The MultiClusterService names a cluster that has no Cluster object: it gets, or gives, nothing.",
    evidence="spec.providerClusters and spec.consumerClusters against the Clusters of the control plane.",
    fix="Correct the name, or register the cluster.",
)
def cluster_not_registered(context: Context) -> Iterator[Finding]:
    """One finding for each field, with a patch that corrects all names in it that are like registered ones."""
    world = context.world
    known = world.clusters
    patch_command = f"{world.kubectl()} -n {world.namespace} patch multiclusterservice {world.name} --type merge -p"
    for field in _FIELDS:
        names = [text(one, "name") for one in items(world.mcs, "spec", field)]
        unknown = [name for name in names if name not in known]
        if not unknown:
            continue
        meant = {name: did_you_mean(name, known) for name in unknown}
        corrected = list(dict.fromkeys(meant.get(name) or name for name in names))
        patch = json.dumps({"spec": {field: [{"name": name} for name in corrected]}})
        hints = "; ".join(f"did you mean {guess} for {name}?" for name, guess in meant.items() if guess)
        yield context.found(
            ObjectRef(CONTROL_PLANE, "MultiClusterService", world.name, world.namespace),
            f"spec.{field} names {', '.join(unknown)}: no such Cluster is registered{'; ' * bool(hints)}{hints}",
            evidence=f"registered: {', '.join(known) or 'none'}",
            fix=f"{patch_command} {shlex.quote(patch)}"
            if all(meant.values())
            else f"mcsctl join {next(name for name, guess in meant.items() if not guess)}",
        )
