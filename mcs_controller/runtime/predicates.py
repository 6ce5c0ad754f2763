"""Predicates: which events of a watch are worth a reconcile.

Plain functions of an event, the last argument of :meth:`Controller.watch`. An object that is deleted, or that appears,
is always worth one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from informers.cache.event import Event


def generation_changed(event: Event[Any]) -> bool:
    """Not for updates that leave `metadata.generation` as it was: those of status, labels, annotations, finalizers.

    API servers count the generation of custom resources up when their spec changes and when their deletion begins. They
    do not count at all for kinds without it (ConfigMap, Secret, ...): nothing but additions and deletions pass then.
    (controller-runtime's GenerationChangedPredicate.)
    """
    if event.old is None or event.new is None:
        return True
    return bool(event.old.metadata.generation != event.new.metadata.generation)
