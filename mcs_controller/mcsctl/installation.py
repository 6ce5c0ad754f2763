"""What the verbs install, upgrade and uninstall share: their options, what is applied where, and how."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from informers.errors import Conflict, NotFound
from mcs_controller.diagnosis import world as w
from mcs_controller.domain import well_known as wk
from mcs_controller.mcsctl.join import POLL_SECONDS, asking, member_of, member_options, say
from mcs_controller.mcsctl.karmada import MANAGER, pasted, switch
from mcs_controller.mcsctl.main import EXIT_BROKEN, EXIT_HEALTHY
from mcs_controller.mcsctl.manifests import rendered
from mcs_controller.mcsctl.objects import apply, find, kind_of
from mcs_controller.mcsctl.seconds import SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mcs_controller.diagnosis.world import Object
    from mcs_controller.mcsctl.access import Access, AccessOptions, Plane

STANDALONE: Final = "standalone"
BESIDE_KARMADA: Final = "beside-karmada"
DEPLOYMENT: Final = (wk.SYSTEM_NAMESPACE, "mcs-controller-manager")
EXTRAS: Final = ("network-policy", "observability", "service-monitor")
"""Folders of manifests/ for where the controller runs, if they are wanted."""

CONFIG_SECRET: Final = "mcs-controller-manager-config"
ADMINISTRATOR: Final = "its user must be an administrator"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the controller is, or will be.

    Attributes:
        mode: STANDALONE or BESIDE_KARMADA.
        host_named: whether a context of the host cluster is named.
        access: how both clusters are reached.
    """

    mode: str
    host_named: bool
    access: AccessOptions

    def require_host(self) -> None:
        """Refuse to go on without the host cluster.

        Raises:
            click.UsageError: it is needed and not named.
        """
        if self.mode == BESIDE_KARMADA and not self.host_named:
            raise click.UsageError("--mode beside-karmada needs --host-context, where Karmada's controllers run")

    async def planes(self, access: Access) -> tuple[Plane, Plane]:
        """The control plane, and the cluster in which the controller runs: stand-alone they are one."""
        plane = await access.host()
        return plane, plane if self.mode == STANDALONE else await member_of(access, _HOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What install and upgrade are asked for.

    Attributes:
        image: of the Deployment; empty for the default.
        extras: of `EXTRAS`.
        wait_seconds: for the Pods; 0 does not wait.
        force: whether fields that others have set are taken over.
        karmada_is_off: whether Karmada's own manager is not looked at.
        only_print: whether nothing is changed.
    """

    image: str
    extras: tuple[str, ...]
    wait_seconds: float
    force: bool
    karmada_is_off: bool
    only_print: bool


def _with(command: Callable[..., Any], *options: Callable[[Any], Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options by which each verb knows what is where; the command gets them as its first argument, a `Target`."""

    @wraps(command)
    def call(*, mode: str, host_context: str, host_kubeconfig: str, **others: Any) -> Any:
        if mode == STANDALONE and host_context:
            raise click.UsageError("--host-context is for --mode beside-karmada: stand-alone there is one cluster")
        access = member_options(click.get_current_context().obj, _HOST, host_context, host_kubeconfig)
        return command(Target(mode=mode, host_named=bool(host_context), access=access), **others)

    return _with(
        call,
        click.option("--mode", type=click.Choice([STANDALONE, BESIDE_KARMADA]), required=True),
        click.option(
            "--host-context",
            default="",
            metavar="NAME",
            help="Context of the cluster in which Karmada's controllers run.",
        ),
        click.option("--host-kubeconfig", default="", metavar="PATH", help="Where that context is."),
    )


def wanted_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of install and upgrade, which the command gets as `wanted`."""

    @wraps(command)
    def call(*args: Any, **options: Any) -> Any:
        names = Wanted.__slots__
        wanted = Wanted(**{name: options.pop(name) for name in names})
        return command(*args, wanted=wanted, **options)

    return _with(
        call,
        click.option(
            "--image",
            default="",
            metavar="IMAGE",
            help="With tag or digest. Default: as installed, or as in the manifests.",
        ),
        click.option("--with", "extras", multiple=True, type=click.Choice(EXTRAS), help="Apply that as well."),
        click.option(
            "--wait",
            "wait_seconds",
            type=SECONDS,
            default=60.0,
            show_default=True,
            help="For the Pods; 0: do not.",
        ),
        click.option("--force", is_flag=True, help="Take over fields that others have set."),
        click.option("--karmada-is-off", is_flag=True, help="Do not look at Karmada's own manager: it is elsewhere."),
        click.option("--print", "only_print", is_flag=True, help="Show what would be applied, and change nothing."),
    )


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


def named(one: Object) -> str:
    """Kind, namespace and name of an object, for people."""
    namespace, name = w.text(one, "metadata", "namespace"), w.text(one, "metadata", "name")
    return f"{w.text(one, 'kind')} {'/'.join(filter(None, (namespace, name)))}"


def content(one: Object) -> Object:
    """Without what the server keeps account of: the second apply of a Namespace changes that alone."""
    meta = w.mapping(one, "metadata")
    return {
        **one,
        "metadata": {key: meta[key] for key in meta.keys() - {"managedFields", "resourceVersion", "generation"}},
    }


async def apply_one(plane: Plane, one: Object, *, force: bool, dry_run: bool = False) -> tuple[Object | None, Object]:
    """Apply an object; what it was, if it was there, and what it is then.

    Raises:
        click.ClickException: others have set its fields, or its namespace or kind is not there.
    """
    before = await find(
        plane.client, kind_of(one), w.text(one, "metadata", "name"), w.text(one, "metadata", "namespace")
    )
    try:
        return before, await apply(plane.client, one, force=force, dry_run=dry_run)
    except Conflict as error:
        raise click.ClickException(f"{named(one)}: {error}; --force takes these fields over") from error
    except NotFound as error:
        raise click.ClickException(f"{named(one)}: {error}; its namespace or its kind is not there") from error


async def apply_all(plane: Plane, manifests: Sequence[Object], *, force: bool) -> None:
    """Apply objects in their order, and tell of each. What comes after a definition waits until it is served."""
    definitions: list[str] = []
    with asking(plane, ADMINISTRATOR):
        for one in manifests:
            if kind_of(one) == w.CRDS:
                definitions.append(w.text(one, "metadata", "name"))
            elif definitions:
                await _until_served(plane, definitions)
                definitions = []
            before, after = await apply_one(plane, one, force=force)
            same = before is not None and content(before) == content(after)
            say(f"{named(one)} {'created' if before is None else 'unchanged' if same else 'configured'}")


async def _until_served(plane: Plane, definitions: Sequence[str]) -> None:
    for name in definitions:
        while w.condition(found := await find(plane.client, w.CRDS, name), "Established").get("status") != "True":
            refused = w.condition(found, "NamesAccepted")
            if refused.get("status") == "False":
                raise click.ClickException(f"CustomResourceDefinition {name}: {refused.get('message')}")
            await asyncio.sleep(POLL_SECONDS)


async def until_available(host: Plane, seconds: float) -> int:
    """Wait until all Pods are of the Deployment's newest template, and are available. An exit code."""
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
