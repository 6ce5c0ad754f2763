"""Connections that are dead without a word: acknowledged by what is in between, and passed on by nobody."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from informers.cache.factory import InformerFactory
from informers.client.client import ApiClient
from informers.client.config import ClientConfig, StaticToken
from informers.client.wire import INITIAL_EVENTS_END
from informers.errors import Forbidden
from informers.meta import ObjectKey
from informers.watch import reflector
from testbed import karmada
from tests.support.informing import client_for, config_for
from tests.support.objects import CONFIG_MAPS, ConfigMap
from tests.support.tcp_proxy import TcpProxy
from workqueue.clock import RealClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from informers.cache.informer import SharedInformer
    from informers.client.transport import Lines
    from testbed import Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Questions:
    """Counts what a client asked: a `ClientMetrics`."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed = 0

    def request(self, method: str, host: str, code: str, seconds: float) -> None:
        self.failed += code == "<error>"
        self.answered += code == "200"


class Watchful(ApiClient):
    """Asks often, and expects quick answers, so that the test need not wait for long."""

    async def guard(self, *, every_seconds: float = 0.2, answer_seconds: float = 1.0) -> NoReturn:
        await super().guard(every_seconds=every_seconds, answer_seconds=answer_seconds)


class Patient(ApiClient):
    """Asks often, and has all the time for an answer: on a busy machine some are slow."""

    async def guard(self, *, every_seconds: float = 0.2, answer_seconds: float = 60.0) -> NoReturn:
        await super().guard(every_seconds=every_seconds, answer_seconds=answer_seconds)


class Deaf(ApiClient):
    """Drops what its watches tell while a test says so, as an API server does whose own cache is stuck."""

    deaf = False

    @asynccontextmanager
    async def watch(self, *args: Any, **options: Any) -> AsyncIterator[Lines]:
        async with super().watch(*args, **options) as lines:
            yield self._heard(lines, listing=options["send_initial_events"])

    async def _heard(self, lines: Lines, *, listing: bool) -> Lines:
        async for some in lines:
            if listing or not self.deaf:
                yield some
            listing = listing and not any(INITIAL_EVENTS_END.encode() in line for line in some)


async def until(condition: Callable[[], bool], what: str) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 60, f"not within a minute: {what}"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def following(
    bed: Bed, proxy: TcpProxy, namespace: str, kind: type[ApiClient] = Watchful
) -> AsyncIterator[tuple[SharedInformer[ConfigMap], Questions]]:
    """An informer by way of the proxy, and what its client asked."""
    asked = Questions()
    config = config_for(bed.host.access, server=proxy.url)
    async with (
        kind(config, clock=RealClock(), user_agent="tests", metrics=asked) as client,
        asyncio.TaskGroup() as group,
    ):
        factory = InformerFactory(client, clock=RealClock(), rng=random.Random(1))
        informer = factory.informer(CONFIG_MAPS, namespace=namespace)
        running = group.create_task(factory.run())
        await factory.wait_synced()
        yield informer, asked
        running.cancel()


def names(informer: SharedInformer[ConfigMap]) -> set[str]:
    return {one.metadata.name for one in informer.store.values()}


async def test_watch_on_a_connection_that_swallows_everything_is_resumed(bed: Bed, namespace: str) -> None:
    async with (
        TcpProxy(bed.host.access.server) as proxy,
        client_for(config_for(bed.host.access)) as near,
        following(bed, proxy, namespace) as (informer, asked),
    ):
        before = asked.answered
        await until(lambda: asked.answered >= before + 3, "it is asked whether it is there, and not for the first time")
        proxy.swallow()
        await near.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, namespace)
        await until(lambda: "a" in names(informer), "the watch goes on over a new connection")
        assert asked.failed > 0
        await until(lambda: informer.last_error is None, "the informer is well")


async def test_changes_that_no_watch_tells_of_are_found_by_a_list(
    bed: Bed, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(reflector, "IN_FLIGHT_SECONDS", 0.2)
    monkeypatch.setattr(Deaf, "deaf", False)
    async with (
        TcpProxy(bed.host.access.server) as proxy,
        client_for(config_for(bed.host.access)) as near,
        following(bed, proxy, namespace, Deaf) as (informer, _),
    ):
        for number in range(1100):  # more than a page
            await near.create(CONFIG_MAPS, {"metadata": {"name": f"a-{number}"}}, namespace)
        await until(lambda: len(informer.store) >= 1100, "all are there")
        Deaf.deaf = True
        await near.create(CONFIG_MAPS, {"metadata": {"name": "b"}}, namespace)
        await until(lambda: "b" in names(informer), "it is listed")
        await near.delete(CONFIG_MAPS, "b", namespace)
        await until(lambda: "b" not in names(informer), "its deletion is found as well")
        await near.patch(CONFIG_MAPS, "a-1099", {"data": {"x": "y"}}, namespace)
        await until(lambda: "y" in str(informer.store.get(ObjectKey(namespace, "a-1099"))), "and a change")


async def test_rights_that_are_taken_away_are_noticed_although_the_watch_goes_on(
    bed: Bed, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "SILENT_SECONDS", 0.5)
    api = bed.host.api
    binding = f"reads-{namespace}"
    await api.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": binding, "namespace": namespace},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}],
        }
    )
    await api.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": binding, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": binding},
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace}],
        }
    )
    await api.create(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader", "namespace": namespace}}
    )
    token = await karmada.request_token(bed.host, namespace, "reader")
    access = bed.host.access
    config = ClientConfig(server=access.server, ca_pem=access.ca_pem, token_source=StaticToken(token))
    async with client_for(config) as client, asyncio.TaskGroup() as group:
        factory = InformerFactory(client, clock=RealClock(), rng=random.Random(1))
        informer = factory.informer(CONFIG_MAPS, namespace=namespace)
        running = group.create_task(factory.run())
        await factory.wait_synced()
        await api.delete("rbac.authorization.k8s.io/v1/rolebindings", binding, namespace=namespace)
        await until(lambda: isinstance(informer.last_error, Forbidden), "it is refused")
        running.cancel()


async def test_connections_that_are_well_are_kept(bed: Bed, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    async with TcpProxy(bed.host.access.server) as proxy, following(bed, proxy, namespace, Patient) as (_, asked):
        before = asked.answered
        await until(lambda: asked.answered >= before + 2, "it is asked whether it is there")
        connections, since = proxy.connections, asked.answered
        await until(lambda: asked.answered >= since + 5, "it is asked again")
        assert proxy.connections == connections
        assert asked.failed == 0
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
