"""The `mcsctl` command. Each subcommand is imported when it is called: `--help` needs none of them."""

from __future__ import annotations

import sys
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from mcs_controller import __version__
from mcs_controller.mcsctl.seconds import SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME: Final = "mcsctl"

EXIT_HEALTHY: Final = 0
EXIT_BROKEN: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNSEEN: Final = 3
"""Nothing is known to be broken, and not everything could be looked at."""
EXIT_INTERRUPTED: Final = 130

COMMANDS: Final = {
    "doctor": "Find out why a service does not answer, and how it is mended",
    "install": "Install the controller, stand-alone or beside Karmada",
    "upgrade": "Bring the controller to this version",
    "uninstall": "Remove the controller",
    "join": "Register a member",
    "unjoin": "Remove a member",
    "connectivity": "Test an installation by a service of its own",
    "bundle": "Collect what a bug report needs, without secrets",
    "token": "Renew the token by which the controller reaches a member",
    "get": "List services with providers, consumers, endpoints and what is skipped",
    "describe": "Show the chain of one service, object by object",
    "graph": "Draw which provider gives endpoints to which consumer",
    "probe": "Resolve names and connect to addresses from here, as doctor --probe does in a Pod",
    "trace": "Follow the next change of endpoints to the consumers, with times",
}
"""Each subcommand with its line of help: command `a-b` is `command` of module `mcs_controller.mcsctl.a_b`."""


_KUBECTL_FLAGS: Final = ("--kubeconfig", "--context", "--members-kubeconfig", "--member-context")
_KUBECTL_FLAGS_WITH_VALUE: Final = tuple(f"{flag}=" for flag in _KUBECTL_FLAGS)


class _Lazy(click.Group):
    """A group whose commands are imported when they are needed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click. Flags of kubectl may follow the command, as they may with kubectl."""
        if args and args[-1] in _KUBECTL_FLAGS and "--" not in args and not ctx.resilient_parsing:
            raise click.BadOptionUsage(args[-1], f"Option {args[-1]!r} requires an argument.", ctx)
        return super().parse_args(ctx, _kubectl_flags_first(args))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See click."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"mcs_controller.mcsctl.{cmd_name.replace('-', '_')}")
        return with_paragraphs(module.command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See click; without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _kubectl_flags_first(args: Sequence[str]) -> list[str]:
    """The arguments with those flags in front that every command has; `--` ends the flags."""
    first: list[str] = []
    others: list[str] = []
    left = iter(args)
    for word in left:
        if word == "--":
            others += [word, *left]
        elif word in _KUBECTL_FLAGS:
            first += [word, *islice(left, 1)]
        else:
            (first if word.startswith(_KUBECTL_FLAGS_WITH_VALUE) else others).append(word)
    return first + others


def with_paragraphs(command: click.Command) -> click.Command:
    r"""The command with the `\b` of its docstring as the character by which click keeps the lines of a paragraph."""
    command.help = (command.help or "").replace("\\b\n", "\b\n")
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        with_paragraphs(each)
    return command


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "MCSCTL", "max_content_width": 120},
    epilog="Exit codes: 0 healthy, or done; 1 something is broken, or could not be done; 2 flags or kubeconfig cannot "
    "be worked with; 3 nothing is known to be broken, and not everything could be looked at; 130 interrupted.",
)
@click.version_option(__version__, prog_name=NAME)
@click.option(
    "--kubeconfig",
    type=click.Path(),
    default="",
    metavar="PATH",
    help="Control plane's kubeconfig. Default: as kubectl.",
)
@click.option("--context", "context_name", default="", metavar="NAME", help="Context of the control plane.")
@click.option(
    "--members-kubeconfig",
    type=click.Path(),
    default="",
    metavar="PATH",
    help="Where the members' contexts are, if elsewhere.",
)
@click.option(
    "--member-context",
    "member_contexts",
    multiple=True,
    metavar="CLUSTER=CONTEXT",
    help="Context of a member. Default: the one called like the Cluster, then the Cluster's Secret, then the proxy.",
)
@click.option("--timeout", type=SECONDS, default=5.0, show_default=True, help="For each request.")
@click.pass_context
def cli(ctx: click.Context, /, **_: Any) -> None:
    r"""Diagnose services that span clusters.

    \b
    Examples:
      mcsctl doctor                     # the installation
      mcsctl doctor nginx -n shop       # one service, from end to end
      mcsctl get -A                     # all services
    """
    ctx.obj = options_of(ctx.params)


with_paragraphs(cli)


def options_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `AccessOptions` by the flags of `cli`."""
    return {
        "kubeconfig": params.get("kubeconfig") or "",
        "context": params.get("context_name") or "",
        "members_kubeconfig": params.get("members_kubeconfig") or "",
        "member_contexts": dict(_pair(each) for each in params.get("member_contexts") or ()),
        "timeout_seconds": params.get("timeout"),
    }


def _pair(text: str) -> tuple[str, str]:
    name, separator, context = text.partition("=")
    if not (name and separator and context):
        raise click.BadParameter(f"{text!r} is not CLUSTER=CONTEXT", param_hint="--member-context")
    return name, context


def main(argv: Sequence[str] | None = None) -> int:
    """Run mcsctl. Returns the exit code.

    Args:
        argv: arguments without the program's name; None takes the process's own.
    """
    arguments: Any = None if argv is None else list(argv)
    try:
        result = cli.main(args=arguments, prog_name=NAME, standalone_mode=False)
        return result if isinstance(result, int) else EXIT_HEALTHY
    except click.Abort:
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        # Those that click raises have a context, and show the usage; the text of ours may have words of others in it.
        error.show() if getattr(error, "ctx", None) else _say(error.message)
        return error.exit_code  # EXIT_USAGE for those that are about usage
    except Exception as error:
        # Here, as they bring the client along, which takes longer than all of --help.
        from informers.errors import ConfigError, KubeError
        from mcs_controller.diagnosis.world import Unseen
        from mcs_controller.members.credentials import InvalidCluster

        if not isinstance(error, KubeError | InvalidCluster | Unseen | OSError):
            raise
        _say(str(error))
        codes = {ConfigError: EXIT_USAGE, Unseen: EXIT_UNSEEN}
        return next((code for kind, code in codes.items() if isinstance(error, kind)), EXIT_BROKEN)


def _say(problem: str) -> None:
    from mcs_controller.mcsctl.render import printable

    click.echo(f"Error: {printable(problem)}", err=True)


if __name__ == "__main__":
    sys.exit(main())
