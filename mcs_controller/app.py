"""The composition root: from flags to a running process, and its exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import sys
import threading
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import click
from prometheus_client import CollectorRegistry

from informers.client.client import ApiClient
from informers.client.config import load_incluster, load_kubeconfig
from informers.errors import ConfigError
from mcs_controller import __version__
from mcs_controller.context import ControllerContext
from mcs_controller.controllers import AGENT_NAME
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.subjects import service_of_write
from mcs_controller.metrics import Metrics
from mcs_controller.options import InvalidOptions, Options, command
from mcs_controller.runtime.events import EventBroadcaster
from mcs_controller.runtime.freshness import Freshness
from mcs_controller.runtime.http import ListenError
from mcs_controller.runtime.leader_election import (
    LeaderElectionConfig,
    LeaderElector,
    LeadershipLost,
    default_identity,
)
from mcs_controller.runtime.logging import setup_logging
from mcs_controller.runtime.manager import Manager
from mcs_controller.runtime.signals import stop_on_signals
from mcs_controller.runtime.write_log import WriteLog
from mcs_controller.standalone.start import start_standalone
from mcs_controller.start import start_controllers
from mcs_controller.unserved import UnservedServices, why_unserved
from workqueue.clock import RealClock
from workqueue.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from informers.cache.factory import InformerFactory
    from informers.cache.informer import SharedInformer
    from informers.client.config import ClientConfig
    from mcs_controller.tracing.reconcilers import Tracer
    from workqueue.clock import Clock

_log = logging.getLogger(__name__)

NAME: Final = "mcs-controller-manager"

EXIT_FAILED: Final = 1
"""The process could not go on: lost lease, crashed controller, address in use."""

EXIT_USAGE: Final = 2
"""Flags, or the files that they name, cannot be worked with. Nothing was started."""

_EPILOG: Final = (
    "Exit codes: 0 stopped by SIGTERM or SIGINT; 1 could not go on, for example because the Lease was lost; "
    "2 flags or kubeconfig cannot be worked with."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the controller manager until it is told to stop.

    Args:
        argv: arguments without the program's name; None takes the process's own.

    Returns:
        The exit code.
    """
    try:
        values = command(NAME, __version__, _EPILOG).main(
            args=None if argv is None else list(argv), prog_name=NAME, standalone_mode=False
        )
        if not isinstance(values, dict):
            return 0  # --help and --version have said what they had to say
        options = Options.of(values)
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except click.exceptions.Abort:
        return EXIT_FAILED
    except InvalidOptions as error:
        return _refuse(error)
    setup_logging(options.v, "json" if options.logging_format == "json" else "text", sys.stderr)
    if options.ignored:
        _log.warning(
            "Ignored: these are for karmada-controller-manager and mean nothing here",
            extra={"flags": " ".join(options.ignored)},
        )
    try:
        asyncio.run(run(options))
    except (ConfigError, ListenError) as error:
        return _refuse(error)
    except LeadershipLost:
        _log.error("Lost the lease; exiting so that nothing is written that another leader may write")
        return EXIT_FAILED
    except Exception:
        _log.exception("Fatal error")
        return EXIT_FAILED
    return 0


async def run(options: Options) -> None:
    """Run everything that the options ask for, until a signal stops it.

    Raises:
        ConfigError: there is no way to the control plane, or to an agent's own cluster.
        LeadershipLost: another process may lead.
        ListenError: an address for probes or metrics cannot be used.
    """
    clock = RealClock()
    rng = random.Random()
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.show_features(options.feature_gates)
    user_agent = f"{AGENT_NAME if options.cluster_name else NAME}/{__version__}"
    config, own_member = await _api_servers(options, clock)
    async with AsyncExitStack() as stack:

        async def client(**more: Any) -> ApiClient:
            made = ApiClient(config, clock=clock, user_agent=user_agent, metrics=metrics.runtime.client, **more)
            return await stack.enter_async_context(made)

        # Without the limit: a burst of reconciles must not starve the renewal of the lease.
        unlimited = await client()
        elector = None
        lease_annotations: dict[str, str] = {}
        if options.leader_elect:
            election = LeaderElectionConfig(
                namespace=options.leader_elect_resource_namespace,
                name=options.leader_elect_resource_name,
                identity=default_identity(),
                lease_duration=options.leader_elect_lease_duration,
                renew_deadline=options.leader_elect_renew_deadline,
                retry_period=options.leader_elect_retry_period,
            )
            lease_annotations = {
                wk.LEADER: election.identity,
                wk.LEADER_VERSION: __version__,
                wk.LEADER_GATES: str(options.feature_gates),
                wk.LEADER_CONTROLLERS: ",".join(sorted(options.controllers.enabled)),
                wk.LEADER_STALE: "",
            }
            elector = LeaderElector(
                unlimited,
                election,
                clock=clock,
                rng=rng,
                metrics=metrics.runtime.leader_election,
                annotations=lease_annotations,
            )

        def may_write() -> bool:
            return elector is None or elector.is_leader

        tracer = await _start_tracing(stack, elector) if options.tracing else None

        def limit() -> TokenBucket:
            return TokenBucket(options.kube_api_qps, options.kube_api_burst, clock=clock)

        host = await client(
            limiter=limit(),
            may_write=may_write,
            on_write=WriteLog(service_of=service_of_write),
            tracing=tracer.requests() if tracer is not None else None,
        )
        # With a limit of their own: what people are told must not delay what is done.
        event_client = await client(limiter=limit())
        manager = Manager(
            clock=clock,
            registry=registry,
            elector=elector,
            health_address=options.health_probe_bind_address,
            metrics_address=options.metrics_bind_address,
            grace_seconds=options.shutdown_grace_period,
            sync_timeout=options.cluster_cache_sync_timeout,
            manifests="manifests/README.md",
        )
        events = EventBroadcaster(event_client, clock=clock)
        manager.add_runnable(events, needs_leader=False)
        required: list[SharedInformer[Any]] = []
        freshness = Freshness(
            metrics.runtime.informer_families.informers,
            required=required,
            clock=clock,
            publish=lambda stale: lease_annotations.update({wk.LEADER_STALE: stale}),
        )
        ctx = ControllerContext(
            options,
            manager,
            host,
            tracer=tracer,
            clock=clock,
            rng=rng,
            user_agent=user_agent,
            recorder=events.for_component(NAME),
            metrics=metrics,
            own_member=own_member,
            may_write=may_write,
            freshness=freshness,
        )
        manager.add_runnable(freshness, needs_leader=False)
        manager.add_ready_check("control-plane-confirmed", freshness.check)
        ctx.local_execution = start_standalone(ctx)
        start_controllers(ctx)
        ctx.announce()
        required += ctx.informers.informers  # those of the start
        if why := why_unserved(options):
            manager.add_runnable(UnservedServices(host, why, clock=clock), needs_leader=False)
        if options.status_page_bind_address not in ("", "0"):
            await _serve_status_page(ctx, elector, stack)
        # What was made until now lives as long as the process; the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        with stop_on_signals(manager.stop):
            await manager.run()


async def _start_tracing(stack: AsyncExitStack, elector: LeaderElector | None) -> Tracer:
    """Export spans until the stack is left; what is left then has two seconds to be sent."""
    from mcs_controller.tracing.spans import ChangeTracer, exporting, new_provider

    provider = exporting(new_provider(NAME, __version__, elector.config.identity if elector is not None else ""))

    async def shut_down() -> None:
        # In a thread that nobody waits for at the end: with nobody to send to it takes some seconds more.
        thread = threading.Thread(target=provider.shutdown, name="last spans", daemon=True)
        thread.start()
        await asyncio.to_thread(thread.join, 2.0)

    stack.push_async_callback(shut_down)
    _log.info("Tracing changes")
    return ChangeTracer(provider)


async def _serve_status_page(ctx: ControllerContext, elector: LeaderElector | None, stack: AsyncExitStack) -> None:
    """Serve it until the stack is left, also by a process that stands by."""
    # What nobody switches on takes no memory.
    from mcs_controller.features import FEATURES
    from mcs_controller.runtime.http import HttpServer
    from mcs_controller.statuspage.errors import RecentErrors
    from mcs_controller.statuspage.model import Gate, ProcessView
    from mcs_controller.statuspage.server import StatusPage

    options, clock, errors = ctx.options, ctx.clock, RecentErrors()
    logging.getLogger().addHandler(errors)
    stack.callback(logging.getLogger().removeHandler, errors)
    began = clock.monotonic()
    gates = tuple(Gate(name=one.name, enabled=options.feature_gates.enabled(one.name)) for one in FEATURES)

    def process() -> ProcessView:
        return ProcessView(
            name=AGENT_NAME if options.cluster_name else NAME,
            version=__version__,
            identity=elector.config.identity if elector is not None else "",
            leads=elector is None or elector.is_leader,
            leader=elector.holder if elector is not None else "",
            agent_of=options.cluster_name,
            uptime=clock.monotonic() - began,
            gates=gates,
            controllers=tuple(sorted(ctx.enabled)),
        )

    def members() -> dict[str, InformerFactory]:
        found = ctx.metrics.runtime.informer_families.factories()
        return {cluster: informers for cluster, informers in found.items() if cluster}

    page = StatusPage(
        process=process,
        informers=ctx.informers,
        clusters=members,
        errors=errors,
        clock=clock,
        unserved=why_unserved(options),
    )
    server = HttpServer("status page", options.status_page_bind_address, page.routes())
    await stack.enter_async_context(server)
    _log.info(
        "Serving the status page", extra={"addresses": ",".join(f"{host}:{port}" for host, port in server.addresses)}
    )


async def _api_servers(options: Options, clock: Clock) -> tuple[ClientConfig, ClientConfig | None]:
    """The control plane, and in an agent the cluster that it runs in."""
    around = await _local_config(options, clock)
    if not options.cluster_name:
        return around, None
    return await load_kubeconfig(options.karmada_kubeconfig, options.karmada_context or None, clock=clock), around


async def _local_config(options: Options, clock: Clock) -> ClientConfig:
    if not options.kubeconfig and not options.context and "KUBERNETES_SERVICE_HOST" in os.environ:
        return load_incluster(clock=clock)
    return await load_kubeconfig(options.kubeconfig or None, options.context or None, clock=clock)


def _refuse(error: Exception) -> int:
    click.echo(f"{NAME}: {error}", err=True)
    return EXIT_USAGE
