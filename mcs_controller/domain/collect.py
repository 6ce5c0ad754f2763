"""Collecting slices from providers, for whoever wants them (contract 3.2 and 3.4).

Two features want slices: MultiClusterService and ServiceExport. Both are served by one Work per slice, which says in
its labels who wants it and under which service it is filed, and in its finalizers who has to let go of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import collected_names, execution_namespace, work_name
from mcs_controller.domain.works import (
    DeleteWork,
    PatchWork,
    Role,
    SliceRef,
    WorkIntent,
    WorkWrite,
    delete_collected,
    is_emptied,
    plan_work,
    role_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from informers.errors import DecodeError
    from mcs_controller.api.common import JsonObject
    from mcs_controller.api.core import EndpointSlice
    from mcs_controller.api.work import Work

    Service = tuple[str, str]
    FindWork = Callable[[str, str], Work | None]
    """The Work of that namespace and name, or None."""

    Wants = Callable[[Service], bool | None]
    """Whether endpoints of a service are wanted from a provider; None as long as that is not known."""


@dataclass(frozen=True, slots=True)
class CollectFeature:
    """What may want slices collected.

    Attributes:
        mark: its name in the set that the label `COLLECTED_BY` holds.
        namespace_label: label for the namespace of what it files the slice under.
        name_label: label for the name.
        finalizer: of the controller that takes the slice further, and has to let go of it.
    """

    mark: str
    namespace_label: str
    name_label: str
    finalizer: str

    def labelled_service(self, work: Work) -> Service | None:
        """(namespace, name) of the service that the Work is filed under; None without these labels.

        An empty value never names anything: it would select the Works of every service that lacks the label.
        """
        namespace = work.metadata.labels.get(self.namespace_label)
        name = work.metadata.labels.get(self.name_label)
        return (namespace, name) if namespace and name else None


@dataclass(frozen=True, slots=True)
class CollectPlan:
    """What the collected Work of one slice needs.

    Attributes:
        writes: of collected Works.
        service: the service that the slice belongs to; None if it has none, or the provider's slices are not known.
        blocked: garbage that is being deleted has the slice's place. Its end leads nowhere, so look again.
        error: what is wrong with the slice; what was collected of it before stays.
    """

    writes: tuple[WorkWrite, ...]
    service: Service | None = None
    blocked: bool = False
    error: DecodeError | None = None


MCS: Final = CollectFeature(wk.COLLECTED_BY_MCS, wk.MCS_NAMESPACE, wk.MCS_NAME, wk.DISPATCH_FINALIZER)
EXPORT: Final = CollectFeature(wk.COLLECTED_BY_EXPORT, wk.EXPORT_NAMESPACE, wk.EXPORT_NAME, wk.IMPORT_FINALIZER)


def is_managed_by_peer(slice_: EndpointSlice) -> bool:
    """Whether the slice is itself a dispatched or imported copy. Every other slice counts, whoever made it."""
    return slice_.metadata.labels.get(wk.SLICE_MANAGED_BY) in wk.SLICE_MANAGERS


def service_of_slice(slice_: EndpointSlice) -> Service | None:
    """(namespace, name) of the Service that the slice belongs to."""
    name = slice_.metadata.labels.get(wk.SERVICE_NAME)
    return (slice_.metadata.namespace, name) if name else None


def marks_of(work: Work) -> set[str]:
    """The features that want a collected Work.

    Should somebody have taken the label off, those are meant under which it is still filed, and that hold it by their
    finalizer: nobody else would ever take it, and the copies that were made of it, away.
    """
    said = work.metadata.labels.get(wk.COLLECTED_BY)
    if said is not None:
        return {mark for mark in said.split(".") if mark}
    held = work.metadata.finalizers
    return {one.mark for one in (MCS, EXPORT) if one.finalizer in held and one.labelled_service(work) is not None}


def plan_collect(
    origin: SliceRef,
    observed: EndpointSlice | None,
    sources: Mapping[CollectFeature, Wants],
    collected: Sequence[Work],
    find: FindWork,
    new_id: Callable[[], str],
) -> tuple[WorkWrite, ...]:
    """The writes that make the control plane's copy of one provider's slice right.

    Args:
        origin: the slice.
        observed: the slice as the provider's cache has it; None if the provider has no such slice.
        sources: what the features that are served here want from this provider. The marks of others are kept.
        collected: the copies that are there (one, unless something went wrong).
        find: looks up any Work by namespace and name.
        new_id: see `plan_work`.

    A feature that does not know yet what it wants keeps what it has.

    Raises:
        WorkTerminating: garbage that is being deleted has the slice's place. Its end leads nowhere, so look again.
        DecodeError: the slice has not the shape of one.
    """
    service = service_of_slice(observed) if observed is not None and not is_managed_by_peer(observed) else None
    if observed is None or service is None:
        return withdraw(collected, sources)
    live = [work for work in collected if work.metadata.deletion_timestamp is None]
    wanting, unwanted = _verdict(service, sources, live)
    if not wanting:
        return withdraw(collected, unwanted)
    namespace = execution_namespace(origin.cluster)
    canonical = work_name(wk.SLICE_KIND, origin.namespace, origin.name)
    there = next((work for work in live if work.metadata.name == canonical), live[0] if live else None)
    if there is None:
        if any(work.metadata.deletion_timestamp is not None for work in collected):
            return ()  # the old copy is on its way out; the event of its end leads back here
        name = free_name(namespace, collected_names(origin.namespace, origin.name), find, _may_hold_collected)
        there = find(namespace, name)
    else:
        name = there.metadata.name
    write = plan_work(_intent(namespace, name, service, wanting, unwanted, observed, there), there, new_id)
    spare = [work for work in live if work.metadata.name != name]
    return (*([write] if write is not None else []), *withdraw(spare, sources))


def plan_unsynced(collected: Sequence[Work], sources: Mapping[CollectFeature, Wants]) -> tuple[WorkWrite, ...]:
    """As `plan_collect` while the provider's slices are not known: only what nobody wants any more is withdrawn."""
    writes: list[WorkWrite] = []
    for work in collected:
        if is_emptied(work):
            writes += withdraw([work], sources)
            continue
        unwanted = [
            feature
            for feature, wants in sources.items()
            if (filed := feature.labelled_service(work)) is not None and wants(filed) is False
        ]
        writes += withdraw([work], unwanted)
    return tuple(writes)


def withdraw(collected: Iterable[Work], features: Collection[CollectFeature]) -> tuple[WorkWrite, ...]:
    """Take the marks of these features off the copies; those that nobody else wants are deleted."""
    live = (work for work in collected if work.metadata.deletion_timestamp is None)
    return tuple(write for work in live if (write := remove_managed_by(work, features)) is not None)


def plan_leaving(collected: Iterable[Work]) -> tuple[WorkWrite, ...]:
    """The writes that take the slices out of the copies of a cluster whose Cluster is being deleted.

    Its execution namespace is about to be deleted with all that is in it, whoever wants it. Copies that are being
    deleted already are emptied as well: whoever has not followed that yet finds nothing to delete.
    """
    return tuple(
        delete_collected(work) for work in collected if work.metadata.deletion_timestamp is None or work.manifests
    )


def remove_managed_by(work: Work, features: Collection[CollectFeature]) -> PatchWork | DeleteWork | None:
    """Stop wanting a collected Work: strip what these features have on it, or delete it if nobody else wants it.

    A Work that bears nobody's mark is not ours to delete, and one that none of the features has marked is not theirs.
    One that was emptied already is finished: a process died before it could.
    """
    meta, marks = work.metadata, marks_of(work)
    if wk.COLLECTED_BY not in meta.labels and not marks:
        return None
    rest = sorted(marks - {feature.mark for feature in features})
    if not rest or is_emptied(work):
        return delete_collected(work) if features else None
    changes: JsonObject = {key: None for key in _labels_of(features) if key in meta.labels}
    if len(rest) < len(marks):
        changes[wk.COLLECTED_BY] = ".".join(rest)
    if not changes:
        return None
    body = {"metadata": {"labels": changes, "resourceVersion": meta.resource_version}}
    return PatchWork(meta.namespace, meta.name, body)


def _verdict(
    service: Service, sources: Mapping[CollectFeature, Wants], live: Sequence[Work]
) -> tuple[list[CollectFeature], list[CollectFeature]]:
    """Who wants the slice, and who does not. Who does not know wants it if it is filed as it should be already."""
    wanting: list[CollectFeature] = []
    unwanted: list[CollectFeature] = []
    for feature, wants in sources.items():
        wanted = wants(service)
        if wanted is None:
            filed = any(feature.mark in marks_of(work) and feature.labelled_service(work) == service for work in live)
            wanted = filed or None
        if wanted is not None:
            (wanting if wanted else unwanted).append(feature)
    return wanting, unwanted


def _intent(
    namespace: str,
    name: str,
    service: Service,
    wanting: Sequence[CollectFeature],
    unwanted: Sequence[CollectFeature],
    observed: EndpointSlice,
    there: Work | None,
) -> WorkIntent:
    before = marks_of(there) if there is not None else set()
    marks = (before | {feature.mark for feature in wanting}) - {feature.mark for feature in unwanted}
    labels = {feature.namespace_label: service[0] for feature in wanting}
    labels |= {feature.name_label: service[1] for feature in wanting}
    # The order of the marks means nothing, so it is no reason to write either.
    said = there.metadata.labels.get(wk.COLLECTED_BY) if there is not None and marks == before else None
    return WorkIntent(
        namespace=namespace,
        name=name,
        manifest=observed.manifest(),
        source_uid=observed.metadata.uid,
        labels=labels | {wk.COLLECTED_BY: said if said is not None else ".".join(sorted(marks))},
        without_labels=frozenset(_labels_of(unwanted)),
        finalizers=tuple(feature.finalizer for feature in wanting),
        suspend_dispatching=True,
    )


def _labels_of(features: Iterable[CollectFeature]) -> Iterator[str]:
    for feature in features:
        yield feature.namespace_label
        yield feature.name_label


def _may_hold_collected(work: Work) -> bool:
    """Whether a Work that has the name already may become the collected copy: not if it has a job of its own.

    That may be the copy of another slice: names of Works are hashes, and collide now and then.
    """
    meta = work.metadata
    return (
        role_of(work) is Role.OTHER
        and wk.BINDING_PERMANENT_ID not in meta.labels
        and wk.PROVISION_CLUSTER not in meta.annotations
    )


def free_name(namespace: str, candidates: Iterator[str], find: FindWork, usable: Callable[[Work], bool]) -> str:
    """The first of the names that no Work has, or that one has which is usable."""
    for name in candidates:
        occupant = find(namespace, name)
        if occupant is None or usable(occupant):
            return name
    raise AssertionError("candidates are endless")
