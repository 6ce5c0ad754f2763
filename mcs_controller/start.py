"""How each controller is connected to caches, to its queue, and to other controllers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from informers.meta import ObjectKey
from mcs_controller.api import resources
from mcs_controller.context import (
    STATUS_DELAY_SECONDS,
    SliceCollection,
    new_id,
    serves_multi_cluster_services,
)
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.clusters import is_leaving
from mcs_controller.domain.dispatch import DispatchPolicy
from mcs_controller.domain.import_slices import IMPORT_WORK_INDEXES, IMPORTED_INDEXES
from mcs_controller.domain.indexes import SERVICE_INDEXES
from mcs_controller.domain.serviceexport import EXPORT_WORK_INDEXES, asking_changed
from mcs_controller.features import MULTI_CLUSTER_SERVICE
from mcs_controller.key_mutex import ReconcileMutex
from mcs_controller.members.informers import MemberInformers, requests_in
from mcs_controller.members.provider_informers import ProviderInformers
from mcs_controller.members.sync_mode import SyncModeLogger
from mcs_controller.predicates import cluster_changed, content_changed, service_changed, slice_changed
from mcs_controller.reconcilers import endpointslice_import, multiclusterservice, service_status
from mcs_controller.reconcilers.agent_demand import LEFTOVERS_SECONDS, RequestedSource
from mcs_controller.reconcilers.endpointslice_collect import (
    EndpointSliceCollectReconciler,
    MultiClusterServiceSource,
    SliceCollector,
)
from mcs_controller.reconcilers.endpointslice_dispatch import EndpointSliceDispatchReconciler
from mcs_controller.reconcilers.endpointslice_import import EndpointSliceImportReconciler
from mcs_controller.reconcilers.multiclusterservice import MultiClusterServiceReconciler
from mcs_controller.reconcilers.service_export import (
    ExportedSlicesReconciler,
    ServiceExportReconciler,
    ServiceExportSource,
)
from mcs_controller.reconcilers.service_import import ServiceImportReconciler
from mcs_controller.reconcilers.service_status import ServiceStatusReconciler, StatusAggregator
from mcs_controller.runtime.controller import Controller, enqueue_object
from mcs_controller.runtime.reconcile import ClusterRequest
from workqueue import LOW

if TYPE_CHECKING:
    from collections.abc import Iterable

    from informers.cache.cached_client import CachedClient
    from informers.cache.event import Event
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.work import Work
    from mcs_controller.context import ControllerContext
    from mcs_controller.runtime.reconcile import Request


COLLECT_WORKERS = 3
"""Slices collected at once; upstream fixes the number."""


EXPORT_WORKERS = 3
"""ServiceExports looked at at once; upstream fixes the number."""


def start_multi_cluster_service(ctx: ControllerContext) -> None:
    """The three controllers behind the MultiClusterService gate, and the status that they share."""
    if not serves_multi_cluster_services(ctx.options):
        return
    enabled = ctx.options.controllers
    services = ctx.cached(resources.MULTICLUSTERSERVICES, SERVICE_INDEXES)
    # A control plane may lack the kind for a while; the others must work. Whoever collects for ServiceExports waits as
    # well: a slice is withdrawn when no feature wants it, and what MultiClusterServices want is not known then.
    asking: list[Controller[Any]] = []
    board = StatusAggregator()
    propagating: tuple[MultiClusterServiceReconciler, Controller[Request]] | None = None
    if "multiclusterservice" in enabled:
        reconciler = MultiClusterServiceReconciler(
            multiclusterservices=services,
            services=ctx.services,
            bindings=ctx.bindings,
            works=ctx.works,
            clusters=ctx.clusters.store,
            board=board,
            slice_locks=ctx.slice_locks,
            binding_locks=ctx.binding_locks,
            recorder=ctx.recorder,
            new_id=new_id,
            reserved=ctx.options.reserved_objects,
        )
        controller = ctx.controller(wk.MCS_CONTROLLER, reconciler, workers=1)
        propagating = reconciler, controller
        asking.append(controller)
        controller.watch(services.informer, enqueue_object, content_changed)
        controller.watch(ctx.services.informer, reconciler.requests_for_service, service_changed)
        controller.watch(ctx.clusters.informer, reconciler.requests_for_cluster, cluster_changed)
        controller.watch(ctx.bindings.informer, reconciler.requests_for_binding, content_changed)
        controller.watch(ctx.works.informer, multiclusterservice.requests_for_work, content_changed)
    dispatcher: EndpointSliceDispatchReconciler | None = None
    if "endpointsliceDispatch" in enabled:
        turns = ReconcileMutex[ClusterRequest]()
        dispatcher = EndpointSliceDispatchReconciler(
            works=ctx.slice_works,
            services=services.store,
            clusters=ctx.clusters.store,
            templates=ctx.services.store,
            board=board,
            new_id=new_id,
            turns=turns,
            policy=DispatchPolicy(
                strip_topology=ctx.options.strip_topology, withdraw_after=ctx.options.withdraw_not_ready_after
            ),
            clock=ctx.clock,
            slice_locks=ctx.slice_locks,
            execution=ctx.local_execution,
        )
        dispatch = ctx.controller(wk.DISPATCH_CONTROLLER, dispatcher, workers=ctx.options.concurrent_work_syncs)
        asking.append(dispatch)
        turns.set_queue(dispatch.enqueue)
        dispatch.watch(ctx.works.informer, dispatcher.requests_for_work, content_changed)
        dispatch.watch(services.informer, dispatcher.requests_for_service, content_changed)
        dispatch.watch(ctx.clusters.informer, dispatcher.requests_for_cluster, cluster_changed)
        dispatch.watch(ctx.services.informer, dispatcher.requests_for_template, service_changed)
    if "endpointsliceCollect" in enabled:
        asking += _start_collect(ctx, services, board)
        if dispatcher is not None:
            slice_collection(ctx).collector.set_dispatcher(dispatcher)
        if propagating is not None:
            _report_unsynced_providers(ctx, *propagating)
    if "multiclusterservice" in enabled or "endpointsliceDispatch" in enabled:
        asking.append(_start_status(ctx, services, board, propagating))
    ctx.manager.require_only_for(services.informer, *asking)


def _start_status(
    ctx: ControllerContext,
    services: CachedClient[MultiClusterService],
    board: StatusAggregator,
    propagating: tuple[MultiClusterServiceReconciler, Controller[Request]] | None,
) -> Controller[Request]:
    watches = slice_collection(ctx).watches if "endpointsliceCollect" in ctx.options.controllers else None
    reconciler = ServiceStatusReconciler(
        board=board,
        services=services,
        works=ctx.works.store,
        clusters=ctx.clusters.store,
        bindings=ctx.bindings.store if propagating is not None else None,
        templates=ctx.services.store,
        own=watches,
        recorder=ctx.recorder,
        clock=ctx.clock,
    )
    status = ctx.controller(wk.STATUS_CONTROLLER, reconciler, workers=1)
    # What is reported on a new service comes within some milliseconds, and makes one write together.
    board.subscribe(lambda service: status.enqueue_after(service, STATUS_DELAY_SECONDS))
    status.watch(ctx.works.informer, service_status.requests_for_work, debounce_seconds=STATUS_DELAY_SECONDS)
    if propagating is None:
        return status
    status.watch(ctx.bindings.informer, service_status.requests_for_binding, debounce_seconds=STATUS_DELAY_SECONDS)
    if watches is not None:
        watches.add_queue(status, reconciler.requests_for_slice)

        def look_again(cluster: str) -> None:
            for request in propagating[0].requests_in(cluster) if reconciler.watches_slices(cluster) else ():
                status.enqueue(request, LOW)

        watches.on_synced(look_again)
        watches.on_problem(look_again)
    return status


def slice_collection(ctx: ControllerContext) -> SliceCollection:
    """The collection of slices. The first feature that collects starts it; each registers what it wants."""
    if ctx.collection is None:
        ctx.collection = _start_slice_collection(ctx)
    return ctx.collection


def _start_slice_collection(ctx: ControllerContext) -> SliceCollection:
    """The provider watches, and the one controller that makes and refreshes collected Works."""
    watches = ProviderInformers(ctx.members, clock=ctx.clock, sync_timeout=ctx.options.cluster_cache_sync_timeout)
    clusters = ctx.clusters.store
    collector = SliceCollector(
        works=ctx.slice_works,
        watches=watches,
        new_id=new_id,
        turns=ctx.slice_locks,
        owns=lambda cluster: ctx.sync_modes.owns(cluster, clusters.get(ObjectKey("", cluster))),
        leaving=lambda cluster: is_leaving(clusters.get(ObjectKey("", cluster))),
    )
    controller = ctx.controller(wk.COLLECT_QUEUE, collector, workers=COLLECT_WORKERS)
    watches.add_slice_queue(controller)
    ctx.slice_locks.set_queue(controller.enqueue)
    ctx.manager.add_runnable(watches, needs_leader=True)
    controller.watch(ctx.works.informer, collector.requests_for_work, content_changed)
    controller.watch(ctx.clusters.informer, collector.requests_for_cluster, cluster_changed)
    return SliceCollection(watches, collector, controller)


def _start_collect(
    ctx: ControllerContext, services: CachedClient[MultiClusterService], board: StatusAggregator
) -> tuple[Controller[Any], ...]:
    _, collector, slices = slice_collection(ctx)
    source = MultiClusterServiceSource(works=ctx.works.store, services=services.store, board=board)
    collector.register_source(source)
    slices.watch(ctx.works.informer, source.requests_for_work, content_changed)
    slices.watch(services.informer, source.requests_for_service, content_changed)
    reconciler, collect = follow_providers(ctx)
    # A provider that is taken off and named again at once keeps the Work that asks for its slices: no event of that.
    collect.watch(services.informer, reconciler.requests_for_service, content_changed)
    return slices, collect


def _report_unsynced_providers(
    ctx: ControllerContext, reconciler: MultiClusterServiceReconciler, controller: Controller[Request]
) -> None:
    """Services say which of their providers' slices cannot be listed."""
    watches = slice_collection(ctx).watches
    reconciler.set_sync_problem_source(watches.problem)

    def look_again(cluster: str) -> None:
        for request in reconciler.requests_in(cluster):
            controller.enqueue(request, LOW)

    watches.on_problem(look_again)


def follow_providers(ctx: ControllerContext) -> tuple[EndpointSliceCollectReconciler, Controller[Request]]:
    """The controller that begins the provider watches that Works ask for, and has each service compared as a whole."""
    watches, _, slices = slice_collection(ctx)
    reconciler = EndpointSliceCollectReconciler(works=ctx.works.store, watches=watches, enqueue_slice=slices.enqueue)
    collect = ctx.controller(wk.COLLECT_CONTROLLER, reconciler, workers=ctx.options.concurrent_work_syncs)
    collect.watch(ctx.works.informer, reconciler.requests_for_work, content_changed)
    collect.watch(ctx.clusters.informer, reconciler.requests_for_cluster, cluster_changed)

    def compare_all(cluster: str) -> None:
        for request in reconciler.requests_in(cluster):
            collect.enqueue(request, LOW)

    watches.on_synced(compare_all)
    return reconciler, collect


def start_service_export(ctx: ControllerContext) -> None:
    """Exported slices into the control plane, and the Services that are made of them there."""
    enabled = ctx.options.controllers
    if "serviceExport" in enabled:
        _start_export(ctx)
    if "endpointSlice" in enabled:
        slices = ctx.cached(resources.ENDPOINTSLICES, IMPORTED_INDEXES)
        works = ctx.cached(resources.WORKS, IMPORT_WORK_INDEXES)
        reconciler = EndpointSliceImportReconciler(works=works, slices=slices, slice_locks=ctx.slice_locks)
        importer = ctx.controller(wk.SLICE_IMPORT_CONTROLLER, reconciler, workers=ctx.options.concurrent_work_syncs)
        importer.watch(works.informer, endpointslice_import.requests_for_work, content_changed)
        importer.watch(slices.informer, reconciler.requests_for_slice, slice_changed)
        importer.watch(ctx.cached(resources.NAMESPACES).informer, reconciler.requests_for_namespace)
    if "serviceImport" in enabled:
        imports = ctx.cached(resources.SERVICEIMPORTS)
        derivation = ServiceImportReconciler(
            imports=imports.store,
            services=ctx.services,
            recorder=ctx.recorder,
            reserved=ctx.options.reserved_objects,
        )
        controller = ctx.controller(wk.SERVICE_IMPORT_CONTROLLER, derivation, workers=1)
        controller.watch(imports.informer, derivation.requests_for_import, content_changed)
        controller.watch(ctx.services.informer, derivation.requests_for_service, service_changed)


def _start_export(ctx: ControllerContext) -> None:
    works = ctx.cached(resources.WORKS, EXPORT_WORK_INDEXES)
    slice_watches, collector, slices = slice_collection(ctx)
    watches = MemberInformers(
        ctx.members,
        resources.SERVICEEXPORTS,
        clock=ctx.clock,
        sync_timeout=ctx.options.cluster_cache_sync_timeout,
    )
    ctx.manager.add_runnable(watches, needs_leader=True)
    reserved = ctx.options.reserved_objects
    collector.register_source(ServiceExportSource(exports=watches, clusters=ctx.clusters.store, reserved=reserved))

    comparer = ExportedSlicesReconciler(works=works.store, slices=slice_watches, enqueue_slice=slices.enqueue)
    exports = ctx.controller(wk.EXPORT_QUEUE, comparer, workers=EXPORT_WORKERS)
    # That one is there is all that matters.
    watches.add_queue(
        exports, requests_in, lambda event: event.old is None or event.new is None or event.old is event.new
    )

    reconciler = ServiceExportReconciler(
        works=works.store,
        exports=watches,
        slices=slice_watches,
        enqueue_export=exports.enqueue,
        recorder=ctx.recorder if not ctx.sync_modes.is_agent else None,
        reserved=reserved,
    )
    controller = ctx.controller(wk.EXPORT_CONTROLLER, reconciler, workers=ctx.options.concurrent_work_syncs)
    controller.watch(works.informer, reconciler.requests_for_work, asking_changed)
    controller.watch(ctx.clusters.informer, lambda event: reconciler.requests_in(event.object.name), cluster_changed)

    def compare_all(cluster: str) -> None:
        for request in reconciler.requests_in(cluster):
            controller.enqueue(request)
        for export in comparer.requests_in(watches, cluster):
            exports.enqueue(export)

    watches.on_synced(compare_all)
    slice_watches.on_synced(compare_all)


def start_agent(ctx: ControllerContext) -> None:
    """What an agent does for MultiClusterServices, and what it says about itself."""
    ctx.manager.add_runnable(SyncModeLogger(ctx.clusters.informer, ctx.sync_modes), needs_leader=False)
    if not ctx.options.feature_gates.enabled(MULTI_CLUSTER_SERVICE):
        return
    if "endpointsliceCollect" in ctx.options.controllers:
        source = RequestedSource(works=ctx.works.store)
        _, collector, slices = slice_collection(ctx)
        collector.register_source(source)

        def look_later(event: Event[Work]) -> Iterable[ClusterRequest]:
            for request in source.left_behind(event):
                slices.enqueue_after(request, LEFTOVERS_SECONDS)
            return ()

        slices.watch(ctx.works.informer, look_later, content_changed)
        follow_providers(ctx)
