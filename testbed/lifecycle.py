"""Start, inspect and stop named beds: ``python -m testbed`` without its output."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.dataplane import leftovers
from testbed.errors import BedError, StateError
from testbed.identity import BED_VARIABLE, ProcessIdentity, kill_leftovers, processes_of
from testbed.state import BEDS, BedDirectory, BedState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from testbed.supervisor import Extent

START_SECONDS = 300.0
STOP_SECONDS = 60.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of :func:`up`."""

    state: BedState
    already_up: bool


def up(
    directory: BedDirectory,
    *,
    members: Sequence[str],
    extent: Extent,
    on_progress: Callable[[str], None],
    dataplane: bool = False,
    versions: Mapping[str, str] | None = None,
) -> Outcome:
    """Start the bed unless it runs. Leftovers of a crashed bed of this name are removed first.

    A bed that is up already is left as it is, whatever was asked for.

    Args:
        directory: of the bed.
        members: names of the members.
        extent: see :func:`testbed.supervisor.supervise`.
        on_progress: called with a short sentence when something has been reached.
        dataplane: whether its Pods shall answer.
        versions: as for :class:`~testbed.bed.Bed`.

    Raises:
        BedError: it did not come up; the reason is in the text, the logs are kept until the next up or down.
    """
    with directory.lock():
        state = directory.read()
        alive = state is not None and state.supervisor.alive()
        if state is not None and alive and state.phase == "ready":
            return Outcome(state=state, already_up=True)
        if state is not None and alive and state.phase == "starting":
            supervisor = state.supervisor  # whoever started it was killed meanwhile: wait in its place
        else:
            if directory.root.exists():
                on_progress(f"removing what is left of an earlier bed {directory.name!r}")
            if state is not None:
                _end(state.supervisor)
            _clear(directory)
            supervisor = _spawn(directory, members, extent, dataplane, versions or {})
        try:
            return Outcome(state=_until_ready(directory, supervisor, on_progress), already_up=False)
        except BaseException as error:
            _end(supervisor)
            kill_leftovers(directory.root)
            if not isinstance(error, BedError):  # Ctrl-C: nothing to read in the logs
                _clear(directory)
            raise


def down(directory: BedDirectory) -> bool:
    """Stop the bed and remove all its processes and files, also after a crash, and when it never ran.

    Returns:
        Whether there was anything to remove.

    Raises:
        StateError: a process of it does not end.
    """
    with directory.lock():
        state = directory.read()
        found = directory.root.exists() or any(True for _ in processes_of(directory.root))
        if state is not None:
            _end(state.supervisor)
        return _clear(directory) or found


def status(directory: BedDirectory) -> BedState | None:
    """The current state of the bed; None if it does not run. A dead supervisor is ``failed``."""
    state = directory.read()
    if state is not None and state.phase != "failed" and not state.supervisor.alive():
        state.phase = "failed"
        state.message = "its supervisor was killed; `python -m testbed down` clears up, and so does the next up"
    return state


def not_running(state: BedState) -> list[str]:
    """The names of those processes of a bed that have ended."""
    return [name for name, identity in state.processes.items() if not identity.alive()]


def names() -> list[str]:
    """The named beds that have a directory."""
    return sorted(path.name for path in BEDS.iterdir() if path.is_dir()) if BEDS.is_dir() else []


def _spawn(
    directory: BedDirectory, members: Sequence[str], extent: Extent, dataplane: bool, versions: Mapping[str, str]
) -> ProcessIdentity:
    directory.root.mkdir(parents=True, mode=0o700)
    directory.progress_log.touch()
    command = [sys.executable, "-m", "testbed", "supervise", "--name", directory.name, "--extent", extent]
    command += ["--dataplane"] if dataplane else []
    command += [f"--version={plane}={version}" for plane, version in versions.items()]
    with directory.supervisor_log.open("ab") as log:
        process = subprocess.Popen(
            [*command, *members],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=BEDS.parent,
            env={**os.environ, BED_VARIABLE: str(directory.root)},
            start_new_session=True,
        )
    identity = ProcessIdentity.of(process.pid)
    # It outlives us on purpose; without this, Python warns about a child that nobody waited for.
    process.returncode = 0
    if identity is None:
        raise _failure(directory, "the supervisor ended at once")
    return identity


def _until_ready(directory: BedDirectory, supervisor: ProcessIdentity, on_progress: Callable[[str], None]) -> BedState:
    told = 0
    deadline = time.monotonic() + START_SECONDS
    while True:
        alive = supervisor.alive()  # asked first: what it wrote before it ended is then seen below
        lines = directory.progress_log.read_text().splitlines() if directory.progress_log.exists() else []
        for line in lines[told:]:
            on_progress(line)
        told = max(told, len(lines))
        state = directory.read()
        if state is not None and state.phase == "ready" and alive:
            return state
        if state is not None and state.phase == "failed":
            raise BedError(f"{state.message}\nall logs are in {directory.root}, until the next up or down")
        if not alive:
            raise _failure(directory, "the supervisor ended")
        if time.monotonic() > deadline:
            raise _failure(directory, f"it was not ready within {START_SECONDS:g} s")
        time.sleep(POLL_SECONDS)


def _failure(directory: BedDirectory, what: str) -> BedError:
    log = directory.supervisor_log
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else ""
    return BedError(f"bed {directory.name!r}: {what}; the end of {log}:\n{tail}")


def _end(supervisor: ProcessIdentity) -> None:
    """Send SIGTERM, wait, send SIGKILL; only to this process."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        supervisor.send(signum)
        deadline = time.monotonic() + STOP_SECONDS
        while supervisor.alive():
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        else:
            return
    raise StateError(f"process {supervisor.pid} does not end")


def _clear(directory: BedDirectory) -> bool:
    """Remove every process, network namespace and file of a bed whose supervisor has ended.

    Returns:
        Whether there were network namespaces, which a bed that ended in order does not leave.
    """
    deadline = time.monotonic() + STOP_SECONDS
    while any(True for _ in processes_of(directory.root)):
        kill_leftovers(directory.root)
        if time.monotonic() > deadline:
            raise StateError(f"processes of {directory.root} do not end")
        time.sleep(POLL_SECONDS)
    found = leftovers.remove_root(directory.root)
    shutil.rmtree(directory.root, ignore_errors=True)
    return found
