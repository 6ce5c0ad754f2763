"""Steps that need a data plane: the consumer's kube-proxy rules, and the answers that a Pod of the consumer gets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from testbed.api import wait_for
from testbed.dataplane import network
from testbed.errors import BedError, NotYet
from testbed.walkthrough import (
    CLIENT,
    CONSUMER,
    NAME,
    NAMESPACE,
    PODS,
    PROVIDER,
    SERVICES,
    URL,
    Scene,
    Step,
    imported,
    is_ready,
    labels_of,
    listing,
    pods_ready,
    require,
    step,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from testbed.dataplane import Executed
    from testbed.demo.world import World

COMMAND = f"curl {URL}"
TIMES = 20
PROXY = f"kube-proxy's rules for Service {NAMESPACE}/{NAME} in {CONSUMER}"
CLIENT_POD = f"Pod {{namespace}}/{{client}} in {CONSUMER}"
PROXY_POLL_SECONDS = 0.02
# Ask until a Pod that is not among the arguments answers, and print its name.
ASK = """while :; do
who=$(curl -s -m 2 "$0" | sed -n 's/^Hostname: //p')
case " $* " in *" $who "*) sleep 0.01 ;; *) [ -n "$who" ] && echo "$who" && exit ;; esac
done"""

# kube-proxy has a chain for each port of a Service: service-<hash>-<namespace>/<name>/<protocol>/<port's name>. Its
# rule names the endpoints: `dnat to 10.81.1.0:80`, or `... map { 0 : 10.81.1.0 . 80, 1 : 10.81.1.1 . 80 }`.
_CHAIN = r"chain service-[0-9A-Z]+-{service}/\S* \{{\n(?P<rules>.*?)\n\t\}}"
_ENDPOINT = re.compile(r"(\d+\.\d+\.\d+\.\d+)(?::| \. )\d+")
_CURL_ERROR = re.compile(r"curl: \(\d+\).*")
_HOSTNAME = re.compile(r"^Hostname: (\S+)$", re.MULTILINE)


def targets(listing_of_rules: str, service: str) -> list[str]:
    """The addresses to which kube-proxy sends connections to a Service, from `nft list table ip kube-proxy`."""
    chains = re.finditer(_CHAIN.format(service=re.escape(service)), listing_of_rules, re.DOTALL)
    return sorted({address for chain in chains for address in _ENDPOINT.findall(chain["rules"])})


async def current_targets(world: World) -> list[str]:
    """The addresses behind the Service in the consumer's node, now."""
    node = world.bed.dataplane.nodes[CONSUMER].plan.namespace
    rules = await network.run(["ip", "netns", "exec", node, "nft", "list", "table", "ip", "kube-proxy"])
    return targets(rules, f"{NAMESPACE}/{NAME}")


def programmed(replicas: int) -> Callable[[World], Awaitable[str]]:
    """Wait for the rules of kube-proxy in the consumer."""

    def applied(scene: Scene) -> str:
        return pods_ready(replicas)(scene) and str(imported.observe(scene))

    async def observe(world: World) -> str:
        await world.until(f"the slice in {CONSUMER}", applied)  # until then there is nothing to poll for
        wanted = sorted(world.provider_pods().values())

        async def probe() -> str:
            there = await current_targets(world)
            require(there == wanted, f"the targets {listing(there)}; the Pods in {PROVIDER} have {listing(wanted)}")
            return f"{world.get(CONSUMER, SERVICES, NAME)['spec']['clusterIP']}:80 goes to {listing(there)}"

        return await _wait_for(world, "the rules", probe, interval=PROXY_POLL_SECONDS)

    return observe


async def nodes(world: World) -> str:
    """The nodes' processes and Pod networks."""
    return "; ".join(
        f"{name}: {', '.join(each.name.partition(' ')[0] for each in node.processes() if each.running)}, "
        f"Pods {node.plan.pod_cidr}"
        for name, node in world.bed.dataplane.nodes.items()
    )


def client(scene: Scene) -> str:
    """A ready Pod of the client's Deployment."""
    for pod in scene.view.all(CONSUMER, PODS, NAMESPACE):
        if labels_of(pod).get("app") == CLIENT and is_ready(pod):
            scene.names["client"] = pod["metadata"]["name"]
            return scene.names["client"]
    raise NotYet(f"no ready Pod {CLIENT}-… in {CONSUMER}")


@step(COMMAND, CLIENT_POD, f"no answer: {CONSUMER} has no such Service", dataplane=True)
async def unknown(world: World) -> str:
    """The command before the Service is shared."""
    await world.until(f"a Pod {CLIENT} in {CONSUMER}", client)
    return await _refused(world)


@step(f"kube-proxy in {CONSUMER}", PROXY, f"connections go to the Pods in {PROVIDER}", after="imported", dataplane=True)
async def proxied(world: World) -> str:
    """The rules for the Service once it is shared."""
    return await programmed(2)(world)


@step(COMMAND, CLIENT_POD, f"answered by a Pod of {PROVIDER}", after="proxied", dataplane=True)
async def answered(world: World) -> str:
    """The literal command and its literal output."""
    await programmed(2)(world)

    async def answer() -> str:
        told = await _run(world, ["curl", URL])
        who = _HOSTNAME.search(told.stdout)
        require(told.code == 0 and who is not None, f"exit code {told.code}: {_error_of(told)}")
        require(who is not None and who[1] in world.provider_pods(), f"an answer of a Pod that is not in {PROVIDER}")
        return f"{world.names['client']} $ {COMMAND}\n{told.stdout.rstrip()}"

    return await _wait_for(world, f"an answer to `{COMMAND}`", answer)


@step(
    "The new Pod answers",
    CLIENT_POD,
    f"{COMMAND}, again and again, until the new Pod answers",
    after="programmed",
    hop="first answer over the name",
    dataplane=True,
)
async def answered_by_the_new(world: World) -> str:
    """The first answer of a Pod that did not exist before."""
    before = list(world.provider_pods())
    told = await _run(world, ["sh", "-c", ASK, URL, *before], timeout=world.timeout)
    require(told.stdout.strip() in world.provider_pods(), f"`{told.stdout.strip()}` answered")
    return f"{told.stdout.strip()} answered; before, only {listing(before)}"


def answered_by_the_rest(replicas: int) -> Callable[[World], Awaitable[str]]:
    """Only the remaining Pods answer, although those that stop can still answer for a while."""

    async def observe(world: World) -> str:
        await programmed(replicas)(world)

        async def answers() -> str:
            told = await _run(world, ["sh", "-c", f"for i in $(seq {TIMES}); do curl -s {URL}; done"])
            heard, left = _HOSTNAME.findall(told.stdout), world.provider_pods()
            require(len(heard) == TIMES, f"{len(heard)} answers of {TIMES}")
            require(set(heard) == set(left), f"answers of {listing(sorted(set(heard)))}; left: {listing(list(left))}")
            return f"{TIMES} times {COMMAND}: {TIMES} answers, all of {listing(list(left))}"

        return await _wait_for(world, "answers of the remaining Pods", answers)

    return observe


@step(COMMAND, CLIENT_POD, "no answer: the Service has no endpoints", after="imported_gone", dataplane=True)
async def no_endpoints(world: World) -> str:
    """The command after the MultiClusterService was deleted."""

    async def probe() -> str:
        require(not await current_targets(world), f"kube-proxy in {CONSUMER} still has targets")
        return "none"

    await _wait_for(world, "kube-proxy to remove the targets", probe)
    return await _refused(world)


def measured(replicas: int) -> tuple[Step, ...]:
    """The last two hops of the way from a ready Pod to its first answer."""
    return (_proxy_follows(replicas, hop=f"kube-proxy programmed in {CONSUMER}"), answered_by_the_new)


def fewer(replicas: int) -> tuple[Step, ...]:
    """The steps after Pods were removed."""
    observe = answered_by_the_rest(replicas)
    expected = f"{TIMES} times {COMMAND}: only the remaining Pods answer"
    answers = Step(
        "rest", f"Answers of the remaining {replicas}", CLIENT_POD, expected, observe, "", "programmed", "", True
    )
    return (_proxy_follows(replicas, hop=""), answers)


def _proxy_follows(replicas: int, *, hop: str) -> Step:
    title = f"{replicas} address{'es' if replicas != 1 else ''} in the rules of kube-proxy"
    expected = f"connections go to the Pods in {PROVIDER}"
    return Step("programmed", title, PROXY, expected, programmed(replicas), "", "imported", hop, True)


async def _run(world: World, command: list[str], timeout: float = 30.0) -> Executed:
    return await world.bed.dataplane.exec(CONSUMER, CLIENT, command, namespace=NAMESPACE, timeout=timeout)


async def _refused(world: World) -> str:
    told = await _run(world, ["curl", URL])
    require(told.code != 0, f"it was answered: {told.stdout}")
    return f"{world.names['client']} $ {COMMAND}\n{_error_of(told)}"


async def _wait_for(world: World, what: str, probe: Callable[[], Awaitable[str]], interval: float = 0.05) -> str:
    async def checked() -> str:
        world.check()
        try:
            return await probe()
        except BedError as error:  # such as a command that took too long
            raise NotYet(str(error)) from error

    return await wait_for(what, checked, world.timeout, interval=interval)


def _error_of(told: Executed) -> str:
    """The error message of curl, without its progress meter."""
    found = _CURL_ERROR.search(told.stderr)
    return found[0] if found else told.stderr.strip() or "no message"
