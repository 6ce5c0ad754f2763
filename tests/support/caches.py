"""A cache whose first list a test decides about."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.objects import CONFIG_MAPS

if TYPE_CHECKING:
    from informers.errors import KubeError


class FakeCache:
    """As much of a SharedInformer as a manager looks at."""

    def __init__(self) -> None:
        self.resource = CONFIG_MAPS
        self.last_error: KubeError | None = None
        self._synced = asyncio.Event()

    @property
    def has_synced(self) -> bool:
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def sync(self) -> None:
        """The first list is complete."""
        self.last_error = None
        self._synced.set()
