"""Clients and informers against a real API server."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from informers.cache.cached_client import CachedClient
from informers.client.client import APPLY_PATCH, JSON_PATCH
from informers.client.config import StaticToken, load_kubeconfig
from informers.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NamespaceTerminating,
    NotFound,
    TransportError,
    Unauthorized,
)
from informers.resource import PartialObject, Resource, struct_decoder
from testbed.certificates import Authority
from tests.support.informing import InterceptedListWatch, client_for, config_for, informing
from tests.support.objects import CONFIG_MAPS, ConfigMap, key
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from informers.client.client import ApiClient
    from testbed import Bed
    from tests.integration.informers.conftest import ServerKind

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAMESPACES = Resource(
    group="",
    version="v1",
    plural="namespaces",
    kind="Namespace",
    decode=struct_decoder(PartialObject),
    namespaced=False,
)


def body(name: str, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name} | fields, "data": {"n": "0"}}


@pytest_asyncio.fixture(loop_scope="session")
async def client(bed: Bed) -> AsyncIterator[ApiClient]:
    async with client_for(config_for(bed.host.access)) as client:
        yield client


async def create(client: ApiClient, namespace: str, *names: str, **fields: Any) -> list[ConfigMap]:
    """At most 20 at a time: the machine may be small."""
    gate = asyncio.Semaphore(20)

    async def one(name: str) -> ConfigMap:
        async with gate:
            return await client.create(CONFIG_MAPS, body(name, **fields), namespace)

    return list(await asyncio.gather(*(one(name) for name in names)))


class TestClient:
    async def test_objects_are_created_read_changed_and_deleted(self, client: ApiClient, namespace: str) -> None:
        created = await client.create(CONFIG_MAPS, body("a"), namespace)
        assert await client.get(CONFIG_MAPS, "a", namespace) == created
        merged = await client.patch(CONFIG_MAPS, "a", {"data": {"n": "1"}}, namespace)
        assert merged.data == {"n": "1"}
        operations = [{"op": "replace", "path": "/data/n", "value": "2"}]
        patched = await client.patch(CONFIG_MAPS, "a", operations, namespace, content_type=JSON_PATCH)
        assert patched.data == {"n": "2"}
        applied = await client.patch(
            CONFIG_MAPS,
            "a",
            {"apiVersion": "v1", "kind": "ConfigMap", "data": {"n": "3"}},
            namespace,
            content_type=APPLY_PATCH,
            field_manager="tests",
            force=True,
        )
        assert applied.data == {"n": "3"}
        version = applied.metadata.resource_version
        replaced = await client.update(CONFIG_MAPS, "a", body("a", resourceVersion=version), namespace)
        assert replaced.data == {"n": "0"}
        assert await client.delete(CONFIG_MAPS, "a", namespace, uid=created.metadata.uid) is None

    async def test_refusals_have_their_own_exceptions(self, client: ApiClient, namespace: str) -> None:
        created = await client.create(CONFIG_MAPS, body("a"), namespace)
        with pytest.raises(AlreadyExists):
            await client.create(CONFIG_MAPS, body("a"), namespace)
        with pytest.raises(NotFound):
            await client.get(CONFIG_MAPS, "b", namespace)
        with pytest.raises(Conflict):
            await client.patch(CONFIG_MAPS, "a", {"metadata": {"resourceVersion": "1"}}, namespace)
        with pytest.raises(Conflict):
            await client.delete(CONFIG_MAPS, "a", namespace, uid="00000000-0000-0000-0000-000000000000")
        with pytest.raises(Invalid):
            await client.create(CONFIG_MAPS, body("Not A Name"), namespace)
        with pytest.raises(BadRequest):
            await client.create(CONFIG_MAPS, b"{not json", namespace)
        assert await client.get(CONFIG_MAPS, "a", namespace) == created

    async def test_object_held_by_a_finalizer_comes_back_from_delete(self, client: ApiClient, namespace: str) -> None:
        await client.create(CONFIG_MAPS, body("a", finalizers=["tests.example/hold"]), namespace)
        left = await client.delete(CONFIG_MAPS, "a", namespace)
        assert left is not None
        assert left.metadata.deletion_timestamp is not None
        gone = await client.patch(CONFIG_MAPS, "a", {"metadata": {"finalizers": None}}, namespace)
        assert gone.metadata.finalizers == ()
        with pytest.raises(NotFound):
            await client.get(CONFIG_MAPS, "a", namespace)

    async def test_a_namespace_that_goes_refuses_by_an_exception_of_its_own(self, client: ApiClient) -> None:
        name = f"test-{uuid.uuid4().hex[:8]}"
        await client.create(NAMESPACES, {"metadata": {"name": name, "finalizers": ["tests.example/hold"]}})
        await client.delete(NAMESPACES, name)
        with pytest.raises(NamespaceTerminating):
            await client.create(CONFIG_MAPS, body("a"), name)
        await client.patch(NAMESPACES, name, {"metadata": {"finalizers": None}})

    async def test_strangers_are_refused(self, bed: Bed, namespace: str) -> None:
        nobody = config_for(bed.host.make_client("nobody"))
        async with client_for(nobody) as client:
            with pytest.raises(Forbidden, match="nobody"):
                await client.list(CONFIG_MAPS, namespace)
        token = StaticToken("not-a-token")
        stranger = config_for(bed.host.access, client_cert_pem=None, client_key_pem=None, token_source=token)
        async with client_for(stranger) as client:
            with pytest.raises(Unauthorized) as caught:
                await client.list(CONFIG_MAPS, namespace)
        assert "not-a-token" not in f"{caught.value!r} {stranger!r} {client!r}"

    async def test_server_with_another_authority_is_not_trusted(self, bed: Bed) -> None:
        (member, *_) = bed.members.values()
        async with client_for(config_for(bed.host.access, ca_pem=member.access.ca_pem)) as client:
            with pytest.raises(TransportError, match=r"(?i)certificate"):
                await client.get(NAMESPACES, "default")
        async with client_for(config_for(bed.host.access, ca_pem=None, insecure_skip_tls_verify=True)) as client:
            assert (await client.get(NAMESPACES, "default")).metadata.name == "default"

    async def test_kubeconfig_of_the_bed_works(self, bed: Bed) -> None:
        config = await load_kubeconfig(str(bed.host.access.kubeconfig))
        async with client_for(config) as client:
            assert (await client.raw("GET", "/readyz?verbose")).status == 200
            assert (await client.raw("GET", "/nowhere")).status == 404

    async def test_watch_ends_in_good_order_after_the_time_asked_for(self, client: ApiClient, namespace: str) -> None:
        page = await client.list(CONFIG_MAPS, namespace)
        async with client.watch(
            CONFIG_MAPS, namespace, resource_version=page.resource_version, timeout_seconds=1
        ) as lines:
            received = [line async for batch in lines for line in batch]
        assert all(b'"BOOKMARK"' in line for line in received)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def many(bed: Bed) -> AsyncIterator[str]:
    """A namespace with 1,200 ConfigMaps."""
    namespace = "many-config-maps"
    async with client_for(config_for(bed.host.access)) as client:
        await client.create(NAMESPACES, {"metadata": {"name": namespace}})
        await create(client, namespace, *(f"cm-{number:04}" for number in range(1200)))
        yield namespace
        await client.delete(NAMESPACES, namespace)


class TestLists:
    async def test_by_streaming_where_the_server_can(
        self, client: ApiClient, many: str, server_kind: ServerKind
    ) -> None:
        server = InterceptedListWatch(client)
        async with informing(server, namespace=many) as observed:
            assert self._contents(observed.held) == 1200
            assert server.requests[:1] == ["stream"]
            assert ("list" in server.requests) == (not server_kind.streams_lists)

    async def test_by_pages(self, client: ApiClient, many: str) -> None:
        server = InterceptedListWatch(client)
        server.without_streaming_lists = True
        async with informing(server, namespace=many, page_size=100) as observed:
            assert self._contents(observed.held) == 1200
            assert server.requests[:2] == ["stream", "list"]
            assert server.requests.count("list") in (12, 13)  # one more, once there is a kube-root-ca.crt
            await client.patch(CONFIG_MAPS, "cm-0000", {"data": {"n": "1"}}, many)
            await observed.until(lambda: "updated cm-0000" in observed.told)

    def _contents(self, held: dict[str, str]) -> int:
        return len([name for name in held if name.startswith("cm-")])


class TestInformer:
    async def test_live_changes_arrive_in_order(self, client: ApiClient, namespace: str) -> None:
        async with informing(client, namespace=namespace, field_selector="metadata.name=a") as observed:
            await client.create(CONFIG_MAPS, body("a"), namespace)
            for number in range(1, 20):
                await client.patch(CONFIG_MAPS, "a", {"data": {"n": str(number)}}, namespace)
            await client.delete(CONFIG_MAPS, "a", namespace)
            await observed.until(lambda: "deleted a" in observed.told)
            assert observed.told == ["added a", *["updated a"] * 19, "deleted a"]
            assert [event.object.data["n"] for event in observed.events] == [str(n) for n in range(20)] + ["19"]
            deleted = observed.events[-1].object.metadata.resource_version
            assert int(deleted) > int(observed.events[-2].object.metadata.resource_version)

    async def test_label_selection_is_entered_and_left(self, client: ApiClient, namespace: str) -> None:
        async with informing(client, namespace=namespace, label_selector="app in (x),!hidden") as observed:
            await client.create(CONFIG_MAPS, body("a", labels={"app": "x"}), namespace)
            await client.create(CONFIG_MAPS, body("b", labels={"app": "y"}), namespace)
            await observed.until(lambda: observed.told == ["added a"])
            left = await client.patch(CONFIG_MAPS, "a", {"metadata": {"labels": {"hidden": "1"}}}, namespace)
            observed.informer.observe(left)
            assert observed.told == ["added a", "deleted a"]
            back = await client.patch(CONFIG_MAPS, "a", {"metadata": {"labels": {"hidden": None}}}, namespace)
            await observed.until(lambda: back.metadata.resource_version in observed.held.values())
            assert observed.told == ["added a", "deleted a", "added a"]

    async def test_changes_made_while_disconnected_are_not_lost(
        self, bed: Bed, client: ApiClient, namespace: str
    ) -> None:
        await create(client, namespace, "a", "b")
        async with (
            TcpProxy(bed.host.access.server) as proxy,
            client_for(config_for(bed.host.access, server=proxy.url)) as away,
        ):
            server = InterceptedListWatch(away)
            async with informing(server, namespace=namespace) as observed:
                proxy.cut()
                await client.delete(CONFIG_MAPS, "a", namespace)
                await client.create(CONFIG_MAPS, body("c"), namespace)
                await observed.until(lambda: observed.informer.last_error is not None)
                proxy.restore()
                await observed.until(lambda: observed.told[-2:] == ["deleted a", "added c"])
                assert server.requests.count("stream") == 1  # resumed where it was, not listed again

    async def test_own_writes_are_visible_before_the_watch_tells(self, client: ApiClient, namespace: str) -> None:
        async with informing(client, namespace=namespace, field_selector="") as observed:
            observed.events.clear()
            cached = CachedClient(client, observed.informer)
            await cached.create(body("a"), namespace)
            for number in range(1, 50):
                before = cached.get(namespace, "a")
                assert before is not None
                assert before.data == {"n": str(number - 1)}
                version = before.metadata.resource_version  # a stale one would be a conflict
                patch = {"metadata": {"resourceVersion": version}, "data": {"n": str(number)}}
                await cached.patch(namespace, "a", patch)
            last = cached.get(namespace, "a")
            assert last is not None
            await cached.delete(namespace, "a", uid=last.metadata.uid)
            assert cached.get(namespace, "a") is None
            marker = await client.create(CONFIG_MAPS, body("marker"), namespace)
            await observed.until(lambda: marker.metadata.resource_version in observed.held.values())
            told = [event for event in observed.events if event.key == key("a", namespace)]
            assert [event.kind for event in told] == ["added", *["updated"] * 49, "deleted"]

    async def test_what_was_applied_is_seen_by_the_next_reconcile(self, client: ApiClient, namespace: str) -> None:
        def fields(number: int, **metadata: Any) -> dict[str, Any]:
            return {"metadata": metadata, "data": {"n": str(number)}}

        async with informing(client, namespace=namespace) as observed:
            observed.events.clear()
            cached = CachedClient(client, observed.informer)
            await cached.apply(namespace, "a", fields(0), field_manager="mine")
            for number in range(1, 20):
                before = cached.get(namespace, "a")
                assert before is not None
                assert before.data == {"n": str(number - 1)}
                version = before.metadata.resource_version  # a stale one would be a conflict
                await cached.apply(namespace, "a", fields(number, resourceVersion=version), field_manager="mine")
            last = await cached.apply(namespace, "a", fields(19), field_manager="mine")
            assert cached.get(namespace, "a") == last  # no news, so no new version either
            marker = await client.create(CONFIG_MAPS, body("marker"), namespace)
            await observed.until(lambda: marker.metadata.resource_version in observed.held.values())
            told = [event for event in observed.events if event.key == key("a", namespace)]
            assert [event.kind for event in told] == ["added", *["updated"] * 19]

    async def test_fields_of_another_manager_are_taken_over_only_by_force(
        self, client: ApiClient, namespace: str
    ) -> None:
        await client.apply(CONFIG_MAPS, "a", {"data": {"n": "0", "theirs": "1"}}, namespace, field_manager="theirs")
        async with informing(client, namespace=namespace) as observed:
            cached = CachedClient(client, observed.informer)
            with pytest.raises(Conflict, match='conflict with "theirs"'):
                await cached.apply(namespace, "a", {"data": {"n": "1"}}, field_manager="mine")
            applied = await cached.apply(namespace, "a", {"data": {"n": "1"}}, field_manager="mine", force=True)
            assert applied.data == {"n": "1", "theirs": "1"}
            assert cached.get(namespace, "a") == applied
            # Whoever names a field no longer gives it up; theirs stay.
            assert (await cached.apply(namespace, "a", {}, field_manager="mine")).data == {"theirs": "1"}

    async def test_object_that_is_being_deleted_goes_with_the_last_finalizer_that_was_applied(
        self, client: ApiClient, namespace: str
    ) -> None:
        async with informing(client, namespace=namespace) as observed:
            cached = CachedClient(client, observed.informer)
            held = {"metadata": {"finalizers": ["tests.example/hold"]}}
            await cached.apply(namespace, "a", held, field_manager="mine")
            await cached.delete(namespace, "a")
            kept = cached.get(namespace, "a")
            assert kept is not None
            assert kept.metadata.deletion_timestamp is not None
            await cached.apply(namespace, "a", {"metadata": {"uid": kept.metadata.uid}}, field_manager="mine")
            assert cached.get(namespace, "a") is None
            with pytest.raises(Conflict):  # another object of that name is not made by mistake
                await cached.apply(namespace, "a", {"metadata": {"uid": kept.metadata.uid}}, field_manager="mine")

    async def test_delete_and_recreate_under_one_name(self, client: ApiClient, namespace: str) -> None:
        async with informing(client, namespace=namespace) as observed:
            cached = CachedClient(client, observed.informer)
            uids = set()
            for _ in range(10):
                made = await cached.create(body("a"), namespace)
                uids.add(made.metadata.uid)
                await cached.delete(namespace, "a", uid=made.metadata.uid)
            last = await cached.create(body("a"), namespace)
            marker = await client.create(CONFIG_MAPS, body("marker"), namespace)
            await observed.until(lambda: marker.metadata.resource_version in observed.held.values())
            assert cached.get(namespace, "a") == last
            assert len(uids) == 10


class TestRestarts:
    async def test_version_from_before_a_restart_is_gone_and_lost_deletions_come_as_tombstones(
        self, new_bed: Any, server_kind: ServerKind
    ) -> None:
        bed = await new_bed(members=(), controller_manager=False)
        plane = bed.host
        async with (
            TcpProxy(plane.access.server) as proxy,
            client_for(config_for(plane.access, server=proxy.url)) as away,
            client_for(config_for(plane.access)) as client,
        ):
            await create(client, "default", "a", "b")
            server = InterceptedListWatch(away)
            async with informing(server, namespace="default") as observed:
                proxy.cut()
                await client.delete(CONFIG_MAPS, "a", "default")
                await client.create(CONFIG_MAPS, body("c"), "default")
                await plane.stop_apiserver()
                await plane.start_apiserver()
                proxy.restore()
                observed.informer.retry_now()
                await observed.until(lambda: observed.told[-2:] == ["deleted a tombstone", "added c"])
                assert server.requests[0] == "stream"
                if server_kind.streams_lists:
                    assert server.requests[-1] == "stream"
                    assert "watch" in server.requests
                else:
                    assert server.requests.count("list") == 2

    async def test_informer_survives_a_killed_api_server(self, new_bed: Any) -> None:
        bed = await new_bed(members=(), controller_manager=False)
        plane = bed.host
        async with client_for(config_for(plane.access)) as client, informing(client, namespace="default") as observed:
            await create(client, "default", "a", "b")
            await observed.until(lambda: {"added a", "added b"} <= set(observed.told))
            await plane.kill_apiserver()
            await observed.until(lambda: observed.informer.last_error is not None)
            assert {"a", "b"} <= set(observed.held)  # what is known stays
            await plane.start_apiserver()
            await client.delete(CONFIG_MAPS, "a", "default")
            changed = await client.patch(CONFIG_MAPS, "b", {"data": {"n": "1"}}, "default")
            seconds = await observed.until(lambda: observed.held.get("b") == changed.metadata.resource_version)
            assert "a" not in observed.held
            assert any(told.startswith("deleted a") for told in observed.told)
            await observed.until(lambda: observed.informer.last_error is None)
            print(f"in step again {seconds:.1f} s after the API server")


async def test_a_client_certificate_that_changed_on_disk_is_used_after_a_401(bed: Bed, tmp_path: Path):
    mine = bed.host.make_client("rotated", ["system:masters"])
    stranger = Authority("stranger").client("rotated", ["system:masters"])
    cert, key_file, kubeconfig = (tmp_path / name for name in ("tls.crt", "tls.key", "kubeconfig"))
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": mine.server,
                    "certificate-authority-data": base64.b64encode(mine.ca_pem).decode(),
                },
            }
        ],
        "users": [{"name": "u", "user": {"client-certificate": "tls.crt", "client-key": "tls.key"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    kubeconfig.write_text(json.dumps(content))
    cert.write_bytes(stranger.certificate_pem)
    key_file.write_bytes(stranger.key_pem)
    async with client_for(await load_kubeconfig(str(kubeconfig))) as client:
        for written in (None, mine.client_cert_pem):  # the second time it does not go with the key
            if written is not None:
                cert.write_bytes(written)
            with pytest.raises(Unauthorized):
                await client.get(NAMESPACES, "default")
        key_file.write_bytes(mine.client_key_pem)
        with pytest.raises(Unauthorized):
            await client.get(NAMESPACES, "default")
        assert (await client.get(NAMESPACES, "default")).metadata.name == "default"
