"""How mcsctl reaches the control plane and the members: as kubectl does, and as the controller does."""

from __future__ import annotations

import base64
import os
import shlex
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from informers.client.client import ApiClient
from informers.client.config import contexts_that_can_be_tried, load_incluster, load_kubeconfig
from informers.client.redaction import proxy_secrets
from informers.errors import ConfigError, KubeError
from mcs_controller import __version__
from mcs_controller.diagnosis.findings import CONTROL_PLANE
from mcs_controller.diagnosis.world import Unseen
from mcs_controller.mcsctl.together import all_of
from mcs_controller.members.credentials import InvalidCluster, SecretCredentials, client_config
from workqueue.clock import RealClock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from informers.client.config import ClientConfig
    from mcs_controller.api.cluster import Cluster
    from workqueue.clock import Clock

USER_AGENT: Final = f"mcsctl/{__version__}"

PROXY: Final = "the cluster proxy"
"""How a member is reached through the control plane, with its certificate and our credentials there."""

_MAX_CONTEXTS: Final = 50
"""That are tried to find a control plane."""

_IN_A_POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessOptions:
    """Flags that every command has.

    Attributes:
        kubeconfig: file, or files joined by colons; empty means $KUBECONFIG, then `~/.kube/config`, then the Pod's own.
        context: of the control plane; empty means the current one.
        members_kubeconfig: where the contexts of members are; empty means `kubeconfig`.
        member_contexts: context by name of the Cluster, for those whose contexts are called otherwise.
        timeout_seconds: for each request.
    """

    kubeconfig: str = ""
    context: str = ""
    members_kubeconfig: str = ""
    member_contexts: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One API server that can be asked.

    Attributes:
        name: the Cluster's; `CONTROL_PLANE` for the control plane.
        client: the connection.
        config: what it was made from.
        kubectl: how to call kubectl for it, for commands that are pasted.
        how: by which way, in words for people.
    """

    name: str
    client: ApiClient
    config: ClientConfig
    kubectl: str
    how: str


class Access:
    """Connections to a control plane and its members, opened when they are first needed.

    Use it with `async with`. Belongs to one event loop.
    """

    def __init__(self, options: AccessOptions, *, clock: Clock | None = None) -> None:
        self._options = options
        self._clock = clock or RealClock()
        self._stack = AsyncExitStack()
        self._host: Plane | None = None
        self._opened: list[ClientConfig] = []
        self._parsed: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def mcsctl(self) -> str:
        """How to call mcsctl with the same flags, for commands that are pasted."""
        return _mcsctl(self._options)

    async def control_planes(self) -> Mapping[str, str]:
        """The contexts of the kubeconfig that lead to a control plane, with how to call mcsctl then.

        To be asked once the host was opened. Those that cannot be tried without asking somebody are left out.
        """
        options = self._options

        async def leads(context: str) -> bool:
            try:
                config = await self._from_file(options.kubeconfig, context)
                plane = await self.open(CONTROL_PLANE, config, _kubectl(options.kubeconfig, context), context)
                return (await plane.client.raw("GET", "/apis/cluster.karmada.io/v1alpha1")).status == 200
            except KubeError:
                return False

        contexts = contexts_that_can_be_tried(self._parsed)[:_MAX_CONTEXTS]
        found = await all_of(*map(leads, contexts))
        return {
            context: _mcsctl(replace(options, context=context))
            for context, is_one in zip(contexts, found, strict=True)
            if is_one
        }

    async def host(self) -> Plane:
        """The control plane.

        Raises:
            ConfigError: there is no kubeconfig, or it cannot be used.
        """
        if self._host is None:
            options = self._options
            if not options.kubeconfig and not options.context and _only_in_a_pod():
                config, how = load_incluster(), "the Pod's service account"
            else:
                config = await self._from_file(options.kubeconfig, options.context)
                how = f"context {options.context}" if options.context else "the current context"
            kubectl = _kubectl(options.kubeconfig, options.context)
            self._host = await self.open(CONTROL_PLANE, config, kubectl, how)
        return self._host

    async def member(self, cluster: Cluster) -> Plane:
        """A member, by the first way that there is: its context, the Secret of its Cluster, the control plane's proxy.

        Args:
            cluster: the member's Cluster.

        Raises:
            Unseen: there is none.
        """
        plane = await self.by_context(cluster)
        if plane is not None:
            return plane
        try:
            return await self.by_secret(cluster)
        except (InvalidCluster, ConfigError) as problem:
            by_secret = str(problem)
        try:
            return await self._by_proxy(cluster)
        except (KubeError, Unseen) as problem:
            raise Unseen(
                f"there is no way to Cluster {cluster.name}: no context is called so and has the server "
                f"{cluster.spec.api_endpoint!r} (--member-context {cluster.name}=CONTEXT names another); "
                f"{by_secret}; {problem}"
            ) from problem

    async def by_secret(self, cluster: Cluster) -> Plane:
        """A member as the controller reaches it.

        Raises:
            InvalidCluster: the Cluster or its Secret does not say how.
            ConfigError: what they say cannot be used.
        """
        host = await self.host()
        credentials = SecretCredentials(host.client, cluster, clock=self._clock, on_new_ca=lambda: None)
        config = client_config(cluster, await credentials.open(), credentials)
        ref = cluster.spec.secret_ref
        how = f"Secret {ref.namespace}/{ref.name}" if ref is not None else ""
        return await self.open(cluster.name, config, self._member_kubectl(cluster.name), how)

    async def by_context(self, cluster: Cluster) -> Plane | None:
        """A member by the context that was named for it, or by the one that is called so and has its server, if any.

        A Pull cluster need not say which server it has.

        Raises:
            ConfigError: the named one cannot be used.
        """
        named = self._options.member_contexts.get(cluster.name, "")
        files = self._options.members_kubeconfig or self._options.kubeconfig
        try:
            config = await self._from_file(files, named or cluster.name)
        except ConfigError:
            if named:
                raise
            return None
        endpoint = cluster.spec.api_endpoint.rstrip("/")
        unsaid = not endpoint and not cluster.is_push
        if not named and not unsaid and config.server.rstrip("/") != endpoint:
            return None  # called the same by chance, for all that is known
        kubectl = self._member_kubectl(cluster.name)
        return await self.open(cluster.name, config, kubectl, f"context {named or cluster.name}")

    async def other_endpoint(self, cluster: Cluster) -> str:
        """The server that the context of a member names, if it answers; empty if that is the Cluster's own.

        It is not one that only this machine has, unless the Cluster's is, too.
        """
        from mcs_controller.mcsctl.join import is_loopback_url

        options = self._options
        name = options.member_contexts.get(cluster.name, cluster.name)
        files = options.members_kubeconfig or options.kubeconfig
        try:
            config = await self._from_file(files, name)
        except ConfigError:
            return ""
        server, endpoint = config.server.rstrip("/"), cluster.spec.api_endpoint.rstrip("/")
        if server == endpoint or (is_loopback_url(server) and not is_loopback_url(endpoint)):
            return ""
        plane = await self.open(cluster.name, config, self._member_kubectl(cluster.name), f"context {name}")
        try:
            await plane.client.raw("GET", "/version")
        except KubeError:
            return ""
        return server

    async def _by_proxy(self, cluster: Cluster) -> Plane:
        host = await self.host()
        path = f"/apis/cluster.karmada.io/v1alpha1/clusters/{cluster.name}/proxy"
        config = replace(host.config, server=host.config.server.rstrip("/") + path)
        plane = await self.open(cluster.name, config, self._member_kubectl(cluster.name), PROXY)
        answer = await plane.client.raw("GET", "/version")
        if answer.status != 200:
            raise Unseen(f"the control plane has no cluster proxy (HTTP {answer.status})")
        return plane

    async def secrets(self) -> Sequence[str]:
        """What the connections that were opened authenticate with, as it is and as Secrets have it."""
        found: list[str] = []
        for config in self._opened:
            with suppress(KubeError, InvalidCluster):
                found.append(await config.token_source.token() or "" if config.token_source is not None else "")
            found.append((config.client_key_pem or b"").decode("utf-8", "replace"))
            found.extend(proxy_secrets(config.proxy_url, config.proxy_headers))
        return [*found, *(base64.b64encode(one.encode()).decode() for one in found)]

    async def _from_file(self, files: str, context: str) -> ClientConfig:
        # Files with many contexts take a tenth of a second to parse, and each member asks for one of them.
        return await load_kubeconfig(files or None, context or None, clock=self._clock, parsed=self._parsed)

    def _member_kubectl(self, name: str) -> str:
        files = self._options.members_kubeconfig or self._options.kubeconfig
        return _kubectl(files, self._options.member_contexts.get(name, name))

    async def open(self, name: str, config: ClientConfig, kubectl: str, how: str) -> Plane:
        """A connection of any kind, closed with the others."""
        config = replace(config, timeout_seconds=self._options.timeout_seconds)
        self._opened.append(config)
        client = ApiClient(config, clock=self._clock, user_agent=USER_AGENT)
        await self._stack.enter_async_context(client)
        return Plane(name=name, client=client, config=config, kubectl=kubectl, how=how)


def _only_in_a_pod() -> bool:
    """Whether there is no kubeconfig, but a Pod's service account."""
    usual = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    return _IN_A_POD.exists() and not Path(usual).exists()


def _kubectl(kubeconfig: str, context: str) -> str:
    # kubectl takes one file by its flag, and several by the variable.
    several = ":" in kubeconfig
    words = [f"KUBECONFIG={shlex.quote(kubeconfig)}"] if several else []
    words.append("kubectl")
    if kubeconfig and not several:
        words.append(f"--kubeconfig {shlex.quote(kubeconfig)}")
    if context:
        words.append(f"--context {shlex.quote(context)}")
    return " ".join(words)


def _mcsctl(options: AccessOptions) -> str:
    flags = {"kubeconfig": options.kubeconfig, "context": options.context}
    flags["members-kubeconfig"] = options.members_kubeconfig
    words = [f"--{name} {shlex.quote(value)}" for name, value in flags.items() if value]
    pairs = sorted(options.member_contexts.items())
    words += [f"--member-context {shlex.quote(f'{name}={context}')}" for name, context in pairs]
    return " ".join(["mcsctl", *words])
