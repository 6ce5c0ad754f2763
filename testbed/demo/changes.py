"""How the demo goes on once the Service is shared: Pods come and go, and then the sharing ends."""

from __future__ import annotations

from testbed.demo.setting import LEASE_NAME, stop
from testbed.demo.story import Chapter, Step
from testbed.demo.traffic import (
    ASKED,
    COMMAND,
    PROXY,
    TIMES,
    URL,
    answered_by_the_new,
    answered_by_those_left,
    asked_after,
    programmed,
)
from testbed.demo.walkthrough import (
    COLLECT_CONTROLLER,
    COLLECTED,
    DISPATCH_CONTROLLER,
    DISPATCHED,
    EXECUTION_CONTROLLER,
    FROM_PROVIDER,
    IMPORTED,
    MCS_CONTROLLER,
    MCS_WORK,
    SLICE,
    THIS,
    TO_CONSUMER,
    collected_work,
    counted,
    delete,
    dispatched_work,
    gone,
    imported_slice,
    native_slice,
    pods_ready,
    released,
    scale,
    stayed,
)
from testbed.demo.world import (
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


def grown(before: int, replicas: int) -> Chapter:
    """The chapter in which Pods are added; its steps are the hops from a ready Pod to its first answer."""
    return Chapter(
        title=f"Scaled from {before} to {replicas}, and the consumer follows",
        about="One write of each Work on the control plane, one of the slice in the consumer.",
        commands=(_command(replicas),),
        together=True,
        steps=(
            *_followed(replicas, measured=True),
            Step(
                title="The new Pod answers",
                looking_at=ASKED,
                expected=f"asked every 10 ms for {URL}: an answer of the Pod that was added",
                observe=answered_by_the_new,
                after="programmed",
                hop="first answer over the name",
                traffic=True,
            ),
        ),
    )


def shrunk(before: int, replicas: int) -> Chapter:
    """The chapter in which Pods are taken away."""
    return Chapter(
        title=f"Scaled from {before} to {replicas}, and the consumer follows",
        about="Pods that stop are taken out at once, whether they still answer for a while or not.",
        commands=(_command(replicas),),
        together=True,
        steps=(
            *_followed(replicas, measured=False),
            Step(
                title=f"Answers of the {replicas} left only",
                looking_at=ASKED,
                expected=f"{TIMES} times {COMMAND}: all answers are of those who are left",
                observe=answered_by_those_left,
                after="programmed",
                traffic=True,
            ),
        ),
    )


def _command(replicas: int) -> str:
    return f"kubectl --context {HOST} scale deployment {NAME} --replicas={replicas}"


def _followed(replicas: int, *, measured: bool) -> tuple[Step, ...]:
    """From the number of replicas to the rules of the consumer's kube-proxy."""
    pods = f"{replicas} Pod{'s' if replicas != 1 else ''}"
    count = f"{replicas} address{'es' if replicas != 1 else ''}"

    def hop(name: str) -> str:
        return name if measured else ""

    return (
        Step(
            key="scale",
            title=f"Deployment scaled to {replicas}",
            looking_at=f"Deployment {THIS} on {HOST}",
            expected="accepted",
            observe=scale(replicas),
        ),
        Step(
            key="pods",
            title=pods,
            looking_at=f"Pods {THIS}-… in {PROVIDER}",
            expected=f"{replicas} ready",
            observe=seen(f"{replicas} ready Pods", pods_ready(replicas)),
            after="scale",
            hop=hop(f"Pod ready in {PROVIDER}"),
        ),
        Step(
            key="slice",
            title=f"{count} in {PROVIDER}",
            looking_at=SLICE,
            expected="the addresses of the Pods",
            observe=seen(f"the slice in {PROVIDER}", counted(replicas, native_slice)),
            after="pods",
            hop=hop(f"slice written in {PROVIDER}"),
        ),
        Step(
            key="collected",
            title=f"{count} in the collected Work",
            looking_at=COLLECTED,
            expected="the same addresses",
            observe=seen("the collected Work", counted(replicas, collected_work)),
            made_by=COLLECT_CONTROLLER,
            after="slice",
            hop=hop(f"collected on {HOST}"),
        ),
        Step(
            key="dispatched",
            title=f"{count} in the dispatched Work",
            looking_at=DISPATCHED,
            expected="the same addresses",
            observe=seen("the dispatched Work", counted(replicas, dispatched_work)),
            made_by=DISPATCH_CONTROLLER,
            after="collected",
            hop=hop(f"dispatched on {HOST}"),
        ),
        Step(
            key="imported",
            title=f"{count} in {CONSUMER}",
            looking_at=IMPORTED,
            expected="the same addresses; the same object as before, updated",
            observe=seen(f"the slice in {CONSUMER}", counted(replicas, imported_slice)),
            made_by=EXECUTION_CONTROLLER,
            after="dispatched",
            hop=hop(f"slice applied in {CONSUMER}"),
        ),
        Step(
            key="programmed",
            title=f"{count} in the rules of kube-proxy",
            looking_at=PROXY,
            expected=f"connections go to the Pods in {PROVIDER}",
            observe=seen("the rules", counted(replicas, programmed)),
            after="imported",
            hop=hop(f"kube-proxy programmed in {CONSUMER}"),
            traffic=True,
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
            looking_at=f"MultiClusterService {THIS} on {HOST}",
            expected="accepted",
            observe=delete,
        ),
        Step(
            title="Claim released",
            looking_at=f"Service {THIS} on {HOST}",
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
            looking_at=COLLECTED,
            expected="gone",
            observe=seen("the collected Work to go", gone(HOST, WORKS, FROM_PROVIDER, "{work}")),
            made_by=DISPATCH_CONTROLLER,
            after="delete",
        ),
        Step(
            key="imported",
            title=f"Slice gone from {CONSUMER}",
            looking_at=IMPORTED,
            expected="gone",
            observe=seen("the slice to go", gone(CONSUMER, SLICES, NAMESPACE, PROVIDER + "-{slice}")),
            made_by=EXECUTION_CONTROLLER,
            after="delete",
        ),
        Step(
            title="Dispatched Work gone",
            looking_at=DISPATCHED,
            expected="gone",
            observe=seen("the dispatched Work to go", gone(HOST, WORKS, TO_CONSUMER, "{work}")),
            made_by=EXECUTION_CONTROLLER,
            after="delete",
        ),
        Step(
            title="MultiClusterService gone",
            looking_at=f"MultiClusterService {THIS} on {HOST}",
            expected="gone: its finalizer was taken off",
            observe=seen("the MultiClusterService to go", gone(HOST, MULTICLUSTERSERVICES, NAMESPACE, NAME)),
            made_by=MCS_CONTROLLER,
            after="delete",
        ),
        Step(
            title=COMMAND,
            looking_at=ASKED,
            expected=f"no answer: the Service is in {CONSUMER}, and has no endpoints",
            observe=asked_after,
            after="imported",
            traffic=True,
        ),
    ),
)

THE_END = Chapter(
    title="What stays, and the end",
    about="After all that, what the MultiClusterService did not own is as it was.",
    steps=(
        Step(
            title="Service still in both members",
            looking_at=f"Service {THIS} in {PROVIDER} and {CONSUMER}",
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
