"""How each controller is connected to caches, to its queue, and to other controllers.

`start_controllers` is the whole of it: it makes what several controllers share, and gives it to each that is enabled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from informers.meta import ObjectKey
from mcs_controller.api import resources
from mcs_controller.context import STATUS_DELAY_SECONDS, new_id
from mcs_controller.controllers import SERVICE_CONTROLLERS
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.availability import families_of
from mcs_controller.domain.clusters import is_leaving
from mcs_controller.domain.dispatch import DispatchPolicy
from mcs_controller.domain.import_slices import IMPORT_WORK_INDEXES, IMPORTED_INDEXES
from mcs_controller.domain.indexes import SERVICE_INDEXES
from mcs_controller.domain.serviceexport import EXPORT_WORK_INDEXES, asking_changed
from mcs_controller.flows import by_execution_namespace, by_member, by_namespace, by_service
from mcs_controller.members.informers import MemberInformers, requests_in
from mcs_controller.members.provider_informers import ProviderInformers
from mcs_controller.members.sync_mode import SyncModeLogger
from mcs_controller.metrics import PropagationHistogram
from mcs_controller.predicates import (
    cluster_changed,
    content_changed,
    endpoints_in_use_changed,
    service_changed,
    slice_changed,
)
from mcs_controller.reconcilers import endpointslice_import, service_status
from mcs_controller.reconcilers.agent_demand import LEFTOVERS_SECONDS, RequestedSource
from mcs_controller.reconcilers.endpoint_selection import EndpointSelection
from mcs_controller.reconcilers.endpointslice import EndpointSliceReconciler
from mcs_controller.reconcilers.endpointslice_collect import (
    EndpointSliceCollectReconciler,
    MultiClusterServiceSource,
    ServiceWithdrawal,
    SliceCollection,
)
from mcs_controller.reconcilers.endpointslice_dispatch import SliceDispatch
from mcs_controller.reconcilers.endpointslice_import import EndpointSliceImportReconciler, ImportedSlices
from mcs_controller.reconcilers.multiclusterservice import MultiClusterServiceReconciler
from mcs_controller.reconcilers.propagation import PropagationTimes
from mcs_controller.reconcilers.service_export import (
    ExportedSlicesReconciler,
    ServiceExportReconciler,
    ServiceExportSource,
)
from mcs_controller.reconcilers.service_import import ServiceImportReconciler
from mcs_controller.reconcilers.service_status import ServiceStatusReconciler, StatusAggregator
from mcs_controller.runtime.controller import Controller, enqueue_object
from mcs_controller.tracing.reconcilers import TracedSlices
from workqueue import LOW

if TYPE_CHECKING:
    from collections.abc import Iterable

    from informers.cache.cached_client import CachedClient
    from informers.cache.event import Event
    from mcs_controller.api.multicluster import ServiceExport
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.work import Work
    from mcs_controller.context import ControllerContext
    from mcs_controller.domain.availability import Families
    from mcs_controller.reconcilers.endpointslice_collect import CollectSource
    from mcs_controller.runtime.reconcile import ClusterRequest, Reconciler, Request


COLLECT_WORKERS = 3
"""Slices of one provider collected at once where none is dispatched; upstream fixes the number, for all of them."""


EXPORT_WORKERS = 3
"""ServiceExports of one member looked at at once; upstream fixes the number, for all of them."""


_WRITE_SLICES = SERVICE_CONTROLLERS | {"serviceExport", "endpointSlice", "cluster"}
"""The controllers that write collected and dispatched Works, all through one writer."""


class _Served(NamedTuple):
    """The parts that the controllers of MultiClusterServices share.

    Attributes:
        services: all MultiClusterServices.
        aggregator: where outcomes are reported, for the status.
        withdrawal: leads from services that end to what was collected for them, if their controller runs here.
        selection: which providers' endpoints each consumer is offered.
    """

    services: CachedClient[MultiClusterService]
    aggregator: StatusAggregator
    withdrawal: ServiceWithdrawal | None
    selection: EndpointSelection


class _Propagation(NamedTuple):
    reconciler: MultiClusterServiceReconciler
    controller: Controller[Request]


def start_controllers(ctx: ControllerContext) -> None:
    """The controllers of MultiClusterServices and ServiceExports, as far as the flags enable them."""
    agent, sync_timeout = ctx.sync_modes.is_agent, ctx.options.cluster_cache_sync_timeout
    collects = "endpointsliceCollect" in ctx.enabled
    providers: ProviderInformers | None = None
    if collects or "serviceExport" in ctx.enabled:
        providers = ProviderInformers(ctx.members, clock=ctx.clock, sync_timeout=sync_timeout)
        ctx.manager.add_runnable(providers, needs_leader=True)
    served: _Served | None = None
    if not agent and ctx.enabled & SERVICE_CONTROLLERS:
        served = _shared_by_services(ctx, providers if collects else None)
    exports: MemberInformers[ServiceExport] | None = None
    if "serviceExport" in ctx.enabled:
        exports = MemberInformers(
            ctx.members,
            resources.SERVICEEXPORTS,
            clock=ctx.clock,
            sync_timeout=sync_timeout,
        )
        ctx.manager.add_runnable(exports, needs_leader=True)
    imported: ImportedSlices | None = None
    if "endpointSlice" in ctx.enabled:
        works = ctx.cached(resources.WORKS, IMPORT_WORK_INDEXES)
        imported = ImportedSlices(
            works=works.store,
            slices=ctx.cached(resources.ENDPOINTSLICES, IMPORTED_INDEXES),
            reserved=ctx.options.reserved_objects,
            addresses=ctx.options.address_rules,
            propagated_only=ctx.options.propagated_exports_only or "execution" in ctx.enabled,
        )

    service_controllers: list[Controller[Any]] = []
    if ctx.enabled & _WRITE_SLICES:
        service_controllers.append(_start_slices(ctx, served, providers, exports, imported))
    if collects and providers is not None:
        service_controllers.append(_start_collect(ctx, served, providers))
    if served is not None:
        own = providers if collects else None
        if "endpointsliceDispatch" in ctx.enabled:
            service_controllers.append(_start_selection(ctx, served, own))
        propagation = _start_services(ctx, served, served.withdrawal, own) if served.withdrawal is not None else None
        if propagation is not None:
            service_controllers.append(propagation.controller)
        if propagation is not None or "endpointsliceDispatch" in ctx.enabled:
            service_controllers.append(_start_status(ctx, served, own, propagation))
        # A control plane may lack the kind for a while; the others must work. The slices wait as well: one is withdrawn
        # when no feature wants it, and what MultiClusterServices want is not known then.
        ctx.manager.require_only_for(served.services.informer, *service_controllers)
    if exports is not None and providers is not None:
        _start_export(ctx, exports, providers)
    if imported is not None:
        _start_import(ctx, imported)
    if "serviceImport" in ctx.enabled:
        _start_service_import(ctx)
    if agent:
        ctx.manager.add_runnable(SyncModeLogger(ctx.clusters.informer, ctx.sync_modes), needs_leader=False)


def _shared_by_services(ctx: ControllerContext, own: ProviderInformers | None) -> _Served:
    services, aggregator = ctx.cached(resources.MULTICLUSTERSERVICES, SERVICE_INDEXES), StatusAggregator()
    selection = EndpointSelection(
        services=services.store,
        works=ctx.works.store,
        clusters=ctx.clusters.store,
        namespaces=ctx.cached(resources.NAMESPACES).store,
        own=own,
        templates=ctx.services.store,
        flags=ctx.options.selection_defaults,
        policy=_dispatch_policy(ctx),
        enqueue_slice=ctx.slice_requests.send,
        clock=ctx.clock,
    )
    if "multiclusterservice" not in ctx.enabled:
        return _Served(services, aggregator, None, selection)
    withdrawal = ServiceWithdrawal(
        works=ctx.works.store,
        services=services.store,
        clusters=ctx.clusters.store,
        aggregator=aggregator,
        reserved=ctx.options.reserved_objects,
        enqueue_slice=ctx.slice_requests.send,
    )
    return _Served(services, aggregator, withdrawal, selection)


def _dispatch_policy(ctx: ControllerContext) -> DispatchPolicy:
    options = ctx.options
    return DispatchPolicy(
        strip_topology=options.strip_topology,
        withdraw_after=options.withdraw_not_ready_after,
        addresses=options.address_rules,
    )


def _start_slices(
    ctx: ControllerContext,
    served: _Served | None,
    providers: ProviderInformers | None,
    exports: MemberInformers[ServiceExport] | None,
    imported: ImportedSlices | None,
) -> Controller[ClusterRequest]:
    """The one writer of collected and dispatched Works. Which of its parts it has is for the flags to say."""
    clusters, options = ctx.clusters.store, ctx.options
    withdrawal = served.withdrawal if served is not None else None
    dispatch: SliceDispatch | None = None
    if served is not None and "endpointsliceDispatch" in ctx.enabled:
        pairs = PropagationHistogram(ctx.metrics.registry, options.metrics_service_pairs)
        ctx.clusters.informer.add_handler(pairs.forget_deleted, name="propagation metrics")
        dispatch = SliceDispatch(
            works=ctx.slice_works,
            services=served.services.store,
            clusters=clusters,
            templates=ctx.services.store,
            aggregator=served.aggregator,
            new_id=new_id,
            policy=_dispatch_policy(ctx),
            propagation=PropagationTimes(pairs.pair, ctx.clock),
            selection=served.selection,
            clock=ctx.clock,
        )
    sources: list[CollectSource] = []
    services: MultiClusterServiceSource | None = None
    requested: RequestedSource | None = None
    if served is not None and "endpointsliceCollect" in ctx.enabled:
        services = MultiClusterServiceSource(
            works=ctx.works.store, services=served.services.store, aggregator=served.aggregator
        )
        sources.append(services)
    elif "endpointsliceCollect" in ctx.enabled:
        requested = RequestedSource(works=ctx.works.store)
        sources.append(requested)
    elif withdrawal is not None:
        sources.append(withdrawal)
    if exports is not None:
        sources.append(ServiceExportSource(exports=exports, clusters=clusters, reserved=options.reserved_objects))

    def collects(name: str) -> bool:
        return providers is not None and ctx.sync_modes.owns(name, clusters.get(ObjectKey("", name)))

    def leaving(name: str) -> bool:
        return is_leaving(clusters.get(ObjectKey("", name))) and ("cluster" in ctx.enabled or collects(name))

    collection = SliceCollection(
        works=ctx.slice_works,
        slices=providers.slices if providers is not None else lambda _: None,
        sources=sources,
        withdrawal=withdrawal,
        collects=collects,
        leaving=leaving,
        new_id=new_id,
    )
    reconciler: Reconciler[ClusterRequest] = EndpointSliceReconciler(
        works=ctx.slice_works,
        collection=collection,
        dispatch=dispatch,
        imported=imported,
        execution=ctx.local_execution,
        outdated=ctx.outdated_works,
    )
    name = wk.DISPATCH_CONTROLLER if dispatch is not None else wk.SLICE_COLLECT_CONTROLLER
    workers = options.concurrent_work_syncs if dispatch is not None else COLLECT_WORKERS
    slices = providers.slices if providers is not None else lambda _: None
    flow = by_service(slices)
    if ctx.tracer is not None:
        reconciler = TracedSlices(reconciler, ctx.tracer, slices=slices, works=ctx.works.store)
    controller = ctx.controller(name, reconciler, workers=workers, flow=flow)
    ctx.slice_requests.connect(controller.enqueue)
    if providers is not None:
        providers.add_slice_queue(controller)
    works = ctx.works.informer
    controller.watch(ctx.clusters.informer, collection.requests_for_cluster, cluster_changed)
    if dispatch is not None and served is not None:
        works.add_handler(ctx.outdated_works.observe, name="Works that went back")
        controller.watch(works, dispatch.requests_for_work, content_changed)
        controller.watch(served.services.informer, dispatch.requests_for_service, content_changed)
        controller.watch(ctx.clusters.informer, dispatch.requests_for_cluster, cluster_changed)
        controller.watch(ctx.services.informer, dispatch.requests_for_template, service_changed)
    else:
        controller.watch(works, collection.requests_for_work, content_changed)
    if services is not None and served is not None:
        controller.watch(works, services.requests_for_work, content_changed)
        controller.watch(served.services.informer, services.requests_for_service, content_changed)
    if requested is not None:
        source = requested

        def look_later(event: Event[Work]) -> Iterable[ClusterRequest]:
            for request in source.orphaned_by(event):
                controller.enqueue_after(request, LEFTOVERS_SECONDS)
            return ()

        controller.watch(works, look_later, content_changed)
    return controller


def _start_selection(
    ctx: ControllerContext, served: _Served, providers: ProviderInformers | None
) -> Controller[Request]:
    """Which providers' endpoints each consumer is offered, of services that have tiers."""
    selection = served.selection
    controller = ctx.controller(wk.SELECTION_CONTROLLER, selection, workers=1, flow=by_namespace)
    controller.watch(served.services.informer, enqueue_object, content_changed)
    controller.watch(ctx.cached(resources.NAMESPACES).informer, selection.requests_for_namespace, content_changed)
    controller.watch(ctx.clusters.informer, selection.requests_for_cluster, cluster_changed)
    controller.watch(ctx.services.informer, selection.requests_for_template, service_changed)
    controller.watch(ctx.works.informer, selection.requests_for_work, content_changed, urgent=endpoints_in_use_changed)
    if providers is not None:
        providers.add_queue(controller, selection.requests_for_slice, slice_changed, urgent=endpoints_in_use_changed)

        def look_again(cluster: str) -> None:
            for request in selection.requests_in(cluster):
                controller.enqueue(request, LOW)

        providers.on_synced(look_again)
        providers.on_problem(look_again)
    return controller


def _start_collect(ctx: ControllerContext, served: _Served | None, providers: ProviderInformers) -> Controller[Request]:
    """The controller that begins the provider watches that Works ask for, and has each service compared as a whole."""
    reconciler = EndpointSliceCollectReconciler(
        works=ctx.works.store, watches=providers, enqueue_slice=ctx.slice_requests.send
    )
    workers = ctx.options.concurrent_work_syncs
    collect = ctx.controller(wk.COLLECT_CONTROLLER, reconciler, workers=workers, flow=by_execution_namespace)
    collect.watch(ctx.works.informer, reconciler.requests_for_work, content_changed)
    collect.watch(ctx.clusters.informer, reconciler.requests_for_cluster, cluster_changed)

    def compare_all(cluster: str) -> None:
        for request in reconciler.requests_in(cluster):
            collect.enqueue(request, LOW)

    providers.on_synced(compare_all)
    if served is not None:
        # A provider that is taken off and named again at once keeps the Work that asks for its slices: no event of it.
        collect.watch(served.services.informer, reconciler.requests_for_service, content_changed)
    return collect


def _start_services(
    ctx: ControllerContext, served: _Served, withdrawal: ServiceWithdrawal, providers: ProviderInformers | None
) -> _Propagation:
    """What MultiClusterServices ask of the control plane."""
    reconciler = MultiClusterServiceReconciler(
        multiclusterservices=served.services,
        services=ctx.services,
        bindings=ctx.bindings,
        works=ctx.works,
        clusters=ctx.clusters.store,
        aggregator=served.aggregator,
        withdraw_slice=withdrawal.withdraw,
        binding_locks=ctx.binding_locks,
        problem_of=providers.problem if providers is not None else lambda _: None,
        recorder=ctx.recorder,
        new_id=new_id,
        reserved=ctx.options.reserved_objects,
    )
    controller = ctx.controller(wk.MCS_CONTROLLER, reconciler, workers=1, flow=by_namespace)
    controller.watch(served.services.informer, enqueue_object, content_changed)
    controller.watch(ctx.services.informer, reconciler.requests_for_service, service_changed)
    controller.watch(ctx.clusters.informer, reconciler.requests_for_cluster, cluster_changed)
    controller.watch(ctx.bindings.informer, reconciler.requests_for_binding, content_changed)
    controller.watch(ctx.works.informer, reconciler.requests_for_work, content_changed)

    def look_again(cluster: str) -> None:
        for request in reconciler.requests_in(cluster):
            controller.enqueue(request, LOW)

    if providers is not None:
        providers.on_problem(look_again)  # services say which of their providers' slices cannot be listed
    return _Propagation(reconciler, controller)


def _start_status(
    ctx: ControllerContext, served: _Served, providers: ProviderInformers | None, propagation: _Propagation | None
) -> Controller[Request]:
    """The conditions of MultiClusterServices, which sum up what all of their controllers report."""

    def families(consumer: str, service: Request) -> Families:
        executing = ctx.local_execution
        found = executing.find_service(consumer, *service) if executing is not None else None
        return families_of(found.get("spec")) if found is not None else None

    reconciler = ServiceStatusReconciler(
        aggregator=served.aggregator,
        services=served.services,
        works=ctx.works.store,
        clusters=ctx.clusters.store,
        bindings=ctx.bindings.store if propagation is not None else None,
        templates=ctx.services.store,
        own=providers,
        selection=served.selection if "endpointsliceDispatch" in ctx.enabled else None,
        is_silent=lambda cluster: (
            ctx.freshness is not None and ctx.freshness.is_stale(cluster, resources.ENDPOINTSLICES.plural)
        ),
        families=families,
        recorder=ctx.recorder,
        clock=ctx.clock,
    )
    status = ctx.controller(wk.STATUS_CONTROLLER, reconciler, workers=1, flow=by_namespace)
    # What is reported on a new service comes within some milliseconds, and makes one write together.
    served.aggregator.subscribe(lambda service: status.enqueue_after(service, STATUS_DELAY_SECONDS))
    served.selection.subscribe(lambda service: status.enqueue_after(service, STATUS_DELAY_SECONDS))
    status.watch(ctx.works.informer, service_status.requests_for_work, debounce_seconds=STATUS_DELAY_SECONDS)
    ctx.show_services(served.services)
    if propagation is None:
        return status
    status.watch(ctx.bindings.informer, service_status.requests_for_binding, debounce_seconds=STATUS_DELAY_SECONDS)
    if providers is not None:
        providers.add_queue(status, reconciler.requests_for_slice)

        def look_again(cluster: str) -> None:
            for request in propagation.reconciler.requests_in(cluster) if reconciler.watches_slices(cluster) else ():
                status.enqueue(request, LOW)

        providers.on_synced(look_again)
        providers.on_problem(look_again)

        def tell_age(cluster: str, plural: str) -> None:
            if plural == resources.ENDPOINTSLICES.plural:
                for request in propagation.reconciler.requests_in(cluster):
                    status.enqueue(request, LOW)

        if ctx.freshness is not None:
            ctx.freshness.on_change(tell_age)
    return status


def _start_export(
    ctx: ControllerContext, exports: MemberInformers[ServiceExport], providers: ProviderInformers
) -> None:
    """Which ServiceExports of members are followed, and the comparison of each with what was collected for it."""
    works = ctx.cached(resources.WORKS, EXPORT_WORK_INDEXES)
    comparer = ExportedSlicesReconciler(works=works.store, slices=providers, enqueue_slice=ctx.slice_requests.send)
    comparing = ctx.controller(wk.EXPORTED_SLICES_CONTROLLER, comparer, workers=EXPORT_WORKERS, flow=by_member)
    # That one is there is all that matters.
    exports.add_queue(
        comparing, requests_in, lambda event: event.old is None or event.new is None or event.old is event.new
    )
    reconciler = ServiceExportReconciler(
        works=works.store,
        exports=exports,
        slices=providers,
        enqueue_export=comparing.enqueue,
        recorder=ctx.recorder if not ctx.sync_modes.is_agent else None,
        reserved=ctx.options.reserved_objects,
    )
    workers = ctx.options.concurrent_work_syncs
    controller = ctx.controller(wk.EXPORT_CONTROLLER, reconciler, workers=workers, flow=by_execution_namespace)
    controller.watch(works.informer, reconciler.requests_for_work, asking_changed)
    controller.watch(ctx.clusters.informer, lambda event: reconciler.requests_in(event.object.name), cluster_changed)

    def compare_all(cluster: str) -> None:
        for request in reconciler.requests_in(cluster):
            controller.enqueue(request)
        for export in comparer.requests_in(exports, cluster):
            comparing.enqueue(export)

    exports.on_synced(compare_all)
    providers.on_synced(compare_all)


def _start_import(ctx: ControllerContext, imported: ImportedSlices) -> None:
    """EndpointSlices of the control plane from what was collected for ServiceExports."""
    works, slices = ctx.cached(resources.WORKS), ctx.cached(resources.ENDPOINTSLICES)
    reconciler = EndpointSliceImportReconciler(
        imported=imported, works=works, slices=slices, enqueue_slice=ctx.slice_requests.send
    )
    workers = ctx.options.concurrent_work_syncs
    importer = ctx.controller(wk.SLICE_IMPORT_CONTROLLER, reconciler, workers=workers, flow=by_execution_namespace)
    importer.watch(works.informer, endpointslice_import.requests_for_work, content_changed)
    importer.watch(works.informer, imported.requests_for_exports)
    importer.watch(slices.informer, imported.requests_for_slice, slice_changed)
    importer.watch(ctx.cached(resources.NAMESPACES).informer, reconciler.requests_for_namespace)


def _start_service_import(ctx: ControllerContext) -> None:
    """Derived Services from ServiceImports."""
    imports = ctx.cached(resources.SERVICEIMPORTS)
    reconciler = ServiceImportReconciler(
        imports=imports.store,
        services=ctx.services,
        recorder=ctx.recorder,
        reserved=ctx.options.reserved_objects,
    )
    controller = ctx.controller(wk.SERVICE_IMPORT_CONTROLLER, reconciler, workers=1, flow=by_namespace)
    controller.watch(imports.informer, reconciler.requests_for_import, content_changed)
    controller.watch(ctx.services.informer, reconciler.requests_for_service, service_changed)
