"""`mcsctl install`: applies an overlay of manifests/, beside Karmada only once Karmada's own controllers are off."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any, Final

import click
import yaml

from mcs_controller.mcsctl.access import Access
from mcs_controller.mcsctl.credentials import ACCOUNT, issue
from mcs_controller.mcsctl.installation import (
    ADMINISTRATOR,
    BESIDE_KARMADA,
    CONFIG_SECRET,
    DEPLOYMENT,
    Parts,
    Target,
    Wanted,
    apply_all,
    karmadas_edit,
    parts,
    target_options,
    until_available,
    wanted_options,
)
from mcs_controller.mcsctl.join import asking, is_loopback_url, say
from mcs_controller.mcsctl.main import EXIT_BROKEN, EXIT_HEALTHY
from mcs_controller.mcsctl.objects import apply
from mcs_controller.mcsctl.observe import token_expiry
from mcs_controller.mcsctl.token import DURATION_OPTION

if TYPE_CHECKING:
    from mcs_controller.mcsctl.access import Plane

_CONFIG_KEY: Final = "karmada.config"


@click.command("install")
@target_options
@click.option(
    "--api-endpoint",
    default="",
    metavar="URL",
    help="Where the Pods reach Karmada's API server. Default: the context's.",
)
@DURATION_OPTION
@wanted_options
def command(target: Target, wanted: Wanted, api_endpoint: str, duration: float) -> int:
    r"""Install the controller, with the gate MultiClusterService on.

    Stand-alone it runs in the control plane's own cluster. Beside Karmada it runs in the host cluster, by a kubeconfig
    with a token of its own: install renews that, and refuses as long as Karmada's own controllers do the same work.

    \b
    Examples:
      mcsctl install --mode standalone --image registry.example.com/mcs-controller-manager:0.2.0
      mcsctl --context karmada install --mode beside-karmada --host-context host
      mcsctl install --mode standalone --print | kubectl diff -f -
    """
    if not wanted.only_print:
        target.require_host()
    what = parts(target.mode, image=wanted.image, extras=wanted.extras)
    if wanted.only_print:
        return asyncio.run(_print(target, what))
    return asyncio.run(_install(target, wanted, what, api_endpoint, duration))


async def _print(target: Target, what: Parts) -> int:
    if what.host:
        click.echo("# In the control plane:")
    click.echo(yaml.safe_dump_all(what.control_plane, sort_keys=False), nl=False)
    if what.host:
        note = f"with a kubeconfig of the control plane in the Secret {DEPLOYMENT[0]}/{CONFIG_SECRET}"
        click.echo(f"---\n# In the host cluster, {note}, key {_CONFIG_KEY}:")
        click.echo(yaml.safe_dump_all(what.host, sort_keys=False), nl=False)
    if target.host_named:
        async with Access(target.access) as access:
            _, host = await target.planes(access)
            if edit := await karmadas_edit(host, on=False):
                click.echo(f"# First turn Karmada's own controllers off:\n#   {edit}", err=True)
    return EXIT_HEALTHY


async def _install(target: Target, wanted: Wanted, what: Parts, endpoint: str, duration: float) -> int:
    async with Access(target.access) as access:
        plane, host = await target.planes(access)
        look = target.mode == BESIDE_KARMADA and not wanted.karmada_is_off
        if look and (edit := await karmadas_edit(host, on=False)):
            click.echo("Karmada's own controllers do the same work, so nothing was installed. Turn them off:", err=True)
            click.echo(edit, err=True)
            click.echo("Wait until the new Pod leads, and call install again.", err=True)
            return EXIT_BROKEN
        await apply_all(plane, what.control_plane, force=wanted.force)
        if what.host:
            await _store_kubeconfig(plane, host, endpoint or plane.config.server, duration)
            await apply_all(host, what.host, force=wanted.force)
        return await until_available(host, wanted.wait_seconds)


async def _store_kubeconfig(plane: Plane, host: Plane, endpoint: str, duration: float) -> None:
    """Give the Pods a kubeconfig of the control plane, with a new token of their account there."""
    if is_loopback_url(endpoint):
        click.echo(f"! {endpoint} is this machine's own: --api-endpoint names what Pods can reach", err=True)
    with asking(plane, ADMINISTRATOR):
        token = await issue(plane, ACCOUNT, duration)
    cluster: dict[str, Any] = {"server": endpoint}
    if plane.config.ca_pem:
        cluster["certificate-authority-data"] = base64.b64encode(plane.config.ca_pem).decode()
    if plane.config.tls_server_name:
        cluster["tls-server-name"] = plane.config.tls_server_name
    if plane.config.insecure_skip_tls_verify:
        cluster["insecure-skip-tls-verify"] = True
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "karmada", "cluster": cluster}],
        "users": [{"name": "karmada", "user": {"token": token}}],
        "contexts": [{"name": "karmada", "context": {"cluster": "karmada", "user": "karmada"}}],
        "current-context": "karmada",
    }
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": CONFIG_SECRET, "namespace": DEPLOYMENT[0]},
        "data": {_CONFIG_KEY: base64.b64encode(yaml.safe_dump(kubeconfig).encode()).decode()},
    }
    with asking(host, ADMINISTRATOR):
        await apply(host.client, secret)
    until = f"; it expires {at:%Y-%m-%d}, install renews it" if (at := token_expiry(token)) else ""
    say(f"Secret {DEPLOYMENT[0]}/{CONFIG_SECRET} has a kubeconfig with a new token{until}")
