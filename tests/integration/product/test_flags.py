"""What the process says to its command line before it does anything, and what it leaves alone with the gate off."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import pytest

from mcs_controller.options import FLAGS
from testbed import AuditLog, ControllerProcess, NotYet, wait_for
from testbed.controller import installed_binary
from testbed.karmada import CONTROLLER_USER
from tests.integration.product.conftest import IMPATIENT
from tests.support.fleet import (
    CLUSTERS,
    SLICES,
    Space,
    condition_of,
    endpointslice,
    eventually,
    multiclusterservice,
    service,
)
from tests.support.traffic import idle

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: nobody, user: {token: abc}}]
"""


class Ended(NamedTuple):
    code: int
    output: str
    errors: str


async def binary(*flags: str) -> Ended:
    """Run the installed binary to its end, with nothing in the environment that could help it."""
    process = await asyncio.create_subprocess_exec(
        str(installed_binary()),
        *flags,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(), errors.decode())


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        pytest.param(["--feature-gates=MultiClusterServices=true"], "MultiClusterServices", id="unknown gate"),
        pytest.param(["--feature-gates=MultiClusterService"], "MultiClusterService", id="gate without a value"),
        pytest.param(["--feature-gates=MultiClusterService=maybe"], "maybe", id="gate with a strange value"),
        pytest.param(["--controllers=*,bindings"], "bindings", id="unknown controller"),
        pytest.param(["--controllers="], "no controller is named", id="no controller"),
        pytest.param(["--controler=*"], "--controler", id="unknown flag"),
        pytest.param(
            ["--leader-elect-lease-duration=10s", "--leader-elect-renew-deadline=10s"],
            "must be longer than --leader-elect-renew-deadline",
            id="lease not longer than renew deadline",
        ),
        pytest.param(
            ["--leader-elect-renew-deadline=2s"],
            "must be longer than 1.2 times --leader-elect-retry-period",
            id="renew deadline not longer than retry period",
        ),
        pytest.param(["--leader-elect-retry-period=soon"], "write it like 15s", id="no duration"),
        pytest.param(["--kube-api-qps=0"], "--kube-api-qps must be more than 0", id="no requests allowed"),
        pytest.param(["--v=loud"], "--v", id="no number"),
        pytest.param(["--skipped-propagating-namespaces=kube-(*"], "kube-(*", id="no regular expression"),
    ],
)
async def test_flags_that_cannot_be_worked_with_are_refused_at_once(flags, says):
    ended = await binary(*flags)
    assert ended.code == 2
    assert says in ended.errors
    assert_is_for_people(ended)


def assert_is_for_people(ended: Ended) -> None:
    assert ended.output == ""
    assert "Traceback" not in ended.errors
    assert len(ended.errors.splitlines()) <= 5, ended.errors


async def test_a_kubeconfig_that_is_not_there_or_is_no_kubeconfig_is_refused(tmp_path):
    missing, directory, empty = tmp_path / "missing", tmp_path, tmp_path / "empty"
    empty.write_text("")
    malformed, other = tmp_path / "malformed", tmp_path / "other"
    malformed.write_text("{ this is : [ no yaml")
    other.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n")
    for path in (missing, directory, empty, malformed, other):
        ended = await binary(f"--kubeconfig={path}")
        assert ended.code == 2, (path, ended)
        assert str(path) in ended.errors
        assert_is_for_people(ended)


async def test_a_context_that_the_kubeconfig_lacks_is_refused(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    ended = await binary(f"--kubeconfig={path}", "--context=elsewhere")
    assert ended.code == 2
    assert "elsewhere" in ended.errors
    assert_is_for_people(ended)


async def test_without_any_kubeconfig_it_says_where_it_looked():
    ended = await binary("--feature-gates=MultiClusterService=true")
    assert ended.code == 2
    assert "kubeconfig" in ended.errors
    assert_is_for_people(ended)


@pytest.mark.parametrize("flag", ["metrics-bind-address", "health-probe-bind-address"])
async def test_a_port_that_somebody_has_already_is_refused(tmp_path, flag):
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    others = {"metrics-bind-address": "0", "health-probe-bind-address": "0"}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        addresses = others | {flag: address}
        ended = await binary(f"--kubeconfig={path}", *(f"--{name}={value}" for name, value in addresses.items()))
    assert ended.code == 2
    assert address in ended.errors
    assert "Traceback" not in ended.errors


async def test_help_lists_every_flag_with_its_default_and_the_exit_codes():
    ended = await binary("--help")
    assert (ended.code, ended.errors) == (0, "")
    words = " ".join(ended.output.split())
    for flag in FLAGS:
        assert f"--{flag.name} " in words
        if flag.default not in ("", True):
            assert f"default: {flag.default}" in words, flag.name
    assert "Exit codes: 0 stopped by SIGTERM or SIGINT; 1" in words


async def test_the_version_is_told():
    ended = await binary("--version")
    assert ended.code == 0
    assert ended.output.startswith("mcs-controller-manager")


async def test_with_the_gate_off_nothing_is_written_for_a_multiclusterservice(fleet_bed, kubeconfig):
    mark = AuditLog(fleet_bed.host.audit_log).mark()
    members = {name: AuditLog(plane.audit_log).mark() for name, plane in fleet_bed.members.items()}
    off = ControllerProcess(kubeconfig, root=fleet_bed.root, name="gate-off", feature_gates="", extra_args=IMPATIENT)
    async with off:
        space = await Space.make(fleet_bed)  # made in the members: it works
        await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
        await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
        before = await space.mcs("web")
        await idle(off)
        assert await space.mcs("web") == before
        for name in fleet_bed.members:
            assert await space.works(name) == []
        assert await space.dispatched("member2") == {}
        # Counted once, at the start, and else not even looked at.

        async def looks() -> list[str]:
            asked = [event for event in mark.events() if event.user == CONTROLLER_USER]
            return [event.verb for event in asked if event.resource == "multiclusterservices"]

        await eventually("one look", looks, ["list"])
        for name, since in members.items():
            ours = [event for event in since.events() if event.user == CONTROLLER_USER]
            inside = [event for event in ours if event.namespace == space.namespace and event.resource != "namespaces"]
            assert inside == [], name
        assert await off.terminate() == 0
        # What it said at its first start, of services that other tests were still deleting, is no matter here.
        said = len(off.log.read_text().splitlines())
        await off.start()
        warning = "MultiClusterServices exist and are not served by this process"

        async def warned() -> bool:
            told = [line for line in off.log.read_text().splitlines()[said:] if warning in line]
            if not any("--feature-gates=MultiClusterService=true" in line for line in told):
                raise NotYet(f"{told}")
            assert len(told) == 1
            return True

        await wait_for("a warning", warned)
        # ... until it is switched on.
        assert await off.terminate() == 0
    on = ControllerProcess(kubeconfig, root=fleet_bed.root, name="gate-on", extra_args=IMPATIENT)
    async with on:
        await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})
        await space.remove()


async def test_openings_16_and_24_flags_strip_the_topology_and_withdraw_endpoints(fleet_bed, kubeconfig):
    whereabouts = {"zone": "z", "nodeName": "n", "hints": {"forZones": [{"name": "z"}]}}
    flags = ["--strip-topology", "--withdraw-not-ready-after=2s", "--controllers=*,standalone,-clusterStatus"]

    async def ready() -> dict[str, str]:
        clusters = [await fleet_bed.host.api.get(CLUSTERS, name) for name in fleet_bed.members]
        return {one["metadata"]["name"]: condition_of(one, "Ready")[0] for one in clusters}

    async with ControllerProcess(kubeconfig, root=fleet_bed.root, name="probing", extra_args=IMPATIENT):
        space = await Space.make(fleet_bed)
        await eventually("the members to be ready", ready, dict.fromkeys(fleet_bed.members, "True"))
    conditions = (await fleet_bed.host.api.get(CLUSTERS, "member1"))["status"]["conditions"]

    async def member1_is(status: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": status, "reason": "Test", "message": "", "lastTransitionTime": now}
        others = [one for one in conditions if one["type"] != "Ready"]
        body = {"status": {"conditions": [*others, ready]}}
        await fleet_bed.host.api.patch(CLUSTERS, "member1", body, subresource="status")

    async with ControllerProcess(kubeconfig, root=fleet_bed.root, name="withdrawing", extra_args=[*flags, "--v=4"]):
        await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
        content = endpointslice("web-a", "web", ["192.0.2.1"])
        content["endpoints"][0] |= whereabouts
        await space.create_in("member1", content)
        await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})
        [copy] = await space.member("member2").list(SLICES, namespace=space.namespace)
        assert copy["endpoints"] == [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}]
        await member1_is("False")
        await space.dispatched_are("member2", {})
        await member1_is("True")
        await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})
        await space.remove()


@pytest.fixture
def kubeconfig(fleet_bed) -> Path:
    path: Path = fleet_bed.root / "controller.kubeconfig"
    return path
