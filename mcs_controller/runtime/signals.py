"""SIGTERM and SIGINT: the first asks to stop, the second does not ask.

A signal that comes twice at once is one: a terminal, `docker stop` or a shell sends it to a whole group, and a parent
in that group passes it on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

ECHO_SECONDS: Final = 0.2
"""For so long an equal signal is the same one."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Within, call `stop` on the first SIGTERM or SIGINT, and end the process with code 1 on the second.

    An equal one within :data:`ECHO_SECONDS` of the first does not count.

    To be entered in the main thread with the event loop running, and once at a time: leaving gives the signals back to
    their default. `stop` is called from that loop and must not block.
    """
    loop = asyncio.get_running_loop()
    first: tuple[signal.Signals, float] | None = None

    def handle(number: signal.Signals) -> None:
        nonlocal first
        now = time.monotonic()
        if first is not None and is_echo(number, now - first[1], of=first[0]):
            log.debug("Duplicate signal ignored", extra={"signal": number.name})
            return
        if first is not None:
            log.error("Second signal: exiting at once", extra={"signal": number.name})
            logging.shutdown()
            os._exit(1)  # a drain that hangs is what the second signal is for, so nothing is waited for
        first = number, now
        log.info("Stopping", extra={"signal": number.name})
        stop()

    for number in _SIGNALS:
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        # Held back meanwhile: between one handler and the next an echo would end the process.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        if first is not None:
            _ignore_echo(*first)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def is_echo(number: signal.Signals, seconds: float, *, of: signal.Signals) -> bool:
    """Whether a signal that came so long after the first one is the same again."""
    return number is of and seconds < ECHO_SECONDS


def _ignore_echo(number: signal.Signals, since: float) -> None:
    """Who stops quickly may be on the way out when the echo comes."""
    before = signal.getsignal(number)

    def handle(_: int, frame: Any) -> None:
        if not is_echo(number, time.monotonic() - since, of=number):
            signal.signal(number, before)
            signal.raise_signal(number)

    signal.signal(number, handle)
