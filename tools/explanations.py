"""What each event and each mark that goes over the wire means: the pages docs/reference/{events,annotations}.md.

What `mcs_controller.domain.well_known` has and this has not fails tests/unit/tools/test_reference_pages.py.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.availability import Reason


class EventExplanation(NamedTuple):
    """One reason.

    Attributes:
        type: Normal, Warning, or both.
        about: the kinds of objects that it is written on.
        when: what has happened.
        todo: what a reader does about it; empty if nothing.
        ours: whether Karmada has no such event.
    """

    type: str
    about: str
    when: str
    todo: str = ""
    ours: bool = False


_MCS: Final = wk.MCS_KIND
_BINDING: Final = f"{wk.BINDING_KIND} and its template"
_WORK: Final = f"{wk.WORK_KIND} and its template"
_EXECUTION_SPACE: Final = "an error of the control plane; the message has it"
_UNAVAILABLE_BECAUSE: Final = {
    Reason.SERVICE_NOT_FOUND: "there is no Service of its name on the control plane",
    Reason.NO_CONSUMER: "no consumer cluster is registered",
    Reason.LOCAL_TRAFFIC_POLICY: "other clusters do not count (`internalTrafficPolicy: Local`), a consumer has none",
    Reason.PORT_MISMATCH: "the Service lacks a port of `spec.ports`, or the ready endpoints lack a port of the Service",
    Reason.ADDRESS_FAMILY_MISMATCH: "all ready endpoints have addresses of a family that a consumer's Service lacks",
    Reason.NO_ENDPOINT_SLICE: "no provider has an EndpointSlice of the Service, or no provider is registered",
    Reason.NO_READY_ENDPOINTS: "the EndpointSlices have no ready endpoint, or only addresses that are left out",
    Reason.PROVIDER_NOT_READY: "only a provider that is not ready has, or may have, endpoints",
    Reason.STALE: "the endpoints of a provider may have changed: it has not answered for more than 14 s",
    Reason.NOT_DELIVERED: "a consumer does not have the ready endpoints of a provider",
}
_UNAVAILABLE: Final = "`kubectl describe mcs NAME` names the consumers; `mcsctl doctor NAME` names the cause"


def _ok(about: str, when: str) -> EventExplanation:
    return EventExplanation("Normal", about, when)


def _bad(about: str, when: str, todo: str) -> EventExplanation:
    return EventExplanation("Warning", about, when, todo)


def _ours(about: str, when: str, todo: str, type_: str = "Warning") -> EventExplanation:
    return EventExplanation(type_, about, when, todo, ours=True)


EVENTS: Final[dict[str, EventExplanation]] = {
    wk.EVENT_SYNC_SERVICE_SUCCEED: _ok(_MCS, "`ServiceApplied` is True: the Service is in all its clusters"),
    wk.EVENT_SYNC_SERVICE_FAILED: _bad(
        _MCS,
        "the Service could not be brought into a cluster, a cluster is skipped (not ready, being removed), or the "
        "MultiClusterService is being deleted and something cannot be undone",
        "read the message: it names the cluster and its error; `mcsctl doctor NAME`",
    ),
    wk.EVENT_DISPATCH_SUCCEED: _ok(_MCS, "`EndpointSliceDispatched` is True: all consumers have all slices"),
    wk.EVENT_DISPATCH_FAILED: _bad(
        _MCS,
        "slices could not be collected from a provider or written for a consumer",
        "read the message: it names the cluster and its error; `mcsctl doctor NAME`",
    ),
    wk.EVENT_CLUSTER_NOT_FOUND: _bad(
        _MCS, "a provider or consumer names a Cluster that is not registered", "correct the name, or join the cluster"
    ),
    wk.EVENT_API_INCOMPATIBLE: _bad(
        _MCS,
        "a cluster does not serve `discovery.k8s.io/v1` EndpointSlice",
        "upgrade the cluster; if it does serve them, see why its Cluster's status does not say so",
    ),
    wk.EVENT_ENDPOINTS_WITHDRAWN: _ours(
        _MCS,
        "a provider has not been ready for longer than `--withdraw-not-ready-after`; its endpoints are removed from "
        "the consumers",
        "bring the provider back: `kubectl describe cluster NAME`",
    ),
    wk.EVENT_PORTS_NOT_FOUND: _ours(
        _MCS,
        "a port of the MultiClusterService is in no provider's slices",
        "compare `spec.ports` with the ports of the Service by name and number",
    ),
    wk.EVENT_INVALID_ANNOTATION: _ours(
        _MCS,
        "an annotation of ours, on it or its Namespace, cannot be understood; without it the default holds, but strict "
        "tiers then offer nothing new",
        "the message has the annotation's path and what would do; see docs/selection.md",
    ),
    wk.EVENT_TYPE_NOT_SERVED: _ours(
        _MCS,
        "`spec.types` has no type that is served here; nothing is done",
        "use `CrossCluster`; `LoadBalancer` is for a multi-cluster provider",
    ),
    "NotOffered": _ours(
        _MCS,
        "a provider has ready endpoints, but none of the consumer's tiers has one, and the tiers are strict",
        "bring a cluster of the tiers back, or allow others in the annotation: docs/selection.md",
    ),
    wk.EVENT_ADDRESSES_LEFT_OUT: _ours(
        _MCS,
        "a provider's endpoints have addresses that API servers refuse, or suspicious ones that are to be dropped",
        "see the provider's EndpointSlices; docs/security.md",
    ),
    wk.EVENT_SUSPICIOUS_ADDRESSES: _ours(
        _MCS,
        "a provider's endpoints have addresses outside of its ranges, or of special use",
        "see the provider's EndpointSlices; `--member-ranges`, `--suspicious-endpoint-ranges`; docs/security.md",
    ),
    wk.ENDPOINTS_AVAILABLE: _ours(_MCS, "every consumer has ready endpoints again", "", "Normal"),
    **{str(reason): _ours(_MCS, when, _UNAVAILABLE) for reason, when in _UNAVAILABLE_BECAUSE.items()},
    wk.EVENT_RESERVED_OBJECT: _ours(
        "Work",
        "it carries a ServiceExport of a reserved object, which has no effect",
        "export another Service; docs/reserved-objects.md",
    ),
    wk.EVENT_SYNC_DERIVED_SERVICE_SUCCEED: _ok("ServiceImport", "its Service `derived-NAME` is written"),
    wk.EVENT_SYNC_DERIVED_SERVICE_FAILED: _bad(
        "ServiceImport",
        "its Service `derived-NAME` cannot be written, for example because a user's Service has the name",
        "read the message",
    ),
    wk.EVENT_SYNC_WORK_SUCCEED: _ok(_BINDING, "its Works are written"),
    wk.EVENT_SYNC_WORK_FAILED: _bad(_BINDING, "Works cannot be written", "read the message; it is tried again"),
    wk.EVENT_CLEANUP_WORK_FAILED: _bad(
        wk.BINDING_KIND, "Works that are not wanted any more cannot be deleted", "read the message; it is tried again"
    ),
    wk.EVENT_WORK_DISPATCHING: _ok("Work", "condition `Dispatching` has changed: it is applied, or suspended"),
    wk.EVENT_SYNC_SUCCEED: _ok(_WORK, "its objects are applied in the member"),
    wk.EVENT_SYNC_FAILED: _bad(
        _WORK,
        "an object cannot be applied in the member",
        "read the message: the member's own words (a conflict, a missing right, a refused field)",
    ),
    wk.EVENT_REFLECT_STATUS_SUCCEED: _ok("Work", "the status of an object in the member has changed"),
    wk.EVENT_INTERPRET_HEALTH_SUCCEED: _ok("Work", "the health of a Service in the member has changed"),
    wk.EVENT_AGGREGATE_STATUS_SUCCEED: _ok(_BINDING, "the status of all clusters is written"),
    wk.EVENT_AGGREGATE_STATUS_FAILED: _bad(
        "Service", "the addresses of its load balancers cannot be written", "read the message; it is tried again"
    ),
    wk.EVENT_SCHEDULE_BINDING_SUCCEED: _ok(_BINDING, "its clusters are chosen"),
    wk.EVENT_SCHEDULE_BINDING_FAILED: _bad(
        _BINDING, "no cluster fits, or the placement cannot be worked with", "compare the placement with the Clusters"
    ),
    wk.EVENT_CREATE_EXECUTION_SPACE_SUCCEED: _ok("Cluster", "its namespace `karmada-es-NAME` is created"),
    wk.EVENT_CREATE_EXECUTION_SPACE_FAILED: _bad(
        "Cluster", "its namespace `karmada-es-NAME` cannot be created", _EXECUTION_SPACE
    ),
    wk.EVENT_REMOVE_EXECUTION_SPACE_SUCCEED: _ok("Cluster", "its namespace `karmada-es-NAME` is deleted"),
    wk.EVENT_REMOVE_EXECUTION_SPACE_FAILED: _bad(
        "Cluster", "its namespace `karmada-es-NAME` cannot be deleted", _EXECUTION_SPACE
    ),
    wk.CLUSTER_READY: _ok("Cluster", "it was not ready, and is again"),
    wk.CLUSTER_NOT_READY: _bad(
        "Cluster", "its health endpoint answers 201 to 206", "`kubectl get --raw '/readyz?verbose'` there"
    ),
    wk.CLUSTER_NOT_REACHABLE: _bad(
        "Cluster",
        "its health endpoint does not answer, or answers an error",
        "read the message; see the API server, the network, and `spec.apiEndpoint`",
    ),
    wk.STATUS_COLLECTION_FAILED: _bad(
        "Cluster",
        "no client can be made from its spec and Secret, so it is not probed",
        "correct what the message names",
    ),
    wk.CREDENTIALS_REFUSED: _ours(
        "Cluster",
        "its API server does not know the token, or does not allow what is asked",
        "renew the token (docs/joining-members.md); see the rights in the member (rbac.md)",
    ),
    wk.EVENT_CLUSTER_CONNECTION_FAILED: _ours(
        "Cluster", "no client can be made from its spec and Secret", "correct what the message names"
    ),
    wk.EVENT_CLUSTER_NOT_ENCRYPTED: _ours(
        "Cluster", "its `apiEndpoint` is `http://...`, so the token is sent in clear", "use `https://`"
    ),
    wk.EVENT_CLUSTER_CACHE_FULL: _ours(
        "Cluster",
        "it has more objects of a kind than may be kept; they are not followed for a while",
        "`--member-cache-memory`, `--member-cache-max-bytes`, `--member-cache-max-objects`; docs/security.md",
    ),
    wk.EVENT_MEMBER_WORKS_LIMIT: _ours(
        "Cluster",
        "its slices make the control plane hold as many Works as one member may",
        "`--member-max-works`, `--member-max-work-bytes`; docs/security.md",
    ),
    wk.OWNED: _ours("Cluster", "the member belongs to this control plane again", "", "Normal"),
    wk.OWNED_BY_ANOTHER: _ours(
        "Cluster",
        "the member belongs to another control plane; nothing is written to it",
        f"docs/member-ownership.md; to take it over, annotate the Cluster with `{wk.TAKE_OVER}`",
    ),
    wk.OWNERSHIP_UNKNOWN: _ours(
        "Cluster", "whose the member is cannot be read there", "read the message; see the rights in the member"
    ),
    wk.REGISTERED_TWICE: _ours(
        "Cluster", "the same member is registered under another name, too", "delete one of the two Clusters"
    ),
    wk.STALE_REMOVED: _ours("Cluster", "objects in the member that have no Work were removed", "", "Normal"),
    wk.STALE_UNCONFIRMED: _ours(
        "Cluster",
        "the member has so many objects without a Work that their removal wants a confirmation",
        f"docs/member-ownership.md; annotate the Cluster with `{wk.REMOVE_STALE}` and the value in the message",
    ),
    wk.EVENT_APPLY_POLICY_SUCCEED: _ok("the selected object", "a PropagationPolicy applies to it"),
    wk.EVENT_APPLY_POLICY_FAILED: _bad(
        "the selected object, or the PropagationPolicy",
        "the binding cannot be written, or the kind cannot be listed",
        "read the message; for a kind, manifests/standalone/templates.yaml has the rights",
    ),
    wk.EVENT_POLICY_REFUSED: _ours(
        wk.POLICY_KIND, "the policy asks for what is not done here; nothing is done for it", "read the message"
    ),
    wk.EVENT_TEMPLATE_CLAIMED: _ours(
        wk.POLICY_KIND,
        "it selects a Service that a MultiClusterService has claimed, and does not apply to it",
        "exclude the Service from the policy",
    ),
}


class Mark(NamedTuple):
    """One label, annotation or finalizer key, of one of these sorts.

    Attributes:
        sort: label, annotation or finalizer.
        on: the objects that have it.
        by: who sets it.
        value: which values it has, and what they mean; of a finalizer, when it is removed.
        ours: whether Karmada does not know it.
    """

    sort: str
    on: str
    by: str
    value: str
    ours: bool = False


def _selection(value: str) -> Mark:
    return Mark("annotation", "MultiClusterService, Namespace of the control plane", "users", value, ours=True)


_EACH_MANIFEST: Final = "the objects in Works and in members"
_FROM_BINDING: Final = "Works made from a ResourceBinding, and their objects"
_LEASE: Final = "our Lease"
_THE_LEADER: Final = "the process that takes it"
_POLICIES: Final = f"`{wk.POLICY_CONTROLLER}` and Karmada's"

MARKS: Final[dict[str, tuple[Mark, ...]]] = {
    wk.MCS_PERMANENT_ID: (
        Mark(
            "label",
            "MultiClusterService, its Works, the claimed Service, its ResourceBinding",
            f"admission, or `{wk.MCS_CONTROLLER}`",
            "the UUID of the MultiClusterService",
        ),
    ),
    wk.MCS_NAMESPACE: (
        Mark(
            "label", "Works of a MultiClusterService, collected and dispatched", "who writes the Work", "its namespace"
        ),
        Mark(
            "annotation",
            "the claimed Service, its ResourceBinding",
            f"`{wk.MCS_CONTROLLER}`",
            "the namespace of its MultiClusterService",
        ),
    ),
    wk.MCS_NAME: (
        Mark("label", "Works of a MultiClusterService, collected and dispatched", "who writes the Work", "its name"),
        Mark(
            "annotation",
            "the claimed Service, its ResourceBinding",
            f"`{wk.MCS_CONTROLLER}`",
            "the name of its MultiClusterService",
        ),
    ),
    wk.EXPORT_NAMESPACE: (
        Mark(
            "label",
            "Works collected for a ServiceExport",
            f"`{wk.EXPORT_CONTROLLER}`",
            "the namespace of the ServiceExport",
        ),
    ),
    wk.EXPORT_NAME: (
        Mark(
            "label", "Works collected for a ServiceExport", f"`{wk.EXPORT_CONTROLLER}`", "the name of the ServiceExport"
        ),
    ),
    wk.COLLECTED_BY: (
        Mark(
            "label",
            "collected Works",
            f"`{wk.COLLECT_CONTROLLER}`, `{wk.EXPORT_CONTROLLER}`",
            f"who wants the slice: `{wk.COLLECTED_BY_MCS}`, `{wk.COLLECTED_BY_EXPORT}`, or both joined by `.`",
        ),
    ),
    wk.TRIGGER_TIME: (
        Mark(
            "annotation",
            "EndpointSlices of providers, and in collected Works",
            "Kubernetes' EndpointSlice controller",
            "when what changed the endpoints happened, such as a Pod's readiness; read for `mcs_propagation_seconds`",
        ),
    ),
    wk.PROVISION_CLUSTER: (
        Mark(
            "annotation",
            "dispatched Works and the EndpointSlices in them",
            f"`{wk.DISPATCH_CONTROLLER}`",
            "the provider",
        ),
    ),
    wk.PROVISION_NAME: (
        Mark(
            "annotation",
            "dispatched Works",
            f"`{wk.DISPATCH_CONTROLLER}`",
            "the slice's name in the provider, where the copy's name does not say it",
            ours=True,
        ),
    ),
    wk.WITHDRAW_AFTER: (
        Mark(
            "annotation",
            "MultiClusterService",
            "users",
            "a duration such as `5m`: `--withdraw-not-ready-after` for this service alone; `0` is never",
            ours=True,
        ),
    ),
    wk.TIERS: (
        _selection(
            "the clusters whose endpoints a consumer gets, in order of preference, such as `local; same-region; any`"
        ),
    ),
    wk.TIER_MINIMUM: (_selection("ready endpoints from which on a tier is good enough, such as `2` or `50%`"),),
    wk.TIER_STRICT: (
        _selection("`true`: clusters that are in no tier are never offered; otherwise they are the last tier"),
    ),
    wk.HAND_BACK_AFTER: (
        _selection("how long a better tier has to be good before later ones are taken away, such as `30s`"),
    ),
    wk.HAND_BACK_STEP: (_selection("share of all offered endpoints that is taken away at once, `1%` to `50%`"),),
    wk.HAND_BACK_EVERY: (_selection("time between two such steps, such as `10s`"),),
    wk.DRAIN: (
        _selection("clusters that are not to be offered, such as `member1,member3`"),
        Mark(
            "label",
            "Cluster",
            "users",
            "any: it is offered to nobody, for all services; also as a taint's key",
            ours=True,
        ),
    ),
    wk.TIER: (
        Mark(
            "annotation",
            "dispatched Works",
            f"`{wk.DISPATCH_CONTROLLER}`",
            "of a service with tiers: the consumer's tier that the provider is in, as it is written; "
            f"`{wk.TIER_DRAINED}`; `{wk.TIER_NONE}`",
            ours=True,
        ),
    ),
    wk.OFFERED: (
        Mark(
            "annotation",
            "dispatched Works",
            f"`{wk.DISPATCH_CONTROLLER}`",
            "of a service with tiers: how much of the provider's slice the consumer is offered: "
            f"`{wk.OFFERED_WHOLE}`, `{wk.OFFERED_PART}` or `{wk.OFFERED_NONE}`",
            ours=True,
        ),
    ),
    wk.TAKE_OVER: (
        Mark(
            "annotation",
            "Cluster",
            "users",
            f"the uid of the other control plane, as condition `{wk.MEMBER_OWNED}` has it: take the member over",
            ours=True,
        ),
    ),
    wk.REMOVE_STALE: (
        Mark(
            "annotation",
            "Cluster",
            "users",
            f"the value that condition `{wk.STALE_OBJECTS_REMOVED}` asks for: remove these objects",
            ours=True,
        ),
    ),
    wk.LEADER: (
        Mark("annotation", _LEASE, _THE_LEADER, "its identity: what follows is true of this holder alone", ours=True),
    ),
    wk.LEADER_VERSION: (Mark("annotation", _LEASE, _THE_LEADER, "its version", ours=True),),
    wk.LEADER_GATES: (
        Mark("annotation", _LEASE, _THE_LEADER, "its feature gates, as in `--feature-gates`", ours=True),
    ),
    wk.LEADER_STALE: (
        Mark(
            "annotation",
            _LEASE,
            _THE_LEADER,
            "what was not confirmed for 14 s: `CLUSTER/RESOURCE=SECONDS`, joined by commas; without a cluster it is "
            "the control plane's",
            ours=True,
        ),
    ),
    wk.LEADER_CONTROLLERS: (Mark("annotation", _LEASE, _THE_LEADER, "the controllers that are on", ours=True),),
    wk.CLAIMED_BY: (
        Mark(
            "label", "the claimed Service", f"`{wk.MCS_CONTROLLER}`", f"`{wk.CLAIMED_BY_MCS}`: policies leave it alone"
        ),
    ),
    wk.BINDING_MANAGED_BY: (
        Mark(
            "label",
            "ResourceBindings of MultiClusterServices",
            f"`{wk.MCS_CONTROLLER}`",
            f"`{wk.BINDING_MANAGED_BY_MCS}`",
        ),
    ),
    wk.BINDING_PERMANENT_ID: (
        Mark(
            "label",
            "ResourceBinding, its Works, their objects",
            "admission, or who writes it",
            "the UUID of the binding",
        ),
    ),
    wk.BINDING_NAMESPACE: (
        Mark("annotation", _FROM_BINDING, f"`{wk.BINDING_CONTROLLER}`", "the namespace of the binding"),
    ),
    wk.BINDING_NAME: (Mark("annotation", _FROM_BINDING, f"`{wk.BINDING_CONTROLLER}`", "the name of the binding"),),
    wk.WORK_PERMANENT_ID: (
        Mark(
            "label", "Work, its objects, imported EndpointSlices", "admission, or who writes it", "the UUID of the Work"
        ),
    ),
    wk.WORK_NAMESPACE: (
        Mark(
            "annotation", f"{_EACH_MANIFEST}, imported EndpointSlices", "who writes them", "the namespace of the Work"
        ),
    ),
    wk.WORK_NAME: (
        Mark("annotation", f"{_EACH_MANIFEST}, imported EndpointSlices", "who writes them", "the name of the Work"),
    ),
    wk.CONFLICT_RESOLUTION: (
        Mark(
            "annotation",
            "templates; Works made from a ResourceBinding, and their objects",
            f"users, `{wk.BINDING_CONTROLLER}`",
            f"whether an object in the member that somebody else made is taken over (`{wk.CONFLICT_OVERWRITE}`) or not "
            f"(`{wk.CONFLICT_ABORT}`)",
        ),
    ),
    wk.MANAGED: (
        Mark("label", _EACH_MANIFEST, "who writes the Work", f"`{wk.TRUE}`: it may be changed and deleted from here"),
    ),
    wk.SYSTEM: (Mark("label", "namespaces `karmada-es-*`", f"`{wk.CLUSTER_CONTROLLER}`", f"`{wk.TRUE}`"),),
    wk.TEMPLATE_UID: (
        Mark("annotation", _EACH_MANIFEST, "who writes the Work", "the uid of the template; empty if there is none"),
    ),
    wk.TEMPLATE_GENERATION: (
        Mark("annotation", _FROM_BINDING, f"`{wk.BINDING_CONTROLLER}`", "the generation of the template"),
    ),
    wk.MANAGED_LABELS: (
        Mark(
            "annotation",
            _EACH_MANIFEST,
            "who writes the Work",
            "the labels that come from here, joined by `,`: those that leave this list are removed in the member",
        ),
    ),
    wk.MANAGED_ANNOTATIONS: (Mark("annotation", _EACH_MANIFEST, "who writes the Work", "the same for annotations"),),
    wk.APPLIED_PLACEMENT: (
        Mark("annotation", "ResourceBinding", f"`{wk.DEFAULT_SCHEDULER}`", "the placement that was scheduled, as JSON"),
    ),
    wk.POLICY_PERMANENT_ID: (
        Mark(
            "label", "PropagationPolicy, selected objects, their ResourceBindings", _POLICIES, "the UUID of the policy"
        ),
    ),
    wk.CLUSTER_POLICY_PERMANENT_ID: (
        Mark(
            "label", "objects that a ClusterPropagationPolicy selects", "Karmada; read here", "the UUID of the policy"
        ),
    ),
    wk.POLICY_NAMESPACE: (
        Mark("annotation", "selected objects, their ResourceBindings", _POLICIES, "the namespace of the policy"),
    ),
    wk.POLICY_NAME: (
        Mark("annotation", "selected objects, their ResourceBindings", _POLICIES, "the name of the policy"),
    ),
    wk.CLUSTER_POLICY_NAME: (
        Mark(
            "annotation", "objects that a ClusterPropagationPolicy selects", "Karmada; removed by a claim", "its name"
        ),
    ),
    wk.SKIP_AUTO_PROPAGATION: (
        Mark("label", "Namespace of the control plane", "users", f"`{wk.TRUE}`: it is not created in the members"),
    ),
    wk.SERVICE_NAME: (
        Mark(
            "label",
            "EndpointSlice",
            "Kubernetes; on copies `" + wk.DISPATCH_CONTROLLER + "`",
            "the name of its Service",
        ),
    ),
    wk.SLICE_MANAGED_BY: (
        Mark(
            "label",
            "EndpointSlice",
            "Kubernetes; on copies who writes them",
            f"of copies `{wk.SLICE_DISPATCHER}` (dispatched) or `{wk.SLICE_IMPORTER}` (imported): these are not "
            "collected",
        ),
    ),
    wk.MCS_FINALIZER: (
        Mark(
            "finalizer",
            "MultiClusterService",
            f"`{wk.MCS_CONTROLLER}`",
            "the Service is released, all Works are deleted",
        ),
    ),
    wk.DISPATCH_FINALIZER: (
        Mark(
            "finalizer",
            "Works collected for a MultiClusterService",
            f"`{wk.COLLECT_CONTROLLER}`",
            "no consumer's Work is left",
        ),
    ),
    wk.IMPORT_FINALIZER: (
        Mark(
            "finalizer",
            "Works collected for a ServiceExport",
            f"`{wk.EXPORT_CONTROLLER}`",
            "the imported slice is gone",
        ),
    ),
    wk.EXECUTION_FINALIZER: (
        Mark("finalizer", "Works that are applied", "who writes the Work", "the objects are gone in the member"),
    ),
    wk.BINDING_FINALIZER: (Mark("finalizer", "ResourceBinding", "who writes the binding", "its Works are gone"),),
    wk.CLUSTER_FINALIZER: (
        Mark("finalizer", "Cluster", f"`{wk.CLUSTER_CONTROLLER}`", "its namespace `karmada-es-NAME` is gone"),
    ),
    wk.POLICY_FINALIZER: (
        Mark("finalizer", "PropagationPolicy", f"`{wk.POLICY_CONTROLLER}`", "no object has its marks any more"),
    ),
}
