"""Tokens and CAs from Secrets."""

from typing import Any, cast

import pytest

from informers.client.client import ApiClient
from informers.errors import Forbidden, NotFound, TransportError
from mcs_controller.members.credentials import InvalidCluster, SecretCredentials
from tests.support.clock import FakeClock
from tests.support.clusters import CA, OTHER_CA, cluster, encoded, secret_json
from tests.support.memory import MemoryApi


class World:
    def __init__(self, **spec: Any) -> None:
        self.host = MemoryApi()
        self.clock = FakeClock()
        self.rebuilds = 0
        self.credentials = SecretCredentials(
            cast("ApiClient", self.host), cluster(**spec), clock=self.clock, on_new_ca=self._on_new_ca
        )

    def _on_new_ca(self) -> None:
        self.rebuilds += 1

    def change(self, **data: str | None) -> None:
        patch = {key: None if value is None else encoded(value) for key, value in data.items()}
        self.host.edit("Secret", "karmada-cluster", "m1", {"data": patch})


@pytest.fixture
def world() -> World:
    world = World()
    world.host.seed(secret_json("m1"))
    return world


async def test_token_is_read_when_needed_and_kept_for_five_minutes(world: World) -> None:
    assert await world.credentials.open() == CA.encode()
    assert len(world.host.calls) == 1
    assert await world.credentials.token() == "token-of-m1"
    world.change(token="rotated")
    await world.clock.advance(299.9)
    assert await world.credentials.token() == "token-of-m1"
    assert len(world.host.calls) == 2
    await world.clock.advance(0.1)
    assert await world.credentials.token() == "rotated"


async def test_opening_14_token_is_read_again_after_a_401(world: World) -> None:
    await world.credentials.open()
    assert await world.credentials.token() == "token-of-m1"
    world.change(token="rotated\n")
    world.credentials.invalidate()
    assert await world.credentials.token() == "rotated"


async def test_wrong_token_is_not_read_again_with_each_401(world: World) -> None:
    await world.credentials.open()
    world.host.calls.clear()
    for _ in range(100):  # ten requests a second
        await world.credentials.token()
        world.credentials.invalidate()
        await world.clock.advance(0.1)
    assert len(world.host.calls) == 6
    world.change(token="right")
    await world.clock.advance(2)
    world.credentials.invalidate()
    assert await world.credentials.token() == "right"


async def test_opening_14_new_ca_is_noticed_once_with_the_next_token(world: World) -> None:
    await world.credentials.open()
    world.change(caBundle=OTHER_CA)
    assert await world.credentials.token() == "token-of-m1"
    assert (world.credentials.outdated, world.rebuilds) == (True, 1)
    await world.credentials.check()
    assert world.rebuilds == 1


async def test_check_notices_a_new_ca_though_the_token_is_fresh(world: World) -> None:
    await world.credentials.open()
    await world.credentials.token()
    await world.credentials.check()
    assert not world.credentials.outdated
    world.change(caBundle=OTHER_CA)
    await world.credentials.check()
    assert world.credentials.outdated


@pytest.mark.parametrize(
    "error", [NotFound(404, "NotFound", ""), Forbidden(403, "Forbidden", ""), TransportError("down")], ids=str
)
async def test_secret_that_cannot_be_read_later_is_no_answer_of_the_member(world: World, error: Exception) -> None:
    await world.credentials.open()
    world.host.fail(error, "get", times=2)
    with pytest.raises(TransportError, match=r"credentials of cluster m1"):
        await world.credentials.token()
    await world.credentials.check()
    assert await world.credentials.token() == "token-of-m1"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"token": None}, "Secret karmada-cluster/m1 has no token"),
        ({"token": " \n"}, "Secret karmada-cluster/m1 has no token"),
        ({"token": "tok\nen"}, "token of Secret karmada-cluster/m1 has characters that no HTTP header can carry"),
        ({"token": "tökén"}, "token of Secret karmada-cluster/m1 has characters that no HTTP header can carry"),
        ({"caBundle": None}, "Secret karmada-cluster/m1 has no caBundle, nor may TLS go unverified"),
        ({"caBundle": "garbage"}, "caBundle of Secret karmada-cluster/m1 is not a PEM certificate"),
        ({"caBundle": "gärbage"}, "caBundle of Secret karmada-cluster/m1 is not a PEM certificate"),
    ],
    ids=str,
)
async def test_secret_without_what_it_should_hold(world: World, data: dict[str, str | None], problem: str) -> None:
    world.change(**data)
    with pytest.raises(InvalidCluster) as caught:
        await world.credentials.open()
    assert str(caught.value) == problem


async def test_data_that_is_not_base64(world: World) -> None:
    world.host.edit("Secret", "karmada-cluster", "m1", {"data": {"token": "%"}})
    with pytest.raises(InvalidCluster, match=r"token of Secret karmada-cluster/m1 is not base64"):
        await world.credentials.open()


async def test_missing_secret_and_missing_reference_are_told_apart() -> None:
    with pytest.raises(InvalidCluster, match=r"^Secret karmada-cluster/m1 not found$"):
        await World().credentials.open()
    with pytest.raises(InvalidCluster, match=r"^spec.secretRef is not set$"):
        await World(secretRef=None).credentials.open()


async def test_ca_is_not_asked_for_where_nothing_is_verified() -> None:
    world = World(insecureSkipTLSVerification=True)
    world.host.seed(secret_json("m1"))
    world.change(caBundle=None)
    assert await world.credentials.open() is None
    world.change(caBundle=OTHER_CA)
    await world.credentials.check()
    assert not world.credentials.outdated


async def test_nothing_secret_shows_in_a_repr(world: World) -> None:
    await world.credentials.open()
    await world.credentials.token()
    assert "token-of-m1" not in repr(world.credentials) + repr(vars(world.credentials))
