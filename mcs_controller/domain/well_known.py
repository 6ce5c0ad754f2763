"""Every label, annotation, finalizer, condition and reason that goes over the wire, once each.

The strings are Karmada's: they are what lets this controller stand beside its components, or be replaced by them.
"""

from __future__ import annotations

from typing import Final

# --- labels and annotations ----------------------------------------------------------------------------------------

MCS_PERMANENT_ID: Final = "multiclusterservice.karmada.io/permanent-id"
MCS_NAMESPACE: Final = "multiclusterservice.karmada.io/namespace"
MCS_NAME: Final = "multiclusterservice.karmada.io/name"
"""Labels on Works, annotations (with the same keys) on a claimed Service and its ResourceBinding."""

EXPORT_NAMESPACE: Final = "endpointslice.karmada.io/namespace"
EXPORT_NAME: Final = "endpointslice.karmada.io/name"
COLLECTED_BY: Final = "endpointslice.karmada.io/managed-by"
"""On collected Works: a "."-joined set of the features that want the Work."""
COLLECTED_BY_MCS: Final = "MultiClusterService"
COLLECTED_BY_EXPORT: Final = "ServiceExport"
TRIGGER_TIME: Final = "endpoints.kubernetes.io/last-change-trigger-time"
PROVISION_CLUSTER: Final = "endpointslice.karmada.io/provision-cluster"
PROVISION_NAME: Final = "endpointslice.karmada.io/provision-name"
"""Ours, on a dispatched Work only: the slice's name in the provider, where the copy's name does not say it."""

WITHDRAW_AFTER: Final = "multiclusterservice.karmada.io/withdraw-not-ready-after"
"""Ours, set by users on a MultiClusterService: `--withdraw-not-ready-after` for this service alone."""

TIERS: Final = "multiclusterservice.karmada.io/tiers"
TIER_MINIMUM: Final = "multiclusterservice.karmada.io/tier-minimum"
TIER_STRICT: Final = "multiclusterservice.karmada.io/tier-strict"
HAND_BACK_AFTER: Final = "multiclusterservice.karmada.io/hand-back-after"
HAND_BACK_STEP: Final = "multiclusterservice.karmada.io/hand-back-step"
HAND_BACK_EVERY: Final = "multiclusterservice.karmada.io/hand-back-every"
DRAIN: Final = "multiclusterservice.karmada.io/drain"
"""Ours, set by users on a MultiClusterService, or its Namespace: which provider answers a consumer, see `tiers`.

The last one also on a Cluster, as a label or the key of a taint.
"""

TIER: Final = "multiclusterservice.karmada.io/tier"
TIER_DRAINED: Final = "drained"
TIER_NONE: Final = "none"
OFFERED: Final = "multiclusterservice.karmada.io/offered"
OFFERED_WHOLE: Final = "whole"
OFFERED_PART: Final = "part"
OFFERED_NONE: Final = "none"
"""Ours, on a dispatched Work of a service with tiers: the tier that the provider is in, as it is written, and how much
of the provider's slice the consumer is offered.
"""

TAKE_OVER: Final = "multiclusterservice.karmada.io/take-over-member-from"
REMOVE_STALE: Final = "multiclusterservice.karmada.io/remove-stale-objects"
"""Ours, set by users on a Cluster to confirm what its conditions `MemberOwned` and `StaleObjectsRemoved` ask about."""

LEADER: Final = "multiclusterservice.karmada.io/leader"
LEADER_VERSION: Final = "multiclusterservice.karmada.io/leader-version"
LEADER_GATES: Final = "multiclusterservice.karmada.io/leader-feature-gates"
LEADER_CONTROLLERS: Final = "multiclusterservice.karmada.io/leader-controllers"
LEADER_STALE: Final = "multiclusterservice.karmada.io/leader-stale"
"""Ours, on our Lease: what the process serves that took it. They are true of the holder only if the first names it."""

CLAIMED_BY: Final = "resourcetemplate.karmada.io/claimed-by"
CLAIMED_BY_MCS: Final = "MultiClusterService"
BINDING_MANAGED_BY: Final = "binding.karmada.io/managed-by"
BINDING_MANAGED_BY_MCS: Final = "MultiClusterService"
BINDING_PERMANENT_ID: Final = "resourcebinding.karmada.io/permanent-id"
BINDING_NAMESPACE: Final = "resourcebinding.karmada.io/namespace"
BINDING_NAME: Final = "resourcebinding.karmada.io/name"
WORK_PERMANENT_ID: Final = "work.karmada.io/permanent-id"
WORK_NAMESPACE: Final = "work.karmada.io/namespace"
WORK_NAME: Final = "work.karmada.io/name"
CONFLICT_RESOLUTION: Final = "work.karmada.io/conflict-resolution"
MANAGED: Final = "karmada.io/managed"
SYSTEM: Final = "karmada.io/system"
TRUE: Final = "true"

TEMPLATE_UID: Final = "resourcetemplate.karmada.io/uid"
TEMPLATE_GENERATION: Final = "resourcetemplate.karmada.io/generation"
MANAGED_LABELS: Final = "resourcetemplate.karmada.io/managed-labels"
MANAGED_ANNOTATIONS: Final = "resourcetemplate.karmada.io/managed-annotations"
APPLIED_PLACEMENT: Final = "policy.karmada.io/applied-placement"
POLICY_PERMANENT_ID: Final = "propagationpolicy.karmada.io/permanent-id"
CLUSTER_POLICY_PERMANENT_ID: Final = "clusterpropagationpolicy.karmada.io/permanent-id"
POLICY_NAMESPACE: Final = "propagationpolicy.karmada.io/namespace"
POLICY_NAME: Final = "propagationpolicy.karmada.io/name"
CLUSTER_POLICY_NAME: Final = "clusterpropagationpolicy.karmada.io/name"
SKIP_AUTO_PROPAGATION: Final = "namespace.karmada.io/skip-auto-propagation"

POLICY_LABELS: Final = (POLICY_PERMANENT_ID, CLUSTER_POLICY_PERMANENT_ID)
POLICY_ANNOTATIONS: Final = (POLICY_NAMESPACE, POLICY_NAME, CLUSTER_POLICY_NAME)
"""What a policy leaves on a Service, and a claim removes: a claimed Service belongs to its MultiClusterService."""

SERVICE_NAME: Final = "kubernetes.io/service-name"
SLICE_MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
SLICE_DISPATCHER: Final = "endpointslice-dispatch-controller.karmada.io"
SLICE_IMPORTER: Final = "endpointslice-controller.karmada.io"
SLICE_MANAGERS: Final = frozenset({SLICE_DISPATCHER, SLICE_IMPORTER})
"""Slices with one of these are copies already; collecting them again would echo for ever."""

# --- finalizers ----------------------------------------------------------------------------------------------------

MCS_FINALIZER: Final = "karmada.io/multiclusterservice-controller"
DISPATCH_FINALIZER: Final = "karmada.io/mcs-endpointslice-dispatch-controller"
IMPORT_FINALIZER: Final = "karmada.io/endpointslice-controller"
"""On Works collected for a ServiceExport: their slices are in the control plane."""
EXECUTION_FINALIZER: Final = "karmada.io/execution-controller"
BINDING_FINALIZER: Final = "karmada.io/binding-controller"
CLUSTER_FINALIZER: Final = "karmada.io/cluster-controller"
POLICY_FINALIZER: Final = "karmada.io/propagation-policy-controller"

# --- conditions: type, and the reasons for True and False ----------------------------------------------------------

SERVICE_APPLIED: Final = "ServiceApplied"
SERVICE_APPLIED_SUCCEED: Final = "ServiceAppliedSucceed"
SERVICE_APPLIED_FAILED: Final = "ServiceAppliedFailed"
SLICE_DISPATCHED: Final = "EndpointSliceDispatched"
SLICE_DISPATCHED_SUCCEED: Final = "EndpointSliceDispatchedSucceed"
SLICE_DISPATCHED_FAILED: Final = "EndpointSliceDispatchedFailed"
ENDPOINTS_AVAILABLE: Final = "EndpointsAvailable"
"""Ours alone, and the reason for True as well; see `availability`."""

# --- events --------------------------------------------------------------------------------------------------------

EVENT_SYNC_SERVICE_SUCCEED: Final = "SyncServiceSucceed"
EVENT_SYNC_SERVICE_FAILED: Final = "SyncServiceFailed"
EVENT_DISPATCH_SUCCEED: Final = "DispatchEndpointSliceSucceed"
EVENT_DISPATCH_FAILED: Final = "DispatchEndpointSliceFailed"
EVENT_CLUSTER_NOT_FOUND: Final = "ClusterNotFound"
EVENT_API_INCOMPATIBLE: Final = "APIIncompatible"
EVENT_ENDPOINTS_WITHDRAWN: Final = "EndpointsWithdrawn"
EVENT_PORTS_NOT_FOUND: Final = "PortsNotFound"
EVENT_INVALID_ANNOTATION: Final = "InvalidAnnotation"
EVENT_TYPE_NOT_SERVED: Final = "TypeNotServed"
EVENT_RESERVED_OBJECT: Final = "ReservedObject"
"""These are ours alone."""

# --- kinds ---------------------------------------------------------------------------------------------------------

MCS_API_VERSION: Final = "networking.karmada.io/v1alpha1"
MCS_KIND: Final = "MultiClusterService"
SLICE_API_VERSION: Final = "discovery.k8s.io/v1"
SLICE_KIND: Final = "EndpointSlice"
SERVICE_KIND: Final = "Service"

# --- namespaces and names of processes -----------------------------------------------------------------------------

EXECUTION_PREFIX: Final = "karmada-es-"
SYSTEM_NAMESPACE: Final = "karmada-system"
CLUSTER_NAMESPACE: Final = "karmada-cluster"

MCS_CONTROLLER: Final = "multiclusterservice-controller"
COLLECT_CONTROLLER: Final = "endpointslice-collect-controller"
SLICE_COLLECT_CONTROLLER: Final = "endpointslice-collect"
DISPATCH_CONTROLLER: Final = "endpointslice-dispatch-controller"
STATUS_CONTROLLER: Final = "multiclusterservice-status-controller"
SELECTION_CONTROLLER: Final = "endpoint-selection-controller"

# --- binding and execution (contract 4.2, 4.3, 4.6) ----------------------------------------------------------------

CONFLICT_OVERWRITE: Final = "overwrite"
CONFLICT_ABORT: Final = "abort"

APPLIED: Final = "Applied"
APPLIED_SUCCESSFUL: Final = "AppliedSuccessful"
APPLIED_FAILED: Final = "AppliedFailed"
DISPATCHING: Final = "Dispatching"
DISPATCHING_ACTIVE: Final = "Dispatching"
DISPATCHING_SUSPENDED: Final = "SuspendDispatching"
FULLY_APPLIED: Final = "FullyApplied"
FULLY_APPLIED_SUCCESS: Final = "FullyAppliedSuccess"
FULLY_APPLIED_FAILED: Final = "FullyAppliedFailed"

EVENT_SYNC_WORK_SUCCEED: Final = "SyncWorkSucceed"
EVENT_SYNC_WORK_FAILED: Final = "SyncWorkFailed"
EVENT_CLEANUP_WORK_FAILED: Final = "CleanupWorkFailed"
EVENT_WORK_DISPATCHING: Final = "WorkDispatching"
EVENT_SYNC_SUCCEED: Final = "SyncSucceed"
EVENT_SYNC_FAILED: Final = "SyncFailed"
EVENT_REFLECT_STATUS_SUCCEED: Final = "ReflectStatusSucceed"
EVENT_INTERPRET_HEALTH_SUCCEED: Final = "InterpretHealthSucceed"
EVENT_AGGREGATE_STATUS_SUCCEED: Final = "AggregateStatusSucceed"
EVENT_AGGREGATE_STATUS_FAILED: Final = "AggregateStatusFailed"

BINDING_API_VERSION: Final = "work.karmada.io/v1alpha2"
BINDING_KIND: Final = "ResourceBinding"
WORK_API_VERSION: Final = "work.karmada.io/v1alpha1"
WORK_KIND: Final = "Work"

BINDING_CONTROLLER: Final = "binding-controller"
EXECUTION_CONTROLLER: Final = "execution-controller"
WORK_STATUS_CONTROLLER: Final = "work-status-controller"
BINDING_STATUS_CONTROLLER: Final = "resource-binding-status-controller"

# --- clusters, namespaces and scheduling (contract 4.1, 4.4, 4.5) --------------------------------------------------

READY: Final = "Ready"
CLUSTER_READY: Final = "ClusterReady"
CLUSTER_NOT_READY: Final = "ClusterNotReady"
CLUSTER_NOT_REACHABLE: Final = "ClusterNotReachable"
STATUS_COLLECTION_FAILED: Final = "StatusCollectionFailed"
CREDENTIALS_REFUSED: Final = "CredentialsRefused"
"""Ours alone: the member answers, and says that it does not know us, or that we may not ask."""
COMPLETE_API_ENABLEMENTS: Final = "CompleteAPIEnablements"
API_ENABLEMENTS_COMPLETE: Final = "Complete"
API_ENABLEMENTS_PARTIAL: Final = "Partial"
API_ENABLEMENTS_EMPTY: Final = "Empty"
SCHEDULED: Final = "Scheduled"
SCHEDULED_SUCCESS: Final = "Success"
SCHEDULED_NO_CLUSTER_FIT: Final = "NoClusterFit"
SCHEDULED_UNSCHEDULABLE: Final = "Unschedulable"

TAINT_NOT_READY: Final = "cluster.karmada.io/not-ready"
TAINT_UNREACHABLE: Final = "cluster.karmada.io/unreachable"
NO_SCHEDULE: Final = "NoSchedule"
NO_EXECUTE: Final = "NoExecute"

EVENT_CREATE_EXECUTION_SPACE_SUCCEED: Final = "CreateExecutionSpaceSucceed"
EVENT_CREATE_EXECUTION_SPACE_FAILED: Final = "CreateExecutionSpaceFailed"
EVENT_REMOVE_EXECUTION_SPACE_SUCCEED: Final = "RemoveExecutionSpaceSucceed"
EVENT_REMOVE_EXECUTION_SPACE_FAILED: Final = "RemoveExecutionSpaceFailed"
EVENT_SCHEDULE_BINDING_SUCCEED: Final = "ScheduleBindingSucceed"
EVENT_SCHEDULE_BINDING_FAILED: Final = "ScheduleBindingFailed"
EVENT_CLUSTER_CONNECTION_FAILED: Final = "ClusterConnectionFailed"
"""Ours alone: no client can be built for a member."""

EVENT_CLUSTER_NOT_ENCRYPTED: Final = "ClusterConnectionNotEncrypted"
"""Ours alone: the Cluster's endpoint is http, and its token goes there in clear."""

EVENT_CLUSTER_CACHE_FULL: Final = "ClusterCacheFull"
"""Ours alone: a member has more objects of a kind than there is memory for."""

EVENT_MEMBER_WORKS_LIMIT: Final = "MemberWorksLimitReached"
"""Ours alone: no further Works are made for a member's slices."""

EVENT_ADDRESSES_LEFT_OUT: Final = "EndpointAddressesLeftOut"
EVENT_SUSPICIOUS_ADDRESSES: Final = "SuspiciousEndpointAddresses"
"""Ours alone: of a MultiClusterService whose providers give their endpoints odd addresses."""

MEMBER_OWNED: Final = "MemberOwned"
OWNED: Final = "Owned"
OWNED_BY_ANOTHER: Final = "OwnedByAnotherControlPlane"
OWNERSHIP_UNKNOWN: Final = "OwnershipUnknown"
REGISTERED_TWICE: Final = "RegisteredTwice"
STALE_OBJECTS_REMOVED: Final = "StaleObjectsRemoved"
STALE_REMOVED: Final = "Removed"
STALE_UNCONFIRMED: Final = "ConfirmationNeeded"
"""Conditions of a Cluster, and their reasons, which are those of events, too. Ours alone."""

CLUSTER_API_VERSION: Final = "cluster.karmada.io/v1alpha1"
CLUSTER_KIND: Final = "Cluster"
NAMESPACE_KIND: Final = "Namespace"

CLUSTER_CONTROLLER: Final = "cluster-controller"
CLUSTER_STATUS_CONTROLLER: Final = "cluster-status-controller"
OWNERSHIP_CONTROLLER: Final = "member-ownership-controller"
STALE_OBJECTS_CONTROLLER: Final = "stale-objects-controller"
NAMESPACE_SYNC_CONTROLLER: Final = "namespace-sync-controller"
DEFAULT_SCHEDULER: Final = "default-scheduler"

# --- policies (contract 4.7; Karmada's pkg/detector) ---------------------------------------------------------------

POLICY_API_VERSION: Final = "policy.karmada.io/v1alpha1"
POLICY_KIND: Final = "PropagationPolicy"

EVENT_APPLY_POLICY_SUCCEED: Final = "ApplyPolicySucceed"
EVENT_APPLY_POLICY_FAILED: Final = "ApplyPolicyFailed"
EVENT_POLICY_REFUSED: Final = "PolicyRefused"
EVENT_TEMPLATE_CLAIMED: Final = "TemplateClaimed"
"""Ours alone: what a policy selects is a MultiClusterService's."""
"""Ours alone: the policy asks for what is not done here."""

RESOURCE_DETECTOR: Final = "resource-detector"
POLICY_CONTROLLER: Final = "propagation-policy-controller"
"""Two queues of one thing: what happens to a template, and what happens to a policy."""

# --- ServiceExport and ServiceImport (contract 3.4 to 3.6) ---------------------------------------------------------

MULTICLUSTER_GROUP: Final = "multicluster.x-k8s.io"
MULTICLUSTER_API_VERSION: Final = "multicluster.x-k8s.io/v1alpha1"
SERVICE_EXPORT_KIND: Final = "ServiceExport"
SERVICE_IMPORT_KIND: Final = "ServiceImport"

EXPORT_CONTROLLER: Final = "service-export-controller"
EXPORTED_SLICES_CONTROLLER: Final = "service-export"
SLICE_IMPORT_CONTROLLER: Final = "endpointslice-controller"
SERVICE_IMPORT_CONTROLLER: Final = "service-import-controller"

EVENT_SYNC_DERIVED_SERVICE_SUCCEED: Final = "SyncDerivedServiceSucceed"
EVENT_SYNC_DERIVED_SERVICE_FAILED: Final = "SyncDerivedServiceFailed"
