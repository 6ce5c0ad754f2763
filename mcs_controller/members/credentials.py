"""A member's token and CA, from the Secret that its Cluster names (contract 1.4)."""

from __future__ import annotations

import base64
import binascii
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from informers.client.config import CachedToken, ClientConfig
from informers.client.connection import ssl_context
from informers.errors import ConfigError, KubeError, NoCredentials, NotFound, TransportError
from mcs_controller.api.resources import SECRETS
from mcs_controller.domain.clusters import connection_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from informers.client.client import ApiClient
    from informers.client.config import TokenSource
    from mcs_controller.api.cluster import Cluster, SecretRef
    from mcs_controller.api.core import Secret
    from workqueue.clock import Clock

_log = logging.getLogger(__name__)

_REFUSAL_SECONDS: Final = 2.0
"""Between two readings of a Secret because of a 401: a token that is wrong is wrong for every request."""


class InvalidCluster(Exception):
    """A Cluster and its Secret do not make a valid client configuration; the text is for the user."""


@dataclass(frozen=True, slots=True, repr=False)
class _Credentials:
    token: str
    ca_pem: bytes | None


class SecretCredentials:
    """A member's token and CA in the control plane, and the TokenSource of its client.

    The token is read when it is needed and kept for five minutes at most, or until it is refused. If the CA turns out
    to be another than the one the client was built with, `on_new_ca` is called, because a client cannot change its CA.
    """

    def __init__(self, host: ApiClient, cluster: Cluster, *, clock: Clock, on_new_ca: Callable[[], None]) -> None:
        self.outdated = False
        """Whether the Secret holds another CA by now than the one that `open` returned."""
        self._host = host
        self._cluster = cluster
        self._on_new_ca = on_new_ca
        self._ca: bytes | None = None
        self._clock = clock
        self._last_refusal = -math.inf
        self._cached = CachedToken(self._fetch, clock=clock)

    def __repr__(self) -> str:
        return f"credentials of cluster {self._cluster.name}"

    @property
    def source(self) -> str:
        """Where the CA is from, in words for people."""
        ref = self._cluster.spec.secret_ref
        return f"caBundle of Secret {ref.namespace}/{ref.name}" if ref is not None else ""

    async def open(self) -> bytes | None:
        """Read the Secret and return the CA that it holds.

        Raises:
            InvalidCluster: there is no Secret, or it does not hold what it should.
        """
        self._ca = (await self._read()).ca_pem
        return self._ca

    async def check(self) -> None:
        """Read the Secret now, to notice a new CA; that it cannot be read is left to the next request to report."""
        try:
            await self._fetch()
        except TransportError as error:
            _log.debug("Cannot read the credentials again", extra={"cluster": self._cluster.name, "error": str(error)})

    async def token(self) -> str | None:
        """See `TokenSource.token`."""
        return await self._cached.token()

    def invalidate(self) -> None:
        """See `TokenSource.invalidate`; not again soon after: a token that is wrong will be refused again."""
        now = self._clock.monotonic()
        if now - self._last_refusal >= _REFUSAL_SECONDS:
            self._last_refusal = now
            self._cached.invalidate()

    async def _fetch(self) -> str:
        try:
            credentials = await self._read()
        except InvalidCluster as problem:
            # Not the host's own error: a NotFound for the Secret must not read as "the member does not have it".
            raise NoCredentials(f"credentials of cluster {self._cluster.name}: {problem}") from problem
        if credentials.ca_pem != self._ca and not self.outdated:
            self.outdated = True
            self._on_new_ca()
        return credentials.token

    async def _read(self) -> _Credentials:
        ref = self._cluster.spec.secret_ref
        if ref is None:
            raise InvalidCluster("spec.secretRef is not set")
        try:
            secret = await self._host.get(SECRETS, ref.name, ref.namespace)
        except NotFound as error:
            raise InvalidCluster(f"Secret {ref.namespace}/{ref.name} not found") from error
        except KubeError as error:
            raise InvalidCluster(f"cannot read Secret {ref.namespace}/{ref.name}: {error}") from error
        return _credentials(secret, ref, insecure=self._cluster.spec.insecure_skip_tls_verification)


def client_config(cluster: Cluster, ca_pem: bytes | None, credentials: TokenSource) -> ClientConfig:
    """The client configuration of a member, from its Cluster and these credentials, mostly those of its Secret."""
    connection = connection_of(cluster)
    return ClientConfig(
        server=connection.endpoint,
        ca_pem=ca_pem,
        ca_source=credentials.source if isinstance(credentials, SecretCredentials) else "",
        insecure_skip_tls_verify=connection.insecure,
        token_source=credentials,
        proxy_url=connection.proxy_url,
        proxy_headers=dict(connection.proxy_header),
    )


def _credentials(secret: Secret, ref: SecretRef, *, insecure: bool) -> _Credentials:
    where = f"Secret {ref.namespace}/{ref.name}"
    token = _value(secret, ref, "token").decode("utf-8", "replace")
    if not token:
        raise InvalidCluster(f"{where} has no token")
    if not (token.isascii() and token.isprintable()):
        raise InvalidCluster(f"token of {where} has characters that no HTTP header can carry")
    if insecure:
        return _Credentials(token, None)
    ca_pem = _value(secret, ref, "caBundle")
    if not ca_pem:
        raise InvalidCluster(f"{where} has no caBundle, nor may TLS go unverified")
    try:
        ssl_context(ClientConfig(server="https://member", ca_pem=ca_pem))
    except ConfigError as error:
        raise InvalidCluster(f"caBundle of {where} is not a PEM certificate") from error
    return _Credentials(token, ca_pem)


def _value(secret: Secret, ref: SecretRef, key: str) -> bytes:
    try:
        return base64.b64decode(secret.data.get(key, ""), validate=True).strip()
    except (binascii.Error, ValueError) as error:
        raise InvalidCluster(f"{key} of Secret {ref.namespace}/{ref.name} is not base64") from error
