"""Which Works ask for a member's ServiceExports to be followed, and how they are found (contract 3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from informers.meta import find_condition
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.collect import EXPORT, marks_of
from mcs_controller.domain.works import Role, cluster_of, role_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

    from informers.cache.event import Event
    from mcs_controller.api.work import ManifestRef, Work

BY_EXPORT = "export"
"""Collected Works by (cluster, namespace, name) of the ServiceExport that they are filed under."""

BY_EXPORTER = "exporter"
"""Works that ask for the ServiceExports of a cluster to be followed, by the cluster."""


BY_CARRIED_EXPORT = "carried export"
"""Works that bring a ServiceExport to a member, by (cluster, namespace, name) of that."""


def carries_export(work: Work) -> bool:
    """Whether the Work brings a ServiceExport to a member."""
    return any(True for _ in _carried(work))


def carried_exports(work: Work) -> set[tuple[str, str, str]]:
    """(cluster, namespace, name) of the ServiceExports that the Work brings to its member."""
    cluster = cluster_of(work)
    return {(cluster, ref.namespace, ref.name) for ref in _carried(work)} if cluster is not None else set()


def _carried(work: Work) -> Iterator[ManifestRef]:
    for one in work.manifests:
        ref = one.ref
        if ref is None or ref.kind != wk.SERVICE_EXPORT_KIND:
            continue
        if ref.api_version.startswith(f"{wk.MULTICLUSTER_GROUP}/"):
            yield ref


def asks_for_exports(work: Work) -> bool:
    """Whether the ServiceExports of the Work's cluster are to be followed because of it.

    Because it has brought one there; or because it was collected for one, so that it is noticed if that one has gone
    while nobody looked.
    """
    if work.metadata.deletion_timestamp is not None:
        return False
    if role_of(work) is Role.COLLECTED:
        return EXPORT.mark in marks_of(work)
    applied = find_condition(work.conditions, wk.APPLIED)
    return carries_export(work) and not work.suspend_dispatching and applied is not None and applied.status == "True"


def asking_changed(event: Event[Work]) -> bool:
    """Whether a Work came, went, or asks for something else than before, or it is a resync."""
    old, new = event.old, event.new
    if old is None or new is None or old is new:
        return True
    return (asks_for_exports(old), EXPORT.labelled_service(old)) != (
        asks_for_exports(new),
        EXPORT.labelled_service(new),
    )


def _index_export(work: Work) -> Iterable[Hashable]:
    cluster, export = cluster_of(work), EXPORT.labelled_service(work)
    return (
        ((cluster, *export),) if cluster is not None and export is not None and role_of(work) is Role.COLLECTED else ()
    )


def _index_exporter(work: Work) -> Iterable[Hashable]:
    cluster = cluster_of(work)
    return (cluster,) if cluster is not None and asks_for_exports(work) else ()


CARRIED_EXPORT_INDEXES: Mapping[str, Callable[[Work], Iterable[Hashable]]] = {
    BY_EXPORT: _index_export,
    BY_CARRIED_EXPORT: carried_exports,
}
EXPORT_WORK_INDEXES: Mapping[str, Callable[[Work], Iterable[Hashable]]] = {
    BY_EXPORT: _index_export,
    BY_EXPORTER: _index_exporter,
}
