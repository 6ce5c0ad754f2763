"""A control plane, one member and the execution controller, all in memory."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from prometheus_client import CollectorRegistry

from mcs_controller.api.resources import CLUSTERS, WORKS
from mcs_controller.api.work import Work
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.works import CreateWork, WorkIntent, plan_work
from mcs_controller.key_mutex import ReconcileMutex
from mcs_controller.reconcilers.retries import Retries
from mcs_controller.runtime.reconcile import Request
from mcs_controller.standalone.domain.execution import WORK_INDEXES
from mcs_controller.standalone.domain.member_ownership import Ownership, Standing
from mcs_controller.standalone.member_objects import MemberObjectInformers
from mcs_controller.standalone.metrics import PrometheusPropagationMetrics
from mcs_controller.standalone.reconcilers.execution import ExecutionReconciler, follow_members, namespace_finder
from tests.support.builders import cluster
from tests.support.clock import FakeClock, settle
from tests.support.members import MemoryMembers
from tests.support.memory import MemoryApi, MemoryRecorder
from tests.support.object_store import Json

NAMESPACE = "karmada-es-m1"
KEY = Request(NAMESPACE, "w")
MARKS = {wk.WORK_NAMESPACE: NAMESPACE, wk.WORK_NAME: "w"}


def default_service(obj: Json, before: Json | None) -> None:
    """What a member's API server fills in, as far as these tests go."""
    spec = obj.setdefault("spec", {})
    number = 1 if before is None else 0
    spec.setdefault("clusterIP", "10.1.1.1" if number else before["spec"]["clusterIP"] if before else "")
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    defaults = {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}
    for key, value in (defaults | {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}).items():
        spec.setdefault(key, value)
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])


class KnownOwnerships:
    """An `Ownerships` that was told; every member is ours as long as nobody says otherwise."""

    def __init__(self) -> None:
        self.told: dict[str, Ownership] = {}
        self.verified: list[str] = []

    def of(self, cluster: str) -> Ownership:
        return self.told.get(cluster, Ownership(Standing.OWNED))

    async def verify(self, cluster: str) -> Ownership:
        self.verified.append(cluster)
        return self.of(cluster)


@dataclass
class World:
    """Everything that a test of the execution controller looks at.

    Attributes:
        woken: what was put into the controller's queue.
    """

    host: MemoryApi = field(default_factory=MemoryApi)
    member: MemoryApi = field(
        default_factory=lambda: MemoryApi(
            defaulters={"Service": default_service}, strict_namespaces=True, records_fields=True
        )
    )
    members: MemoryMembers = field(default_factory=MemoryMembers)
    recorder: MemoryRecorder = field(default_factory=MemoryRecorder)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    clock: FakeClock = field(default_factory=FakeClock)
    ownerships: KnownOwnerships = field(default_factory=KnownOwnerships)
    woken: list[Request] = field(default_factory=list)
    joined: bool = True
    listing: bool = False

    def __post_init__(self) -> None:
        self.host.seed(cluster("m1"))
        self.member.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
        self.metrics = PrometheusPropagationMetrics(self.registry)
        self.works = self.host.cached(WORKS, WORK_INDEXES)
        self.clusters = self.host.informer(CLUSTERS)
        self.restart()
        if self.joined:
            self.members.join("m1", self.member, listing=self.listing)
        self.woken.clear()

    def restart(self) -> None:
        """The controller starts anew; nothing that it remembered is left."""
        self.objects = MemberObjectInformers(self.members, clock=self.clock)
        self.reconciler = ExecutionReconciler(
            works=self.works,
            clusters=self.clusters.store,
            objects=self.objects,
            ownerships=self.ownerships,
            recorder=self.recorder,
            clock=self.clock,
            turns=ReconcileMutex(self.woken.append),
            find_namespace=namespace_finder(cast("Any", self.host)),
            metrics=self.metrics,
            retries=Retries(clock=self.clock, rng=random.Random(1), member_qps=40.0),
        )
        follow_members(self.objects, self.reconciler, self.woken.append)

    def carry(
        self,
        manifest: Any,
        *,
        name: str = "w",
        finish: bool = True,
        finalizers: tuple[str, ...] = (wk.EXECUTION_FINALIZER,),
        **fields: Any,
    ) -> Json:
        """Somebody makes, or changes, the Work that carries the manifest."""
        intent = WorkIntent(
            namespace=NAMESPACE,
            name=name,
            manifest=manifest if finish else {},
            finalizers=finalizers,
            **{"source_uid": "template-uid"} | fields,
        )
        write = plan_work(intent, None, lambda: f"id-of-{name}")
        assert isinstance(write, CreateWork)
        body = msgspec.json.decode(msgspec.json.encode(write.body))
        if not finish:
            body["spec"]["workload"]["manifests"] = [manifest]
        if self.host.find("Work", NAMESPACE, name) is None:
            return self.host.seed(body)
        return self.host.edit("Work", NAMESPACE, name, {"spec": body["spec"]})

    async def apply(self, manifest: Any, **fields: Any) -> None:
        """Carry the manifest, and reconcile."""
        self.carry(manifest, **fields)
        await self.reconcile()

    async def reconcile(self, key: Request = KEY) -> list[str]:
        """One pass; what it asked of the member, and then of the control plane."""
        self.member.calls.clear()
        self.host.calls.clear()
        await self.reconciler.reconcile(key)
        return [str(call) for call in (*self.member.calls, *self.host.calls)]

    @asynccontextmanager
    async def executing(self) -> AsyncIterator[None]:
        """The writes that are started ahead of their Works are carried out."""
        running = asyncio.create_task(self.reconciler.run())
        await settle()
        yield
        running.cancel()
        await asyncio.wait([running])

    async def start_writes(self, work: Work) -> list[str]:
        """What is asked of the member ahead of the Work."""
        self.member.calls.clear()
        async with self.executing():
            with self.reconciler.start_writes(work):
                await settle()
            await settle()
        return [str(call) for call in self.member.calls]

    async def refused(self, words: str = "", key: Request = KEY) -> float:
        """One pass that fails with these words in the Work's condition; seconds until the next one."""
        self.member.calls.clear()
        self.host.calls.clear()
        result = await self.reconciler.reconcile(key)
        work = self.host.find("Work", *key)
        assert work is not None
        [applied] = [one for one in work["status"]["conditions"] if one["type"] == "Applied"]
        assert applied["status"] == "False"
        assert words in applied["message"]
        assert result.requeue_after is not None
        return result.requeue_after

    @property
    def asked(self) -> list[str]:
        """What the last pass asked for, also if it failed."""
        return [str(call) for call in (*self.member.calls, *self.host.calls)]

    def condition(self, kind: str) -> tuple[str, str, str]:
        """(status, reason, message) of a condition of the Work."""
        work = self.host.find("Work", *KEY)
        assert work is not None
        found = next(one for one in work.get("status", {}).get("conditions", ()) if one["type"] == kind)
        return found["status"], found["reason"], found["message"]

    def has_condition(self, kind: str) -> bool:
        """Whether the Work has a condition of that type."""
        work = self.host.find("Work", *KEY)
        return work is not None and any(one["type"] == kind for one in work.get("status", {}).get("conditions", ()))

    def ready(self, status: str) -> None:
        """The member's readiness changes."""
        self.host.edit("Cluster", "", "m1", {"status": {"conditions": [{"type": "Ready", "status": status}]}})

    def sample(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 if it was never counted."""
        return self.registry.get_sample_value(name, labels) or 0
