"""`mcsctl join`: registers a member with the rights that the controllers need there, and no others."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
import yaml

from informers.errors import Forbidden, KubeError, NotFound, Unauthorized
from informers.meta import find_condition
from mcs_controller.api.cluster import decode_cluster
from mcs_controller.api.resources import CLUSTERS
from mcs_controller.diagnosis import world as w
from mcs_controller.domain import well_known as wk
from mcs_controller.mcsctl.access import Access, AccessOptions
from mcs_controller.mcsctl.credentials import ACCOUNT, issue, store, try_token
from mcs_controller.mcsctl.main import EXIT_BROKEN, EXIT_HEALTHY, EXIT_UNSEEN
from mcs_controller.mcsctl.manifests import member_manifests
from mcs_controller.mcsctl.objects import apply, find, list_all
from mcs_controller.mcsctl.observe import token_expiry
from mcs_controller.mcsctl.seconds import SECONDS
from mcs_controller.mcsctl.token import DURATION_OPTION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from informers.client.client import ApiClient
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.mcsctl.access import Plane

POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    name: str
    endpoint: str
    labels: dict[str, str]
    standalone: bool
    seconds: float
    wait_seconds: float
    force: bool


def member_options(options: dict[str, Any], name: str, context: str, kubeconfig: str) -> AccessOptions:
    """The flags of every command, with those that say how to reach the one member that this one is about."""
    contexts = {**options["member_contexts"], **({name: context} if context else {})}
    files = kubeconfig or options["members_kubeconfig"]
    return AccessOptions(**{**options, "member_contexts": contexts, "members_kubeconfig": files})


def _labels(_: click.Context, __: click.Parameter, value: str) -> dict[str, str]:
    pairs = [each.partition("=") for each in value.split(",") if each]
    if any(not name or not separator for name, separator, _ in pairs):
        raise click.BadParameter(f"{value!r} is not NAME=VALUE,...")
    return {name: label for name, _, label in pairs}


@click.command("join")
@click.argument("cluster")
@click.option("--cluster-context", required=True, metavar="NAME", help="Context of an administrator of the member.")
@click.option(
    "--cluster-kubeconfig", default="", metavar="PATH", help="Where that is. Default: as the control plane's."
)
@click.option(
    "--api-endpoint", default="", metavar="URL", help="Where the controller reaches it. Default: the context's."
)
@click.option("--labels", default="", metavar="NAME=VALUE,...", callback=_labels, help="Of the Cluster.")
@click.option(
    "--standalone/--no-standalone",
    default=True,
    show_default=True,
    help="Whether our controllers, and not Karmada's, write to the member.",
)
@DURATION_OPTION
@click.option("--wait", "wait_seconds", type=SECONDS, default=30.0, show_default=True, help="For Ready; 0: do not.")
@click.option("--force", is_flag=True, help="Replace a Cluster of that name that has another endpoint.")
@click.option("--print", "only_print", is_flag=True, help="Show the manifests and change nothing.")
@click.pass_obj
def command(
    options: dict[str, Any],
    cluster: str,
    cluster_context: str,
    cluster_kubeconfig: str,
    api_endpoint: str,
    labels: dict[str, str],
    standalone: bool,
    duration: float,
    wait_seconds: float,
    force: bool,
    only_print: bool,
) -> int:
    r"""Register a member under the name CLUSTER.

    In the member it creates a ServiceAccount with the rights that the controllers need, and no others; in the control
    plane a Secret with a token of that account, and the Cluster. What is there already is brought up to date.

    \b
    Examples:
      mcsctl join member1 --cluster-context member1
      mcsctl join eu --cluster-context prod-eu --cluster-kubeconfig ~/eu.config --labels region=eu
      mcsctl join kind --cluster-context kind-a --api-endpoint https://172.18.0.3:6443
      mcsctl join member1 --cluster-context member1 --print
    """
    request = _Request(
        name=cluster,
        endpoint=api_endpoint,
        labels=labels,
        standalone=standalone,
        seconds=duration,
        wait_seconds=wait_seconds,
        force=force,
    )
    member = member_options(options, cluster, cluster_context, cluster_kubeconfig)
    return asyncio.run(_print(member, request) if only_print else _join(member, request))


def _cluster(request: _Request, member: Plane) -> dict[str, Any]:
    return {
        "apiVersion": wk.CLUSTER_API_VERSION,
        "kind": wk.CLUSTER_KIND,
        "metadata": {"name": request.name, **({"labels": request.labels} if request.labels else {})},
        "spec": {
            "syncMode": "Push",
            "apiEndpoint": request.endpoint or member.config.server,
            "secretRef": {"namespace": wk.CLUSTER_NAMESPACE, "name": request.name},
            "insecureSkipTLSVerification": False,
        },
    }


def _decoded(manifest: dict[str, Any]) -> Cluster:
    return decode_cluster(json.dumps(manifest).encode())


async def member_of(access: Access, name: str) -> Plane:
    """The member by the context that was named for it."""
    stub = _decoded({"metadata": {"name": name}})
    member = await access.by_context(stub)
    if member is None:
        raise click.UsageError(f"no context leads to {name}: --cluster-context names one")
    return member


async def _print(options: AccessOptions, request: _Request) -> int:
    async with Access(options) as access:
        cluster = _cluster(request, await member_of(access, request.name))
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": cluster["spec"]["secretRef"],
        "stringData": {"token": "<a token of the ServiceAccount>", "caBundle": "<the member's authority>"},
    }
    click.echo(f"# In the member {request.name}:")
    click.echo(yaml.safe_dump_all(member_manifests(standalone=request.standalone), sort_keys=False), nl=False)
    click.echo("---\n# In the control plane:")
    click.echo(yaml.safe_dump_all([secret, cluster], sort_keys=False), nl=False)
    return EXIT_HEALTHY


async def _join(options: AccessOptions, request: _Request) -> int:
    async with Access(options) as access:
        host, member = await access.host(), await member_of(access, request.name)
        manifest = _cluster(request, member)
        cluster = _decoded(manifest)
        await _refuse_what_cannot_work(host, member, cluster, force=request.force)
        for warning in _warnings(cluster):
            click.echo(f"! {warning}", err=True)
        with asking(member, f"the user of {member.how} must be an administrator of {request.name}"):
            for one in member_manifests(standalone=request.standalone):
                await apply(member.client, one)
            say(f"{request.name} has the ServiceAccount {'/'.join(ACCOUNT)} and its roles")
            token = await issue(member, ACCOUNT, request.seconds)
        ca_pem, tried = await try_token(access, member, cluster, token)
        say(f"its token works, {tried}" + (f"; it expires {at:%Y-%m-%d}" if (at := token_expiry(token)) else ""))
        with asking(host, "the user of the control plane must be able to write Secrets and Clusters"):
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": wk.CLUSTER_NAMESPACE}}
            await apply(host.client, namespace)
            say(f"Secret {await store(host.client, cluster, token, ca_pem)} has the token and the authority")
            await apply(host.client, manifest)
            say(f"Cluster {request.name} is registered with the endpoint {cluster.spec.api_endpoint}")
        return await _until_ready(access, host.client, request)


def say(text: str) -> None:
    """Tell of a step that is done."""
    click.echo(f"✓ {text}")


@contextmanager
def asking(plane: Plane, advice: str) -> Iterator[None]:
    """Requests to one API server: an error says which one, by which way, and what to do if rights are missing."""
    try:
        yield
    except KubeError as error:
        hint = f"; {advice}" if isinstance(error, Forbidden | Unauthorized) else ""
        raise click.ClickException(f"{plane.name or 'the control plane'}, by {plane.how}: {error}{hint}") from error


async def _refuse_what_cannot_work(host: Plane, member: Plane, cluster: Cluster, *, force: bool) -> None:
    try:
        known = await list_all(host.client, w.CLUSTERS)
    except NotFound:
        raise click.UsageError(
            "this is no control plane, as it does not serve clusters.cluster.karmada.io: name its context by "
            f"--context, or make it one: {host.kubectl} apply -f manifests/crds/ -f manifests/standalone/"
        ) from None
    name, endpoint = cluster.name, cluster.spec.api_endpoint
    if await _identity(host) == await _identity(member):
        raise click.UsageError(
            f"{member.how} leads to the control plane itself, not to a member: "
            "name the member's context by --cluster-context, and the control plane's by --context"
        )
    before = next((one for one in known if w.text(one, "metadata", "name") == name), None)
    if before is not None and not force:
        was, mode = w.text(before, "spec", "apiEndpoint"), w.text(before, "spec", "syncMode")
        if was.rstrip("/") != endpoint.rstrip("/") or mode != "Push":
            raise click.UsageError(
                f"Cluster {name} is registered in mode {mode} with the endpoint {was or 'none'}, not {endpoint}: "
                f"choose another name, remove it by `mcsctl unjoin {name}`, or replace it by --force"
            )
    for one in known:
        other = w.text(one, "metadata", "name")
        if other != name and w.text(one, "spec", "apiEndpoint").rstrip("/") == endpoint.rstrip("/"):
            click.echo(f"! Cluster {other} has the same endpoint: the member will be registered twice", err=True)


async def _identity(plane: Plane) -> str:
    """What tells one API server from another, by whatever address: the uid of a namespace that each has."""
    with asking(plane, "its user must be an administrator"):
        return w.text(await find(plane.client, w.NAMESPACES, "kube-system"), "metadata", "uid") or plane.config.server


def _warnings(cluster: Cluster) -> Iterator[str]:
    if is_loopback_url(cluster.spec.api_endpoint):
        yield (
            f"the endpoint {cluster.spec.api_endpoint} is this machine's own: a controller in a Pod does not find the "
            "member there. --api-endpoint names the address that it can reach"
        )


def is_loopback_url(url: str) -> bool:
    """Whether a server's address means the machine that asks."""
    return is_loopback(urlsplit(url).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host's name or address means the machine that asks."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def _until_ready(access: Access, host: ApiClient, request: _Request) -> int:
    """Wait for the controller's word, as long as it was asked for."""
    until = time.monotonic() + request.wait_seconds
    seen = "no controller has looked at it"
    next_step = f"{access.mcsctl} doctor says why"
    while request.wait_seconds > 0:
        ready = None
        try:
            ready = find_condition((await host.get(CLUSTERS, request.name)).conditions, wk.READY)
        except KubeError as error:
            seen = str(error)
        if ready is not None and ready.status == "True":
            say(f"Cluster {request.name} is Ready")
            return EXIT_HEALTHY
        seen = f"its condition Ready is {ready.status}: {ready.message}" if ready is not None else seen
        if time.monotonic() > until:
            click.echo(f"Cluster {request.name} is not Ready after {request.wait_seconds:g} s: {seen}", err=True)
            click.echo(next_step, err=True)
            return EXIT_UNSEEN if ready is None else EXIT_BROKEN
        await asyncio.sleep(POLL_SECONDS)
    return EXIT_HEALTHY
