"""What is answered on the wire."""

import aiohttp
import pytest

from mcs_controller.statuspage.html import POLICY

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_page_may_load_nothing_and_be_framed_and_kept_by_nobody(address: str):
    async with aiohttp.ClientSession() as session, session.get(address) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["Content-Security-Policy"] == POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "payments/" in await response.text()


async def test_json_is_answered_to_those_who_ask_for_it(address: str):
    async with aiohttp.ClientSession() as session:
        async with session.get(address, params={"output": "json", "not-ready": "true"}) as response:
            page = await response.json()
        async with session.get(address, headers={"Accept": "application/json"}) as response:
            assert (await response.json())["services"]["matching"] == 5
    assert [(one["name"], one["state"]) for one in page["services"]["shown"]] == [
        ("checkout", "not ready"),
        ("reviews", "pending"),
    ]
    assert page["services"]["shown"][0]["pairs"]["shown"] == [
        {"provider": "eu-west", "consumer": "us-east", "wanted": 12, "ready": 12, "delivered": 0}
    ]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_nothing_can_be_done_but_to_read(address: str, method: str):
    async with aiohttp.ClientSession() as session, session.request(method, address) as response:
        assert response.status == 405


async def test_there_is_one_path(address: str):
    async with aiohttp.ClientSession() as session, session.get(f"{address}metrics") as response:
        assert response.status == 404


async def test_a_name_from_elsewhere_is_refused(address: str):
    elsewhere = {"Host": "attacker.example"}
    async with aiohttp.ClientSession() as session, session.get(address, headers=elsewhere) as response:
        assert response.status == 421
        assert "payments" not in await response.text()
