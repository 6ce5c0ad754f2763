"""A pid that was handed out again is never mistaken for the process that had it."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from testbed import temporary
from testbed.identity import BED_VARIABLE, ProcessIdentity, carries_mark, kill_leftovers, processes_of


@pytest.fixture
def sleeper(tmp_path):
    environ = {**os.environ, BED_VARIABLE: str(tmp_path / "bed")}
    command = [sys.executable, "-c", "print('up', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def identity_of(process: subprocess.Popen[bytes]) -> ProcessIdentity:
    identity = ProcessIdentity.of(process.pid)
    assert identity is not None
    return identity


def test_a_running_process_is_recognised(sleeper):
    assert identity_of(sleeper).alive()


def test_a_recycled_pid_is_another_process_and_gets_no_signal(sleeper):
    now = identity_of(sleeper)
    before = dataclasses.replace(now, started=now.started - 1)
    assert not before.alive()
    assert not before.send(signal.SIGKILL)
    assert now.alive()


def test_the_same_pid_and_start_in_another_boot_is_another_process(sleeper):
    earlier = dataclasses.replace(identity_of(sleeper), boot="another")
    assert not earlier.alive()


def test_a_zombie_counts_as_gone(sleeper):
    identity = identity_of(sleeper)
    assert identity.send(signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has collected it
    assert not identity.alive()
    assert ProcessIdentity.of(sleeper.pid) is None


def test_no_process_has_no_identity():
    assert ProcessIdentity.of(2**22 + 1) is None


def test_leftovers_are_found_by_their_mark_and_only_by_the_whole_of_it(sleeper, tmp_path):
    assert [each.pid for each in processes_of(tmp_path / "bed")] == [sleeper.pid]
    assert list(processes_of(tmp_path / "be")) == []
    assert not carries_mark(os.getpid(), tmp_path / "bed")


def test_killing_leftovers_ends_marked_processes(sleeper, tmp_path):
    assert kill_leftovers(tmp_path / "other") == 0
    assert sleeper.poll() is None
    assert kill_leftovers(tmp_path / "bed") == 1
    assert sleeper.wait() == -signal.SIGKILL


def owned_directory(parent: Path, name: str, owner: ProcessIdentity | None) -> Path:
    path = parent / name
    path.mkdir()
    if owner is not None:
        (path / "owner.json").write_bytes(msgspec.json.encode(owner))
    return path


def test_only_directories_whose_owner_is_gone_are_swept(sleeper, tmp_path):
    alive = identity_of(sleeper)
    dead = dataclasses.replace(alive, started=1)
    living = owned_directory(tmp_path, f"{temporary.PREFIX}living", alive)
    crashed = owned_directory(tmp_path, f"{temporary.PREFIX}crashed", dead)
    kept = owned_directory(tmp_path, f"{temporary.PREFIX}kept", dead)
    temporary.keep(kept)
    foreign = owned_directory(tmp_path, "foreign", dead)
    assert temporary.sweep(tmp_path) == [crashed]
    assert not crashed.exists()
    assert all(each.exists() for each in (living, kept, foreign))
    assert sleeper.poll() is None
