"""The objects of an API server, and what it does to them: the one semantics behind all fake API servers.

    store = ObjectStore(strict_namespaces=True)
    store.create(key, {"apiVersion": "v1", "kind": "Service", ...})      # raises AlreadyExists, NotFound, Conflict, ...
    store.patch(key, {"spec": {"type": "ClusterIP"}})
    store.watchers.append(lambda change: ...)

Faithful where clients depend on it: resourceVersions and conflicts, uids, generations, status as a subresource,
finalizers, deletion preconditions, merge and JSON patches, writes that change nothing, namespaces that do not exist or
terminate, label and field selectors, the history that watches read, and backups that are restored.

Its faces: `tests.support.memory` (an `ApiClient`), `tests.support.fake_apiserver` (HTTP), `tests.support.leases`.
Objects are JSON and never changed in place.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

import msgspec

from informers.errors import AlreadyExists, Conflict, NamespaceTerminating, NotFound
from informers.meta import ObjectKey
from informers.selectors import LabelSelector
from tests.support.managed_fields import written

Json = dict[str, Any]
Key = tuple[str, ObjectKey]
"""The plural of a kind, and which object."""

_T = TypeVar("_T")
_ENCODER, _DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder()

CREATED = "2026-01-01T00:00:00Z"
DELETED = "2026-01-02T00:00:00Z"

_PLURALS = {"EndpointSlice": "endpointslices", "PropagationPolicy": "propagationpolicies"}
_NO_GENERATION = {"services", "namespaces", "secrets", "configmaps", "nodes", "leases"}
_STATUS_SUBRESOURCE = {
    "services",
    "namespaces",
    "works",
    "resourcebindings",
    "multiclusterservices",
    "clusters",
    "deployments",
}
_BY_SERVER = ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation")
_IMMUTABLE = ("uid", "creationTimestamp", "deletionTimestamp", "generation", "name", "namespace")


@dataclass(frozen=True)
class Change:
    """One write: `old` is None for a creation, `new` for a deletion. Neither may be changed."""

    version: int
    key: Key
    old: Json | None
    new: Json | None


@dataclass(frozen=True)
class Selection:
    """A collection: what a list or a watch asks for. Empty means all."""

    plural: str
    namespace: str = ""
    label: str = ""
    field: str = ""

    @cached_property
    def labels(self) -> LabelSelector:
        """The label selector, parsed."""
        return LabelSelector.parse(self.label)

    def holds(self, key: Key, obj: Json | None) -> bool:
        """Whether an object of that key is part of it."""
        plural, name = key
        if obj is None or plural != self.plural or self.namespace not in ("", name.namespace):
            return False
        if self.label and not self.labels.matches(obj["metadata"].get("labels") or {}):
            return False
        for term in self.field.split(",") if self.field else ():
            path, value = term.split("=", 1)
            found: Any = obj
            for step in path.split("."):
                found = (found or {}).get(step)
            if found != value:
                return False
        return True

    def event(self, change: Change) -> tuple[str, Json] | None:
        """The watch event for a change, as kube-apiserver words it: (type, object)."""
        before, after = self.holds(change.key, change.old), self.holds(change.key, change.new)
        if after:
            return "MODIFIED" if before else "ADDED", cast("Json", change.new)
        if not before:
            return None
        # The last state in the selection, with the version at which it left.
        return "DELETED", _with_version(cast("Json", change.old), change.version)


class ObjectStore:
    """See the module.

    Attributes:
        defaulters: by kind, what the server adds to an object on its way into the store (cluster IPs and the like).
            Called with the object that is written, and the one before it or None.
        strict_namespaces: creates in namespaces that do not exist, or terminate, fail, as on a real server.
        records_fields: whether objects say who set what (managedFields), as on a real server.
        watchers: called with each change.
        version: the resourceVersion of the latest write.
    """

    def __init__(
        self,
        *,
        defaulters: Mapping[str, Callable[[Json, Json | None], None]] | None = None,
        strict_namespaces: bool = False,
        records_fields: bool = False,
        version: int = 100,
    ) -> None:
        self.defaulters = dict(defaulters or {})
        self.strict_namespaces = strict_namespaces
        self.records_fields = records_fields
        self.objects: dict[Key, Json] = {}
        self.watchers: list[Callable[[Change], None]] = []
        self.version = version
        self._uids = 0

    # --- reads --------------------------------------------------------------------------------------------------------

    def get(self, key: Key) -> Json:
        """The object; raises NotFound."""
        found = self.objects.get(key)
        if found is None:
            raise NotFound(404, "NotFound", f'{key[0]} "{key[1].name}" not found')
        return found

    def items(self, selection: Selection) -> list[Json]:
        """In the order of an API server."""
        return [obj for key, obj in sorted(self.objects.items()) if selection.holds(key, obj)]

    # --- writes of clients --------------------------------------------------------------------------------------------

    def create(self, key: Key, body: Mapping[str, Any]) -> Json:
        """A client's create: what only the server may say is dropped. Raises AlreadyExists, NotFound, Forbidden."""
        plural, name = key
        obj = dict(body)
        metadata = {field: value for field, value in body["metadata"].items() if field not in _BY_SERVER}
        if name.namespace:
            metadata["namespace"] = name.namespace
            self._needs_namespace(name.namespace)
        obj["metadata"] = metadata
        if plural in _STATUS_SUBRESOURCE:
            obj.pop("status", None)
        if key in self.objects:
            raise AlreadyExists(409, "AlreadyExists", f'{plural} "{name.name}" already exists')
        if self.records_fields:
            written(None, obj, by_us=True)
        return self.insert(key, obj)

    def patch(self, key: Key, patch: Any, subresource: str = "") -> Json:
        """A client's merge patch, or JSON patch if it is a list. Raises NotFound, Conflict."""
        before = self.get(key)
        after = apply_json_patch(before, patch) if isinstance(patch, list) else merge_patch(before, patch)
        return self.update(key, after, subresource)

    def update(self, key: Key, after: Json, subresource: str = "") -> Json:
        """A client's update of the whole object. Raises NotFound, Conflict."""
        before = self.get(key)
        for field in ("resourceVersion", "uid"):
            if after["metadata"].get(field, before["metadata"][field]) != before["metadata"][field]:
                raise Conflict(409, "Conflict", f'{key[0]} "{key[1].name}": the object has been modified')
        if subresource == "status":
            after = before | ({"status": after["status"]} if "status" in after else {})
        elif key[0] in _STATUS_SUBRESOURCE:
            after = {field: value for field, value in after.items() if field != "status"}
            after |= {"status": before["status"]} if "status" in before else {}
        if self.records_fields:
            written(before, after, by_us=True)
        return self.replace(key, after)

    def delete(self, key: Key, *, uid: str = "", resource_version: str = "") -> Json | None:
        """What is left of the object, if finalizers hold it. Raises NotFound, Conflict."""
        found = self.get(key)
        for precondition, value in ((uid, "uid"), (resource_version, "resourceVersion")):
            if precondition and found["metadata"][value] != precondition:
                raise Conflict(409, "Conflict", f"precondition failed: {value}")
        if not found["metadata"].get("finalizers"):
            self._gone(key, found, found)
            return None
        if "deletionTimestamp" in found["metadata"]:
            return found
        metadata = found["metadata"] | {"deletionTimestamp": DELETED}
        if key[0] not in _NO_GENERATION:
            metadata["generation"] = metadata.get("generation", 1) + 1
        return self._commit(key, found, found | {"metadata": metadata})

    # --- writes without rules -----------------------------------------------------------------------------------------

    def insert(self, key: Key, obj: Json) -> Json:
        """A new object, status included; uid, generation and deletionTimestamp are kept if given."""
        assert key not in self.objects, f"{key} exists"
        self._uids += 1
        metadata = obj["metadata"]
        metadata.setdefault("uid", f"uid-{self._uids}")
        metadata.setdefault("creationTimestamp", CREATED)
        if key[0] not in _NO_GENERATION:
            metadata.setdefault("generation", 1)
        metadata.pop("resourceVersion", None)
        self._default(obj, None)
        return self._commit(key, None, obj)

    def replace(self, key: Key, after: Json) -> Json:
        """Another state of an object, status included; the end of one that is being deleted, without finalizers."""
        before = self.objects[key]
        metadata = after["metadata"]
        for name in _IMMUTABLE:
            if name in before["metadata"]:
                metadata[name] = before["metadata"][name]
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            return self._gone(key, before, after)
        self._default(after, before)
        if _without_version(after) == _without_version(before):
            return before
        if key[0] not in _NO_GENERATION and _desired(after) != _desired(before):
            metadata["generation"] = before["metadata"].get("generation", 1) + 1
        return self._commit(key, before, after)

    # --- backups ------------------------------------------------------------------------------------------------------

    def backup(self) -> Any:
        """What is there now."""
        return dict(self.objects), self.version, self._uids

    def restore(self, backup: Any) -> None:
        """As it was then. Nobody who watches is told."""
        objects, self.version, self._uids = backup
        self.objects = dict(objects)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _needs_namespace(self, name: str) -> None:
        if self.strict_namespaces:
            found = self.get(("namespaces", ObjectKey("", name)))
            if "deletionTimestamp" in found["metadata"]:
                raise NamespaceTerminating(403, "Forbidden", f"namespace {name} is being terminated")

    def _default(self, obj: Json, before: Json | None) -> None:
        if (defaulter := self.defaulters.get(obj.get("kind", ""))) is not None:
            defaulter(obj, before)

    def _commit(self, key: Key, old: Json | None, obj: Json) -> Json:
        self.version += 1
        # The former state may share its metadata with this one, and somebody may have kept it.
        self.objects[key] = new = _with_version(obj, self.version)
        self._changed(Change(self.version, key, old, new))
        return new

    def _gone(self, key: Key, old: Json, last: Json) -> Json:
        del self.objects[key]
        self.version += 1
        last = _with_version(last, self.version)
        self._changed(Change(self.version, key, last, None))
        return last

    def _changed(self, change: Change) -> None:
        for watcher in tuple(self.watchers):
            watcher(change)


def key_of(plural: str, obj: Mapping[str, Any]) -> Key:
    """Where an object is."""
    return plural, ObjectKey(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def plural_of(obj: Mapping[str, Any]) -> str:
    """The name in URLs, as far as the kinds of these tests go."""
    kind = cast("str", obj["kind"])
    return _PLURALS.get(kind, f"{kind.lower()}s")


def json_copy(value: _T) -> _T:
    """A deep copy of JSON, in a seventh of the time of `copy.deepcopy`: the model makes millions."""
    return cast("_T", _DECODER.decode(_ENCODER.encode(value)))


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386, on copies; inside of lists the server drops nulls as well (seen on kube-apiserver 1.37)."""
    if not isinstance(patch, Mapping):
        return _without_nulls(patch)
    merged = json_copy(dict(target)) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else json_copy(value)


def apply_json_patch(content: Json, operations: list[Json]) -> Json:
    """RFC 6902, as far as needed: add, remove and replace, in objects and lists."""
    content = json_copy(content)
    for operation in operations:
        *parents, last = (step.replace("~1", "/").replace("~0", "~") for step in operation["path"][1:].split("/"))
        target: Any = content
        for step in parents:
            target = target[int(step)] if isinstance(target, list) else target[step]
        if operation["op"] == "remove":
            del target[int(last) if isinstance(target, list) else last]
        elif isinstance(target, list):
            target.insert(len(target) if last == "-" else int(last), operation["value"])
        else:
            target[last] = operation["value"]
    return content


def _with_version(obj: Json, version: int) -> Json:
    return obj | {"metadata": obj["metadata"] | {"resourceVersion": str(version)}}


def _without_version(obj: Json) -> Json:
    return obj | {"metadata": {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}}


def _desired(obj: Json) -> Json:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}
