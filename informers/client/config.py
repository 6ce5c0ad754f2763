"""The configuration of a client for one API server, from a kubeconfig or a service account.

kubernetes-asyncio reads the formats and obtains the credentials (exec plugins, token files, OIDC, GCP). Only its config
modules are imported, and only by the two loaders, see `_config_module`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import copy
import os
import sys
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from informers.client.redaction import redact
from informers.errors import ConfigError, KubeError
from workqueue.clock import Clock, RealClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

MAX_TOKEN_AGE_SECONDS = 300.0
"""Longest life of a cached token, as Karmada has it for the Secrets of its clusters."""

_INCLUSTER_TOKEN_AGE_SECONDS = 60.0
"""client-go re-reads a projected service account token every minute."""

_CREDENTIALS_TIMEOUT_SECONDS = 60.0
"""For an exec plugin or an identity provider that hangs."""

_TOLD_OF_USERS = frozenset(
    {
        *("apiVersion", "command", "args", "installHint", "interactiveMode", "name", "username"),
        *("client-certificate", "client-key", "tokenFile"),
    }
)
"""Keys in a kubeconfig's user whose values are no secrets, and help people to see what is wrong."""

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class TokenSource(Protocol):
    """Where a client takes its bearer token from, before every request."""

    async def token(self) -> str | None:
        """The bare token, or None to send none. Raises KubeError if there should be one and it cannot be had."""
        ...

    def invalidate(self) -> None:
        """Forget what is cached: the server answered 401 to it."""
        ...


class StaticToken:
    """A token that never changes."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self) -> str | None:
        """See :meth:`TokenSource.token`."""
        return self._token

    def invalidate(self) -> None:
        """Does nothing: there is no other token."""


class CachedToken:
    """A token fetched when first needed and kept for a while.

    Callers that need it at the same time share one fetch. If a fetch fails the error goes to the caller, and the next
    caller tries again. Not thread-safe.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[str | None]],
        *,
        clock: Clock,
        max_age_seconds: float = MAX_TOKEN_AGE_SECONDS,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._max_age = max_age_seconds
        self._token: str | None = None
        self._expires: float | None = None
        self._generation = 0
        self._fetching = asyncio.Lock()

    async def token(self) -> str | None:
        """See :meth:`TokenSource.token`."""
        if self._fresh():
            return self._token
        async with self._fetching:
            if not self._fresh():
                generation, started = self._generation, self._clock.monotonic()
                token = await self._fetch()
                if generation != self._generation:
                    return token  # invalidated meanwhile: good enough for this caller, not for the next
                self._token, self._expires = token, started + self._max_age
            return self._token

    def invalidate(self) -> None:
        """See :meth:`TokenSource.invalidate`."""
        self._generation += 1
        self._expires = None

    def _fresh(self) -> bool:
        return self._expires is not None and self._clock.monotonic() < self._expires


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """One API server and how to reach it. Secrets are left out of `repr`.

    Attributes:
        server: base URL, `https://host:port` with an optional path prefix.
        ca_pem: the authorities to trust; None means the system's.
        ca_source: where `ca_pem` came from, in words for people.
        ca_file: where `ca_pem` came from. Read again when a server's certificate is not trusted: authorities rotate.
        insecure_skip_tls_verify: accept any certificate. Only when an administrator said so for this server.
        client_cert_pem: client certificate, with its intermediates.
        client_key_pem: the key of it.
        client_cert_file: where `client_cert_pem` came from. Read again, with the key, after a 401: certificates expire.
        client_key_file: where `client_key_pem` came from.
        token_source: where the bearer token comes from.
        proxy_url: `http://`, `https://`, `socks4://`, `socks5://` or `socks5h://` proxy for this server. Proxy settings
            in the environment are not looked at.
        proxy_headers: sent to an HTTP proxy with CONNECT.
        tls_server_name: name expected in the server's certificate, if not the URL's host.
        timeout_seconds: limit for a whole request, except watches; of a list, for each read of the answer.
    """

    server: str
    ca_pem: bytes | None = None
    ca_source: str = field(default="", compare=False)
    ca_file: Path | None = None
    insecure_skip_tls_verify: bool = False
    client_cert_pem: bytes | None = field(default=None, repr=False)
    client_key_pem: bytes | None = field(default=None, repr=False)
    client_cert_file: Path | None = None
    client_key_file: Path | None = None
    token_source: TokenSource | None = field(default=None, repr=False)
    proxy_url: str = field(default="", repr=False)
    proxy_headers: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    tls_server_name: str = ""
    timeout_seconds: float = 32.0


def _merged(library: Any, paths: str) -> Any:
    """The content of kubeconfigs. Of files that are not there the library says nothing but a line in the log."""
    if not any(Path(one).expanduser().exists() for one in paths.split(":") if one):
        raise ConfigError("no such file")
    try:
        return library.KubeConfigMerger(paths).config
    except (AttributeError, TypeError) as error:
        raise ConfigError("it is no kubeconfig, or empty") from error


async def load_kubeconfig(
    path: str | None,
    context: str | None = None,
    *,
    clock: Clock | None = None,
    parsed: dict[str, Any] | None = None,
) -> ClientConfig:
    """The configuration for one context of a kubeconfig.

    Certificates and keys are read here, and their files again when a server refuses us or is not trusted; those of an
    exec plugin only here. Tokens from a file, an exec plugin or a provider are obtained here, to fail early, and again
    when five minutes old or refused.

    Args:
        path: the file, or several joined by colons as in $KUBECONFIG; None means $KUBECONFIG, then `~/.kube/config`.
        context: its name; None means the current one.
        clock: for the age of tokens.
        parsed: what the files hold, kept here for other calls, by path. Only tokens are then read from them again.

    Raises:
        ConfigError: with the file, the context and what is wrong.
    """
    library = _config_module("kube_config")
    paths = path or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    where = f"kubeconfig {paths}" + (f", context {context}" if context else "")

    async def load(parsed: dict[str, Any] | None = None) -> _Loaded:
        loaded = _Loaded()
        try:
            merged = parsed.get(paths) if parsed is not None else None
            if merged is None:
                merged = _merged(library, paths)
            if parsed is not None:
                parsed[paths] = merged
                merged = copy.deepcopy(merged)  # what is read of it below is taken out
            chosen = context or merged["current-context"]
            names = _named(merged, "contexts", chosen)["context"]
            cluster = _named(merged, "clusters", names["cluster"])["cluster"]
            user_name = names.safe_get("user")
            user = _named(merged, "users", user_name)["user"] if user_name else None
            loaded.read_cluster(cluster)
            if user is not None:  # the loader cannot do without
                loaded.read_user(user)
                async with asyncio.timeout(_CREDENTIALS_TIMEOUT_SECONDS):
                    loader = library.KubeConfigLoader(merged, active_context=chosen, config_base_path=None)
                    await loader.load_and_set(loaded)
                loaded.read_exec_certificates()
        except KubeError as error:
            raise ConfigError(f"{where}: {error}") from error
        except TimeoutError as error:
            raise ConfigError(
                f"{where}: {loaded.plugin}no credentials within {_CREDENTIALS_TIMEOUT_SECONDS:g} s"
            ) from error
        except Exception as error:  # whatever malformed YAML makes a foreign library raise
            try:
                words = redact(str(error), _secrets_in_files(paths))  # it names a node by all that is in it
            except Exception:  # the same YAML, and so nobody knows what the secrets are
                words = "the file cannot be read as a kubeconfig"
            raise ConfigError(f"{where}: {loaded.plugin}{type(error).__name__}: {words}") from error
        return loaded

    async def fetch_token() -> str | None:
        return (await load()).token()

    first = await load(parsed)
    if not first.host:
        raise ConfigError(f"{where}: the cluster has no server")
    source: TokenSource | None = None
    try:
        if first.token() is not None:
            source = CachedToken(fetch_token, clock=clock or RealClock())
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    return ClientConfig(
        server=first.host,
        ca_pem=first.ca,
        ca_source=str(first.ca_file or f"the kubeconfig {paths}"),
        ca_file=first.ca_file,
        insecure_skip_tls_verify=not first.verify_ssl,
        client_cert_pem=first.cert,
        client_key_pem=first.key,
        client_cert_file=first.cert_path,
        client_key_file=first.key_path,
        token_source=source,
        proxy_url=first.proxy,
        tls_server_name=first.tls_server_name,
    )


def contexts_that_can_be_tried(parsed: Mapping[str, Any]) -> Sequence[str]:
    """The contexts in kubeconfigs that `load_kubeconfig` has parsed, the first one of each cluster.

    Without those whose credentials come from an exec plugin or a provider, which may ask a person for something.
    """
    found: dict[str, str] = {}
    for files in parsed.values():
        users, contexts = ([one.value for one in files[section].value] for section in ("users", "contexts"))
        silent = {one.get("name") for one in users if not {"exec", "auth-provider"} & (one.get("user") or {}).keys()}
        for one in contexts:
            names = one.get("context") or {}
            if names.get("user") in silent:
                found.setdefault(str(names.get("cluster")), str(one.get("name")))
    return list(found.values())


@cache
def _config_module(name: str) -> Any:
    """A module of `kubernetes_asyncio.config`, without the models of all kinds of Kubernetes.

    To import any part of that package imports all of it: 60 MB and a second of CPU time, for nothing that is used here.
    So something else stands for the package while the module is imported, and is forgotten again: whoever imports the
    package, before or later, gets the whole of it.
    """
    package = "kubernetes_asyncio"
    module = f"{package}.config.{name}"
    if package in sys.modules:
        return import_module(module)
    found = find_spec(package)
    if found is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    standing_in, client, config = (ModuleType(each) for each in (package, f"{package}.client", f"{package}.config"))
    places = list(found.submodule_search_locations or ())
    standing_in.__path__ = places
    config.__path__ = [str(Path(place, "config")) for place in places]
    vars(client).update(ApiClient=object, Configuration=object)  # named by annotations alone, on the ways taken here
    sys.modules.update({each.__name__: each for each in (standing_in, client, config)})
    try:
        return import_module(module)
    finally:
        for each in [one for one in sys.modules if one.partition(".")[0] == package]:
            del sys.modules[each]


def load_incluster(*, service_account: Path = _SERVICE_ACCOUNT, clock: Clock | None = None) -> ClientConfig:
    """The configuration of a pod: its service account, whose token file is read again every minute, as it rotates.

    Raises:
        ConfigError: not in a pod, or without a service account.
    """
    library = _config_module("incluster_config")
    token_file, ca_file = service_account / "token", service_account / "ca.crt"
    loaded = _Loaded()
    try:
        library.InClusterConfigLoader(str(token_file), str(ca_file), try_refresh_token=False).load_and_set(loaded)
        ca = ca_file.read_bytes()
    except (library.ConfigException, OSError) as error:
        raise ConfigError(f"in-cluster configuration: {error}") from error

    async def fetch_token() -> str | None:
        try:
            return token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"service account token {token_file}: {error}") from error

    source = CachedToken(fetch_token, clock=clock or RealClock(), max_age_seconds=_INCLUSTER_TOKEN_AGE_SECONDS)
    return ClientConfig(server=loaded.host, ca_pem=ca, ca_source=str(ca_file), ca_file=ca_file, token_source=source)


class _Loaded:
    """Receives what kubernetes-asyncio finds; stands in for its Configuration. Its config nodes are untyped to us.

    Certificates and keys are read by :meth:`read_user` and taken out of the loader's sight, because it would write keys
    that are embedded in the kubeconfig into temporary files that stay until the process ends.
    """

    def __init__(self) -> None:
        self.api_key: dict[str, str] = {}
        self.host = ""
        self.ssl_ca_cert: str | None = None
        self.cert_file: str | None = None
        self.key_file: str | None = None
        self.verify_ssl = True
        self.tls_server_name = ""
        self.proxy = ""
        self.ca: bytes | None = None
        self.ca_file: Path | None = None
        self.cert: bytes | None = None
        self.key: bytes | None = None
        self.cert_path: Path | None = None
        self.key_path: Path | None = None
        self.plugin = ""

    def token(self) -> str | None:
        authorization = self.api_key.get("BearerToken")
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer":
            raise ConfigError(f"{scheme} authentication is not supported: API servers dropped it in Kubernetes 1.19")
        return token.strip()

    def read_cluster(self, cluster: Any) -> None:
        self.host = (cluster.safe_get("server") or "").rstrip("/")
        self.ca, self.ca_file = _take_pem(cluster, "certificate-authority")
        self.verify_ssl = not cluster.safe_get("insecure-skip-tls-verify")
        self.tls_server_name = cluster.safe_get("tls-server-name") or ""
        self.proxy = cluster.safe_get("proxy-url") or ""

    def read_user(self, user: Any) -> None:
        self.cert, self.cert_path = _take_pem(user, "client-certificate")
        self.key, self.key_path = _take_pem(user, "client-key")
        plugin = user.safe_get("exec")
        command = plugin.get("command") if isinstance(plugin, dict) else None
        if command:
            if os.sep in (command := str(command)):  # a bare name is looked for in $PATH, as a shell does
                command = str(Path(user.path or ".").parent.joinpath(command))
                plugin["command"] = command
            self.plugin = f"exec plugin {command}: "

    def read_exec_certificates(self) -> None:
        """Exec plugins may answer with a client certificate instead of a token."""
        if self.cert_file and self.key_file:
            self.cert, self.cert_path = Path(self.cert_file).read_bytes(), None
            self.key, self.key_path = Path(self.key_file).read_bytes(), None


def _named(config: Any, section: str, name: Any) -> Any:
    return config[section].get_with_name(name)


def _secrets_in_files(paths: str) -> Iterator[str]:
    """Those of all users: what cannot be merged may be quoted, too, such as users without a name."""
    import yaml  # as kubernetes-asyncio: see the module docstring

    for path in filter(None, paths.split(os.pathsep)):
        with contextlib.suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
            content = yaml.safe_load(Path(path).expanduser().read_text())
            if isinstance(content, dict):
                yield from _secrets_in(content.get("users"))


def _secrets_in(node: Any) -> Iterator[str]:
    """Every text in the users of a kubeconfig, apart from what people need to find out what is wrong."""
    value = getattr(node, "value", node)
    if isinstance(value, dict):
        for name, child in value.items():
            if name not in _TOLD_OF_USERS:
                yield from _secrets_in(child)
    elif isinstance(value, list):
        for child in value:
            yield from _secrets_in(child)
    elif isinstance(value, str):
        yield value


def _take_pem(node: Any, name: str) -> tuple[bytes | None, Path | None]:
    """Remove `name` and `name-data` from a kubeconfig node and return what they mean, and the file if it is from one.

    Data wins, as in kubectl.
    """
    data, file = node.value.pop(f"{name}-data", None), node.value.pop(name, None)
    if data:
        try:
            return base64.b64decode(data, validate=True), None
        except (binascii.Error, ValueError) as error:
            raise ConfigError(f"{name}-data is not base64: {error}") from error
    if file:
        # Relative to the kubeconfig that names it, which with several files need not be the first.
        path = Path(node.path or ".").parent.joinpath(file)
        return path.read_bytes(), path
    return None, None
