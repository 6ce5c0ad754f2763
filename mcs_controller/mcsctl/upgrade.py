"""`mcsctl upgrade`: brings what is installed to this version, and shows first what that changes."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from difflib import unified_diff
from typing import TYPE_CHECKING, Final

import click
import yaml

from mcs_controller import __version__
from mcs_controller.diagnosis import world as w
from mcs_controller.mcsctl.access import Access
from mcs_controller.mcsctl.installation import (
    ADMINISTRATOR,
    BESIDE_KARMADA,
    DEPLOYMENT,
    EXTRAS,
    STANDALONE,
    Target,
    Wanted,
    apply_all,
    apply_one,
    content,
    karmadas_edit,
    named,
    parts,
    target_options,
    until_available,
    wanted_options,
)
from mcs_controller.mcsctl.join import asking
from mcs_controller.mcsctl.main import EXIT_BROKEN, EXIT_HEALTHY
from mcs_controller.mcsctl.manifests import rendered
from mcs_controller.mcsctl.objects import find, kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcs_controller.diagnosis.world import Object
    from mcs_controller.mcsctl.access import Plane

_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
_SIGNS: Final = ("NetworkPolicy", "PodMonitor", "ServiceMonitor")
"""Kinds by one of which each of `EXTRAS` is known to be installed."""

_REVISION: Final = "deployment.kubernetes.io/revision"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Installed:
    """What is there.

    Attributes:
        image: of the Deployment.
        revision: of the Deployment, to which its Pods can go back; empty if none of them ever ran.
        extras: of `EXTRAS`.
    """

    image: str
    revision: str
    extras: Sequence[str]

    @property
    def version(self) -> str:
        """By the tag of the image; empty if that is none."""
        tag = self.image.partition("@")[0].rpartition(":")[2]
        return tag.removeprefix("v") if _VERSION.fullmatch(tag) else ""

    def next_image(self) -> str:
        """The same image with the tag of this version.

        Raises:
            click.UsageError: its tag is not a version, so it is not known what this version's is.
        """
        if not self.version or "@" in self.image:
            raise click.UsageError(f"--image is needed: the present one, {self.image}, does not end in a version")
        return f"{self.image.rpartition(':')[0]}:{__version__}"


@click.command("upgrade")
@target_options
@wanted_options
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def command(target: Target, wanted: Wanted, yes: bool) -> int:
    r"""Bring the controller that is installed to this version of mcsctl.

    It shows each object that changes, as the API server would have it, and asks before it applies them: definitions
    first, the Deployment last. It changes nothing if fields that differ were set by others (--force takes them over),
    or if Karmada's own controllers do the same work. At the end it says how the Pods go back to the version before.

    \b
    Examples:
      mcsctl upgrade --mode standalone --print
      mcsctl upgrade --mode standalone --yes
      mcsctl --context karmada upgrade --mode beside-karmada --host-context host
    """
    target.require_host()
    return asyncio.run(_upgrade(target, wanted, yes=yes))


async def _upgrade(target: Target, wanted: Wanted, *, yes: bool) -> int:
    async with Access(target.access) as access:
        plane, host = await target.planes(access)
        with asking(host, ADMINISTRATOR):
            installed = await _installed(host, target.mode)
        click.echo(f"Installed: {installed.image}, version {installed.version or 'unknown'}; this is {__version__}")
        extras = [each for each in EXTRAS if each in (*wanted.extras, *installed.extras)]
        what = parts(target.mode, image=wanted.image or installed.next_image(), extras=extras)
        problems = [] if not (skew := version_skew(installed.version, __version__)) else [skew]
        if target.mode == BESIDE_KARMADA:
            problems += await _definitions_missing(plane)
            if not wanted.karmada_is_off and (edit := await karmadas_edit(host, on=False)):
                problems.append(f"Karmada's own controllers do the same work. Turn them off: {edit}")
        changed = 0
        for where, objects in ((plane, what.control_plane), (host, what.host)):
            changes, conflicts = await _changes(where, objects, force=wanted.force)
            click.echo("".join(changes), nl=False)
            changed, problems = changed + len(changes), problems + conflicts
        for problem in problems:
            click.echo(f"! {problem}", err=True)
        click.echo(f"{changed} of {len(what.control_plane) + len(what.host)} objects change")
        if problems or wanted.only_print:
            return EXIT_BROKEN if problems else EXIT_HEALTHY
        if changed and not yes:
            click.confirm("Apply this?", abort=True, err=True)
        await apply_all(plane, what.control_plane, force=wanted.force)
        await apply_all(host, what.host, force=wanted.force)
        code = await until_available(host, wanted.wait_seconds)
        if changed and installed.revision:
            undo = f"rollout undo deployment/{DEPLOYMENT[1]} --to-revision={installed.revision}"
            click.echo("To go back; definitions and rights stay, which the version before can work with:")
            click.echo(f"{host.kubectl} -n {DEPLOYMENT[0]} {undo}")
        return code


async def _installed(host: Plane, mode: str) -> _Installed:
    namespace, name = DEPLOYMENT
    found = await find(host.client, w.DEPLOYMENTS, name, namespace)
    if found is None:
        raise click.ClickException(f"Deployment {namespace}/{name} is not in the cluster of {host.how}: mcsctl install")
    if w.labels_of(found).get("app.kubernetes.io/managed-by") == "Helm":
        release = w.annotations_of(found).get("meta.helm.sh/release-name", "RELEASE")
        raise click.ClickException(f"Helm has installed it: helm upgrade {release} CHART --namespace {namespace}")
    container: Object = next(iter(w.items(found, "spec", "template", "spec", "containers")), {})
    flags = [str(flag) for field in ("command", "args") for flag in w.items(container, field)]
    there = BESIDE_KARMADA if any(flag.startswith("--kubeconfig") for flag in flags) else STANDALONE
    if there != mode:
        raise click.UsageError(f"what is installed in the cluster of {host.how} is --mode {there}")
    extras = []
    for extra in EXTRAS:
        (sign,) = [one for one in rendered([extra]) if w.text(one, "kind") in _SIGNS]
        if await find(host.client, kind_of(sign), w.text(sign, "metadata", "name"), namespace):
            extras.append(extra)
    return _Installed(
        image=w.text(container, "image"), revision=w.annotations_of(found).get(_REVISION, ""), extras=extras
    )


def version_skew(installed: str, new: str) -> str:
    """Why one version cannot be upgraded to another; empty if it can, or if the installed one is not known."""
    before, after = (_VERSION.match(each) for each in (installed, new))
    if before is None or after is None:
        return ""
    old, now = [tuple(int(number) for number in each.groups()) for each in (before, after)]
    if old > now:
        return f"{installed} is newer than {new}: definitions do not go back. For the Pods alone: kubectl rollout undo"
    if old[0] == now[0] and old[1] + 1 < now[1]:
        return f"from {installed} to {new} is more than one minor version: go by those between"
    return ""


async def _definitions_missing(plane: Plane) -> list[str]:
    """What Karmada's control plane lacks of the kinds that the controller follows there."""
    missing = []
    with asking(plane, ADMINISTRATOR):
        for one in rendered(["crds"]):
            name = w.text(one, "metadata", "name")
            found = await find(plane.client, w.CRDS, name)
            served = {w.text(each, "name") for each in w.items(found, "spec", "versions") if w.dig(each, "served")}
            if lacking := {w.text(each, "name") for each in w.items(one, "spec", "versions")} - served:
                missing.append(f"the control plane does not serve {name} in {', '.join(sorted(lacking))}")
    return missing


async def _changes(plane: Plane, objects: Sequence[Object], *, force: bool) -> tuple[list[str], list[str]]:
    """What applying would change, as a diff for each object; and what the API server would refuse."""
    changes, conflicts = [], []
    with asking(plane, ADMINISTRATOR):
        for one in objects:
            try:
                before, after = await apply_one(plane, one, force=force, dry_run=True)
            except click.ClickException as error:
                conflicts.append(error.message)
                continue
            old, new = ([] if each is None else _lines(each) for each in (before, after))
            if lines := list(unified_diff(old, new, named(one), "", n=2)):
                changes.append("".join(["--- ", named(one), "\n", *lines[2:]]))
    return changes, conflicts


def _lines(one: Object) -> list[str]:
    return yaml.safe_dump(content(one), width=1 << 16).splitlines(keepends=True)
