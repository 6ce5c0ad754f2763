"""Members come, change, break, heal and go. Nothing is connected: clients open no socket before a request."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from informers.cache.informer import SharedInformer
from informers.client.client import ApiClient
from informers.client.config import ClientConfig
from informers.errors import CacheFull, Forbidden, MayNotWrite, TransportError
from mcs_controller.api.cluster import Cluster
from mcs_controller.api.resources import CLUSTERS, SERVICES
from mcs_controller.members import registry
from mcs_controller.members.registry import MemberCluster, MemberClusters, _MemberInformerMetrics
from mcs_controller.runtime.metrics import InformerFamilies, render_metrics
from tests.support.clock import FakeClock, settle
from tests.support.clusters import OTHER_CA, cluster_json, condition, encoded, secret_json
from tests.support.memory import MemoryApi, MemoryRecorder


class World:
    def __init__(self) -> None:
        self.host = MemoryApi()
        self.clock = FakeClock()
        self.may_write = True
        self.registry = CollectorRegistry()
        self.recorder = MemoryRecorder()
        self.clusters = self.host.informer(CLUSTERS)
        self.told: list[str] = []
        self.counted: list[tuple[str, str, str]] = []
        self.members = MemberClusters(
            cast("SharedInformer[Cluster]", self.clusters),
            cast("ApiClient", self.host),
            clock=self.clock,
            rng=random.Random(1),
            recorder=self.recorder,
            user_agent="test",
            client_metrics=self,
            informer_metrics=InformerFamilies(self.registry),
            may_write=lambda: self.may_write,
        )
        self.members.add_listener(
            joined=lambda member: self.told.append(f"+{member.name}"), left=lambda name: self.told.append(f"-{name}")
        )

    def request(self, method: str, host: str, code: str, seconds: float) -> None:
        """See `ClientMetrics.request`."""
        self.counted.append((method, host, code))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.members.run())
        try:
            await settle()
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def add(self, name: str, **fields: Any) -> None:
        self.host.seed(cluster_json(name, **fields), secret_json(name))

    async def edit(self, name: str, **patch: Any) -> None:
        self.host.edit("Cluster", "", name, patch)
        await settle()

    def take(self) -> list[str]:
        told = list(self.told)
        self.told.clear()
        return told


@pytest.fixture
def world() -> World:
    return World()


def member_of(world: World, name: str = "m1") -> MemberCluster:
    member = world.members.get(name)
    assert member is not None
    return member


async def test_case_58_push_clusters_join_ready_or_not_and_pull_clusters_do_not(world: World) -> None:
    world.add("m1")
    world.add("m2", ready="False")
    world.add("pull", syncMode="Pull")
    async with world.running():
        assert sorted(world.take()) == ["+m1", "+m2"]
        assert member_of(world).client.host == "m1.example:6443"
        assert world.members.get("pull") is None
        assert world.members.problem("pull") is None
        world.add("m3")
        await settle()
        assert world.take() == ["+m3"]


async def test_members_are_asked_for_nothing_new_once_another_process_may_write(world: World) -> None:
    world.add("m1")
    async with world.running():
        world.may_write = False
        with pytest.raises(MayNotWrite):
            await member_of(world).client.delete(SERVICES, "a", "ns")


async def test_listener_that_comes_late_hears_of_the_members_that_are_there(world: World) -> None:
    world.add("m1")
    async with world.running():
        heard: list[MemberCluster] = []
        world.members.add_listener(joined=heard.append, left=lambda name: None)
        assert heard == [member_of(world)]


async def test_cluster_that_is_being_deleted_stays_until_it_is_gone(world: World) -> None:
    world.add("m1")
    async with world.running():
        client = member_of(world).client
        member_of(world).informers.informer(SERVICES)
        assert b'informer_objects{cluster="m1"' in render_metrics(world.registry)
        world.host.remove("Cluster", "", "m1")
        await settle()
        assert world.take() == ["+m1"]
        await world.edit("m1", metadata={"finalizers": []})
        assert world.take() == ["-m1"]
        assert world.members.get("m1") is None
        assert client._transport._closed
        assert b'cluster="m1"' not in render_metrics(world.registry)


async def test_cluster_that_comes_back_under_its_name_is_connected_anew(world: World) -> None:
    world.add("m1", finalizers=())
    async with world.running():
        before = member_of(world)
        world.host.remove("Cluster", "", "m1")
        world.host.seed(cluster_json("m1", uid="another"))
        await settle()
        assert world.take() == ["+m1", "-m1", "+m1"]
        assert member_of(world) is not before


@pytest.mark.parametrize(
    "spec",
    [
        {"apiEndpoint": "https://elsewhere:6443"},
        {"proxyURL": "http://proxy:3128"},
        {"proxyHeader": {"A": "b"}},
        {"insecureSkipTLSVerification": True},
        {"secretRef": {"name": "m2"}},
    ],
    ids=lambda spec: next(iter(spec)),
)
async def test_opening_14_changed_connection_is_left_and_joined(world: World, spec: dict[str, Any]) -> None:
    world.add("m1")
    world.host.seed(secret_json("m2"))
    async with world.running():
        before = member_of(world)
        await world.edit("m1", spec=spec)
        assert world.take() == ["+m1", "-m1", "+m1"]
        assert member_of(world) is not before
        assert before.client._transport._closed


async def test_heartbeat_changes_nothing(world: World) -> None:
    world.add("m1")
    async with world.running():
        before, reads = member_of(world), len(world.host.calls)
        await world.edit(
            "m1", status={"resourceSummary": {"allocated": {"pods": "5"}}}, metadata={"labels": {"a": "b"}}
        )
        await world.clock.advance(600)
        assert member_of(world) is before
        assert len(world.host.calls) == reads


async def test_pull_mode_ends_the_connection(world: World) -> None:
    world.add("m1")
    async with world.running():
        await world.edit("m1", spec={"syncMode": "Pull"})
        assert world.take() == ["+m1", "-m1"]
        await world.edit("m1", spec={"syncMode": "Push"})
        assert world.take() == ["+m1"]


# --- problems ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"apiEndpoint": ""}, "spec.apiEndpoint is empty"),
        (
            {"apiEndpoint": "m1.example:6443"},
            "spec.apiEndpoint is not a URL with a host and one of the schemes https, http",
        ),
        (
            {"apiEndpoint": "https://[::1"},
            "spec.apiEndpoint is not a URL with a host and one of the schemes https, http",
        ),
        (
            {"proxyURL": "gopher://user:password@proxy"},
            "spec.proxyURL is not a URL with a host and one of the schemes http, https, socks4, socks5, socks5h",
        ),
        ({"apiEndpoint": "https://m1:6443?a=b"}, "server 'https://m1:6443' must not have a query or fragment"),
        ({"apiEndpoint": "https://a:b@m1:6443"}, "server 'https://m1:6443' must not have a user"),
        ({"secretRef": None}, "spec.secretRef is not set"),
        ({"secretRef": {"namespace": "x", "name": "y"}}, "Secret x/y not found"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
async def test_problem_is_told_once_and_ends_with_the_change_that_mends_it(
    world: World, spec: dict[str, Any], problem: str
) -> None:
    world.add("m1", **spec)
    async with world.running():
        assert world.members.problem("m1") == problem
        assert world.members.get("m1") is None
        await world.clock.advance(120)
        assert [event[3:] for event in world.recorder.events] == [("Warning", "ClusterConnectionFailed", problem)]
        await world.edit("m1", spec=cluster_json("m1")["spec"] | {"proxyURL": None})
        assert world.take() == ["+m1"]
        assert world.members.problem("m1") is None


async def test_endpoint_without_tls_is_connected_and_named_once(world: World) -> None:
    world.add("m1", apiEndpoint="http://m1.example:6443")
    async with world.running():
        assert world.take() == ["+m1"]
        await world.edit("m1", spec={"insecureSkipTLSVerification": True})
        problem = "the token is sent unencrypted: spec.apiEndpoint begins with http://"
        event = ("Warning", "ClusterConnectionNotEncrypted", problem)
        assert [told[3:] for told in world.recorder.events] == [event]
        await world.edit("m1", spec={"apiEndpoint": "https://m1.example:6443"})
        await world.edit("m1", spec={"apiEndpoint": "http://m1.example:6443"})
        assert [told[3:] for told in world.recorder.events] == [event] * 2


async def test_secret_that_appears_later_is_found_without_an_event_within_thirty_seconds(world: World) -> None:
    world.host.seed(cluster_json("m1"))
    async with world.running():
        await world.clock.advance(1000)
        tries = len(world.host.calls)
        assert 1000 / 30 < tries < 1000 / 30 + 8, "backs off to thirty seconds"
        world.host.seed(secret_json("m1"))
        await world.clock.advance(30)
        assert world.take() == ["+m1"]


async def test_second_problem_is_told_as_well(world: World) -> None:
    world.host.seed(cluster_json("m1"))
    async with world.running():
        world.host.seed(secret_json("m1") | {"data": {}})
        await world.clock.advance(30)
        assert world.members.problem("m1") == "Secret karmada-cluster/m1 has no token"
        assert len(world.recorder.events) == 2


async def test_control_plane_that_refuses_the_secret_is_quoted(world: World) -> None:
    world.add("m1")
    world.host.fail(Forbidden(403, "Forbidden", "not you"), "get")
    async with world.running():
        assert world.members.problem("m1") == "cannot read Secret karmada-cluster/m1: 403 Forbidden: not you"
        await world.clock.advance(0.5)
        assert world.take() == ["+m1"]


async def test_problem_of_a_cluster_that_went_is_forgotten(world: World) -> None:
    world.host.seed(cluster_json("m1", finalizers=()))
    async with world.running():
        world.host.remove("Cluster", "", "m1")
        await settle()
        assert world.members.problem("m1") is None


async def test_one_broken_cluster_does_not_keep_the_others_back(world: World) -> None:
    world.host.seed(cluster_json("broken"))
    world.add("m1")
    async with world.running():
        assert world.take() == ["+m1"]


# --- readiness, and Secrets that change ----------------------------------------------------------------------------


async def test_opening_14_new_ca_of_a_cluster_that_is_not_ready_is_noticed_within_thirty_seconds(world: World) -> None:
    world.add("m1", ready="False")
    async with world.running():
        before = member_of(world)
        world.host.edit("Secret", "karmada-cluster", "m1", {"data": {"caBundle": encoded(OTHER_CA)}})
        for _ in range(3):  # heartbeats must not put it off
            await world.clock.advance(10)
            await world.edit("m1", metadata={"annotations": {"beat": str(world.clock.monotonic())}})
        assert world.take() == ["+m1", "-m1", "+m1"]
        assert member_of(world) is not before


def tell(world: World, code: str) -> None:
    """A request to m1 came to this end."""
    member_of(world).client._transport._metrics.request("GET", "m1.example:6443", code, 0.1)


def new_ca(world: World) -> None:
    world.host.edit("Secret", "karmada-cluster", "m1", {"data": {"caBundle": encoded(OTHER_CA)}})


async def test_opening_14_new_ca_of_a_ready_cluster_is_noticed_with_the_first_request_without_an_answer(
    world: World,
) -> None:
    world.add("m1")
    async with world.running():
        before = member_of(world)
        await world.clock.advance(600)
        new_ca(world)
        tell(world, "503")
        await world.clock.advance(0)
        assert world.take() == ["+m1"], "who answers is who it was"
        tell(world, "<error>")
        await world.clock.advance(0)
        assert world.take() == ["-m1", "+m1"]
        assert member_of(world) is not before
        await world.clock.advance(600)
        assert world.take() == []


async def test_opening_14_new_ca_that_comes_after_the_new_certificate_is_noticed_too(world: World) -> None:
    world.add("m1")
    async with world.running():
        await world.clock.advance(600)
        tell(world, "<error>")
        await world.clock.advance(100)
        new_ca(world)
        await world.clock.advance(30)
        assert world.take() == ["+m1", "-m1", "+m1"]


async def test_secret_of_a_member_that_does_not_answer_is_read_less_and_less_often(world: World) -> None:
    world.add("m1")
    async with world.running():
        await world.clock.advance(600)
        read_at: list[float] = []
        began = world.clock.monotonic()
        for _ in range(1200):  # ten requests a second
            world.host.calls.clear()
            tell(world, "<error>")
            await world.clock.advance(0.1)
            read_at += [round(world.clock.monotonic() - began) for _ in world.host.calls]
        assert read_at == [0, 4, 12, 28, 58, 88, 118]
        tell(world, "200")
        world.host.calls.clear()
        await world.clock.advance(600)
        assert world.host.calls == []


async def test_secret_of_a_member_that_answers_now_and_then_is_not_read_with_every_failure(world: World) -> None:
    world.add("m1")
    async with world.running():
        world.host.calls.clear()
        for _ in range(100):
            tell(world, "<error>")
            await world.clock.advance(0.1)
            tell(world, "200")
            await world.clock.advance(0.1)
        assert 5 <= len(world.host.calls) <= 10
        assert world.take() == ["+m1"]


async def test_requests_to_members_are_counted_elsewhere_too(world: World) -> None:
    world.add("m1")
    async with world.running():
        tell(world, "<error>")
        tell(world, "200")
    assert world.counted == [("GET", "m1.example:6443", "<error>"), ("GET", "m1.example:6443", "200")]


async def test_opening_15_members_informers_are_woken_when_their_cluster_turns_ready(world: World) -> None:
    world.add("m1", ready="False")
    async with world.running():
        woken: list[bool] = []
        member_of(world).informers.retry_now = lambda: woken.append(True)  # type: ignore[method-assign]
        await world.edit("m1", status={"conditions": [condition("Ready", "True")]})
        assert woken == [True]
        await world.edit("m1", metadata={"labels": {"still": "ready"}})
        assert woken == [True]


# --- the end -------------------------------------------------------------------------------------------------------


async def test_end_closes_everything_and_announces_nothing(world: World) -> None:
    world.add("m1")
    async with world.running():
        client = member_of(world).client
    assert world.take() == ["+m1"], "the process ends: that is no reason to withdraw anything"
    assert client._transport._closed
    assert world.members.get("m1") is None
    assert world.clusters.handlers == []
    assert world.clock.sleepers == 0


async def test_a_member_is_reached_as_its_cluster_says(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[ClientConfig] = []

    def client(config: ClientConfig, **options: Any) -> ApiClient:
        configs.append(config)
        return ApiClient(config, **options)

    monkeypatch.setattr(registry, "ApiClient", client)
    proxy: dict[str, Any] = {"proxyURL": "http://proxy:3128", "proxyHeader": {"A": "b"}}
    world.add("m1", apiEndpoint="https://elsewhere:6443", **proxy)
    async with world.running():
        assert world.take() == ["+m1"]
    (config,) = configs
    assert (config.server, config.proxy_url) == ("https://elsewhere:6443", "http://proxy:3128")
    assert dict(config.proxy_headers) == {"A": ("b",)}


def test_a_cache_that_is_full_is_told_once_until_it_has_been_listed():
    told: list[str] = []
    failures = _MemberInformerMetrics(InformerFamilies(CollectorRegistry()), "m1", told.append)
    for _ in range(2):
        failures.failed("endpointslices.v1", CacheFull("there is no room", 60))
        failures.failed("endpointslices.v1", TransportError("refused"))
    assert told == ["endpointslices.v1 are not followed any more: there is no room"]
    failures.listed("endpointslices.v1", 1)
    failures.failed("endpointslices.v1", CacheFull("there is no room", 60))
    assert len(told) == 2
