"""The objects of members that Works carry: one informer per member and kind, started when the first Work needs it.

The kinds that this project makes itself are a table, `MEMBER_KINDS`; where the others are, the member's discovery
tells. An object is the same to everything here whatever its kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from informers.cache.cached_client import CachedClient
from informers.dynamic import DynamicInformers
from informers.errors import KubeError
from informers.memory import parsed_size
from informers.resource import GroupVersionKind, Resource
from informers.rest_mapper import RESTMapper
from mcs_controller.api.common import Unstructured, unstructured_decoder
from mcs_controller.api.shapes import ENDPOINTSLICE, NAMESPACE, SERVICE
from mcs_controller.domain import well_known as wk
from mcs_controller.runtime.reconcile import ReconcileError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from informers.cache.event import Event
    from informers.cache.factory import InformerFactory
    from informers.cache.informer import SharedInformer
    from informers.cache.registration import Registration
    from informers.client.client import ApiClient
    from informers.meta import ObjectKey
    from workqueue.clock import Clock


class MemberUnavailable(ReconcileError):
    """Nothing can be asked of the member, and the text says why."""


class KindNotServed(ReconcileError):
    """The member has no such kind; it may get one at any time."""


class NotListed(KubeError):
    """The member's API server does not list the objects of a kind; the list is retried."""

    retryable = True


class NotSynced(Exception):
    """The member is being connected to, or its objects are being listed; `available` listeners hear when it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberKind:
    """One kind of objects that Works carry.

    Attributes:
        resource: where it lives.
        label_selector: which objects are worth remembering. Those that it leaves out are met when creating them fails.
    """

    resource: Resource[Unstructured]
    label_selector: str = f"{wk.MANAGED}={wk.TRUE}"


NAMESPACES: Final = MemberKind(
    resource=Resource(
        group="",
        version="v1",
        plural="namespaces",
        kind="Namespace",
        decode=unstructured_decoder(NAMESPACE, applied=True),
        namespaced=False,
        size=parsed_size,
    ),
    # All of them: whether a namespace exists decides whether anything can be created in it, whoever made it.
    label_selector="",
)
SERVICES: Final = MemberKind(
    resource=Resource(
        group="",
        version="v1",
        plural="services",
        kind=wk.SERVICE_KIND,
        decode=unstructured_decoder(SERVICE, applied=True),
        size=parsed_size,
    )
)
SLICES: Final = MemberKind(
    resource=Resource(
        group="discovery.k8s.io",
        version="v1",
        plural="endpointslices",
        kind=wk.SLICE_KIND,
        # Ours as a whole: who set what does not matter, and there are many of them.
        decode=unstructured_decoder(ENDPOINTSLICE),
        size=parsed_size,
    )
)
MEMBER_KINDS: Final[Mapping[GroupVersionKind, MemberKind]] = {
    GroupVersionKind(kind.resource.api_version, kind.resource.kind): kind for kind in (NAMESPACES, SERVICES, SLICES)
}


class Member(Protocol):
    """The part of a `MemberCluster` that is used here."""

    @property
    def name(self) -> str:
        """The Cluster's name."""
        ...

    @property
    def client(self) -> ApiClient:
        """For its API server."""
        ...

    @property
    def informers(self) -> InformerFactory:
        """Started by whoever asks for one."""
        ...


class Members(Protocol):
    """The part of `MemberClusters` that is used here."""

    def get(self, name: str) -> Member | None:
        """The member, if it can be talked to."""
        ...

    def problem(self, name: str) -> str | None:
        """Why it cannot."""
        ...

    def add_listener(self, *, joined: Callable[[Member], None], left: Callable[[str], None]) -> None:
        """Hear of members that come and go."""
        ...


class MemberObjectInformers:
    """Informers of the managed objects of all members. A runnable that needs leadership, like its users."""

    def __init__(self, members: Members, *, clock: Clock) -> None:
        """`clock` tells when to ask a member again for a kind that it did not have."""
        self._members = members
        self._clock = clock
        self._served: dict[str, RESTMapper] = {}
        self._informers = DynamicInformers[tuple[str, MemberKind], Unstructured](
            clock=clock, register=self._register, synced=lambda key: self._tell_available(key[0])
        )
        self._changed: list[Callable[[str, Event[Unstructured]], None]] = []
        self._available: list[Callable[[str], None]] = []
        members.add_listener(joined=self._joined, left=self._left)

    def subscribe(
        self, *, changed: Callable[[str, Event[Unstructured]], None], available: Callable[[str], None]
    ) -> None:
        """Hear of changed objects, with the name of their cluster, and of clusters of which more can be known now.

        Both are called between two awaits, so they must do no more than enqueue.
        """
        self._changed.append(changed)
        self._available.append(available)

    async def kind(self, cluster: str, api_version: str, kind: str) -> MemberKind:
        """How to handle a kind in a member.

        Raises:
            KindNotServed: the member has no such kind.
            KubeError: the member does not tell.
            MemberUnavailable, NotSynced: see `client`.
        """
        wanted = GroupVersionKind(api_version, kind)
        if (known := MEMBER_KINDS.get(wanted)) is not None:
            return known
        client = self.client(cluster)
        if cluster not in self._served:
            self._served[cluster] = RESTMapper(client, clock=self._clock)
        served = await self._served[cluster].find(wanted)
        if served is None:
            raise KindNotServed(f"cluster {cluster} serves no {wanted}")
        decode = unstructured_decoder(wanted, applied=True)
        return MemberKind(resource=served.resource(wanted, decode, size=parsed_size))

    def client(self, cluster: str) -> ApiClient:
        """The member's client. Raises MemberUnavailable or NotSynced if there is none."""
        return self._member(cluster).client

    def open(self, cluster: str, kind: MemberKind) -> CachedClient[Unstructured]:
        """The member's objects of that kind, complete.

        Raises:
            MemberUnavailable: no client can be made for the member.
            NotListed: listing them failed so far.
            NotSynced: all that is under way.
        """
        member, key = self._member(cluster), (cluster, kind)
        if key not in self._informers:
            self._informers.add(key, member.informers.informer(kind.resource, label_selector=kind.label_selector))
        if (informer := self._informers.get_synced(key)) is not None:
            return CachedClient(member.client, informer)
        if (pending := self._informers.get(key)) is not None and pending.last_error is not None:
            raise NotListed(f"cannot list {kind.resource} of cluster {cluster}: {pending.last_error}")
        raise NotSynced(f"{kind.resource} of cluster {cluster} are being listed")

    def peek(self, cluster: str, kind: MemberKind, key: ObjectKey) -> Unstructured | None:
        """A member's object, if its kind was listed; nothing is asked for."""
        informer = self._informers.get_synced((cluster, kind))
        return informer.store.get(key) if informer is not None else None

    def opened(self, cluster: str) -> list[CachedClient[Unstructured]]:
        """The member's objects of all kinds that have been listed so far."""
        member = self._members.get(cluster)
        listed = (self._informers.get_synced(key) for key in self._informers if key[0] == cluster)
        return [CachedClient(member.client, one) for one in listed if one is not None] if member is not None else []

    async def run(self) -> None:
        """Tell the listeners when first lists arrive, until cancelled."""
        await self._informers.run()

    def _register(
        self, key: tuple[str, MemberKind], informer: SharedInformer[Unstructured]
    ) -> Sequence[Registration[Unstructured]]:
        cluster = key[0]

        def forward(event: Event[Unstructured]) -> None:
            for listener in self._changed:
                listener(cluster, event)

        return (informer.add_handler(forward, name=f"objects of {cluster}"),)

    def _member(self, cluster: str) -> Member:
        member = self._members.get(cluster)
        if member is not None:
            return member
        if (problem := self._members.problem(cluster)) is not None:
            raise MemberUnavailable(f"cluster {cluster} cannot be connected to: {problem}")
        raise NotSynced(f"cluster {cluster} is being connected to")

    def _joined(self, member: Member) -> None:
        self._tell_available(member.name)

    def _left(self, cluster: str) -> None:
        self._served.pop(cluster, None)
        for key in self._informers:
            if key[0] == cluster:
                self._informers.remove(key)

    def _tell_available(self, cluster: str) -> None:
        for listener in self._available:
            listener(cluster)
