"""``kubectl exec``, ``logs`` and ``port-forward`` work in Pods as in any cluster."""

from __future__ import annotations

import asyncio
import os
import re
import termios
import uuid
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import pytest
import pytest_asyncio

from testbed import wait_for
from testbed.dataplane import Executed
from tests.integration.dataplane.support import HELLO, deployment, pod, running, service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testbed import Bed, ClusterAccess, ControlPlane

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """kubectl for one namespace of one cluster."""

    binary: Path
    namespace: str
    access: ClusterAccess

    @asynccontextmanager
    async def process(self, *arguments: str, terminal: int = PIPE) -> AsyncIterator[asyncio.subprocess.Process]:
        """A running kubectl, which is killed at the end of the block."""
        options = ("--kubeconfig", str(self.access.kubeconfig), "--namespace", self.namespace)
        process = await asyncio.create_subprocess_exec(
            self.binary, *options, *arguments, stdin=terminal, stdout=terminal, stderr=terminal
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def __call__(self, *arguments: str, stdin: str = "") -> Executed:
        async with self.process(*arguments) as process, asyncio.timeout(PATIENCE_SECONDS):
            stdout, stderr = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Executed(code=process.returncode, stdout=stdout.decode(), stderr=stderr.decode())


@pytest.fixture(scope="module")
def member(dataplane_bed: Bed) -> ControlPlane:
    return dataplane_bed.members["member2"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def kubectl(member: ControlPlane, binaries: dict[str, Path]) -> AsyncIterator[Kubectl]:
    """A namespace of member2 with Pods called curl and web."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    await member.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    await member.api.create(pod("curl", "curlimages/curl"), namespace=name)
    await member.api.create(pod("web", "nginx"), namespace=name)
    await running(member, name, "curl")
    await running(member, name, "web")
    yield Kubectl(binary=binaries["kubectl"], namespace=name, access=member.access)
    await member.api.delete("v1/namespaces", name)


async def test_a_command_gives_its_output_and_its_exit_code_and_runs_in_the_pod(kubectl):
    done = await kubectl("exec", "curl", "--", "sh", "-c", "hostname; cat /etc/resolv.conf; echo oh >&2; exit 3")
    assert done.code == 3
    assert done.stdout.startswith("curl\n")
    assert f"search {kubectl.namespace}.svc.cluster.local" in done.stdout
    assert done.stderr == "oh\ncommand terminated with exit code 3\n"
    assert (await kubectl("exec", "curl", "-c", "curl", "--", "true")).code == 0
    assert (await kubectl("exec", "curl", "--", "sh", "-c", "kill -KILL $$")).code == 137
    assert (await kubectl("exec", "curl", "--", "no-such-program")).code == 127


async def test_a_command_reads_its_input_and_may_end_before_it_does(kubectl):
    many = "line\n" * 100_000
    assert (await kubectl("exec", "-i", "curl", "--", "cat", stdin=many)).stdout == many
    async with kubectl.process("exec", "-i", "curl", "--", "head", "-n1") as process, asyncio.timeout(PATIENCE_SECONDS):
        process.stdin.write(b"first\n")
        assert await process.stdout.read() == b"first\n"
        assert await process.wait() == 0


async def test_a_command_may_have_a_terminal(kubectl):
    ours, clients = os.openpty()
    termios.tcsetwinsize(clients, (33, 99))
    script = "until stty size | grep '33 99'; do sleep 0.1; done; read typed; echo $TERM $typed; exit 4"
    command = ("exec", "-i", "-t", "curl", "--", "sh", "-c", script)
    async with kubectl.process(*command, terminal=clients) as process, asyncio.timeout(PATIENCE_SECONDS):
        os.close(clients)
        os.write(ours, b"hello\n")
        assert await process.wait() == 4
    shown = b""
    with suppress(OSError):  # EIO at the end
        while chunk := os.read(ours, 4096):
            shown += chunk
    os.close(ours)
    assert b"xterm hello\r\n" in shown


async def test_the_literal_command_of_the_walkthrough_is_answered(kubectl, member):
    await member.api.create(deployment("nginx", "nginx"), namespace=kubectl.namespace)
    await member.api.create(service("nginx"), namespace=kubectl.namespace)
    await member.api.create(deployment("client", "curlimages/curl"), namespace=kubectl.namespace)
    (nginx,) = await running(member, kubectl.namespace, "nginx")
    await running(member, kubectl.namespace, "client")

    async def answered() -> str | None:
        done = await kubectl("exec", "deploy/client", "--", "curl", "-sS", f"http://nginx.{kubectl.namespace}")
        return done.stdout or None

    assert await wait_for("an answer", answered, PATIENCE_SECONDS) == HELLO.format(pod=nginx)


async def test_where_no_command_can_run_the_client_is_told_why(kubectl, member):
    absent = await kubectl("exec", "curl", "-c", "sidecar", "--", "true")
    assert (absent.code, "container sidecar" in absent.stderr) == (1, True), absent.stderr

    await member.api.create(pod("database", "postgres:17"), namespace=kubectl.namespace)
    pending = await kubectl("exec", "database", "--", "true")
    assert pending.code == 1
    assert "does not" in pending.stderr

    await member.api.create(pod("short", "busybox"), namespace=kubectl.namespace)
    await running(member, kubectl.namespace, "short")
    assert (await kubectl("exec", "short", "--", "true")).code == 0
    await kubectl("delete", "pod", "short")
    ended = await kubectl("exec", "short", "--", "true")
    assert (ended.code, 'pods "short" not found' in ended.stderr) == (1, True), ended.stderr


async def test_a_user_without_the_right_to_exec_is_refused_by_the_api_server(kubectl, member):
    stranger = Kubectl(binary=kubectl.binary, namespace=kubectl.namespace, access=member.make_client("stranger"))
    for command in (("exec", "curl", "--", "true"), ("logs", "web")):
        refused = await stranger(*command)
        assert (refused.code, "(Forbidden)" in refused.stderr) == (1, True), refused.stderr


async def test_a_kubelet_serves_its_api_server_and_nobody_else(kubectl, member):
    node = await member.api.get("v1/nodes", "member2-node")
    (host,) = [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalDNS"]
    url = f"https://{host}:{node['status']['daemonEndpoints']['kubeletEndpoint']['Port']}/containerLogs"

    async def status(access: ClusterAccess) -> int:
        target = f"{url}/{kubectl.namespace}/web/web"
        async with aiohttp.ClientSession() as session, session.get(target, ssl=access.ssl_context()) as answer:
            return answer.status

    assert await status(member.token_access("", member.access.kubeconfig.with_suffix(".none"))) == 401
    assert await status(member.access) == 403
    assert await status(member.make_client("kube-apiserver-kubelet-client")) == 200


async def test_the_logs_are_what_the_container_wrote(kubectl, member):
    assert (await kubectl("logs", "curl")).stdout == ""
    (address,) = (await running(member, kubectl.namespace, "web")).values()
    for path in ("one", "two"):
        await kubectl("exec", "curl", "--", "curl", "-sS", f"http://{address}/{path}")
    written = (await kubectl("logs", "web")).stdout.splitlines()
    assert written[0] == "listening on TCP port 80"
    assert [re.sub(r"^\S+ ", "", each) for each in written[-2:]] == [
        '"GET /one HTTP/1.1" 200',
        '"GET /two HTTP/1.1" 200',
    ]
    assert (await kubectl("logs", "web", "--tail=1")).stdout.splitlines() == written[-1:]
    assert (await kubectl("logs", "web", "--since=1h", "--limit-bytes=9")).stdout == "listening"
    assert (await kubectl("logs", "web", "--since-time=2100-01-01T00:00:00Z")).stdout == ""
    stamped = (await kubectl("logs", "web", "--timestamps", "--tail=1")).stdout
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z " + re.escape(written[-1]), stamped)
    for wrong in (("web", "--previous"), ("web", "-c", "sidecar")):
        assert (await kubectl("logs", *wrong)).code == 1


async def test_logs_are_followed_until_the_pod_ends(kubectl, member):
    await member.api.create(pod("followed", "nginx"), namespace=kubectl.namespace)
    (address,) = (await running(member, kubectl.namespace, "followed")).values()
    async with kubectl.process("logs", "-f", "followed") as process, asyncio.timeout(PATIENCE_SECONDS):
        assert await process.stdout.readline() == b"listening on TCP port 80\n"
        await kubectl("exec", "curl", "--", "curl", "-sS", f"http://{address}/later")
        assert b"GET /later" in await process.stdout.readline()
        await member.api.delete("v1/pods", "followed", namespace=kubectl.namespace, grace_seconds=0)
        assert await process.stdout.read() == b""
        assert await process.wait() == 0


async def test_a_port_of_a_pod_is_forwarded(kubectl):
    async with kubectl.process("port-forward", "web", ":80") as process, asyncio.timeout(PATIENCE_SECONDS):
        told = await process.stdout.readline()
        (port,) = re.findall(rb"127\.0\.0\.1:(\d+) ->", told)
        for _ in range(2):
            async with aiohttp.ClientSession() as session:
                answer = await session.get(f"http://127.0.0.1:{port.decode()}/forwarded")
                assert await answer.text() == HELLO.format(pod="web")
