"""Predicates: which events are worth a reconcile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcs_controller.domain.clusters import relevant_change

if TYPE_CHECKING:
    from informers.cache.informer import Event
    from informers.meta import KubeObject
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.core import EndpointSlice, Service


def content_changed(event: Event[Any]) -> bool:
    """Whether anything but the status of the object changed, or it is a resync.

    For kinds whose generation counts changes of the spec, as all custom resources with a status subresource have it.
    """
    old, new = event.old, event.new
    if old is None or new is None or old is new:
        return True
    return old.metadata.generation != new.metadata.generation or _own_metadata(old) != _own_metadata(new)


def service_changed(event: Event[Service]) -> bool:
    """As `content_changed`, for Services, whose generation counts nothing."""
    old, new = event.old, event.new
    return content_changed(event) or (old is not None and new is not None and old.spec != new.spec)


def cluster_changed(event: Event[Cluster]) -> bool:
    """Whether a Cluster came or went, or differs in more than a heartbeat, or it is a resync."""
    old, new = event.old, event.new
    return old is None or new is None or old is new or relevant_change(old, new)


def slice_changed(event: Event[EndpointSlice]) -> bool:
    """Whether a provider's slice differs in anything that would be collected, or it is a resync."""
    old, new = event.old, event.new
    if content_changed(event) or old is None or new is None:
        return True
    return (old.endpoints, old.ports, old.address_type) != (new.endpoints, new.ports, new.address_type)


def endpoints_in_use_changed(event: Event[Any]) -> bool:
    """Whether consumers may be sending to what the event takes away: a slice, or its Work, changed or went."""
    return event.old is not None


def _own_metadata(obj: KubeObject) -> tuple[object, ...]:
    meta = obj.metadata
    return (
        meta.uid,
        meta.labels,
        meta.annotations,
        meta.finalizers,
        meta.owner_references,
        meta.deletion_timestamp,
    )
