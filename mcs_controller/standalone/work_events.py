"""The events that go with a Work's status: one per change, none per try (contract 0.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.works import cluster_of
from mcs_controller.runtime.events import ObjectReference
from mcs_controller.standalone.domain.work_status import kept_status

if TYPE_CHECKING:
    from informers.meta import Condition
    from mcs_controller.api.common import JsonObject
    from mcs_controller.api.work import Manifest, Work
    from mcs_controller.runtime.events import EventType, Recorder


class WorkEvents:
    """Records events of Works and of the templates that they carry. `work` is the state before the change."""

    def __init__(self, recorder: Recorder) -> None:
        self._execution = recorder.for_component(wk.EXECUTION_CONTROLLER)
        self._status = recorder.for_component(wk.WORK_STATUS_CONTROLLER)

    def condition_changed(self, work: Work, condition: Condition) -> None:
        """A condition says something else than before."""
        if condition.type == wk.DISPATCHING:
            self._execution.event(_work_reference(work), "Normal", wk.EVENT_WORK_DISPATCHING, condition.message)
            return
        cluster = cluster_of(work) or ""
        name = f"{work.metadata.namespace}/{work.metadata.name}"
        ok = condition.status == "True"
        kind: EventType = "Normal" if ok else "Warning"
        reason = wk.EVENT_SYNC_SUCCEED if ok else wk.EVENT_SYNC_FAILED
        for manifest in work.manifests:
            if (template := _template_reference(manifest)) is None:
                continue
            where = f"resource({template.namespace}/{template.name}) to cluster {cluster}"
            text = f"Successfully applied {where}" if ok else f"Failed to apply {where}: {condition.message}"
            self._execution.event(template, kind, reason, text)
        text = f"Sync work({name}) to cluster({cluster})"
        outcome = "successful." if ok else f"failed: {condition.message}"
        self._execution.event(_work_reference(work), kind, reason, f"{text} {outcome}")

    def status_seen(self, work: Work, status: JsonObject) -> None:
        """The Work carries this entry of `manifestStatuses` from now on."""
        identifier = status["identifier"]
        before = kept_status(identifier["ordinal"], work)
        if before == status:
            return
        parts = (identifier["kind"], identifier.get("namespace"), identifier["name"])
        what = f"object({'/'.join(part for part in parts if part)})"
        reference = _work_reference(work)
        self._status.event(reference, "Normal", wk.EVENT_REFLECT_STATUS_SUCCEED, f"Reflect status for {what} succeed.")
        # Karmada interprets the health of kinds that it has a rule for; of ours only Services have one.
        if identifier["kind"] == wk.SERVICE_KIND and (before or {}).get("health") != status["health"]:
            text = f"Interpret health of {what} as {status['health'].lower()}."
            self._status.event(reference, "Normal", wk.EVENT_INTERPRET_HEALTH_SUCCEED, text)


class _TemplateMeta(msgspec.Struct):
    annotations: dict[str, str] | None = None


class _Template(msgspec.Struct):
    metadata: _TemplateMeta


def _work_reference(work: Work) -> ObjectReference:
    meta = work.metadata
    return ObjectReference(
        api_version=wk.WORK_API_VERSION, kind=wk.WORK_KIND, namespace=meta.namespace, name=meta.name, uid=meta.uid
    )


def _template_reference(manifest: Manifest) -> ObjectReference | None:
    """The template in the control plane; None for manifests without one, such as dispatched slices."""
    ref = manifest.ref
    if ref is None:
        return None
    uid = (msgspec.json.decode(manifest.raw, type=_Template).metadata.annotations or {}).get(wk.TEMPLATE_UID)
    if not uid:
        return None
    return ObjectReference(api_version=ref.api_version, kind=ref.kind, namespace=ref.namespace, name=ref.name, uid=uid)
