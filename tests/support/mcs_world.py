"""A fleet in memory: the controllers of the MultiClusterService path, wired as in production, over `MemoryApi`s.

    world = World("m1", "m2", "m3")
    world.host.seed(service()); world.host.seed(mcs(providers=["m1"], consumers=["m2"], adopted=False))
    world.members["m1"].seed(slice_())
    await world.settle()
    assert world.slices_in("m2") == {"m1-web-1"}

Only the queues are plain: one request after the other, in the order they came; a failed one again in the next round.
`settle` runs until nothing is left to do. What the neighbours do (execution and binding controllers, which let go of
what is being deleted) is done between the rounds.
"""

from collections.abc import Mapping
from typing import Any

from mcs_controller import start
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace, work_name
from mcs_controller.runtime.freshness import Freshness
from tests.support.builders import a_work, cluster, condition, decode, service, work
from tests.support.clock import FakeClock
from tests.support.fake_context import FakeContext, PlainController
from tests.support.members import MemoryMembers
from tests.support.memory import MemoryApi, MemoryRecorder

Json = dict[str, Any]
CONTROLLERS = frozenset({"multiclusterservice", "endpointsliceCollect", "endpointsliceDispatch"})
EXPORT_CONTROLLERS = frozenset({"serviceExport", "endpointSlice", "serviceImport"})
APPLIED: Json = {"status": {"conditions": [condition(wk.APPLIED)]}}
_MAX_ROUNDS = 60
_MAX_STEPS = 20_000


class World:
    """See the module."""

    def __init__(
        self,
        *names: str,
        enabled: frozenset[str] = CONTROLLERS,
        flags: Mapping[str, Any] | None = None,
    ) -> None:
        self.host = MemoryApi()
        self.members = {name: MemoryApi() for name in names}
        self.connections = MemoryMembers(self.members)
        self.recorder = MemoryRecorder()
        self.clock = FakeClock()
        self.enabled = enabled
        self.flags = flags or {}
        self.controllers: dict[str, PlainController] = {}
        self.caches: list[tuple[str, Any]] = []
        """Of the process, as far as their age matters to a test, which runs what looks at it."""
        self._ids = 0
        for name in names:
            self.host.seed(cluster(name))
            self.connections.join(name)
        self.start()

    def start(self) -> None:
        """The controllers begin, with empty memories; those of before are dead."""
        self.host.stop()
        for api in self.members.values():
            api.stop()
        connected = list(self.connections.connected)
        self.connections = MemoryMembers(self.members)
        gate = "true" if self.enabled & CONTROLLERS else "false"
        self.freshness = Freshness(lambda: self.caches, required=[], clock=self.clock)
        context = FakeContext(
            self.host,
            self.connections,
            f"--controllers={','.join(sorted(self.enabled))}",
            f"--feature-gates=MultiClusterService={gate}",
            clock=self.clock,
            recorder=self.recorder,
            options=self.flags,
            freshness=self.freshness,
        )
        self.controllers = context.controllers
        self.runnables = context.runnables
        self.metrics = context.metrics.registry
        start.start_controllers(context)
        for name in connected:
            self.connections.join(name)

    def stop(self) -> None:
        """The controllers are down: they hear of nothing."""
        self.host.stop()
        for api in self.members.values():
            api.stop()
        self.controllers = {}

    @property
    def watches(self) -> Any:
        """The provider watches."""
        return self.runnables[0]

    @property
    def slices(self) -> PlainController:
        """The one writer of collected and dispatched Works."""
        return self.controllers.get(wk.DISPATCH_CONTROLLER) or self.controllers[wk.SLICE_COLLECT_CONTROLLER]

    @property
    def writes(self) -> list[str]:
        """What the controllers wrote so far."""
        assert not [call for call in self.host.calls if call.verb in ("get", "list")], "reads come from the caches"
        return [str(call) for call in self.host.writes]

    def take_events(self) -> list[tuple[str, str]]:
        """(kind, reason) of what was told since the last call, but for the availability of endpoints."""
        events = self.recorder.events[:]
        self.recorder.events.clear()
        return [(kind, reason) for who, kind, _, _, reason, _ in events if who != wk.STATUS_CONTROLLER]

    def forget_calls(self) -> None:
        """Begin to count anew."""
        self.host.calls.clear()
        self.recorder.events.clear()

    async def settle(self, *, rounds: int = _MAX_ROUNDS, failures: bool = False) -> list[Exception]:
        """Run until nothing is left to do. Raises what keeps failing, unless `failures`: then it is returned."""
        for _ in range(rounds):
            await self._drain()
            self._neighbours()
            again = [(one, *pair) for one in self.controllers.values() for pair in one.failed]
            later = [(one, request) for one in self.controllers.values() for request in one.later]
            waits = [seconds for one in self.controllers.values() for seconds in one.later.values()]
            busy = any(one.pending for one in self.controllers.values())
            if not (again or later or busy):
                return []
            for one in self.controllers.values():
                one.failed.clear()
                one.later.clear()
            for owner, request, _ in again:
                owner.enqueue(request)
            for owner, request in later:
                owner.enqueue(request)
            problems = [error for _, _, error in again]
            # What is due in a minute is due when nothing else is.
            await self.clock.advance(1.0 if again or busy else max([1.0, *waits]))
        if failures:
            return problems
        raise AssertionError(f"no rest after {rounds} rounds: {problems or 'still busy'}")

    async def _drain(self) -> None:
        for _ in range(_MAX_STEPS):
            waiting = [(one, request) for one in self.controllers.values() for request in one.pending]
            if not waiting:
                return
            await waiting[0][0].run_one(waiting[0][1])
        raise AssertionError("the controllers keep each other busy for ever")

    def _neighbours(self) -> None:
        """What bindings and Works ask for is done in the members, and what is being deleted is let go of."""
        for obj in self.host.all("ResourceBinding"):
            if obj["spec"]["resource"]["kind"] == wk.SERVICE_KIND and "deletionTimestamp" not in obj["metadata"]:
                self._deliver(obj)
        for obj in self.host.all("Work"):
            meta = obj["metadata"]
            if wk.PROVISION_CLUSTER in meta.get("annotations", {}) and "status" not in obj:
                self.host.edit("Work", meta["namespace"], meta["name"], APPLIED)
        for kind, finalizer in (("Work", wk.EXECUTION_FINALIZER), ("ResourceBinding", wk.BINDING_FINALIZER)):
            for obj in self.host.all(kind):
                meta = obj["metadata"]
                if "deletionTimestamp" in meta and finalizer in meta.get("finalizers", ()):
                    rest = [one for one in meta["finalizers"] if one != finalizer]
                    self.host.edit(kind, meta["namespace"], meta["name"], {"metadata": {"finalizers": rest}})

    def _deliver(self, obj: Json) -> None:
        """What scheduler, binding and execution controllers make of a Service's binding."""
        meta, resource = obj["metadata"], obj["spec"]["resource"]
        wanted = obj["spec"]["placement"]["clusterAffinity"]["clusterNames"]
        there = {one["name"] for one in obj["spec"].get("clusters", ())}
        ready = {one.name for one in map(decode, self.host.all("Cluster")) if one.is_ready}
        clusters = sorted(name for name in wanted if name in ready | there)
        if clusters != sorted(there):
            patch = {"spec": {"clusters": [{"name": name} for name in clusters]}}
            self.host.edit("ResourceBinding", meta["namespace"], meta["name"], patch)
        origin = {wk.BINDING_NAMESPACE: meta["namespace"], wk.BINDING_NAME: meta["name"]}
        name = work_name(wk.SERVICE_KIND, resource["namespace"], resource["name"])
        for cluster_name in clusters:
            if self.host.find("Work", execution_namespace(cluster_name), name) is None:
                manifest = service(resource["name"], resource["namespace"])
                self.host.seed(work(cluster_name, name, manifest, annotations=origin) | APPLIED)

    # --- what came of it ----------------------------------------------------------------------------------------------

    @property
    def works(self) -> list[Json]:
        """All Works but those that the neighbours make of bindings."""
        works = self.host.all("Work")
        return [one for one in works if wk.BINDING_NAME not in one["metadata"].get("annotations", {})]

    def works_in(self, name: str) -> dict[str, Json]:
        """The Works of a cluster, by name."""
        namespace = execution_namespace(name)
        return {one["metadata"]["name"]: one for one in self.works if one["metadata"]["namespace"] == namespace}

    def carried(self, name: str, kind: str) -> list[Json]:
        """The manifests of that kind in a cluster's Works."""
        found = [a_work(one) for one in self.works_in(name).values()]
        return [one.manifests[0].decode() for one in found if one.ref is not None and one.ref.kind == kind]

    def slices_in(self, name: str) -> dict[str, list[str]]:
        """Addresses of the slices that a cluster gets from others, by the slice's name there."""
        return {
            manifest["metadata"]["name"]: [one["addresses"][0] for one in manifest.get("endpoints") or ()]
            for manifest in self.carried(name, wk.SLICE_KIND)
            if manifest["metadata"].get("labels", {}).get(wk.SLICE_MANAGED_BY) == wk.SLICE_DISPATCHER
        }

    def condition(self, kind: str, name: str = "web", namespace: str = "default") -> tuple[str, str] | None:
        """(status, message) of a service's condition."""
        content = self.host.find(wk.MCS_KIND, namespace, name)
        assert content is not None
        found = [one for one in content.get("status", {}).get("conditions", ()) if one["type"] == kind]
        return (found[0]["status"], found[0]["message"]) if found else None
