"""`mcsctl uninstall`: removes the controller, and no finalizer stays that only it would remove."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from informers.errors import Conflict, NotFound
from mcs_controller.diagnosis import world as w
from mcs_controller.domain import well_known as wk
from mcs_controller.mcsctl.access import Access
from mcs_controller.mcsctl.installation import (
    ADMINISTRATOR,
    BESIDE_KARMADA,
    CONFIG_SECRET,
    DEPLOYMENT,
    EXTRAS,
    STANDALONE,
    Target,
    karmadas_edit,
    parts,
    target_options,
)
from mcs_controller.mcsctl.join import POLL_SECONDS, asking, say
from mcs_controller.mcsctl.objects import delete, find, kind_of, list_all, resource_of
from mcs_controller.mcsctl.seconds import SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from informers.client.client import ApiClient
    from mcs_controller.diagnosis.world import Kind, Object
    from mcs_controller.mcsctl.access import Plane

_SERVICES: Final = (wk.MCS_FINALIZER, wk.DISPATCH_FINALIZER, wk.IMPORT_FINALIZER)
_FINALIZERS: Final = {
    BESIDE_KARMADA: frozenset(_SERVICES),
    STANDALONE: frozenset(
        (*_SERVICES, wk.EXECUTION_FINALIZER, wk.BINDING_FINALIZER, wk.CLUSTER_FINALIZER, wk.POLICY_FINALIZER)
    ),
}
"""By mode, those that nobody removes once the controller is gone."""

_TOUCH_SECONDS: Final = 10.0
_TOUCHED: Final = "multiclusterservice.karmada.io/touched"
"""An annotation of definitions that are being deleted; see :func:`_touch`."""

_CARRIERS: Final = (w.MULTICLUSTERSERVICES, w.POLICIES, w.BINDINGS, w.WORKS, w.CLUSTERS)


@click.command("uninstall")
@target_options
@click.option("--keep-services", is_flag=True, help="Beside Karmada: Karmada's own controllers take the services over.")
@click.option("--crds", is_flag=True, help="Stand-alone: the CustomResourceDefinitions, with all their objects, too.")
@click.option("--wait", "wait_seconds", type=SECONDS, default=120.0, show_default=True, help="For each clean-up.")
@click.option(
    "--force", is_flag=True, help="Do not wait for the controller's clean-up: what it delivered stays in the members."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def command(target: Target, keep_services: bool, crds: bool, wait_seconds: float, force: bool, yes: bool) -> None:
    r"""Remove the controller.

    The controller is still running when the MultiClusterServices are deleted, so it withdraws what it delivered. Then
    the Deployment goes, finalizers that are left, and the rights. Namespaces stay.

    \b
    Examples:
      mcsctl uninstall --mode standalone
      mcsctl uninstall --mode standalone --crds --yes
      mcsctl --context karmada uninstall --mode beside-karmada --host-context host --keep-services
    """
    target.require_host()
    if (keep_services and target.mode == STANDALONE) or (crds and target.mode == BESIDE_KARMADA):
        raise click.UsageError("--keep-services is for --mode beside-karmada, --crds for --mode standalone")
    if not yes:
        lost = "The controller" if keep_services else "The controller and all MultiClusterServices"
        click.confirm(f"{lost} will be removed. Go on?", abort=True, err=True)
    asyncio.run(_uninstall(target, wait_seconds, keep=keep_services, crds=crds, force=force))


async def _uninstall(target: Target, seconds: float, *, keep: bool, crds: bool, force: bool) -> None:
    mode = target.mode
    what = parts(mode, extras=EXTRAS)
    async with Access(target.access) as access:
        plane, host = await target.planes(access)
        with asking(plane, ADMINISTRATOR):
            await _refuse_with_members(access, plane.client, mode, force=force)
            if not keep:
                await _delete_services(plane.client, seconds, force=force)
        with asking(host, ADMINISTRATOR):
            await _stop(host, seconds)
            if what.host:
                await delete(host.client, w.SECRETS, CONFIG_SECRET, DEPLOYMENT[0])
                await _delete_all(host.client, what.host, seconds, crds=False)
        with asking(plane, ADMINISTRATOR):
            if not keep:
                await _release(plane.client, _FINALIZERS[mode])
            await delete(plane.client, w.LEASES, DEPLOYMENT[1], DEPLOYMENT[0])
            await _delete_all(plane.client, what.control_plane, seconds, crds=crds)
            stays = [f"Namespace {name}" for name in await _namespaces(plane.client, mode)]
        if not crds:
            stays.append("the CustomResourceDefinitions with their objects")
        click.echo(f"What stays: {', '.join(stays)}; in members what `mcsctl unjoin` has not removed")
        if mode == BESIDE_KARMADA:
            with suppress(click.ClickException):  # its manager is elsewhere
                if edit := await karmadas_edit(host, on=True):
                    click.echo(f"Karmada's own controllers are off. To turn them on:\n{edit}")


async def _refuse_with_members(access: Access, client: ApiClient, mode: str, *, force: bool) -> None:
    if mode == STANDALONE and not force and (clusters := await _listed(client, w.CLUSTERS)):
        commands = "; ".join(f"{access.mcsctl} unjoin {w.text(one, 'metadata', 'name')}" for one in clusters)
        raise click.UsageError(f"members are registered, and only the controller can clean them up: {commands}")


async def _delete_services(client: ApiClient, seconds: float, *, force: bool) -> None:
    services = await _listed(client, w.MULTICLUSTERSERVICES)
    for one in services:
        await delete(
            client, w.MULTICLUSTERSERVICES, w.text(one, "metadata", "name"), w.text(one, "metadata", "namespace")
        )

    async def held() -> str:
        left = await _listed(client, w.MULTICLUSTERSERVICES)
        shown = ", ".join(
            f"{w.text(one, 'metadata', 'namespace')}/{w.text(one, 'metadata', 'name')}" for one in left[:5]
        )
        return f"{len(left)} MultiClusterServices, {shown}: the controller removes their finalizers" if left else ""

    if services and not force:
        await _until_gone(held, seconds, "see that it runs, or take --force")
        say(f"{len(services)} MultiClusterServices are removed, and what they delivered")


async def _stop(host: Plane, seconds: float) -> None:
    namespace, name = DEPLOYMENT
    await delete(host.client, w.DEPLOYMENTS, name, namespace)

    async def held() -> str:
        pods = [
            w.text(one, "metadata", "name")
            for one in await list_all(host.client, w.PODS, namespace)
            if w.labels_of(one).get("app.kubernetes.io/name") == "mcs-controller"
            and w.labels_of(one).get("app.kubernetes.io/component") == "controller-manager"
        ]
        there = await find(host.client, w.DEPLOYMENTS, name, namespace) is not None
        return f"Deployment {namespace}/{name}" if there else f"Pods {', '.join(pods)}" if pods else ""

    await _until_gone(held, seconds, "nothing else was removed")
    say(f"Deployment {namespace}/{name} is removed, and its Pods are gone")


async def _release(client: ApiClient, ours: frozenset[str]) -> None:
    """Take finalizers away that nobody is left to remove."""
    released = 0
    for kind in _CARRIERS:
        for one in await _listed(client, kind):
            released += await _release_one(client, kind, one, ours)
    if released:
        say(f"{released} objects are free of the controller's finalizers")


async def _release_one(client: ApiClient, kind: Kind, seen: Object, ours: frozenset[str]) -> bool:
    """Whether it had any of ours. Others may write it meanwhile, and it may go."""
    name, namespace = w.text(seen, "metadata", "name"), w.text(seen, "metadata", "namespace")
    one: Object | None = seen
    while one is not None:
        all_of_them = [str(each) for each in w.items(one, "metadata", "finalizers")]
        others = [each for each in all_of_them if each not in ours]
        if others == all_of_them:
            return False
        meta = {"finalizers": others, "resourceVersion": w.text(one, "metadata", "resourceVersion")}
        try:
            await client.patch(resource_of(kind), name, {"metadata": meta}, namespace)
        except NotFound:
            return False
        except Conflict:
            one = await find(client, kind, name, namespace)
        else:
            return True
    return False


async def _delete_all(client: ApiClient, objects: Sequence[Object], seconds: float, *, crds: bool) -> None:
    definitions = [w.text(one, "metadata", "name") for one in objects if crds and kind_of(one) == w.CRDS]
    removed = 0
    for one in reversed(objects):
        if (kind := kind_of(one)) != w.NAMESPACES and (kind != w.CRDS or crds):
            removed += await delete(client, kind, w.text(one, "metadata", "name"), w.text(one, "metadata", "namespace"))

    touched = time.monotonic()

    async def held() -> str:
        nonlocal touched
        found = [await find(client, w.CRDS, name) for name in definitions]
        if time.monotonic() - touched > _TOUCH_SECONDS:
            touched = time.monotonic()
            for one in found:
                await _touch(client, one)
        left = [
            f"{w.text(one, 'metadata', 'name')} ({w.condition(one, 'Terminating').get('message', 'not terminating')})"
            for one in found
            if one is not None
        ]
        return f"CustomResourceDefinitions {', '.join(left)}" if left else ""

    await _until_gone(held, seconds, "finalizers of others hold their objects, or the API server is slow")
    say(f"{removed} more objects are removed from {client.host}")


async def _touch(client: ApiClient, definition: Object | None) -> None:
    """Have the API server look again at a definition that is being deleted.

    Its clean-up fails with 429 where the kind's cache is not ready yet, as of a definition that is new. It is tried
    again 5 ms later: with a copy of the definition from before the first try that is a conflict, and there is no third
    until the definition changes, or five minutes have passed.
    """
    if definition is not None:
        meta = {"annotations": {_TOUCHED: str(time.time_ns())}}
        with suppress(NotFound, Conflict):
            await client.patch(resource_of(w.CRDS), w.text(definition, "metadata", "name"), {"metadata": meta})


async def _namespaces(client: ApiClient, mode: str) -> list[str]:
    """Those of the installation; stand-alone also those of Works, of Clusters that nobody has cleaned up after."""
    names = [w.text(one, "metadata", "name") for one in await list_all(client, w.NAMESPACES)]
    of_works = [one for one in names if one.startswith(wk.EXECUTION_PREFIX)] if mode == STANDALONE else []
    return [wk.SYSTEM_NAMESPACE, wk.CLUSTER_NAMESPACE, *of_works]


async def _listed(client: ApiClient, kind: Kind) -> Sequence[Object]:
    """All objects of a kind; none if the kind is not there."""
    try:
        return await list_all(client, kind)
    except NotFound:
        return []


async def _until_gone(held: Callable[[], Awaitable[str]], seconds: float, advice: str) -> None:
    until = time.monotonic() + seconds
    while left := await held():
        if time.monotonic() > until:
            raise click.ClickException(f"still there after {seconds:g} s: {left}; {advice}")
        await asyncio.sleep(POLL_SECONDS)
