"""A fleet in the state that a running Karmada left it in: the golden objects, stored anew.

What other servers made up is replaced by what these made up: a uid by the uid of the object that now has its place, a
resourceVersion in a binding by the one that its template has now.
"""

import json
from typing import Any

from testbed import Bed
from tests.support.fake_karmada_loop import FieldManager
from tests.support.golden import load

Object = dict[str, Any]

_SERVER_METADATA = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")
_SPACES = "host-executionspaces.json"
# What others refer to comes first.
_HOST = (
    "host-service.json",
    "host-multiclusterservice.json",
    "serviceexport/host-services.json",
    "serviceexport/host-serviceexports.json",
    "serviceexport/host-serviceimports.json",
    "serviceexport/host-endpointslices.json",
    "host-resourcebinding.json",
    "serviceexport/host-resourcebindings.json",
)
_MEMBERS = (
    "{}-service.json",
    "{}-endpointslices.json",
    "serviceexport/{}-services.json",
    "serviceexport/{}-endpointslices.json",
    "serviceexport/{}-serviceexports.json",
    "serviceexport/{}-serviceimports.json",
)
_WORKS = ("host-works-karmada-es-{}.json", "serviceexport/host-works-karmada-es-{}.json")
EXPORT_NAMESPACE = "sx"


class GoldenWorld:
    """The objects, and how to store them."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._aliases: dict[str, str] = {}
        self._templates: dict[str, Object] = {}
        self.stored: list[tuple[str, Object]] = []

    async def replay(self) -> None:
        """Store everything, each with its status. Nobody else may be at work; Clusters are registered."""
        for plane in (self._bed.host, *self._bed.members.values()):
            # Brought to the members already, and so none of the namespace controller's business.
            labels = {"namespace.karmada.io/skip-auto-propagation": "true"}
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": EXPORT_NAMESPACE, "labels": labels}}
            await plane.api.create(body)
        for cluster in load("host-clusters.json"):
            await self._adopt(cluster)
        for space in load(_SPACES):
            await self._store("karmada", space)
        for file in _HOST:
            await self._store_all("karmada", file)
        for member in self._bed.members:
            for file in _MEMBERS:
                await self._store_all(member, file.format(member))
        for member in self._bed.members:
            for file in _WORKS:
                await self._store_all("karmada", file.format(member))

    async def _adopt(self, cluster: Object) -> None:
        """A Cluster has a connection of its own here; the rest is as it was."""
        resource, name = "cluster.karmada.io/v1alpha1/clusters", cluster["metadata"]["name"]
        body = {
            "metadata": {"finalizers": cluster["metadata"]["finalizers"]},
            "spec": {"resourceModels": cluster["spec"]["resourceModels"]},
        }
        api = self._bed.host.api
        there = await api.patch(resource, name, body)
        self._aliases[cluster["metadata"]["uid"]] = there["metadata"]["uid"]
        await api.patch(resource, name, {"status": cluster["status"]}, subresource="status")

    async def _store_all(self, plane: str, file: str) -> None:
        for obj in load(file):
            await self._store(plane, obj)

    async def _store(self, plane: str, golden: Object) -> None:
        text = json.dumps(golden)
        for former, present in self._aliases.items():
            text = text.replace(former, present)
        obj: Object = json.loads(text)
        metadata = obj["metadata"]
        for field in _SERVER_METADATA:
            metadata.pop(field, None)
        if obj["kind"] == "Service":
            for field in ("clusterIP", "clusterIPs"):
                obj["spec"].pop(field, None)
        if obj["kind"] == "ResourceBinding":
            self._refer(obj["spec"]["resource"])
        writer = FieldManager(self._api(plane), "karmada")
        status = obj.pop("status", None)
        stored = await writer.create(obj)
        if status:
            if "schedulerObservedGeneration" in status:
                status["schedulerObservedGeneration"] = stored["metadata"]["generation"]
            stored = await writer.put({**stored, "status": status}, "status")
        self._aliases[golden["metadata"]["uid"]] = stored["metadata"]["uid"]
        self._templates[stored["metadata"]["uid"]] = stored
        self.stored.append((plane, stored))

    def _refer(self, resource: Object) -> None:
        resource["resourceVersion"] = self._templates[resource["uid"]]["metadata"]["resourceVersion"]

    def _api(self, plane: str) -> Any:
        return self._bed.host.api if plane == "karmada" else self._bed.members[plane].api

    async def changed(self) -> list[str]:
        """What is not any more as it was stored, and Works that were not there: one line for each object."""
        known = {_place(each) for _, each in self.stored if each["kind"] == "Work"}
        works = {_place(each) for each in await self._bed.host.api.list("work.karmada.io/v1alpha1/works")}
        result = [f"Work {namespace}/{name} is new" for namespace, name in sorted(works - known)]
        for plane, before in self.stored:
            metadata = before["metadata"]
            writer = FieldManager(self._api(plane), "")
            after = await writer.again(before)
            what = f"{plane}: {before['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
            if after is None:
                result.append(f"{what} is gone")
            elif after["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
                writers = {one["manager"] for one in after["metadata"]["managedFields"]} - {"karmada"}
                result.append(f"{what} was written by {', '.join(sorted(writers))}")
        return result


def _place(work: Object) -> tuple[str, str]:
    return work["metadata"]["namespace"], work["metadata"]["name"]
