"""The state file of a named bed, with which other processes find, use and stop it.

Everything is in ``.bed/<name>/`` of the checkout, which git ignores: the state, the kubeconfigs, logs and data.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from testbed.access import write_private
from testbed.errors import StateError
from testbed.identity import ProcessIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator

BEDS = Path(__file__).resolve().parent.parent / ".bed"
DEFAULT_NAME = "default"

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")

Phase = Literal["starting", "ready", "failed"]


class BedState(msgspec.Struct, kw_only=True):
    """The last state that the supervisor of a named bed wrote.

    Attributes:
        name: of the bed.
        phase: how far it is; ``failed`` comes with a message.
        supervisor: the process that owns all others.
        members: names of the member clusters.
        kubeconfigs: paths by plane, ``karmada`` first; ``controller`` is what the controller itself uses.
        processes: the components by name.
        controller: whether our controller runs.
        dataplane: whether its Pods answer.
        versions: of the API servers that are not the newest, by plane.
        message: what went wrong.
        seconds: how long it took to get ready.
    """

    name: str
    phase: Phase
    supervisor: ProcessIdentity
    members: list[str]
    kubeconfigs: dict[str, str] = {}
    processes: dict[str, ProcessIdentity] = {}
    controller: bool = False
    dataplane: bool = False
    versions: dict[str, str] = {}
    message: str = ""
    seconds: float = 0.0


class BedDirectory:
    """The directory of a named bed, running or not.

    Args:
        name: of the bed.
        beds: the directory that holds all of them.

    Raises:
        StateError: the name is none that a directory and an etcd can have.
    """

    def __init__(self, name: str, beds: Path = BEDS) -> None:
        if not _NAME.fullmatch(name):
            raise StateError(f"{name!r} is not a valid name of a bed: use up to 32 of a-z, 0-9 and dashes")
        self.name = name
        self.root = beds / name
        self._beds = beds

    @property
    def progress_log(self) -> Path:
        """The progress of the start, in lines."""
        return self.root / "progress.log"

    @property
    def supervisor_log(self) -> Path:
        """The log of the supervisor."""
        return self.root / "supervisor.log"

    def read(self) -> BedState | None:
        """The state; None if there is none, or it cannot be read (its writer crashed, or was another version)."""
        try:
            return msgspec.json.decode((self.root / "state.json").read_bytes(), type=BedState)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            return None

    def write(self, state: BedState) -> None:
        """Replace the state atomically."""
        write_private(self.root / "state.json", msgspec.json.format(msgspec.json.encode(state)))

    @contextlib.contextmanager
    def lock(self, timeout: float = 120.0) -> Iterator[None]:
        """Hold the exclusive lock for starting and stopping this bed.

        The lock file is removed by its holder, so whoever gets the lock must check that it is still *the* file.

        Raises:
            StateError: another process has held it for ``timeout`` seconds.
        """
        self._beds.mkdir(mode=0o700, exist_ok=True)
        path = self._beds / f".{self.name}.lock"
        deadline = time.monotonic() + timeout
        while True:
            self._beds.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            with contextlib.suppress(BlockingIOError, FileNotFoundError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.stat().st_ino == os.fstat(handle).st_ino:
                    break
            os.close(handle)
            if time.monotonic() > deadline:
                raise StateError(f"another process has held the lock of bed {self.name!r} for {timeout:g} s")
            time.sleep(0.1)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(handle)
            with contextlib.suppress(OSError):  # there are other beds
                self._beds.rmdir()
