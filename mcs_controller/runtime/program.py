"""A process of controllers for one API server, put together as most need it.

    async with connect("my-controller", lease_namespace="my-namespace") as program:
        mine = program.cached(MY_KIND)
        controller = program.controller(MyReconciler(mine))
        controller.watch(mine.informer, enqueue_object)
        await program.run()

Nothing here does anything of its own. A process with wishes of its own, such as flags or several API servers, puts the
same parts together by hand: `mcs_controller.app` is one.
"""

from __future__ import annotations

import logging
import os
import random
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from informers import ApiClient, CachedClient, InformerFactory, load_incluster, load_kubeconfig
from mcs_controller.runtime.controller import Controller
from mcs_controller.runtime.events import EventBroadcaster
from mcs_controller.runtime.leader_election import LeaderElectionConfig, LeaderElector, default_identity
from mcs_controller.runtime.logging import setup_logging
from mcs_controller.runtime.manager import Manager
from mcs_controller.runtime.metrics import RuntimeMetrics, add_process_metrics
from mcs_controller.runtime.signals import stop_on_signals
from mcs_controller.runtime.write_log import WriteLog
from workqueue import RealClock, TokenBucket, default_controller_rate_limiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from informers import Indexers, Resource
    from mcs_controller.runtime.controller import R, T
    from mcs_controller.runtime.events import Recorder
    from mcs_controller.runtime.reconcile import Reconciler
    from workqueue import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The parts of a process, of which none runs yet. Not thread-safe. Made by :func:`connect`.

    Attributes:
        name: of the process: the user agent of its requests, and its Lease.
        client: for reads and writes that go past the caches. It has the limit that :func:`connect` was given; retries
            and first lists are limited where they are made.
        informers: what is asked for here before :meth:`run` is filled before anything works.
        manager: for probes, runnables, and kinds that an installation may lack.
        recorder: of events, which `kubectl describe` shows. Needs the rights to create and patch `events`.
        clock: of everything here.
        metrics: of everything here.
        registry: where they are, and where others may be put; what `manager` serves.
    """

    name: str
    client: ApiClient
    informers: InformerFactory
    manager: Manager
    recorder: Recorder
    clock: Clock
    metrics: RuntimeMetrics
    registry: CollectorRegistry

    def cached(
        self,
        resource: Resource[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexers: Indexers[T] | None = None,
    ) -> CachedClient[T]:
        """The objects of one kind, in one namespace or all, kept in memory by a watch; and writes of them.

        Asked for twice with the same selection it is one watch and one copy, with the indexes of both.

        Args:
            resource: the kind.
            namespace: only this one; empty means all.
            label_selector: only objects whose labels match.
            field_selector: only objects whose fields match. What is written here is then seen when the watch tells.
            indexers: by name, functions from an object to the values by which `store.by_index` finds it.

        Raises:
            ValueError: a bad label selector, or another index of the same name.
        """
        informer = self.informers.informer(
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            indexers=indexers,
        )
        return CachedClient(self.client, informer)

    def controller(self, reconciler: Reconciler[R], name: str = "", *, workers: int = 1) -> Controller[R]:
        """A controller that runs while this process leads. It still has to be told what to watch.

        Args:
            reconciler: asked once for each request.
            name: for logs and metrics, different for each; by default that of the process.
            workers: how many requests are reconciled at a time.

        Raises:
            ValueError: no workers, or there is a controller of that name.
        """
        controller = Controller(
            name or self.name,
            reconciler,
            clock=self.clock,
            rate_limiter=default_controller_rate_limiter(clock=self.clock),
            metrics=self.metrics.controllers,
            queue_metrics=self.metrics.queues,
            workers=workers,
        )
        self.manager.add_controller(controller)
        return controller

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT. Logs to standard error, unless logging is set up already.

        To be called once, in the main thread. Raises what :meth:`Manager.run` does.
        """
        if not logging.getLogger().handlers:
            setup_logging(2, "text", sys.stderr)
        with stop_on_signals(self.manager.stop):
            await self.manager.run()


@asynccontextmanager
async def connect(
    name: str,
    *,
    lease_namespace: str,
    kubeconfig: str | None = None,
    health_address: str = "0",
    metrics_address: str = "0",
    qps: float | None = None,
    burst: int | None = None,
) -> AsyncIterator[Program]:
    """A program for one API server; leaving closes its connections. Makes no request but to obtain credentials.

    The Lease and the events are written past the limit: a burst of reconciles must not end the leadership, and what
    people are told must not delay what is done. (An object has a limit of its own for its events.)

    Args:
        name: of the program, and of its Lease.
        lease_namespace: where the Lease is; of the processes that share it one works.
        kubeconfig: a file, or several as in $KUBECONFIG. None means the service account inside of a pod, and elsewhere
            $KUBECONFIG or `~/.kube/config`.
        health_address: where `/healthz` and `/readyz` are answered, such as ":8080"; "0" for nowhere.
        metrics_address: the same for `/metrics`.
        qps: requests a second over time, of the client and the informers together, more urgent ones first; None for no
            limit of ours: API servers have their own (API Priority and Fairness). controller-runtime's is 20.
        burst: so many at once; twice the `qps` if None.

    Raises:
        ConfigError: there is no way to an API server.
        ValueError: an address is none, a name is empty, or a limit is not positive.
    """
    clock, rng, registry = RealClock(), random.Random(), CollectorRegistry()
    limiter = None
    if qps is not None:
        limiter = TokenBucket(qps, max(1, round(2 * qps)) if burst is None else burst, clock=clock)
    elif burst is not None:
        raise ValueError(f"a burst of {burst} without qps limits nothing")
    metrics = RuntimeMetrics(registry)
    add_process_metrics(registry)
    lease = LeaderElectionConfig(namespace=lease_namespace, name=name, identity=default_identity())
    if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        config = load_incluster(clock=clock)
    else:
        config = await load_kubeconfig(kubeconfig, clock=clock)
    async with (
        ApiClient(
            config, clock=clock, metrics=metrics.client, user_agent=name, limiter=limiter, on_write=WriteLog()
        ) as client,
        ApiClient(config, clock=clock, metrics=metrics.client, user_agent=name) as unlimited,
    ):
        informers = InformerFactory(client, clock=clock, rng=rng, metrics=metrics.informers)
        metrics.informer_families.show(informers, clock)
        events = EventBroadcaster(unlimited, clock=clock)
        manager = Manager(
            clock=clock,
            registry=registry,
            elector=LeaderElector(unlimited, lease, clock=clock, rng=rng, metrics=metrics.leader_election),
            health_address=health_address,
            metrics_address=metrics_address,
        )
        manager.add_informers(informers)
        manager.add_runnable(events, needs_leader=False)
        yield Program(
            name=name,
            client=client,
            informers=informers,
            manager=manager,
            recorder=events.for_component(name),
            clock=clock,
            metrics=metrics,
            registry=registry,
        )
