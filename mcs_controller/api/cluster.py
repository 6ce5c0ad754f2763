"""Cluster: a member, as the control plane knows it (contract 1.4)."""

from __future__ import annotations

from typing import Literal

import msgspec

from informers.meta import Condition, ObjectMeta, find_condition


class SecretRef(msgspec.Struct, frozen=True):
    """Where a member's credentials are."""

    namespace: str
    name: str


class Taint(msgspec.Struct, frozen=True):
    """core/v1 Taint, as far as scheduling looks at it."""

    key: str
    effect: str
    value: str = ""


class ClusterSpec(msgspec.Struct, frozen=True, rename="camel"):
    """How to reach a member."""

    sync_mode: str = "Push"
    api_endpoint: str = ""
    secret_ref: SecretRef | None = None
    insecure_skip_tls_verification: bool = msgspec.field(default=False, name="insecureSkipTLSVerification")
    proxy_url: str = msgspec.field(default="", name="proxyURL")
    proxy_header: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()
    zones: tuple[str, ...] = ()
    zone: str = ""
    region: str = ""
    provider: str = ""


class Cluster(msgspec.Struct, frozen=True):
    """cluster.karmada.io/v1alpha1 Cluster.

    Attributes:
        api_enablements: kinds the member serves, by groupVersion.
    """

    metadata: ObjectMeta
    spec: ClusterSpec
    conditions: tuple[Condition, ...] = ()
    api_enablements: dict[str, frozenset[str]] = {}
    kubernetes_version: str = ""

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self.metadata.name

    @property
    def is_ready(self) -> bool:
        """Whether condition Ready is True; missing, False and Unknown all mean not ready."""
        ready = find_condition(self.conditions, "Ready")
        return ready is not None and ready.status == "True"

    @property
    def is_push(self) -> bool:
        """Whether the control plane talks to the member itself."""
        return self.spec.sync_mode == "Push"

    def serves(self, api_version: str, kind: str) -> Literal["Enabled", "Disabled", "Unknown"]:
        """Whether the member has that API: "Unknown" when the list it reported is not known to be complete."""
        if kind in self.api_enablements.get(api_version, ()):
            return "Enabled"
        complete = find_condition(self.conditions, "CompleteAPIEnablements")
        return "Disabled" if complete is not None and complete.status == "True" else "Unknown"


class _ApiResource(msgspec.Struct):
    kind: str


class _ApiEnablement(msgspec.Struct, rename="camel"):
    group_version: str
    resources: tuple[_ApiResource, ...] | None = None


class _Status(msgspec.Struct, rename="camel"):
    conditions: tuple[Condition, ...] | None = None
    api_enablements: tuple[_ApiEnablement, ...] | None = None
    kubernetes_version: str = ""


class _Wire(msgspec.Struct):
    metadata: ObjectMeta
    spec: ClusterSpec = ClusterSpec()
    status: _Status | None = None


_wire = msgspec.json.Decoder(_Wire)


def decode_cluster(raw: bytes | msgspec.Raw) -> Cluster:
    """Decode a Cluster."""
    wire = _wire.decode(raw)
    status = wire.status or _Status()
    return Cluster(
        metadata=wire.metadata,
        spec=wire.spec,
        conditions=status.conditions or (),
        api_enablements={
            one.group_version: frozenset(resource.kind for resource in one.resources or ())
            for one in status.api_enablements or ()
        },
        kubernetes_version=status.kubernetes_version,
    )
