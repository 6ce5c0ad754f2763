"""How much memory the caches of members may take: the container's limit decides, unless a flag does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

SHARE: Final = 0.4
"""Of the memory limit. The rest is for the caches of the control plane and for everything that is not a cache."""

_CGROUP_FILES: Final = ("memory.max", "memory/memory.limit_in_bytes")
"""Of cgroups v2 and v1, as a container sees its own."""


def default_cache_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes for the caches of all members together: a share of the container's limit, else of the machine's memory."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in _CGROUP_FILES:
        try:
            limits.append(int((cgroup / name).read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return int(min(limits) * SHARE)
