"""Which controller of the ServiceExport and ServiceImport path watches what.

Continues `wiring`. None of the three needs a feature gate (contract 3.0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcs_controller.api import resources
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.import_slices import IMPORT_WORK_INDEXES, IMPORTED_INDEXES
from mcs_controller.domain.serviceexport import EXPORT_WORK_INDEXES, asking_changed
from mcs_controller.members.informers import MemberWatches
from mcs_controller.predicates import cluster_changed, content_changed, service_changed, slice_changed
from mcs_controller.reconcilers import endpointslice_import
from mcs_controller.reconcilers.endpointslice_import import EndpointSliceImportReconciler
from mcs_controller.reconcilers.service_export import (
    ExportedSlicesReconciler,
    ServiceExportDemand,
    ServiceExportReconciler,
)
from mcs_controller.reconcilers.service_import import ServiceImportReconciler

if TYPE_CHECKING:
    from mcs_controller.start import Wiring

EXPORT_WORKERS = 3
"""ServiceExports looked at at once; upstream fixes the number."""


def wire_service_export(wiring: Wiring) -> None:
    """Exported slices into the control plane, and the Services that are made of them there."""
    enabled = wiring.options.controllers
    if "serviceExport" in enabled:
        _wire_export(wiring)
    if "endpointSlice" in enabled:
        slices = wiring.cached(resources.ENDPOINTSLICES, IMPORTED_INDEXES)
        works = wiring.cached(resources.WORKS, IMPORT_WORK_INDEXES)
        reconciler = EndpointSliceImportReconciler(works=works, slices=slices, collecting=wiring.collecting)
        importer = wiring.controller(
            wk.SLICE_IMPORT_CONTROLLER, reconciler, workers=wiring.options.concurrent_work_syncs
        )
        importer.watch(works.informer, endpointslice_import.requests_for_work, content_changed)
        importer.watch(slices.informer, reconciler.requests_for_slice, slice_changed)
        importer.watch(wiring.cached(resources.NAMESPACES).informer, reconciler.requests_for_namespace)
    if "serviceImport" in enabled:
        imports = wiring.cached(resources.SERVICEIMPORTS)
        derivation = ServiceImportReconciler(
            imports=imports.store,
            services=wiring.services,
            recorder=wiring.recorder,
            reserved=wiring.options.reserved_objects,
        )
        controller = wiring.controller(wk.SERVICE_IMPORT_CONTROLLER, derivation, workers=1)
        controller.watch(imports.informer, derivation.requests_for_import, content_changed)
        controller.watch(wiring.services.informer, derivation.requests_for_service, service_changed)


def _wire_export(wiring: Wiring) -> None:
    works = wiring.cached(resources.WORKS, EXPORT_WORK_INDEXES)
    slice_watches, collector, slices = wiring.collection
    watches = MemberWatches(
        wiring.members,
        resources.SERVICEEXPORTS,
        clock=wiring.clock,
        sync_timeout=wiring.options.cluster_cache_sync_timeout,
        # That one is there is all that matters.
        changed=lambda event: event.old is None or event.new is None or event.old is event.new,
    )
    wiring.manager.add_runnable(watches, needs_leader=True)
    reserved = wiring.options.reserved_objects
    collector.serve(ServiceExportDemand(exports=watches, clusters=wiring.clusters.store, reserved=reserved))

    comparer = ExportedSlicesReconciler(works=works.store, slices=slice_watches, enqueue_slice=slices.enqueue)
    exports = wiring.controller(wk.EXPORT_QUEUE, comparer, workers=EXPORT_WORKERS)
    watches.feed(exports)

    reconciler = ServiceExportReconciler(
        works=works.store,
        exports=watches,
        slices=slice_watches,
        enqueue_export=exports.enqueue,
        recorder=wiring.recorder if not wiring.charge.is_agent else None,
        reserved=reserved,
    )
    controller = wiring.controller(wk.EXPORT_CONTROLLER, reconciler, workers=wiring.options.concurrent_work_syncs)
    controller.watch(works.informer, reconciler.requests_for_work, asking_changed)
    controller.watch(wiring.clusters.informer, lambda event: reconciler.requests_in(event.object.name), cluster_changed)

    def compare_all(cluster: str) -> None:
        for request in reconciler.requests_in(cluster):
            controller.enqueue(request)
        for export in comparer.requests_in(watches, cluster):
            exports.enqueue(export)

    watches.on_synced(compare_all)
    slice_watches.on_synced(compare_all)
