"""The real client and informers fit where the runtime takes a protocol. Checked by mypy; nothing to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from informers.cache.factory import InformerFactory
    from informers.cache.informer import SharedInformer
    from informers.client.client import ApiClient
    from informers.client.transport import ClientMetrics
    from informers.resource import PartialObject
    from mcs_controller.runtime.cache_sync import Cache
    from mcs_controller.runtime.controller import ControllerMetrics, Source
    from mcs_controller.runtime.events import EventClient, EventRecorder, Recorder
    from mcs_controller.runtime.leader_election import LeaderElectionMetrics, LeaseClient
    from mcs_controller.runtime.manager import Informers
    from mcs_controller.runtime.metrics import RuntimeMetrics
    from workqueue import MetricsProvider

    def _clients(client: ApiClient) -> tuple[LeaseClient, EventClient]:
        return client, client

    def _caches(informer: SharedInformer[PartialObject], factory: InformerFactory) -> tuple[object, Cache, Informers]:
        source: Source[PartialObject] = informer
        return source, informer, factory

    def _recorder(recorder: EventRecorder) -> Recorder:
        return recorder

    def _metrics(
        metrics: RuntimeMetrics,
    ) -> tuple[MetricsProvider, ControllerMetrics, ClientMetrics, LeaderElectionMetrics]:
        return metrics.queues, metrics.controllers, metrics.client, metrics.leader_election
