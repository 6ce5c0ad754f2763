"""Rules about the installation: the control plane, its kinds, and the controllers with their leader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcs_controller.diagnosis.findings import CONTROL_PLANE, Link, ObjectRef
from mcs_controller.diagnosis.rules.rule import Scope, rule
from mcs_controller.diagnosis.world import BINDINGS, CLUSTERS, MULTICLUSTERSERVICES, WORKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcs_controller.diagnosis.findings import Finding
    from mcs_controller.diagnosis.rules.rule import Context

_CRDS = {
    MULTICLUSTERSERVICES: "manifests/crds/",
    WORKS: "manifests/crds/",
    BINDINGS: "manifests/crds/",
}


@rule(
    "MCS001",
    "The kubeconfig does not lead to a control plane",
    Link.INSTALLATION,
    Scope.WORLD,
    meaning="The API server does not serve clusters.cluster.karmada.io, so it is no Karmada control plane: mostly it "
    "is a member.",
    evidence="The kinds that the API server lists under /apis/cluster.karmada.io/v1alpha1.",
    fix="Name the control plane's kubeconfig or context.",
)
def no_control_plane(context: Context) -> Iterator[Finding]:
    """No Cluster kind."""
    if not context.world.versions(CLUSTERS):
        yield context.found(
            ObjectRef(CONTROL_PLANE, "API server"),
            "this is no control plane: it does not serve clusters.cluster.karmada.io",
            evidence="GET /apis/cluster.karmada.io/v1alpha1 does not list clusters",
            fix="mcsctl --context CONTEXT doctor, with the context of the control plane; "
            "`kubectl config get-contexts` lists them",
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
    if not world.versions(CLUSTERS):
        return
    for kind, folder in _CRDS.items():
        version = kind.api_version.rpartition("/")[2]
        served = world.versions(kind)
        if version not in served:
            yield context.found(
                ObjectRef(CONTROL_PLANE, "CustomResourceDefinition", kind.group_resource),
                f"{kind.group_resource} is not served in version {version}",
                evidence=f"served versions: {', '.join(sorted(served)) or 'none'}",
                fix=f"{world.kubectl()} apply -f {folder}",
            )
