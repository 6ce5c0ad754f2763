"""ResourceBindings, for those who make them and those who read where the scheduler put them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcs_controller.domain.works import WorkTerminating

if TYPE_CHECKING:
    from informers.meta import ObjectMeta
    from mcs_controller.api.common import JsonObject
    from mcs_controller.api.resourcebinding import ResourceBinding


class ForeignController(Exception):
    """The ResourceBinding is controlled by another object than its template; garbage collection has to come first."""


@dataclass(frozen=True, slots=True)
class BindingWrite:
    """Create the binding (`create`), or merge-patch it."""

    create: bool
    body: JsonObject


def check_writable(meta: ObjectMeta, kind: str, uid: str) -> None:
    """Refuse to write the ResourceBinding of a template, of this kind and uid, that cannot have it now.

    Raises:
        ForeignController: another object controls it.
        WorkTerminating: it is being deleted.
    """
    for reference in meta.owner_references:
        if reference.controller and reference.uid != uid:
            raise ForeignController(
                f"ResourceBinding {meta.namespace}/{meta.name} is controlled by {reference.kind} {reference.name} "
                f"(uid {reference.uid}), not by this {kind} (uid {uid})"
            )
    if meta.deletion_timestamp is not None:
        raise WorkTerminating(f"ResourceBinding {meta.namespace}/{meta.name} is being deleted")


def targets(binding: ResourceBinding) -> tuple[str, ...]:
    """Clusters that get the resource: those the scheduler chose, and those where another binding requires it."""
    required = {cluster.name for other in binding.spec.required_by for cluster in other.clusters}
    return tuple(sorted({cluster.name for cluster in binding.spec.clusters} | required))


def is_suspended(binding: ResourceBinding, cluster: str) -> bool:
    """Whether what the cluster has of the resource is to stay as it is (`spec.suspension`)."""
    suspension = binding.spec.suspension
    if suspension is None:
        return False
    on_clusters = suspension.dispatching_on_clusters
    return bool(suspension.dispatching) or (on_clusters is not None and cluster in on_clusters.cluster_names)
