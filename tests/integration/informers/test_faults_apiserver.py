"""Faults that a real API server can be made to show. The others are in test_faults.py, from a scripted one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pytest

from informers.client.config import CachedToken
from informers.client.wire import ListPage
from informers.errors import Conflict, Invalid, TransportError, WatchIdle
from informers.meta import KubeObject
from tests.support.informing import InterceptedListWatch, client_for, config_for, informing
from tests.support.objects import CONFIG_MAPS, manifest
from tests.support.soak import ImpatientListWatch
from tests.support.tcp_proxy import TcpProxy
from workqueue.clock import RealClock

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from informers.client.client import ApiClient
    from informers.client.transport import Lines
    from informers.resource import Resource
    from testbed import Bed

T = TypeVar("T", bound=KubeObject)

pytestmark = pytest.mark.asyncio(loop_scope="session")


def body(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name} | metadata}


async def test_watch_from_a_version_yet_to_come_opens_and_is_silent(bed: Bed, namespace: str) -> None:
    """What a restored server looks like to whoever was ahead of the backup."""
    async with client_for(config_for(bed.host.access)) as client:
        page = await client.list(CONFIG_MAPS, namespace)
        ahead = str(int(page.resource_version) + 1_000_000)
        async with client.watch(
            CONFIG_MAPS, namespace, resource_version=ahead, timeout_seconds=9, idle_seconds=2.0
        ) as lines:
            await client.create(CONFIG_MAPS, body("a"), namespace)
            with pytest.raises(WatchIdle):
                await anext(aiter(lines))


class FromTheFuture(ImpatientListWatch):
    """Says of the first list that it is of a version that is yet to come, and that there is an object which is not."""

    def __init__(self, client: ApiClient) -> None:
        super().__init__(client, 1.0)
        self.listed = 0

    async def list(self, resource: Resource[T], namespace: str = "", **options: Any) -> ListPage[T]:
        page = await super().list(resource, namespace, **options)
        self.listed += options["limit"] != 1
        if self.listed > 1 or options["limit"] == 1:
            return page
        ghost = resource.decode(msgspec.json.encode(manifest("ghost", 1, namespace=namespace)))
        ahead = str(int(page.resource_version) + 1_000_000)
        return ListPage(items=[*page.items, ghost], resource_version=ahead)

    def watch(self, resource: Resource[T], namespace: str = "", **options: Any) -> AbstractAsyncContextManager[Lines]:
        if options["send_initial_events"]:
            raise Invalid(422, "Invalid", "sendInitialEvents is forbidden")
        return super().watch(resource, namespace, **options)


async def test_server_that_went_back_is_found_out_and_listed(bed: Bed, namespace: str) -> None:
    async with (
        client_for(config_for(bed.host.access)) as client,
        informing(server := FromTheFuture(client), namespace=namespace) as observed,
    ):
        await client.create(CONFIG_MAPS, body("a"), namespace)
        await observed.until(lambda: "a" in observed.held and "ghost" not in observed.held)
        assert server.listed == 2


async def test_quiet_kind_is_not_listed_again(bed: Bed, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    async with (
        client_for(config_for(bed.host.access)) as client,
        informing(server := InterceptedListWatch(ImpatientListWatch(client, 1.0)), namespace=namespace) as observed,
    ):
        await client.create(CONFIG_MAPS, body("a"), namespace)
        await observed.until(lambda: server.requests.count("list of one") >= 3)
        await client.create(CONFIG_MAPS, body("b"), namespace)
        await observed.until(lambda: {"a", "b"} <= observed.held.keys())
        assert server.requests.count("stream") == 1
        assert server.requests.count("list") <= 1  # of a server without streaming lists
        assert observed.informer.last_error is None
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


async def test_frozen_network_is_noticed_and_nothing_is_lost(bed: Bed, namespace: str) -> None:
    async with (
        TcpProxy(bed.host.access.server) as proxy,
        client_for(config_for(bed.host.access)) as near,
        client_for(config_for(bed.host.access, server=proxy.url, timeout_seconds=1.0)) as far,
        informing(ImpatientListWatch(far, 1.0), namespace=namespace) as observed,
    ):
        await near.create(CONFIG_MAPS, body("a"), namespace)
        await observed.until(lambda: "a" in observed.held)
        proxy.freeze()
        await near.delete(CONFIG_MAPS, "a", namespace)
        await near.create(CONFIG_MAPS, body("b"), namespace)
        await observed.until(lambda: isinstance(observed.informer.last_error, TransportError))
        proxy.restore()
        await observed.until(lambda: "b" in observed.held and "a" not in observed.held)
        assert "deleted a" in observed.told


async def test_token_that_expired_is_fetched_again(bed: Bed, namespace: str) -> None:
    async with client_for(config_for(bed.host.access)) as admin:
        tokens = ["long.since.expired", await account(admin, namespace)]
        handed_out = iter(tokens)

        async def fetch() -> str:
            return next(handed_out)

        source = CachedToken(fetch, clock=RealClock())
        config = config_for(bed.host.access, client_cert_pem=None, client_key_pem=None, token_source=source)
        async with client_for(config) as client:
            server = InterceptedListWatch(client)
            async with informing(server, namespace=namespace) as observed:
                await admin.create(CONFIG_MAPS, body("a"), namespace)
                await observed.until(lambda: "a" in observed.held)
                assert server.requests[:2] == ["stream", "stream"]


async def account(admin: ApiClient, namespace: str) -> str:
    """A token of a new service account that may read ConfigMaps."""
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}]
    binding = body("reader") | {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace}],
    }
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    for path, content in (
        (accounts, body("reader")),
        (f"{rbac}/roles", body("reader") | {"rules": rules}),
        (f"{rbac}/rolebindings", binding),
        (f"{accounts}/reader/token", request),
    ):
        answer = await admin.raw("POST", path, body=msgspec.json.encode(content))
        assert answer.status == 201, answer
    token: str = msgspec.json.decode(answer.body)["status"]["token"]
    return token


async def test_conflict_on_a_write_changes_nothing(bed: Bed, namespace: str) -> None:
    async with client_for(config_for(bed.host.access)) as client:
        made = await client.create(CONFIG_MAPS, body("a"), namespace)
        with pytest.raises(Conflict):
            await client.delete(CONFIG_MAPS, "a", namespace, resource_version="1")
        assert await client.get(CONFIG_MAPS, "a", namespace) == made


async def test_answer_to_a_write_that_is_cut_leaves_the_truth_to_the_watch(bed: Bed, namespace: str) -> None:
    async with (
        TcpProxy(bed.host.access.server) as proxy,
        client_for(config_for(bed.host.access)) as near,
        client_for(config_for(bed.host.access, server=proxy.url)) as far,
        informing(near, namespace=namespace) as observed,
    ):
        await far.list(CONFIG_MAPS, namespace)  # the connection is there, and TLS has been agreed upon
        proxy.cut_after(100)
        writing = asyncio.ensure_future(far.create(CONFIG_MAPS, body("a"), namespace))
        with pytest.raises(TransportError):
            await writing
        await observed.until(lambda: "a" in observed.held)
