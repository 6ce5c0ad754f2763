"""`mcsctl connectivity test`: a service of its own between two members, as a proof of the installation."""

from __future__ import annotations

import asyncio
import secrets
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from informers.errors import KubeError
from mcs_controller.api.resources import CLUSTERS
from mcs_controller.diagnosis import world as w
from mcs_controller.domain import well_known as wk
from mcs_controller.mcsctl.access import Access, AccessOptions
from mcs_controller.mcsctl.doctor import exit_code
from mcs_controller.mcsctl.doctor import run as run_doctor
from mcs_controller.mcsctl.join import POLL_SECONDS, say
from mcs_controller.mcsctl.main import EXIT_HEALTHY
from mcs_controller.mcsctl.objects import apply, delete, find, list_all
from mcs_controller.mcsctl.probing import ProbeOptions
from mcs_controller.mcsctl.seconds import SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcs_controller.mcsctl.access import Plane

SERVER: Final = "server"
CLIENT: Final = "client"
_CLEANUP_SECONDS: Final = 60.0


@click.group("connectivity")
def command() -> None:
    """Tests of an installation by a service of their own."""


@command.command("test")
@click.option("--provider", default="", metavar="CLUSTER", help="Default: the first that is Ready.")
@click.option("--consumer", default="", metavar="CLUSTER", help="Default: the next that is Ready.")
@click.option("--image", default="nginx", show_default=True, help="Of the server.")
@click.option("--port", default=80, show_default=True, help="On which that serves HTTP.")
@click.option("--client-image", default="curlimages/curl", show_default=True, help="Has sh, sleep and curl.")
@click.option("--traffic/--no-traffic", default=True, show_default=True, help="Send requests from the consumer, too.")
@click.option("--wait", "wait_seconds", type=SECONDS, default=120.0, show_default=True, help="For each step.")
@click.pass_obj
def test(
    options: dict[str, Any],
    provider: str,
    consumer: str,
    image: str,
    port: int,
    client_image: str,
    traffic: bool,
    wait_seconds: float,
) -> int:
    r"""Deploy a server in one member and a client in another, connect them, and remove everything again.

    In a namespace of its own: Pods and a Service with a MultiClusterService, endpoints that arrive in the consumer, a
    diagnosis without findings, requests that are answered, scaling, removal. Nothing is left, also if it fails or is
    interrupted.

    \b
    Examples:
      mcsctl connectivity test
      mcsctl connectivity test --provider member1 --consumer member2 --image registry.local/nginx
      mcsctl connectivity test --no-traffic          # to the EndpointSlices of the consumer
    """
    wanted = _Wanted(provider=provider, consumer=consumer, image=image, port=port, client_image=client_image)
    try:
        return asyncio.run(_test(AccessOptions(**options), wanted, wait_seconds, traffic=traffic))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    provider: str
    consumer: str
    image: str
    port: int
    client_image: str


async def _test(options: AccessOptions, wanted: _Wanted, seconds: float, *, traffic: bool) -> int:
    # Whoever ends us wants the namespace to be removed, as with Ctrl-C, which background jobs of scripts ignore.
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with Access(options) as access:
        host = await access.host()
        provider, consumer = await _members(access, wanted)
        trial = _Trial(
            options=options,
            host=host,
            provider=provider,
            consumer=consumer,
            namespace=f"mcs-connectivity-{secrets.token_hex(4)}",
            seconds=seconds,
            wanted=wanted,
        )
        try:
            await trial.deploy()
            await trial.passes(traffic=traffic)
        finally:
            await trial.remove()
    say("everything works" if traffic else "everything works as far as it was tried: no traffic was sent")
    return EXIT_HEALTHY


async def _members(access: Access, wanted: _Wanted) -> tuple[Plane, Plane]:
    host = (await access.host()).client
    clusters = {one.name: one for one in (await host.list(CLUSTERS)).items}
    ready = sorted(name for name, one in clusters.items() if one.is_ready)
    chosen = [wanted.provider, wanted.consumer]
    spare = [name for name in ready if name not in chosen]
    chosen = [name or (spare.pop(0) if spare else "") for name in chosen]
    missing = [name for name in chosen if name not in clusters]
    if missing or chosen[0] == chosen[1]:
        raise click.UsageError(
            f"it needs two Clusters, --provider and --consumer; Ready are: {', '.join(ready) or 'none'}"
        )
    provider, consumer = [await access.member(clusters[name]) for name in chosen]
    return provider, consumer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    options: AccessOptions
    host: Plane
    provider: Plane
    consumer: Plane
    namespace: str
    seconds: float

    wanted: _Wanted

    async def deploy(self) -> None:
        """Everything that a user would apply, in the same places."""
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        for plane in (self.host, self.provider, self.consumer):
            await apply(plane.client, space)
        await apply(self.provider.client, self._server(1))
        await apply(self.consumer.client, self._pods(CLIENT, self.wanted.client_image, command=["sleep", "infinity"]))
        ports = [{"name": "http", "port": 80, "targetPort": self.wanted.port}]
        service = {"selector": {"app": SERVER}, "ports": ports}
        await apply(self.host.client, self._object("v1", "Service", SERVER, service))
        spec = {
            "types": ["CrossCluster"],
            "providerClusters": [{"name": self.provider.name}],
            "consumerClusters": [{"name": self.consumer.name}],
        }
        await apply(self.host.client, self._object(wk.MCS_API_VERSION, wk.MCS_KIND, SERVER, spec))
        say(f"namespace {self.namespace}: a server in {self.provider.name}, a client in {self.consumer.name}")

    async def passes(self, *, traffic: bool) -> None:
        """The walkthrough."""
        for replicas in (1, 2):
            if replicas > 1:
                await apply(self.provider.client, self._server(replicas))
            await self._until(
                f"{replicas} ready endpoints of {self.provider.name} are in {self.consumer.name}",
                partial(self._endpoints_are, replicas),
            )
            await self._until("the diagnosis has no findings", self._is_healthy)
            if traffic:
                await self._until(f"name, Service and endpoints answer in {self.consumer.name}", self._is_answered)
        await delete(self.host.client, w.MULTICLUSTERSERVICES, SERVER, self.namespace)
        await self._until(f"without a MultiClusterService {self.consumer.name} has no endpoints", self._is_withdrawn)

    async def remove(self) -> None:
        """Everything, wherever deploy came to; what cannot be removed is named."""
        with suppress(KubeError):
            await delete(self.host.client, w.MULTICLUSTERSERVICES, SERVER, self.namespace)
            await self._wait(self._is_unclaimed, min(self.seconds, _CLEANUP_SECONDS))
        left = []
        for plane in (self.host, self.provider, self.consumer):
            try:
                await delete(plane.client, w.NAMESPACES, self.namespace)
            except KubeError as error:
                left.append(f"{plane.kubectl} delete namespace {self.namespace}  # {error}")
        if left:
            click.echo("Not everything could be removed:\n" + "\n".join(left), err=True)
        else:
            say(f"namespace {self.namespace} is removed")

    def _object(self, api_version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        meta = {"name": name, "namespace": self.namespace}
        return {"apiVersion": api_version, "kind": kind, "metadata": meta, "spec": spec}

    def _server(self, replicas: int) -> dict[str, Any]:
        ports = [{"containerPort": self.wanted.port}]
        return self._pods(SERVER, self.wanted.image, replicas=replicas, ports=ports)

    def _pods(self, name: str, image: str, *, replicas: int = 1, **container: Any) -> dict[str, Any]:
        labels = {"app": name}
        pod = {
            "metadata": {"labels": labels},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": name, "image": image, **container}]},
        }
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod}
        return self._object("apps/v1", "Deployment", name, spec)

    async def _until(self, what: str, probe: Callable[[], Awaitable[str]]) -> None:
        if problem := await self._wait(probe, self.seconds):
            raise click.ClickException(f"not within {self.seconds:g} s: {what}: {problem}")
        say(what)

    async def _wait(self, probe: Callable[[], Awaitable[str]], seconds: float) -> str:
        """Wait until a probe finds no problem; the problem if it always does."""
        until = time.monotonic() + seconds
        while True:
            try:
                problem = await probe()
            except KubeError as error:
                problem = str(error)
            if not problem or time.monotonic() > until:
                return problem
            await asyncio.sleep(POLL_SECONDS)

    async def _ready(self, plane: Plane) -> set[str]:
        slices = await list_all(plane.client, w.SLICES, self.namespace)
        return {
            str(address)
            for one in slices
            if w.labels_of(one).get(wk.SERVICE_NAME) == SERVER
            for endpoint in w.items(one, "endpoints")
            if w.dig(endpoint, "conditions", "ready") is not False
            for address in w.items(endpoint, "addresses")
        }

    async def _endpoints_are(self, count: int) -> str:
        own, there = await self._ready(self.provider), await self._ready(self.consumer)
        return "" if len(own) == count and own == there else f"{self.provider.name} has {own}, the consumer {there}"

    async def _is_withdrawn(self) -> str:
        there = await self._ready(self.consumer)
        return f"{there}" if there else ""

    async def _is_unclaimed(self) -> str:
        mcs = await find(self.host.client, w.MULTICLUSTERSERVICES, SERVER, self.namespace)
        return "its finalizers are still there" if mcs is not None else ""

    async def _is_healthy(self, client: str = "") -> str:
        probing = ProbeOptions(pod=client) if client else None
        diagnosis = await run_doctor(self.options, (self.namespace, SERVER), probing=probing)
        worst = max(diagnosis.findings, key=lambda one: one.severity, default=None)
        return "" if exit_code(diagnosis) == EXIT_HEALTHY or worst is None else f"{worst.code} {worst.problem}"

    async def _is_answered(self) -> str:
        pods = await list_all(self.consumer.client, w.PODS, self.namespace)
        running = [
            w.text(one, "metadata", "name")
            for one in pods
            if w.labels_of(one).get("app") == CLIENT and w.text(one, "status", "phase") == "Running"
        ]
        return await self._is_healthy(running[0]) if running else f"no Pod of {CLIENT} runs"
