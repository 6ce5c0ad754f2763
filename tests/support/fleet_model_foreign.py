"""What others have in the same API servers, and what nobody here may touch; and what they do to what is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace
from tests.support.builders import a_work, binding, mcs, service, slice_, work
from tests.support.fleet_model import fresh, marked, namespace
from tests.support.fleet_model_server import THEIRS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.fleet_model import Fleet
    from tests.support.fleet_model_server import Server

KUBERNETES = {wk.SLICE_MANAGED_BY: "endpointslice-controller.k8s.io"}


def configmap(name: str, space: str) -> dict[str, Any]:
    """Something that no controller here has to do with."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": space}, "data": {"a": "b"}}


def scatter_foreign_objects(fleet: Fleet, members: Iterable[str], *, space: str = "shop") -> None:
    """Put objects of others everywhere. The members' execution namespaces and `space` have to be there."""
    host = fleet.host
    host.add_theirs(marked(namespace("theirs", **{wk.SKIP_AUTO_PROPAGATION: "true"}), finalizer=True))
    for one in (
        configmap("settings", space),
        service("other", space, labels={wk.MANAGED: "true"}),
        slice_("other-1", space, service="other", labels=KUBERNETES),
        slice_("imported-a-other", space, service="derived-other"),
        # Of a type that is somebody else's to act on.
        mcs("other", space, types=["LoadBalancer"], adopted=False, permanent_id=""),
        # Of another scheduler, and not placed yet.
        binding("other-configmap", space, schedulerName="theirs", resource=_about(space), finalizers=()),
    ):
        host.add_theirs(fresh(marked(one, finalizer=True)))
    for name in members:
        member = fleet.members[name]
        manifest = configmap("settings", space)
        for title, content in (("settings", manifest), ("web-1", slice_("web-1", space)), ("nonsense", 7)):
            host.add_theirs(fresh(marked(work(name, f"theirs-{title}", content, suspended=True), finalizer=True)))
        elsewhere = {wk.WORK_NAMESPACE: execution_namespace("elsewhere"), wk.WORK_NAME: "w"}
        for one in (
            configmap("settings", space),
            service("other", space),
            slice_("other-1", space, service="other", labels={**KUBERNETES, wk.MANAGED: "true"}),
            slice_("loose", space, service=None),
            # Of another control plane.
            slice_("x-other-1", space, service="other", labels=_COPY, annotations=elsewhere),
        ):
            member.add_theirs(fresh(marked(one, finalizer=True)))
    assert space in {one["metadata"]["name"] for one in host.all("Namespace")}


_COPY = {wk.SLICE_MANAGED_BY: wk.SLICE_DISPATCHER, wk.MANAGED: "true"}


def _about(space: str) -> dict[str, str]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "namespace": space, "name": "settings"}


def own(provider: str, name: str, space: str, service_name: str | None, addresses: list[str]) -> dict[str, Any]:
    """A provider's own slice, as Kubernetes makes it: labels of the Service are mirrored, also Karmada's."""
    mirrored = {**KUBERNETES, wk.MANAGED: "true", "member": provider}
    return fresh(
        marked(slice_(name, space, service=service_name, labels=mirrored, addresses=addresses), finalizer=False)
    )


KINDS = ("Work", wk.BINDING_KIND, "Service", wk.MCS_KIND, wk.SLICE_KIND, "Namespace", "Cluster")
"""Of which there are objects that our controllers write."""
_USERS = (wk.SKIP_AUTO_PROPAGATION, wk.WITHDRAW_AFTER)


def strippable(server: Server) -> Iterator[tuple[str, str, str, str, str]]:
    """(kind, namespace, name, part, key) of each label, annotation and finalizer that our controllers have written."""
    for kind in KINDS:
        for one in server.all(kind):
            meta = one["metadata"]
            where = (kind, meta.get("namespace", ""), meta["name"])
            if server.is_theirs(*where) or _asks_for_export(one):
                continue
            for part in ("labels", "annotations", "finalizers"):
                for key in sorted(meta.get(part) or ()):
                    ours = "karmada.io/" in key or key in (wk.SERVICE_NAME, wk.SLICE_MANAGED_BY)
                    if ours and key not in _USERS:
                        yield (*where, part, key)


def _asks_for_export(obj: dict[str, Any]) -> bool:
    """Whether it is a Work that brings a ServiceExport, which nobody here makes."""
    manifests = obj.get("spec", {}).get("workload", {}).get("manifests") or ()
    return any(isinstance(one, dict) and one["kind"] == wk.SERVICE_EXPORT_KIND for one in manifests)


def strip(server: Server, kind: str, namespace: str, name: str, part: str, key: str) -> None:
    """Somebody takes it off."""
    found = server.find(kind, namespace, name)
    assert found is not None
    left: Any = {key: None}
    if part == "finalizers":
        left = [one for one in found["metadata"]["finalizers"] if one != key]
    server.edit(kind, namespace, name, {"metadata": {part: left}})


class Mark(NamedTuple):
    """A label, annotation or finalizer of a Work."""

    namespace: str
    name: str
    part: str
    key: str


def marks(fleet: Fleet) -> Iterator[Mark]:
    """All that our controllers have put onto the Works of services and slices."""
    for one in fleet.host.all("Work"):
        meta, ref = one["metadata"], a_work(one).ref
        if ref is not None and ref.kind in (wk.SLICE_KIND, wk.MCS_KIND) and not meta["name"].startswith("theirs"):
            for part in ("labels", "annotations", "finalizers"):
                ours = (key for key in meta.get(part, ()) if key != THEIRS)
                yield from (Mark(meta["namespace"], meta["name"], part, key) for key in ours)


def take_off(fleet: Fleet, mark: Mark) -> None:
    """Somebody takes it off."""
    work = fleet.host.find("Work", mark.namespace, mark.name)
    assert work is not None
    left: Any = {mark.key: None}
    if mark.part == "finalizers":
        left = [one for one in work["metadata"]["finalizers"] if one != mark.key]
    fleet.host.edit("Work", mark.namespace, mark.name, {"metadata": {mark.part: left}})
