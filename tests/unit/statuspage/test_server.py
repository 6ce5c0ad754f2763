"""Who is answered, and in which form."""

import asyncio
from typing import Any

import pytest

from mcs_controller.statuspage import server
from mcs_controller.statuspage.model import Query, select_services
from mcs_controller.statuspage.server import _prefers_json, is_own_name
from tests.support.status_page import PageWorld


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8081",
        "10.0.0.7",
        "[::1]:8081",
        "localhost:9000",
        "mcs-status",
        "mcs.karmada-system.svc:80",
        "a.b.svc.cluster.local",
    ],
)
def test_addresses_and_names_inside_of_a_cluster_are_answered(host: str):
    assert is_own_name(host)


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example",
        "attacker.example:8081",
        "127.0.0.1.attacker.example",
        "svc.example",
        "[::1",
        "localhost.example",
    ],
)
def test_a_name_that_anybody_could_register_is_refused(host: str):
    assert not is_own_name(host)


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", True),
        ("text/html,application/xhtml+xml,application/json;q=0.9", False),
        ("application/json, text/html;q=0.5", True),
    ],
)
def test_json_is_for_those_who_ask_for_it_before_html(accept: str, json: bool):
    assert _prefers_json(accept) is json


async def test_of_many_requests_each_is_a_turn_of_its_own_on_the_event_loop(monkeypatch: pytest.MonkeyPatch):
    world, order = PageWorld(), list[str]()

    def selecting(*arguments: Any) -> Any:
        order.append("page")
        return select_services(*arguments)

    async def renew() -> None:
        while order.count("page") < 5:
            order.append("lease")
            await asyncio.sleep(0)

    monkeypatch.setattr(server, "select_services", selecting)
    await asyncio.gather(*(world.page.overview(Query()) for _ in range(5)), renew())
    assert "page page" not in " ".join(order)
