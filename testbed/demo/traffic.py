"""What a client in the consumer gets: kube-proxy's rules there, the literal ``curl``, and who answers from when on.

One function or class each; they need a bed with a data plane.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from testbed.api import wait_for
from testbed.dataplane.execute import pod_shell
from testbed.demo import asker
from testbed.demo.lines import Lines
from testbed.demo.walkthrough import THIS, provider_pods
from testbed.demo.world import (
    CLIENT,
    CONSUMER,
    NAME,
    NAMESPACE,
    PODS,
    PROVIDER,
    SERVICES,
    World,
    conditions,
    labels_of,
    listing,
    must,
    require,
)
from testbed.errors import BedError, NotYet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container
    from types import TracebackType

    from testbed.api import Object
    from testbed.dataplane import Executed

URL = f"http://{NAME}.{NAMESPACE}"
COMMAND = f"curl {URL}"
ASK_SECONDS = 10.0
TIMES = 20
ASKING_INTERVAL_SECONDS = 0.01

PROXY = f"kube-proxy's rules for Service {THIS} in {CONSUMER}"
ASKED = f"Pod {NAMESPACE}/{{client}} in {CONSUMER}"
_COMPLAINT = re.compile(r"curl: \(\d+\).*")
_HOSTNAME = re.compile(r"^Hostname: (\S+)$", re.MULTILINE)


async def nodes(world: World) -> str:
    """What there is to carry traffic."""
    found = [
        f"{name}: {', '.join(each.name.partition(' ')[0] for each in node.processes() if each.running)}, "
        f"Pods {node.plan.pod_cidr}"
        for name, node in world.bed.dataplane.nodes.items()
    ]
    return "; ".join(found)


def client(world: World) -> Object:
    """The Pod from which things are asked."""
    for pod in world.view.all(CONSUMER, PODS, NAMESPACE):
        if labels_of(pod).get("app") == CLIENT and conditions(pod).get("Ready", {}).get("status") == "True":
            world.names["client"] = pod["metadata"]["name"]
            return pod
    raise NotYet(f"no ready Pod {CLIENT}-… in {CONSUMER}")


def programmed(world: World) -> str:
    """kube-proxy of the consumer's node sends connections to the provider's Pods."""
    service = must(world.view.find(CONSUMER, SERVICES, NAMESPACE, NAME), f"Service {THIS} in {CONSUMER}")
    wanted, there = sorted(provider_pods(world).values()), world.rules.targets(THIS)
    require(there == wanted, f"it sends to {listing(there)}; the Pods in {PROVIDER} have {listing(wanted)}")
    return f"{service['spec']['clusterIP']}:80 goes to {listing(there)}"


async def asked_before(world: World) -> str:
    """The command, when nobody has heard of the Service there."""
    await world.view.until(f"a Pod {CLIENT} in {CONSUMER}", lambda: client(world), world.timeout, check=world.check)
    return await _refused(world)


async def asked_after(world: World) -> str:
    """The command, when the Service has no endpoints any more."""

    def probe() -> bool:
        there = world.rules.targets(THIS)
        require(not there, f"kube-proxy in {CONSUMER} still sends to {listing(there)}")
        return True

    await world.view.until("kube-proxy to send nobody there", probe, world.timeout, check=world.check)
    return await _refused(world)


async def answered(world: World) -> str:
    """The literal command and its literal output."""
    await _programmed(world)

    async def answer() -> str:
        told = await _run(world, ["curl", URL])
        who = _HOSTNAME.search(told.stdout)
        require(told.code == 0 and who is not None, f"exit code {told.code}: {_complaint(told)}")
        assert who is not None
        require(who[1] in provider_pods(world), f"{who[1]} answered, which is no Pod of {PROVIDER}")
        return f"{_prompt(world)}\n{told.stdout.rstrip()}"

    return await _wait_for(world, f"`{COMMAND}` to be answered", answer)


async def answered_by_those_left(world: World) -> str:
    """Who answers after Pods were taken away; those may still be there, and would answer if they were asked."""
    await _programmed(world)

    async def answers() -> str:
        told = await _run(world, ["sh", "-c", f"for i in $(seq {TIMES}); do curl -s {URL}; done"])
        heard = _HOSTNAME.findall(told.stdout)
        left = provider_pods(world)
        require(len(heard) == TIMES, f"{len(heard)} answers of {TIMES}")
        require(set(heard) == set(left), f"answers of {listing(sorted(set(heard)))}; left: {listing(list(left))}")
        return f"{TIMES} times {COMMAND}: {TIMES} answers, all of {listing(list(left))}"

    return await _wait_for(world, "answers of those who are left", answers)


async def answered_by_the_new(world: World) -> str:
    """The first answer of a Pod that was not there before, asked for all the time."""
    before = set(provider_pods(world))
    async with Asking(world) as asking:
        return await first_answer(world, asking, but=before)


async def first_answer(world: World, asking: Asking, *, but: Container[str]) -> str:
    """Wait until a Pod that is none of those has answered."""

    def probe() -> str:
        new = asking.heard_of(but=but)
        require(bool(new), f"{asking.count} answers, all of {listing(sorted(asking.first))}")
        return f"{new[0]} answered; {asking.count} questions until then, {asking.unanswered} of them unanswered"

    return await world.view.until("an answer of the new Pod", probe, world.timeout, check=world.check)


class Asking:
    """Asks for the Service by its name, all the time that the ``async with`` block lasts, from the client's Pod.

    Args:
        world: with a client that runs; its view is told when somebody has answered for the first time.

    Attributes:
        first: who answered, and when for the first time, by the monotonic clock.
        count: questions until now.
        unanswered: those of them that got no answer.
    """

    def __init__(self, world: World) -> None:
        self.first: dict[str, float] = {}
        self.count = 0
        self.unanswered = 0
        self._wake = world.view.wake
        shell = pod_shell(world.bed.root, CONSUMER, CLIENT, namespace=NAMESPACE)
        script = str(Path(asker.__file__).resolve())
        host = URL.removeprefix("http://")
        command = [sys.executable, "-I", "-S", script, host, f"--interval={ASKING_INTERVAL_SECONDS}"]
        self._lines = Lines(shell.argv(command), env=shell.environ(), take=self._take)

    async def __aenter__(self) -> Self:
        await self._lines.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._lines.__aexit__(kind, error, traceback)

    def heard_of(self, *, but: Container[str]) -> list[str]:
        """Who has answered, in the order of their first answers, except for some.

        Raises:
            BedError: nobody asks any more.
        """
        self._lines.check()
        return [name for name in self.first if name not in but]

    async def _take(self, line: str) -> None:
        heard = msgspec.json.decode(line)
        self.count += 1
        who = _HOSTNAME.search(heard.get("text", ""))
        if who is None:
            self.unanswered += 1
        elif who[1] not in self.first:
            self.first[who[1]] = heard["at"]
            self._wake()


async def _programmed(world: World) -> None:
    await world.view.until("the rules", lambda: programmed(world), world.timeout, check=world.check)


async def _run(world: World, command: list[str]) -> Executed:
    return await world.bed.dataplane.exec(CONSUMER, CLIENT, command, namespace=NAMESPACE, timeout=ASK_SECONDS)


async def _refused(world: World) -> str:
    told = await _run(world, ["curl", URL])
    require(told.code != 0, f"it was answered: {told.stdout}")
    return f"{_prompt(world)}\n{_complaint(told)}"


async def _wait_for(world: World, what: str, probe: Callable[[], Awaitable[str]]) -> str:
    async def checked() -> str:
        world.check()
        try:
            return await probe()
        except BedError as error:  # the command took too long, say
            raise NotYet(str(error)) from error

    return await wait_for(what, checked, world.timeout)


def by_hand(world: World) -> str:
    """The command for a person outside of the Pod, once the client's Pod runs."""
    return shlex.join(pod_shell(world.bed.root, CONSUMER, CLIENT, namespace=NAMESPACE).argv(["curl", URL]))


def _prompt(world: World) -> str:
    return f"{world.names['client']} $ {COMMAND}"


def _complaint(told: Executed) -> str:
    """What curl said in the end, without its drawing of how far it was."""
    found = _COMPLAINT.search(told.stderr)
    return found[0] if found else told.stderr.strip() or "not a word"
