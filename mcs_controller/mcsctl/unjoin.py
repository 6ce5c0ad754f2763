"""`mcsctl unjoin`: removes a member's registration, and what join made for it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import click

from informers.errors import NotFound
from mcs_controller.api.resources import CLUSTERS
from mcs_controller.diagnosis import world as w
from mcs_controller.domain import well_known as wk
from mcs_controller.mcsctl import completion
from mcs_controller.mcsctl.access import Access
from mcs_controller.mcsctl.join import POLL_SECONDS, member_of, member_options, say
from mcs_controller.mcsctl.manifests import member_manifests
from mcs_controller.mcsctl.objects import delete, find, kind_of, list_all
from mcs_controller.mcsctl.seconds import SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from informers.client.client import ApiClient
    from mcs_controller.mcsctl.access import AccessOptions, Plane


@click.command("unjoin")
@click.argument("cluster", shell_complete=completion.clusters)
@click.option("--cluster-context", default="", metavar="NAME", help="Remove what join made in the member, too.")
@click.option("--cluster-kubeconfig", default="", metavar="PATH", help="Where that context is.")
@click.option("--wait", "wait_seconds", type=SECONDS, default=120.0, show_default=True, help="For the clean-up.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def command(
    options: dict[str, Any], cluster: str, cluster_context: str, cluster_kubeconfig: str, wait_seconds: float, yes: bool
) -> None:
    r"""Remove the member CLUSTER.

    It deletes the Cluster, waits until the controllers have removed what they brought to the member, and deletes the
    Secret. With --cluster-context it also deletes the ServiceAccount and its roles in the member.

    \b
    Examples:
      mcsctl unjoin member1
      mcsctl unjoin member1 --cluster-context member1 --yes
    """
    if not yes:
        click.confirm(f"Services of and in {cluster} will stop answering. Remove it?", abort=True, err=True)
    access = member_options(options, cluster, cluster_context, cluster_kubeconfig)
    asyncio.run(_unjoin(access, cluster, wait_seconds, in_member=bool(cluster_context)))


async def _unjoin(options: AccessOptions, name: str, seconds: float, *, in_member: bool) -> None:
    async with Access(options) as access:
        host = (await access.host()).client
        # Before anything is removed: is that the right member at all?
        member = await member_of(access, name) if in_member else None
        sharing = await _sharing(host, name, member)
        secret = (wk.CLUSTER_NAMESPACE, name)
        try:
            cluster = await host.get(CLUSTERS, name)
        except NotFound:
            say(f"Cluster {name} is not registered")
        else:
            if cluster.spec.secret_ref is not None:
                secret = (cluster.spec.secret_ref.namespace, cluster.spec.secret_ref.name)
            await delete(host, w.CLUSTERS, name)
            await _until_gone(host, name, seconds)
            say(f"Cluster {name} is removed")
        if await delete(host, w.SECRETS, secret[1], secret[0]):
            say(f"Secret {'/'.join(secret)} is removed")
        if member is not None and sharing:
            click.echo(f"! its ServiceAccount stays in the member: Cluster {', '.join(sharing)} uses it", err=True)
        elif member is not None:
            for one in reversed(member_manifests(standalone=True)):
                if one["kind"] != "Namespace":  # others may have something in it
                    meta = one["metadata"]
                    await delete(member.client, kind_of(one), meta["name"], meta.get("namespace", ""))
            say(f"{name} has our ServiceAccount and its roles no longer; the namespace {wk.SYSTEM_NAMESPACE} stays")


async def _sharing(host: ApiClient, name: str, member: Plane | None) -> Sequence[str]:
    """Other Clusters at the endpoint that the context leads to."""
    if member is None:
        return ()
    endpoint = member.config.server.rstrip("/")
    return [
        w.text(one, "metadata", "name")
        for one in await list_all(host, w.CLUSTERS)
        if w.text(one, "metadata", "name") != name and w.text(one, "spec", "apiEndpoint").rstrip("/") == endpoint
    ]


async def _until_gone(host: ApiClient, name: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (cluster := await find(host, w.CLUSTERS, name)) is not None:
        if time.monotonic() > until:
            held = ", ".join(str(one) for one in w.items(cluster, "metadata", "finalizers")) or "none"
            raise click.ClickException(
                f"Cluster {name} is still there after {seconds:g} s; finalizers: {held}. The controller removes them: "
                f"see that it runs, and call `mcsctl unjoin {name}` again"
            )
        await asyncio.sleep(POLL_SECONDS)
