"""The directories of beds without a name: created, kept on request, removed after a crash.

While a bed lives its directory holds a file that says which process owns it. A directory whose owner is gone, and who
did not say that it is to be kept, was left by a crash: the next bed removes it, and only it.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import msgspec

from testbed.access import write_private
from testbed.identity import ProcessIdentity, kill_leftovers

PREFIX = "mcs-testbed-"
_OWNER = "owner.json"


def make(owner: ProcessIdentity) -> Path:
    """A new directory for a bed of this process; leftovers of crashed beds are removed first."""
    sweep(Path(tempfile.gettempdir()))
    root = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    write_private(root / _OWNER, msgspec.json.encode(owner))
    return root


def keep(root: Path) -> None:
    """Keep the directory until it is removed by hand."""
    (root / _OWNER).unlink(missing_ok=True)


def sweep(parent: Path) -> list[Path]:
    """Remove the directories of crashed beds below ``parent``; the removed ones."""
    swept = []
    for root in parent.glob(f"{PREFIX}*"):
        try:
            owner = msgspec.json.decode((root / _OWNER).read_bytes(), type=ProcessIdentity)
        except (OSError, msgspec.DecodeError):
            continue  # kept, being made just now, or somebody else's
        if not owner.alive():
            kill_leftovers(root)
            shutil.rmtree(root, ignore_errors=True)
            swept.append(root)
    return swept
