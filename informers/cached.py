"""One kind of one API server for a reconciler: reads from the cache, writes through to it.

The answer to one's own write goes into the store at once instead of coming back with the watch event. So a reconcile
that follows sees what the one before it wrote, and neither repeats it nor runs into a conflict with itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from informers.client import JSON_PATCH
from informers.errors import NotFound
from informers.meta import KubeObject, ObjectKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from informers.client import ApiClient
    from informers.informer import SharedInformer
    from informers.store import Store

T = TypeVar("T", bound=KubeObject)


class CachedResource(Generic[T]):
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
        resource = self.informer.resource
        if not isinstance(body, Mapping):
            operations = msgspec.json.encode(body)
            patched = await self._client.patch(
                resource, name, operations, namespace, subresource=subresource, content_type=JSON_PATCH
            )
            self.informer.observe(patched)
            return patched
        patched = await self._client.patch(resource, name, body, namespace, subresource=subresource)
        meta = patched.metadata
        going = meta.deletion_timestamp is not None and not meta.deletion_grace_period_seconds
        if going and not meta.finalizers and "finalizers" in body.get("metadata", {}):
            # Whoever removes the last finalizer of an object that is being deleted is shown what has just gone, unless
            # it has a grace period left (ShouldDeleteDuringUpdate in k8s.io/apiserver).
            self.informer.observe_deleted(ObjectKey(namespace, name), uid=meta.uid)
        else:
            self.informer.observe(patched)
        return patched

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
