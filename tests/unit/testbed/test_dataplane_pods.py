"""What stands for an image, when a Pod is ready, when it stops, what its status says."""

import asyncio
from typing import Any

import pytest

from testbed.dataplane import images, status
from testbed.dataplane.agent import Web
from testbed.dataplane.images import Serves


def pod(*containers: dict[str, Any], grace: int | None = None, **metadata: Any) -> dict[str, Any]:
    deletion = {} if grace is None else {"deletionTimestamp": "now", "deletionGracePeriodSeconds": grace}
    return {
        "metadata": {"name": "web-0", "namespace": "shop", "uid": "u", **deletion, **metadata},
        "spec": {"containers": [{"name": "c", **each} for each in containers]},
    }


HELLO = "Hello, world!\nVersion: 1.0.0\nHostname: web-0\n"


@pytest.mark.parametrize(
    "image", ["nginx", "nginx:1.27", "docker.io/library/nginx@sha256:0", "localhost:5000/nginx:latest"]
)
def test_registry_and_tag_of_an_image_do_not_matter(image):
    assert images.play(pod({"image": image})) == [Serves(container="c", protocol="TCP", port=80, text=HELLO)]


def test_a_server_answers_on_the_ports_of_its_own_protocol():
    ports = [
        {"containerPort": 8080},
        {"containerPort": 9090, "protocol": "TCP"},
        {"containerPort": 53, "protocol": "UDP"},
    ]
    played = images.play(pod({"image": "nginx", "ports": ports}, {"image": "udp-echo", "ports": ports}))
    assert [(each.protocol, each.port) for each in played] == [("TCP", 8080), ("TCP", 9090), ("UDP", 53)]
    assert played[2].text == "Hostname: web-0\n"


def test_a_version_from_the_environment_is_told():
    (served,) = images.play(pod({"image": "nginx", "env": [{"name": "VERSION", "value": "2.0.0"}]}))
    assert "Version: 2.0.0\n" in served.text


def test_a_pod_to_run_commands_in_serves_nothing():
    assert images.play(pod({"image": "curlimages/curl:8.10.1"})) == []


@pytest.mark.parametrize(
    ("manifest", "reason", "message"),
    [
        (pod({"image": "redis:7"}), "ErrImagePull", "not 'redis:7'"),
        (pod({"image": "nginx"}, {"image": "nginx"}), "CrashLoopBackOff", "TCP port 80: address already in use"),
    ],
    ids=["image", "port"],
)
def test_what_cannot_be_played_is_refused_with_a_reason(manifest, reason, message):
    with pytest.raises(images.Unplayable, match=message) as refusal:
        images.play(manifest)
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("containers", "grace", "seconds"),
    [
        ([{"image": "nginx"}], 30, 5.0),
        ([{"image": "nginx"}], 2, 2.0),
        ([{"image": "nginx"}], 0, 0.0),
        ([{"image": "curl"}], 30, 0.0),
        ([{"image": "nginx", "lifecycle": {"preStop": {"sleep": {"seconds": 12}}}}], 30, 12.0),
        ([{"image": "nginx", "lifecycle": {"preStop": {"sleep": {"seconds": 12}}}}], 3, 3.0),
        ([{"image": "nginx", "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "sleep 7"]}}}}], 30, 7.0),
    ],
    ids=["capped", "short", "at once", "idle", "preStop", "preStop past grace", "preStop command"],
)
def test_how_long_a_stopping_pod_goes_on_answering(containers, grace, seconds):
    assert images.stopping_seconds(pod(*containers, grace=grace), cap=5.0) == seconds


def test_probes_are_read_with_their_defaults_and_named_ports():
    ports = [{"name": "web", "containerPort": 8080}]
    by_name = {"httpGet": {"port": "web", "path": "/ok"}, "periodSeconds": 1}
    manifest = pod(
        {"image": "nginx", "ports": ports, "readinessProbe": by_name},
        {"image": "nginx", "readinessProbe": {"tcpSocket": {"port": 80}, "initialDelaySeconds": 4}},
        {"image": "nginx", "readinessProbe": {"exec": {"command": ["true"]}}},
    )
    http, tcp = status.probes(manifest)
    assert (http.port, http.path, http.period, http.failures) == (8080, "/ok", 1.0, 3)
    assert (tcp.port, tcp.path, tcp.delay, tcp.successes) == (80, "", 4.0, 1)


@pytest.mark.parametrize(
    ("annotations", "held"),
    [(None, False), ({}, False), ({"testbed/ready": "true"}, False), ({"testbed/ready": "false"}, True)],
)
def test_an_annotation_holds_a_pod_unready(annotations, held):
    assert status.held_unready(pod({"image": "nginx"}, annotations=annotations)) is held


def test_an_unready_pod_runs_all_the_same():
    running = status.running_status(
        pod({"image": "nginx"}), address="10.81.1.0", host="10.79.0.1", ready=False, started="2026-01-01T00:00:00Z"
    )
    conditions = {each["type"]: each for each in running["conditions"]}
    assert running["phase"] == "Running"
    assert (conditions["Ready"]["status"], conditions["ContainersReady"]["status"]) == ("False", "False")
    assert conditions["Initialized"]["lastTransitionTime"] == running["startTime"] == "2026-01-01T00:00:00Z"
    assert conditions["Ready"]["lastTransitionTime"] != running["startTime"]
    assert running["containerStatuses"][0]["ready"] is False


def test_a_refused_pod_stays_pending_and_says_why_in_its_status_and_an_event():
    manifest = pod({"image": "redis"})
    waiting = status.waiting_status(manifest, reason="ErrImagePull", message="no", host="10.79.0.1")
    assert waiting["phase"] == "Pending"
    assert waiting["containerStatuses"][0]["state"] == {"waiting": {"reason": "ErrImagePull", "message": "no"}}
    event = status.waiting_event(manifest, reason="ErrImagePull", message="no", node="member1-node")
    assert (event["involvedObject"]["name"], event["reason"], event["message"]) == ("web-0", "ErrImagePull", "no")


class Wire(asyncio.Transport):
    """Remembers what was written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("10.81.1.0", 40000)})
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


def exchange(*chunks: bytes, log: str = "") -> Wire:
    wire = Wire()
    web = Web(b"hello", set(), log)
    web.connection_made(wire)
    for chunk in chunks:
        web.data_received(chunk)
    return wire


def test_requests_on_one_connection_are_answered_one_by_one_however_they_are_cut():
    wire = exchange(b"GET / HTTP/1.1\r\nHo", b"st: a\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na", b"bc")
    assert wire.written.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert wire.written.endswith(b"\r\n\r\nhello")
    assert not wire.closed


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", b"nonsense\r\n\r\n"]
)
def test_a_connection_is_closed_when_the_client_wants_it_or_makes_no_sense(request_):
    assert exchange(request_).closed


def test_an_answer_to_head_has_no_body():
    assert exchange(b"HEAD / HTTP/1.1\r\n\r\n").written.endswith(b"Content-Length: 5\r\nConnection: keep-alive\r\n\r\n")


def test_every_request_is_one_line_of_the_log(tmp_path):
    log = tmp_path / "c.log"
    exchange(b"GET /a HTTP/1.1\r\n\r\nHEAD / HTTP/1.1\r\n\r\n", b"two\nlines\r\n\r\n", log=str(log))
    assert [line.partition(" ")[2] for line in log.read_text().splitlines()] == [
        '10.81.1.0 "GET /a HTTP/1.1" 200',
        '10.81.1.0 "HEAD / HTTP/1.1" 200',
        '10.81.1.0 "two\\nlines" 400',
    ]
