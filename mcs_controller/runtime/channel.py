"""Requests that come from elsewhere than a watch: controller-runtime's `source.Channel`.

Whoever sends needs the channel only. So a controller's requests can come from those that are built before it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

R = TypeVar("R", bound="Hashable")


class Channel(Generic[R]):
    """Brings requests to the one controller that takes them. Not thread-safe."""

    def __init__(self) -> None:
        self._enqueue: Callable[[R], None] | None = None

    def connect(self, enqueue: Callable[[R], None]) -> None:
        """Give every request to `enqueue` from now on.

        Raises:
            RuntimeError: another controller takes them already.
        """
        if self._enqueue is not None:
            raise RuntimeError("another controller takes these requests")
        self._enqueue = enqueue

    def send(self, request: R) -> None:
        """Have the request reconciled soon.

        Raises:
            RuntimeError: no controller takes it.
        """
        if self._enqueue is None:
            raise RuntimeError(f"no controller takes {request}")
        self._enqueue(request)
