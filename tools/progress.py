"""Show the progress of resolving components: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console
    from rich.status import Status

    from tools.components import Progress

PLAIN_EVERY_SECONDS = 15.0


class ProgressPrinter:
    """A callback for :func:`tools.components.resolve` that writes to a console.

    Use as a context manager, so that the live line goes away on errors too.

    Args:
        console: where to write.
        found: whether to name what needed no building, too.
    """

    def __init__(self, console: Console, *, found: bool = True) -> None:
        self._console = console
        self._found = found
        self._stack = ExitStack()
        self._status: Status | None = None
        self._reported: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def __call__(self, progress: Progress) -> None:
        """Take one report."""
        if progress.phase in ("found", "built"):
            if self._status is not None:
                self._status.stop()
            if progress.phase == "found" and not self._found:
                return
            built = f"built in {progress.seconds:.0f} s" if progress.seconds else "built by another process"
            how = f"({progress.detail if progress.phase == 'found' else built})"
            self._console.print(
                f"{progress.component} {how} {progress.path}", highlight=False, markup=False, soft_wrap=True
            )
            return
        text = (
            f"building {progress.component} {progress.detail} ... {progress.seconds:.0f} s (the first time only)"
            if progress.phase == "building"
            else f"another process is building {progress.component}, waiting ... {progress.seconds:.0f} s"
        )
        if self._console.is_terminal:
            if self._status is None:
                self._status = self._stack.enter_context(self._console.status(text))
            self._status.update(text)
            self._status.start()
        elif progress.seconds - self._reported.get(progress.component, -PLAIN_EVERY_SECONDS) >= PLAIN_EVERY_SECONDS:
            self._reported[progress.component] = progress.seconds
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)
