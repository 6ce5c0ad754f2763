"""Conditions of our own on a Cluster: written, with an event, when something is out of order or in order again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from informers.errors import Forbidden, NotFound
from informers.meta import find_condition
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.conditions import equal_ignoring_time, merge
from mcs_controller.runtime.events import ObjectReference

if TYPE_CHECKING:
    from informers.cache.cached_client import CachedClient
    from informers.meta import Condition
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.runtime.events import EventType, Recorder
    from workqueue.clock import Clock

_log = logging.getLogger(__name__)

_IN_ORDER = (wk.OWNED, wk.STALE_REMOVED)
"""Reasons that nobody has to be told unless they have been told of the opposite."""


class ClusterConditions:
    """Writes one condition at a time, and only what differs."""

    def __init__(self, clusters: CachedClient[Cluster], recorder: Recorder, clock: Clock, *, component: str) -> None:
        """`component` is the source of the events."""
        self._clusters = clusters
        self._recorder = recorder.for_component(component)
        self._clock = clock

    async def report(self, name: str, condition: Condition) -> None:
        """Say this on the Cluster. Raises what the control plane says; that nobody may say it is logged only."""
        cluster = self._clusters.get("", name)
        if cluster is None:
            return
        before = find_condition(cluster.conditions, condition.type)
        in_order = condition.reason in _IN_ORDER
        if equal_ignoring_time(before, condition) or (before is None and in_order):
            return
        now = self._clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = merge(cluster.conditions, [condition], now)
        body = {
            "metadata": {"resourceVersion": cluster.metadata.resource_version},
            "status": {"conditions": msgspec.to_builtins(conditions)},
        }
        try:
            await self._clusters.patch("", cluster.name, body, subresource="status")
        except (Forbidden, NotFound) as error:
            _log.warning(condition.message, extra={"cluster": cluster.name, "error": str(error)})
        type_: EventType = "Normal" if in_order else "Warning"
        self._recorder.event(reference_to(cluster), type_, condition.reason, condition.message)


def reference_to(cluster: Cluster) -> ObjectReference:
    """The Cluster as what an event is about."""
    return ObjectReference(
        api_version=wk.CLUSTER_API_VERSION,
        kind=wk.CLUSTER_KIND,
        namespace="",
        name=cluster.name,
        uid=cluster.metadata.uid,
    )
