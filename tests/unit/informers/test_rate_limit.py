"""What a client makes of the wait for its own limit of requests."""

import asyncio

import pytest

from informers.client.client import ApiClient
from informers.client.config import ClientConfig
from informers.errors import RateLimited
from tests.support.clock import FakeClock
from workqueue import TokenBucket


async def test_wait_for_a_turn_ends_with_the_limit_of_a_request_and_gives_the_place_back():
    clock = FakeClock()
    bucket = TokenBucket(1, 1, clock=clock)
    assert bucket.try_take()
    config = ClientConfig(server="http://server.invalid", timeout_seconds=0.01)
    async with ApiClient(config, clock=clock, user_agent="test", limiter=bucket) as client:
        text = r"too many requests to server\.invalid wait: no turn within 0\.01 s"
        with pytest.raises(RateLimited, match=text):
            await asyncio.wait_for(client.raw("GET", "/readyz", timeout=600), 10)
    assert len(bucket._order) == 0
    await clock.advance(1)
    assert bucket.try_take()
