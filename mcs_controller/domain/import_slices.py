"""From slices collected for a ServiceExport to EndpointSlices of the control plane (contract 3.5).

An imported slice names the collected Work that it was made of in two annotations. By those it is found again, also if
its Work has gone unseen. The Work's permanent id is a label as well, for other readers.

Marks that somebody takes off come back, whichever they are: one that is left, under the name that the slice has for its
Work, is enough to know it by. A slice of that name without any is somebody else's, unless it was seen to lose them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from informers.patches import plan_remove_finalizer, without_nulls
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.addresses import ADDRESS_RULES
from mcs_controller.domain.naming import (
    IMPORTED_PREFIX,
    derived_service_name,
    imported_slice_names,
    named_in,
)
from mcs_controller.domain.reserved import RESERVED
from mcs_controller.domain.serviceexport import CARRIED_EXPORT_INDEXES
from mcs_controller.domain.works import Role, origin_of, role_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from informers.meta import ObjectKey
    from mcs_controller.api.common import JsonObject
    from mcs_controller.api.core import EndpointSlice
    from mcs_controller.api.work import Work
    from mcs_controller.domain.addresses import AddressRules, Finding
    from mcs_controller.domain.reserved import ReservedObjects

    FindSlice = Callable[[str, str], EndpointSlice | None]
    """The EndpointSlice of that namespace and name, or None."""

BY_WORK = "work"
"""Imported slices by the (namespace, name) of the collected Work that they were made of."""

BY_NAMESPACE = "namespace of what is exported"
"""Works collected for a ServiceExport by the namespace that their slices are in."""


@dataclass(frozen=True, slots=True)
class CreateSlice:
    """Create this slice."""

    namespace: str
    body: JsonObject


@dataclass(frozen=True, slots=True)
class PatchSlice:
    """Change what is owned of a slice, by a merge patch."""

    namespace: str
    name: str
    body: JsonObject


@dataclass(frozen=True, slots=True)
class DeleteSlice:
    """Delete the slice, if it is still the one that was observed."""

    namespace: str
    name: str
    uid: str


SliceWrite = CreateSlice | PatchSlice | DeleteSlice


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What the control plane needs for one collected Work.

    Attributes:
        writes: independent of each other.
        release: merge patch that takes our finalizer off the Work once the writes are done; None if there is none.
        addresses: of the slice, those that were left out, or are suspicious.
    """

    writes: tuple[SliceWrite, ...]
    release: JsonObject | None
    addresses: tuple[Finding, ...] = ()


def export_of(work: Work) -> ObjectKey | None:
    """The ServiceExport that a collected Work is filed under; None without these labels."""
    return named_in(work.metadata.labels, wk.EXPORT_NAMESPACE, wk.EXPORT_NAME)


def work_of(slice_: EndpointSlice) -> ObjectKey | None:
    """The Work that an imported slice was made of, also when its labels were taken away; None for any other slice.

    Where a cluster is its own member, slices that were applied there name a Work, too.
    """
    meta = slice_.metadata
    manager = meta.labels.get(wk.SLICE_MANAGED_BY)
    stripped = manager is None and meta.name.startswith(IMPORTED_PREFIX)
    if wk.MANAGED in meta.labels or not (stripped or manager == wk.SLICE_IMPORTER):
        return None
    return named_in(meta.annotations, wk.WORK_NAMESPACE, wk.WORK_NAME)


def stripped_of(old: EndpointSlice | None, new: EndpointSlice | None) -> ObjectKey | None:
    """The Work of a slice that names it no more, and names nobody else instead; None for any other change."""
    if old is None or new is None or old.metadata.uid != new.metadata.uid or work_of(new) is not None:
        return None
    labels = new.metadata.labels
    taken = wk.MANAGED in labels or labels.get(wk.SLICE_MANAGED_BY, wk.SLICE_IMPORTER) != wk.SLICE_IMPORTER
    return None if taken else work_of(old)


def _index_work(slice_: EndpointSlice) -> Iterable[Hashable]:
    work = work_of(slice_)
    return (work,) if work is not None else ()


def _index_namespace(work: Work) -> Iterable[Hashable]:
    origin = origin_of(work) if export_of(work) is not None else None
    return (origin.namespace,) if origin is not None else ()


IMPORTED_INDEXES: Mapping[str, Callable[[EndpointSlice], Iterable[Hashable]]] = {BY_WORK: _index_work}
IMPORT_WORK_INDEXES: Mapping[str, Callable[[Work], Iterable[Hashable]]] = {
    BY_NAMESPACE: _index_namespace,
    **CARRIED_EXPORT_INDEXES,
}


def plan_import(
    work: Work | None,
    imported: Sequence[EndpointSlice],
    find: FindSlice,
    reserved: ReservedObjects = RESERVED,
    addresses: AddressRules = ADDRESS_RULES,
    *,
    wanted: bool = True,
) -> ImportPlan:
    """The writes that make the control plane's slices of one collected Work right.

    Args:
        work: the Work; None if it is gone.
        imported: the slices that say, or were seen to have said, that they were made of it (one, unless something went
            wrong).
        find: looks up any slice of the control plane.
        reserved: says where none is made, whoever has collected what (an agent is the member's).
        addresses: which ones the member may give its endpoints.
        wanted: False if no slice is to be made because of this ServiceExport, which is the member's own.

    A plan that was applied is empty afterwards.
    """
    export = export_of(work) if work is not None else None
    imported = [*imported, *(_stripped(work, imported, find) if work is not None else ())]
    if work is None or export is None or work.metadata.deletion_timestamp is not None or not work.manifests:
        return ImportPlan(
            _delete(imported), plan_remove_finalizer(work, wk.IMPORT_FINALIZER) if work is not None else None
        )
    origin = origin_of(work)
    if role_of(work) is not Role.COLLECTED or origin is None:
        return ImportPlan(_delete(imported), None)
    if not wanted or reserved.export_problem(origin.namespace, export[1]) is not None:
        return ImportPlan(_delete(imported), None)
    manifest = work.manifests[0].decode()
    found = addresses.restrict(origin.cluster, manifest)
    desired = _desired(work, export[1], manifest)
    names = imported_slice_names(origin.cluster, origin.name)
    here = [one for one in imported if one.metadata.namespace == origin.namespace]
    there = next((one for one in here if one.metadata.name == names[0]), here[0] if here else None)
    stale = _delete([one for one in imported if one is not there])
    if there is None:
        name = next((one for one in names if find(origin.namespace, one) is None), names[-1])
        metadata = {"name": name, "namespace": origin.namespace} | desired.pop("metadata")
        body = {"apiVersion": wk.SLICE_API_VERSION, "kind": wk.SLICE_KIND, "metadata": metadata} | desired
        return ImportPlan((CreateSlice(origin.namespace, body), *stale), None, found)
    if there.metadata.deletion_timestamp is not None:
        return ImportPlan(stale, None)  # its end leads back here
    if there.address_type != desired["addressType"]:
        # No API server lets it be changed. The end of this one leads back here.
        return ImportPlan((*_delete([there]), *stale), None)
    patch = _patch(there, desired)
    return ImportPlan((*([patch] if patch is not None else []), *stale), None, found)


def _stripped(work: Work, imported: Sequence[EndpointSlice], find: FindSlice) -> list[EndpointSlice]:
    """The Work's slices that do not say so any more, by their names and what is left of their marks.

    The usual name may be that of another Work's slice, too. So unless the Work's id is left a slice is claimed only for
    a Work that has no other, and first the ones under names which nobody comes upon by chance.
    """
    origin, export = origin_of(work), export_of(work)
    if origin is None:
        return []
    labels, annotations = _marks(work, export[1] if export is not None else None)
    known = {(one.metadata.namespace, one.metadata.name) for one in imported}
    found = [
        one
        for name, least in zip(reversed(imported_slice_names(origin.cluster, origin.name)), (0, 0, 1), strict=True)
        if (origin.namespace, name) not in known and (one := find(origin.namespace, name)) is not None
        if wk.MANAGED not in one.metadata.labels
        if _agreeing(labels, one.metadata.labels) + _agreeing(annotations, one.metadata.annotations) >= least
    ]
    own_id = labels[wk.WORK_PERMANENT_ID]
    sure = [one for one in found if own_id and one.metadata.labels.get(wk.WORK_PERMANENT_ID) == own_id]
    return sure or ([] if imported else found[:1])


def _agreeing(marks: Mapping[str, str], there: Mapping[str, str]) -> float:
    """How many of the marks are there; minus infinity if one says something else."""
    found = [there[key] == value for key, value in marks.items() if key in there]
    return len(found) if all(found) else float("-inf")


def _marks(work: Work, export: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations of a slice that is made of the Work; without that of the Service if it has none."""
    meta = work.metadata
    labels = {
        wk.WORK_PERMANENT_ID: meta.labels.get(wk.WORK_PERMANENT_ID, ""),
        wk.SLICE_MANAGED_BY: wk.SLICE_IMPORTER,
    }
    if export is not None:
        labels[wk.SERVICE_NAME] = derived_service_name(export)
    return labels, {wk.WORK_NAMESPACE: meta.namespace, wk.WORK_NAME: meta.name}


def _desired(work: Work, export: str, manifest: JsonObject) -> JsonObject:
    labels, annotations = _marks(work, export)
    return {
        "metadata": {"labels": labels, "annotations": annotations},
        "addressType": manifest.get("addressType"),
        "endpoints": manifest.get("endpoints"),
        "ports": manifest.get("ports"),
    }


def _patch(there: EndpointSlice, wanted: JsonObject) -> PatchSlice | None:
    """What is owned and differs. Labels and annotations that others added stay: a policy puts its claim there."""
    meta = there.metadata
    marks: JsonObject = {}
    for field, there_is in (("labels", meta.labels), ("annotations", meta.annotations)):
        if missing := {key: one for key, one in wanted["metadata"][field].items() if there_is.get(key) != one}:
            marks[field] = missing
    found = there.manifest()
    body: JsonObject = {
        key: wanted[key] or []
        for key in ("endpoints", "ports")
        if without_nulls(found[key] or []) != without_nulls(wanted[key] or [])
    }
    if not marks and not body:
        return None
    body["metadata"] = {"resourceVersion": meta.resource_version} | marks
    return PatchSlice(meta.namespace, meta.name, body)


def _delete(slices: Sequence[EndpointSlice]) -> tuple[DeleteSlice, ...]:
    metas = (one.metadata for one in slices if one.metadata.deletion_timestamp is None)
    return tuple(DeleteSlice(meta.namespace, meta.name, meta.uid) for meta in metas)
