"""An agent with the credentials of its pod: environment, authority, and a token that is rotated while it runs."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from testbed import AuditLog, Bed, ControllerProcess, NotYet, karmada, wait_for
from testbed.controller import installed_binary
from testbed.karmada import SERVICE_ACCOUNT, SYSTEM_NAMESPACE, apply_all, load
from testbed.ports import free_ports
from testbed.processes import Process
from testbed.pytest_plugin import cannot
from tests.integration.product.conftest import IMPATIENT
from tests.support.agents import control_plane_kubeconfig
from tests.support.fleet import (
    CLUSTERS,
    PATIENCE_SECONDS,
    SECRETS,
    Space,
    condition_of,
    endpointslice,
    eventually,
    multiclusterservice,
    service,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed.controlplane import ControlPlane

pytestmark = pytest.mark.asyncio(loop_scope="session")

INSIDE = Path("/var/run/secrets/kubernetes.io/serviceaccount")
IN_A_POD = ["unshare", "--mount", "sh", "-ec"]
MOUNT = 'mount -t tmpfs none "$0"; mkdir -p "$1"; mount --bind "$2" "$1"; shift 2; exec "$@"'
"""A file system of its own over /run, and the service account's directory in it. Nobody else sees it."""


@pytest.fixture(scope="module")
def mounts() -> None:
    """Skips the test where a process cannot have mounts of its own."""
    trial = 'mount -t tmpfs none "$0"'
    if shutil.which("unshare") is None or subprocess.run([*IN_A_POD, trial, _run()], check=False).returncode != 0:
        cannot("no mount namespaces: run it as root, with util-linux installed")


def _run() -> str:
    return str(Path("/var/run").resolve())


@dataclass
class Pod:
    """What kubelet does for a pod: a directory whose files are replaced all together, by one rename."""

    plane: ControlPlane
    directory: Path
    turn: int = 0
    token: str = ""

    async def project(self) -> str:
        """Put a new token there, valid as long as the Secret of the name that is returned exists."""
        self.turn += 1
        name = f"bound-{self.turn}"
        meta = {"name": name, "namespace": SYSTEM_NAMESPACE}
        secret = await self.plane.api.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta})
        bound = {"apiVersion": "v1", "kind": "Secret", "name": name, "uid": secret["metadata"]["uid"]}
        path = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/serviceaccounts/{SERVICE_ACCOUNT}/token"
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        answer = await self.plane.api.raw(
            "POST", path, kind | {"spec": {"expirationSeconds": 3600, "boundObjectRef": bound}}
        )
        self.token = answer["status"]["token"]
        data = self.directory / f"..{self.turn}"
        data.mkdir(parents=True)
        (data / "token").write_text(self.token)
        (data / "ca.crt").write_bytes(self.plane.access.ca_pem)
        (self.directory / "..data_tmp").symlink_to(data.name)
        (self.directory / "..data_tmp").rename(self.directory / "..data")
        for file in ("token", "ca.crt"):
            if self.turn == 1:
                (self.directory / file).symlink_to(f"..data/{file}")
        return name

    async def revoke(self, name: str, token: str) -> None:
        """Make a token invalid, and wait until the API server has noticed: it remembers good ones for a while."""
        await self.plane.api.delete(SECRETS, name, namespace=SYSTEM_NAMESPACE)

        async def refused() -> bool:
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
            answer = await self.plane.api.raw("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
            if answer["status"].get("authenticated"):
                raise NotYet("it is still good")
            return True

        await wait_for("the old token to be refused", refused, PATIENCE_SECONDS)


def token_id(token: str) -> str:
    """What the audit log calls it."""
    body = token.split(".")[1]
    return f"JTI={json.loads(base64.urlsafe_b64decode(body + '=' * (-len(body) % 4)))['jti']}"


def answers_by_token(plane: ControlPlane, offset: int = 0) -> dict[str, set[int]]:
    """Status codes by the token with which the controller's user asked, from some place in the audit log on."""
    found: dict[str, set[int]] = {}
    with plane.audit_log.open("rb") as log:
        log.seek(offset)
        for line in log:
            if not line.endswith(b"\n"):  # being written just now
                break
            event = json.loads(line)
            if event["user"].get("username") == karmada.CONTROLLER_USER:
                (used,) = event["user"]["extra"]["authentication.kubernetes.io/credential-id"]
                found.setdefault(used, set()).add(event["responseStatus"]["code"])
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def bed(binaries: dict[str, Path], mounts: None) -> AsyncIterator[Bed]:
    """member1 is a Push cluster, member2 a Pull cluster."""
    async with Bed(audit=True) as made:
        await karmada.install(made)
        await karmada.join(made, "member1")
        await karmada.controller_kubeconfig(made)
        body = {"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster", "metadata": {"name": "member2"}}
        await made.host.api.create(body | {"spec": {"syncMode": "Pull"}})
        await apply_all(made.members["member2"].api, load(karmada.MANIFESTS / "member"))
        yield made


async def start_agent(bed: Bed, pod: Pod) -> Process:
    """As manifests/agent/member/deployment.yaml does it: no flag says where its own cluster is."""
    control_plane = await control_plane_kubeconfig(bed, "member2")
    metrics, health = free_ports(2)
    url = urlsplit(pod.plane.access.server)
    agent = Process(
        "agent",
        [
            *IN_A_POD,
            MOUNT,
            _run(),
            str(INSIDE),
            str(pod.directory),
            str(installed_binary()),
            "--cluster-name=member2",
            f"--karmada-kubeconfig={control_plane}",
            "--controllers=*,standalone",
            "--feature-gates=MultiClusterService=true",
            f"--metrics-bind-address=127.0.0.1:{metrics}",
            f"--health-probe-bind-address=127.0.0.1:{health}",
            "--v=10",
            *IMPATIENT,
        ],
        log=bed.root / "agent.log",
        root=bed.root,
        environ={"KUBERNETES_SERVICE_HOST": str(url.hostname), "KUBERNETES_SERVICE_PORT": str(url.port)},
    )
    await agent.start()
    return agent


async def test_an_agent_in_a_pod_goes_on_with_its_new_token_when_the_old_one_is_revoked(bed: Bed):
    member = bed.members["member2"]
    pod = Pod(member, bed.root / "serviceaccount")
    async with (
        ControllerProcess(bed.root / "controller.kubeconfig", root=bed.root, extra_args=IMPATIENT),
        AsyncExitStack() as stack,
    ):
        bound = await pod.project()
        old = pod.token
        agent = await start_agent(bed, pod)
        stack.push_async_callback(agent.kill)
        space = await Space.make(bed)
        both = ["member1", "member2"]
        await space.create(service("web"), multiclusterservice("web", both, both))
        for cluster, address in zip(both, ("192.0.2.1", "192.0.2.2"), strict=True):
            await space.create_in(cluster, endpointslice("web-a", "web", [address]))
        await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})
        await space.dispatched_are("member1", {"member2-web-a": ["192.0.2.2"]})
        assert set(answers_by_token(member)) == {token_id(old)}

        await pod.project()
        await pod.revoke(bound, old)
        offset = AuditLog(member.audit_log).mark().offset
        for cluster, address in zip(both, ("192.0.2.3", "192.0.2.4"), strict=True):
            await space.set_addresses(cluster, "web-a", [address])
        await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.3"]})
        await space.dispatched_are("member1", {"member2-web-a": ["192.0.2.4"]})

        async def ready() -> str:
            return condition_of(await bed.host.api.get(CLUSTERS, "member2"), "Ready")[0]

        await eventually("member2 to be ready", ready, "True")
        answers = answers_by_token(member, offset)
        assert token_id(pod.token) in answers
        assert all(code < 400 for code in answers[token_id(pod.token)])
        log = agent.log.read_text()
        assert not [token for token in (old, pod.token) if token.rpartition(".")[2] in log]
