"""PropagationPolicies and the templates that they select, as wire JSON and as the caches hold them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from informers.cache.cached_client import CachedClient
from informers.cache.event import Event
from informers.discovery import APIResource
from informers.resource import GroupVersionKind
from mcs_controller.api.common import Unstructured, decode_unstructured
from mcs_controller.api.policy import PropagationPolicy
from mcs_controller.api.resources import PROPAGATIONPOLICIES
from mcs_controller.domain import well_known as wk
from mcs_controller.standalone.domain.policy_claims import TEMPLATE_INDEXES
from tests.support.memory import MemoryApi

Json = dict[str, Any]

DEPLOYMENT = GroupVersionKind("apps/v1", "Deployment")
SERVICE = GroupVersionKind("v1", "Service")
NAMESPACE = "default"


def selector(name: str = "", kind: GroupVersionKind = DEPLOYMENT, **fields: Any) -> Json:
    """One of `spec.resourceSelectors`."""
    return {"apiVersion": kind.api_version, "kind": kind.kind} | ({"name": name} if name else {}) | fields


def policy(
    name: str = "p",
    namespace: str = NAMESPACE,
    *,
    selects: Sequence[Json] | None = None,
    clusters: Sequence[str] = ("m1",),
    permanent_id: str = "",
    finalizers: Sequence[str] = (wk.POLICY_FINALIZER,),
    metadata: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Json:
    """A policy for the Deployment `web`, adopted under the id `id-<name>`, unless told otherwise."""
    labels = {wk.POLICY_PERMANENT_ID: permanent_id or f"id-{name}"}
    content = {
        "resourceSelectors": [selector("web")] if selects is None else list(selects),
        "placement": {"clusterAffinity": {"clusterNames": list(clusters)}},
    }
    return {
        "apiVersion": wk.POLICY_API_VERSION,
        "kind": wk.POLICY_KIND,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "resourceVersion": "5",
            "labels": labels,
            "finalizers": list(finalizers),
            **(metadata or {}),
        },
        "spec": content | spec,
    }


def a_policy(name: str = "p", **fields: Any) -> PropagationPolicy:
    """:func:`policy`, decoded."""
    return PROPAGATIONPOLICIES.decode(msgspec.json.encode(policy(name, **fields)))


def template(
    name: str = "web",
    namespace: str = NAMESPACE,
    *,
    kind: GroupVersionKind = DEPLOYMENT,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Json:
    """An object of the control plane; a Deployment unless told otherwise."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-of-{name}",
            "resourceVersion": "9",
            "labels": dict(labels or {}),
            "annotations": dict(annotations or {}),
            **(metadata or {}),
        },
        "spec": {"replicas": 2} | spec,
    }


def marks(name: str = "p", permanent_id: str = "") -> Json:
    """The metadata that a policy leaves on its templates and bindings."""
    return {
        "labels": {wk.POLICY_PERMANENT_ID: permanent_id or f"id-{name}"},
        "annotations": {wk.POLICY_NAMESPACE: NAMESPACE, wk.POLICY_NAME: name},
    }


def a_template(name: str = "web", **fields: Any) -> Unstructured:
    """:func:`template`, decoded."""
    return decode_unstructured(msgspec.json.encode(template(name, **fields)))


class MemoryTemplates:
    """What `Templates` is to those who use it, over a `MemoryApi`; all kinds are known unless a test says otherwise."""

    def __init__(self, api: MemoryApi) -> None:
        self.wanted: dict[str, frozenset[GroupVersionKind]] = {}
        self.problems: dict[GroupVersionKind, str] = {}
        self.absent: set[GroupVersionKind] = set()
        self._api = api
        self._opened: dict[GroupVersionKind, CachedClient[Unstructured]] = {}
        self._changed: list[Callable[[GroupVersionKind, Event[Unstructured]], None]] = []
        self._available: list[Callable[[GroupVersionKind], None]] = []

    def subscribe(
        self,
        *,
        changed: Callable[[GroupVersionKind, Event[Unstructured]], None],
        available: Callable[[GroupVersionKind], None],
    ) -> None:
        self._changed.append(changed)
        self._available.append(available)

    def want(self, user: str, kinds: Iterable[GroupVersionKind]) -> None:
        self.wanted[user] = frozenset(kinds)

    def get(self, kind: GroupVersionKind) -> CachedClient[Unstructured] | None:
        if (
            kind in self.problems
            or kind in self.absent
            or kind not in frozenset[GroupVersionKind]().union(*self.wanted.values())
        ):
            return None
        if kind not in self._opened:
            resource = APIResource(f"{kind.kind.lower()}s", namespaced=True).resource(kind, decode_unstructured)
            self._opened[kind] = self._api.cached(resource, TEMPLATE_INDEXES)
            for changed in self._changed:
                self._opened[kind].informer.add_handler(lambda event, tell=changed: tell(kind, event))  # type: ignore[misc]
        return self._opened[kind]

    def problem(self, kind: GroupVersionKind) -> str | None:
        return self.problems.get(kind)

    def is_absent(self, kind: GroupVersionKind) -> bool:
        return kind in self.absent

    def become_available(self, kind: GroupVersionKind) -> None:
        self.problems.pop(kind, None)
        self.absent.discard(kind)
        for listener in self._available:
            listener(kind)
