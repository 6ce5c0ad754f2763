"""Karmada's own components, scripted: what stands beside ours on a control plane that is Karmada's.

    async with FakeKarmada(bed) as karmada:
        ...   # scheduler, binding, execution, status, cluster and namespace controllers, and the webhooks, are at work

Each writes field by field what contract chapter 4 says, as a user and a field manager of its own. Left out is what no
MultiClusterService ever meets: replicas, overrides, failover, suspension. Policies are not interpreted either;
`policies.propagate` makes the binding that one would make.
"""

import asyncio
import copy
import json
from collections.abc import Collection, Coroutine, Hashable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from testbed import Api, Bed
from tests.support.fake_karmada_clusters import ClusterKeeper
from tests.support.fake_karmada_execution import Executor
from tests.support.fake_karmada_loop import KINDS, FieldManager, Reflector, Retry, Worker
from tests.support.fake_karmada_objects import (
    BINDING_FINALIZER,
    BINDING_ID,
    CONFLICT,
    EXECUTION_FINALIZER,
    annotations_of,
    cluster_of,
    execution_namespace,
    is_leaving,
    labels_of,
    merged_work,
    now,
    serves,
    with_condition,
    work_name,
    work_of,
)
from tests.support.fake_karmada_policies import POLICY_ID, PolicyEngine
from tests.support.fake_karmada_webhook import KarmadaWebhook

Object = dict[str, Any]

MANAGER_USER = "karmada-controller-manager"
SCHEDULER_USER = "karmada-scheduler"
AGENT_USER = "karmada-agent"
_SCHEDULED_BY = (POLICY_ID, "clusterpropagationpolicy.karmada.io/permanent-id", "binding.karmada.io/managed-by")


class FakeKarmada:
    """All of them, at work while the block lasts.

    Args:
        bed: with the definitions installed and Clusters registered; their status is theirs to write.
        heartbeat_seconds: between two writes of each Cluster's status.
        pull: members whose Clusters are Pull clusters: each has a karmada-agent, which executes and writes its status.
    """

    def __init__(self, bed: Bed, *, heartbeat_seconds: float = 0.5, pull: Collection[str] = ()) -> None:
        self._bed = bed
        self._pull = pull
        self._heartbeat_seconds = heartbeat_seconds
        self._stack = AsyncExitStack()
        self._workers: list[Worker] = []

    async def __aenter__(self) -> Self:
        bed, enter = self._bed, self._stack.enter_async_context
        # Only that it is called by its own name: what it may do is no matter here.
        host = await enter(Api(bed.host.make_client(MANAGER_USER, ["system:masters"])))
        scheduling = await enter(Api(bed.host.make_client(SCHEDULER_USER, ["system:masters"])))
        members = {
            name: await enter(Api(plane.make_client(MANAGER_USER, ["system:masters"])))
            for name, plane in bed.members.items()
            if name not in self._pull
        }
        self.webhook = await enter(KarmadaWebhook(bed.host.api))
        self._scheduler = FieldManager(scheduling, "scheduler")
        self._binder = FieldManager(host, "binding-controller")
        self._reflector = FieldManager(host, "rb-status-controller")
        self._spreader = FieldManager(host, "namespace-sync-controller")
        self._worker("scheduler", self._schedule)
        self._worker("binding", self._bind)
        self._worker("binding status", self._reflect)
        self._worker("namespace", self._spread)
        self.bindings = Reflector(host, KINDS["work.karmada.io/v1alpha2", "ResourceBinding"], self._binding_changed)
        self.namespaces = Reflector(host, "v1/namespaces", self._namespace_changed)
        self.clusters = Reflector(host, KINDS["cluster.karmada.io/v1alpha1", "Cluster"], self._cluster_changed)
        self._executors = [Executor(host, members, self.clusters)]
        self.policies = PolicyEngine(host, self.bindings)
        self.keeper = ClusterKeeper(host, members, self.clusters, self._heartbeat_seconds)
        self._workers += [self.policies.worker, self.keeper.worker]
        keepers = [self.keeper]
        for name in self._pull:
            plane = bed.members[name]
            own = await enter(Api(bed.host.make_client(f"{AGENT_USER}-{name}", ["system:masters"])))
            served = {name: await enter(Api(plane.make_client(AGENT_USER, ["system:masters"])))}
            self._executors.append(Executor(own, served, self.clusters))
            keepers.append(ClusterKeeper(own, served, self.clusters, self._heartbeat_seconds, agent_of=name))
        self._workers += [each.worker for each in self._executors]
        changed = [self._work_changed, *(each.work_changed for each in self._executors)]
        self.works = Reflector(host, KINDS["work.karmada.io/v1alpha1", "Work"], *changed)
        for executor in self._executors:
            executor.follow(self.works)
        reflectors = [self.clusters, self.namespaces, self.bindings, self.works, *self.policies.reflectors]
        reflectors += [reflector for each in self._executors for reflector in each.reflectors]
        for reflector in reflectors:
            self._start(reflector.run())
        # Who begins before all is known would undo what it cannot see the reason of.
        for reflector in reflectors:
            await reflector.synced.wait()
        for run in (*(one.run for one in self._workers), *(one.run for one in keepers)):
            self._start(run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self.failures():
            error.add_note(f"fake Karmada fails: {self.failures()}")
        await self._stack.aclose()

    def failures(self) -> dict[str, dict[Hashable, str]]:
        """What each fails at, as of its last try."""
        return {worker.name: dict(worker.failures) for worker in self._workers if worker.failures}

    # --- what wakes whom ---------------------------------------------------------------------------------------------

    def _worker(self, name: str, reconcile: Any) -> None:
        self._workers.append(Worker(name, reconcile))

    def _add(self, name: str, key: Hashable) -> None:
        next(worker for worker in self._workers if worker.name == name).add(key)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)

        async def stop() -> None:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

        self._stack.push_async_callback(stop)

    def _binding_changed(self, before: Object | None, after: Object | None) -> None:
        if after is None:
            return
        key = after["metadata"]["namespace"], after["metadata"]["name"]
        if before is None or before["metadata"]["generation"] != after["metadata"]["generation"]:
            self._add("scheduler", key)
            self._add("binding", key)
            self.policies.binding_changed(after)
        self._add("binding status", key)

    def _work_changed(self, before: Object | None, after: Object | None) -> None:
        work = after or before
        assert work is not None
        permanent_id = labels_of(work).get(BINDING_ID)
        if permanent_id:
            for (namespace, name), binding in self.bindings.objects.items():
                if labels_of(binding).get(BINDING_ID) == permanent_id:
                    self._add("binding status", (namespace, name))
                    if after is None:
                        self._add("binding", (namespace, name))

    def _cluster_changed(self, before: Object | None, after: Object | None) -> None:
        if after is None:
            return
        name = after["metadata"]["name"]
        self.keeper.worker.add(name)
        for executor in self._executors:
            executor.cluster_changed(before, after)
        if before is None:
            for _, namespace in self.namespaces.objects:
                self._add("namespace", namespace)
        elif before["metadata"]["generation"] != after["metadata"]["generation"]:
            for key, binding in self.bindings.objects.items():
                if name in _placement(binding).get("clusterAffinity", {}).get("clusterNames", ()):
                    self._add("scheduler", key)

    def _namespace_changed(self, before: Object | None, after: Object | None) -> None:
        if after is not None:
            self._add("namespace", after["metadata"]["name"])

    # --- scheduler (4.1) ---------------------------------------------------------------------------------------------

    async def _schedule(self, key: Any) -> None:
        binding = self.bindings.get(*key)
        if binding is None or is_leaving(binding) or not any(labels_of(binding).get(one) for one in _SCHEDULED_BY):
            return
        placement = _placement(binding)
        chosen = [one["name"] for one in binding["spec"].get("clusters") or ()]
        survivors = {
            name
            for name in placement.get("clusterAffinity", {}).get("clusterNames", ())
            if (cluster := self.clusters.get("", name)) is not None
            and not is_leaving(cluster)
            and (name in chosen or _admits(cluster, binding["spec"]["resource"]))
        }
        result = [name for name in chosen if name in survivors] + sorted(survivors - set(chosen))
        applied = json.dumps(placement, separators=(",", ":"))
        body: Object = {}
        if annotations_of(binding).get("policy.karmada.io/applied-placement") != applied:
            body["metadata"] = {"annotations": {"policy.karmada.io/applied-placement": applied}}
        if chosen != result:
            body["spec"] = {"clusters": [{"name": name} for name in result] or None}
        if body:
            binding = await self._scheduler.merge(binding, body)
        status = binding.get("status") or {}
        generation = binding["metadata"]["generation"]
        if not result:
            text = "0/0 clusters are available"
            conditions = with_condition(status.get("conditions") or [], "Scheduled", "False", "NoClusterFit", text)
            await self._scheduler.merge(binding, {"status": {"conditions": conditions}}, "status")
            raise Retry("no cluster fits")
        if status.get("schedulerObservedGeneration") != generation:
            text = "Binding has been scheduled successfully."
            conditions = with_condition(status.get("conditions") or [], "Scheduled", "True", "Success", text)
            news = {"conditions": conditions, "schedulerObservedGeneration": generation, "lastScheduledTime": now()}
            await self._scheduler.merge(binding, {"status": news}, "status")

    # --- binding controller (4.2) ------------------------------------------------------------------------------------

    async def _bind(self, key: Any) -> None:
        binding = self.bindings.get(*key)
        if binding is None:
            return
        works = self._works_of(binding)
        if is_leaving(binding):
            for work in works:
                await self._binder.delete(work)
            if BINDING_FINALIZER in binding["metadata"].get("finalizers", ()):
                after = copy.deepcopy(binding)
                after["metadata"]["finalizers"].remove(BINDING_FINALIZER)
                await self._binder.put(after)
            return
        spec = binding["spec"]
        targets = [one["name"] for one in spec.get("clusters") or ()]
        targets += [one["name"] for by in spec.get("requiredBy") or () for one in by.get("clusters") or ()]
        for work in works:
            if cluster_of(work) not in targets:
                await self._binder.delete(work)
        resource = spec["resource"]
        plural = KINDS[resource["apiVersion"], resource["kind"]]
        template = await self._binder.find(plural, resource["namespace"], resource["name"])
        if template is None:
            return
        for cluster in targets:
            await ensure_work(self._binder, _bound_work(binding, template, cluster))

    # --- status of bindings (4.6) ------------------------------------------------------------------------------------

    async def _reflect(self, key: Any) -> None:
        binding = self.bindings.get(*key)
        if binding is None or is_leaving(binding):
            return
        entries = []
        for work in sorted(self._works_of(binding), key=cluster_of):
            status = work.get("status") or {}
            applied = next((one for one in status.get("conditions") or () if one["type"] == "Applied"), None)
            if applied is None:
                continue
            entry: Object = {"clusterName": cluster_of(work)}
            entry |= {"applied": True} if applied["status"] == "True" else {"appliedMessage": applied["message"]}
            for manifest in status.get("manifestStatuses") or ():
                entry["health"] = manifest.get("health", "Unknown")
            entries.append(entry)
        spec = binding["spec"]
        scheduled = {one["name"] for one in spec.get("clusters") or ()}
        scheduled |= {one["name"] for by in spec.get("requiredBy") or () for one in by.get("clusters") or ()}
        if not entries and not scheduled:
            return
        full = scheduled == {one["clusterName"] for one in entries if one.get("applied")}
        condition = (
            ("True", "FullyAppliedSuccess", "All works have been successfully applied")
            if full
            else ("False", "FullyAppliedFailed", "Failed to apply all works, see status.aggregatedStatus for details")
        )
        before = binding.get("status") or {}
        conditions = with_condition(before.get("conditions") or [], "FullyApplied", *condition)
        after = {**before, "aggregatedStatus": entries, "conditions": conditions}
        if after != before:
            await self._reflector.put({**binding, "status": after}, "status")

    def _works_of(self, binding: Object) -> list[Object]:
        permanent_id = labels_of(binding).get(BINDING_ID)
        return [
            work for work in self.works.values() if permanent_id and labels_of(work).get(BINDING_ID) == permanent_id
        ]

    # --- namespaces in members (4.4) ---------------------------------------------------------------------------------

    async def _spread(self, name: Any) -> None:
        namespace = self.namespaces.get("", name)
        reserved = name in ("karmada-system", "karmada-cluster", "default") or name.startswith(("karmada-es-", "kube-"))
        if namespace is None or reserved or is_leaving(namespace):
            return
        if labels_of(namespace).get("namespace.karmada.io/skip-auto-propagation", "").lower() == "true":
            return
        owner = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "name": name,
            "uid": namespace["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        for _, cluster in list(self.clusters.objects):
            metadata = {
                "name": work_name("Namespace", "", name),
                "namespace": execution_namespace(cluster),
                "finalizers": [EXECUTION_FINALIZER],
                "ownerReferences": [owner],
            }
            await ensure_work(self._spreader, work_of(metadata, namespace))


def _placement(binding: Object) -> Object:
    placement: Object = binding["spec"].get("placement") or {}
    return placement


def _admits(cluster: Object, resource: Object) -> bool:
    taints = cluster["spec"].get("taints") or ()
    blocked = any(one["effect"] in ("NoSchedule", "NoExecute") for one in taints)
    return not blocked and serves(cluster, resource["apiVersion"], resource["kind"])


def _bound_work(binding: Object, template: Object, cluster: str) -> Object:
    permanent_id = labels_of(binding)[BINDING_ID]
    marks = {
        "resourcebinding.karmada.io/namespace": binding["metadata"]["namespace"],
        "resourcebinding.karmada.io/name": binding["metadata"]["name"],
    }
    own = annotations_of(template).get(CONFLICT)
    asked = "overwrite" if binding["spec"].get("conflictResolution") == "Overwrite" else "abort"
    resolution = own if own in ("overwrite", "abort") else asked
    manifest = copy.deepcopy(template)
    generation = manifest["metadata"].get("generation", 0)
    numbered = {"resourcetemplate.karmada.io/generation": str(generation)} if generation else {}
    manifest["metadata"]["labels"] = dict(labels_of(template)) | {BINDING_ID: permanent_id}
    manifest["metadata"]["annotations"] = dict(annotations_of(template)) | marks | numbered
    metadata = {
        "name": work_name(template["kind"], template["metadata"]["namespace"], template["metadata"]["name"]),
        "namespace": execution_namespace(cluster),
        "labels": {BINDING_ID: permanent_id},
        "annotations": marks | {CONFLICT: resolution},
        "finalizers": [EXECUTION_FINALIZER],
    }
    return work_of(metadata, manifest, suspend=False, preserve=bool(binding["spec"].get("preserveResourcesOnDeletion")))


async def ensure_work(writer: FieldManager, wanted: Object) -> Object:
    """Contract 2.3, steps 3 to 6.

    Raises:
        Retry: the Work is being deleted.
    """
    metadata = wanted["metadata"]
    there = await writer.find(KINDS["work.karmada.io/v1alpha1", "Work"], metadata["namespace"], metadata["name"])
    if there is None:
        return await writer.create(wanted)
    if is_leaving(there):
        raise Retry(f"Work {metadata['namespace']}/{metadata['name']} is being deleted")
    return await writer.put_if_changed(merged_work(wanted, there), there)
