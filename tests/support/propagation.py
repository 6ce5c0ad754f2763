"""The binding, execution and binding status controllers over real API servers, with the rights of the manifests."""

from __future__ import annotations

import asyncio
import random
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from informers import ApiClient, CachedClient, ClientConfig, InformerFactory, StaticToken
from informers.rest_mapper import RESTMapper
from mcs_controller.api.resources import CLUSTERS, RESOURCEBINDINGS, SERVICES, WORKS
from mcs_controller.key_mutex import KeyMutex, ReconcileMutex
from mcs_controller.members.registry import MemberClusters
from mcs_controller.predicates import content_changed
from mcs_controller.reconcilers.retries import RETRY_SECONDS, Retries
from mcs_controller.runtime.controller import Controller, enqueue_object
from mcs_controller.runtime.events import EventBroadcaster
from mcs_controller.runtime.reconcile import Request
from mcs_controller.standalone.domain import binding as binding_rules
from mcs_controller.standalone.domain import execution as execution_rules
from mcs_controller.standalone.member_objects import MemberObjectInformers
from mcs_controller.standalone.reconcilers import binding, binding_status, execution
from mcs_controller.standalone.templates import TemplateInformers
from tests.support.execution import KnownOwnerships
from workqueue import default_controller_rate_limiter
from workqueue.clock import RealClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mcs_controller.runtime.reconcile import Reconciler
    from testbed.access import ClusterAccess
    from workqueue import RateLimiter

USER_AGENT = "mcs-controller-manager/propagation-test"


@asynccontextmanager
async def propagation(access: ClusterAccess, *, retry_seconds: float = RETRY_SECONDS) -> AsyncIterator[None]:
    """Run the three controllers while the block lasts."""
    clock, rng = RealClock(), random.Random()
    config = ClientConfig(server=access.server, ca_pem=access.ca_pem, token_source=StaticToken(access.token))
    async with ApiClient(config, clock=clock, user_agent=USER_AGENT) as host:
        factory = InformerFactory(host, clock=clock, rng=rng)
        clusters = factory.informer(CLUSTERS)
        services = factory.informer(SERVICES)
        works = CachedClient(
            host,
            factory.informer(WORKS, indexers={**binding_rules.WORK_INDEXES, **execution_rules.WORK_INDEXES}),
        )
        bindings = CachedClient(host, factory.informer(RESOURCEBINDINGS, indexers=binding_rules.BINDING_INDEXES))
        balancers = CachedClient(
            host,
            factory.informer(binding_status.LOADBALANCERS, field_selector=binding_status.LOADBALANCER_SELECTOR),
        )
        events = EventBroadcaster(host, clock=clock)
        recorder = events.for_component("test")
        members = MemberClusters(clusters, host, clock=clock, rng=rng, recorder=recorder, user_agent=USER_AGENT)
        templates = TemplateInformers(host, factory, RESTMapper(host, clock=clock), clock=clock)
        objects = MemberObjectInformers(members, clock=clock)

        def controller(name: str, reconciler: Reconciler[Request]) -> Controller[Request]:
            limiter: RateLimiter[Request] = default_controller_rate_limiter(clock=clock)
            return Controller(name, reconciler, clock=clock, rate_limiter=limiter, workers=5)

        alone = KeyMutex[Request]()
        binder = binding.BindingReconciler(
            bindings=bindings,
            works=works,
            services=services.store,
            templates=templates,
            recorder=recorder,
            new_id=lambda: str(uuid.uuid4()),
            clock=clock,
            binding_locks=alone,
        )
        binding_controller = controller("binding", binder)
        binding_controller.watch(bindings.informer, enqueue_object, content_changed)
        binding_controller.watch(works.informer, binding.requests_for_work, binding.work_changed)
        binding_controller.watch(services, binder.requests_for_template)
        binding.follow_templates(templates, binder, binding_controller.enqueue)
        turns = ReconcileMutex[Request]()
        executor = execution.ExecutionReconciler(
            works=works,
            clusters=clusters.store,
            objects=objects,
            ownerships=KnownOwnerships(),
            recorder=recorder,
            clock=clock,
            turns=turns,
            find_namespace=execution.namespace_finder(host),
            retries=Retries(clock=clock, rng=rng, member_qps=40.0, retry_seconds=retry_seconds),
        )
        execution_controller = controller("execution", executor)
        turns.set_queue(execution_controller.enqueue)
        execution_controller.watch(works.informer, enqueue_object, execution.work_changed)
        execution_controller.watch(clusters, executor.requests_for_cluster, execution.cluster_changed)
        execution.follow_members(objects, executor, execution_controller.enqueue)
        reflector = binding_status.BindingStatusReconciler(
            bindings=bindings,
            works=works.store,
            loadbalancers=balancers,
            recorder=recorder,
            clock=clock,
            binding_locks=alone,
        )
        status_controller = controller("bindingStatus", reflector)
        status_controller.watch(bindings.informer, enqueue_object)
        status_controller.watch(works.informer, binding.requests_for_work)
        status_controller.watch(balancers.informer, reflector.requests_for_service)

        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(factory.run()), tasks.create_task(events.run())]
            await factory.wait_synced()
            controllers = (binding_controller, execution_controller, status_controller)
            running += [tasks.create_task(one.run()) for one in (members, objects, templates, *controllers)]
            yield
            for task in running:
                task.cancel()
