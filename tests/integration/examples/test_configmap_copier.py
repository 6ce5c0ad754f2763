"""The two ConfigMap copiers as a user runs them, on a real API server."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from testbed import AuditLog, NotYet, wait_for
from testbed.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed import Api, AuditEvent, AuditMark, Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLE = Path(__file__).parents[3] / "examples" / "02-configmap-copier"
PATIENCE_SECONDS = 45.0
CONFIG_MAPS = "v1/configmaps"
COPY_OF = "copier.example/copy-of"

Object = dict[str, Any]


class Copier:
    """The process, and what the API server saw of it."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, mark: AuditMark, log: Path) -> None:
        self.process, self.port, self.mark, self.log = process, port, mark, log

    def events(self) -> list[AuditEvent]:
        return [event for event in self.mark.events() if event.user_agent == "configmap-copier"]

    def writes(self) -> list[str]:
        """Leases aside."""
        return [
            f"{event.verb} {event.namespace}/{event.name}"
            for event in self.events()
            if event.is_write and event.resource != "leases"
        ]

    async def has_written(self, *expected: str) -> None:
        """Wait until these writes, in whatever order, are in the log: what a write does is seen before its answer."""

        async def probe() -> bool:
            if (writes := sorted(self.writes())) != sorted(expected):
                raise NotYet(f"{writes}")
            return True

        await wait_for("the writes", probe, PATIENCE_SECONDS)

    async def leads(self) -> bool:
        """It holds the lease, and has had the time to do what it finds at the start."""
        renewals = sum(event.resource == "leases" and event.verb == "update" for event in self.events())
        if renewals < 2:  # a renewal every two seconds: it has led for a while
            raise NotYet(f"{renewals} renewals; {self.log.read_text()[-1000:]}")
        return True

    async def lists_and_leads(self) -> bool:
        """It is ready as well."""
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{self.port}/readyz"
            try:
                async with session.get(url) as response:
                    ready = response.status, await response.text()
            except aiohttp.ClientError as error:
                raise NotYet(f"{error}; {self.log.read_text()[-1000:]}") from error
        if ready[0] != 200:
            raise NotYet(f"{ready}")
        return await self.leads()


@pytest_asyncio.fixture(loop_scope="session")
async def target(bed: Bed, namespace: str) -> AsyncIterator[str]:
    """A labelled namespace beside the one of the originals."""
    name = f"{namespace}-target"
    await bed.host.api.create(target_namespace(name))
    yield name
    await bed.host.api.delete("v1/namespaces", name, missing_ok=True)


def target_namespace(name: str) -> Object:
    metadata = {"name": name, "labels": {"copier.example/target": ""}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def config_map(name: str, **data: str) -> Object:
    metadata = {"name": name, "labels": {"copier.example/copy": ""}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@asynccontextmanager
async def copying(bed: Bed, namespace: str, directory: Path) -> AsyncIterator[Copier]:
    """Run the copier, and stop it by SIGTERM."""
    (port,) = free_ports(1)
    kubeconfig = str(bed.host.access.kubeconfig)
    arguments = ("--kubeconfig", kubeconfig, "--from", namespace, "--health-address", f"127.0.0.1:{port}")
    async with running(bed, "copier.py", arguments, directory / f"{port}.log", port) as copier:
        yield copier


@asynccontextmanager
async def running(
    bed: Bed, program: str, arguments: tuple[str, ...], log: Path, port: int = 0
) -> AsyncIterator[Copier]:
    mark = AuditLog(bed.host.audit_log).mark()
    environment = {**os.environ, "KUBECONFIG": str(bed.host.access.kubeconfig)}
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLE / program), *arguments, stderr=stderr, env=environment
        )
    copier = Copier(process, port, mark, log)
    try:
        yield copier
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await process.wait() == 0, copier.log.read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def data_is(api: Api, namespace: str, name: str, data: dict[str, str] | None) -> Object | None:
    """Wait until the ConfigMap has this data, or is gone."""

    async def probe() -> tuple[Object | None]:
        found = await api.find(CONFIG_MAPS, name, namespace=namespace)
        seen = None if found is None else found.get("data", {})
        if seen != data:
            raise NotYet(f"{seen}, not {data}")
        return (found,)

    return (await wait_for(f"{namespace}/{name}", probe, PATIENCE_SECONDS))[0]


async def test_copies_appear_follow_and_go(bed: Bed, namespace: str, target: str, tmp_path: Path):
    api = bed.host.api
    await api.create(config_map("greeting", text="hello"), namespace=namespace)
    async with copying(bed, namespace, tmp_path):
        copy = await data_is(api, target, "greeting", {"text": "hello"})
        assert copy is not None
        assert copy["metadata"]["labels"] == {COPY_OF: namespace}
        # The original changes, also by losing a key.
        await api.patch(CONFIG_MAPS, "greeting", {"data": {"text": None, "word": "bye"}}, namespace=namespace)
        await data_is(api, target, "greeting", {"word": "bye"})
        # Somebody changes the copy, and deletes it.
        await api.patch(CONFIG_MAPS, "greeting", {"data": {"word": "mine"}}, namespace=target)
        await data_is(api, target, "greeting", {"word": "bye"})
        await api.delete(CONFIG_MAPS, "greeting", namespace=target)
        await data_is(api, target, "greeting", {"word": "bye"})
        # The namespace is no target any more, and one again.
        await label_namespace(api, target, None)
        await data_is(api, target, "greeting", None)
        await label_namespace(api, target, "")
        await data_is(api, target, "greeting", {"word": "bye"})
        # The original is not to be copied any more.
        label = {"metadata": {"labels": {"copier.example/copy": None}}}
        await api.patch(CONFIG_MAPS, "greeting", label, namespace=namespace)
        await data_is(api, target, "greeting", None)
    assert await api.find(CONFIG_MAPS, "greeting", namespace=namespace) is not None


async def label_namespace(api: Api, name: str, value: str | None) -> None:
    await api.patch("v1/namespaces", name, {"metadata": {"labels": {"copier.example/target": value}}})


async def test_restart_in_a_world_that_is_as_it_should_be_writes_nothing(
    bed: Bed, namespace: str, target: str, tmp_path: Path
):
    api = bed.host.api
    for number in range(5):
        await api.create(config_map(f"cm-{number}", n=str(number)), namespace=namespace)
    async with copying(bed, namespace, tmp_path) as first:
        for number in range(5):
            await data_is(api, target, f"cm-{number}", {"n": str(number)})
        await first.has_written(*[f"create {target}/cm-{number}" for number in range(5)])
    async with copying(bed, namespace, tmp_path) as second:
        await wait_for("the copier to lead", second.lists_and_leads, PATIENCE_SECONDS)
        assert second.writes() == []


async def test_what_changed_while_it_was_down_is_made_up_for_and_nothing_else(
    bed: Bed, namespace: str, target: str, tmp_path: Path
):
    api = bed.host.api
    names = ("kept", "changed", "deleted")
    for name in names:
        await api.create(config_map(name, a="1"), namespace=namespace)
    async with copying(bed, namespace, tmp_path):
        for name in names:
            await data_is(api, target, name, {"a": "1"})
    await api.patch(CONFIG_MAPS, "changed", {"data": {"a": "2"}}, namespace=namespace)
    await api.delete(CONFIG_MAPS, "deleted", namespace=namespace)
    async with copying(bed, namespace, tmp_path) as second:
        await data_is(api, target, "changed", {"a": "2"})
        await data_is(api, target, "deleted", None)
        await wait_for("the copier to lead", second.lists_and_leads, PATIENCE_SECONDS)
        assert sorted(second.writes()) == [f"delete {target}/deleted", f"patch {target}/changed"]


async def test_config_map_of_the_same_name_that_is_no_copy_is_left_alone(
    bed: Bed, namespace: str, target: str, tmp_path: Path
):
    api = bed.host.api
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "taken"}, "data": {"a": "mine"}}
    before = await api.create(foreign, namespace=target)
    await api.create(config_map("taken", a="1"), namespace=namespace)
    await api.create(config_map("other", a="1"), namespace=namespace)
    async with copying(bed, namespace, tmp_path) as copier:
        await data_is(api, target, "other", {"a": "1"})

        async def told() -> bool:
            if "AlreadyExists" not in copier.log.read_text():
                raise NotYet(copier.log.read_text())
            return True

        await wait_for("the log to say so", told, PATIENCE_SECONDS)
    assert await api.get(CONFIG_MAPS, "taken", namespace=target) == before


async def test_the_smallest_copier_does_the_same_for_one_namespace(
    bed: Bed, namespace: str, target: str, tmp_path: Path
):
    api, log = bed.host.api, tmp_path / "log"
    await api.create(config_map("greeting", text="hello"), namespace=namespace)
    async with running(bed, "smallest.py", (namespace, target), log) as first:
        await data_is(api, target, "greeting", {"text": "hello"})
        await api.patch(CONFIG_MAPS, "greeting", {"data": {"text": None, "word": "bye"}}, namespace=namespace)
        await data_is(api, target, "greeting", {"word": "bye"})
        await api.patch(CONFIG_MAPS, "greeting", {"data": {"word": "mine"}}, namespace=target)
        await data_is(api, target, "greeting", {"word": "bye"})
        await api.delete(CONFIG_MAPS, "greeting", namespace=target)
        await data_is(api, target, "greeting", {"word": "bye"})
        wanted = [f"{verb} {target}/greeting" for verb in ("create", "patch", "patch", "create")]
        await first.has_written(*wanted)
        assert first.writes() == wanted
    async with running(bed, "smallest.py", (namespace, target), log) as second:
        await wait_for("the copier to lead", second.leads, PATIENCE_SECONDS)
        assert second.writes() == []
        await api.delete(CONFIG_MAPS, "greeting", namespace=namespace)
        await data_is(api, target, "greeting", None)
