"""What the demo tells, as data: each chapter's steps, in the order in which one thing leads to the next."""

from __future__ import annotations

from testbed.demo_setting import GATE, GATE_OFF, LEASE_NAME, SETTING, leads, start, stop
from testbed.demo_story import Chapter, Step
from testbed.demo_walkthrough import (
    BINDING,
    CLAIMED_BY,
    FROM_PROVIDER,
    MCS_WORK,
    SERVICE_WORK,
    TO_CONSUMER,
    adopted,
    claimed,
    collected_work,
    counted,
    delete,
    dispatched_work,
    gone,
    imported_slice,
    native_slice,
    placed,
    pods_ready,
    provider_work,
    released,
    scale,
    service_works,
    services_in_members,
    stayed,
    told,
)
from testbed.demo_world import (
    CONSUMER,
    HOST,
    MULTICLUSTERSERVICES,
    NAME,
    NAMESPACE,
    PROVIDER,
    SLICES,
    WORKS,
    seen,
)

MCS_CONTROLLER = "multiclusterservice-controller"
COLLECT_CONTROLLER = "endpointslice-collect-controller"
DISPATCH_CONTROLLER = "endpointslice-dispatch-controller"
SCHEDULER = "default-scheduler"
BINDING_CONTROLLER = "binding-controller"
EXECUTION_CONTROLLER = "execution-controller"

_THIS = f"{NAMESPACE}/{NAME}"
_SLICE = f"EndpointSlice {NAMESPACE}/{{slice}} in {PROVIDER}"
_IMPORTED = f"EndpointSlice {NAMESPACE}/{PROVIDER}-{{slice}} in {CONSUMER}"

HOPS = Chapter(
    title="With the gate, the Service of member1 gets to member2",
    about="Started again, with one flag more. Times count from its start; each hop is noticed when it happens.",
    together=True,
    steps=(
        Step(
            key="start",
            title="The controller starts",
            looking_at="process mcs-controller-manager",
            expected="its probes say that it is ready",
            observe=start("controller", f"{GATE}=true"),
        ),
        Step(
            key="lease",
            title="It leads",
            looking_at=f"Lease {LEASE_NAME} on {HOST}",
            expected="held by the controller",
            observe=seen("the Lease to be held", leads),
        ),
        Step(
            key="pods",
            title="Pods",
            looking_at=f"Pods {_THIS}-… in {PROVIDER}",
            expected="2 ready",
            observe=seen("2 ready Pods", pods_ready(2)),
        ),
        Step(
            key="adopted",
            title="MultiClusterService taken up",
            looking_at=f"MultiClusterService {_THIS} on {HOST}",
            expected="finalizer and permanent id",
            observe=seen("the finalizer", adopted),
            made_by=MCS_CONTROLLER,
            after="lease",
        ),
        Step(
            key="mcs-work",
            title="MCS-Work",
            looking_at=f"Work {FROM_PROVIDER}/{MCS_WORK} on {HOST}",
            expected="holds the MultiClusterService, suspended: collect from this cluster",
            observe=seen("the MCS-Work", provider_work),
            made_by=MCS_CONTROLLER,
            after="adopted",
        ),
        Step(
            key="claim",
            title="Service claimed",
            looking_at=f"Service {_THIS} on {HOST}",
            expected=f"labels {CLAIMED_BY} and the permanent id",
            observe=seen("the claim", claimed),
            made_by=MCS_CONTROLLER,
            after="mcs-work",
        ),
        Step(
            key="binding",
            title="ResourceBinding placed",
            looking_at=f"ResourceBinding {NAMESPACE}/{BINDING} on {HOST}",
            expected=f"the Service goes to {PROVIDER} and {CONSUMER}",
            observe=seen("the placement", placed),
            made_by=SCHEDULER,
            after="claim",
        ),
        Step(
            key="service-works",
            title="Works with the Service",
            looking_at=f"Works {FROM_PROVIDER}/{SERVICE_WORK} and {TO_CONSUMER}/{SERVICE_WORK} on {HOST}",
            expected="hold the Service",
            observe=seen("the Service's Works", service_works),
            made_by=BINDING_CONTROLLER,
            after="binding",
        ),
        Step(
            key="services",
            title="Service in both members",
            looking_at=f"Service {_THIS} in {PROVIDER} and {CONSUMER}",
            expected="there",
            observe=seen("the Service in both members", services_in_members),
            made_by=EXECUTION_CONTROLLER,
            after="service-works",
        ),
        Step(
            key="slice",
            title=f"Slice in {PROVIDER}",
            looking_at=_SLICE,
            expected="made by Kubernetes itself: the addresses of the Pods",
            observe=seen(f"the slice in {PROVIDER}", native_slice),
            made_by="",
            after="services",
        ),
        Step(
            key="collected",
            title="Collected Work",
            looking_at=f"Work {FROM_PROVIDER}/{{work}} on {HOST}",
            expected="holds that slice, suspended",
            observe=seen("the collected Work", collected_work),
            made_by=COLLECT_CONTROLLER,
            after="slice",
        ),
        Step(
            key="dispatched",
            title="Dispatched Work",
            looking_at=f"Work {TO_CONSUMER}/{{work}} on {HOST}",
            expected=f"holds the slice as {CONSUMER} gets it, {PROVIDER}-…",
            observe=seen("the dispatched Work", dispatched_work),
            made_by=DISPATCH_CONTROLLER,
            after="collected",
        ),
        Step(
            key="imported",
            title=f"Slice in {CONSUMER}",
            looking_at=_IMPORTED,
            expected=f"the same addresses, for clients of Service {NAME}",
            observe=seen(f"the slice in {CONSUMER}", imported_slice),
            made_by=EXECUTION_CONTROLLER,
            after="dispatched",
        ),
        Step(
            title="Conditions",
            looking_at=f"MultiClusterService {_THIS} on {HOST}",
            expected="ServiceApplied=True and EndpointSliceDispatched=True",
            observe=seen("both conditions", told),
            made_by=MCS_CONTROLLER,
            after="dispatched",
        ),
    ),
)


def scaled(before: int, replicas: int) -> Chapter:
    """The chapter in which the Deployment is scaled and the consumer follows."""
    plural = "s" if replicas != 1 else ""
    return Chapter(
        title=f"Scaled from {before} to {replicas}, and the consumer follows",
        about="One write of each Work on the control plane, one of the slice in the consumer.",
        commands=(f"kubectl --context {PROVIDER} scale deployment {NAME} --replicas={replicas}",),
        together=True,
        steps=(
            Step(
                key="scale",
                title=f"Deployment scaled to {replicas}",
                looking_at=f"Deployment {_THIS} in {PROVIDER}",
                expected="accepted",
                observe=scale(replicas),
            ),
            Step(
                key="pods",
                title=f"{replicas} Pod{plural}",
                looking_at=f"Pods {_THIS}-… in {PROVIDER}",
                expected=f"{replicas} ready",
                observe=seen(f"{replicas} ready Pods", pods_ready(replicas)),
                after="scale",
            ),
            Step(
                key="slice",
                title=f"{replicas} address{'es' if plural else ''} in {PROVIDER}",
                looking_at=_SLICE,
                expected="the addresses of the Pods",
                observe=seen(f"the slice in {PROVIDER}", counted(replicas, native_slice)),
                after="pods",
            ),
            Step(
                title=f"{replicas} address{'es' if plural else ''} in {CONSUMER}",
                looking_at=_IMPORTED,
                expected="the same addresses; the same object as before, updated",
                observe=seen(f"the slice in {CONSUMER}", counted(replicas, imported_slice)),
                made_by=DISPATCH_CONTROLLER,
                after="slice",
            ),
        ),
    )


CLEAN_UP = Chapter(
    title="The MultiClusterService is deleted, and cleaned up after",
    about="What was made for it goes; the Service stays in the members, for it is the ResourceBinding's.",
    commands=(f"kubectl --context {HOST} delete mcs {NAME}",),
    together=True,
    steps=(
        Step(
            key="delete",
            title="MultiClusterService deleted",
            looking_at=f"MultiClusterService {_THIS} on {HOST}",
            expected="accepted",
            observe=delete,
        ),
        Step(
            title="Claim released",
            looking_at=f"Service {_THIS} on {HOST}",
            expected="claim labels gone",
            observe=seen("the claim to be released", released),
            made_by=MCS_CONTROLLER,
            after="delete",
        ),
        Step(
            title="MCS-Work gone",
            looking_at=f"Work {FROM_PROVIDER}/{MCS_WORK} on {HOST}",
            expected="gone",
            observe=seen("the MCS-Work to go", gone(HOST, WORKS, FROM_PROVIDER, MCS_WORK)),
            made_by=MCS_CONTROLLER,
            after="delete",
        ),
        Step(
            title="Collected Work gone",
            looking_at=f"Work {FROM_PROVIDER}/{{work}} on {HOST}",
            expected="gone",
            observe=seen("the collected Work to go", gone(HOST, WORKS, FROM_PROVIDER, "{work}")),
            made_by=DISPATCH_CONTROLLER,
            after="delete",
        ),
        Step(
            title=f"Slice gone from {CONSUMER}",
            looking_at=_IMPORTED,
            expected="gone",
            observe=seen("the slice to go", gone(CONSUMER, SLICES, NAMESPACE, PROVIDER + "-{slice}")),
            made_by=EXECUTION_CONTROLLER,
            after="delete",
        ),
        Step(
            title="Dispatched Work gone",
            looking_at=f"Work {TO_CONSUMER}/{{work}} on {HOST}",
            expected="gone",
            observe=seen("the dispatched Work to go", gone(HOST, WORKS, TO_CONSUMER, "{work}")),
            made_by=EXECUTION_CONTROLLER,
            after="delete",
        ),
        Step(
            title="MultiClusterService gone",
            looking_at=f"MultiClusterService {_THIS} on {HOST}",
            expected="gone: its finalizer was taken off",
            observe=seen("the MultiClusterService to go", gone(HOST, MULTICLUSTERSERVICES, NAMESPACE, NAME)),
            made_by=MCS_CONTROLLER,
            after="delete",
        ),
    ),
)

THE_END = Chapter(
    title="What stays, and the end",
    about="After all that, what the MultiClusterService did not own is as it was.",
    steps=(
        Step(
            title="Service still in both members",
            looking_at=f"Service {_THIS} in {PROVIDER} and {CONSUMER}",
            expected="the same objects as before",
            observe=stayed,
        ),
        Step(
            title="The controller stops on SIGTERM",
            looking_at=f"process mcs-controller-manager, Lease {LEASE_NAME} on {HOST}",
            expected="exit code 0, the Lease released",
            observe=stop,
        ),
    ),
)

WALKTHROUGH = (SETTING, GATE_OFF, HOPS, scaled(2, 3), scaled(3, 1), CLEAN_UP, THE_END)
