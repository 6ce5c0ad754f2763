"""Karmada's execution and work-status controllers, scripted (contract 4.3, 4.6)."""

import copy
import functools
from collections.abc import Mapping
from typing import Any

from testbed import Api
from tests.support.fake_karmada_loop import KINDS, FieldManager, Reflector, Retry, Worker, resource_of
from tests.support.fake_karmada_objects import (
    CONFLICT,
    EXECUTION_FINALIZER,
    MANAGED,
    MANAGED_ANNOTATIONS,
    MANAGED_LABELS,
    annotations_of,
    cluster_of,
    is_leaving,
    is_ready,
    labels_of,
    with_condition,
)

Object = dict[str, Any]
_WORKS = KINDS["work.karmada.io/v1alpha1", "Work"]
_WATCHED = ("v1/services", "discovery.k8s.io/v1/endpointslices")
_SUSPENDED = ("False", "SuspendDispatching", "Work dispatching is in a suspended state.")
_DISPATCHING = ("True", "Dispatching", "Work is being dispatched to member clusters.")


class Executor:
    """Applies Works in members, tells so in their status, and applies them again if somebody changes what is there.

    The end of any Work deletes what it names if that is labelled as managed, as in Karmada. A provider's native slices
    have the label from their Service: they go with their collected Work, and Kubernetes makes new ones.
    """

    def __init__(self, host: Api, members: Mapping[str, Api], clusters: Reflector) -> None:
        """Of karmada-controller-manager for `members`; an agent has one for its own."""
        self.worker = Worker("execution", self._execute)
        self._host = FieldManager(host, "execution-controller")
        self._status = FieldManager(host, "work-status-controller")
        self._members = {name: FieldManager(api, "execution-controller") for name, api in members.items()}
        self._clusters = clusters
        self._works: Reflector | None = None
        self._written: dict[tuple[str, str], str] = {}
        self.reflectors = [
            Reflector(api, resource, functools.partial(self._drifted, name))
            for name, api in members.items()
            for resource in _WATCHED
        ]

    def follow(self, works: Reflector) -> None:
        """Say where Works are kept."""
        self._works = works

    def work_changed(self, before: Object | None, after: Object | None) -> None:
        """Works of clusters served here count when they appear, or when their generation changes."""
        if after is None or cluster_of(after) not in self._members:
            return
        if before is None or before["metadata"]["generation"] != after["metadata"]["generation"]:
            self.worker.add((after["metadata"]["namespace"], after["metadata"]["name"]))

    def cluster_changed(self, before: Object | None, after: Object) -> None:
        """A cluster that has become ready gets what it missed."""
        if after["metadata"]["name"] not in self._members:
            return
        if self._works is not None and is_ready(after) and (before is None or not is_ready(before)):
            for namespace, name in self._works.objects:
                if namespace == f"karmada-es-{after['metadata']['name']}":
                    self.worker.add((namespace, name))

    def _drifted(self, cluster: str, before: Object | None, after: Object | None) -> None:
        obj = before or after
        assert obj is not None
        marks = annotations_of(obj)
        if labels_of(obj).get(MANAGED) != "true" or not marks.get("work.karmada.io/name"):
            return
        written = self._written.get((cluster, obj["metadata"]["uid"]))
        if before is not None and (after is None or after["metadata"]["resourceVersion"] != written):
            self.worker.add((marks.get("work.karmada.io/namespace", ""), marks["work.karmada.io/name"]))

    async def _execute(self, key: Any) -> None:
        work = await self._host.find(_WORKS, *key)
        name = cluster_of(work) if work is not None else ""
        if work is None or name not in self._members:
            return
        cluster = self._clusters.get("", name)
        if cluster is None:
            raise Retry(f"no Cluster {name}")
        manifests = work["spec"]["workload"].get("manifests") or ()
        if is_leaving(work):
            await self._end(work, name, cluster, manifests)
            return
        suspended = bool(work["spec"].get("suspendDispatching"))
        work = await self._tell(self._host, work, "Dispatching", *(_SUSPENDED if suspended else _DISPATCHING))
        if suspended:
            return
        if not is_ready(cluster):
            raise Retry(f"{name} is not ready")
        errors = []
        for manifest in manifests:
            try:
                await self._apply(name, manifest)
            except Conflict as error:
                errors.append(str(error))
        if errors:
            text = f"Failed to apply all manifests ({len(errors)}/{len(manifests)}): {', '.join(errors)}"
            await self._tell(self._host, work, "Applied", "False", "AppliedFailed", text)
            raise Retry(text)
        text = "Manifest has been successfully applied"
        work = await self._tell(self._host, work, "Applied", "True", "AppliedSuccessful", text)
        status = {**work["status"], "manifestStatuses": [_health(one) for one in manifests]}
        await self._status.put_if_changed({**work, "status": status}, work, "status")

    async def _tell(
        self, writer: FieldManager, work: Object, kind: str, status: str, reason: str, message: str
    ) -> Object:
        before = work.get("status") or {}
        conditions = with_condition(before.get("conditions") or [], kind, status, reason, message)
        return await writer.put_if_changed({**work, "status": {**before, "conditions": conditions}}, work, "status")

    async def _end(self, work: Object, name: str, cluster: Object, manifests: Any) -> None:
        if is_ready(cluster):
            writer = self._members[name]
            for manifest in manifests if not work["spec"].get("preserveResourcesOnDeletion") else ():
                metadata = manifest["metadata"]
                there = await writer.find(resource_of(manifest), metadata.get("namespace"), metadata["name"])
                if there is not None and labels_of(there).get(MANAGED) == "true":
                    await writer.delete(there)
        elif not is_leaving(cluster):
            raise Retry(f"{name} is not ready")
        if EXECUTION_FINALIZER in work["metadata"].get("finalizers", ()):
            after = copy.deepcopy(work)
            after["metadata"]["finalizers"].remove(EXECUTION_FINALIZER)
            await self._host.put(after)

    async def _apply(self, cluster: str, manifest: Object) -> None:
        writer, metadata = self._members[cluster], manifest["metadata"]
        there = await writer.find(resource_of(manifest), metadata.get("namespace"), metadata["name"])
        if there is None:
            stored = await writer.create(manifest)
        else:
            if labels_of(there).get(MANAGED) != "true" and annotations_of(manifest).get(CONFLICT) != "overwrite":
                raise Conflict(f"{manifest['kind']} {metadata['name']} exists and is not managed")
            stored = await writer.put_if_changed(_retained(manifest, there), there)
        self._written[cluster, stored["metadata"]["uid"]] = stored["metadata"]["resourceVersion"]


class Conflict(Exception):
    """The member has an object of that name that is somebody else's."""


def _retained(manifest: Object, there: Object) -> Object:
    """What is put over a member's object."""
    after = copy.deepcopy(there)
    for field, managed in (("labels", MANAGED_LABELS), ("annotations", MANAGED_ANNOTATIONS)):
        wanted = manifest["metadata"].get(field) or {}
        former = (annotations_of(there).get(managed) or "").split(",")
        kept = {
            key: value
            for key, value in (there["metadata"].get(field) or {}).items()
            if key in wanted or key not in former
        }
        after["metadata"][field] = kept | wanted
    for field, value in manifest.items():
        if field != "metadata":
            after[field] = copy.deepcopy(value)
    if manifest["kind"] == "Service":
        for field in ("clusterIP", "clusterIPs", "healthCheckNodePort"):
            if there["spec"].get(field):
                after["spec"][field] = there["spec"][field]
    return after


def _health(manifest: Object) -> Object:
    group, _, version = manifest["apiVersion"].rpartition("/")
    identifier: Object = {
        "ordinal": 0,
        "version": version,
        "kind": manifest["kind"],
        "resource": "",
        "name": manifest["metadata"]["name"],
    }
    if group:
        identifier["group"] = group
    if "namespace" in manifest["metadata"]:
        identifier["namespace"] = manifest["metadata"]["namespace"]
    return {"identifier": identifier, "health": "Healthy"}
