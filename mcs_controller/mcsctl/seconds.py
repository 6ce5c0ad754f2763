"""How long, as people write it in a flag."""

from __future__ import annotations

from typing import Any, Final

import click

from mcs_controller.domain.durations import parse_duration


class Seconds(click.ParamType[float]):
    """Seconds as a number ("60", "0.5") or a duration ("60s", "1m30s")."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse, or fail with an example."""
        text = str(value)
        try:
            return parse_duration(text if text[-1:].isalpha() else f"{text}s")
        except ValueError as error:
            self.fail(str(error), param, ctx)


SECONDS: Final = Seconds()
