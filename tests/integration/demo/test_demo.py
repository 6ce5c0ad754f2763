"""``python -m testbed.demo`` as people and pipelines run it: what it says, its exit code, that it leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from testbed.dataplane import names, network
from testbed.identity import processes_of
from testbed.temporary import PREFIX

REPOSITORY = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.usefixtures("binaries")


@pytest.fixture
def start(tmp_path):
    """Starts a demo whose bed is made below ``tmp_path``."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "testbed.demo", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def run(start, tmp_path):
    """Runs a demo to its end: the exit code, its document, its narration. It must leave nothing behind."""

    def to_the_end(*arguments: str) -> tuple[int, dict[str, Any], str]:
        process = start("--output", "json", "--timeout=120", *arguments)  # the last --timeout counts
        stdout, stderr = process.communicate(timeout=500)
        assert not list(tmp_path.glob(f"{PREFIX}*"))
        return process.returncode, json.loads(stdout), stderr

    return to_the_end


def hostname(step: dict[str, Any]) -> str:
    """Who answered the command, which is shown with its literal output."""
    prompt, *answer = step["observed"].splitlines()
    assert prompt.endswith("$ curl http://nginx.default")
    assert answer[:2] == ["Hello, world!", "Version: 1.0.0"]
    (last,) = answer[2:]
    name: str = last.removeprefix("Hostname: ")
    return name


@pytest.mark.usefixtures("dataplane")
def test_where_pods_can_answer_a_client_in_member2_is_shown_too(run):
    code, document, narration = run()
    assert [each for each in document["steps"] if not each["ok"]] == [], narration
    assert (code, document["dataplane"]) == (0, {"used": True, "why_not": []})
    before, shared, after = (each for each in document["steps"] if each["title"] == "curl http://nginx.default")
    assert before["observed"].endswith("curl: (6) Could not resolve host: nginx.default")
    assert shared["chapter"] == "With the gate, the Service of member1 gets to member2"
    assert shared["looking_at"].startswith("Pod default/curl-")
    assert hostname(shared).startswith("nginx-")
    assert "curl: (7) Failed to connect to nginx.default port 80" in after["observed"]
    (left,) = (each for each in document["steps"] if each["title"] == "Answers of the remaining 1")
    assert "20 answers, all of nginx-" in left["observed"]
    way = document["hops"]
    assert [each["name"] for each in way] == [
        "Pod ready in member1",
        "slice written in member1",
        "collected on karmada",
        "dispatched on karmada",
        "slice applied in member2",
        "kube-proxy programmed in member2",
        "first answer over the name",
    ]
    assert sum(each["seconds"] for each in way) == pytest.approx(way[-1]["since"], abs=0.01)
    assert "From `Pod ready in member1` to `first answer over the name`" in narration


def test_without_a_data_plane_every_step_is_observed_and_the_exit_code_is_0(run):
    code, document, narration = run("--no-dataplane")
    assert [each for each in document["steps"] if not each["ok"]] == [], narration
    assert document["dataplane"] == {"used": False, "why_not": ["--no-dataplane was given"]}
    assert "There is no data plane, so no Pod answers:\n    · --no-dataplane was given" in narration
    assert document["hops"][-1]["name"] == "slice applied in member2"
    assert (code, document["ok"]) == (0, True)
    by_title = {each["title"]: each for each in document["steps"]}
    assert by_title["MCS-Work"]["looking_at"] == "Work karmada-es-member1/nginx-747889f6c4 on karmada"
    native, imported = by_title["Slice in member1"], by_title["Slice in member2"]
    name = native["looking_at"].split()[1].removeprefix("default/")
    assert imported["looking_at"] == f"EndpointSlice default/member1-{name} in member2"
    assert by_title["Collected Work"]["looking_at"].startswith(f"Work karmada-es-member1/{name}-")
    assert imported["observed"].partition(";")[0] == native["observed"].partition(": ")[2]
    assert by_title["Nothing was written for the MultiClusterService"]["observed"].startswith("MultiClusterService and")
    assert "✓ Slice in member2" in narration


def test_without_the_dispatcher_the_dispatched_work_is_named_as_missing_and_why(run):
    code, document, narration = run(
        "--no-dataplane", "--timeout=45", "--controller-flag=--controllers=*,standalone,-endpointsliceDispatch"
    )
    assert (code, document["ok"]) == (1, False)
    failed = [each for each in document["steps"] if each["reached"] and not each["ok"]]
    assert [each["title"] for each in failed] == ["Dispatched Work", "Slice in member2", "Conditions"], narration
    missing = failed[0]["looking_at"]
    assert missing.startswith("Work karmada-es-member2/nginx-")
    assert f"last seen: no {missing}" in failed[0]["observed"]
    findings = {each["about"]: "\n".join(each["lines"]) for each in failed[0]["findings"]}
    assert "endpointslice-dispatch-controller makes it and does not run" in findings["why"]
    assert "ServiceApplied=True" in findings["conditions of MultiClusterService default/nginx"]
    assert "SyncServiceSucceed" in findings["events of MultiClusterService default/nginx"]
    assert "Applied=True AppliedSuccessful" in findings["Works"]
    assert "Wrote controller=multiclusterservice" in findings["the controller runs; the end of its log"]
    assert f"✗ Not as expected: Dispatched Work: {missing}" in narration
    assert not any(each["reached"] for each in document["steps"] if each["chapter"].startswith("Scaled"))


def test_a_controller_that_writes_although_its_gate_should_be_off_is_caught(run):
    code, document, narration = run("--no-dataplane", "--controller-flag=--feature-gates=MultiClusterService=true")
    assert (code, document["ok"]) == (1, False)
    (failed,) = [each for each in document["steps"] if each["reached"] and not each["ok"]]
    assert failed["title"] == "Nothing was written for the MultiClusterService", narration
    for left in (
        "finalizers: ",
        "claim labels: ",
        "changes of the Service: ",
        "Works: ",
        "requests by the controller: ",
    ):
        assert left in failed["observed"]


@pytest.mark.parametrize(
    ("signum", "moment"),
    [(signal.SIGTERM, "etcd is up"), (signal.SIGINT, "Members are registered")],
    ids=["SIGTERM while the bed starts", "SIGINT while the controller starts"],
)
def test_a_signal_ends_it_and_nothing_is_left(start, tmp_path, signum, moment):
    process = start()
    line = ""
    while moment not in line:
        line = process.stdout.readline()
        assert line, process.communicate()
    (root,) = tmp_path.glob(f"{PREFIX}*")
    process.send_signal(signum)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 128 + signum, stderr
    assert f"{signum.name}: stopping everything" in stdout
    assert "Traceback" not in stderr
    assert not list(processes_of(root))
    assert not root.exists()
    assert not [each for each in network.existing() if names.bed_of(each) == names.bed_id(root)]
