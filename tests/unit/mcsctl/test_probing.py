"""What is tried by traffic, and how its results are understood; the Pod for it is always deleted."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from informers.errors import Forbidden
from mcs_controller.diagnosis import world as w
from mcs_controller.mcsctl import probing
from mcs_controller.mcsctl.probe import attempt, command
from mcs_controller.mcsctl.probing import NoProbe, by_curl, probe_pod, targets_of
from tests.unit.diagnosis.healthy import COPY, copy, healthy, service

if TYPE_CHECKING:
    from collections.abc import Mapping


def test_the_name_the_service_and_each_ready_endpoint_are_tried():
    world = healthy()
    made = service()
    made["spec"] |= {"clusterIPs": ["10.2.255.20", "fd02::14"]}
    made["spec"]["ports"].append({"port": 53, "protocol": "UDP"})
    world.members["member2"].add(w.SERVICES, [made])
    sent = copy(COPY, "member1", "10.1.0.5", "fd01::5")
    sent["endpoints"].append({"addresses": ["10.1.0.9"], "conditions": {"ready": False}})
    world.members["member2"].add(w.SLICES, [sent])
    assert targets_of(world, "member2") == [
        "dns=web.shop.svc",
        "service=10.2.255.20:80",
        "service=[fd02::14]:80",
        "endpoint=10.1.0.5:80",
        "endpoint=[fd01::5]:80",
    ]


def test_a_headless_service_has_no_address_of_its_own():
    world = healthy()
    made = service()
    made["spec"] |= {"clusterIP": "None", "clusterIPs": ["None"]}
    world.members["member2"].add(w.SERVICES, [made])
    assert targets_of(world, "member2") == ["dns=web.shop.svc", "endpoint=10.1.0.5:80"]


def test_an_attempt_answers_or_says_why_not():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert attempt(f"service=127.0.0.1:{port}") == ""
    assert attempt(f"endpoint=127.0.0.1:{port}") == "refused"
    assert attempt("dns=localhost") == ""
    assert attempt("endpoint=127.0.0.1:99999999") != ""
    assert attempt("endpoint=nonsense") != ""


def test_the_command_writes_what_the_doctor_reads():
    done = CliRunner().invoke(command, ["--json", "dns=localhost", "endpoint=127.0.0.1:1"], standalone_mode=False)
    assert done.return_value == 1
    assert json.loads(done.stdout)[1] == {"step": "endpoint", "target": "127.0.0.1:1", "ok": False, "error": "refused"}
    assert [one.ok for one in probing._decode(done.stdout)] == [True, False]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("dns=web.shop.svc <html> connect=0.000412", ""),
        ("dns=web.shop.svc curl: (6) Could not resolve host: web.shop.svc connect=0.000000", "no such name"),
        ("dns=web.shop.svc curl: (28) Resolving timed out after 4000 milliseconds connect=0.000000", "timeout"),
        ("service=10.2.0.1:80 curl: (28) Connection timed out after 4001 milliseconds connect=0.000000", "timeout"),
        ("endpoint=10.1.0.5:80 curl: (28) Operation timed out after 4001 milliseconds connect=0.000310", ""),
        ("endpoint=10.1.0.5:80 curl: (52) Empty reply from server connect=0.000310", ""),
        (
            "endpoint=10.1.0.5:80 curl: (7) Failed to connect to 10.1.0.5 port 80: Connection refused connect=0",
            "refused",
        ),
        (
            "endpoint=10.1.0.5:80 curl: (7) Failed to connect to 10.1.0.5 port 80 after 0 ms: Could not connect"
            " connect=0.000000",
            "refused",
        ),
        (
            "endpoint=10.1.0.5:80 curl: (7) Failed to connect to 10.1.0.5 after 3071 ms: No route connect=0.000",
            "curl: (7) Failed to connect to 10.1.0.5 after 3071 ms: No route",
        ),
    ],
)
def test_the_words_of_curl(line: str, error: str):
    (result,) = by_curl(f"{line}\n")
    assert (result.ok, result.error) == (not error, error)


@dataclass
class _Answer:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Api:
    """An API server that has one Pod, of this status."""

    pod: dict[str, Any]
    log: str = "[]"
    refuses: bool = False
    calls: list[str] = field(default_factory=list)
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    async def raw(self, method: str, path: str, *, body: bytes | None = None) -> _Answer:
        self.calls.append(method)
        if method == "GET":
            self.looked.set()
        if method == "POST" and self.refuses:
            return _Answer(403, b'{"message": "exceeded quota"}')
        return _Answer(200, self.log.encode() if path.endswith("/log") else json.dumps({"status": self.pod}).encode())


@dataclass
class _Plane:
    client: _Api
    name: str = "member2"


async def run(api: _Api) -> str:
    return await probing._in_new_pod(_Plane(api), "shop", "image", ["dns=web.shop.svc"])  # type: ignore[arg-type]


async def test_a_pod_that_ends_is_read_and_deleted():
    api = _Api({"phase": "Failed"}, log='[{"step": "dns"}]')
    assert await run(api) == '[{"step": "dns"}]'
    assert api.calls[-1] == "DELETE"


async def test_a_pod_that_cannot_start_or_is_refused_is_deleted():
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    api = _Api({"phase": "Pending", "containerStatuses": [{"state": waiting}]})
    with pytest.raises(NoProbe, match=r"no such image.*--probe-image"):
        await run(api)
    assert api.calls[-1] == "DELETE"
    with pytest.raises(Forbidden):
        await run(_Api({}, refuses=True))


async def test_a_pod_is_deleted_when_the_user_ends_it():
    api = _Api({"phase": "Running"})
    task = asyncio.create_task(run(api))
    await api.looked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert api.calls[-1] == "DELETE"


def test_the_words_of_a_pod_that_is_not_ours_are_no_result():
    with pytest.raises(NoProbe):
        probing._decode("exec format error")


def test_the_pod_ends_by_itself():
    spec = probe_pod("p", "shop", "image", ["dns=x"])["spec"]
    assert spec["activeDeadlineSeconds"] <= 60
    assert spec["restartPolicy"] == "Never"
    assert spec["containers"][0]["command"] == ["mcsctl", "probe", "--json", "dns=x"]
