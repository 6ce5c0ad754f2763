"""For which service something is written, as people want to know it; by what the object itself says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcs_controller.api.work import Work
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import named_in

if TYPE_CHECKING:
    from informers.meta import KubeObject

_SERVICES = (wk.SERVICE_KIND, wk.MCS_KIND, wk.SERVICE_EXPORT_KIND, wk.SERVICE_IMPORT_KIND)
_MARKS = ((wk.MCS_NAMESPACE, wk.MCS_NAME), (wk.EXPORT_NAMESPACE, wk.EXPORT_NAME))


def service_of_write(kind: str, namespace: str, name: str, answer: KubeObject | None) -> str:
    """`namespace/name`, or nothing if the object that was written (None if it is gone) does not say it."""
    if kind in _SERVICES:
        return f"{namespace}/{name}"
    if answer is None:
        return ""
    meta = answer.metadata
    for marks in (meta.labels, meta.annotations):
        for of_namespace, of_name in _MARKS:
            if (key := named_in(marks, of_namespace, of_name)) is not None:
                return str(key)
    if service := meta.labels.get(wk.SERVICE_NAME):
        return f"{namespace}/{service}"
    ref = answer.ref if isinstance(answer, Work) else None
    return f"{ref.namespace}/{ref.name}" if ref is not None and ref.kind == wk.SERVICE_KIND else ""
