"""One object of a Work and its counterpart in the member: brought in line, or taken away.

The rules are in `domain.execution`; here is what they take from caches and API servers.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from informers.errors import AlreadyExists, Conflict, KubeError, NotFound
from mcs_controller.api.common import decode_with_managers
from mcs_controller.reconcilers.retries import Deferred
from mcs_controller.standalone.domain.contention import (
    LastWrite,
    after_write,
    contended,
    is_forgotten,
    last_writer,
    seconds_to_settle,
    seconds_to_wait,
    with_rival,
)
from mcs_controller.standalone.domain.execution import (
    InvalidManifest,
    NotOurs,
    NotOwned,
    belongs_to,
    check_overwrite,
    foreign_id,
    manifest_of,
    may_delete,
    owner_work_of,
    plan_release,
    plan_update,
)
from mcs_controller.standalone.domain.immutable import check_replaceable, unchangeable
from mcs_controller.standalone.domain.work_status import was_applied
from mcs_controller.standalone.member_objects import NAMESPACES, KindNotServed, MemberKind, NotSynced

if TYPE_CHECKING:
    from collections.abc import Callable

    from informers.cache.cached_client import CachedClient
    from informers.cache.store import Store
    from mcs_controller.api.common import JsonObject, Unstructured
    from mcs_controller.api.work import Manifest, ManifestRef, Work
    from mcs_controller.domain.reserved import ReservedObjects
    from mcs_controller.standalone.domain.member_ownership import Ownership
    from mcs_controller.standalone.member_objects import MemberObjectInformers
    from mcs_controller.standalone.metrics import PropagationMetrics
    from mcs_controller.standalone.reconcilers.member_ownership import Ownerships
    from workqueue.clock import Clock


_MAX_LAST_WRITES: Final = 8192
"""Objects whose last write is remembered, 400 bytes each: what a member's limit of requests allows in minutes."""


class NamespaceMissing(Exception):
    """The object's namespace does not exist in the member (yet)."""


class _Target(NamedTuple):
    """Which object of which member."""

    cluster: str
    kind: MemberKind
    namespace: str
    name: str


class MemberApplier:
    """Writes objects of members, for all Works. Not thread-safe; of one object only one write at a time is expected."""

    def __init__(
        self,
        objects: MemberObjectInformers,
        works: Store[Work],
        ownerships: Ownerships,
        metrics: PropagationMetrics,
        reserved: ReservedObjects,
        clock: Clock,
    ) -> None:
        """Objects that are `reserved` are the member's own, and not written."""
        self._clock = clock
        self._objects = objects
        self._ownerships = ownerships
        self._works = works
        self._metrics = metrics
        self._reserved = reserved
        self._not_converging: dict[_Target, tuple[bytes, JsonObject]] = {}
        """Objects that still differ from the manifest after it was written, as (manifest, what still differs).

        Their server fills in or rewrites more than the rules know of: an admission webhook, or a newer Kubernetes.
        Writing the same again would go on for ever. This is a safety net, it need not survive a restart.
        """

        self._last_writes: OrderedDict[_Target, LastWrite] = OrderedDict()
        """Latest last. Of those that were forgotten too early the others are fought a little longer."""

    async def apply(
        self, work: Work, cluster: str, manifest: Manifest, before_write: Callable[[], None] = lambda: None
    ) -> Unstructured:
        """Make the member's object what the manifest says, and return it.

        `before_write` is called if it has to be written; what it raises ends this.

        Raises:
            InvalidManifest: it cannot be applied, whatever the member looks like.
            NotOurs: the member has another object of that name, or belongs to another control plane (NotOwned).
            Immutable: it would have to be deleted and made anew, and may not be.
            NamespaceMissing: there is no place for it.
            KindNotServed: the member has no such kind.
            Deferred: somebody else keeps changing it back.
            MemberUnavailable, NotSynced, KubeError: see `MemberObjectInformers.open`, and what the member says.
        """
        content = manifest_of(work, manifest)
        if (problem := self._problem(manifest.ref, content)) is not None:
            raise InvalidManifest(problem)
        target = await self._target(cluster, manifest.ref)
        if not target.kind.resource.namespaced and target.kind is not NAMESPACES:
            raise InvalidManifest(
                f"{content['apiVersion']} {content['kind']} does not live in namespaces, and is not applied here"
            )
        if target.kind.resource.namespaced and not target.namespace:
            raise InvalidManifest(f"{content['kind']} {target.name} has no namespace")
        objects = self._objects.open(cluster, target.kind)
        ownership = self._ownerships.of(cluster)
        if ownership.foreign:
            self._refuse(content, objects.get(target.namespace, target.name), work, ownership)
        if target.namespace and self._objects.open(cluster, NAMESPACES).get("", target.namespace) is None:
            raise NamespaceMissing(f"namespace {target.namespace} does not exist in cluster {cluster}")
        observed = objects.get(target.namespace, target.name)
        try:
            try:
                obj = await self._create_or_update(objects, work, target, content, manifest.raw, observed, before_write)
            except (Conflict, NotFound):
                # The cache does not hold what is there: it is behind, or the object is not managed.
                live = await self._read(target)
                obj = await self._create_or_update(objects, work, target, content, manifest.raw, live, before_write)
        except Deferred as deferred:
            raise self._contended(target, await self._find_rival(target), deferred.seconds) from None
        last = self._last_writes.get(target)
        if last is not None and (seconds := seconds_to_settle(last, self._clock.monotonic())):
            raise self._contended(target, last.rival or "", seconds)
        return obj

    async def change(self, work: Work, cluster: str, manifest: Manifest) -> bool:
        """Bring an object that this Work applied before in line with its manifest, if the cache holds it; else nothing.

        Nothing either if it would have to be deleted and made anew. Returns whether it is in line now.

        Raises:
            KubeError: what the member says, and that it changed meanwhile.
            Deferred: somebody else keeps changing it back.
            MemberUnavailable, KindNotServed: see `MemberObjectInformers.open`.
        """
        try:
            content = manifest_of(work, manifest)
            if self._problem(manifest.ref, content) is not None:
                return False
            target = await self._target(cluster, manifest.ref)
            objects = self._objects.open(cluster, target.kind)
            ownership = self._ownerships.of(cluster)
        except (InvalidManifest, NotSynced):
            return False
        observed = objects.get(target.namespace, target.name)
        if observed is None or ownership.foreign or not belongs_to(observed, work) or unchangeable(content, observed):
            return False
        await self._create_or_update(objects, work, target, content, manifest.raw, observed)
        return True

    async def remove(self, work: Work, cluster: str, manifest: Manifest, *, release: bool) -> None:
        """Delete the member's object, or take the Work's marks off it (`release`); only if this Work applied it.

        Reserved objects are let go in any case, but not slices of reserved Services, which no cluster has of its own.

        Raises:
            MemberUnavailable, NotSynced, KubeError: see `MemberObjectInformers.open`, and what the member says.
        """
        try:
            target = await self._target(cluster, manifest.ref)
        except (InvalidManifest, KindNotServed):
            return  # then it was never applied, or went with its kind
        release = release or self._problem(manifest.ref) is not None  # an older version may have applied it
        self._not_converging.pop(target, None)
        self._last_writes.pop(target, None)
        objects = self._objects.open(cluster, target.kind)
        if self._ownerships.of(cluster).foreign:
            return  # nothing there is ours
        observed = objects.get(target.namespace, target.name) or await self._read(target)
        if observed is None:
            return
        owned = await self._owned(cluster, observed, work)
        if release:
            patch = plan_release(observed, work)
            if patch is not None and (owned or not foreign_id(observed, work)):
                await objects.patch(target.namespace, target.name, patch)
        elif may_delete(observed, work, owned=owned):
            await self._delete(objects, target, observed)

    async def _create_or_update(
        self,
        objects: CachedClient[Unstructured],
        work: Work,
        target: _Target,
        content: JsonObject,
        raw: bytes,
        observed: Unstructured | None,
        before_write: Callable[[], None] = lambda: None,
    ) -> Unstructured:
        if observed is None:
            before_write()
            self._check_contention(target, raw)
            created = await self._create(objects, work, target, content)
            self._remember(target, raw, plan_update(content, created))
            return created
        owned = await self._owned(target.cluster, observed, work)
        try:
            check_overwrite(content, observed, work, self._applier(observed), owned=owned)
        except NotOurs:
            if target.kind is not NAMESPACES:
                raise
            return observed  # used as it is: all that a Work wants of a namespace is that it exists
        if field := unchangeable(content, observed):
            check_replaceable(content, observed, field)
            before_write()
            self._check_contention(target, raw)
            await self._delete(objects, target, observed)
            return await self._create_or_update(objects, work, target, content, raw, None)
        patch = plan_update(content, observed)
        if patch is None or self._not_converging.get(target) == (raw, _without_version(patch)):
            resource = target.kind.resource
            self._metrics.updated(target.cluster, resource.api_version, resource.kind, ok=True, result="unchanged")
            return observed
        before_write()
        self._check_contention(target, raw)
        patched = await self._patch(objects, target, patch)
        self._remember(target, raw, plan_update(content, patched))
        return patched

    async def _owned(self, cluster: str, observed: Unstructured, work: Work) -> bool:
        """Whether an object with another permanent id can only be that of an earlier Work of this control plane.

        Then the member is ours, and is asked whether it still is: another control plane may have taken it over.
        """
        ownership = self._ownerships.of(cluster)
        if ownership.owned and foreign_id(observed, work):
            ownership = await self._ownerships.verify(cluster)
            if ownership.foreign:
                raise NotOwned(str(ownership))
        return ownership.owned

    def _refuse(self, content: JsonObject, observed: Unstructured | None, work: Work, ownership: Ownership) -> NoReturn:
        """Say whose the object is, or else whose the member is."""
        if observed is not None and owner_work_of(observed) is not None:
            try:
                check_overwrite(content, observed, work, self._applier(observed), owned=False)
            except NotOurs as error:
                raise NotOwned(f"{error}; {ownership}") from error
        raise NotOwned(str(ownership))

    def _check_contention(self, target: _Target, raw: bytes) -> None:
        """Raise Deferred if the manifest was written a moment ago, and somebody else changes it back each time."""
        seconds = seconds_to_wait(self._last_writes.get(target), hash(raw), self._clock.monotonic())
        if seconds:
            raise Deferred(f"{target.name} was changed back by somebody else", seconds)

    async def _find_rival(self, target: _Target) -> str:
        """Who changes the object back; the member is asked once after each write."""
        last = self._last_writes[target]
        if not last.asked:
            resource = dataclasses.replace(target.kind.resource, decode=decode_with_managers)
            try:
                live = await self._objects.client(target.cluster).get(resource, target.name, target.namespace)
                rival = last_writer(live.content)
            except KubeError:
                rival = ""
            last = self._last_writes[target] = with_rival(last, rival)
        return last.rival or ""

    def _contended(self, target: _Target, rival: str, seconds: float) -> Deferred:
        return Deferred(contended(target.kind.resource.kind, target.namespace, target.name, rival), seconds)

    def _remember(self, target: _Target, raw: bytes, left: JsonObject | None) -> None:
        now = self._clock.monotonic()
        self._last_writes[target] = after_write(self._last_writes.pop(target, None), hash(raw), now)
        oldest = next(iter(self._last_writes))
        if len(self._last_writes) > _MAX_LAST_WRITES or is_forgotten(self._last_writes[oldest], now):
            del self._last_writes[oldest]
        if left is not None:
            self._not_converging[target] = (raw, _without_version(left))
        else:
            self._not_converging.pop(target, None)

    async def _create(
        self, objects: CachedClient[Unstructured], work: Work, target: _Target, content: JsonObject
    ) -> Unstructured:
        resource, recreate = target.kind.resource, was_applied(work)
        try:
            created = await objects.create(content, target.namespace)
        except AlreadyExists:
            raise  # no failure, but a fact that the cache did not hold
        except KubeError:
            self._metrics.created(target.cluster, resource.api_version, resource.kind, ok=False, recreate=recreate)
            raise
        self._metrics.created(target.cluster, resource.api_version, resource.kind, ok=True, recreate=recreate)
        return created

    async def _patch(self, objects: CachedClient[Unstructured], target: _Target, patch: JsonObject) -> Unstructured:
        resource = target.kind.resource
        try:
            patched = await objects.patch(target.namespace, target.name, patch)
        except KubeError:
            self._metrics.updated(target.cluster, resource.api_version, resource.kind, ok=False, result="none")
            raise
        self._metrics.updated(target.cluster, resource.api_version, resource.kind, ok=True, result="updated")
        return patched

    async def _delete(self, objects: CachedClient[Unstructured], target: _Target, observed: Unstructured) -> None:
        resource, meta = target.kind.resource, observed.metadata
        try:
            await objects.delete(target.namespace, target.name, uid=meta.uid, resource_version=meta.resource_version)
        except KubeError:
            self._metrics.deleted(target.cluster, resource.api_version, resource.kind, ok=False)
            raise
        self._metrics.deleted(target.cluster, resource.api_version, resource.kind, ok=True)

    async def _read(self, target: _Target) -> Unstructured | None:
        client = self._objects.client(target.cluster)
        try:
            return await client.get(target.kind.resource, target.name, target.namespace)
        except NotFound:
            return None

    async def _target(self, cluster: str, ref: ManifestRef | None) -> _Target:
        if ref is None:
            raise InvalidManifest("the manifest is not an object with apiVersion, kind and metadata.name")
        kind = await self._objects.kind(cluster, ref.api_version, ref.kind)
        return _Target(cluster, kind, ref.namespace if kind.resource.namespaced else "", ref.name)

    def _problem(self, ref: ManifestRef | None, content: JsonObject | None = None) -> str | None:
        if ref is None:
            return None
        labels = content["metadata"].get("labels") if content is not None else None
        return self._reserved.problem(ref.kind, ref.namespace, ref.name, labels)

    def _applier(self, observed: Unstructured) -> Work | None:
        named = owner_work_of(observed)
        return self._works.get(named) if named is not None else None


def _without_version(patch: JsonObject) -> JsonObject:
    metadata = {key: value for key, value in patch["metadata"].items() if key != "resourceVersion"}
    return patch | {"metadata": metadata}
