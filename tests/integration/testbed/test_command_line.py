"""``python -m testbed``: up, status, down, and what happens after a crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from testbed.identity import processes_of
from testbed.state import BEDS, BedDirectory
from tools.components import KUBERNETES_VERSION

REPOSITORY = Path(__file__).resolve().parents[3]


def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "testbed", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=400
    )
    if check:
        assert result.returncode == 0, result.stderr
    return result


@pytest.fixture
def name(binaries):
    name = f"test-{uuid.uuid4().hex[:8]}"
    yield name
    run("down", "--name", name)
    assert not list(processes_of(BEDS / name))
    assert not (BEDS / name).exists()
    assert not (BEDS / f".{name}.lock").exists()


def up(name: str) -> dict[str, Any]:
    answer = run("up", "--name", name, "--members", "0", "--planes-only", "--output", "json")
    state: dict[str, Any] = json.loads(answer.stdout)
    return state


def kill(name: str) -> None:
    """Send SIGKILL to the supervisor, and wait until it has ended."""
    state = BedDirectory(name).read()
    assert state is not None
    state.supervisor.send(signal.SIGKILL)
    while state.supervisor.alive():
        time.sleep(0.01)


def test_a_named_bed_stays_up_until_taken_down(name):
    state = up(name)
    assert state["phase"] == "ready"
    kubectl = [state["kubectl"], "--kubeconfig", state["kubeconfigs"]["karmada"]]
    answer = subprocess.run([*kubectl, "get", "namespaces", "-o", "name"], capture_output=True, text=True, check=True)
    assert "namespace/default" in answer.stdout.split()

    again = run("up", "--name", name, "--members", "0", "--planes-only")
    assert f"bed '{name}' runs already" in again.stderr
    assert f"export KUBECONFIG={state['kubeconfigs']['karmada']}" in again.stdout
    (status,) = json.loads(run("status", "--name", name, "--output", "json").stdout)
    assert status["supervisor"] == state["supervisor"]

    run("down", "--name", name)
    assert not list(processes_of(BEDS / name))
    assert not (BEDS / name).exists()
    assert run("status", "--name", name, check=False).returncode == 1


def test_after_a_crash_status_says_so_and_the_next_up_starts_afresh(name):
    crashed = up(name)
    kill(name)
    status = run("status", "--name", name, check=False)
    assert status.returncode == 1
    assert "its supervisor was killed" in status.stdout
    fresh = up(name)
    assert fresh["phase"] == "ready"
    assert fresh["supervisor"] != crashed["supervisor"]


def test_down_after_a_crash_leaves_nothing_and_spares_whoever_has_the_pid_now(name):
    up(name)
    kill(name)
    # As if the supervisor's pid had been handed to us since.
    directory = BedDirectory(name)
    stale = directory.read()
    assert stale is not None
    stale.supervisor = type(stale.supervisor)(pid=os.getpid(), started=1, boot=stale.supervisor.boot)
    directory.write(stale)
    run("down", "--name", name)
    assert not list(processes_of(BEDS / name))
    assert not (BEDS / name).exists()


def test_down_without_a_bed_says_so_and_succeeds(name):
    assert f"bed '{name}' does not exist" in run("down", "--name", name).stderr


def test_a_plane_has_the_version_that_was_asked_for_and_the_others_the_newest(name, older_apiserver):
    state = json.loads(
        run(
            *("up", "--name", name, "--members", "1", "--planes-only", "--output", "json"),
            f"--version=member1={older_apiserver}",
        ).stdout
    )
    assert state["versions"] == {"member1": older_apiserver}
    for plane, version in (("karmada", KUBERNETES_VERSION), ("member1", older_apiserver)):
        kubectl = [state["kubectl"], "--kubeconfig", state["kubeconfigs"][plane]]
        answer = subprocess.run([*kubectl, "get", "--raw", "/version"], capture_output=True, text=True, check=True)
        assert json.loads(answer.stdout)["gitVersion"] == version


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("member9=v1.32.13", "member9=v1.32.13 is not PLANE=VERSION with a plane of karmada, member1"),
        ("member1", "member1 is not PLANE=VERSION"),
        ("member1=v1.9.0", "unknown kube-apiserver v1.9.0; known:"),
    ],
    ids=["plane", "form", "version"],
)
def test_a_version_that_cannot_be_had_is_refused_before_anything_starts(name, given, reason):
    answer = run("up", "--name", name, "--members", "1", "--planes-only", f"--version={given}", check=False)
    assert answer.returncode != 0
    assert reason in " ".join(answer.stderr.split())
    assert not (BEDS / name).exists()
