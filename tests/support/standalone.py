"""The stand-alone controllers, wired as in production, over real API servers and with the rights of the manifests."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from unittest import mock

from prometheus_client import CollectorRegistry

from informers import ApiClient, ClientConfig, StaticToken
from mcs_controller.context import ControllerContext
from mcs_controller.members.registry import MemberClusters
from mcs_controller.metrics import Metrics
from mcs_controller.options import Options, command
from mcs_controller.reconcilers.retries import RETRY_SECONDS, Retries
from mcs_controller.runtime.events import EventBroadcaster
from mcs_controller.runtime.manager import Manager
from mcs_controller.standalone import start
from testbed.access import ClusterAccess
from workqueue.clock import RealClock

USER_AGENT = "mcs-controller-manager/standalone-test"
CLUSTER_FLAGS = (
    "--controllers=cluster,clusterStatus,namespace,scheduler",
    "--cluster-status-update-frequency=500ms",
    "--cluster-success-threshold=1ms",
)
"""A probe has no more time than there is between two of them: what fails on a busy machine is not believed at once."""
AT_ONCE = "--cluster-failure-threshold=1ms"
"""For tests in which a member that was ready ceases to be."""
NO_NAMESPACES = "--skipped-propagating-namespaces=.*"
PROPAGATION_FLAGS = ("--controllers=binding,execution,bindingStatus",)


@asynccontextmanager
async def standalone_controllers(
    access: ClusterAccess, *flags: str, retry_seconds: float = RETRY_SECONDS
) -> AsyncIterator[MemberClusters]:
    """Run those that the flags name while the block lasts; gives the members that they talk to."""
    clock, registry = RealClock(), CollectorRegistry()
    config = ClientConfig(server=access.server, ca_pem=access.ca_pem, token_source=StaticToken(access.token))
    options = Options.of(command("test", "0", "").main(args=list(flags), prog_name="test", standalone_mode=False))
    async with ApiClient(config, clock=clock, user_agent=USER_AGENT) as host:
        manager = Manager(clock=clock, registry=registry, grace_seconds=1.0)
        events = EventBroadcaster(host, clock=clock)
        manager.add_runnable(events, needs_leader=False)
        ctx = ControllerContext(
            options,
            manager,
            host,
            clock=clock,
            rng=random.Random(),
            user_agent=USER_AGENT,
            recorder=events.for_component("test"),
            metrics=Metrics(registry),
        )
        with (
            mock.patch.object(start, "Retries", partial(Retries, retry_seconds=retry_seconds)),
            mock.patch.object(start, "STATUS_DELAY_SECONDS", 0.0),
        ):
            ctx.local_execution = start.start_standalone(ctx)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(manager.run())
            yield ctx.members
            manager.stop()
