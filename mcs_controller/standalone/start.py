"""Start functions of the stand-alone controllers: their reconcilers and watches.

Continues `ctx`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from informers.cache.cached_client import CachedClient
from informers.errors import Forbidden, NotFound
from informers.rest_mapper import RESTMapper
from mcs_controller.api import resources
from mcs_controller.context import STATUS_DELAY_SECONDS, new_id
from mcs_controller.controllers import SERVICE_CONTROLLERS
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.indexes import SERVICE_INDEXES
from mcs_controller.flows import by_cluster, by_namespace, by_work
from mcs_controller.key_mutex import ReconcileMutex
from mcs_controller.predicates import cluster_changed, content_changed
from mcs_controller.reconcilers.retries import Retries
from mcs_controller.runtime.channel import Channel
from mcs_controller.runtime.controller import enqueue_object
from mcs_controller.runtime.reconcile import Request
from mcs_controller.standalone.domain import binding as binding_rules
from mcs_controller.standalone.domain import policy_claims
from mcs_controller.standalone.domain.cluster import EXECUTION_WORK_INDEXES, SCHEDULED_BINDING_INDEXES
from mcs_controller.standalone.domain.cluster_status import Thresholds
from mcs_controller.standalone.domain.execution import WORK_INDEXES
from mcs_controller.standalone.domain.member_ownership import IDENTITY_NAMESPACE
from mcs_controller.standalone.domain.policy_spec import PolicyLimits
from mcs_controller.standalone.domain.scheduling import PLACED_BINDING_INDEXES
from mcs_controller.standalone.member_objects import MemberObjectInformers
from mcs_controller.standalone.metrics import PrometheusClusterMetrics, PrometheusPropagationMetrics
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
from mcs_controller.standalone.templates import TemplateInformers
from mcs_controller.tracing.reconcilers import TracedExecution
from workqueue import LOW, at_priority

if TYPE_CHECKING:
    from collections.abc import Iterable

    from informers.cache.event import Event
    from mcs_controller.api.common import Unstructured
    from mcs_controller.api.work import Work
    from mcs_controller.context import ControllerContext
    from mcs_controller.reconcilers.endpointslice import LocalExecution
    from mcs_controller.runtime.controller import Controller
    from mcs_controller.standalone.metrics import PropagationMetrics


class _Execution(NamedTuple):
    """The execution controller's reconciler and what it shares with other controllers."""

    reconciler: execution.ExecutionReconciler
    objects: MemberObjectInformers
    ownerships: member_ownership.MemberOwnershipReconciler
    ownership_requests: Channel[Request]
    requests: Channel[Request]


def start_standalone(ctx: ControllerContext) -> LocalExecution | None:
    """Start the controllers that do what Karmada's own would do, as far as the flags name them.

    Returns:
        The execution controller of this process, for those who write ahead of it; None if it is not enabled.
    """
    options, enabled = ctx.options, ctx.options.controllers
    propagation = PrometheusPropagationMetrics(ctx.metrics.registry)
    cluster_metrics = PrometheusClusterMetrics(ctx.metrics.registry)
    if "cluster" in enabled:
        namespaces = ctx.cached(resources.NAMESPACES)
        works = ctx.cached(resources.WORKS, EXECUTION_WORK_INDEXES)
        bindings = ctx.cached(resources.RESOURCEBINDINGS, SCHEDULED_BINDING_INDEXES)
        controller = ctx.controller(
            wk.CLUSTER_CONTROLLER,
            cluster.ClusterReconciler(
                clusters=ctx.clusters,
                namespaces=namespaces,
                works=works,
                bindings=bindings.store,
                enqueue_slice=ctx.slice_requests.send,
                recorder=ctx.recorder,
                clock=ctx.clock,
            ),
            workers=options.concurrent_cluster_syncs,
            flow=None,
        )
        controller.watch(ctx.clusters.informer, cluster.requests_for_cluster, cluster.cluster_changed)
        controller.watch(namespaces.informer, cluster.requests_for_namespace)
        controller.watch(bindings.informer, cluster.requests_for_binding)
    if "clusterStatus" in enabled:
        probes = ctx.controller(
            wk.CLUSTER_STATUS_CONTROLLER,
            cluster_status.ClusterStatusReconciler(
                clusters=ctx.clusters,
                members=ctx.members,
                clock=ctx.clock,
                rng=ctx.rng,
                metrics=cluster_metrics,
                recorder=ctx.recorder,
                thresholds=Thresholds(options.cluster_success_threshold, options.cluster_failure_threshold),
                frequency_seconds=options.cluster_status_update_frequency,
                sync_modes=ctx.sync_modes,
            ),
            workers=options.concurrent_cluster_syncs,
            flow=by_cluster,
        )
        probes.watch(ctx.clusters.informer, cluster_status.requests_for_cluster, cluster_status.cluster_changed)

        def probe(name: str) -> None:
            probes.enqueue(cluster_status.request_for_member(name))

        ctx.members.add_listener(joined=lambda member: probe(member.name), left=probe)
    if "namespace" in enabled:
        namespaces = ctx.cached(resources.NAMESPACES)
        sync = ctx.controller(
            wk.NAMESPACE_SYNC_CONTROLLER,
            namespace_sync.NamespaceSyncReconciler(
                namespaces=namespaces.store,
                clusters=ctx.clusters.store,
                works=ctx.works,
                new_id=new_id,
                skipped=options.skipped_propagating_namespaces,
            ),
            workers=options.concurrent_namespace_syncs,
            flow=None,
        )
        sync.watch(namespaces.informer, namespace_sync.requests_for_namespace(namespaces.store))
        sync.watch(
            ctx.clusters.informer,
            namespace_sync.requests_for_cluster(namespaces.store),
            namespace_sync.cluster_appeared,
        )
        sync.watch(ctx.works.informer, namespace_sync.requests_for_work, namespace_sync.work_changed)
    templates = TemplateInformers(ctx.host, ctx.informers, RESTMapper(ctx.host, clock=ctx.clock), clock=ctx.clock)
    if "policy" in enabled or "binding" in enabled:
        ctx.manager.add_runnable(templates, needs_leader=True)
    if "policy" in enabled:
        _start_policy(ctx, templates)
    if "scheduler" in enabled:
        bindings = ctx.cached(resources.RESOURCEBINDINGS, PLACED_BINDING_INDEXES)
        schedule = ctx.controller(
            wk.DEFAULT_SCHEDULER,
            scheduler.SchedulerReconciler(
                bindings=bindings,
                clusters=ctx.clusters.store,
                recorder=ctx.recorder,
                clock=ctx.clock,
                binding_locks=ctx.binding_locks,
            ),
            workers=1,
            flow=by_namespace,
        )
        schedule.watch(bindings.informer, enqueue_object, scheduler.binding_changed)
        schedule.watch(ctx.clusters.informer, scheduler.requests_for_cluster(bindings.store), cluster_changed)
    executing = _new_execution(ctx, propagation) if "execution" in enabled else None
    _start_propagation(ctx, templates, propagation, executing)
    return executing.reconciler if executing is not None else None


def _new_execution(ctx: ControllerContext, metrics: PropagationMetrics) -> _Execution:
    objects = MemberObjectInformers(ctx.members, clock=ctx.clock)
    ctx.manager.add_runnable(objects, needs_leader=True)
    ownership_requests = Channel[Request]()
    ownerships = member_ownership.MemberOwnershipReconciler(
        enqueue=ownership_requests.send,
        clusters=ctx.clusters,
        members=ctx.members,
        control_plane=functools.partial(_own_uid, ctx),
        recorder=ctx.recorder,
        clock=ctx.clock,
        sync_modes=ctx.sync_modes,
    )
    requests = Channel[Request]()
    dispatches = "endpointsliceDispatch" in ctx.enabled and not ctx.sync_modes.is_agent
    reconciler = execution.ExecutionReconciler(
        works=ctx.cached(resources.WORKS, WORK_INDEXES),
        clusters=ctx.clusters.store,
        objects=objects,
        ownerships=ownerships,
        recorder=ctx.recorder,
        clock=ctx.clock,
        turns=ReconcileMutex(requests.send),
        find_namespace=execution.namespace_finder(ctx.host),
        retries=Retries(clock=ctx.clock, rng=ctx.rng, member_qps=ctx.options.cluster_api_qps),
        metrics=metrics,
        sync_modes=ctx.sync_modes,
        reserved=ctx.options.reserved_objects,
        outdated=ctx.outdated_works.wait_seconds if dispatches else lambda _: 0.0,
    )
    ctx.manager.add_runnable(reconciler, needs_leader=True)
    return _Execution(reconciler, objects, ownerships, ownership_requests, requests)


async def _own_uid(ctx: ControllerContext) -> str:
    """What this control plane is known by in its members; empty if it cannot be told.

    An agent asks for that one Namespace, since it may see no others.
    """
    if not ctx.sync_modes.is_agent:
        found = ctx.cached(resources.NAMESPACES).get("", IDENTITY_NAMESPACE)
        return found.metadata.uid if found is not None else ""
    try:
        return (await ctx.host.get(resources.NAMESPACES, IDENTITY_NAMESPACE)).metadata.uid
    except (Forbidden, NotFound):
        return ""


def _start_policy(ctx: ControllerContext, templates: TemplateInformers) -> None:
    """From a policy and a template to a binding that can be scheduled."""
    options = ctx.options
    limits = PolicyLimits(options.policy_kinds, options.reserved_objects)
    policies = ctx.cached(resources.PROPAGATIONPOLICIES, policy_claims.POLICY_INDEXES)
    bindings = ctx.cached(resources.RESOURCEBINDINGS, policy_claims.BINDING_INDEXES)
    detector = ctx.controller(
        wk.RESOURCE_DETECTOR,
        policy.ResourceDetector(
            policies=policies.store,
            bindings=bindings,
            templates=templates,
            recorder=ctx.recorder,
            new_id=new_id,
            skipped=options.skipped_propagating_namespaces,
            binding_locks=ctx.binding_locks,
            limits=limits,
        ),
        workers=options.concurrent_resourcebinding_syncs,
        flow=by_namespace,
    )
    detector.watch(bindings.informer, policy.requests_for_binding, content_changed)
    reconciler = policy.PolicyReconciler(
        policies=policies,
        bindings=bindings.store,
        templates=templates,
        recorder=ctx.recorder,
        new_id=new_id,
        skipped=options.skipped_propagating_namespaces,
        enqueue_template=detector.enqueue,
        limits=limits,
    )
    controller = ctx.controller(wk.POLICY_CONTROLLER, reconciler, workers=1, flow=by_namespace)
    controller.watch(policies.informer, enqueue_object, content_changed)
    controller.watch(bindings.informer, reconciler.requests_for_marks, content_changed)
    # An installation that uses no policies may lack the kind; the rest must work.
    ctx.manager.require_only_for(policies.informer, detector, controller)
    policy.follow_templates(
        templates,
        bindings.store,
        reconciler,
        enqueue_template=detector.enqueue,
        enqueue_policy=controller.enqueue,
    )


def _start_propagation(
    ctx: ControllerContext, templates: TemplateInformers, metrics: PropagationMetrics, executing: _Execution | None
) -> None:
    """From a scheduled binding to objects in members, and back."""
    options, enabled = ctx.options, ctx.options.controllers
    if "binding" in enabled:
        works = ctx.cached(resources.WORKS, binding_rules.WORK_INDEXES)
        bindings = ctx.cached(resources.RESOURCEBINDINGS, binding_rules.BINDING_INDEXES)
        binder = binding.BindingReconciler(
            bindings=bindings,
            works=works,
            services=ctx.services.store,
            templates=templates,
            recorder=ctx.recorder,
            new_id=new_id,
            clock=ctx.clock,
            binding_locks=ctx.binding_locks,
            metrics=metrics,
        )
        workers = options.concurrent_resourcebinding_syncs
        controller = ctx.controller(wk.BINDING_CONTROLLER, binder, workers=workers, flow=by_namespace)
        controller.watch(bindings.informer, enqueue_object, content_changed)
        controller.watch(works.informer, binding.requests_for_work, binding.work_changed)
        # No predicate: a binding may wait for a Service's version in which nothing but the status is new.
        controller.watch(ctx.services.informer, binder.requests_for_template)
        binding.follow_templates(templates, binder, controller.enqueue)
    if executing is not None:
        executor, objects, _, _, requests = executing
        works = ctx.cached(resources.WORKS)
        workers, flow = options.concurrent_work_syncs, by_work(works.store)
        traced = TracedExecution(executor, ctx.tracer) if ctx.tracer is not None else executor
        controller = ctx.controller(wk.EXECUTION_CONTROLLER, traced, workers=workers, flow=flow)
        requests.connect(controller.enqueue)
        controller.watch(works.informer, enqueue_object, execution.work_changed)
        controller.watch(ctx.clusters.informer, executor.requests_for_cluster, execution.cluster_changed)
        execution.follow_members(objects, executor, controller.enqueue)
        _start_ownership(ctx, executing, controller)
    if "bindingStatus" in enabled:
        works = ctx.cached(resources.WORKS, binding_rules.WORK_INDEXES)
        bindings = ctx.cached(resources.RESOURCEBINDINGS, binding_rules.BINDING_INDEXES)
        balancers = ctx.informers.informer(
            binding_status.LOADBALANCERS, field_selector=binding_status.LOADBALANCER_SELECTOR
        )
        reflector = binding_status.BindingStatusReconciler(
            bindings=bindings,
            works=works.store,
            loadbalancers=CachedClient(ctx.host, balancers),
            recorder=ctx.recorder,
            clock=ctx.clock,
            binding_locks=ctx.binding_locks,
        )
        controller = ctx.controller(
            wk.BINDING_STATUS_CONTROLLER, reflector, workers=options.concurrent_resourcebinding_syncs, flow=by_namespace
        )
        # A new binding is scheduled, and its Works are applied, within some milliseconds: told in one write, and after
        # the scheduler's own.
        for_a_while = STATUS_DELAY_SECONDS
        controller.watch(bindings.informer, enqueue_object, debounce_seconds=for_a_while)
        controller.watch(works.informer, binding.requests_for_work, debounce_seconds=for_a_while)
        controller.watch(balancers, reflector.requests_for_service, debounce_seconds=for_a_while)


def _start_ownership(ctx: ControllerContext, execution_: _Execution, executing: Controller[Request]) -> None:
    """Whose the members are, and what is left in them of Works that are gone."""
    clusters_ = ctx.clusters
    executor, objects, ownerships, ownership_requests, _ = execution_
    owning = ctx.controller(wk.OWNERSHIP_CONTROLLER, ownerships, workers=1, flow=by_cluster)
    ownership_requests.connect(owning.enqueue)
    owning.watch(clusters_.informer, ownerships.requests_for_cluster, member_ownership.cluster_changed)

    def connection_changed(name: str) -> None:
        owning.enqueue(Request("", name))

    ctx.members.add_listener(joined=lambda member: connection_changed(member.name), left=connection_changed)

    works = ctx.cached(resources.WORKS)
    coming: stale_objects.WorksToCome | None = None
    if not ctx.sync_modes.is_agent and ctx.enabled & SERVICE_CONTROLLERS:
        services = ctx.cached(resources.MULTICLUSTERSERVICES, SERVICE_INDEXES)
        coming = stale_objects.WorksToCome(ctx.works.store, ctx.bindings.informer, services.informer)
    stale = stale_objects.StaleObjectsReconciler(
        clusters=clusters_,
        works=works,
        host=ctx.host,
        objects=objects,
        ownerships=ownerships,
        recorder=ctx.recorder,
        clock=ctx.clock,
        sync_modes=ctx.sync_modes,
        coming=coming,
    )
    comparing = ctx.controller(wk.STALE_OBJECTS_CONTROLLER, stale, workers=1, flow=by_cluster)
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
