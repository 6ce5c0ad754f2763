"""Objects of others, everywhere that ours looks, and whether they are still as they were."""

import uuid
from typing import Any

from testbed import Api, Bed
from tests.support.fake_karmada_loop import FieldManager
from tests.support.fake_karmada_objects import MCS_ID, WORK_ID
from tests.support.fleet import endpointslice, multiclusterservice, service

Object = dict[str, Any]

OTHERS = "example.com/others"
"""Key of labels, annotations and a finalizer that are somebody else's."""
_NAMESPACE_KEY = "multiclusterservice.karmada.io/namespace"
_NAME_KEY = "multiclusterservice.karmada.io/name"


async def mark(api: Api, resource: str, name: str, namespace: str, owner: Object | None) -> None:
    """Put label, annotation, finalizer and, if there is an owner, owner reference of others on an object."""
    there = await api.get(resource, name, namespace=namespace)
    metadata: Object = {
        "labels": {OTHERS: "theirs"},
        "annotations": {OTHERS: "theirs"},
        "finalizers": [*there["metadata"].get("finalizers", ()), OTHERS],
    }
    if owner is not None:
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"]}
        reference["uid"] = owner["metadata"]["uid"]
        metadata["ownerReferences"] = [*there["metadata"].get("ownerReferences", ()), reference]
    await api.patch(resource, name, {"metadata": metadata}, namespace=namespace)


def marks_of(obj: Object) -> tuple[str | None, str | None, bool, bool]:
    """(label, annotation, finalizer there, owner there)."""
    metadata = obj["metadata"]
    owners = [one["kind"] for one in metadata.get("ownerReferences") or ()]
    return (
        (metadata.get("labels") or {}).get(OTHERS),
        (metadata.get("annotations") or {}).get(OTHERS),
        OTHERS in (metadata.get("finalizers") or ()),
        "ConfigMap" in owners,
    )


UNTOUCHED = ("theirs", "theirs", True, True)


class ForeignObjects:
    """Objects of others on all planes; each names a reason to take it for ours, and is not."""

    def __init__(self, bed: Bed, namespace: str) -> None:
        self._bed = bed
        self._namespace = namespace
        self._stored: list[tuple[Api, str, Object]] = []

    async def create_all(self, service_name: str) -> None:
        """Make them, about a service that ours looks after and about others."""
        namespace, host = self._namespace, self._bed.host.api
        await self._create("host", host, _config("foreign"))
        await self._create("host", host, service("foreign"))
        await self._create("host", host, endpointslice("foreign-a", service_name, ["198.51.100.1"]))
        imported = endpointslice("imported-member1-foreign", f"derived-{service_name}", ["198.51.100.2"])
        await self._create("host", host, imported)
        await self._create("host", host, multiclusterservice("foreign", types=["LoadBalancer"]))
        await self._create("host", host, _binding(f"{service_name}-configmap", namespace))
        for member, plane in self._bed.members.items():
            await self._create(member, plane.api, _config("foreign"))
            await self._create(member, plane.api, service("foreign"))
            unmanaged = endpointslice(f"{member}-foreign", "foreign", ["198.51.100.3"])
            await self._create(member, plane.api, unmanaged)
            # Another federation's copy, with another manager's name.
            other = endpointslice("federated", "foreign", ["198.51.100.4"])
            other["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = "others.example.com"
            await self._create(member, plane.api, other)
            space = f"karmada-es-{member}"
            await self._create("host", host, _work(f"{namespace}-config", space, _config("work-config")))
            # Filed under the very service, or so it seems: of another kind, or without a name, or half marked.
            labels = {_NAMESPACE_KEY: namespace, _NAME_KEY: service_name}
            named = _work(f"{namespace}-named", space, _config("work-named"), labels=labels)
            await self._create("host", host, named)
            empty = _work(f"{namespace}-empty", space, _config("work-empty"), labels={MCS_ID: "", _NAME_KEY: ""})
            await self._create("host", host, empty)
            manifest = endpointslice("work-slice", service_name, ["198.51.100.5"])
            await self._create("host", host, _work(f"{namespace}-slice", space, manifest))
        # No execution namespace: a cluster that there is not.
        manifest = endpointslice("stray", service_name, ["198.51.100.6"])
        await self._create("host", host, _work("stray", namespace, manifest, labels={_NAME_KEY: service_name}))

    async def _create(self, plane: str, api: Api, obj: Object) -> None:
        metadata = obj["metadata"]
        metadata.setdefault("namespace", self._namespace)
        metadata.setdefault("labels", {})[OTHERS] = "theirs"
        self._stored.append((api, plane, await FieldManager(api, "others").create(obj)))

    async def add(self, plane: str, api: Api, obj: Object) -> None:
        """Make one more, which says itself where it is; a cluster-scoped one has no namespace."""
        obj["metadata"].setdefault("labels", {})[OTHERS] = "theirs"
        self._stored.append((api, plane, await FieldManager(api, "others").create(obj)))

    def forget(self, *, plane: str, namespace: str) -> None:
        """What is there must not stay as it is any longer: the namespace goes."""
        self._stored = [
            (api, where, one)
            for api, where, one in self._stored
            if (where, one["metadata"].get("namespace")) != (plane, namespace)
        ]

    @property
    def owner(self) -> Object:
        """A ConfigMap of the control plane that things may belong to."""
        return self._stored[0][2]

    async def remember(self) -> None:
        """From now on they must stay as they are: whoever else has a hand in them has had it."""
        self._stored = [(api, plane, await FieldManager(api, "").again(one) or one) for api, plane, one in self._stored]

    async def touched(self) -> list[str]:
        """Those that are not as they were: one line each."""
        result = []
        for api, plane, before in self._stored:
            after = await FieldManager(api, "").again(before)
            what = f"{plane}: {before['kind']} {before['metadata'].get('namespace', '')}/{before['metadata']['name']}"
            if after is None:
                result.append(f"{what} is gone")
            elif after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
                managers = [one["manager"] for one in after["metadata"]["managedFields"]]
                result.append(f"{what} was written: {managers}")
        return result


def _config(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}}


def _work(name: str, namespace: str, manifest: Object, **metadata: Any) -> Object:
    """Suspended, so that nobody applies it."""
    permanent_id = {WORK_ID: str(uuid.uuid4())}
    labels = permanent_id | metadata.pop("labels", {})
    return {
        "apiVersion": "work.karmada.io/v1alpha1",
        "kind": "Work",
        "metadata": {"name": name, "namespace": namespace, "labels": labels, **metadata},
        "spec": {"suspendDispatching": True, "workload": {"manifests": [manifest]}},
    }


def _binding(name: str, namespace: str) -> Object:
    resource = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": namespace, "name": "foreign"}
    return {
        "apiVersion": "work.karmada.io/v1alpha2",
        "kind": "ResourceBinding",
        "metadata": {"name": name},
        "spec": {"resource": resource, "suspension": {"scheduling": True}},
    }
