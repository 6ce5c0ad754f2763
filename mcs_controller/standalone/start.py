"""Which stand-alone controller watches what: those that do the work of Karmada's own.

Continues `wiring`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from informers.cache.cached_client import CachedResource
from mcs_controller.api import resources
from mcs_controller.domain import clusters
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.indexes import SERVICE_INDEXES
from mcs_controller.predicates import cluster_changed, content_changed
from mcs_controller.runtime.controller import enqueue_object
from mcs_controller.runtime.reconcile import Request
from mcs_controller.standalone.domain import binding as binding_rules
from mcs_controller.standalone.domain import policy as policy_rules
from mcs_controller.standalone.domain.cluster_status import Thresholds
from mcs_controller.standalone.domain.scheduling import PLACED_BINDING_INDEXES
from mcs_controller.standalone.reconcilers import (
    binding,
    binding_status,
    cluster,
    cluster_status,
    execution,
    member_ownership,
    namespace_sync,
    policy,
    scheduler,
    stale_objects,
)
from mcs_controller.standalone.served_kinds import ServedKinds
from mcs_controller.standalone.templates import Templates
from mcs_controller.start import STATUS_DELAY_SECONDS, new_id, serves_multi_cluster_services
from workqueue import LOW, at_priority

if TYPE_CHECKING:
    from collections.abc import Iterable

    from informers.cache.event import Event
    from mcs_controller.api.common import Unstructured
    from mcs_controller.api.work import Work
    from mcs_controller.runtime.controller import Controller
    from mcs_controller.start import Execution, Wiring


def wire_standalone(wiring: Wiring) -> None:
    """The controllers that do what Karmada's own would do."""
    options, enabled = wiring.options, wiring.options.controllers
    if "cluster" in enabled:
        namespaces = wiring.cached(resources.NAMESPACES)
        works = wiring.cached(resources.WORKS, clusters.EXECUTION_WORK_INDEXES)
        bindings = wiring.cached(resources.RESOURCEBINDINGS, clusters.SCHEDULED_BINDING_INDEXES)
        controller = wiring.controller(
            wk.CLUSTER_CONTROLLER,
            cluster.ClusterReconciler(
                clusters=wiring.clusters,
                namespaces=namespaces,
                works=works,
                bindings=bindings.store,
                collecting=wiring.collecting,
                recorder=wiring.recorder,
                clock=wiring.clock,
            ),
            workers=options.concurrent_cluster_syncs,
        )
        controller.watch(wiring.clusters.informer, cluster.requests_for_cluster, cluster.cluster_changed)
        controller.watch(namespaces.informer, cluster.requests_for_namespace)
        controller.watch(bindings.informer, cluster.requests_for_binding)
    if "clusterStatus" in enabled:
        probes = wiring.controller(
            wk.CLUSTER_STATUS_CONTROLLER,
            cluster_status.ClusterStatusReconciler(
                clusters=wiring.clusters,
                members=wiring.members,
                clock=wiring.clock,
                rng=wiring.rng,
                metrics=wiring.metrics.clusters,
                recorder=wiring.recorder,
                thresholds=Thresholds(options.cluster_success_threshold, options.cluster_failure_threshold),
                frequency_seconds=options.cluster_status_update_frequency,
                charge=wiring.charge,
            ),
            workers=options.concurrent_cluster_syncs,
        )
        probes.watch(wiring.clusters.informer, cluster_status.requests_for_cluster, cluster_status.cluster_changed)

        def probe(name: str) -> None:
            probes.enqueue(cluster_status.request_for_member(name))

        wiring.members.add_listener(joined=lambda member: probe(member.name), left=probe)
    if "namespace" in enabled:
        namespaces = wiring.cached(resources.NAMESPACES)
        sync = wiring.controller(
            wk.NAMESPACE_SYNC_CONTROLLER,
            namespace_sync.NamespaceSyncReconciler(
                namespaces=namespaces.store,
                clusters=wiring.clusters.store,
                works=wiring.works,
                new_id=new_id,
                skipped=options.skipped_propagating_namespaces,
            ),
            workers=options.concurrent_namespace_syncs,
        )
        sync.watch(namespaces.informer, namespace_sync.requests_for_namespace(namespaces.store))
        sync.watch(
            wiring.clusters.informer,
            namespace_sync.requests_for_cluster(namespaces.store),
            namespace_sync.cluster_appeared,
        )
        sync.watch(wiring.works.informer, namespace_sync.requests_for_work, namespace_sync.work_changed)
    templates = Templates(
        wiring.host, wiring.informers, ServedKinds(wiring.host, clock=wiring.clock), clock=wiring.clock
    )
    if "policy" in enabled or "binding" in enabled:
        wiring.manager.add_runnable(templates, needs_leader=True)
    if "policy" in enabled:
        _wire_policy(wiring, templates)
    if "scheduler" in enabled:
        bindings = wiring.cached(resources.RESOURCEBINDINGS, PLACED_BINDING_INDEXES)
        schedule = wiring.controller(
            wk.DEFAULT_SCHEDULER,
            scheduler.SchedulerReconciler(
                bindings=bindings,
                clusters=wiring.clusters.store,
                recorder=wiring.recorder,
                clock=wiring.clock,
                alone=wiring.alone,
            ),
            workers=1,
        )
        schedule.watch(bindings.informer, enqueue_object, scheduler.binding_changed)
        schedule.watch(wiring.clusters.informer, scheduler.requests_for_cluster(bindings.store), cluster_changed)
    _wire_propagation(wiring, templates)


def _wire_policy(wiring: Wiring, templates: Templates) -> None:
    """From a policy and a template to a binding that can be scheduled."""
    options = wiring.options
    policies = wiring.cached(resources.PROPAGATIONPOLICIES, policy_rules.POLICY_INDEXES)
    bindings = wiring.cached(resources.RESOURCEBINDINGS, policy_rules.BINDING_INDEXES)
    detector = wiring.controller(
        wk.RESOURCE_DETECTOR,
        policy.ResourceDetector(
            policies=policies.store,
            bindings=bindings,
            templates=templates,
            recorder=wiring.recorder,
            new_id=new_id,
            skipped=options.skipped_propagating_namespaces,
            alone=wiring.alone,
            reserved=options.reserved_objects,
        ),
        workers=options.concurrent_resourcebinding_syncs,
    )
    detector.watch(bindings.informer, policy.requests_for_binding, content_changed)
    reconciler = policy.PolicyReconciler(
        policies=policies,
        bindings=bindings.store,
        templates=templates,
        recorder=wiring.recorder,
        new_id=new_id,
        skipped=options.skipped_propagating_namespaces,
        enqueue_template=detector.enqueue,
        reserved=options.reserved_objects,
    )
    controller = wiring.controller(wk.POLICY_CONTROLLER, reconciler, workers=1)
    controller.watch(policies.informer, enqueue_object, content_changed)
    controller.watch(bindings.informer, reconciler.requests_for_marks, content_changed)
    # An installation that uses no policies may lack the kind; the rest must work.
    wiring.manager.set_apart(policies.informer, detector, controller)
    policy.follow_templates(
        templates,
        bindings.store,
        reconciler,
        enqueue_template=detector.enqueue,
        enqueue_policy=controller.enqueue,
    )


def _wire_propagation(wiring: Wiring, templates: Templates) -> None:
    """From a scheduled binding to objects in members, and back."""
    options, enabled = wiring.options, wiring.options.controllers
    if "binding" in enabled:
        works = wiring.cached(resources.WORKS, binding_rules.WORK_INDEXES)
        bindings = wiring.cached(resources.RESOURCEBINDINGS, binding_rules.BINDING_INDEXES)
        binder = binding.BindingReconciler(
            bindings=bindings,
            works=works,
            services=wiring.services.store,
            templates=templates,
            recorder=wiring.recorder,
            new_id=new_id,
            clock=wiring.clock,
            alone=wiring.alone,
            metrics=wiring.metrics.propagation,
        )
        controller = wiring.controller(wk.BINDING_CONTROLLER, binder, workers=options.concurrent_resourcebinding_syncs)
        controller.watch(bindings.informer, enqueue_object, content_changed)
        controller.watch(works.informer, binding.requests_for_work, binding.work_changed)
        # No predicate: a binding may wait for a Service's version in which nothing but the status is new.
        controller.watch(wiring.services.informer, binder.requests_for_template)
        binding.follow_templates(templates, binder, controller.enqueue)
    if wiring.execution is not None:
        executor, objects, _, turns = wiring.execution
        works = wiring.cached(resources.WORKS)
        controller = wiring.controller(wk.EXECUTION_CONTROLLER, executor, workers=options.concurrent_work_syncs)
        turns.feed(controller.enqueue)
        controller.watch(works.informer, enqueue_object, execution.work_changed)
        controller.watch(wiring.clusters.informer, executor.requests_for_cluster, execution.cluster_changed)
        execution.follow_members(objects, executor, controller.enqueue)
        _wire_ownership(wiring, wiring.execution, controller)
    if "bindingStatus" in enabled:
        works = wiring.cached(resources.WORKS, binding_rules.WORK_INDEXES)
        bindings = wiring.cached(resources.RESOURCEBINDINGS, binding_rules.BINDING_INDEXES)
        balancers = wiring.informers.informer(
            binding_status.LOADBALANCERS, field_selector=binding_status.LOADBALANCER_SELECTOR
        )
        reflector = binding_status.BindingStatusReconciler(
            bindings=bindings,
            works=works.store,
            loadbalancers=CachedResource(wiring.host, balancers),
            recorder=wiring.recorder,
            clock=wiring.clock,
            alone=wiring.alone,
        )
        controller = wiring.controller(
            wk.BINDING_STATUS_CONTROLLER, reflector, workers=options.concurrent_resourcebinding_syncs
        )
        # A new binding is scheduled, and its Works are applied, within some milliseconds: told in one write, and after
        # the scheduler's own.
        for_a_while = STATUS_DELAY_SECONDS
        controller.watch(bindings.informer, enqueue_object, gather_seconds=for_a_while)
        controller.watch(works.informer, binding.requests_for_work, gather_seconds=for_a_while)
        controller.watch(balancers, reflector.requests_for_service, gather_seconds=for_a_while)


def _wire_ownership(wiring: Wiring, execution_: Execution, executing: Controller[Request]) -> None:
    """Whose the members are, and what is left in them of Works that are gone."""
    options, clusters_ = wiring.options, wiring.clusters
    executor, objects, ownerships, _ = execution_
    owning = wiring.controller(wk.OWNERSHIP_CONTROLLER, ownerships, workers=options.concurrent_cluster_syncs)
    ownerships.feed(owning.enqueue)
    owning.watch(clusters_.informer, ownerships.requests_for_cluster, member_ownership.cluster_changed)

    def connection_changed(name: str) -> None:
        owning.enqueue(Request("", name))

    wiring.members.add_listener(joined=lambda member: connection_changed(member.name), left=connection_changed)

    works = wiring.cached(resources.WORKS)
    coming: stale_objects.WorksToCome | None = None
    if not wiring.charge.is_agent and serves_multi_cluster_services(options):
        services = wiring.cached(resources.MULTICLUSTERSERVICES, SERVICE_INDEXES)
        coming = stale_objects.WorksToCome(wiring.works.store, wiring.bindings.informer, services.informer)
    stale = stale_objects.StaleObjectsReconciler(
        clusters=clusters_,
        works=works,
        host=wiring.host,
        objects=objects,
        ownerships=ownerships,
        recorder=wiring.recorder,
        clock=wiring.clock,
        charge=wiring.charge,
        coming=coming,
    )
    comparing = wiring.controller(wk.STALE_OBJECTS_CONTROLLER, stale, workers=1)
    comparing.watch(clusters_.informer, stale.requests_for_cluster, stale_objects.cluster_changed)

    def owner_known(name: str) -> None:
        with at_priority(LOW):
            for request in executor.requests_for_cluster_name(name):
                executing.enqueue(request)
        comparing.enqueue(Request("", name))

    ownerships.subscribe(owner_known)

    def object_changed(name: str, event: Event[Unstructured]) -> None:
        for request in stale.requests_for_object(name, event):
            comparing.enqueue_after(request, stale_objects.VANISHED_SECONDS)

    objects.subscribe(changed=object_changed, available=lambda name: comparing.enqueue(Request("", name), LOW))

    def look_later(event: Event[Work]) -> Iterable[Request]:
        if (cluster_ := executor.vanished(event)) is not None:
            for request in stale.requests_for_vanished(cluster_):
                comparing.enqueue_after(request, stale_objects.VANISHED_SECONDS)
        return ()

    comparing.watch(works.informer, look_later)
