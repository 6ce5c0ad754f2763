"""The Service that a ServiceImport makes in the control plane (contract 3.6).

Bringing it and the slices into the members is the policy engine's: see contract 3.6 and 4.7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mcs_controller.api.multicluster import ImportedPort
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import DERIVED_PREFIX, derived_service_name

if TYPE_CHECKING:
    from informers.meta import OwnerReference
    from mcs_controller.api.common import JsonObject
    from mcs_controller.api.core import Service
    from mcs_controller.api.multicluster import ServiceImport

CLUSTER_SET_IP: Final = "ClusterSetIP"
_CLUSTER_IP: Final = "ClusterIP"
_HEADLESS: Final = "None"


class _ServiceSpec(msgspec.Struct):
    type: str = _CLUSTER_IP
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    selector: dict[str, str] | None = None
    ports: tuple[ImportedPort, ...] | None = None


_spec = msgspec.json.Decoder(_ServiceSpec)


def is_followed(service_import: ServiceImport) -> bool:
    """Whether anything is to be made of it: headless ones and those that are being deleted are left alone."""
    return service_import.type == CLUSTER_SET_IP and service_import.metadata.deletion_timestamp is None


def import_of(service: Service) -> str | None:
    """Name of the ServiceImport that would make a Service of this name; None if none would."""
    name = service.metadata.name
    return name.removeprefix(DERIVED_PREFIX) if name.startswith(DERIVED_PREFIX) else None


def is_made_here(service: Service) -> bool:
    """Whether a Service says of itself that a ServiceImport made it.

    Not all say so: those that the peer made name no owner. Only of these is it unknown whether they may be deleted
    when no ServiceImport is there, and nobody saw one go.
    """
    name = import_of(service)
    return any(_is_import(owner, name) for owner in service.metadata.owner_references)


def is_user_owned(service: Service) -> bool:
    """Whether a Service is one that no ServiceImport makes: it only has such a name, and is not ours to change.

    The peer leaves no mark on those that it makes. But all have a cluster IP and no selector.
    """
    if is_made_here(service):
        return False
    spec = _spec.decode(service.spec)
    return bool(spec.selector) or spec.type != _CLUSTER_IP or spec.cluster_ip == _HEADLESS


def plan_derived(service_import: ServiceImport, observed: Service | None) -> tuple[bool, JsonObject] | None:
    """Create (True) or merge-patch (False) the derived Service; None if it is as it should be.

    Owned are the type, the ports' four fields that a ServiceImport can say, and that there is no selector. Whatever
    else is in the Service stays: opening 21.
    """
    meta = service_import.metadata
    ports = [_start_port(port) for port in service_import.ports]
    owner = {
        "apiVersion": wk.MULTICLUSTER_API_VERSION,
        "kind": wk.SERVICE_IMPORT_KIND,
        "name": meta.name,
        "uid": meta.uid,
    }
    if observed is None:
        metadata = {
            "name": derived_service_name(meta.name),
            "namespace": meta.namespace,
            # So that it is known for what it is by whoever looks after the ServiceImport has gone unseen.
            "ownerReferences": [owner],
        }
        return True, {
            "apiVersion": "v1",
            "kind": wk.SERVICE_KIND,
            "metadata": metadata,
            "spec": {"type": _CLUSTER_IP, "ports": ports},
        }
    there = _spec.decode(observed.spec)
    spec: JsonObject = {}
    if there.type != _CLUSTER_IP:
        spec["type"] = _CLUSTER_IP
    if there.selector:
        spec["selector"] = None
    if (there.ports or ()) != service_import.ports:
        spec["ports"] = ports
    body: JsonObject = {"spec": spec} if spec else {}
    owners = observed.metadata.owner_references
    if any(_is_import(one, meta.name) and one.uid != meta.uid for one in owners):
        # The owner was deleted and made anew. Garbage collection must not take the Service for its predecessor's.
        kept = [msgspec.to_builtins(one) for one in owners if not _is_import(one, meta.name)]
        body["metadata"] = {"ownerReferences": [*kept, owner]}
    if not body:
        return None
    body.setdefault("metadata", {})["resourceVersion"] = observed.metadata.resource_version
    return False, body


def plan_ingress(service_import: ServiceImport, observed: Service) -> JsonObject | None:
    """The merge patch of the derived Service's status that says the import's addresses; None if it says them."""
    wanted = [{"ip": ip} for ip in service_import.ips]
    there = msgspec.json.decode(observed.ingress, type=list[dict[str, object]] | None) or []
    if [{"ip": one.get("ip")} for one in there] == wanted:
        return None
    return {"status": {"loadBalancer": {"ingress": wanted}}}


def _is_import(owner: OwnerReference, name: str | None) -> bool:
    return (
        owner.kind == wk.SERVICE_IMPORT_KIND
        and owner.name == name
        and owner.api_version.startswith(f"{wk.MULTICLUSTER_GROUP}/")
    )


def _start_port(port: ImportedPort) -> JsonObject:
    wire: JsonObject = {"port": port.port, "protocol": port.protocol}
    if port.name:
        wire["name"] = port.name
    if port.app_protocol is not None:
        wire["appProtocol"] = port.app_protocol
    return wire
