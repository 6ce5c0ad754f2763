"""Which namespaces of the control plane exist in the members too, and the Works that carry them (contract 4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace, work_name
from mcs_controller.domain.works import WorkIntent

if TYPE_CHECKING:
    import re

    from informers.meta import OwnerReference
    from mcs_controller.api.core import Namespace

_RESERVED: Final = frozenset({wk.SYSTEM_NAMESPACE, wk.CLUSTER_NAMESPACE, "default"})
"""Karmada's own, and the one that every member has anyway."""


def is_propagated(namespace: Namespace, skipped: tuple[re.Pattern[str], ...]) -> bool:
    """Whether the members should have the namespace.

    False says only that nothing is made: what was made before stays, because withdrawing it would, with Karmada's
    execution controller, delete the members' namespace with everything in it.
    """
    meta = namespace.metadata
    if meta.deletion_timestamp is not None:
        return False
    if meta.name in _RESERVED or meta.name.startswith(wk.EXECUTION_PREFIX):
        return False
    if meta.labels.get(wk.SKIP_AUTO_PROPAGATION, "").lower() == wk.TRUE:
        return False
    return not any(pattern.fullmatch(meta.name) for pattern in skipped)


def namespace_work(namespace: Namespace, cluster: str, owner: OwnerReference) -> WorkIntent:
    """The Work that brings the namespace to a cluster.

    It goes with the Namespace by its ownerReference: a Work may be owned by a cluster-scoped object. It names no
    conflict resolution, so a namespace that a member has already, unmanaged, is left as it is there.
    """
    name = namespace.metadata.name
    return WorkIntent(
        namespace=execution_namespace(cluster),
        name=work_name(wk.NAMESPACE_KIND, "", name),
        manifest=msgspec.json.decode(namespace.raw),
        source_uid=namespace.metadata.uid,
        finalizers=(wk.EXECUTION_FINALIZER,),
        owner=owner,
    )
