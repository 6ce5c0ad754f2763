"""`mcsctl doctor`: the diagnosis of an installation or of one service."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from mcs_controller.diagnosis.findings import Severity
from mcs_controller.diagnosis.verdict import diagnose
from mcs_controller.mcsctl import completion
from mcs_controller.mcsctl.access import Access, AccessOptions
from mcs_controller.mcsctl.main import EXIT_BROKEN, EXIT_HEALTHY, EXIT_UNSEEN
from mcs_controller.mcsctl.observe import observe
from mcs_controller.mcsctl.render import FORMATS, show
from mcs_controller.mcsctl.rights import CONTROLLER_USER
from mcs_controller.mcsctl.seconds import SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcs_controller.diagnosis.verdict import Diagnosis
    from mcs_controller.mcsctl.probing import ProbeOptions

_INTERVAL_SECONDS = 2.0


@click.command("doctor")
@click.argument("service", required=False, shell_complete=completion.services)
@click.option(
    "-n",
    "--namespace",
    default="default",
    show_default=True,
    shell_complete=completion.namespaces,
    help="Of the Service.",
)
@click.option(
    "--from",
    "from_cluster",
    default="",
    metavar="CLUSTER",
    shell_complete=completion.clusters,
    help="The consumer where it fails. Default: all.",
)
@click.option("--wait", "wait_seconds", type=SECONDS, default=0.0, help="Until healthy, so long at most.")
@click.option("--probe", is_flag=True, help="Try it by traffic, too, from a short-lived Pod in each consumer.")
@click.option(
    "--probe-pod", default="", metavar="NAME[/CONTAINER]", help="Try it from this Pod, which has sh and curl."
)
@click.option("--probe-image", default="", metavar="IMAGE", help="Of the short-lived Pod. Default: ours.")
@click.option(
    "--controller-user",
    default=CONTROLLER_USER,
    show_default=True,
    metavar="USER",
    help="Of the controller in the control plane: whose rights are looked at.",
)
@click.option(
    "-f",
    "--filename",
    "files",
    type=click.Path(allow_dash=True),
    multiple=True,
    metavar="FILE",
    help="Check manifests that are not applied yet; - is stdin.",
)
@click.option("--offline", is_flag=True, help="With -f: ask no control plane, go by the files alone.")
@click.option("-o", "--output", type=click.Choice(FORMATS), default="text", show_default=True)
@click.pass_obj
def command(
    options: dict[str, Any],
    service: str | None,
    namespace: str,
    from_cluster: str,
    wait_seconds: float,
    probe: bool,
    probe_pod: str,
    probe_image: str,
    controller_user: str,
    files: tuple[str, ...],
    offline: bool,
    output: str,
) -> int:
    r"""Find out why a service does not answer, and how it is mended.

    Without SERVICE the installation is looked at. With one its whole chain is, object by object; the first broken link
    is the verdict. It changes nothing; with --probe it makes a Pod, and deletes it.

    \b
    Examples:
      mcsctl doctor
      mcsctl doctor nginx -n shop --from member2
      mcsctl doctor nginx --wait 60s && echo healthy
      mcsctl doctor -f nginx.yaml       # before it is applied
      mcsctl doctor nginx -n shop --from member2 --probe-pod curl
    """
    target = (namespace, service) if service else None
    if offline and not files:
        raise click.UsageError("--offline needs -f FILE")
    if files:
        from mcs_controller.mcsctl.unapplied import check, load

        manifests = load(files, namespace)
        diagnosis = asyncio.run(check(AccessOptions(**options), manifests, target, offline=offline))
        show(diagnosis, output)
        return exit_code(diagnosis)
    probing = None
    if probe or probe_pod or probe_image:
        if target is None:
            raise click.UsageError("--probe tries one SERVICE")
        from mcs_controller.mcsctl.probing import IMAGE, ProbeOptions

        probing = ProbeOptions(pod=probe_pod, image=probe_image or IMAGE)
    once = partial(run, AccessOptions(**options), target, from_cluster, probing, controller_user)
    diagnosis = asyncio.run(_until_healthy(once, wait_seconds))
    show(diagnosis, output)
    return exit_code(diagnosis)


def exit_code(diagnosis: Diagnosis) -> int:
    """0 if all that was looked at is healthy, and everything was looked at."""
    if diagnosis.verdict is not None:
        return EXIT_BROKEN
    unseen = (Severity.UNKNOWN, Severity.IN_PROGRESS)
    return EXIT_UNSEEN if any(one.severity in unseen for one in diagnosis.findings) else EXIT_HEALTHY


async def run(
    options: AccessOptions,
    service: tuple[str, str] | None = None,
    from_cluster: str = "",
    probing: ProbeOptions | None = None,
    controller_user: str = CONTROLLER_USER,
) -> Diagnosis:
    """Observe and diagnose, once."""
    async with Access(options) as access:
        world = await observe(access, service=service, from_cluster=from_cluster, controller_user=controller_user)
        if probing is not None:
            from mcs_controller.mcsctl.probing import probe_consumers

            await probe_consumers(access, world, probing)
        return diagnose(world)


async def _until_healthy(once: Callable[[], Awaitable[Diagnosis]], seconds: float) -> Diagnosis:
    until = time.monotonic() + seconds
    while True:
        diagnosis = await once()
        if exit_code(diagnosis) == EXIT_HEALTHY or time.monotonic() + _INTERVAL_SECONDS > until:
            return diagnosis
        await asyncio.sleep(_INTERVAL_SECONDS)
