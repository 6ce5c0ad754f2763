"""Rules about the installation: the control plane, its kinds, and the controllers with their leader."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from mcs_controller.diagnosis.findings import CONTROL_PLANE, Link, ObjectRef, Severity
from mcs_controller.diagnosis.rules.leases import (
    KARMADAS,
    MANAGER,
    TAKEOVER_SECONDS,
    described,
    overdue_seconds,
    runs_standalone,
    said_by,
)
from mcs_controller.diagnosis.rules.objects import reserved_problem
from mcs_controller.diagnosis.rules.rule import Scope, rule
from mcs_controller.diagnosis.world import (
    BINDINGS,
    CLUSTERS,
    CRDS,
    DEPLOYMENTS,
    LEASES,
    MULTICLUSTERSERVICES,
    WORKS,
    Unseen,
    dig,
    items,
    labels_of,
    mapping,
    moment,
    text,
)
from mcs_controller.domain import well_known as wk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mcs_controller.diagnosis.findings import Finding
    from mcs_controller.diagnosis.rules.rule import Context
    from mcs_controller.diagnosis.world import Object, World

_FIRST_PASS_SECONDS = 15.0
"""A MultiClusterService gets its finalizer within a second; a controller that has just started has others before it."""

_SKEW_SECONDS = 30.0

_SERVING = frozenset({"multiclusterservice", "endpointsliceCollect", "endpointsliceDispatch"})
"""The controllers of MultiClusterServices, as the flag --controllers calls them."""

_FIELDS = {
    MULTICLUSTERSERVICES: {
        "spec": ("types", "ports", "providerClusters", "consumerClusters"),
        "status": ("conditions", "loadBalancer"),
    },
    WORKS: {
        "spec": ("suspendDispatching", "preserveResourcesOnDeletion", "workload"),
        "status": ("conditions", "manifestStatuses"),
    },
    BINDINGS: {
        "spec": ("resource", "placement", "conflictResolution", "clusters"),
        "status": ("conditions", "aggregatedStatus"),
    },
}
"""What the controllers read or write: an API server drops fields that a definition does not have."""


@rule(
    "MCS001",
    "The kubeconfig does not lead to a control plane",
    Link.INSTALLATION,
    Scope.WORLD,
    meaning="The API server does not serve clusters.cluster.karmada.io, so it is no Karmada control plane: mostly it "
    "is a member.",
    evidence="The kinds that the API server lists under /apis/cluster.karmada.io/v1alpha1.",
    fix="Name the control plane's kubeconfig or context: the command does if the kubeconfig has one.",
    no_command="if the contexts of the kubeconfig lead to several control planes, or to none: which one is meant is "
    "for people to say. Contexts whose credentials come from another program are not tried.",
)
def no_control_plane(context: Context) -> Iterator[Finding]:
    """No Cluster kind."""
    world = context.world
    if not _is_control_plane(world):
        others = list(world.control_planes)
        named = f" {shlex.quote(world.name)} -n {shlex.quote(world.namespace)}" if world.service else ""
        yield context.found(
            ObjectRef(CONTROL_PLANE, "API server"),
            "this is no control plane, as it does not serve clusters.cluster.karmada.io: --context names another",
            evidence="GET /apis/cluster.karmada.io/v1alpha1 does not list clusters"
            + (f"; it does with context {', '.join(others)}" if others else ""),
            fix=f"{world.control_planes[others[0]]} doctor{named}"
            if len(others) == 1
            else f"{world.kubectl()} config get-contexts",
        )


@rule(
    "MCS002",
    "A kind is not served by the control plane",
    Link.INSTALLATION,
    Scope.WORLD,
    meaning="A CustomResourceDefinition is missing, or its version is not served. The controller waits for it.",
    evidence="The kinds that the API server lists.",
    fix="Apply the CustomResourceDefinitions.",
)
def kind_not_served(context: Context) -> Iterator[Finding]:
    """One finding for each kind; none if this is no control plane at all."""
    world = context.world
    if not _is_control_plane(world):
        return
    for kind in _FIELDS:
        version = kind.api_version.rpartition("/")[2]
        served = world.versions(kind)
        if version not in served:
            yield context.found(
                ObjectRef(CONTROL_PLANE, "CustomResourceDefinition", kind.group_resource),
                f"{kind.group_resource} is not served in version {version}",
                evidence=f"served versions: {', '.join(sorted(served)) or 'none'}",
                fix=f"{world.kubectl()} apply -f {shlex.quote(world.manifests)}/crds/",
            )


@rule(
    "MCS003",
    "A CustomResourceDefinition is older than the controller",
    Link.INSTALLATION,
    Scope.WORLD,
    meaning="The schema lacks a field that the controller uses: the API server drops it from what is written.",
    evidence="The schema of each CustomResourceDefinition in the control plane.",
    fix="Apply the CustomResourceDefinitions of the controller's release. Where Karmada's own are older, update "
    "Karmada: the command shows which release it is.",
    no_command="if the definition is Karmada's: ours must not replace it, and to which release Karmada is updated is "
    "for people to say.",
)
def definition_too_old(context: Context) -> Iterator[Finding]:
    """One finding for each definition; one that is missing is another rule's."""
    world = context.world
    for kind in _FIELDS:
        definition = world.host.get(CRDS, kind.group_resource)
        wanted = kind.api_version.rpartition("/")[2]
        for version in items(definition, "spec", "versions"):
            schema = mapping(version, "schema", "openAPIV3Schema", "properties")
            if text(version, "name") != wanted or not schema:
                continue
            missing = [
                f"{part}.{name}"
                for part, names in _FIELDS[kind].items()
                if not dig(schema, part, "x-kubernetes-preserve-unknown-fields")
                for name in names
                if name not in mapping(schema, part, "properties")
            ]
            if missing:
                yield context.found(
                    ObjectRef(CONTROL_PLANE, "CustomResourceDefinition", kind.group_resource),
                    f"the definition of {kind.group_resource} is older than the controller",
                    evidence=f"the schema of version {wanted} lacks {', '.join(missing)}",
                    # Karmada's own definition must not be replaced by ours.
                    fix=f"{world.kubectl()} apply --server-side --force-conflicts "
                    f"-f {shlex.quote(world.manifests)}/crds/"
                    if labels_of(definition).get("app.kubernetes.io/part-of") == "mcs-controller"
                    else f"{_in_system(world)} get deployments -o wide",
                )


def _is_control_plane(world: World) -> bool:
    """Whether it is one at all. If not, that is the only finding."""
    return bool(world.versions(CLUSTERS))


def _lease(world: World, name: str) -> Object | None:
    return world.host.get(LEASES, name, wk.SYSTEM_NAMESPACE)


def _ours(world: World) -> str:
    """The controller that has to serve MultiClusterServices: Karmada's own if no other has ever run."""
    return KARMADAS if _lease(world, MANAGER) is None and _lease(world, KARMADAS) is not None else MANAGER


def _leads(world: World, name: str) -> bool:
    lease = _lease(world, name)
    return lease is not None and overdue_seconds(world, lease) <= 0


def _in_system(world: World) -> str:
    return f"{world.kubectl()} -n {wk.SYSTEM_NAMESPACE}"


@rule(
    "MCS004",
    "No controller has ever run",
    Link.INSTALLATION,
    Scope.WORLD,
    meaning="No controller has ever held a Lease: nobody serves MultiClusterServices.",
    evidence=f"The Leases {MANAGER} and {KARMADAS} in {wk.SYSTEM_NAMESPACE}.",
    fix="Install the controller, with a kubeconfig of this control plane.",
)
def never_run(context: Context) -> Iterator[Finding]:
    """Neither ours nor Karmada's."""
    world = context.world
    if not _is_control_plane(world):
        return
    if _lease(world, MANAGER) is None and _lease(world, KARMADAS) is None and not _without_election(world):
        yield context.found(
            ObjectRef(CONTROL_PLANE, "Lease", MANAGER, wk.SYSTEM_NAMESPACE),
            "no controller has ever led here",
            evidence=f"there is neither Lease {MANAGER} nor {KARMADAS}",
            fix=f"{world.kubectl()} apply -f {shlex.quote(world.manifests)}/controller/",
        )


def _without_election(world: World) -> bool:
    return any("--leader-elect=false" in flags for flags in _flags_of(world, MANAGER))


@rule(
    "MCS005",
    "No controller leads",
    Link.INSTALLATION,
    Scope.WORLD,
    meaning="The controller is down, or cannot reach the control plane: members keep what they have.",
    evidence="holderIdentity, renewTime and leaseDurationSeconds of the Lease.",
    fix="Start the controller; its log says why it ended.",
)
def no_leader(context: Context) -> Iterator[Finding]:
    """A fail-over takes some seconds."""
    world = context.world
    name = _ours(world)
    lease = _lease(world, name)
    if lease is None or (overdue := overdue_seconds(world, lease)) <= 0 or _without_election(world):
        return
    deployment = world.host.get(DEPLOYMENTS, name, wk.SYSTEM_NAMESPACE)
    stopped = deployment is not None and dig(deployment, "spec", "replicas") == 0
    action = f"scale deployment {name} --replicas=2" if stopped else f"rollout restart deployment {name}"
    yield context.found(
        ObjectRef(CONTROL_PLANE, "Lease", name, wk.SYSTEM_NAMESPACE),
        "no controller leads: changes do not arrive in the members",
        evidence=described(world, lease) + ("; its Deployment has 0 replicas" if stopped else ""),
        fix=f"{_in_system(world)} {action}",
        severity=Severity.IN_PROGRESS if overdue < TAKEOVER_SECONDS else None,
    )


def _flags_of(world: World, name: str) -> Iterator[Sequence[str]]:
    """The command line of the controller, if a Deployment here runs it; its manifest may be here and run elsewhere."""
    deployment = world.host.get(DEPLOYMENTS, name, wk.SYSTEM_NAMESPACE)
    if not dig(deployment, "status", "readyReplicas"):
        return
    for container in items(deployment, "spec", "template", "spec", "containers"):
        words = [*items(container, "command"), *items(container, "args")]
        if name in words or text(container, "name") == name:
            yield [word for word in words if isinstance(word, str)]


def _gate(flags: Sequence[str]) -> bool:
    """Whether the flags enable the feature; the last one wins."""
    values = [word.partition("=")[2] for word in flags if word.startswith("--feature-gates=")]
    gates = [gate.partition("=") for value in values for gate in value.split(",")]
    states = [state for name, _, state in gates if name.strip() == "MultiClusterService"]
    return bool(states) and states[-1].strip().lower() in ("true", "t", "1")


def _services(world: World) -> Sequence[Object]:
    """The MultiClusterService in question; without a service, some."""
    if world.service is None:
        return world.host.list(MULTICLUSTERSERVICES)
    return [world.mcs] if world.mcs is not None else []


@rule(
    "MCS006",
    "The feature gate MultiClusterService is off",
    Link.INSTALLATION,
    Scope.WORLD,
    meaning="A controller leads and leaves MultiClusterServices alone. Conditions of earlier days stay as they are.",
    evidence="What the leader says of itself in annotations of its Lease. Where it says nothing, the flags of the "
    "Deployment, or a MultiClusterService without finalizer.",
    fix="Add --feature-gates=MultiClusterService=true to the controller's flags.",
)
def gate_off(context: Context) -> Iterator[Finding]:
    """A MultiClusterService without finalizer is proof, too, if somebody leads."""
    world = context.world
    name = _ours(world)
    if not _leads(world, name):
        return
    told = said_by(_lease(world, name)).get(wk.LEADER_GATES)
    if told is None:
        evidence = _gate_off_by_flags(world, name) or _unserved(world)
    else:
        evidence = "" if _gate([f"--feature-gates={told}"]) else f"annotation {wk.LEADER_GATES} of its Lease: {told}"
    if evidence:
        yield context.found(
            ObjectRef(CONTROL_PLANE, "Deployment", name, wk.SYSTEM_NAMESPACE),
            "the feature gate MultiClusterService is off: the leader does not serve MultiClusterServices",
            evidence=evidence,
            fix=_add_flag(world, name, "--feature-gates=MultiClusterService=true"),
        )


def _gate_off_by_flags(world: World, name: str) -> str:
    """The evidence in the Deployment; empty if there is none."""
    for flags in _flags_of(world, name):
        if not _gate(flags):
            gates = [word for word in flags if word.startswith("--feature-gates")]
            return f"flags of Deployment {name}: {' '.join(gates) or 'no --feature-gates'}"
    return ""


def _unserved(world: World) -> str:
    """A MultiClusterService that nobody serves, as evidence; empty if there is none."""
    for mcs in _services(world):
        crosses = "CrossCluster" in items(mcs, "spec", "types")
        alone = wk.MCS_FINALIZER not in items(mcs, "metadata", "finalizers")
        waits = not text(mcs, "metadata", "deletionTimestamp") and world.age(mcs) > _FIRST_PASS_SECONDS
        namespace, called = text(mcs, "metadata", "namespace"), text(mcs, "metadata", "name")
        if crosses and alone and waits and not reserved_problem(namespace, called):
            return f"MultiClusterService {namespace}/{called} is {world.age(mcs):.0f} s old and has no finalizer"
    return ""


@rule(
    "MCS029",
    "Controllers of MultiClusterServices are switched off",
    Link.INSTALLATION,
    Scope.WORLD,
    meaning="A controller leads, and its flag --controllers leaves out a part of what serves MultiClusterServices. "
    "Conditions of earlier days stay as they are.",
    evidence="What the leader says of itself in annotations of its Lease.",
    fix="Add them to the flag --controllers.",
)
def controllers_off(context: Context) -> Iterator[Finding]:
    """They may be divided among processes that have a Lease each."""
    world = context.world
    name = _ours(world)
    if not _leads(world, name) or wk.LEADER_CONTROLLERS not in said_by(_lease(world, name)):
        return
    leases = [text(one, "metadata", "name") for one in world.host.list(LEASES, wk.SYSTEM_NAMESPACE)]
    running = {one: set(said_by(_lease(world, one)).get(wk.LEADER_CONTROLLERS, "").split(",")) for one in leases}
    missing = _SERVING - set[str]().union(*(found for one, found in running.items() if _leads(world, one)))
    if missing:
        wanted = ",".join(sorted((running[name] | missing) - {""}))
        yield context.found(
            ObjectRef(CONTROL_PLANE, "Deployment", name, wk.SYSTEM_NAMESPACE),
            f"the leader does not run {', '.join(sorted(missing))}: MultiClusterServices are not served",
            evidence=f"annotation {wk.LEADER_CONTROLLERS} of its Lease: {','.join(sorted(running[name])) or 'none'}",
            fix=_add_flag(world, name, f"--controllers={wanted}"),
        )


def _add_flag(world: World, deployment: str, *flags: str) -> str:
    path = "/spec/template/spec/containers/0/command/-"
    operations = ", ".join(f'{{"op": "add", "path": "{path}", "value": "{flag}"}}' for flag in flags)
    return f"{_in_system(world)} patch deployment {deployment} --type json -p '[{operations}]'"


@rule(
    "MCS007",
    "Two controllers serve one MultiClusterService",
    Link.INSTALLATION,
    Scope.WORLD,
    meaning="Karmada's controllers for MultiClusterServices run beside ours: they undo each other's changes.",
    evidence=f"Both Leases are held, and {KARMADAS} has written a MultiClusterService while ours led.",
    fix="Disable them in Karmada (docs/beside-karmada.md).",
)
def two_writers(context: Context) -> Iterator[Finding]:
    """What Karmada wrote before ours led is an earlier owner's, and its other controllers write no such object."""
    world = context.world
    lease = _lease(world, MANAGER)
    if lease is None or not (_leads(world, MANAGER) and _leads(world, KARMADAS)):
        return
    since = moment(lease, "spec", "acquireTime")
    for mcs in _services(world):
        entries = [one for one in items(mcs, "metadata", "managedFields") if text(one, "manager") == KARMADAS]
        written = [when for one in entries if (when := moment(one, "time")) is not None]
        if since is not None and any(when > since for when in written):
            name, namespace = text(mcs, "metadata", "name"), text(mcs, "metadata", "namespace")
            yield context.found(
                ObjectRef(CONTROL_PLANE, "MultiClusterService", name, namespace),
                f"two controllers serve MultiClusterService {namespace}/{name}: {MANAGER} and {KARMADAS}",
                evidence=f"{KARMADAS} wrote it at {max(written):%H:%M:%S}; {MANAGER} leads since {since:%H:%M:%S}",
                fix=_add_flag(
                    world,
                    KARMADAS,
                    "--feature-gates=MultiClusterService=false",
                    "--controllers=*,-serviceExport,-endpointSlice,-serviceImport",
                ),
            )
            return


@rule(
    "MCS008",
    "Clocks differ",
    Link.INSTALLATION,
    Scope.WORLD,
    severity=Severity.WARNING,
    meaning="A clock is wrong by more than 30 seconds: tokens and certificates are refused too soon or too late, and "
    "ages in this diagnosis are wrong.",
    evidence="renewTime of the Leases and the Date header of the members, against the clock of this machine.",
    fix="See which clock is wrong, and synchronize it, for example with chrony. The command shows both.",
    no_command="because nobody knows which of two clocks is wrong, and a clock is set on its machine.",
)
def clocks_differ(context: Context) -> Iterator[Finding]:
    """Nobody can say which of the two is right."""
    world = context.world
    for name in (MANAGER, KARMADAS):
        renewed = moment(_lease(world, name), "spec", "renewTime")
        if renewed is not None and (ahead := (renewed - world.now).total_seconds()) > _SKEW_SECONDS:
            yield context.found(
                ObjectRef(CONTROL_PLANE, "Lease", name, wk.SYSTEM_NAMESPACE),
                f"the clock of {name} is {ahead:.0f} s ahead of this machine's",
                evidence=f"renewTime is {renewed.isoformat()}, here it is {world.now.isoformat()}",
                fix=_clocks(world, ""),
            )
    for name, member in sorted(world.members.items()):
        skew = member.login.skew_seconds if member.login is not None else None
        if skew is not None and abs(skew) > _SKEW_SECONDS:
            yield context.found(
                ObjectRef(name, "API server"),
                f"the clock of {name} differs from this machine's by {skew:+.0f} s",
                evidence="the Date header of its answer",
                fix=_clocks(world, name),
            )


def _clocks(world: World, cluster: str) -> str:
    """A command that shows the time of this machine and of an API server: it stamps the review that it answers with."""
    return f"date -u; {world.kubectl(cluster)} auth whoami -o jsonpath='{{.metadata.creationTimestamp}}'"


@rule(
    "MCS009",
    "The controller lacks rights in the control plane",
    Link.INSTALLATION,
    Scope.WORLD,
    meaning="The roles of manifests/controller, stand-alone those of manifests/standalone too, are missing or older "
    "than the controller.",
    evidence="The control plane's answer to a SubjectAccessReview for each right.",
    fix="Apply the roles. `--controller-user` names the user of a controller that has another one.",
)
def rights_missing(context: Context) -> Iterator[Finding]:
    """Not of Karmada's own controllers, whose user is an administrator."""
    world = context.world
    if _ours(world) == KARMADAS or not _is_control_plane(world):
        return
    if world.host.denied is None:
        raise Unseen("the rights of the controller: SubjectAccessReviews are not allowed to us, or were not answered")
    if missing := [right for right in world.host.denied if " secrets " not in right]:
        folders = ["controller", *(["standalone"] if runs_standalone(world.host) else [])]
        files = [f"-f {shlex.quote(world.manifests)}/{folder}/rbac.yaml" for folder in folders]
        yield context.found(
            ObjectRef(CONTROL_PLANE, "ServiceAccount", MANAGER, wk.SYSTEM_NAMESPACE),
            f"the controller lacks {len(missing)} rights in the control plane",
            evidence=f"denied: {', '.join(missing[:6])}{', ...' * (len(missing) > 6)}",
            fix=f"{world.kubectl()} apply {' '.join(files)}",
        )
