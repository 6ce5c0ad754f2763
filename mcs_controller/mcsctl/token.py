"""`mcsctl token renew`: a new token for the connection from the control plane to a member."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from informers.errors import Forbidden, KubeError, NotFound, Unauthorized
from mcs_controller.api.resources import CLUSTERS
from mcs_controller.mcsctl import completion
from mcs_controller.mcsctl.access import Access, AccessOptions
from mcs_controller.mcsctl.credentials import ACCOUNT, account_of, issue, store, try_token
from mcs_controller.mcsctl.observe import token_expiry
from mcs_controller.members.credentials import InvalidCluster
from mcs_controller.options import DURATION

if TYPE_CHECKING:
    from mcs_controller.api.cluster import Cluster

DURATION_OPTION = click.option(
    "--duration",
    type=DURATION,
    default="8760h",
    show_default=True,
    help="Of the token's life; the member may shorten it.",
)


@click.group("token")
def command() -> None:
    """Tokens by which the control plane reaches its members."""


@command.command("renew")
@click.argument("cluster", shell_complete=completion.clusters)
@DURATION_OPTION
@click.pass_obj
def renew(options: dict[str, Any], cluster: str, duration: float) -> None:
    r"""Make a new token in the member, and put it into the Secret of the Cluster.

    The token is for the ServiceAccount of the present one. It is tried before it is stored, with the authority that
    verifies the member. The controller uses it within five minutes, or as soon as the old one is refused; the old one
    stays valid until it expires.

    It needs a context of the member, called like CLUSTER or named by --member-context, whose user may create tokens.

    \b
    Examples:
      mcsctl token renew member1
      mcsctl --member-context member1=prod-eu token renew member1 --duration 2160h
    """
    asyncio.run(_renew(AccessOptions(**options), cluster, duration))


async def _renew(options: AccessOptions, name: str, seconds: float) -> None:
    async with Access(options) as access:
        host = (await access.host()).client
        try:
            cluster = await host.get(CLUSTERS, name)
        except NotFound:
            raise click.UsageError(
                f"Cluster {name} is not registered: mcsctl join {name} --cluster-context CONTEXT registers it"
            ) from None
        member = await access.member(cluster)
        account = await _present_account(access, cluster) or ACCOUNT
        try:
            token = await issue(member, account, seconds)
        except NotFound:
            raise click.ClickException(
                f"{name} has no ServiceAccount {'/'.join(account)}: "
                f"mcsctl join {name} --cluster-context CONTEXT creates it"
            ) from None
        except (Unauthorized, Forbidden) as error:
            raise click.ClickException(
                f"{name}, reached by {member.how}, gives no token for {'/'.join(account)}: {error}. "
                "Name a context whose user may create tokens: "
                f"mcsctl --member-context {name}=CONTEXT token renew {name}"
            ) from error
        ca_pem, tried = await try_token(access, member, cluster, token)
        secret = await store(host, cluster, token, ca_pem)
    expires = token_expiry(token)
    until = f"valid until {expires:%Y-%m-%d %H:%M} UTC" if expires is not None else "without an expiry that it states"
    click.echo(f"Secret {secret} has a new token for {'/'.join(account)}, {until}, {tried}.")


async def _present_account(access: Access, cluster: Cluster) -> tuple[str, str] | None:
    """Karmada's registration has an account of its own: what is stored must go on having its rights."""
    try:
        source = (await access.by_secret(cluster)).config.token_source
        return account_of(await source.token() or "") if source is not None else None
    except (InvalidCluster, KubeError):
        return None
