"""A fleet with a data plane, its controller, and clients: the helpers of the behaviour tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from testbed import ControllerProcess, NotYet, WaitTimeout, karmada, wait_for
from testbed.dataplane import pod_shell
from testbed.processes import die_with_parent
from testbed.tasks import together
from tests.support.conformance import Check
from tests.support.fleet import (
    CLUSTERS,
    DISPATCHER,
    MANAGED_BY,
    MCS,
    NAMESPACES,
    SERVICES,
    SLICES,
    Space,
    condition_of,
    multiclusterservice,
)
from tests.support.no_findings import no_findings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
    from types import TracebackType

    from testbed import Api, Bed
    from tests.support.conformance import Row

Object = dict[str, Any]
T = TypeVar("T")

SERVICE_NAME = "kubernetes.io/service-name"
CLIENTS = "clients"
CLIENT = "client"
SCRIPT = Path(__file__).with_name("client.py")
PATIENCE_SECONDS = 120.0
"""For anything that a healthy fleet does by itself; far more than it takes, as the machine may be busy."""
SAMPLES = 30
WELL = {"ServiceApplied": "True", "EndpointSliceDispatched": "True", "EndpointsAvailable": "True"}
LOOP_THREADS = 4
LOOP_RATE = 80.0
GRACE_SECONDS = 15
"""A Pod that is to go answers for so long: what a preStop hook is for. Longer than the news takes to all consumers."""


def workload(
    name: str,
    *,
    replicas: int = 1,
    kind: str = "Deployment",
    version: str = "1.0.0",
    ready: bool = True,
    grace: int = GRACE_SECONDS,
    containers: Sequence[Object] = (),
    **spec: Any,
) -> Object:
    """Web servers that a Service with the selector `app=<name>` finds, and that stop with grace."""
    labels = {"app": name}
    annotations = {} if ready else {"annotations": {"testbed/ready": "false"}}
    web = {
        "name": "web",
        "image": "nginx",
        "env": [{"name": "VERSION", "value": version}],
        "lifecycle": {"preStop": {"sleep": {"seconds": grace}}},
    }
    pod = {
        "metadata": {"labels": labels} | annotations,
        "spec": {"terminationGracePeriodSeconds": 2 * grace, "containers": list(containers) or [web]},
    }
    more = {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}} if kind == "Deployment" else {}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod, **more, **spec},
    }


def service(name: str, ports: Sequence[Object] = ({"port": 80},), **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": list(ports), **spec},
    }


def is_ready(pod: Object) -> bool:
    """Whether it is ready and stays."""
    statuses = {each["type"]: each["status"] for each in pod.get("status", {}).get("conditions") or ()}
    return statuses.get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp")


@dataclass
class Tally:
    """What a client has counted, when it said so, and when it began what was lost last, by the machine's clock."""

    outcomes: Counter[str] = field(default_factory=Counter)
    pods: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    at: float = 0.0
    lost_at: float = 0.0

    @classmethod
    def of(cls, line: str | bytes) -> Tally:
        told = json.loads(line)
        outcomes, pods, versions = (Counter(told[each]) for each in ("outcomes", "pods", "versions"))
        return cls(outcomes, pods, versions, told["errors"], told["at"], told["lost_at"])

    @property
    def answered(self) -> int:
        return self.outcomes["ok"]

    @property
    def lost(self) -> int:
        return self.outcomes.total() - self.answered

    def told(self) -> str:
        return ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items())) or "nothing"


class Loop:
    """A client that asks for a URL again and again, from a Pod of a member, until told to stop.

    Attributes:
        tally: what it has counted.
        history: what it had counted before, each tenth of a second or so.
    """

    def __init__(self, root: Path, member: str, url: str) -> None:
        self._shell = pod_shell(root, member, CLIENT, namespace=CLIENTS)
        self._url = url
        self.history: list[Tally] = []
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._began = 0.0
        self._took = 0.0
        self.tally = Tally()

    async def __aenter__(self) -> Self:
        arguments = ("loop", self._url, str(LOOP_THREADS), str(LOOP_RATE))
        self._process = await asyncio.create_subprocess_exec(
            *self._shell.argv([*_python(), *arguments]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=self._shell.environ(),
            cwd="/",
            preexec_fn=die_with_parent(),
        )
        self._began = asyncio.get_running_loop().time()
        self._reading = asyncio.create_task(self._read())
        try:
            await self.goes_on(50)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        assert self._process is not None
        assert self._reading is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(60):
                await self._reading
        finally:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
            await self._process.wait()
            self._took = asyncio.get_running_loop().time() - self._began

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.tally = Tally.of(line)
            self.history.append(self.tally)

    async def goes_on(self, requests: int) -> None:
        """Wait until so many more requests have ended, well or badly."""
        goal = self.tally.outcomes.total() + requests

        async def probe() -> bool:
            if self.tally.outcomes.total() < goal:
                raise NotYet(self.tally.told())
            return True

        limit = PATIENCE_SECONDS + 20 * requests / LOOP_RATE
        await wait_for(f"{requests} more requests to {self._url}", probe, limit)

    async def answering(self, requests: int) -> frozenset[str]:
        """The Pods that answer the next so many requests."""
        before = self.tally.pods
        await self.goes_on(requests)
        return frozenset(self.tally.pods - before)

    def told(self) -> str:
        """What it has counted, and how fast it was."""
        took = self._took or asyncio.get_running_loop().time() - self._began
        return f"{self.tally.told()}; {self.tally.outcomes.total() / took:.0f}/s"


class Offered(NamedTuple):
    """What a cluster has of a Service at a time: the ready addresses of its own slices, and of those dispatched to it.

    `at` is by the machine's monotonic clock.
    """

    at: float
    own: frozenset[str]
    copies: frozenset[str]

    @property
    def total(self) -> int:
        return len(self.own | self.copies)


class Follower:
    """Follows the slices of a Service in a member as its kube-proxy does.

    Attributes:
        states: all of them, in order; two that follow each other differ.
    """

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._slices: dict[str, Object] = {}
        self._watching: asyncio.Task[None] | None = None
        self.states: list[Offered] = []

    async def __aenter__(self) -> Self:
        listed = await self._api.list_raw(SLICES, namespace=self._namespace)
        for slice_ in listed["items"] or ():
            self._see(slice_)
        self._take_down()
        self._watching = asyncio.create_task(self._watch(listed["metadata"]["resourceVersion"]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._watching is not None
        ended = self._watching.done()
        self._watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watching
        assert not ended or error is not None, "the watch has ended: states are missing"

    async def _watch(self, version: str) -> None:
        async for event in self._api.watch(SLICES, namespace=self._namespace, resource_version=version):
            if event["type"] == "DELETED":
                self._slices.pop(event["object"]["metadata"]["name"], None)
            elif event["type"] != "BOOKMARK":
                self._see(event["object"])
            self._take_down()

    def _see(self, slice_: Object) -> None:
        if slice_["metadata"]["labels"].get(SERVICE_NAME) == self._name:
            self._slices[slice_["metadata"]["name"]] = slice_

    def _take_down(self) -> None:
        found: dict[bool, set[str]] = {False: set(), True: set()}
        for slice_ in self._slices.values():
            found[slice_["metadata"]["labels"].get(MANAGED_BY) == DISPATCHER].update(
                each["addresses"][0] for each in slice_["endpoints"] or () if each["conditions"]["ready"]
            )
        state = Offered(time.monotonic(), frozenset(found[False]), frozenset(found[True]))
        if not self.states or state[1:] != self.states[-1][1:]:
            self.states.append(state)

    async def until(self, what: str, accept: Callable[[Offered], bool]) -> Offered:
        """Wait until the last state is an acceptable one."""

        async def probe() -> Offered:
            last = self.states[-1]
            if not accept(last):
                raise NotYet(f"{len(last.own)} own endpoints, {len(last.copies)} dispatched")
            return last

        return await wait_for(f"{what}, of {self._name}", probe, PATIENCE_SECONDS, interval=0.05)


def _python() -> list[str]:
    return [sys.executable, "-I", "-S", str(SCRIPT)]


@dataclass(frozen=True)
class World:
    """The fleet, its controller, and a client Pod in each member."""

    bed: Bed
    controller: ControllerProcess

    async def make_clients(self) -> None:
        """A Pod to ask from in each member, all in one namespace that is theirs."""
        await together(self._make_client(member) for member in self.bed.members)

    async def _make_client(self, member: str) -> None:
        api = self.bed.members[member].api
        await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CLIENTS}})
        containers = [{"name": CLIENT, "image": "curlimages/curl"}]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": CLIENT}, "spec": {"containers": containers}}
        await api.create(pod, namespace=CLIENTS)

        async def ready() -> bool | None:
            return is_ready(await api.get("v1/pods", CLIENT, namespace=CLIENTS)) or None

        await wait_for(f"a client in {member}", ready, PATIENCE_SECONDS)

    async def ask(self, member: str, *arguments: str) -> Any:
        """Run a command of the client's script in a member; its answer."""
        done = await self.bed.dataplane.exec(member, CLIENT, [*_python(), *arguments], namespace=CLIENTS)
        if done.code != 0:
            raise NotYet(f"client {arguments}: {done.stderr}")
        return json.loads(done.stdout)

    async def sample(self, member: str, url: str, count: int = SAMPLES) -> Tally:
        """Ask so many times."""
        return Tally.of(json.dumps(await self.ask(member, "sample", url, str(count))))

    async def has_joined(self, member: str) -> None:
        """Make a member a part of the fleet, unless it is."""
        if await self.bed.host.api.find(CLUSTERS, member) is None:
            await karmada.join(self.bed, member)
        await self.cluster_is(member, ready=True)

    async def cluster_is(self, name: str, ready: bool) -> None:
        """Wait until the control plane calls a cluster ready, or not."""

        async def probe() -> bool:
            seen = condition_of(await self.bed.host.api.get(CLUSTERS, name), "Ready")
            if (seen[0] == "True") != ready:
                raise NotYet(f"Ready is {seen}")
            return True

        await wait_for(f"Cluster {name} to be {'ready' if ready else 'not ready'}", probe, PATIENCE_SECONDS)


class Scene:
    """One behaviour being tried: a namespace of its own, and the row that takes down what is seen.

    Args:
        world: where.
        space: the namespace.
        row: of the report.

    Attributes:
        expected: codes of what a diagnosis finds at the end.
    """

    def __init__(self, world: World, space: Space, row: Row) -> None:
        self.world = world
        self.space = space
        self._row = row
        self._origin: dict[str, str] = {}
        self.expected: tuple[str, ...] = ()

    @classmethod
    async def begin(cls, world: World, row: Row, *, members: Iterable[str]) -> Scene:
        """Make a namespace, and wait until the controller has brought it into these members."""
        space = Space(world.bed, f"e2e-{uuid.uuid4().hex[:8]}")
        await space.host.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space.namespace}})
        scene = cls(world, space, row)
        for member in members:
            await scene.has_namespace(member)
        return scene

    async def end(self) -> None:
        """Take the namespace away, without waiting. A diagnosis finds nothing where a service says that it is well."""
        try:
            for mcs in await self.space.host.list(MCS, namespace=self.namespace):
                if _conditions(mcs) == WELL:
                    await no_findings(
                        self.world.bed, self.namespace, mcs["metadata"]["name"], PATIENCE_SECONDS, but=self.expected
                    )
        finally:
            await self.space.remove()

    def knows(self, pods: Iterable[str], member: str) -> None:
        """These Pods are of this member: what is taken down says so instead of their names."""
        self._origin.update(dict.fromkeys(pods, member))

    @property
    def namespace(self) -> str:
        return self.space.namespace

    async def has_namespace(self, member: str) -> None:
        """Wait until the controller has brought the namespace into a member."""

        async def found() -> Object | None:
            return await self.space.member(member).find(NAMESPACES, self.namespace)

        await wait_for(f"namespace {self.namespace} in {member}", found, PATIENCE_SECONDS)

    async def copies(self, member: str) -> list[Object]:
        """The slices that were dispatched to a member."""
        selector = f"{MANAGED_BY}={DISPATCHER}"
        return await self.space.member(member).list(SLICES, namespace=self.namespace, label_selector=selector)

    def url(self, name: str = "web", port: int = 80, scheme: str = "http") -> str:
        """The name in full: no search list of the resolver, so one question for each request."""
        return f"{scheme}://{name}.{self.namespace}.svc.cluster.local.:{port}"

    # --- what is done --------------------------------------------------------------------------------------------

    async def run(self, member: str, manifest: Object, *, ready: bool = True) -> set[str]:
        """Create a workload in a member and wait for its Pods; their names."""
        await self.space.create_in(member, manifest)
        count, name = manifest["spec"]["replicas"], manifest["metadata"]["name"]
        return await self.pods(member, name, count if ready else 0, count)

    async def pods(self, member: str, name: str, ready: int, count: int | None = None) -> set[str]:
        """Wait until a workload has so many Pods (as many as are ready) that are not on their way out; their names."""

        async def probe() -> set[str]:
            found = await self.space.member(member).list(
                "v1/pods", namespace=self.namespace, label_selector=f"app={name}"
            )
            staying = [each for each in found if not each["metadata"].get("deletionTimestamp")]
            running = [each for each in staying if each.get("status", {}).get("podIP")]
            are_ready = [each for each in running if is_ready(each)]
            wanted = ready if count is None else count
            if len(are_ready) != ready or len(running) != wanted or len(staying) != wanted:
                raise NotYet(f"{len(staying)} Pods, {len(running)} running, {len(are_ready)} ready")
            return {each["metadata"]["name"] for each in running}

        names = await wait_for(f"{ready} ready Pods of {name} in {member}", probe, PATIENCE_SECONDS)
        self.knows(names, member)
        return names

    async def settled(self, member: str, name: str, count: int, *, without: Iterable[str] = ()) -> set[str]:
        """Wait until there are so many Pods, all ready, none on its way out and none of those; their names."""

        async def probe() -> set[str]:
            found = await self.space.member(member).list(
                "v1/pods", namespace=self.namespace, label_selector=f"app={name}"
            )
            names = {each["metadata"]["name"] for each in found}
            if len(names) != count or names & set(without) or not all(is_ready(each) for each in found):
                raise NotYet(f"{sorted(names)}")
            return names

        names = await wait_for(f"{count} Pods of {name} and no other in {member}", probe, PATIENCE_SECONDS)
        self.knows(names, member)
        return names

    async def scale(self, member: str, replicas: int, name: str = "web") -> set[str]:
        """Set the number of Pods of a Deployment and wait for it; the names of those that stay."""
        await self.space.member(member).patch(
            "apps/v1/deployments", name, {"spec": {"replicas": replicas}}, namespace=self.namespace
        )
        return await self.pods(member, name, replicas)

    async def offer(
        self,
        providers: Sequence[str] = ("member1",),
        consumers: Sequence[str] = ("member2",),
        *,
        service_: Object | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """A Service and a MultiClusterService of its name, applied to the control plane."""
        made = service_ or service("web")
        mcs = multiclusterservice(made["metadata"]["name"], providers, consumers)
        mcs["metadata"]["annotations"] = dict(annotations or {})
        await self.space.create(made, mcs)

    async def set_clusters(self, **lists: Sequence[str]) -> None:
        """Change `providerClusters` or `consumerClusters`."""
        await self.space.patch_mcs("web", {key: [{"name": each} for each in names] for key, names in lists.items()})

    async def succeeded(self, name: str = "web") -> None:
        """The MultiClusterService says that all is well, in the end."""

        async def read() -> dict[str, str]:
            return _conditions(await self.space.mcs(name))

        words = lambda seen: ", ".join(f"{kind} {status}" for kind, status in sorted(seen.items()))  # noqa: E731
        await self.becomes("conditions of the MultiClusterService", WELL, read, told=words)

    def loop(self, member: str = "member2", name: str = "web", port: int = 80) -> Loop:
        """A client that asks without end."""
        return Loop(self.world.bed.root, member, self.url(name, port))

    def follow(self, member: str = "member2", name: str = "web") -> Follower:
        """What a member has of a Service, from now on."""
        return Follower(self.space.member(member), self.namespace, name)

    async def answered_by(self, member: str, url: str, pods: set[str]) -> None:
        """Wait until exactly these Pods answer, as a part of the setting: nothing is taken down."""
        await wait_for(
            f"{url} to be answered in {member} by {sorted(pods)}", self._only(member, url, pods), PATIENCE_SECONDS
        )

    def _only(self, member: str, url: str, pods: set[str]) -> Callable[[], Awaitable[Tally]]:
        async def probe() -> Tally:
            tally = await self.world.sample(member, url)
            if set(tally.pods) != pods or (pods and tally.lost):
                raise NotYet(f"{self._named(tally.pods)}; {tally.told()}; {tally.errors[:2]}")
            return tally

        return probe

    # --- what is taken down --------------------------------------------------------------------------------------

    async def becomes(
        self,
        what: str,
        expected: T,
        read: Callable[[], Awaitable[T]],
        *,
        told: Callable[[T], str] = str,
        accept: Callable[[T], bool] | None = None,
    ) -> T:
        """Wait until what is read is what is expected, and take it down. How long it took is only told."""
        last: list[T] = []
        began = time.monotonic()

        async def probe() -> T:
            seen = await read()
            last[:] = [seen]
            if not (accept(seen) if accept else seen == expected):
                raise NotYet(told(seen))
            return seen

        try:
            seen = await wait_for(what, probe, PATIENCE_SECONDS)
        except WaitTimeout as timeout:
            self._note(what, told(expected), told(last[0]) if last else f"nothing: {timeout}", passed=False)
            raise AssertionError(str(self._row.checks[-1])) from timeout
        self._note(what, told(expected), told(seen), passed=True, measured=f"{time.monotonic() - began:.1f} s")
        return seen

    async def answers(self, what: str, pods: set[str], url: str = "", *, member: str = "member2") -> None:
        """Exactly these Pods answer a client in a member, in the end, and no request is lost; none: nobody answers."""

        async def read() -> tuple[frozenset[str], int]:
            tally = await self.world.sample(member, url or self.url())
            return frozenset(tally.pods), tally.lost if pods else 0

        await self.becomes(what, (frozenset(pods), 0), read, told=lambda seen: self.told(*seen))

    async def answers_alone(self, what: str, pods: set[str], url: str) -> str:
        """One of these Pods answers each request of a client in the consumer, in the end; its name."""

        async def read() -> tuple[frozenset[str], int]:
            tally = await self.world.sample("member2", url)
            return frozenset(tally.pods), tally.lost

        alone = [(frozenset((pod,)), 0) for pod in pods]
        seen = await self.becomes(
            what, alone[0], read, told=lambda seen: self.told(*seen), accept=lambda seen: seen in alone
        )
        (pod,) = seen[0]
        return pod

    async def serve(self, what: str, pods: Collection[str], *loops: Loop) -> None:
        """Exactly these Pods answer each of the loops, in the end; none: nobody answers."""

        async def read() -> frozenset[frozenset[str]]:
            # Who is refused hears of it once a second, by what the kernel allows a node to send.
            requests = 40 if pods else 8
            return frozenset(await asyncio.gather(*(each.answering(requests) for each in loops)))

        def told(seen: frozenset[frozenset[str]]) -> str:
            return " or ".join(sorted(map(self.told, seen)))

        await self.becomes(what, frozenset((frozenset(pods),)), read, told=told)

    def never(self, what: str, pods: Iterable[str], *loops: Loop) -> None:
        """Take down that these Pods have answered none of the loops."""
        seen = {pod for each in loops for pod in each.tally.pods} & {*pods}
        counts = ", ".join(str(each.tally.answered) for each in loops)
        self.holds(what, "never", not seen, otherwise=self.told(seen), measured=f"of {counts} answers")

    def holds(self, what: str, expected: str, passed: bool, *, otherwise: str, measured: str = "") -> None:
        """Take down something that was counted."""
        self._note(what, expected, expected if passed else otherwise, passed=passed, measured=measured)
        assert passed, str(self._row.checks[-1])

    async def has_endpoints(self, what: str, **expected: int) -> None:
        """The slices that were dispatched to the consumer have so many endpoints of each address type, in the end."""

        async def read() -> dict[str, int]:
            slices = await self.copies("member2")
            return Counter(each["addressType"] for each in slices for _ in each["endpoints"] or ())

        await self.becomes(
            what, expected, read, told=lambda seen: ", ".join(f"{seen[each]} {each}" for each in sorted(seen))
        )

    async def has_cluster_ips(self, **expected: int) -> None:
        """The name of the Service web has exactly the consumer's cluster IPs in its A and AAAA records, in the end."""

        async def read() -> dict[str, int]:
            service = await self.space.member("member2").get(SERVICES, "web", namespace=self.namespace)
            name = f"web.{self.namespace}"
            found = {kind: await self.world.ask("member2", "resolve", name, kind) for kind in expected}
            if sorted(service["spec"]["clusterIPs"]) != sorted(address for each in found.values() for address in each):
                raise NotYet(f"{found}, not {service['spec']['clusterIPs']}")
            return {kind: len(each) for kind, each in found.items()}

        await self.becomes(
            "records, each with a cluster IP of the consumer",
            expected,
            read,
            told=lambda seen: ", ".join(f"{count} {kind}" for kind, count in seen.items()),
        )

    async def resolves(
        self, what: str, name: str, addresses: Sequence[str], *, names: Mapping[str, str] | None = None
    ) -> None:
        """A name has exactly these addresses in the consumer, in the end; none: there is no such name."""
        known = names or {}

        async def read() -> list[str]:
            found: list[str] = await self.world.ask("member2", "resolve", name, "A")
            return found

        def told(seen: list[str]) -> str:
            return " and ".join(known.get(each, each) for each in seen) or "no such name"

        await self.becomes(what, sorted(addresses), read, told=told)

    def kept_up(self, loop: Loop, *, what: str = "requests of the loop", budget: int = 0, why: str = "") -> None:
        """Take down what a loop has lost, which must be within a budget."""
        passed = loop.tally.lost <= budget and loop.tally.answered > 0
        because = f" ({why})" if why else ""
        expected = f"at most {budget} lost{because}" if budget else f"none lost{because}"
        seen = ("within the budget" if budget else "none lost") if passed else f"{loop.tally.lost} lost"
        self._note(what, expected, seen, passed=passed, measured=loop.told())
        assert passed, f"{self._row.checks[-1]}\n" + "\n".join(loop.tally.errors)

    def measured(self, text: str) -> None:
        """Add something about this very run to the last thing that was taken down."""
        last = self._row.checks[-1]
        self._row.checks[-1] = Check(
            what=last.what, expected=last.expected, observed=last.observed, passed=last.passed, measured=text
        )

    def _note(self, what: str, expected: str, observed: str, *, passed: bool, measured: str = "") -> None:
        self._row.checks.append(
            Check(what=what, expected=expected, observed=observed, passed=passed, measured=measured)
        )

    def _named(self, pods: Iterable[str]) -> str:
        """Pods by the member that they are in: their names differ from run to run."""
        members = Counter(self._origin.get(pod, f"nobody knows where ({pod})") for pod in pods)
        each = [f"{count} {'Pods' if count > 1 else 'Pod'} of {member}" for member, count in sorted(members.items())]
        return ", ".join(each) or "nobody"

    def told(self, pods: Iterable[str], lost: int = 0) -> str:
        return self._named(pods) + (f", {lost} lost" if lost else "")

    # --- when it fails -------------------------------------------------------------------------------------------

    async def diagnosis(self) -> str:
        """What the control plane and the members have of this namespace, for a failure's report."""
        lines = [f"namespace {self.namespace}"]
        lines += [str(each) for each in self._row.checks]
        for mcs in await self.space.host.list(MCS, namespace=self.namespace):
            lines.append(f"MultiClusterService {mcs['metadata']['name']}: {json.dumps(mcs['spec'])}")
            lines += [f"  {json.dumps(each)}" for each in mcs.get("status", {}).get("conditions") or ()]
        for cluster in await self.space.host.list(CLUSTERS):
            lines.append(f"Cluster {cluster['metadata']['name']}: Ready {condition_of(cluster, 'Ready')}")
        for name, plane in self.world.bed.members.items():
            try:
                services = await plane.api.list(SERVICES, namespace=self.namespace)
                slices = await plane.api.list(SLICES, namespace=self.namespace)
            except Exception as error:  # a report must not hide what it is about
                lines.append(f"{name}: {type(error).__name__}: {error}")
                continue
            lines.append(f"{name}: Services {[each['metadata']['name'] for each in services]}")
            for each in slices:
                labels: Mapping[str, str] = each["metadata"].get("labels", {})
                origin = "copy" if labels.get(MANAGED_BY) == DISPATCHER else "own"
                lines.append(f"  {origin} slice {each['metadata']['name']} {json.dumps(each['ports'])}")
                lines += [f"    {_endpoint(endpoint)}" for endpoint in each["endpoints"] or ()]
        lines.append(f"the end of the controller's log:\n{self.world.controller.tail(20)}")
        return "\n".join(lines)


def _conditions(mcs: Object) -> dict[str, str]:
    return {each["type"]: each["status"] for each in mcs.get("status", {}).get("conditions") or ()}


def _endpoint(endpoint: Object) -> str:
    return f"{endpoint['addresses']} {endpoint.get('conditions')} {endpoint.get('targetRef', {}).get('name', '')}"
