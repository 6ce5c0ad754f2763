"""Work: Karmada's envelope for objects on their way into a member cluster (contract 1.2)."""

from __future__ import annotations

import msgspec

from informers.meta import Condition, ObjectMeta
from mcs_controller.api.common import JsonObject


class ManifestRef(msgspec.Struct, frozen=True):
    """Which object a manifest is."""

    api_version: str
    kind: str
    namespace: str
    name: str


class Manifest(msgspec.Struct, frozen=True):
    """One manifest of a Work: its JSON as the server sent it, and which object it is.

    `ref` is None when the JSON is not an object with apiVersion, kind and name: garbage that somebody put there.
    """

    raw: bytes
    ref: ManifestRef | None

    def decode(self) -> JsonObject:
        """The manifest as plain dicts and lists, made anew on every call, so the caller may change it.

        Raises:
            msgspec.ValidationError: it is not a JSON object.
        """
        return msgspec.json.decode(self.raw, type=JsonObject)


class Work(msgspec.Struct, frozen=True):
    """work.karmada.io/v1alpha1 Work.

    `status` is kept as JSON: only the stand-alone execution controller reads more of it than `conditions`.
    """

    metadata: ObjectMeta
    manifests: tuple[Manifest, ...] = ()
    suspend_dispatching: bool | None = None
    preserve_resources_on_deletion: bool | None = None
    conditions: tuple[Condition, ...] = ()
    manifest_statuses: bytes = b"[]"

    @property
    def ref(self) -> ManifestRef | None:
        """The object in the first manifest; None without one. This feature's Works hold exactly one manifest."""
        return self.manifests[0].ref if self.manifests else None


class _ManifestMeta(msgspec.Struct):
    name: str
    namespace: str = ""


class _ManifestHead(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    metadata: _ManifestMeta


class _Workload(msgspec.Struct):
    manifests: list[msgspec.Raw] | None = None


class _Spec(msgspec.Struct, rename="camel"):
    workload: _Workload | None = None
    suspend_dispatching: bool | None = None
    preserve_resources_on_deletion: bool | None = None


class _Status(msgspec.Struct, rename="camel"):
    conditions: tuple[Condition, ...] | None = None
    manifest_statuses: msgspec.Raw = msgspec.Raw(b"[]")


class _Wire(msgspec.Struct):
    metadata: ObjectMeta
    spec: _Spec
    status: _Status | None = None


_head = msgspec.json.Decoder(_ManifestHead)
_wire = msgspec.json.Decoder(_Wire)


def _manifest(raw: msgspec.Raw) -> Manifest:
    try:
        head = _head.decode(raw)
    except msgspec.DecodeError:
        return Manifest(raw=bytes(raw), ref=None)
    ref = ManifestRef(head.api_version, head.kind, head.metadata.namespace, head.metadata.name)
    return Manifest(raw=bytes(raw), ref=ref)


def decode_work(raw: bytes | msgspec.Raw) -> Work:
    """Decode a Work; its manifests may be anything."""
    wire = _wire.decode(raw)
    workload = wire.spec.workload
    status = wire.status or _Status()
    return Work(
        metadata=wire.metadata,
        manifests=tuple(_manifest(one) for one in (workload.manifests or ())) if workload else (),
        suspend_dispatching=wire.spec.suspend_dispatching,
        preserve_resources_on_deletion=wire.spec.preserve_resources_on_deletion,
        conditions=status.conditions or (),
        manifest_statuses=bytes(status.manifest_statuses),
    )
