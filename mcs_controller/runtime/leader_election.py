"""Which of several processes may act: a Lease held by one of them at a time.

Rules of client-go `tools/leaderelection/leaderelection.go`:

- A candidate takes a lease that nobody holds, or whose record it has seen unchanged for the lease duration by its own
  monotonic clock. Time stamps in the Lease are for people; clocks of different machines are never compared.
- The leader renews at every retry period. If it has not succeeded for long enough (below) it stops leading, well before
  any candidate may take over.
- Every write names the resourceVersion it is based on, so of two candidates one gets a conflict.

Where we are stricter than client-go: the leader counts from when it *sent* the last successful renewal, so a slow
answer does not stretch its term, and one that comes after the term is none; the term is shorter than the lease
duration whatever the configured times; it ends at once when somebody else is seen in the Lease, instead of at the
deadline; and a candidate that has seen the Lease held waits for its duration even if it is deleted, as the holder may
not know yet.

Where we are faster: a candidate looks more often than the leader renews, and again when what it has seen runs out. So
another leads within the lease duration and one retry period of a leader's death, and within one of a release; in
client-go it may be 2.2 retry periods later.

As with client-go this does not fence. Of a leader whose process is frozen a request may still go out when it wakes, if
it was just being sent: `ApiClient(may_write=...)` asks before each write. And who deletes the Lease makes room for a
candidate that is just starting. The writes of controllers are guarded by resourceVersions and repaired by the next
comparison.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import uuid
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

import msgspec

from informers.errors import Conflict, KubeError, NotFound
from informers.meta import ObjectMeta
from informers.resource import Resource
from workqueue import time_limit

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from workqueue import Clock

log = logging.getLogger(__name__)

JITTER_FACTOR: Final = 1.2
"""Retry periods that must fit into a renew deadline: client-go's number, so that all it refuses is refused here."""

_POLL: Final = (0.8, 0.9)
"""Retry periods between two looks of a candidate. Not all ask at once, and each sees a renewal before the next one."""

_SPREAD: Final = 0.05
"""Retry periods over which candidates are spread that wait for the same moment."""

_SILENCE: Final = "the API server did not answer in time"
_STOOD_STILL: Final = "this process stood still"


class LeadershipLost(Exception):
    """This process must not act any more, at once: another may lead already or soon."""


class _LeaseSpec(msgspec.Struct, frozen=True, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _LeaseFields(msgspec.Struct, frozen=True):
    metadata: ObjectMeta
    spec: _LeaseSpec = _LeaseSpec()


@dataclass(frozen=True, slots=True)
class Lease:
    """coordination.k8s.io/v1 Lease.

    Attributes:
        metadata: decoded.
        spec: decoded, as far as we use it.
        document: all of it. Updates replace the object, and must not drop what others put there.
    """

    metadata: ObjectMeta
    spec: _LeaseSpec
    document: Mapping[str, Any]


def _decode_lease(body: bytes | msgspec.Raw) -> Lease:
    fields = msgspec.json.decode(body, type=_LeaseFields)
    return Lease(fields.metadata, fields.spec, msgspec.json.decode(body))


LEASES: Final[Resource[Lease]] = Resource(
    group="coordination.k8s.io", version="v1", plural="leases", kind="Lease", decode=_decode_lease
)


class LeaseClient(Protocol):
    """The three verbs that are needed: part of `informers.ApiClient`."""

    async def get(self, resource: Resource[Lease], name: str, namespace: str = "") -> Lease:
        """Read. Raises NotFound."""
        ...

    async def create(self, resource: Resource[Lease], body: Mapping[str, Any], namespace: str = "") -> Lease:
        """Create. Raises AlreadyExists."""
        ...

    async def update(self, resource: Resource[Lease], name: str, body: Mapping[str, Any], namespace: str = "") -> Lease:
        """Replace. Raises Conflict if the body's resourceVersion is old."""
        ...


class LeaderElectionMetrics(Protocol):
    """Observer of leadership."""

    def leading(self, name: str, leads: bool) -> None:
        """Whether this process holds the lease of this name. Called once at the start, too."""
        ...


class _NoLeaderElectionMetrics:
    def leading(self, name: str, leads: bool) -> None: ...


NO_LEADER_ELECTION_METRICS: Final[LeaderElectionMetrics] = _NoLeaderElectionMetrics()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderElectionConfig:
    """Times in seconds. Defaults as in client-go's users.

    Attributes:
        namespace: of the Lease; must exist.
        name: of the Lease.
        identity: of this process, different from every other's.
        lease_duration: how long candidates wait for a sign of the leader before one takes over. Rounded up to whole
            seconds, which is what a Lease can say.
        renew_deadline: how long the leader tries to renew before it gives up.
        retry_period: between two tries, of leaders and candidates.
    """

    namespace: str
    name: str
    identity: str
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        """Raises ValueError if the times could lead to two leaders, or something is missing."""
        if not (self.namespace and self.name and self.identity):
            raise ValueError("leader election needs a namespace, a name and an identity")
        if self.retry_period <= 0:
            raise ValueError(f"retry period must be positive, got {self.retry_period:g} s")
        if self.lease_duration <= self.renew_deadline:
            raise ValueError(
                f"lease duration ({self.lease_duration:g} s) must be longer than renew deadline"
                f" ({self.renew_deadline:g} s)"
            )
        if self.renew_deadline <= JITTER_FACTOR * self.retry_period:
            raise ValueError(
                f"renew deadline ({self.renew_deadline:g} s) must be longer than {JITTER_FACTOR} times the retry period"
                f" ({self.retry_period:g} s)"
            )

    @property
    def term(self) -> float:
        """How long after sending its last successful renewal the leader stops leading.

        As in client-go it begins to worry one retry period after a success and then tries for the renew deadline. But
        it stays below the lease duration whatever the numbers; client-go does not (with 15 s, 14 s and 5 s it may
        lead for 19 s).
        """
        return max(
            self.renew_deadline, min(self.renew_deadline + self.retry_period, self.lease_duration - self.retry_period)
        )


def default_identity() -> str:
    """Host name, which is the Pod's name in a cluster, and something that no other process on it has."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


class LeaderElector:
    """One process's part in an election: :meth:`acquire`, then :meth:`renew` until it ends, then :meth:`release`.

    In this order, each by one task at a time; `is_leader` and `holder` may be read at any moment. Not thread-safe.
    Semantics of client-go's `LeaderElector`; the module tells where it is stricter.
    """

    def __init__(
        self,
        client: LeaseClient,
        config: LeaderElectionConfig,
        *,
        clock: Clock,
        rng: random.Random,
        metrics: LeaderElectionMetrics = NO_LEADER_ELECTION_METRICS,
        annotations: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Makes no request.

        Args:
            client: of the API server that keeps the Lease. Without a rate limit, or renewals wait behind other work.
            config: times and names.
            clock: monotonic time decides; wall-clock time is only written into the Lease.
            rng: for the jitter of candidates.
            metrics: told who leads.
            annotations: what the Lease says of this process while it leads, for people and tools. They are read at
                each renewal, so they may change. They stay when the lease is released or lost, so name the identity in
                them: then nobody takes them for the next leader's.
        """
        self.config = config
        self._annotations = annotations
        self._client = client
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._lease: Lease | None = None  # as last seen or written
        self._observed_at = 0.0  # when its spec was first seen, on this process's clock
        self._renewed_at = 0.0  # when the last successful renewal was sent
        self._leading = False
        self._claimed = False  # the server may have us down as the holder
        self._trouble = ""
        metrics.leading(config.name, False)

    @property
    def is_leader(self) -> bool:
        """Whether this process may act: from the end of :meth:`acquire` until lost or released.

        Also false once the term is over by the clock, whoever may not have found out yet. Then it stays so.
        """
        return self._leading and self._clock.monotonic() < self._term_end

    @property
    def _term_end(self) -> float:
        return self._renewed_at + self.config.term

    @property
    def holder(self) -> str:
        """Who holds the lease as far as we know; empty if nobody."""
        return "" if self._lease is None else self._lease.spec.holder_identity or ""

    async def acquire(self) -> None:
        """Return once this process leads. Failures are logged and retried for ever.

        May be cancelled; then :meth:`release` gives back what the server may have granted already. One request takes
        at most half the renew deadline. A released lease is taken within one retry period.
        """
        log.info("Waiting for the lease", extra=self._fields())
        while not await self._try(self._take):
            await self._clock.sleep(self._pause())
        self._set_leading(True)
        log.info("Became leader", extra=self._fields())

    async def renew(self) -> NoReturn:
        """Keep the lease until cancelled.

        Raises:
            LeadershipLost: it could not be renewed in time, or somebody else holds it.
        """
        try:
            while True:
                await self._clock.sleep(self.config.retry_period)
                await self._renew_in_time()
        except LeadershipLost as lost:
            self._set_leading(False)
            self._claimed = False
            log.error("Lost the lease", extra=self._fields(error=str(lost)))
            raise

    async def release(self) -> None:
        """Let another take over at once. Only call it when all work that the lease guards has ended.

        Also cleans up after an :meth:`acquire` that was cancelled when the server had already heard of it. Does
        nothing if the lease was lost or never claimed. Failures are logged; the lease then runs out by itself. Takes
        at most the renew deadline.
        """
        if not self._claimed:
            return
        self._claimed = False
        self._set_leading(False)
        try:
            async with time_limit(self._clock, self.config.renew_deadline):
                while not await self._try_release():
                    pass
        except NotFound:
            return
        except (KubeError, TimeoutError) as error:
            log.warning("Could not release the lease", extra=self._fields(error=str(error) or _SILENCE))

    async def _renew_in_time(self) -> None:
        end = self._term_end
        renewed = False
        with contextlib.suppress(TimeoutError):
            async with time_limit(self._clock, end - self._clock.monotonic()):
                while not renewed and self._clock.monotonic() < end:
                    renewed = await self._try(self._keep)
                    if not renewed:
                        await self._clock.sleep(min(self.config.retry_period, end - self._clock.monotonic()))
        # A success that came when the old term was over is none: `is_leader` may have been seen false in between.
        if not renewed or self._clock.monotonic() >= end:
            raise LeadershipLost(f"not renewed for {self.config.term:g} s: {self._trouble or _STOOD_STILL}")

    async def _try(self, step: Callable[[], Awaitable[bool]]) -> bool:
        """One try with a time-out of its own: a server that hangs must leave time for another."""
        try:
            async with time_limit(self._clock, self.config.renew_deadline / 2):
                done = await step()
        except (KubeError, TimeoutError) as error:
            self._report(str(error) or _SILENCE)
            return False
        self._trouble = ""
        return done

    async def _take(self) -> bool:
        """Take the lease if it is free. True if the term that this begins is not over already."""
        lease = await self._read()
        seen = lease or self._lease  # a deleted one was perhaps deleted under its holder
        if seen is not None and self._is_held(seen):
            return False
        if lease is None:
            await self._create()
        else:
            await self._replace(lease)
        if self._clock.monotonic() < self._term_end:
            return True
        self._report(_STOOD_STILL)
        return False

    async def _keep(self) -> bool:
        """Renew the lease: as we know it, or else as it really is."""
        if self._lease is not None:
            with contextlib.suppress(Conflict, NotFound):  # changed or deleted by somebody: see by whom
                await self._replace(self._lease)
                return True
        lease = await self._read()
        if lease is None:
            await self._create()
            return True
        if self._is_another(lease.spec.holder_identity):
            raise LeadershipLost(f"{lease.spec.holder_identity} holds it")
        await self._replace(lease)
        return True

    async def _try_release(self) -> bool:
        lease = await self._client.get(LEASES, self.config.name, self.config.namespace)
        if lease.spec.holder_identity != self.config.identity:
            return True
        now = _micro_time(self._clock.utcnow())
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": now, "renewTime": now}
        try:
            await self._client.update(LEASES, self.config.name, _changed(lease, spec), self.config.namespace)
        except Conflict:
            return False
        log.info("Released the lease", extra=self._fields())
        return True

    async def _read(self) -> Lease | None:
        try:
            lease = await self._client.get(LEASES, self.config.name, self.config.namespace)
        except NotFound:
            return None
        if self._lease is None or lease.spec != self._lease.spec:
            self._observed_at = self._clock.monotonic()
            self._log_holder(lease)
        self._lease = lease
        return lease

    async def _create(self) -> None:
        sent = self._clock.monotonic()
        claim = self._claim()
        metadata: dict[str, Any] = {"name": self.config.name, "namespace": self.config.namespace}
        if self._annotations:
            metadata["annotations"] = dict(self._annotations)
        body = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": {**claim, "acquireTime": claim["renewTime"], "leaseTransitions": 0},
        }
        self._claimed = True
        self._lease = await self._client.create(LEASES, body, self.config.namespace)
        self._renewed_at = sent

    async def _replace(self, lease: Lease) -> None:
        sent = self._clock.monotonic()
        spec = self._claim()
        if lease.spec.holder_identity != self.config.identity:
            spec["acquireTime"] = spec["renewTime"]
            spec["leaseTransitions"] = (lease.spec.lease_transitions or 0) + 1
        self._claimed = True
        body = _changed(lease, spec, self._annotations)
        self._lease = await self._client.update(LEASES, self.config.name, body, self.config.namespace)
        self._renewed_at = sent

    def _claim(self) -> dict[str, Any]:
        return {
            "holderIdentity": self.config.identity,
            "leaseDurationSeconds": math.ceil(self.config.lease_duration),
            "renewTime": _micro_time(self._clock.utcnow()),
        }

    def _is_another(self, holder: str | None) -> bool:
        return holder not in (None, "", self.config.identity)

    def _is_held(self, lease: Lease) -> bool:
        """Whether another may still count on it, by our own clock."""
        if not self._is_another(lease.spec.holder_identity):
            return False
        return self._clock.monotonic() < self._observed_at + self._promised(lease)

    def _pause(self) -> float:
        """Seconds until a candidate looks again: soon, and not later than what it has seen runs out."""
        pause = self.config.retry_period * self._rng.uniform(*_POLL)
        if self._lease is not None and self._is_held(self._lease):
            left = self._observed_at + self._promised(self._lease) - self._clock.monotonic()
            pause = min(pause, left + self.config.retry_period * self._rng.uniform(0, _SPREAD))
        return pause

    def _promised(self, lease: Lease) -> float:
        """For how long the holder may count on the lease: what it wrote there, not what we would have written."""
        return lease.spec.lease_duration_seconds or self.config.lease_duration

    def _set_leading(self, leads: bool) -> None:
        self._leading = leads
        self._metrics.leading(self.config.name, leads)

    def _report(self, trouble: str) -> None:
        # The same trouble at every retry period is one line, not hundreds.
        level = logging.DEBUG if trouble == self._trouble else logging.WARNING
        log.log(level, "Could not get or renew the lease; will retry", extra=self._fields(error=trouble))
        self._trouble = trouble

    def _log_holder(self, lease: Lease) -> None:
        before = "" if self._lease is None else self._lease.spec.holder_identity or ""
        now = lease.spec.holder_identity or ""
        if now not in (before, "", self.config.identity):
            log.info("Another process leads", extra=self._fields(holder=now))

    def _fields(self, **more: str) -> dict[str, str]:
        return {"lease": f"{self.config.namespace}/{self.config.name}", "identity": self.config.identity, **more}


def _changed(lease: Lease, spec: Mapping[str, Any], annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The whole object with some fields of its spec changed, and its resourceVersion to guard the write."""
    changed = {**lease.document, "spec": {**lease.document.get("spec", {}), **spec}}
    if annotations:
        metadata = lease.document["metadata"]
        changed["metadata"] = {**metadata, "annotations": {**(metadata.get("annotations") or {}), **annotations}}
    return changed


def _micro_time(moment: datetime) -> str:
    """metav1.MicroTime: always six digits of a second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
