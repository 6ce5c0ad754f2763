"""Karmada's cluster and cluster-status controllers, scripted (contract 4.4, 4.5)."""

import asyncio
import copy
import itertools
from collections.abc import Mapping
from typing import Any

from testbed import Api
from tests.support.fake_karmada_loop import UNREACHABLE, FieldManager, Reflector, Retry, Worker
from tests.support.fake_karmada_objects import CLUSTER_FINALIZER, execution_namespace, is_leaving, with_condition

Object = dict[str, Any]

_READY = ("True", "ClusterReady", "cluster is healthy and ready to accept workloads")
_AWAY = ("False", "ClusterNotReachable", "cluster is not reachable")
_COMPLETE = ("True", "Complete", "collected complete APIEnablements from the cluster")


class ClusterKeeper:
    """Execution namespaces, finalizers, and the status of every Cluster, again and again.

    The status differs each time, as the members' load does.
    """

    def __init__(
        self,
        host: Api,
        members: Mapping[str, Api],
        clusters: Reflector,
        heartbeat_seconds: float,
        *,
        agent_of: str = "",
    ) -> None:
        """Of karmada-controller-manager for all but Pull clusters, whose status is that of their agents to write."""
        self.worker = Worker("cluster", self._keep)
        self.beats = 0
        self._writer = FieldManager(host, "cluster-controller")
        self._status = FieldManager(host, "cluster-status-controller")
        self._members = members
        self._clusters = clusters
        self._seconds = heartbeat_seconds
        self._agent_of = agent_of
        self._known: dict[str, tuple[Any, list[Object]]] = {}

    async def run(self) -> None:
        """Beat until cancelled."""
        for beat in itertools.count():
            for cluster in self._clusters.values():
                agent_of = cluster["metadata"]["name"] if cluster["spec"].get("syncMode") == "Pull" else ""
                if agent_of != self._agent_of:
                    continue
                try:
                    await self._beat(cluster, beat)
                except UNREACHABLE:
                    continue  # somebody else wrote it, or it is gone: the next beat is not far
            self.beats += 1
            await asyncio.sleep(self._seconds)

    async def _beat(self, cluster: Object, beat: int) -> None:
        name = cluster["metadata"]["name"]
        status = copy.deepcopy(cluster.get("status") or {})
        conditions = status.get("conditions") or []
        try:
            member = self._members[name]
            await member.raw("GET", "/readyz")
            status["apiEnablements"] = await self._enablements(name, member)
            status["kubernetesVersion"] = (await member.raw("GET", "/version"))["gitVersion"]
            conditions = with_condition(conditions, "CompleteAPIEnablements", *_COMPLETE)
            conditions = with_condition(conditions, "Ready", *_READY)
        except (KeyError, *UNREACHABLE):
            conditions = with_condition(conditions, "Ready", *_AWAY)
        status["conditions"] = conditions
        status["nodeSummary"] = {"totalNum": 1, "readyNum": 1}
        status["resourceSummary"] = {"allocated": {"pods": str(beat)}}
        await self._status.put({**cluster, "status": status}, "status")

    async def _enablements(self, name: str, member: Api) -> list[Object]:
        groups = (await member.raw("GET", "/apis"))["groups"]
        if name not in self._known or self._known[name][0] != groups:
            found = []
            for version in ["v1", *(one["groupVersion"] for group in groups for one in group["versions"])]:
                listed = await member.raw("GET", f"/api/{version}" if version == "v1" else f"/apis/{version}")
                kinds = [
                    {"kind": one["kind"], "name": one["name"]} for one in listed["resources"] if "/" not in one["name"]
                ]
                found.append({"groupVersion": version, "resources": sorted(kinds, key=lambda one: one["name"])})
            self._known[name] = groups, sorted(found, key=lambda one: one["groupVersion"])
        return self._known[name][1]

    async def _keep(self, name: Any) -> None:
        cluster = self._clusters.get("", name)
        if cluster is None:
            return
        space = execution_namespace(name)
        there = await self._writer.find("v1/namespaces", None, space)
        after = copy.deepcopy(cluster)
        finalizers = after["metadata"].setdefault("finalizers", [])
        if is_leaving(cluster):
            if there is not None:
                await self._writer.delete(there)
                raise Retry(f"{space} is there")
            if CLUSTER_FINALIZER in finalizers:
                finalizers.remove(CLUSTER_FINALIZER)
                await self._writer.put(after)
            return
        if there is None:
            labels = {"karmada.io/system": "true"}
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": labels}}
            await self._writer.create(body)
        if CLUSTER_FINALIZER not in finalizers:
            finalizers.append(CLUSTER_FINALIZER)
            await self._writer.put(after)
