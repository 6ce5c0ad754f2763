"""docs/reference/events.md and annotations.md, from `tools.explanations`."""

from __future__ import annotations

from tools.explanations import EVENTS, MARKS
from tools.markdown import table

_MADE = "Made from `tools/explanations.py` by `make docs`."


def events_page() -> str:
    """docs/reference/events.md."""
    lines = [
        "# Kubernetes events",
        "",
        f"{_MADE} `kubectl describe` shows the events of an object, `kubectl get events -A --field-selector "
        "reason=NAME` all with a reason. An event is written when something changes, not with every try. Those with * "
        "are ours alone; the others have Karmada's reasons.",
        *table(
            ["reason", "type", "on", "when", "what to do"],
            (
                (f"`{reason}`{'*' if of.ours else ''}", of.type, of.about, of.when, of.todo)
                for reason, of in sorted(EVENTS.items())
            ),
        ),
    ]
    return "\n".join(lines) + "\n"


def annotations_page() -> str:
    """docs/reference/annotations.md."""
    lines = [
        "# Labels, annotations and finalizers",
        "",
        f"{_MADE} [Wire format](../wire-format.md) says when each is written. Those with * are ours alone; the others "
        "are Karmada's and Kubernetes'.",
    ]
    for sort in ("annotation", "label", "finalizer"):
        rows = sorted(
            (f"`{key}`{'*' if mark.ours else ''}", mark.on, mark.by, mark.value)
            for key, marks in MARKS.items()
            for mark in marks
            if mark.sort == sort
        )
        last = "removed when" if sort == "finalizer" else "value"
        lines += ["", f"## {sort.capitalize()}s", *table(["key", "on", "set by", last], rows)]
    return "\n".join(lines) + "\n"
