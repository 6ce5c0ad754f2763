"""An agent of 0.1.0 beside the controller of this version, and the other way round."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from testbed import Bed, ControllerProcess, karmada
from tests.integration.product.test_agent import Everybodys
from tests.support.agents import agents_user, install_agent
from tests.support.fleet import Space, endpointslice, multiclusterservice, service
from tests.support.traffic import Refusals, idle
from tests.support.upgrading import FLAGS, previous

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")

PUSH, PULL = "member1", "member2"


@pytest.mark.parametrize("agent_first", [False, True], ids=["the controller first", "the agent first"])
async def test_controller_and_agent_are_upgraded_one_after_the_other(binaries: dict[str, Path], agent_first: bool):
    old = [str(previous().binary)]
    async with Bed(members=(PUSH, PULL), audit=True) as bed, AsyncExitStack() as stack:
        await karmada.install(bed)
        await karmada.join(bed, PUSH)
        body = {"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster", "metadata": {"name": PULL}}
        await bed.host.api.create(body | {"spec": {"syncMode": "Pull"}})
        kubeconfig = await karmada.controller_kubeconfig(bed)
        refusals = Refusals.ever(bed, agents_user(PULL))

        async def started(process: ControllerProcess) -> ControllerProcess:
            stack.push_async_callback(process.kill)
            await process.start()
            return process

        async def controller(name: str, program: list[str]) -> ControllerProcess:
            made = ControllerProcess(
                kubeconfig, root=bed.root, name=f"{name}-controller", extra_args=FLAGS, program=program
            )
            return await started(made)

        async def agent(name: str, program: list[str]) -> ControllerProcess:
            return await started(await install_agent(bed, PULL, *FLAGS, name=f"{name}-agent", program=program))

        async def change_arrives(number: int) -> None:
            for provider, consumer in ((PUSH, PULL), (PULL, PUSH)):
                await space.set_addresses(provider, "web-a", [f"192.0.2.{number}"])
                await space.dispatched_are(consumer, {f"{provider}-web-a": [f"192.0.2.{number}"]})

        running = {controller: await controller("old", old), agent: await agent("old", old)}
        space = await Space.make(bed)
        await space.create(service("web"), multiclusterservice("web"))
        for member in bed.members:
            await space.create_in(member, endpointslice("web-a", "web", ["192.0.2.250"]))
        await change_arrives(1)

        order = (agent, controller) if agent_first else (controller, agent)
        for number, (begin, name, program) in enumerate(
            [(order[0], "new", []), (order[1], "new", []), (order[0], "old", old), (order[0], "new", [])], start=2
        ):
            for process in running.values():
                await idle(process)
            traffic = Everybodys(bed)
            assert await running[begin].terminate() == 0, running[begin].tail()
            running[begin] = await begin(name, program)
            for process in running.values():
                await idle(process, traffic)
            print(number, running[begin].name, traffic.told())
            await change_arrives(number)
        assert refusals.found() == []
