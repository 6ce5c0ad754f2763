"""A member's credentials: a token that is made in the member, tried, and put into the Secret of its Cluster."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import click
import msgspec

from informers.client.config import ClientConfig, StaticToken
from informers.errors import KubeError, Untrusted, from_response
from mcs_controller.diagnosis import world as w
from mcs_controller.domain import well_known as wk
from mcs_controller.mcsctl.access import PROXY
from mcs_controller.mcsctl.objects import apply, find
from mcs_controller.mcsctl.observe import token_claims
from mcs_controller.members.credentials import client_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from informers.client.client import ApiClient
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.mcsctl.access import Access, Plane

ACCOUNT: Final = (wk.SYSTEM_NAMESPACE, "mcs-controller-manager")
"""Namespace and name of the ServiceAccount of manifests/member."""

_CONFIGMAPS: Final = w.Kind("v1", "configmaps", "ConfigMap")


def account_of(token: str) -> tuple[str, str] | None:
    """Namespace and name of the ServiceAccount that a token says it is for; None for one that is for none."""
    match str(token_claims(token).get("sub")).split(":"):
        case ["system", "serviceaccount", namespace, name] if namespace and name:
            return namespace, name
    return None


async def issue(member: Plane, account: tuple[str, str], seconds: float) -> str:
    """A new token for a ServiceAccount of a member. The member may give it a shorter life than was asked for.

    Raises:
        NotFound: there is no such ServiceAccount.
        KubeError: the member gives none.
    """
    namespace, name = account
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": int(seconds)},
    }
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/serviceaccounts/{quote(name, safe='')}/token"
    answer = await member.client.raw("POST", path, body=json.dumps(request).encode())
    if not 200 <= answer.status < 300:
        raise from_response(answer.status, answer.body, answer.headers)
    try:
        token = w.text(msgspec.json.decode(answer.body), "status", "token")
    except msgspec.DecodeError:
        token = ""
    if not token:
        raise click.ClickException(f"{member.name} answered the TokenRequest without a token")
    return token


async def try_token(access: Access, member: Plane, cluster: Cluster, token: str) -> tuple[bytes | None, str]:
    """Use a new token as the controller will: at the Cluster's endpoint, trusting one authority.

    Args:
        access: opens the connection.
        member: where the token is from.
        cluster: the Cluster, with its endpoint.
        token: the token.

    Returns:
        The authority that verifies the endpoint, or None if the Cluster wants none; and in words where it was tried: an
        endpoint that only the control plane's network reaches cannot be tried from here, so the member's own is then.

    Raises:
        click.ClickException: it does not work, and is not to be stored.
    """
    problem = "no authority is known: give its context a certificate-authority"
    async for ca_pem in _authorities(member, cluster):
        for config in _ways(member, cluster, ca_pem, token):
            try:
                plane = await access.open(cluster.name, config, member.kubectl, "the new token")
                answer = await plane.client.raw("GET", "/version")
            except Untrusted as error:
                problem = str(error)
                break
            except KubeError as error:
                problem = str(error)
                continue
            if answer.status == 200:
                return ca_pem, f"tried at {plane.client.host}"
            problem = f"GET /version at {plane.client.host}: HTTP {answer.status}"
            break
    raise click.ClickException(f"the new token of {cluster.name} does not work, so nothing was written: {problem}")


async def _authorities(member: Plane, cluster: Cluster) -> AsyncIterator[bytes | None]:
    """What may verify the member's endpoint: what its context trusts, and what its own Pods trust."""
    if cluster.spec.insecure_skip_tls_verification or cluster.spec.api_endpoint.startswith("http:"):
        yield None
        return
    if member.config.ca_pem and member.how != PROXY:
        yield member.config.ca_pem
    published = await find(member.client, _CONFIGMAPS, "kube-root-ca.crt", "kube-system")
    if pem := w.text(published, "data", "ca.crt"):
        yield pem.encode()


def _ways(member: Plane, cluster: Cluster, ca_pem: bytes | None, token: str) -> list[ClientConfig]:
    source = StaticToken(token)
    ways = [client_config(cluster, ca_pem, source)]
    if member.how != PROXY and member.config.server.rstrip("/") != cluster.spec.api_endpoint.rstrip("/"):
        own = member.config  # without the client certificate that it may have
        ways.append(
            ClientConfig(
                server=own.server,
                ca_pem=own.ca_pem,
                insecure_skip_tls_verify=own.insecure_skip_tls_verify,
                token_source=source,
                proxy_url=own.proxy_url,
                proxy_headers=own.proxy_headers,
                tls_server_name=own.tls_server_name,
            )
        )
    return ways


async def store(host: ApiClient, cluster: Cluster, token: str, ca_pem: bytes | None) -> str:
    """Put credentials into the Secret of a Cluster, made if there is none. Its namespace and name, for people."""
    ref = cluster.spec.secret_ref
    if ref is None:
        raise click.UsageError(
            f"Cluster {cluster.name} has no spec.secretRef: in Pull mode its agent has the credentials "
            "(docs/agent.md, step 3)"
        )
    data = {"token": token.encode()} | ({"caBundle": ca_pem} if ca_pem is not None else {})
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": ref.name, "namespace": ref.namespace},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    await apply(host, secret)
    return f"{ref.namespace}/{ref.name}"
