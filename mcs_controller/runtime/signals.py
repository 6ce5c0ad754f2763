"""SIGTERM and SIGINT: the first asks to stop, the second does not ask."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Within, call `stop` on the first SIGTERM or SIGINT, and end the process with code 1 on the second.

    To be entered in the main thread with the event loop running, and once at a time: leaving gives the signals back to
    their default. `stop` is called from that loop and must not block.
    """
    loop = asyncio.get_running_loop()
    received = 0

    def handle(number: signal.Signals) -> None:
        nonlocal received
        received += 1
        if received > 1:
            log.error("Second signal: exiting at once", extra={"signal": number.name})
            logging.shutdown()
            os._exit(1)  # a drain that hangs is what the second signal is for, so nothing is waited for
        log.info("Stopping", extra={"signal": number.name})
        stop()

    for number in _SIGNALS:
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
