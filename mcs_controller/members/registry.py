"""Member clusters: one client and one informer factory for each Cluster that can be talked to (contract 1.4).

Those are the Clusters in the charge of this process: all Push clusters, or, in an agent, the one that it runs in, whose
API server it knows by itself.

The only place that makes clients for members. Each Cluster has one supervising task: it reads the Secret, builds the
client, announces the member, runs its informers, and begins anew when the endpoint, the CA, the Secret's name or the
proxy changes. Whether a member is *ready* is not looked at here: a client for a member that is down is kept, because
what its informers know is what keeps its endpoints alive elsewhere.

What a Cluster's Secret says is noticed without a watch on Secrets, which would be a right to read them all: by the
token's age, by a 401, and by reading it again when a request has no answer, because a server with a certificate of
another CA gives none. As long as there is no client, no answer, or no readiness, it is read every now and then.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from informers.cache.factory import InformerFactory
from informers.client.client import ApiClient
from informers.client.transport import NO_CLIENT_METRICS, ClientMetrics
from informers.errors import CacheFull, ConfigError
from informers.meta import ObjectKey
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.clusters import connection_of, credentials_of
from mcs_controller.domain.subjects import service_of_write
from mcs_controller.members.credentials import InvalidCluster, SecretCredentials, client_config
from mcs_controller.members.sync_mode import CONTROL_PLANE, SyncModeFilter
from mcs_controller.runtime.events import ObjectReference
from mcs_controller.runtime.metrics import InformerFamilies, PrometheusInformerMetrics
from mcs_controller.runtime.write_log import WriteLog
from workqueue.token_bucket import TokenBucket

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Hashable

    from informers.cache.informer import Event, SharedInformer
    from informers.client.client import WriteTracing
    from informers.client.config import ClientConfig
    from informers.errors import KubeError
    from informers.memory import MemoryBudget
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.runtime.events import Recorder
    from workqueue.clock import Clock

_log = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS: Final = 0.5
_LAST_RETRY_SECONDS: Final = 30.0

_FIRST_CHECK_SECONDS: Final = 2.0
"""Between two readings of a Secret for want of an answer; doubled each time, up to the last retry's delay."""

_NO_ANSWER: Final = "<error>"
"""The code of a request that had none, see `ClientMetrics.request`."""

_PROXY_SCHEMES: Final = ("http", "https", "socks4", "socks5", "socks5h")


@dataclass(frozen=True, slots=True, eq=False)
class MemberCluster:
    """One member that we can talk to.

    Attributes:
        name: the Cluster's name.
        client: for the member's API server; closed after `left` was announced.
        informers: started on demand by whoever asks for one, and stopped with the client.
        credentials: what the client shows, in words for people.
    """

    name: str
    client: ApiClient
    informers: InformerFactory
    credentials: str = "its credentials"


class Credentials(Protocol):
    """The part of a member's credentials that is needed once its client is made."""

    @property
    def outdated(self) -> bool:
        """Whether the client has to be made anew."""
        ...

    async def check(self) -> None:
        """Look whether it has to be."""
        ...


class _ReachabilityMetrics:
    """Client metrics that derive a member's reachability from its requests, and pass them on to another counter.

    Attributes:
        last: whether the last request had an answer, be it an error. One of a closed or cancelled client has none.
    """

    def __init__(self, metrics: ClientMetrics, *, on_change: Callable[[], None]) -> None:
        self.last = True
        self._metrics = metrics
        self._on_change = on_change

    def request(self, method: str, host: str, code: str, seconds: float) -> None:
        """See `ClientMetrics.request`."""
        self._metrics.request(method, host, code, seconds)
        answered = code != _NO_ANSWER
        if answered != self.last:
            self.last = answered
            self._on_change()


class _MemberInformerMetrics(PrometheusInformerMetrics):
    """Informer metrics that also report a kind without room in its cache: once, until it has been listed again."""

    def __init__(self, families: InformerFamilies, cluster: str, tell: Callable[[str], None]) -> None:
        super().__init__(families, cluster)
        self._tell = tell
        self._reported: set[str] = set()

    def listed(self, resource: str, objects: int) -> None:
        """The cache is complete."""
        super().listed(resource, objects)
        self._reported.discard(resource)

    def failed(self, resource: str, error: KubeError) -> None:
        """A list or a watch failed."""
        super().failed(resource, error)
        if isinstance(error, CacheFull) and resource not in self._reported:
            self._reported.add(resource)
            self._tell(f"{resource} are not followed any more: {error}")


@dataclass(frozen=True, slots=True)
class _Connection:
    """A client, and the identity by which a change of the Cluster or its Secret is noticed."""

    client: ApiClient
    identity: Hashable
    credentials: Credentials
    answers: _ReachabilityMetrics


class _OwnCredentials:
    """An agent's for its own member: their client reads token and CA again by itself."""

    outdated = False

    async def check(self) -> None:
        """Nothing to look at."""


def _check_urls(cluster: Cluster) -> None:
    spec = cluster.spec
    if not spec.api_endpoint:
        raise InvalidCluster("spec.apiEndpoint is empty")
    for field, url, schemes in (
        ("apiEndpoint", spec.api_endpoint, ("https", "http")),
        ("proxyURL", spec.proxy_url, _PROXY_SCHEMES),
    ):
        try:
            parts = urlsplit(url)
            usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if url and not usable:
            # The URL itself is left out: a proxy's may hold a password.
            raise InvalidCluster(f"spec.{field} is not a URL with a host and one of the schemes {', '.join(schemes)}")


class MemberClusters:
    """The registry of member clusters and of its subscribers. A runnable that needs leadership.

    Belongs to one event loop. Listeners are called between two awaits, so they must not block, and must only enqueue.
    """

    def __init__(
        self,
        clusters: SharedInformer[Cluster],
        host: ApiClient,
        *,
        clock: Clock,
        rng: random.Random,
        user_agent: str,
        recorder: Recorder,
        qps: float = 40,
        burst: int = 60,
        client_metrics: ClientMetrics = NO_CLIENT_METRICS,
        sync_modes: SyncModeFilter = CONTROL_PLANE,
        own: ClientConfig | None = None,
        informer_metrics: InformerFamilies | None = None,
        memory: MemoryBudget | None = None,
        may_write: Callable[[], bool] = lambda: True,
        tracing: Callable[[str], WriteTracing] | None = None,
    ) -> None:
        """Makes no connection yet.

        Args:
            clusters: the control plane's Clusters.
            host: client for the control plane, to read Secrets with.
            clock: for back-off, and for the age of tokens.
            rng: jitter of the informers.
            user_agent: what the members' audit logs will show.
            recorder: for events on Clusters that cannot be connected.
            qps: requests a second to one member, all controllers together.
            burst: how many of them at once.
            client_metrics: told about every request to a member.
            sync_modes: whose members they are.
            own: in an agent, the way to its own member. Then no Secret is read, and what the Cluster says of its
                endpoint is for others.
            informer_metrics: told about the caches of members; None is nobody.
            memory: what the caches of all members may take; None is without a limit.
            may_write: asked before each write to a member.
            tracing: of writes to a member of this name; None is none.
        """
        self._clusters = clusters
        self._host = host
        self._clock = clock
        self._rng = rng
        self._user_agent = user_agent
        self._recorder = recorder.for_component(wk.CLUSTER_CONTROLLER)
        self._qps = qps
        self._burst = burst
        self._client_metrics = client_metrics
        self._sync_modes = sync_modes
        self._own = own
        self._memory = memory
        self._informer_metrics = informer_metrics or InformerFamilies(CollectorRegistry())
        self._may_write = may_write
        self._tracing = tracing
        self._members: dict[str, MemberCluster] = {}
        self._problems: dict[str, str] = {}
        self._plain: dict[str, str] = {}
        """The endpoints of which it was said that they are without TLS, if they are."""
        self._listeners: list[tuple[Callable[[MemberCluster], None], Callable[[str], None]]] = []
        self._wakeups: dict[str, asyncio.Event] = {}
        """One for each supervised Cluster: set whenever it may have changed."""

    def get(self, name: str) -> MemberCluster | None:
        """The member, or None for a cluster unknown or in another's charge, or whose client cannot be built (yet)."""
        return self._members.get(name)

    def problem(self, name: str) -> str | None:
        """Why a cluster in our charge has no client, in words for its user; None if nothing is known to be wrong."""
        return self._problems.get(name)

    def add_listener(self, *, joined: Callable[[MemberCluster], None], left: Callable[[str], None]) -> None:
        """Hear of members that can be talked to from now on, and of those that cannot be any more.

        `joined` is called at once for the members that are there. A member whose connection changes leaves and joins,
        with other informers: nothing it told is withdrawn by that, so `left` alone is no reason to withdraw anything.
        """
        self._listeners.append((joined, left))
        for member in list(self._members.values()):
            joined(member)

    async def run(self) -> None:
        """Keep the members up to date until cancelled."""
        changed: asyncio.Queue[str] = asyncio.Queue()

        def enqueue(event: Event[Cluster]) -> None:
            changed.put_nowait(event.key.name)

        registration = self._clusters.add_handler(enqueue, name="member-clusters")
        try:
            async with asyncio.TaskGroup() as supervisors:
                while True:
                    name = await changed.get()
                    wakeup = self._wakeups.get(name)
                    if wakeup is not None:
                        wakeup.set()
                    elif self._wanted(name) is not None:
                        self._wakeups[name] = asyncio.Event()
                        supervisors.create_task(self._supervise(name, self._wakeups[name]), name=f"member {name}")
        finally:
            registration.remove()

    def _wanted(self, name: str) -> Cluster | None:
        cluster = self._clusters.store.get(ObjectKey("", name))
        return cluster if cluster is not None and self._sync_modes.owns(name, cluster) else None

    async def _supervise(self, name: str, wakeup: asyncio.Event) -> None:
        """One Cluster from its first appearance until it is gone (being deleted is not gone)."""
        delay = _FIRST_RETRY_SECONDS
        try:
            while (cluster := self._wanted(name)) is not None:
                wakeup.clear()
                try:
                    connection = await self._connect(cluster, wakeup)
                except InvalidCluster as problem:
                    self._report(cluster, str(problem))
                    await self._wait(wakeup, delay)
                    delay = min(delay * 2, _LAST_RETRY_SECONDS)
                    continue
                delay = _FIRST_RETRY_SECONDS
                self._problems.pop(name, None)
                async with connection.client:
                    await self._serve(cluster, connection, wakeup)
        finally:
            # No await since the store said that the Cluster is gone, so no event for it can fall between.
            del self._wakeups[name]
            self._informer_metrics.forget(name)
            self._problems.pop(name, None)
            self._plain.pop(name, None)

    async def _connect(self, cluster: Cluster, wakeup: asyncio.Event) -> _Connection:
        config, credentials = await self._config_for(cluster, wakeup)
        answers = _ReachabilityMetrics(self._client_metrics, on_change=wakeup.set)
        try:
            client = ApiClient(
                config,
                clock=self._clock,
                user_agent=self._user_agent,
                limiter=TokenBucket(self._qps, self._burst, clock=self._clock),
                metrics=answers,
                may_write=self._may_write,
                on_write=WriteLog(cluster.name, service_of_write),
                tracing=self._tracing(cluster.name) if self._tracing is not None else None,
            )
        except ConfigError as error:
            raise InvalidCluster(str(error)) from error
        return _Connection(client, self._identity_of(cluster), credentials, answers)

    async def _config_for(self, cluster: Cluster, wakeup: asyncio.Event) -> tuple[ClientConfig, Credentials]:
        if self._own is not None:
            return self._own, _OwnCredentials()
        _check_urls(cluster)
        credentials = SecretCredentials(self._host, cluster, clock=self._clock, on_new_ca=wakeup.set)
        ca_pem = await credentials.open()
        self._warn_if_plain(cluster)
        return client_config(cluster, ca_pem, credentials), credentials

    async def _serve(self, cluster: Cluster, connection: _Connection, wakeup: asyncio.Event) -> None:
        """Run the member's informers until its connection is another or the Cluster is gone."""
        name, client = cluster.name, connection.client
        metrics = _MemberInformerMetrics(
            self._informer_metrics,
            name,
            lambda problem: self._report_event(cluster, wk.EVENT_CLUSTER_CACHE_FULL, problem),
        )
        informers = InformerFactory(client, clock=self._clock, rng=self._rng, metrics=metrics, memory=self._memory)
        self._informer_metrics.show(informers, self._clock, name)
        member = MemberCluster(name, client, informers, credentials_of(cluster))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(informers.run(), name=f"informers of {name}")
            self._members[name] = member
            try:
                _log.info("Connected to member", extra={"cluster": name, "host": client.host})
                for joined, _ in list(self._listeners):
                    joined(member)
                await self._watch_connection(member, connection, wakeup)
            finally:
                del self._members[name]
            _log.info("Disconnected from member", extra={"cluster": name, "host": client.host})
            for _, left in list(self._listeners):
                left(name)
            running.cancel()

    async def _watch_connection(self, member: MemberCluster, connection: _Connection, wakeup: asyncio.Event) -> None:
        """Return when the member's client is not the right one any more."""
        was_ready = True
        checked, pause = self._clock.monotonic(), _FIRST_CHECK_SECONDS
        while (cluster := self._wanted(member.name)) is not None:
            wakeup.clear()
            if self._identity_of(cluster) != connection.identity or connection.credentials.outdated:
                return
            if cluster.is_ready and not was_ready:
                member.informers.retry_now()
            was_ready = cluster.is_ready
            if connection.answers.last:
                pause = _FIRST_CHECK_SECONDS
                if was_ready:
                    await wakeup.wait()
                    continue
            due = checked + (_LAST_RETRY_SECONDS if connection.answers.last else pause)
            if not await self._wait(wakeup, due - self._clock.monotonic()):
                # A new CA shows as a failed handshake, after which no request gets as far as a 401.
                await connection.credentials.check()
                checked, pause = self._clock.monotonic(), min(pause * 2, _LAST_RETRY_SECONDS)

    def _identity_of(self, cluster: Cluster) -> Hashable:
        """The data of a Cluster and its Secret whose change makes a client obsolete."""
        return connection_of(cluster) if self._own is None else cluster.metadata.uid

    async def _wait(self, wakeup: asyncio.Event, seconds: float) -> bool:
        """Wait for the event, but not longer than this; whether it is set."""
        async with asyncio.TaskGroup() as tasks:
            waiters = (tasks.create_task(wakeup.wait()), tasks.create_task(self._clock.sleep(seconds)))
            await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
            for waiter in waiters:
                waiter.cancel()
        return wakeup.is_set()

    def _report(self, cluster: Cluster, problem: str) -> None:
        """Log a problem once, not again with every try."""
        if self._problems.get(cluster.name) != problem:
            self._problems[cluster.name] = problem
            _log.warning("Cannot connect to member", extra={"cluster": cluster.name, "problem": problem})
            self._report_event(cluster, wk.EVENT_CLUSTER_CONNECTION_FAILED, problem)

    def _warn_if_plain(self, cluster: Cluster) -> None:
        """Say once for each endpoint without TLS that the token is sent there."""
        endpoint = cluster.spec.api_endpoint
        told, self._plain[cluster.name] = self._plain.get(cluster.name), endpoint
        if endpoint != told and urlsplit(endpoint).scheme == "http":
            problem = "the token is sent unencrypted: spec.apiEndpoint begins with http://"
            _log.warning("Connection to member is not encrypted", extra={"cluster": cluster.name})
            self._report_event(cluster, wk.EVENT_CLUSTER_NOT_ENCRYPTED, problem)

    def _report_event(self, cluster: Cluster, reason: str, problem: str) -> None:
        reference = ObjectReference(
            api_version=wk.CLUSTER_API_VERSION,
            kind=wk.CLUSTER_KIND,
            namespace="",
            name=cluster.name,
            uid=cluster.metadata.uid,
        )
        self._recorder.event(reference, "Warning", reason, problem)
