"""Find and remove the network namespaces of killed beds, which outlive their processes.

A bed with a data plane records its owner in ``/run/mcs-testbed/<id>/owner.json``, before its first namespace exists and
until its last one is removed. Only namespaces whose names have an id without a living owner are leftovers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import msgspec

from testbed.access import write_private
from testbed.dataplane import names
from testbed.dataplane.network import ETC_NETNS, NETNS
from testbed.errors import BedError
from testbed.identity import ProcessIdentity, carries_mark, kill_leftovers, processes_of

RUNTIME = Path("/run/mcs-testbed")
CLAIM_TRIES = 10


class Owner(msgspec.Struct, kw_only=True):
    """Who owns the namespaces of one id.

    Attributes:
        root: the bed's directory; its processes carry it as their mark.
        process: the process that the bed lives in.
    """

    root: str
    process: ProcessIdentity


def directory(bed: str) -> Path:
    """The directory of a bed's sockets; short, as the path of a Unix socket has at most 107 bytes."""
    return RUNTIME / bed


def claim(root: Path) -> str:
    """Claim the id of a bed's directory, and remove the leftovers of an earlier bed; the id."""
    bed = names.bed_id(root)
    remove(bed)
    process = ProcessIdentity.of(os.getpid())
    assert process is not None
    content = msgspec.json.encode(Owner(root=str(root), process=process))
    for _ in range(CLAIM_TRIES):
        # The last bed to go takes the common directory with it, maybe just now.
        with contextlib.suppress(FileNotFoundError):
            write_private(directory(bed) / "owner.json", content)
            return bed
    raise BedError(f"cannot write to {directory(bed)}")


def remove(bed: str) -> bool:
    """Remove every namespace and file of an id, whatever its owner; whether anything existed."""
    found = [each for each in _names() if names.bed_of(each) == bed]
    if mounted := [each for each in found if (NETNS / each).exists()]:
        lines = "".join(f"netns del {each}\n" for each in mounted)
        subprocess.run(["ip", "-force", "-batch", "-"], input=lines.encode(), check=False, capture_output=True)
    for each in found:
        shutil.rmtree(ETC_NETNS / each, ignore_errors=True)
    with contextlib.suppress(OSError):  # others use it
        ETC_NETNS.rmdir()
    there = directory(bed).exists()
    shutil.rmtree(directory(bed), ignore_errors=True)
    with contextlib.suppress(OSError):  # there are other beds
        RUNTIME.rmdir()
    return bool(found) or there


def remove_root(root: Path) -> bool:
    """:func:`remove` by the bed's directory, which may be gone already."""
    return _allowed() and remove(names.bed_id(root))


def sweep() -> list[str]:
    """Remove the leftovers of beds whose owner has ended; their ids. Does nothing without the rights."""
    if not _allowed():
        return []
    # A directory without an owner is a bed that starts just now.
    claimed = [each.parent.name for each in RUNTIME.glob("*/owner.json")]
    ids = {bed for each in _names() if (bed := names.bed_of(each)) is not None} | set(claimed)
    swept = []
    for bed in sorted(ids):
        owner = _owner(bed)
        if owner is not None and owner.process.alive():
            continue
        if owner is not None:
            kill_leftovers(Path(owner.root))
        if remove(bed):
            swept.append(bed)
    return swept


def kill_in(network: str, root: Path) -> None:
    """Send SIGKILL to the processes of the bed in ``root`` in a network namespace (commands executed in a Pod)."""
    with contextlib.suppress(OSError):
        inode = (NETNS / network).stat().st_ino
        for identity in list(processes_of(root)):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{identity.pid}/ns/net").stat().st_ino == inode and carries_mark(identity.pid, root):
                    identity.send(signal.SIGKILL)


def _allowed() -> bool:
    return os.geteuid() == 0


def _names() -> list[str]:
    """Names of network namespaces; after a reboot only the files under ``/etc/netns`` are left."""
    found: set[str] = set()
    for parent in (NETNS, ETC_NETNS):
        with contextlib.suppress(FileNotFoundError):
            found.update(os.listdir(parent))
    return sorted(found)


def _owner(bed: str) -> Owner | None:
    try:
        return msgspec.json.decode((directory(bed) / "owner.json").read_bytes(), type=Owner)
    except (OSError, msgspec.DecodeError):
        return None
