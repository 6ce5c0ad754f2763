"""What was observed of a control plane and its members: plain JSON objects, and why some could not be read.

A rule asks for what it needs. If that could not be observed, :class:`Unseen` ends the rule, and the diagnosis says so:
no rule takes for healthy what it did not see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mcs_controller.diagnosis.findings import CONTROL_PLANE

if TYPE_CHECKING:
    from collections.abc import Iterator

AGENT_LEASE: Final = "mcs-controller-agent"
"""The Lease of a Pull cluster's agent, in the cluster's execution namespace."""

NOT_SERVED: Final = "the server does not serve this kind"
"""Why a kind could not be read: nobody can have an object of it."""

Object = Mapping[str, Any]
"""An object of Kubernetes as JSON. Whatever a server sends: fields may be missing, or be of another type."""


class Right(NamedTuple):
    """A right as RBAC speaks of it; `resource` may name a subresource, `services/status`."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {resource}" + (f" in namespace {self.namespace}" if self.namespace else "")


class Unseen(Exception):
    """Something could not be observed; the text says what and why."""


class Kind(NamedTuple):
    """A kind in the observed world."""

    api_version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def group_resource(self) -> str:
        """`plural.group`, as CustomResourceDefinitions are named and RBAC speaks; the bare plural for core."""
        group = self.api_version.rpartition("/")[0]
        return f"{self.plural}.{group}" if group else self.plural


MULTICLUSTERSERVICES: Final = Kind("networking.karmada.io/v1alpha1", "multiclusterservices", "MultiClusterService")
CLUSTERS: Final = Kind("cluster.karmada.io/v1alpha1", "clusters", "Cluster", namespaced=False)
WORKS: Final = Kind("work.karmada.io/v1alpha1", "works", "Work")
BINDINGS: Final = Kind("work.karmada.io/v1alpha2", "resourcebindings", "ResourceBinding")
POLICIES: Final = Kind("policy.karmada.io/v1alpha1", "propagationpolicies", "PropagationPolicy")
SERVICEEXPORTS: Final = Kind("multicluster.x-k8s.io/v1alpha1", "serviceexports", "ServiceExport")
CRDS: Final = Kind("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
SERVICES: Final = Kind("v1", "services", "Service")
SLICES: Final = Kind("discovery.k8s.io/v1", "endpointslices", "EndpointSlice")
NAMESPACES: Final = Kind("v1", "namespaces", "Namespace", namespaced=False)
NODES: Final = Kind("v1", "nodes", "Node", namespaced=False)
PODS: Final = Kind("v1", "pods", "Pod")
EVENTS: Final = Kind("v1", "events", "Event")
SECRETS: Final = Kind("v1", "secrets", "Secret")
QUOTAS: Final = Kind("v1", "resourcequotas", "ResourceQuota")
DEPLOYMENTS: Final = Kind("apps/v1", "deployments", "Deployment")
STATEFULSETS: Final = Kind("apps/v1", "statefulsets", "StatefulSet")
DAEMONSETS: Final = Kind("apps/v1", "daemonsets", "DaemonSet")
LEASES: Final = Kind("coordination.k8s.io/v1", "leases", "Lease")
NETWORKPOLICIES: Final = Kind("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy")
SERVICECIDRS: Final = Kind("networking.k8s.io/v1", "servicecidrs", "ServiceCIDR", namespaced=False)
WEBHOOKS: Final = Kind(
    "admissionregistration.k8s.io/v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How a member answers to what the control plane holds for it: the Secret of its Cluster, read now.

    Attributes:
        error: why there was no answer, in the words of the transport; empty if there was one.
        invalid: whether the Secret is there, and holds no token or no certificate that could be used.
        untrusted: whether the server's certificate is not signed by the stored CA.
        certificates: of an untrusted server, who issued its certificate, and whom the stored CA names.
        other_endpoint: the server of the kubeconfig's context for this member, if it answers, and is not that of the
            Cluster.
        status: the answer's HTTP status; 401 if the token was refused. 0 without an answer.
        token_expires: the expiry that the token itself states; None for one that states none.
        certificate_expires: of the server's certificate.
        skew_seconds: the member's clock minus ours, by its answer's Date header; None without one.
        denied: the rights of manifests/member that the stored token lacks, each `verb resource.group`.
    """

    error: str = ""
    invalid: bool = False
    untrusted: bool = False
    certificates: str = ""
    other_endpoint: str = ""
    status: int = 200
    token_expires: datetime | None = None
    certificate_expires: datetime | None = None
    skew_seconds: float | None = None
    denied: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What one attempt to connect from a Pod of a consumer came to.

    Attributes:
        step: `dns`, `service` (its cluster IP or, headless, the name) or `endpoint`.
        target: the name, or `address:port`.
        ok: whether there was an answer: an address, or a connection.
        error: `refused`, `timeout`, `no such name`, or the words of the system. Empty if it is ok.
    """

    step: str
    target: str
    ok: bool
    error: str = ""


@dataclass(slots=True)
class Snapshot:
    """What was observed of one cluster.

    Attributes:
        name: the Cluster's name; `CONTROL_PLANE` for the control plane.
        kubectl: how to call kubectl for this cluster, for commands that are pasted.
        version: Kubernetes' version, `v1.37.2`; empty if it is not known.
        login: see there; None for the control plane, or for Pull clusters.
        probes: what traffic from a Pod showed, if it was asked for.
        probe_error: why it could not be tried, if it was asked for.
        denied: the rights that the controller lacks there, each a `str(Right)`. None if nobody could ask.
    """

    name: str = CONTROL_PLANE
    kubectl: str = "kubectl"
    version: str = ""
    login: Login | None = None
    probes: Sequence[ProbeResult] | None = None
    probe_error: str = ""
    denied: Sequence[str] | None = None
    _objects: dict[Kind, dict[tuple[str, str], Object]] = field(default_factory=dict)
    _unseen: dict[tuple[Kind | None, str], str] = field(default_factory=dict)

    def add(self, kind: Kind, objects: Sequence[Object]) -> None:
        """Note what was read of a kind. Objects of one kind may be added in several steps, none of them included."""
        held = self._objects.setdefault(kind, {})
        for obj in objects:
            if isinstance(obj, Mapping):
                held[(text(obj, "metadata", "namespace"), text(obj, "metadata", "name"))] = obj

    def unseen(self, kind: Kind | None, why: str, namespace: str = "") -> None:
        """Note that a kind, in one namespace or in all, or with None all of the cluster, could not be read."""
        self._unseen.setdefault((kind, namespace), why)

    def why_unseen(self, kind: Kind | None = None, namespace: str = "") -> str:
        """Why a kind, in one namespace or anywhere, or the cluster, could not be read; empty if it could."""
        for (unread, where), why in self._unseen.items():
            if unread is None or (unread == kind and (not namespace or where in ("", namespace))):
                return why
        return ""

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Object]:
        """The objects of a kind that were read, of one namespace or of all.

        Raises:
            Unseen: they were not read.
        """
        if reason := self.why_unseen(kind, namespace):
            raise Unseen(f"{kind.plural} of {self.name or 'the control plane'}: {reason}")
        if kind not in self._objects:
            raise Unseen(f"{kind.plural} of {self.name or 'the control plane'} were not looked at")
        return [obj for (where, _), obj in self._objects[kind].items() if not namespace or where == namespace]

    def get(self, kind: Kind, name: str, namespace: str = "") -> Object | None:
        """One object; None if it is not there. Raises as :meth:`list` does."""
        self.list(kind, namespace)
        return self._objects[kind].get((namespace, name))

    def everything(self) -> Iterator[tuple[Kind, Sequence[Object]]]:
        """All objects that were read, by kind."""
        yield from ((kind, list(objects.values())) for kind, objects in self._objects.items())

    def unread(self) -> Iterator[tuple[str, str]]:
        """Each kind that could not be read, as `plural.group` and the namespace if it is about one, with the reason."""
        for (kind, where), why in self._unseen.items():
            if kind is not None:
                yield f"{kind.group_resource} {where}".strip(), why


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that was observed for one diagnosis.

    Attributes:
        now: the wall clock, with a time zone.
        host: the control plane.
        members: each registered member that was looked at, by name.
        service: namespace and name of the Service in question; None diagnoses the installation.
        from_cluster: the consumer where the requests fail; empty means every consumer.
        mcsctl: how to call mcsctl with the flags of this diagnosis, for commands that are pasted.
        manifests: the folder with the manifests of this release, for the same.
        kinds: of the control plane, by `plural.group`, with the versions that are served; None if they were not read.
        control_planes: where `host` is none, contexts of the kubeconfig that lead to one, with how to call mcsctl then.
    """

    now: datetime
    host: Snapshot
    members: Mapping[str, Snapshot] = field(default_factory=dict)
    service: tuple[str, str] | None = None
    from_cluster: str = ""
    mcsctl: str = "mcsctl"
    manifests: str = "manifests"
    kinds: Mapping[str, frozenset[str]] | None = None
    control_planes: Mapping[str, str] = field(default_factory=dict)

    def versions(self, kind: Kind) -> frozenset[str]:
        """The versions in which the control plane serves a kind; none if it does not serve it.

        Raises:
            Unseen: nobody looked.
        """
        if self.kinds is None:
            raise Unseen(f"the kinds of the control plane: {self.host.why_unseen() or 'not looked at'}")
        return self.kinds.get(kind.group_resource, frozenset())

    @property
    def namespace(self) -> str:
        """Of the Service in question."""
        return self.service[0] if self.service else ""

    @property
    def name(self) -> str:
        """Of the Service in question."""
        return self.service[1] if self.service else ""

    @property
    def clusters(self) -> Sequence[str]:
        """The names of all registered Clusters, in order."""
        return sorted(text(cluster, "metadata", "name") for cluster in self.host.list(CLUSTERS))

    @property
    def mcs(self) -> Object | None:
        """The MultiClusterService of the Service in question."""
        return self.host.get(MULTICLUSTERSERVICES, self.name, self.namespace)

    @property
    def template(self) -> Object | None:
        """The Service in question in the control plane."""
        return self.host.get(SERVICES, self.name, self.namespace)

    @property
    def providers(self) -> Sequence[str]:
        """The registered providers of the MultiClusterService; none without one."""
        return self._selected("providerClusters")

    @property
    def consumers(self) -> Sequence[str]:
        """Its registered consumers, or of these the one that was asked for."""
        consumers = self._selected("consumerClusters")
        return [name for name in consumers if not self.from_cluster or name == self.from_cluster]

    def pairs(self) -> Iterator[tuple[str, str]]:
        """(provider, consumer) for each pair of two clusters of the service."""
        for provider in self.providers:
            yield from ((provider, consumer) for consumer in self.consumers if consumer != provider)

    def snapshot(self, cluster: str) -> Snapshot:
        """Of a member, or of the control plane. Raises Unseen for a member that was not looked at."""
        if cluster == CONTROL_PLANE:
            return self.host
        if cluster not in self.members:
            raise Unseen(f"member {cluster} was not looked at")
        return self.members[cluster]

    def age(self, obj: Object) -> float:
        """Seconds since an object was created; a day if it does not say."""
        created = moment(obj, "metadata", "creationTimestamp")
        return (self.now - created).total_seconds() if created is not None else 86_400.0

    def kubectl(self, cluster: str = CONTROL_PLANE) -> str:
        """How to call kubectl for a cluster."""
        known = self.host if cluster == CONTROL_PLANE else self.members.get(cluster)
        return known.kubectl if known is not None else f"kubectl --context {cluster}"

    def _selected(self, field_name: str) -> Sequence[str]:
        mcs = self.mcs
        if mcs is None:
            return ()
        named = [text(each, "name") for each in items(mcs, "spec", field_name)]
        return [name for name in self.clusters if not named or name in named]


def dig(obj: Any, *path: str) -> Any:
    """A field of nested mappings; None if any part of the way is missing, or no mapping."""
    for part in path:
        if not isinstance(obj, Mapping):
            return None
        obj = obj.get(part)
    return obj


def text(obj: Any, *path: str) -> str:
    """A field that is a string; empty if it is not."""
    found = dig(obj, *path)
    return found if isinstance(found, str) else ""


def items(obj: Any, *path: str) -> Sequence[Any]:
    """A field that is a list; empty if it is not."""
    found = dig(obj, *path)
    return found if isinstance(found, list | tuple) else ()


def mapping(obj: Any, *path: str) -> Mapping[str, Any]:
    """A field that is an object; empty if it is not."""
    found = dig(obj, *path)
    return found if isinstance(found, Mapping) else {}


def labels_of(obj: Any) -> Mapping[str, str]:
    """The labels of an object, those alone that are text."""
    return {name: value for name, value in mapping(obj, "metadata", "labels").items() if isinstance(value, str)}


def annotations_of(obj: Any) -> Mapping[str, str]:
    """The annotations of an object, those alone that are text."""
    return {name: value for name, value in mapping(obj, "metadata", "annotations").items() if isinstance(value, str)}


def condition(obj: Any, kind: str) -> Mapping[str, Any]:
    """A condition of an object's status; empty if it has none of that type."""
    found = (one for one in items(obj, "status", "conditions") if text(one, "type") == kind)
    return next(found, {})


def moment(obj: Any, *path: str) -> datetime | None:
    """A field that is a time with a zone; None if it is not."""
    try:
        found = datetime.fromisoformat(text(obj, *path))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
