"""Karmada's own ServiceExport and ServiceImport controllers, scripted: contract 3.4 to 3.6, literally.

As in fake_karmada_peer.py: what the peer would overlook is overlooked here, and what it takes away it takes away.
"""

import copy
from typing import Any

from testbed import Bed
from tests.support.fake_karmada_loop import KINDS
from tests.support.fake_karmada_objects import (
    WORK_ID,
    annotations_of,
    cluster_of,
    execution_namespace,
    is_leaving,
    is_ready,
    labels_of,
    work_name,
)
from tests.support.fake_karmada_peer import (
    DISPATCHER,
    IMPORTER,
    MANAGED_BY,
    MARK,
    PROVIDER,
    SERVICE_NAME,
    Feature,
    Peer,
    manifest_of,
)

Object = dict[str, Any]

EXPORT = Feature(
    "ServiceExport",
    "endpointslice.karmada.io/namespace",
    "endpointslice.karmada.io/name",
    "karmada.io/endpointslice-controller",
)
_WORKS = KINDS["work.karmada.io/v1alpha1", "Work"]
_SLICES = KINDS["discovery.k8s.io/v1", "EndpointSlice"]
_EXPORTS = KINDS["multicluster.x-k8s.io/v1alpha1", "ServiceExport"]
_IMPORTS = KINDS["multicluster.x-k8s.io/v1alpha1", "ServiceImport"]


class WholePeer(Peer):
    """All six controllers of the feature, at work while the block lasts."""

    def __init__(self, bed: Bed) -> None:
        super().__init__(bed)
        self._watched: set[str] = set()
        self._exports: set[tuple[str, str, str]] | None = None
        self._imports: set[tuple[str, str]] = set()

    async def _pass(self) -> None:
        await super()._pass()
        works = await self._api.list(_WORKS)
        if self._exports is None:  # at the start
            self._exports = {
                (cluster_of(one), labels_of(one).get(EXPORT.namespace_key, ""), labels_of(one)[EXPORT.name_key])
                for one in works
                if labels_of(one).get(EXPORT.name_key)
            }
        self._watched |= {cluster_of(one) for one in works if _brings_export(one)}
        for cluster in sorted(self._watched):
            if cluster in self._clusters and is_ready(self._clusters[cluster]):
                await self._look_at_exports(cluster, self._exports)
        for work in await self._api.list(_WORKS):
            if manifest_of(work)["kind"] == "EndpointSlice" and not annotations_of(work).get(PROVIDER):
                await self._import(work)
        found = {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in await self._api.list(_IMPORTS)}
        for namespace, name in self._imports - found.keys():
            derived = await self._writer.find("v1/services", namespace, f"derived-{name}")
            if derived is not None:
                await self._writer.delete(derived)
        self._imports = set(found)
        for one in found.values():
            await self._derive(one)

    # --- service-export-controller (3.4) -----------------------------------------------------------------------------

    async def _look_at_exports(self, cluster: str, known: set[tuple[str, str, str]]) -> None:
        listed = await self._members[cluster].list(_EXPORTS)
        present = {(cluster, one["metadata"]["namespace"], one["metadata"]["name"]) for one in listed}
        known |= present
        for key in sorted(one for one in known if one[0] == cluster):
            _, namespace, name = key
            slices: list[Object] = []
            if key in present:
                label = f"{SERVICE_NAME}={name}"
                slices = await self._members[cluster].list(_SLICES, namespace=namespace, label_selector=label)
            else:
                known.discard(key)
            names = {work_name("EndpointSlice", namespace, one["metadata"]["name"]) for one in slices}
            selector = f"{EXPORT.namespace_key}={namespace},{EXPORT.name_key}={name}"
            space = execution_namespace(cluster)
            for work in await self._api.list(_WORKS, namespace=space, label_selector=selector):
                collected = work["spec"].get("suspendDispatching") and EXPORT.mark in labels_of(work).get(MARK, "")
                if collected and work["metadata"]["name"] not in names and not is_leaving(work):
                    await self._drop_mark(work, EXPORT)
            for one in slices:
                if labels_of(one).get(MANAGED_BY) not in (DISPATCHER, IMPORTER):
                    await self._collect_slice(cluster, one, name, EXPORT)

    # --- endpointslice-controller (3.5) ------------------------------------------------------------------------------

    async def _import(self, work: Object) -> None:
        permanent_id, export = labels_of(work)[WORK_ID], labels_of(work).get(EXPORT.name_key)
        if is_leaving(work) or not export:
            for one in await self._api.list(_SLICES, label_selector=f"{WORK_ID}={permanent_id}"):
                await self._writer.delete(one)
            if EXPORT.finalizer in work["metadata"].get("finalizers", ()):
                after = copy.deepcopy(work)
                after["metadata"]["finalizers"].remove(EXPORT.finalizer)
                await self._writer.put(after)
            return
        manifest = manifest_of(work)
        namespace = manifest["metadata"]["namespace"]
        name = f"imported-{cluster_of(work)}-{manifest['metadata']['name']}"
        labels = {WORK_ID: permanent_id, SERVICE_NAME: f"derived-{export}", MANAGED_BY: IMPORTER}
        content = {"addressType": manifest["addressType"]}
        content |= {field: manifest.get(field) or [] for field in ("endpoints", "ports")}
        there = await self._writer.find(_SLICES, namespace, name)
        if there is None:
            of = {key: work["metadata"][key] for key in ("namespace", "name")}
            metadata: Object = {"name": name, "namespace": namespace, "labels": labels}
            metadata["annotations"] = {f"work.karmada.io/{key}": value for key, value in of.items()}
            kind = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata}
            await self._writer.create(kind | content)
            return
        after = {**there, **content, "metadata": {**there["metadata"], "labels": labels}}
        before = {**there, **{field: there.get(field) or [] for field in ("endpoints", "ports")}}
        await self._writer.put_if_changed(after, before)

    # --- service-import-controller (3.6) -----------------------------------------------------------------------------

    async def _derive(self, service_import: Object) -> None:
        spec = service_import["spec"]
        if is_leaving(service_import) or spec["type"] != "ClusterSetIP":
            return
        namespace, name = service_import["metadata"]["namespace"], service_import["metadata"]["name"]
        fields = ("name", "protocol", "port", "appProtocol")
        ports = [{field: port[field] for field in fields if field in port} for port in spec["ports"]]
        wanted: Object = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"derived-{name}", "namespace": namespace},
            "spec": {"type": "ClusterIP", "ports": ports},
        }
        there = await self._writer.find("v1/services", namespace, f"derived-{name}")
        if there is None:
            there = await self._writer.create(wanted)
        else:
            wanted["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"]
            wanted["spec"]["clusterIP"] = there["spec"]["clusterIP"]
            there = await self._writer.put(wanted)  # also if nothing changes
        ingress = [{"ip": ip, "ipMode": "VIP"} for ip in spec.get("ips") or ()]
        status = {**there["status"], "loadBalancer": {"ingress": ingress} if ingress else {}}
        await self._writer.put_if_changed({**there, "status": status}, there, "status")


def _brings_export(work: Object) -> bool:
    conditions = work.get("status", {}).get("conditions") or ()
    applied = any(one["type"] == "Applied" and one["status"] == "True" for one in conditions)
    suspended = work["spec"].get("suspendDispatching")
    return manifest_of(work)["kind"] == "ServiceExport" and applied and not suspended and not is_leaving(work)
