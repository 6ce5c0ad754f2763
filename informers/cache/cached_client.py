"""One kind of one API server for a reconciler: reads from the cache, writes through to it.

The answer to one's own write goes into the store at once instead of coming back with the watch event. So a reconcile
that follows sees what the one before it wrote, and neither repeats it nor runs into a conflict with itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from informers.client.client import JSON_PATCH
from informers.errors import NotFound
from informers.meta import KubeObject, ObjectKey, key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from informers.cache.informer import SharedInformer
    from informers.cache.store import Store
    from informers.client.client import ApiClient

T = TypeVar("T", bound=KubeObject)


class CachedClient(Generic[T]):
    """Reads never leave the process; writes are one request each.

    What a write returns is in the store, and the informer's handlers have been told of it, before it returns. Nothing
    is retried. Every write may raise TransportError (it may have taken effect; the watch will tell), DecodeError and
    the subclasses of ApiError, and RuntimeError from inside a handler. Any number of tasks of one event loop may use it
    at once; writes to one object are then in the order in which the server took them.

    After client-go's MutationCache and controller-runtime's delegating client.

    Attributes:
        informer: where the reads come from. Incomplete before its `has_synced`.
    """

    def __init__(self, client: ApiClient, informer: SharedInformer[T]) -> None:
        """Makes no request. Both must be for the same API server."""
        self._client = client
        self.informer = informer

    @property
    def store(self) -> Store[T]:
        """The informer's store."""
        return self.informer.store

    def get(self, namespace: str, name: str) -> T | None:
        """The cached object, shared with all other readers, or None. `namespace` is "" for cluster-scoped kinds."""
        return self.informer.store.get(ObjectKey(namespace, name))

    async def create(self, body: Mapping[str, Any], namespace: str = "") -> T:
        """Create an object of these contents, whose `apiVersion` and `kind` may be left out.

        Raises:
            AlreadyExists: an object of that name is there, though perhaps not yet in the cache.
        """
        created = await self._client.create(self.informer.resource, body, namespace)
        self.informer.observe(created)
        return created

    async def patch(
        self, namespace: str, name: str, body: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, subresource: str = ""
    ) -> T:
        """Apply a merge patch (a mapping) or a JSON patch (a sequence of operations).

        A patch that sets the resourceVersion fails with Conflict if the object has changed since. An API server drops
        nulls inside of lists when it applies a merge patch; a JSON patch keeps them.

        Raises:
            NotFound: there is no such object.
            Conflict: see above.
        """
        if isinstance(body, Mapping):
            patched = await self._client.patch(self.informer.resource, name, body, namespace, subresource=subresource)
            named = "finalizers" in body.get("metadata", {})
        else:
            operations = msgspec.json.encode(body)
            patched = await self._client.patch(
                self.informer.resource, name, operations, namespace, subresource=subresource, content_type=JSON_PATCH
            )
            named = any(str(one.get("path", "")).startswith("/metadata/finalizers") for one in body)
        self._observe(patched, finalizers_named=named)
        return patched

    async def apply(
        self,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        field_manager: str,
        force: bool = False,
        subresource: str = "",
    ) -> T:
        """Server-side apply (KEP-555): be the manager of exactly these fields, and create the object if there is none.

        Fields that `field_manager` applied before and that are not in `body` any more are removed, unless somebody else
        manages them too. So a reconcile applies all that it wants, every time; what is applied already changes nothing.

        Args:
            namespace: "" for cluster-scoped kinds.
            name: the object's name.
            body: the fields. `apiVersion`, `kind` and `metadata.name` may be left out. A `metadata.uid` or
                `metadata.resourceVersion` in it makes this fail with Conflict for another object or state.
            field_manager: whose fields these are; the same in every version of the program.
            force: take fields over that others manage. Controllers should, as Kubernetes' documentation says: there is
                nobody who could resolve the conflict.
            subresource: "status", say. Then the object has to exist.

        Raises:
            Conflict: another manager has one of the fields, with another value; or see `body`.
            NotFound: no object, and a subresource or a uid was given.
        """
        before = self.get(namespace, name)
        applied = await self._client.apply(
            self.informer.resource,
            name,
            body,
            namespace,
            field_manager=field_manager,
            force=force,
            subresource=subresource,
        )
        # Finalizers are removed by no longer naming them, so what was there before tells.
        had = before is not None and before.metadata.uid == applied.metadata.uid and bool(before.metadata.finalizers)
        self._observe(applied, finalizers_named=had)
        return applied

    def _observe(self, answer: T, *, finalizers_named: bool) -> None:
        meta, resource = answer.metadata, self.informer.resource
        going = meta.deletion_timestamp is not None and not meta.deletion_grace_period_seconds
        held_otherwise = (resource.group, resource.plural) == ("", "namespaces")  # they have finalizers in their spec
        if going and not meta.finalizers and finalizers_named and not held_otherwise:
            # Whoever removes the last finalizer of an object that is being deleted is shown what has just gone, unless
            # it has a grace period left (ShouldDeleteDuringUpdate in k8s.io/apiserver).
            self.informer.observe_deleted(key_of(answer), uid=meta.uid)
        else:
            self.informer.observe(answer)

    async def delete(self, namespace: str, name: str, *, uid: str = "", resource_version: str = "") -> None:
        """Delete an object; that it is gone already is fine.

        Raises:
            Conflict: it is not the object of that uid and resourceVersion any more.
        """
        resource = self.informer.resource
        try:
            left = await self._client.delete(resource, name, namespace, uid=uid, resource_version=resource_version)
        except NotFound:
            left = None
        if left is not None and left.metadata.deletion_timestamp is not None:
            # Kept by finalizers, by a grace period, or, as Namespaces are, by something that metadata does not tell.
            self.informer.observe(left)
        else:
            self.informer.observe_deleted(ObjectKey(namespace, name), uid=uid)
