"""What scripted controllers are made of: field managers that write, reflectors that watch, workers that reconcile.

Deliberately plain: whole objects are written back with their resourceVersion, as Go controllers do, so conflicts with
whoever writes the same object are real ones.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import aiohttp

from testbed import Api, ApiStatusError
from testbed.api import resource_path

Object = dict[str, Any]

KINDS = {
    ("v1", "Service"): "v1/services",
    ("v1", "ConfigMap"): "v1/configmaps",
    ("v1", "Namespace"): "v1/namespaces",
    ("v1", "Secret"): "v1/secrets",
    ("discovery.k8s.io/v1", "EndpointSlice"): "discovery.k8s.io/v1/endpointslices",
    ("multicluster.x-k8s.io/v1alpha1", "ServiceExport"): "multicluster.x-k8s.io/v1alpha1/serviceexports",
    ("multicluster.x-k8s.io/v1alpha1", "ServiceImport"): "multicluster.x-k8s.io/v1alpha1/serviceimports",
    ("work.karmada.io/v1alpha1", "Work"): "work.karmada.io/v1alpha1/works",
    ("work.karmada.io/v1alpha2", "ResourceBinding"): "work.karmada.io/v1alpha2/resourcebindings",
    ("cluster.karmada.io/v1alpha1", "Cluster"): "cluster.karmada.io/v1alpha1/clusters",
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): "rbac.authorization.k8s.io/v1/clusterroles",
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): "rbac.authorization.k8s.io/v1/clusterrolebindings",
    ("networking.karmada.io/v1alpha1", "MultiClusterService"): "networking.karmada.io/v1alpha1/multiclusterservices",
}
UNREACHABLE = (ApiStatusError, aiohttp.ClientError, OSError)


def resource_of(obj: Object) -> str:
    """`<apiVersion>/<plural>` of an object."""
    return KINDS[obj["apiVersion"], obj["kind"]]


class FieldManager:
    """Writes under a field manager's name, so that managedFields tell who wrote what."""

    def __init__(self, api: Api, manager: str) -> None:
        self.api = api
        self._query = {"fieldManager": manager}

    async def create(self, obj: Object) -> Object:
        """POST."""
        path = resource_path(resource_of(obj), namespace=obj["metadata"].get("namespace"))
        return await self.api.raw("POST", path, obj, query=self._query)

    async def put(self, obj: Object, subresource: str = "") -> Object:
        """PUT of the whole object; 409 if somebody was faster."""
        metadata = obj["metadata"]
        path = resource_path(
            resource_of(obj), metadata["name"], namespace=metadata.get("namespace"), subresource=subresource
        )
        body = {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}
        return await self.api.raw("PUT", path, body, query=self._query)

    async def put_if_changed(self, after: Object, before: Object, subresource: str = "") -> Object:
        """PUT, or nothing if both say the same."""
        return before if after == before else await self.put(after, subresource)

    async def merge(self, obj: Object, body: Object, subresource: str = "") -> Object:
        """A merge patch of that object."""
        metadata = obj["metadata"]
        path = resource_path(
            resource_of(obj), metadata["name"], namespace=metadata.get("namespace"), subresource=subresource
        )
        return await self.api.raw("PATCH", path, body, query=self._query, content_type="application/merge-patch+json")

    async def delete(self, obj: Object) -> None:
        """Delete it in the background, unless it is gone."""
        metadata = obj["metadata"]
        await self.api.delete(
            resource_of(obj),
            metadata["name"],
            namespace=metadata.get("namespace"),
            propagation="Background",
            missing_ok=True,
        )

    async def again(self, obj: Object) -> Object | None:
        """The object as it is now; None if it is gone."""
        return await self.find(resource_of(obj), obj["metadata"].get("namespace"), obj["metadata"]["name"])

    async def find(self, resource: str, namespace: str | None, name: str) -> Object | None:
        """The object, or None."""
        return await self.api.find(resource, name, namespace=namespace or None)


class Reflector:
    """All objects of a kind on one server, by (namespace, name), kept by list and watch.

    `changed` is told (before, after) of each change, None standing for an object that is not there. `synced` is set
    once the first list is in.
    """

    def __init__(self, api: Api, resource: str, *changed: Callable[[Object | None, Object | None], None]) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.synced = asyncio.Event()
        self._api = api
        self._resource = resource
        self._changed = changed

    def values(self) -> list[Object]:
        """All of them."""
        return list(self.objects.values())

    def get(self, namespace: str, name: str) -> Object | None:
        """One of them."""
        return self.objects.get((namespace, name))

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            try:
                answer = await self._api.list_raw(self._resource)
                kind = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
                listed = {_key(one): {**kind, **one} for one in answer["items"] or ()}
                for key in self.objects.keys() - listed.keys():
                    self._set(key, None)
                for key, obj in listed.items():
                    self._set(key, obj)
                self.synced.set()
                version = answer["metadata"]["resourceVersion"]
                async for event in self._api.watch(self._resource, resource_version=version):
                    if event["type"] != "BOOKMARK":
                        obj = event["object"]
                        self._set(_key(obj), None if event["type"] == "DELETED" else obj)
            except UNREACHABLE:
                await asyncio.sleep(0.2)

    def _set(self, key: tuple[str, str], after: Object | None) -> None:
        before = self.objects.pop(key, None)
        if after is not None:
            self.objects[key] = after
        if before is not None and after is not None:
            if before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]:
                return
            if before["metadata"]["uid"] != after["metadata"]["uid"]:
                self._tell(before, None)
                before = None
        self._tell(before, after)

    def _tell(self, before: Object | None, after: Object | None) -> None:
        for changed in self._changed:
            changed(before, after)


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


class Worker:
    """Reconciles the keys it is told, one after the other; one that failed again, ever later."""

    def __init__(self, name: str, reconcile: Callable[[Hashable], Awaitable[None]]) -> None:
        self.name = name
        self.failures: dict[Hashable, str] = {}
        self._reconcile = reconcile
        self._waiting: asyncio.Queue[Hashable] = asyncio.Queue()
        self._known: set[Hashable] = set()
        self._tries: dict[Hashable, int] = {}

    def add(self, key: Hashable) -> None:
        """To be reconciled soon."""
        if key not in self._known:
            self._known.add(key)
            self._waiting.put_nowait(key)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                key = await self._waiting.get()
                self._known.discard(key)
                try:
                    await self._reconcile(key)
                except Exception as error:  # also a mistake in the script is to be seen in `failures`
                    self.failures[key] = f"{type(error).__name__}: {error}"
                    tries = self._tries[key] = self._tries.get(key, 0) + 1
                    group.create_task(self._later(key, min(0.02 * 2**tries, 2.0)))
                else:
                    self.failures.pop(key, None)
                    self._tries.pop(key, None)

    async def _later(self, key: Hashable, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.add(key)


class Retry(Exception):
    """What is needed is not there yet."""
