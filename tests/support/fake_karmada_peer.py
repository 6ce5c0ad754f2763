"""Karmada's own MultiClusterService controllers, scripted: what ours takes over from, and hands over to.

Contract 3.1 to 3.3, literally (3.4 to 3.6: fake_karmada_peer_exports.py): names, marks and finalizers are found as the
peer finds them, by the very labels, so that what it would overlook is overlooked here too. It looks at everything again
and again instead of watching.
"""

import asyncio
import copy
from types import TracebackType
from typing import Any, NamedTuple, Self

from testbed import Api, Bed
from tests.support.fake_karmada import ensure_work
from tests.support.fake_karmada_loop import KINDS, UNREACHABLE, FieldManager, Retry
from tests.support.fake_karmada_objects import (
    BINDING_FINALIZER,
    EXECUTION_FINALIZER,
    MCS_ID,
    annotations_of,
    cluster_of,
    execution_namespace,
    is_leaving,
    is_ready,
    labels_of,
    with_condition,
    work_name,
    work_of,
)

Object = dict[str, Any]

NAMESPACE_KEY = "multiclusterservice.karmada.io/namespace"
NAME_KEY = "multiclusterservice.karmada.io/name"
MARK = "endpointslice.karmada.io/managed-by"
OURS = "MultiClusterService"
PROVIDER = "endpointslice.karmada.io/provision-cluster"
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
DISPATCHER = "endpointslice-dispatch-controller.karmada.io"
IMPORTER = "endpointslice-controller.karmada.io"
MCS_FINALIZER = "karmada.io/multiclusterservice-controller"
COLLECTED_FINALIZER = "karmada.io/mcs-endpointslice-dispatch-controller"
_WORKS = KINDS["work.karmada.io/v1alpha1", "Work"]
_BINDINGS = KINDS["work.karmada.io/v1alpha2", "ResourceBinding"]
_CLUSTERS = KINDS["cluster.karmada.io/v1alpha1", "Cluster"]
_SERVICES = KINDS["networking.karmada.io/v1alpha1", "MultiClusterService"]
_SLICES = KINDS["discovery.k8s.io/v1", "EndpointSlice"]
_APPLIED = ("ServiceApplied", "True", "ServiceAppliedSucceed", "Service is propagated to target clusters.")
_DISPATCHED = (
    "EndpointSliceDispatched",
    "True",
    "EndpointSliceDispatchedSucceed",
    "EndpointSlice are dispatched successfully",
)


class Feature(NamedTuple):
    """Who may want a slice, by what a collected Work says of it."""

    mark: str
    namespace_key: str
    name_key: str
    finalizer: str


_FEATURE = Feature(OURS, NAMESPACE_KEY, NAME_KEY, COLLECTED_FINALIZER)


class Peer:
    """At work while the block lasts."""

    def __init__(self, bed: Bed) -> None:
        self._api: Api = bed.host.api
        self._members = {name: plane.api for name, plane in bed.members.items()}
        self._writer = FieldManager(self._api, "karmada-peer")
        self._task: asyncio.Task[None] | None = None
        self._seen: set[tuple[str, str, str]] = set()
        self.passes = 0
        self.failure = ""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled() and (failed := self._task.exception()) is not None:
            raise failed

    async def _run(self) -> None:
        while True:
            try:
                await self._pass()
                self.passes += 1
                self.failure = ""
            except (Retry, *UNREACHABLE) as error:
                self.failure = f"{type(error).__name__}: {error}"
            await asyncio.sleep(0.2)

    async def _pass(self) -> None:
        self._clusters = {one["metadata"]["name"]: one for one in await self._api.list(_CLUSTERS)}
        for mcs in await self._api.list(_SERVICES):
            await (self._end(mcs) if is_leaving(mcs) else self._serve(mcs))
        for work in await self._api.list(_WORKS):
            if manifest_of(work)["kind"] == OURS and not is_leaving(work):
                await self._collect(work)
        await self._drop_vanished()
        for work in await self._api.list(_WORKS):
            if manifest_of(work)["kind"] == "EndpointSlice" and not annotations_of(work).get(PROVIDER):
                await self._dispatch(work)

    def _named(self, mcs: Object, field: str) -> list[str]:
        return sorted({one["name"] for one in mcs["spec"].get(field) or ()} or self._clusters)

    # --- multiclusterservice-controller (3.1) ------------------------------------------------------------------------

    async def _serve(self, mcs: Object) -> None:
        if "CrossCluster" not in mcs["spec"]["types"]:
            return
        metadata = mcs["metadata"]
        if MCS_FINALIZER not in metadata.get("finalizers", ()):
            mcs = copy.deepcopy(mcs)
            mcs["metadata"].setdefault("finalizers", []).append(MCS_FINALIZER)
            mcs = await self._writer.put(mcs)
        namespace, name, permanent_id = metadata["namespace"], metadata["name"], labels_of(mcs)[MCS_ID]
        providers = self._named(mcs, "providerClusters")
        labels = {MCS_ID: permanent_id, NAMESPACE_KEY: namespace, NAME_KEY: name}
        for provider in providers:
            if provider in self._clusters and is_ready(self._clusters[provider]):
                work = {
                    "name": work_name(OURS, namespace, name),
                    "namespace": execution_namespace(provider),
                    "labels": labels,
                }
                await ensure_work(self._writer, work_of(work, mcs, suspend=True))
        await self._withdraw(permanent_id, keep=providers)
        service = await self._writer.find("v1/services", namespace, name)
        if service is None:
            return
        claimed = copy.deepcopy(service)
        claimed["metadata"]["labels"] = dict(labels_of(service)) | {
            "resourcetemplate.karmada.io/claimed-by": OURS,
            MCS_ID: permanent_id,
        }
        marks = {NAMESPACE_KEY: namespace, NAME_KEY: name}
        claimed["metadata"]["annotations"] = dict(annotations_of(service)) | marks
        service = await self._writer.put(claimed)  # also if nothing changes, as the peer does
        await self._bind(service, permanent_id, sorted({*providers, *self._named(mcs, "consumerClusters")}))
        await self._tell(namespace, name, _APPLIED)

    async def _bind(self, service: Object, permanent_id: str, targets: list[str]) -> None:
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        uid = service["metadata"]["uid"]
        wanted: Object = {
            "apiVersion": "work.karmada.io/v1alpha2",
            "kind": "ResourceBinding",
            "metadata": {
                "name": f"{name}-service",
                "namespace": namespace,
                "labels": {"binding.karmada.io/managed-by": OURS, MCS_ID: permanent_id},
                "annotations": {NAMESPACE_KEY: namespace, NAME_KEY: name},
                "finalizers": [BINDING_FINALIZER],
                "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": name, "uid": uid}],
            },
            "spec": {
                "placement": {"clusterAffinity": {"clusterNames": targets}},
                "conflictResolution": "Overwrite",
                "resource": {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "namespace": namespace,
                    "name": name,
                    "uid": uid,
                    "resourceVersion": service["metadata"]["resourceVersion"],
                },
            },
        }
        there = await self._writer.find(_BINDINGS, namespace, f"{name}-service")
        if there is None:
            await self._writer.create(wanted)
            return
        after = copy.deepcopy(there)
        metadata = after["metadata"]
        for field in ("labels", "annotations"):
            metadata[field] = dict(metadata.get(field) or {}) | wanted["metadata"][field]
        for field in ("finalizers", "ownerReferences"):
            metadata[field] = wanted["metadata"][field]
        after["spec"] |= wanted["spec"]
        await self._writer.put_if_changed(after, there)

    async def _end(self, mcs: Object) -> None:
        if MCS_FINALIZER not in mcs["metadata"].get("finalizers", ()):
            return
        namespace, name = mcs["metadata"]["namespace"], mcs["metadata"]["name"]
        for resource, found, keys, notes in (
            ("v1/services", name, ("resourcetemplate.karmada.io/claimed-by", MCS_ID), ()),
            (_BINDINGS, f"{name}-service", ("binding.karmada.io/managed-by", MCS_ID), (NAMESPACE_KEY, NAME_KEY)),
        ):
            there = await self._writer.find(resource, namespace, found)
            if there is None:
                continue
            after = copy.deepcopy(there)
            for key in keys:
                (after["metadata"].get("labels") or {}).pop(key, None)
            for key in notes:
                (after["metadata"].get("annotations") or {}).pop(key, None)
            await self._writer.put_if_changed(after, there)
        await self._withdraw(labels_of(mcs)[MCS_ID], keep=())
        after = copy.deepcopy(mcs)
        after["metadata"]["finalizers"].remove(MCS_FINALIZER)
        await self._writer.put(after)

    async def _withdraw(self, permanent_id: str, keep: list[str] | tuple[str, ...]) -> None:
        for work in await self._api.list(_WORKS, label_selector=f"{MCS_ID}={permanent_id}"):
            if manifest_of(work)["kind"] != OURS or cluster_of(work) in keep:
                continue
            labels = labels_of(work)
            selector = f"{NAMESPACE_KEY}={labels.get(NAMESPACE_KEY, '')},{NAME_KEY}={labels.get(NAME_KEY, '')}"
            for one in await self._api.list(_WORKS, namespace=work["metadata"]["namespace"], label_selector=selector):
                if manifest_of(one)["kind"] == "EndpointSlice" and not annotations_of(one).get(PROVIDER):
                    await self._drop_mark(one)
            await self._writer.delete(work)

    async def _drop_mark(self, work: Object, feature: Feature = _FEATURE) -> None:
        marks = labels_of(work).get(MARK, "").split(".")
        rest = [mark for mark in marks if mark and mark != feature.mark]
        if not rest and feature.mark in marks:
            await self._writer.delete(work)
        elif feature.mark in marks:
            after = copy.deepcopy(work)
            for key in (feature.namespace_key, feature.name_key):
                after["metadata"]["labels"].pop(key, None)
            after["metadata"]["labels"][MARK] = ".".join(rest)
            await self._writer.put(after)

    # --- endpointslice-collect-controller (3.2) ----------------------------------------------------------------------

    async def _collect(self, work: Object) -> None:
        cluster, labels = cluster_of(work), labels_of(work)
        namespace, service = labels.get(NAMESPACE_KEY, ""), labels.get(NAME_KEY, "")
        if cluster not in self._members or not namespace or not service:
            return
        found = await self._members[cluster].list(
            _SLICES, namespace=namespace, label_selector=f"{SERVICE_NAME}={service}"
        )
        for slice_ in found:
            if labels_of(slice_).get(MANAGED_BY) not in (DISPATCHER, IMPORTER):
                self._seen.add((cluster, namespace, slice_["metadata"]["name"]))
                await self._collect_slice(cluster, slice_, service, _FEATURE)

    async def _collect_slice(self, cluster: str, slice_: Object, service: str, feature: Feature) -> None:
        namespace, name = slice_["metadata"]["namespace"], slice_["metadata"]["name"]
        metadata: Object = {
            "name": work_name("EndpointSlice", namespace, name),
            "namespace": execution_namespace(cluster),
            "finalizers": [feature.finalizer],
        }
        there = await self._writer.find(_WORKS, metadata["namespace"], metadata["name"])
        before = labels_of(there) if there is not None else {}
        marks = {mark for mark in before.get(MARK, "").split(".") if mark}
        metadata["labels"] = {
            feature.namespace_key: before.get(feature.namespace_key, namespace),
            feature.name_key: before.get(feature.name_key, service),
            MARK: before[MARK] if feature.mark in marks else ".".join([*marks, feature.mark]),
        }
        await ensure_work(self._writer, work_of(metadata, slice_, suspend=True))

    async def _drop_vanished(self) -> None:
        for cluster, namespace, name in sorted(self._seen):
            if await self._members[cluster].find(_SLICES, name, namespace=namespace) is None:
                place = execution_namespace(cluster), work_name("EndpointSlice", namespace, name)
                work = await self._writer.find(_WORKS, *place)
                if work is not None:
                    await self._drop_mark(work)
                self._seen.discard((cluster, namespace, name))

    # --- endpointslice-dispatch-controller (3.3) ---------------------------------------------------------------------

    async def _dispatch(self, work: Object) -> None:
        provider, labels, work_id = cluster_of(work), labels_of(work), work["metadata"]["name"]
        if is_leaving(work) or not labels.get(NAME_KEY):
            for one in await self._api.list(_WORKS):
                if one["metadata"]["name"] == work_id and annotations_of(one).get(PROVIDER) == provider:
                    await self._writer.delete(one)
            if COLLECTED_FINALIZER in work["metadata"].get("finalizers", ()):
                after = copy.deepcopy(work)
                after["metadata"]["finalizers"].remove(COLLECTED_FINALIZER)
                await self._writer.put(after)
            return
        namespace, name = labels.get(NAMESPACE_KEY, ""), labels[NAME_KEY]  # Go's maps answer "" for what is not there
        mcs = await self._writer.find(_SERVICES, namespace, name)
        if mcs is None:
            return
        consumers = self._named(mcs, "consumerClusters")
        selector = f"{NAMESPACE_KEY}={namespace},{NAME_KEY}={name}"
        for one in await self._api.list(_WORKS, label_selector=selector):
            if annotations_of(one).get(PROVIDER) and cluster_of(one) not in consumers:
                await self._writer.delete(one)
        for consumer in consumers:
            if consumer != provider and consumer in self._clusters and is_ready(self._clusters[consumer]):
                await ensure_work(self._writer, _copy_of(work, provider, consumer, namespace, name))
        await self._tell(namespace, name, _DISPATCHED)

    async def _tell(self, namespace: str, name: str, condition: tuple[str, str, str, str]) -> None:
        mcs = await self._writer.find(_SERVICES, namespace, name)
        if mcs is not None:
            before = mcs.get("status") or {}
            conditions = with_condition(before.get("conditions") or [], *condition)
            # To Karmada, which compares what it has decoded, no load balancer and an empty one are the same.
            status = {"loadBalancer": {}} | before | {"conditions": conditions}
            if conditions != before.get("conditions"):
                await self._writer.put_if_changed({**mcs, "status": status}, mcs, "status")


def manifest_of(work: Object) -> Object:
    manifests = work["spec"]["workload"].get("manifests") or [{"kind": ""}]
    first: Object = manifests[0]
    return first


def _copy_of(work: Object, provider: str, consumer: str, namespace: str, name: str) -> Object:
    original = manifest_of(work)
    metadata = {
        "name": f"{provider}-{original['metadata']['name']}",
        "namespace": original["metadata"]["namespace"],
        "labels": {SERVICE_NAME: name, MANAGED_BY: DISPATCHER},
        "annotations": {PROVIDER: provider},
    }
    if "generateName" in original["metadata"]:
        metadata["generateName"] = original["metadata"]["generateName"]
    manifest = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": original["addressType"],
        "endpoints": original.get("endpoints") or None,
        "ports": original.get("ports") or None,
    }
    around = {
        "name": work["metadata"]["name"],
        "namespace": execution_namespace(consumer),
        "labels": {NAMESPACE_KEY: namespace, NAME_KEY: name},
        "annotations": {PROVIDER: provider},
        "finalizers": [EXECUTION_FINALIZER],
    }
    return work_of(around, manifest)
