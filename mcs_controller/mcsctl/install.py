"""`mcsctl install`: applies an overlay of manifests/, beside Karmada only once Karmada's own controllers are off."""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click
import yaml

from informers.errors import Conflict, NotFound
from mcs_controller.diagnosis import world as w
from mcs_controller.domain import well_known as wk
from mcs_controller.mcsctl.access import Access
from mcs_controller.mcsctl.credentials import ACCOUNT, issue
from mcs_controller.mcsctl.join import POLL_SECONDS, asking, is_loopback_url, member_of, member_options, say
from mcs_controller.mcsctl.karmada import MANAGER, pasted, switch
from mcs_controller.mcsctl.main import EXIT_BROKEN, EXIT_HEALTHY
from mcs_controller.mcsctl.manifests import rendered
from mcs_controller.mcsctl.objects import apply, find, kind_of
from mcs_controller.mcsctl.observe import token_expiry
from mcs_controller.mcsctl.token import DURATION_OPTION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mcs_controller.diagnosis.world import Object
    from mcs_controller.mcsctl.access import AccessOptions, Plane

STANDALONE: Final = "standalone"
BESIDE_KARMADA: Final = "beside-karmada"
DEPLOYMENT: Final = (wk.SYSTEM_NAMESPACE, "mcs-controller-manager")
EXTRAS: Final = ("network-policy", "observability")
"""Folders of manifests/ for where the controller runs, if they are wanted."""

CONFIG_SECRET: Final = "mcs-controller-manager-config"
_CONFIG_KEY: Final = "karmada.config"
_HOST: Final = "the host cluster"
"""In which Karmada's controllers run; not the control plane, though `Access.host()` is that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is applied where.

    Attributes:
        control_plane: objects of the control plane.
        host: objects of the cluster in which the controller runs, if that is another one.
    """

    control_plane: Sequence[Object]
    host: Sequence[Object]


def parts(mode: str, *, image: str = "", extras: Sequence[str] = ()) -> Parts:
    """The objects of a mode, with the gate on.

    Args:
        mode: STANDALONE or BESIDE_KARMADA.
        image: of the Deployment; empty leaves the manifests'.
        extras: folders of manifests/ to apply where the controller runs.
    """
    overlay = f"overlays/{mode}/control-plane"
    if mode == STANDALONE:
        return Parts(control_plane=rendered([overlay, *extras], image=image), host=[])
    host = rendered([f"overlays/{mode}/host", *extras], components=["multiclusterservice"], image=image)
    return Parts(control_plane=rendered([overlay]), host=host)


def mode_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options by which install and uninstall know what is where."""
    for option in (
        click.option("--host-kubeconfig", default="", metavar="PATH", help="Where that context is."),
        click.option(
            "--host-context",
            default="",
            metavar="NAME",
            help="Context of the cluster in which Karmada's controllers run.",
        ),
        click.option("--mode", type=click.Choice([STANDALONE, BESIDE_KARMADA]), required=True),
    ):
        command = option(command)
    return command


@click.command("install")
@mode_options
@click.option("--image", default="", metavar="IMAGE", help="With tag or digest. Default: the one of the manifests.")
@click.option(
    "--api-endpoint",
    default="",
    metavar="URL",
    help="Where the Pods reach Karmada's API server. Default: the context's.",
)
@DURATION_OPTION
@click.option("--with", "extras", multiple=True, type=click.Choice(EXTRAS), help="Apply that as well.")
@click.option(
    "--wait", "wait_seconds", default=60.0, show_default=True, metavar="SECONDS", help="For the Pods; 0: do not."
)
@click.option("--force", is_flag=True, help="Take over fields that others have set.")
@click.option("--karmada-is-off", is_flag=True, help="Do not look at Karmada's own manager, as it is elsewhere.")
@click.option("--print", "only_print", is_flag=True, help="Show the manifests and change nothing.")
@click.pass_obj
def command(
    options: dict[str, Any],
    mode: str,
    host_context: str,
    host_kubeconfig: str,
    image: str,
    api_endpoint: str,
    duration: float,
    extras: tuple[str, ...],
    wait_seconds: float,
    force: bool,
    karmada_is_off: bool,
    only_print: bool,
) -> int:
    r"""Install the controller, with the gate MultiClusterService on.

    Stand-alone it runs in the control plane's own cluster. Beside Karmada it runs in the host cluster, by a kubeconfig
    with a token of its own: install renews that, and refuses as long as Karmada's own controllers do the same work.

    \b
    Examples:
      mcsctl install --mode standalone --image registry.example.com/mcs-controller-manager:0.1.0
      mcsctl --context karmada install --mode beside-karmada --host-context host
      mcsctl install --mode standalone --print | kubectl diff -f -
    """
    needs_host(mode, host_context, optional=only_print)
    where = member_options(options, _HOST, host_context, host_kubeconfig)
    what = parts(mode, image=image, extras=extras)
    if only_print:
        return asyncio.run(_print(where, what, look=bool(host_context)))
    look = mode == BESIDE_KARMADA and not karmada_is_off
    return asyncio.run(
        _install(where, mode, what, api_endpoint, duration=duration, seconds=wait_seconds, force=force, look=look)
    )


def needs_host(mode: str, host_context: str, *, optional: bool = False) -> None:
    """Refuse flags that do not go together.

    Raises:
        click.UsageError: the host cluster is not named beside Karmada, or is named stand-alone.
    """
    if mode == STANDALONE and host_context:
        raise click.UsageError("--host-context is for --mode beside-karmada: stand-alone there is one cluster")
    if mode == BESIDE_KARMADA and not host_context and not optional:
        raise click.UsageError("--mode beside-karmada needs --host-context, where Karmada's controllers run")


async def host_of(access: Access, mode: str) -> Plane:
    """The cluster in which the controller runs."""
    return await access.host() if mode == STANDALONE else await member_of(access, _HOST)


async def karmadas_edit(host: Plane, *, on: bool) -> str:
    """The command that turns Karmada's own controllers on or off; empty if they are so already.

    Raises:
        click.ClickException: Karmada's manager is not there.
    """
    namespace, name = MANAGER
    deployment = await find(host.client, w.DEPLOYMENTS, name, namespace)
    if deployment is None:
        raise click.ClickException(
            f"Deployment {namespace}/{name} is not in the cluster of {host.how}; --karmada-is-off goes on"
        )
    patch = switch(deployment, on=on)
    return pasted(host.kubectl, deployment, patch) if patch else ""


async def _print(options: AccessOptions, what: Parts, *, look: bool) -> int:
    if what.host:
        click.echo("# In the control plane:")
    click.echo(yaml.safe_dump_all(what.control_plane, sort_keys=False), nl=False)
    if what.host:
        note = f"with a kubeconfig of the control plane in the Secret {DEPLOYMENT[0]}/{CONFIG_SECRET}"
        click.echo(f"---\n# In the host cluster, {note}, key {_CONFIG_KEY}:")
        click.echo(yaml.safe_dump_all(what.host, sort_keys=False), nl=False)
    if look:
        async with Access(options) as access:
            if edit := await karmadas_edit(await host_of(access, BESIDE_KARMADA), on=False):
                click.echo(f"# First turn Karmada's own controllers off:\n#   {edit}", err=True)
    return EXIT_HEALTHY


async def _install(
    options: AccessOptions,
    mode: str,
    what: Parts,
    endpoint: str,
    *,
    duration: float,
    seconds: float,
    force: bool,
    look: bool,
) -> int:
    async with Access(options) as access:
        plane, host = await access.host(), await host_of(access, mode)
        if look and (edit := await karmadas_edit(host, on=False)):
            click.echo("Karmada's own controllers do the same work, so nothing was installed. Turn them off:", err=True)
            click.echo(edit, err=True)
            click.echo("Wait until the new Pod leads, and call install again.", err=True)
            return EXIT_BROKEN
        await _apply_all(plane, what.control_plane, force=force)
        if what.host:
            await _store_kubeconfig(plane, host, endpoint or plane.config.server, duration)
            await _apply_all(host, what.host, force=force)
        return await _until_available(host, seconds)


async def _apply_all(plane: Plane, manifests: Sequence[Object], *, force: bool) -> None:
    with asking(plane, "its user must be an administrator"):
        for one in manifests:
            namespace, name = w.text(one, "metadata", "namespace"), w.text(one, "metadata", "name")
            shown = f"{w.text(one, 'kind')} {'/'.join(filter(None, (namespace, name)))}"
            before = await find(plane.client, kind_of(one), name, namespace)
            try:
                after = await apply(plane.client, one, force=force)
            except Conflict as error:
                raise click.ClickException(f"{shown}: {error}; --force takes these fields over") from error
            except NotFound as error:
                raise click.ClickException(f"{shown}: {error}; its namespace or its kind is not there") from error
            same = before is not None and _content(before) == _content(after)
            say(f"{shown} {'created' if before is None else 'unchanged' if same else 'configured'}")


def _content(one: Object) -> Object:
    """Without what says who has written it: the second apply of a Namespace changes that alone."""
    meta = w.mapping(one, "metadata")
    return {**one, "metadata": {key: meta[key] for key in meta.keys() - {"managedFields", "resourceVersion"}}}


async def _store_kubeconfig(plane: Plane, host: Plane, endpoint: str, duration: float) -> None:
    """Give the Pods a kubeconfig of the control plane, with a new token of their account there."""
    if is_loopback_url(endpoint):
        click.echo(f"! {endpoint} is this machine's own: --api-endpoint names what Pods can reach", err=True)
    with asking(plane, "its user must be an administrator"):
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
    with asking(host, "its user must be an administrator"):
        await apply(host.client, secret)
    until = f"; it expires {at:%Y-%m-%d}, install renews it" if (at := token_expiry(token)) else ""
    say(f"Secret {DEPLOYMENT[0]}/{CONFIG_SECRET} has a kubeconfig with a new token{until}")


async def _until_available(host: Plane, seconds: float) -> int:
    until = time.monotonic() + seconds
    namespace, name = DEPLOYMENT
    while seconds > 0:
        found = await find(host.client, w.DEPLOYMENTS, name, namespace)
        seen, wanted = w.dig(found, "status", "observedGeneration"), w.dig(found, "metadata", "generation")
        status, replicas = w.mapping(found, "status"), w.dig(found, "spec", "replicas")
        ready = {status.get(each) or 0 for each in ("replicas", "updatedReplicas", "availableReplicas")}
        if seen == wanted and ready == {replicas}:
            say(f"Deployment {namespace}/{name} is available")
            return EXIT_HEALTHY
        if time.monotonic() > until:
            click.echo(
                f"Deployment {namespace}/{name} is not available after {seconds:g} s; what its Pods say:", err=True
            )
            click.echo(
                f"{host.kubectl} -n {namespace} describe pods -l app.kubernetes.io/name=mcs-controller", err=True
            )
            return EXIT_BROKEN
        await asyncio.sleep(POLL_SECONDS)
    return EXIT_HEALTHY
