"""Differences that an API server does not let anybody change in place: the object has to be deleted and made anew.

Semantics: `ValidateEndpointSliceUpdate` and `ValidateServiceUpdate` of Kubernetes. A server refuses some of them for
ever (422), and ignores one in silence: a Service that has a cluster IP stays as it is when "None" is patched away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcs_controller.domain import well_known as wk
from mcs_controller.standalone.domain.merging import merge

if TYPE_CHECKING:
    from mcs_controller.api.common import JsonObject, Unstructured

_BALANCER = "LoadBalancer"
_EXTERNAL_NAME = "ExternalName"
_HEADLESS = "None"


class Immutable(Exception):
    """The member's object would have to be deleted and made anew, and the Work does not say that it may be."""


def unchangeable(manifest: JsonObject, observed: Unstructured) -> str:
    """Which field keeps the member's object from becoming what the manifest says, for people; empty if none does."""
    kind = (manifest["apiVersion"], manifest["kind"])
    if kind == (wk.SLICE_API_VERSION, wk.SLICE_KIND):
        return _changed("addressType", observed.content.get("addressType"), manifest.get("addressType"))
    if kind == ("v1", wk.SERVICE_KIND):
        known, merged = merge(manifest, observed.content, observed.fields)
        return _of_service(manifest.get("spec") or {}, known.get("spec") or {}, merged["spec"])
    return ""


def check_replaceable(manifest: JsonObject, observed: Unstructured, field: str) -> None:
    """Whether the object may be deleted and made anew: slices always, others if the manifest says to overwrite.

    Args:
        manifest: what is to be there.
        observed: what is there.
        field: what `unchangeable` said.

    Raises:
        Immutable: it may not be, or is on its way out already. The text says why.
    """
    meta = observed.metadata
    what = f"{manifest['kind']} {meta.namespace}/{meta.name}"
    if meta.deletion_timestamp is not None:
        raise Immutable(f"{what} is being deleted, and can be made anew only afterwards")
    annotations = manifest["metadata"].get("annotations") or {}
    if manifest["kind"] == wk.SLICE_KIND or annotations.get(wk.CONFLICT_RESOLUTION) == wk.CONFLICT_OVERWRITE:
        return
    allow = f"{wk.CONFLICT_RESOLUTION}: {wk.CONFLICT_OVERWRITE}"
    raise Immutable(
        f"{what} cannot be changed in place: {field} is immutable; delete it there, or allow it to be deleted and "
        f"made anew with the annotation {allow}"
    )


def _of_service(wanted: JsonObject, there: JsonObject, merged: JsonObject) -> str:
    if _EXTERNAL_NAME in (merged.get("type"), there.get("type")):
        return ""  # its addresses come and go with that type
    before, after = there.get("clusterIP"), wanted.get("clusterIP")
    if before and (before == _HEADLESS) != (after == _HEADLESS):
        return _changed("spec.clusterIP", before, after or "an allocated address")
    before, after = there.get("ipFamilies"), merged.get("ipFamilies")
    if before and after and before[0] != after[0]:
        return _changed("spec.ipFamilies[0]", before[0], after[0])
    if merged.get("type") == there.get("type") == _BALANCER:
        return _changed("spec.loadBalancerClass", there.get("loadBalancerClass"), merged.get("loadBalancerClass"))
    return ""


def _changed(field: str, before: Any, after: Any) -> str:
    return "" if before == after else f"{field} ({before or 'none'} there, {after or 'none'} wanted)"
