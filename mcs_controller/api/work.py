"""Work: Karmada's envelope for objects on their way into a member cluster (contract 1.2)."""

from __future__ import annotations

import msgspec

from informers.meta import Condition, ObjectMeta
from mcs_controller.api.shapes import JsonObject, decode_object, decode_value


class ManifestRef(msgspec.Struct, frozen=True):
    """Which object a manifest is."""

    api_version: str
    kind: str
    namespace: str
    name: str


class Manifest(msgspec.Struct, frozen=True):
    """One manifest of a Work: its JSON as the server sent it, and which object it is.

    `ref` is None when the JSON is not an object of the shape that its kind has, with apiVersion, kind and name: garbage
    that somebody put there.
    """

    raw: bytes
    ref: ManifestRef | None

    def decode(self) -> JsonObject:
        """The manifest as plain dicts and lists, made anew on every call, so the caller may change it.

        Raises:
            msgspec.DecodeError: it is garbage.
        """
        return msgspec.json.decode(self.raw, type=JsonObject) if self.ref is not None else decode_object(self.raw)

    @property
    def problem(self) -> str:
        """Why `ref` is None."""
        try:
            _read_ref(self.raw)
        except msgspec.DecodeError as error:
            return f"malformed, or is not an object with apiVersion, kind and metadata.name: {error}"
        return ""


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

    def statuses(self) -> list[JsonObject]:
        """`status.manifestStatuses`, without entries that are none: members' agents write them, and no schema holds."""
        try:
            entries = decode_value(self.manifest_statuses)
        except msgspec.DecodeError:
            return []
        return [one for one in entries if _is_status(one)] if isinstance(entries, list) else []


class _ManifestMeta(msgspec.Struct):
    name: str
    namespace: str = ""


class _ManifestHead(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    metadata: _ManifestMeta


class _Identifier(msgspec.Struct):
    ordinal: int = 0
    kind: str = ""
    namespace: str = ""
    name: str = ""


class _ManifestStatus(msgspec.Struct):
    identifier: _Identifier | None = None
    health: str = ""


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


_wire = msgspec.json.Decoder(_Wire)


def _manifest(raw: msgspec.Raw) -> Manifest:
    try:
        ref = _read_ref(raw)
    except msgspec.DecodeError:
        ref = None
    return Manifest(raw=bytes(raw), ref=ref)


def _read_ref(raw: bytes | msgspec.Raw) -> ManifestRef:
    head = msgspec.convert(decode_object(raw), _ManifestHead)
    return ManifestRef(head.api_version, head.kind, head.metadata.namespace, head.metadata.name)


def _is_status(entry: object) -> bool:
    try:
        msgspec.convert(entry, _ManifestStatus)
    except msgspec.ValidationError:
        return False
    return True


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
