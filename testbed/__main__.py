"""``python -m testbed``: start, show and stop named test beds, and run commands in their Pods."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from typing import TYPE_CHECKING, cast

import click
import msgspec
from rich.console import Console

from testbed import lifecycle
from testbed.bed import HOST_NAME, MAX_MEMBERS, required_components
from testbed.dataplane import missing_capabilities, pod_shell
from testbed.errors import BedError
from testbed.state import DEFAULT_NAME, BedDirectory, BedState
from testbed.supervisor import Extent, plane_names, supervise
from tools.components import OLDER_KUBERNETES_VERSION, ComponentError, resolve
from tools.progress import ProgressPrinter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_name_option = click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the bed.")
_output_option = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Format of stdout."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A control plane and member clusters on this machine, which run until they are stopped."""


@main.command()
@click.option(
    "--members",
    type=click.IntRange(0, MAX_MEMBERS),
    default=2,
    show_default=True,
    help="Number of member clusters: member1, member2, ... (about 0.5 GB and 2 s each).",
)
@_name_option
@click.option(
    "--no-controller", is_flag=True, help="Apply the manifests and register the members, without a controller."
)
@click.option("--planes-only", is_flag=True, help="API servers only: no manifests, no Clusters, no controller.")
@click.option(
    "--dataplane/--no-dataplane",
    default=None,
    help="Whether Pods really run and answer, in network namespaces with kube-proxy and CoreDNS"
    " (default: if this machine can; needs root and nftables).",
)
@click.option(
    "--version",
    "versions",
    multiple=True,
    metavar="PLANE=VERSION",
    help=f"Version of one API server: member1={OLDER_KUBERNETES_VERSION}. May be repeated.",
)
@_output_option
def up(
    members: int,
    name: str,
    no_controller: bool,
    planes_only: bool,
    dataplane: bool | None,
    versions: tuple[str, ...],
    output: str,
) -> None:
    """Start a bed and print how to use it. If it runs already, say so."""
    console = Console(stderr=True)
    dataplane = _dataplane(console, dataplane, sensible=members > 0 and not planes_only)
    extent: Extent = "planes" if planes_only else "fleet" if no_controller else "controller"
    wanted = [f"member{number}" for number in range(1, members + 1)]
    older = _versions(versions, [HOST_NAME, *wanted])
    try:
        directory = BedDirectory(name)
        with ProgressPrinter(console, found=False) as printer:
            components = required_components(dataplane=dataplane, versions=older.values())
            paths = resolve([*components, "kubectl"], on_progress=printer)
        with console.status(f"starting bed {name!r}"):

            def tell(text: str) -> None:
                console.print(f"  {text}", highlight=False, markup=False)

            outcome = lifecycle.up(
                directory, members=wanted, extent=extent, on_progress=tell, dataplane=dataplane, versions=older
            )
    except (BedError, ComponentError) as error:
        raise click.ClickException(str(error)) from error
    if outcome.already_up:
        differs = f", with {len(outcome.state.members)} members" if outcome.state.members != wanted else ""
        console.print(f"bed {name!r} runs already{differs}", highlight=False, markup=False)
        if dead := lifecycle.not_running(outcome.state):
            console.print(f"not running: {', '.join(dead)}; run down and up", highlight=False, markup=False)
    _show(outcome.state, output, paths["kubectl"])


@main.command()
@_name_option
def down(name: str) -> None:
    """Stop a bed and remove all its processes and files, also after a crash."""
    try:
        found = lifecycle.down(BedDirectory(name))
    except BedError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"bed {name!r} was removed" if found else f"bed {name!r} does not exist", err=True)


@main.command()
@click.option("--name", default="", help="Only this bed (default: all).")
@_output_option
def status(name: str, output: str) -> None:
    """Show the beds and whether their processes run. Exit code 1 if a bed is broken."""
    try:
        directories = [BedDirectory(each) for each in ([name] if name else lifecycle.names())]
    except BedError as error:
        raise click.ClickException(str(error)) from error
    states = [state for directory in directories if (state := lifecycle.status(directory)) is not None]
    dead = {state.name: lifecycle.not_running(state) for state in states}
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(states)).decode())
    else:
        for state in states:
            click.echo(f"{state.name}: {state.phase}, {', '.join(plane_names(state))} {state.message}".rstrip())
            for each in state.processes:
                click.echo(f"  {each:<44}{'not running' if each in dead[state.name] else 'running'}")
        if not states:
            click.echo(f"bed {name!r} does not exist" if name else "no beds", err=True)
    if (name and not states) or any(state.phase != "ready" or dead[state.name] for state in states):
        sys.exit(1)


@main.command(name="supervise", hidden=True)
@click.option("--name", required=True)
@click.option("--extent", type=click.Choice(["controller", "fleet", "planes"]), required=True)
@click.option("--dataplane", is_flag=True)
@click.option("--version", "versions", multiple=True)
@click.argument("members", nargs=-1)
def supervise_command(
    name: str, extent: str, dataplane: bool, versions: tuple[str, ...], members: tuple[str, ...]
) -> None:
    """The process that owns a bed; started by `up`."""
    older = _versions(versions, [HOST_NAME, *members])
    asyncio.run(supervise(BedDirectory(name), members, cast("Extent", extent), dataplane=dataplane, versions=older))


@main.command(name="exec")
@_name_option
@click.option("--namespace", "-n", default="default", show_default=True, help="The Pod's namespace.")
@click.argument("member")
@click.argument("pod")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_command(name: str, namespace: str, member: str, pod: str, command: tuple[str, ...]) -> None:
    """Run COMMAND inside a Pod of a member; the exit code is the command's.

    POD is the name of a Pod or of its Deployment, as in `python -m testbed exec member2 curl -- curl
    http://nginx.default`. The command has the Pod's network and DNS, and this machine's programs and files.
    """
    try:
        shell = pod_shell(BedDirectory(name).root, member, pod, namespace=namespace)
    except BedError as error:
        raise click.ClickException(str(error)) from error
    argv = shell.argv(command)
    sys.stdout.flush()
    try:
        os.execvpe(argv[0], argv, shell.environ())
    except OSError as error:
        raise click.ClickException(f"cannot run {argv[0]}: {error}") from error


def _versions(given: Sequence[str], planes: Sequence[str]) -> dict[str, str]:
    """``PLANE=VERSION`` each."""
    pairs = [each.partition("=") for each in given]
    for plane, equals, version in pairs:
        if not (equals and version) or plane not in planes:
            raise click.BadParameter(
                f"{plane}{equals}{version} is not PLANE=VERSION with a plane of {', '.join(planes)}",
                param_hint="--version",
            )
    return {plane: version for plane, _, version in pairs}


def _dataplane(console: Console, wanted: bool | None, *, sensible: bool) -> bool:
    """Whether the bed gets a data plane; prints the reason if this machine does not allow one."""
    if wanted is False or (wanted is None and not sensible):
        return False
    missing = missing_capabilities()
    if missing and wanted:
        raise click.ClickException("this machine does not allow a data plane; missing: " + "; ".join(missing))
    for each in missing:
        console.print(f"no data plane, so Pods will not answer; missing: {each}", highlight=False, markup=False)
    return not missing


def _show(state: BedState, output: str, kubectl: Path) -> None:
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode({**msgspec.to_builtins(state), "kubectl": str(kubectl)})))
        return
    planes = plane_names(state)
    files = [state.kubeconfigs[plane] for plane in planes]
    say: Callable[[str], None] = click.echo
    say(f"bed {state.name!r} runs: {', '.join(planes)} (started in {state.seconds:g} s). To use it, paste:")
    say("")
    say(f"  export KUBECONFIG={shlex.quote(':'.join(files))}")
    say(f"  export PATH={shlex.quote(str(kubectl.parent))}:$PATH")
    say("")
    joined = "controller" in state.kubeconfigs
    say(f"  kubectl --context {planes[0]} get {'clusters' if joined else 'namespaces'}")
    for plane in planes[1:]:
        say(f"  kubectl --context {plane} get pods -A")
    say("")
    if state.dataplane:
        say("To run a command inside a Pod:")
        say(f"  kubectl --context {planes[-1]} exec POD -- curl http://SERVICE.NAMESPACE")
        say("")
    say("Kubeconfig files:")
    for plane, file in zip(planes, files, strict=True):
        say(f"  {plane:<12}{file}")
    suffix = "" if state.name == DEFAULT_NAME else f" --name {state.name}"
    say(f"To remove it: python -m testbed down{suffix}")


if __name__ == "__main__":
    main()
