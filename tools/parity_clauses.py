"""Data of docs/parity.md: the clauses of the wire contract in our words, and where we differ from Karmada.

A clause is shown by its cases, and by the tests that are named here: a file, or a file and a function (`a.py::test_b`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Deviation:
    """One thing that we do otherwise than Karmada.

    Attributes:
        key: by which clauses and cases name it.
        ours: what happens here.
        theirs: what happens with Karmada.
        why: the reason.
    """

    key: str
    ours: str
    theirs: str
    why: str


@dataclass(frozen=True, slots=True)
class Clause:
    """One thing that the wire contract says.

    Attributes:
        chapter: heading on the page.
        section: number in the contract.
        text: what it says, in a sentence.
        cases: numbers of `parity_cases.CASES`.
        tests: those that show it beyond its cases.
        deviations: keys of `DEVIATIONS`.
        lacks: what is not there yet.
    """

    chapter: str
    section: str
    text: str
    cases: tuple[int, ...] = ()
    tests: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    lacks: str = ""


DEVIATIONS: Final[tuple[Deviation, ...]] = (
    Deviation(
        "patches",
        "Own fields are changed by merge patches that name the resourceVersion where they were computed from more",
        "Whole objects are updated",
        "An update drops fields that the writer does not know, and conflicts with every other writer. RBAC has `patch` "
        "instead of `update`. `spec.range: {}` and `status.loadBalancer: {}`, which Go writes for what is empty, are "
        "not added to a MultiClusterService, and are kept where they are",
    ),
    Deviation(
        "steady",
        "A pass over a steady world writes nothing; events come once per change. They do not say of which "
        "`involvedObject.resourceVersion`",
        "The Service and its binding are written, and success events sent, on every pass",
        "Each needless write makes others work. The events have a request limit of their own. An event is about an "
        "object, not about one version of it: with one, equal events could not be counted together",
    ),
    Deviation(
        "caches",
        "Reads come from caches, by index",
        "Works are read and listed in each pass",
        "Cost does not grow with the number of services. So a read cannot fail; a write that does is tried again",
    ),
    Deviation(
        "unknown",
        "What is not known (first list under way, cluster away, Pull mode) is waited for without an error",
        "An error and a growing back-off",
        "The event that ends the wait leads back at once; until then nothing is made or withdrawn",
    ),
    Deviation(
        "retries",
        "While an API server does not answer, tries are 5 seconds apart at most; a member that is away is looked at "
        "every 2 seconds",
        "Back-off up to 1000 seconds",
        "A server that is back is used at once",
    ),
    Deviation(
        "retried",
        "What a member refuses (4xx, or an object of its own in the way) is tried again about every minute, and later "
        "if thousands are: with a tenth of `--cluster-api-qps` at most. What it fails to do (5xx) is tried soon, and "
        "then every minute. Works of a cluster that is not ready wait for it, and the log says so once",
        "Back-off up to 1000 seconds, an error in the log for each Work and try",
        "A quota that was raised or a policy that was mended is used within a minute",
    ),
    Deviation(
        "queues",
        "Queues hold slices (cluster, namespace, name) and ServiceExports, one kind each, one writer for a Work",
        "Queues hold Works, and keys of any kind",
        "Several workers writing one Work conflict; a Work's name is no identity where two providers share it",
    ),
    Deviation(
        "identity",
        "A copy is found by the slice that it is a copy of. Where its Work name is taken by another slice's it has "
        "another name, and the Work an annotation `endpointslice.karmada.io/provision-name` if the slice's name in the "
        "consumer had to differ, too",
        "Copies are found by the collected Work's name",
        "Slices of one name, from two providers or of a provider that consumes, overwrite and delete each other",
    ),
    Deviation(
        "moves",
        "A collected Work is filed under the service that its slice names now",
        "Labels that are there win",
        "A slice that moves to another Service would stay with the former",
    ),
    Deviation(
        "withdrawn",
        "Whatever no service, export or provider wants is withdrawn: after a restart, a lost watch, a forced deletion; "
        "also of a provider whose Cluster is gone although a service names it",
        "Only what is seen to happen has consequences",
        "Consumers would keep dead endpoints for ever",
    ),
    Deviation(
        "marks",
        "A Work that is already gone is no error when its mark is dropped; both features' marks change in one write; a "
        "collected Work whose label `endpointslice.karmada.io/managed-by` was taken off is withdrawn by the service "
        "and the finalizer that are still on it",
        "An error; two controllers write the Work in turns; a Work without the label stays for ever",
        "There is nothing left to do, and nothing to race for; and its copies would stay in the consumers",
    ),
    Deviation(
        "emptied",
        "A collected Work is emptied before it is deleted, in the write that takes its finalizers off; copies are "
        "found by what they carry themselves. Those of a Cluster that is being deleted are emptied before its "
        "execution namespace goes",
        "It is deleted as it is; the finalizers go when the copies are gone",
        "Karmada's execution deletes what the manifest names if it has the label `karmada.io/managed`, and a "
        "provider's own slice has that label from its Service: that would be without endpoints for a second",
    ),
    Deviation(
        "resumed",
        "A Work that is marked as collected, or carries a MultiClusterService, counts as such, also when somebody has "
        "taken its suspension off: it is suspended again, or deleted with its slice. Our execution never applies it, "
        "and takes its own finalizer and the condition `Applied` off again",
        "It is no orphan, and stays; it is applied",
        "Its slice would be on the control plane for ever",
    ),
    Deviation(
        "ahead",
        "Collected Work and dispatched Works are written side by side, where both are made in one process (not for a "
        "Pull cluster, whose agent collects); with our own execution in it, the slice in the consumer too",
        "One after the other",
        "Two answers less to wait for. Nothing is created or deleted ahead, and the ordinary pass completes what fails",
    ),
    Deviation(
        "everything",
        "Every cluster and step is tried, whatever fails",
        "The first failure ends the pass",
        "One broken cluster keeps the others back",
    ),
    Deviation(
        "skips",
        "A cluster that is skipped is named in the condition, with one event for each change (one for all if more "
        "than ten clusters share a reason); its status stays True",
        "An event in each pass; the condition does not tell",
        "Who reads the condition has to know",
    ),
    Deviation(
        "messages",
        "Conditions have Karmada's text, and go on with what a person needs if there is anything: who is skipped and "
        "why, what failed, with the member's own words. An event follows each change",
        "The text alone",
        "The messages are for people; type, status and reason are Karmada's",
    ),
    Deviation(
        "available",
        "A third condition, `EndpointsAvailable`, says whether every consumer has a ready endpoint that it can reach "
        "for each port, with a reason and with `observedGeneration`. After a take-over it is one status write for each "
        "service; docs/beside-karmada.md takes it off on the way back",
        "None; Karmada's two are True while no endpoint is anywhere",
        "Who reads a status wants to know whether a client gets an answer",
    ),
    Deviation(
        "columns",
        "Our definition of the kind has printer columns: types, providers, consumers, the conditions, age",
        "Name and age",
        "`kubectl get mcs` is the first that people type",
    ),
    Deviation(
        "verdict",
        "`EndpointSliceDispatched` is computed over all slices of the service, and both conditions are written at once",
        "Each slice overwrites it",
        "The last success would hide the failures before it",
    ),
    Deviation(
        "ports",
        "`spec.ports`, if there are any, are all that consumers get; what matches no slice is told. A port without a "
        "number, which means every port, is then not offered",
        "They are checked on admission, and have no effect",
        "It is what who writes them expects",
    ),
    Deviation(
        "refusals",
        "A copy that a consumer does not take turns `EndpointSliceDispatched` False, and a Service that a member does "
        "not take, or that is not scheduled to it or suspended, `ServiceApplied`: after five seconds, with the "
        "member's own words and one event. Neither is True before the Service has arrived",
        "The conditions say that the Works, and the binding, were written",
        "Who reads them wants to know whether Service and endpoints are there",
    ),
    Deviation(
        "options",
        "`--strip-topology` leaves zone, node and hints out of copies; `--withdraw-not-ready-after`, and an annotation "
        "of a service, withdraw the endpoints of a provider that is not ready. Both are off",
        "Neither exists",
        "Whether a consumer may route by a foreign zone, or trusts a silent provider, is for its operators to say",
    ),
    Deviation(
        "leftovers",
        "A Cluster that is removed is taken off the bindings that a deleted service left behind",
        "They keep it from leaving",
        "Nobody else places them any more",
    ),
    Deviation(
        "foreign",
        "Finalizers and owner references of others stay on a binding that is taken over",
        "Both are replaced",
        "They are not ours",
    ),
    Deviation(
        "ids",
        "Missing permanent ids are set by whoever writes the object; objects are found by namespace and name besides",
        "The webhook sets ids, and everything is found by them",
        "Without a webhook, or after a client drops the label, an id is empty or new",
    ),
    Deviation(
        "heartbeats",
        "A Cluster is looked at if readiness, APIs, connection, labels or deletion change; one that is being deleted "
        "does not count where all clusters are meant",
        "At each write of its status, every ten seconds",
        "A heartbeat changes nothing",
    ),
    Deviation(
        "reserved",
        "Objects that every cluster has of its own (`default/kubernetes`, `kube-system/kube-dns`, `kube-root-ca.crt`, "
        "the ServiceAccount `default`; `--reserved-objects` adds more) are refused with words, in any Work as well. "
        "Details: [reserved objects](reserved-objects.md)",
        "A MultiClusterService for `default/kubernetes` is propagated as any other",
        "A member's Pods would ask another cluster's API server half of the time",
    ),
    Deviation(
        "types",
        "All Works go when a service is CrossCluster no more",
        "Those of current providers stay",
        "Only possible where the type check is bypassed; then nothing would ever remove them",
    ),
    Deviation(
        "released",
        "The end of a service takes its marks off the binding also when its Service is gone",
        "A missing Service ends the release: the binding keeps the marks",
        "Garbage collection takes the binding, if it is not somebody's meanwhile: then it has to be free of ours",
    ),
    Deviation(
        "labels",
        "A change of a MultiClusterService's labels or finalizers alone is looked at",
        "It is not",
        "The permanent id is a label, and the finalizer may be what was taken off: both are put back at once",
    ),
    Deviation(
        "binding-watched",
        "What somebody does to the binding or to a provider's Work is put right at once",
        "With the next event of the service",
        "They are ours to keep",
    ),
    Deviation(
        "connection",
        "A changed endpoint, Secret name or proxy of a Cluster is used at once; a new token after the first 401, or "
        "when the old one is five minutes old; a new CA after the first request that gets no answer, and "
        "within 30 seconds "
        "if the Secret changes only after that. Nothing is withdrawn or rewritten meanwhile",
        "Running watches keep the old ones",
        "A rotated certificate should not need a restart. Secrets are read by name, so nobody "
        "need be allowed to list them",
    ),
    Deviation(
        "exports-followed",
        "A Work that was collected for an export is reason enough to follow a member, as is an export's Work from its "
        "creation",
        "Only an update of the export's Work is",
        "After a restart nothing would be followed until some Work changes",
    ),
    Deviation(
        "imports",
        "An imported slice is found by its Work's name and any mark that is left on it; its marks are restored, "
        "annotations included. It keeps what others put on it, has another name where its own is taken, and is made "
        "anew if its address type changes. A namespace that comes late wakes what was exported from it",
        "Found by the Work's id; labels are replaced, annotations left alone; collisions overwrite; late namespaces "
        "are found by back-off",
        "As for copies, and a policy puts its claim there. RBAC has `list` and `watch` of namespaces for the last",
    ),
    Deviation(
        "derived",
        "The derived Service names its ServiceImport as owner; only type, selector and ports are ours. A Service of "
        "that name that is somebody's own (it names no ServiceImport, and has a selector, "
        "another type or no cluster IP) is "
        "neither changed nor deleted, and an event says so",
        "No owner; everything but the cluster IP is replaced, whoever made it",
        "So it goes even if nobody saw the ServiceImport go, and what others made stays theirs",
    ),
    Deviation(
        "scheduler",
        "A cluster that joins or reports its APIs is considered at once; placements other than a list of names are "
        "refused with words",
        "At a change of its spec or labels; a full scheduler",
        "It is what this feature needs; Karmada's own can run instead",
    ),
    Deviation(
        "policies",
        "Policies select by kind, name and label and place by a list of names; one that asks for more is refused, and "
        "keeps what it has. No `spec.replicas`, no overrides",
        "The full engine",
        "A policy must not be half obeyed",
    ),
    Deviation(
        "own-objects",
        "Execution changes and deletes only objects that name the very Work, or have lost its name and are known by "
        "its permanent id; two Works with one object do not take turns; missing finalizers are set; a Work whose "
        "Cluster is gone can be deleted",
        "The label `karmada.io/managed` is enough",
        "A provider's native slices mirror the Service's labels, this one among them, and would be deleted",
    ),
    Deviation(
        "namespaces-stay",
        "A member's namespace is deleted only if the control plane's is; it is let go if its Cluster leaves, or if "
        "somebody deletes the Work. A Cluster has its finalizer before its execution namespace is made. A namespace "
        "that the member has of its own counts as applied, is used as it is, and stays",
        "It is deleted with its Work. `Applied` is False for one that the member has of its own",
        "Everything that others have in it would be deleted with it. That it exists is all that is wanted",
    ),
    Deviation(
        "three-way",
        "Of a member's object a field goes only if an earlier manifest had it (by `managedFields`: ours or Karmada's). "
        "What the member's servers, webhooks and controllers fill in or add stays: `loadBalancerClass`, a second IP "
        "family, node ports, `externalIPs`",
        "The object is replaced; of a Service the cluster IP and the health check's port are kept",
        "An immutable field that a webhook filled in makes each later change fail with 422; others fight for theirs",
    ),
    Deviation(
        "allocated",
        "`nodePort`, `healthCheckNodePort`, `ipFamilies` and `ipFamilyPolicy` of a Service travel only if somebody "
        "wrote them: not if no field manager names them. A Work with more is left so while its member takes it",
        "They travel always",
        "They are allocated by each server for itself: the node port may be taken in the member, and the Service "
        "would not get there",
    ),
    Deviation(
        "replaced",
        "What cannot be changed in place is deleted and made anew: a slice whose address type changed, always; a "
        "Service that becomes headless or ceases to be, or whose `loadBalancerClass` or first IP family changes, with "
        "conflict resolution Overwrite. Without it `Applied` is False and says which field it is",
        "A slice is refused with 422 at each try, for ever. A Service that has a cluster IP keeps it, and is said to "
        "be applied as headless",
        "The server refuses such a change, or ignores it in silence",
    ),
    Deviation(
        "followed",
        "A template is followed as long as its binding is there, also when nobody claims it any more",
        "Only when its binding changes, and at a restart",
        "Running and restarting have to do the same",
    ),
    Deviation(
        "wrong-type",
        "A MultiClusterService with a field of the wrong type is refused with 422 and the field's path, by the "
        "definition's schema. JSON that cannot be read is 400",
        "400 for both, as the webhook decodes by itself",
        "The API server looks at the schema first",
    ),
    Deviation(
        "admission",
        "The rules are in the definitions (CEL), or in ValidatingAdmissionPolicies. Paths name fields that exist, the "
        "code is 422, and ingress is checked when it is written. Details: [admission](admission.md)",
        "A webhook; 403; `spec.range.providerClusters[i]`",
        "No process to be down. Karmada's webhook may run besides",
    ),
    Deviation(
        "lease",
        "Lease `mcs-controller-manager`; `/readyz` exists; a lost Lease ends the process with 1",
        "`karmada-controller-manager`; no `/readyz`",
        "Karmada's own manager goes on running beside, and holds its own",
    ),
    Deviation(
        "flags",
        "`--enable-pprof`, `--profiling-bind-address`, `--cluster-monitor-*` and the other flags, controllers and "
        "feature gates of docs/reference/flags.md that mean nothing here are accepted with one warning; no "
        "`cluster_node_number` and `cluster_ready_node_number`",
        "They do something",
        "They are of Go's runtime, of Pull clusters, and of nodes, which nothing here looks at",
    ),
    Deviation(
        "refused",
        "A member that answers 401 or 403 has condition Ready False with reason `CredentialsRefused`, which names the "
        "Secret; 401 counts after the Secret was read again. A Cluster that turns not ready, or ready again, has an "
        "event",
        "Reason `ClusterNotReachable`, and no event",
        "A refused token is mended elsewhere than a server that is away",
    ),
    Deviation(
        "ownership",
        "A member carries the uid of its control plane, in a ConfigMap. In another one's member nothing is written or "
        "deleted until somebody confirms, and an object with another `work.karmada.io/permanent-id` is left alone and "
        "named. The same member registered twice is said so. Details: [member ownership](member-ownership.md)",
        "Whoever has credentials writes: two control planes overwrite each other's objects in turns, and delete them",
        "Nobody means to share a member by names that happen to be equal. It holds where our own execution runs",
    ),
    Deviation(
        "stale",
        "After each first list of a member, objects without their Works are removed: slices of the dispatcher at once, "
        "Services and imported slices after a minute, namespaces and other kinds never; more than half of a member's "
        "objects only with somebody's consent. Details: [member ownership](member-ownership.md)",
        "They stay: a cluster that was unjoined while it was away comes back with dead endpoints",
        "A member holds what the Works say. It holds where our own execution runs",
    ),
    Deviation(
        "unserved",
        "A MultiClusterService of another type than CrossCluster, and a policy that selects a Service which a "
        "MultiClusterService has claimed, get one event for each change",
        "Nothing is said",
        "Who made it waits for something that will not come",
    ),
    Deviation(
        "service-gone",
        "The copies of a Service that the control plane has no more are withdrawn after ten seconds, and are back with "
        "it at once; of one that never was none are made. What was collected stays, and so do the two conditions",
        "They stay, and are made, as long as the provider has slices",
        "The Service leaves the consumers, and its endpoints would stay behind for ever; ten seconds are for a Service "
        "that is deleted and made anew",
    ),
)

_OBJECTS = "Objects"
_NAMES = "Names and Works"
_CONTROLLERS = "The controllers"
_NEIGHBOURS = "Neighbours, as the stand-alone controllers"
_EDGES = "Admission, permissions, process"

_UNIT = "tests/unit"
_DOMAIN = "tests/unit/domain"
_RECONCILERS = "tests/unit/reconcilers"
_PRODUCT = "tests/integration/product"
_MANIFESTS = "tests/integration/manifests"

CLAUSES: Final[tuple[Clause, ...]] = (
    # --- chapters 0 and 1 ---------------------------------------------------------------------------------------------
    Clause(
        _OBJECTS,
        "0.1",
        "Every label, annotation, finalizer, condition and reason is Karmada's, to the letter.",
        tests=(f"{_PRODUCT}/test_walkthrough.py::test_every_object_is_what_karmada_writes_field_by_field",),
    ),
    Clause(
        _OBJECTS,
        "0.1",
        "Conditions are merged by type; the time moves with the status; no observedGeneration.",
        (26,),
        (f"{_DOMAIN}/test_conditions.py", f"{_PRODUCT}/test_availability.py"),
        ("messages", "verdict", "available"),
    ),
    Clause(
        _OBJECTS,
        "0.1",
        "Events: reasons, types, objects and components are Karmada's; how often is free.",
        (92, 94),
        (
            f"{_PRODUCT}/test_walkthrough.py::test_every_kind_of_event_is_told_of_the_same_object_by_the_same_component",
            f"{_UNIT}/runtime/test_events.py",
        ),
        ("steady",),
    ),
    Clause(
        _OBJECTS,
        "1.1-1.3",
        "Definitions of MultiClusterService, Work, ResourceBinding: names, columns, fields, unknown "
        "ones in manifests preserved.",
        (),
        (f"{_MANIFESTS}/test_apply.py", f"{_MANIFESTS}/test_definitions.py", f"{_MANIFESTS}/test_golden.py"),
        ("columns",),
    ),
    Clause(
        _OBJECTS,
        "1.1",
        "Clusters are sets: repeated names collapse, an empty list is every registered cluster.",
        (8, 13, 16, 95),
        (f"{_DOMAIN}/test_selection.py",),
        ("heartbeats",),
    ),
    Clause(
        _OBJECTS,
        "1.1",
        "The ports of a MultiClusterService are checked; no controller acts on them.",
        (70, 72),
        (f"{_DOMAIN}/test_exposure.py",),
        ("ports",),
    ),
    Clause(
        _OBJECTS,
        "1.4",
        "An API of a cluster is enabled, disabled or unknown; only disabled stops this feature.",
        (7, 89),
        (f"{_DOMAIN}/test_clusters.py",),
    ),
    Clause(
        _OBJECTS,
        "1.4",
        "Members are reached by endpoint, Secret, proxy; the token is kept five minutes and dropped "
        "after a 401; one bucket of requests for each.",
        (58,),
        (f"{_UNIT}/clusters/test_clusters.py", f"{_UNIT}/clusters/test_member_credentials.py"),
        ("connection",),
    ),
    Clause(
        _OBJECTS,
        "1.5",
        "ServiceExport and ServiceImport are those of sig-multicluster; an export's status is not written.",
        (65, 90),
        (f"{_DOMAIN}/test_service_import.py",),
    ),
    # --- chapter 2 ----------------------------------------------------------------------------------------------------
    Clause(
        _NAMES,
        "2.1",
        "Names of execution namespaces, bindings, derived Services, imported and dispatched slices.",
        (33, 63, 80),
        (f"{_DOMAIN}/test_naming.py",),
        ("identity",),
    ),
    Clause(
        _NAMES,
        "2.2",
        "A Work's name: the object's, and an FNV hash in letters.",
        (80,),
        (f"{_DOMAIN}/test_naming.py::test_case_80_work_names_are_the_contracts",),
    ),
    Clause(
        _NAMES,
        "2.3",
        "How a Work comes to hold a manifest: marks, pruning, merged metadata, spec replaced, written "
        "only if changed; one that is being deleted is waited for.",
        (61, 78, 79, 86),
        (f"{_DOMAIN}/test_works.py",),
        ("patches", "ids", "allocated"),
    ),
    # --- chapter 3 ----------------------------------------------------------------------------------------------------
    Clause(
        _CONTROLLERS,
        "3.0",
        "Controllers: names, keys, gate, workers; back-off; no resync.",
        (),
        (f"{_UNIT}/test_controllers.py", f"{_UNIT}/runtime/test_controller.py", f"{_PRODUCT}/test_flags.py"),
        ("queues", "retries"),
    ),
    Clause(
        _CONTROLLERS,
        "3.0",
        "For Pull clusters, an agent in the member collects and exports.",
        (60,),
        (f"{_UNIT}/domain/test_agent_charge.py", f"{_RECONCILERS}/test_agent.py"),
    ),
    Clause(
        _CONTROLLERS,
        "3.1",
        "multiclusterservice-controller looks at services, Services and Clusters that matter to it.",
        (12, 13, 14, 15, 16),
        (f"{_RECONCILERS}/test_changes.py",),
        ("heartbeats", "binding-watched", "labels"),
    ),
    Clause(
        _CONTROLLERS,
        "3.1",
        "Each usable provider gets a suspended Work that carries the service; others' go, with "
        "what was collected there.",
        (3, 4, 5, 6, 7, 8, 94),
        (),
        ("skips", "everything"),
    ),
    Clause(
        _CONTROLLERS,
        "3.1",
        "The Service is claimed from policies.",
        (10, 11),
        (
            f"{_DOMAIN}/test_reserved.py",
            f"{_PRODUCT}/test_odd_services.py::test_the_api_servers_own_service_is_neither_claimed_nor_propagated",
            f"{_PRODUCT}/test_service_export.py::test_a_service_that_every_cluster_has_of_its_own_is_not_exported",
            "tests/integration/standalone/test_refused_objects.py::test_no_work_writes_what_every_cluster_has_of_its_own",
        ),
        ("steady", "reserved"),
    ),
    Clause(
        _CONTROLLERS,
        "3.1",
        "The Service is bound to providers and consumers; what others wrote into the binding stays.",
        (9,),
        (f"{_DOMAIN}/test_multiclusterservice.py::test_what_the_scheduler_and_others_wrote_into_a_binding_stays",),
        ("foreign", "ids"),
    ),
    Clause(
        _CONTROLLERS,
        "3.1",
        "A service without its Service is not applied, and is when that comes.",
        (),
        (
            f"{_PRODUCT}/test_changes.py::test_a_deleted_service_leaves_the_members_and_comes_back_when_it_is_made_again",
            f"{_PRODUCT}/test_changes.py::test_copies_leave_with_their_service_but_not_if_it_is_replaced",
        ),
        ("service-gone",),
    ),
    Clause(
        _CONTROLLERS,
        "3.1",
        "The end: claim and Works go, the Service goes on running; the finalizer last.",
        (1, 2),
        (
            f"{_RECONCILERS}/test_multiclusterservice.py::test_an_end_that_fails_halfway_is_taken_up_again",
            f"{_RECONCILERS}/test_multiclusterservice.py::test_the_binding_is_let_go_also_when_the_service_is_gone",
        ),
        ("withdrawn", "released"),
    ),
    Clause(
        _CONTROLLERS,
        "3.1",
        "Another type: released; nothing else is done for a LoadBalancer.",
        (12,),
        (f"{_RECONCILERS}/test_multiclusterservice.py",),
        ("types",),
    ),
    Clause(
        _CONTROLLERS,
        "3.2",
        "endpointslice-collect-controller watches the slices of every provider, once.",
        (17, 18, 19, 20),
        (f"{_RECONCILERS}/test_provider_watches.py",),
        ("unknown",),
    ),
    Clause(
        _CONTROLLERS,
        "3.2",
        "Each native slice of the service becomes a suspended Work; copies are never collected.",
        (21, 22, 23, 24, 62),
        (f"{_DOMAIN}/test_collect.py",),
        ("moves", "caches"),
    ),
    Clause(
        _CONTROLLERS,
        "3.2",
        "A slice that is wanted no more loses the mark; the Work goes with the last one.",
        (25,),
        (
            f"{_RECONCILERS}/test_collect.py",
            f"{_DOMAIN}/test_emptied.py",
            "tests/integration/beside/test_providers.py",
            "tests/integration/beside/test_client_loop.py",
        ),
        ("marks", "withdrawn", "emptied"),
    ),
    Clause(
        _CONTROLLERS,
        "3.3",
        "endpointslice-dispatch-controller looks at collected Works, services, Clusters.",
        (27, 28, 29, 30),
        (f"{_RECONCILERS}/test_dispatch.py",),
        ("queues", "heartbeats"),
    ),
    Clause(
        _CONTROLLERS,
        "3.3",
        "Each consumer but the provider gets a copy: name, labels, annotations replaced, endpoints "
        "as they are, empty lists as null.",
        (33, 92, 93, 95),
        (f"{_DOMAIN}/test_dispatch.py::test_a_slice_without_endpoints_is_written_as_null_and_is_then_at_rest",),
        ("identity", "ahead", "options"),
    ),
    Clause(
        _CONTROLLERS,
        "3.1, 3.3",
        "A provider that is not ready keeps what it has: nothing is withdrawn, and nothing new is made for it.",
        (6,),
        (
            f"{_DOMAIN}/test_dispatch.py::test_opening_24_a_provider_that_is_not_ready_keeps_its_endpoints_by_default",
            f"{_DOMAIN}/test_multiclusterservice.py::test_the_work_of_a_provider_that_cannot_be_used_now_is_kept_as_it_is",
        ),
        ("options",),
    ),
    Clause(
        _CONTROLLERS,
        "3.3",
        "Copies go with the collected Work, and from clusters that consume no more.",
        (31, 32, 34),
        (),
        ("identity", "withdrawn", "emptied", "service-gone"),
    ),
    Clause(
        _CONTROLLERS,
        "3.3",
        "The outcome is a condition and an event of the service; skipped clusters have events.",
        (26, 92, 94),
        (f"{_RECONCILERS}/test_service_status.py",),
        ("verdict", "skips", "messages", "steady", "refusals"),
    ),
    Clause(
        _CONTROLLERS,
        "3.4",
        "service-export-controller follows a member's exports once a Work has brought one there.",
        (55, 56, 57, 58, 59),
        (f"{_DOMAIN}/test_service_export.py",),
        ("exports-followed", "unknown"),
    ),
    Clause(
        _CONTROLLERS,
        "3.4",
        "Slices of exported services are collected; the Work may be shared with 3.2.",
        (41, 42, 43, 44, 45, 46, 47, 48, 49, 53),
        (f"{_DOMAIN}/test_demands.py",),
        ("queues", "marks"),
    ),
    Clause(
        _CONTROLLERS,
        "3.4",
        "What is exported no more, and orphans, lose the mark.",
        (35, 36, 37, 38, 39, 40, 50, 51, 52, 54),
        (f"{_RECONCILERS}/test_service_export.py",),
        ("withdrawn", "caches"),
    ),
    Clause(
        _CONTROLLERS,
        "3.5",
        "endpointslice-controller writes exported slices into the control plane.",
        (61, 63, 64),
        (f"{_DOMAIN}/test_imported_slices.py", f"{_RECONCILERS}/test_endpointslice_import.py"),
        ("imports",),
    ),
    Clause(
        _CONTROLLERS,
        "3.6",
        "service-import-controller makes the derived Service and its address.",
        (65, 66, 90, 91),
        (f"{_RECONCILERS}/test_service_import.py",),
        ("derived",),
    ),
    # --- chapter 4 ----------------------------------------------------------------------------------------------------
    Clause(
        _NEIGHBOURS,
        "4.1",
        "Scheduler: which clusters a binding goes to, and what it writes about that.",
        (),
        (f"{_DOMAIN}/test_scheduling.py", f"{_RECONCILERS}/test_scheduler.py"),
        ("scheduler",),
    ),
    Clause(
        _NEIGHBOURS,
        "4.2",
        "Binding: a Work in each scheduled cluster; all go with the binding.",
        (86,),
        (
            f"{_DOMAIN}/test_binding.py",
            f"{_RECONCILERS}/test_binding.py",
            f"{_RECONCILERS}/test_writers_of_bindings.py",
        ),
        ("ids", "everything", "followed", "allocated"),
    ),
    Clause(
        _NEIGHBOURS,
        "4.3",
        "Execution: what is applied, kept, removed, in conflict, deleted; drift is undone.",
        (81, 82, 83, 84, 85),
        (
            f"{_DOMAIN}/test_execution.py",
            f"{_RECONCILERS}/test_execution.py",
            f"{_DOMAIN}/test_merging.py",
            f"{_RECONCILERS}/test_execution_replacing.py",
            f"{_RECONCILERS}/test_retries.py",
            "tests/integration/standalone/test_binding_execution.py",
            "tests/integration/standalone/test_leaving.py",
            f"{_DOMAIN}/test_member_ownership.py",
            f"{_DOMAIN}/test_stale_objects.py",
            f"{_RECONCILERS}/test_member_ownership.py",
            f"{_RECONCILERS}/test_stale_objects.py",
            "tests/integration/product/test_member_ownership.py",
        ),
        ("patches", "own-objects", "namespaces-stay", "three-way", "replaced", "retried", "ownership", "stale"),
    ),
    Clause(
        _NEIGHBOURS,
        "4.4",
        "Execution namespaces come and go with Clusters.",
        (),
        (
            f"{_RECONCILERS}/test_cluster.py",
            f"{_RECONCILERS}/test_scheduler.py::test_cluster_can_leave_a_binding_whose_service_let_go_of_it",
            "tests/integration/standalone/test_clusters.py",
            "tests/integration/beside/test_leaving_clusters.py",
        ),
        ("leftovers", "emptied"),
    ),
    Clause(
        _NEIGHBOURS,
        "4.4",
        "Namespaces of the control plane are made in members, but for some.",
        (87,),
        (
            f"{_DOMAIN}/test_namespaces.py",
            f"{_RECONCILERS}/test_namespace_sync.py",
            f"{_RECONCILERS}/test_execution_replacing.py::test_a_namespace_of_the_members_own_is_used_as_it_is_and_stays",
        ),
        ("namespaces-stay",),
    ),
    Clause(
        _NEIGHBOURS,
        "4.5",
        "Cluster status: probes, reasons, thresholds, APIs, version.",
        (88,),
        (
            f"{_DOMAIN}/test_cluster_status.py",
            f"{_RECONCILERS}/test_cluster_status.py",
            f"{_RECONCILERS}/test_member_probe.py",
            f"{_PRODUCT}/test_bad_input.py",
        ),
        ("retries", "refused"),
    ),
    Clause(
        _NEIGHBOURS,
        "4.6",
        "Status of Works, bindings and LoadBalancers.",
        (),
        (
            f"{_DOMAIN}/test_work_status.py",
            f"{_DOMAIN}/test_binding_status.py",
            f"{_RECONCILERS}/test_binding_status.py",
        ),
    ),
    Clause(
        _NEIGHBOURS,
        "4.7",
        "A claimed Service is never a policy's; a released one may be again.",
        (),
        (
            f"{_RECONCILERS}/test_policy.py::test_a_claimed_service_is_never_touched",
            f"{_RECONCILERS}/test_policy.py::test_a_service_that_is_claimed_later_is_given_up_and_taken_again_after_its_release",
        ),
        ("policies", "unserved"),
    ),
    # --- chapters 5 to 7 ----------------------------------------------------------------------------------------------
    Clause(
        _EDGES,
        "5.1, 5.3",
        "Permanent ids, and pruned manifests.",
        (77, 78),
        (f"{_MANIFESTS}/test_admission_policies.py",),
        ("ids", "admission"),
    ),
    Clause(
        _EDGES,
        "5.2",
        "Thirteen rules on a MultiClusterService.",
        (67, 68, 69, 70, 71, 72, 73, 74, 75, 76),
        (f"{_MANIFESTS}/test_validation_rules.py",),
        ("admission",),
    ),
    Clause(
        _EDGES,
        "6",
        "Rights: those that are used, and no other.",
        (),
        (
            f"{_PRODUCT}/test_permissions.py::test_a_whole_life_needs_every_right_that_is_granted_and_no_other",
            f"{_UNIT}/manifests/test_manifests.py",
        ),
        ("patches",),
    ),
    Clause(
        _EDGES,
        "7",
        "Flags and their defaults.",
        (),
        (f"{_UNIT}/test_options.py",),
        ("flags",),
    ),
    Clause(
        _EDGES,
        "7",
        "Probes, leader election, and the end of a process that loses its Lease.",
        (),
        (
            f"{_UNIT}/runtime/test_leader_election.py",
            "tests/integration/runtime/test_http.py",
            f"{_PRODUCT}/test_restarts.py",
        ),
        ("lease",),
    ),
    Clause(
        _EDGES,
        "7",
        "Metrics: names, labels, buckets, preset to 0.",
        (),
        (
            f"{_UNIT}/runtime/test_metrics.py",
            f"{_UNIT}/workqueue/test_queue_metrics.py",
            f"{_RECONCILERS}/test_propagation_metrics.py",
        ),
        ("flags",),
    ),
)
