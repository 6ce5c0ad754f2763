"""Kinds by discovery: what is asked, and how long the answer is believed."""

import asyncio
from typing import Any

import pytest

from informers.client.transport import RawResponse
from informers.discovery import APIResource
from informers.errors import DecodeError, Forbidden
from informers.resource import GroupVersionKind
from informers.rest_mapper import FRESH_SECONDS, RESTMapper
from tests.support.clock import FakeClock
from tests.support.discovery import VERBS, DiscoveryClient

DEPLOYMENT = GroupVersionKind("apps/v1", "Deployment")


@pytest.fixture
def client() -> DiscoveryClient:
    return DiscoveryClient(
        {
            "/apis/apps/v1": [
                {"name": "deployments", "kind": "Deployment", "namespaced": True, "verbs": VERBS},
                {"name": "deployments/scale", "kind": "Scale", "namespaced": True, "verbs": VERBS},
            ],
            "/api/v1": [
                {"name": "namespaces", "kind": "Namespace", "namespaced": False, "verbs": VERBS},
                {"name": "bindings", "kind": "Binding", "namespaced": True, "verbs": ["create"]},
            ],
        }
    )


async def test_a_kind_is_asked_for_once(client: DiscoveryClient) -> None:
    kinds = RESTMapper(client, clock=FakeClock())
    found = await asyncio.gather(*(kinds.find(DEPLOYMENT) for _ in range(3)))
    assert found == [APIResource("deployments", namespaced=True)] * 3
    assert client.asked == ["/apis/apps/v1"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (GroupVersionKind("v1", "Namespace"), APIResource("namespaces", namespaced=False)),
        (GroupVersionKind("v1", "Binding"), None),
        (GroupVersionKind("apps/v1", "Scale"), None),
        (GroupVersionKind("apps/v2", "Deployment"), None),
    ],
    ids=["cluster-scoped", "cannot-be-listed", "subresource", "unknown-version"],
)
async def test_what_can_be_followed_is_found(
    client: DiscoveryClient, kind: GroupVersionKind, expected: APIResource | None
) -> None:
    assert await RESTMapper(client, clock=FakeClock()).find(kind) == expected


async def test_that_there_is_no_such_kind_is_not_believed_for_long(client: DiscoveryClient) -> None:
    clock = FakeClock()
    kinds = RESTMapper(client, clock=clock)
    thing = GroupVersionKind("example.org/v1", "Thing")
    assert await kinds.find(thing) is None
    client.documents["/apis/example.org/v1"] = [{"name": "things", "kind": "Thing", "namespaced": True, "verbs": VERBS}]
    await clock.advance(FRESH_SECONDS - 0.001)
    assert await kinds.find(thing) is None
    await clock.advance(0.001)
    assert await kinds.find(thing) == APIResource("things", namespaced=True)
    assert client.asked == ["/apis/example.org/v1"] * 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (RawResponse(403, b'{"reason": "Forbidden", "message": "no"}', {}), Forbidden),
        (RawResponse(200, b'{"resources": 1}', {}), DecodeError),
    ],
    ids=["forbidden", "malformed"],
)
async def test_a_server_that_does_not_tell_is_asked_again(
    client: DiscoveryClient, answer: RawResponse, error: Any
) -> None:
    kinds = RESTMapper(client, clock=FakeClock())
    client.answers["/apis/apps/v1"] = answer
    with pytest.raises(error):
        await kinds.find(DEPLOYMENT)
    client.answers.clear()
    assert await kinds.find(DEPLOYMENT) is not None
    assert client.asked == ["/apis/apps/v1"] * 2
