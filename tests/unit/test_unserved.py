"""MultiClusterServices that a process does not serve are counted, and told of once."""

import asyncio
from typing import Any

import pytest

from informers.client.wire import ListPage
from informers.errors import KubeError, NotFound, ServerError
from mcs_controller.options import Options, command
from mcs_controller.unserved import UnservedServices, why_unserved
from tests.support.builders import an_mcs
from tests.support.clock import FakeClock

ON = "--feature-gates=MultiClusterService=true"
OFF_FOR_ALL = "--controllers=*,-multiclusterservice,-endpointsliceCollect,-endpointsliceDispatch"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "the feature gate is off; --feature-gates=MultiClusterService=true switches it on"),
        ([ON], ""),
        ([ON, "--controllers=*,-endpointsliceCollect"], ""),
        ([ON, OFF_FOR_ALL], "--controllers leaves out multiclusterservice, endpointsliceCollect"),
    ],
    ids=["gate-off", "on", "shared-with-karmada", "controllers-off"],
)
def test_a_process_knows_whether_it_serves(args: list[str], words: str):
    values = command("x", "1", "").main(args=args, standalone_mode=False)
    assert why_unserved(Options.of(values)).startswith(words)
    assert bool(why_unserved(Options.of(values))) == bool(words)


class Pages:
    """A control plane that answers with these, one after the other."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.tokens: list[str] = []

    async def list(self, resource: Any, *, continue_token: str = "") -> Any:
        self.tokens.append(continue_token)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def page(*items: Any, token: str = "") -> ListPage[Any]:
    return ListPage(items=list(items), resource_version="1", continue_token=token)


SERVED = an_mcs("a", metadata={"finalizers": ["karmada.io/multiclusterservice-controller"]})
FRESH = an_mcs("b", adopted=False)
BALANCED = an_mcs("c", types=["LoadBalancer"])


async def told(caplog: pytest.LogCaptureFixture, *answers: Any) -> list[tuple[int, int]]:
    clock = FakeClock()
    task = asyncio.create_task(UnservedServices(Pages(*answers), "because", clock=clock).run())
    await clock.advance(60)
    await task
    return [(vars(one)["count"], vars(one)["served_by_nobody_so_far"]) for one in caplog.records]


async def test_they_are_counted_over_all_pages(caplog: pytest.LogCaptureFixture):
    assert await told(caplog, page(SERVED, FRESH, token="next"), page(FRESH, BALANCED)) == [(3, 2)]


@pytest.mark.parametrize("answer", [page(), page(BALANCED), NotFound(404)], ids=["none", "another-type", "no-kind"])
async def test_nothing_is_said_where_there_is_nothing(caplog: pytest.LogCaptureFixture, answer: Any):
    assert await told(caplog, answer) == []


async def test_a_control_plane_that_is_away_is_asked_again(caplog: pytest.LogCaptureFixture):
    away: KubeError = ServerError(503, "", "later")
    assert await told(caplog, away, page(FRESH)) == [(1, 1)]
