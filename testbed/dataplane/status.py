"""The statuses of a Pod, and its readiness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from testbed.kubelet import now, running_status

if TYPE_CHECKING:
    from testbed.api import Object

# "false" makes a Pod unready, whatever its probe says: how a test flips readiness.
READY_ANNOTATION = "testbed/ready"

__all__ = [
    "READY_ANNOTATION",
    "Probe",
    "ended_status",
    "held_unready",
    "probes",
    "running_status",
    "waiting_event",
    "waiting_status",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A readiness probe: ``httpGet`` or ``tcpSocket``.

    Attributes:
        port: where to connect.
        path: what to ask for; empty: connecting is enough.
        delay: seconds between the start and the first try.
        period: seconds between two tries.
        timeout: seconds for one try.
        successes: tries in a row that make ready.
        failures: tries in a row that make unready.
    """

    port: int
    path: str
    delay: float
    period: float
    timeout: float
    successes: int
    failures: int


def probes(pod: Object) -> list[Probe]:
    """The readiness probes of a Pod's containers; other kinds than ``httpGet`` and ``tcpSocket`` always succeed."""
    return [
        _probe(container, probe)
        for container in pod["spec"]["containers"]
        if (probe := container.get("readinessProbe")) and ("httpGet" in probe or "tcpSocket" in probe)
    ]


def _probe(container: Object, probe: Object) -> Probe:
    action = probe.get("httpGet") or probe["tcpSocket"]
    named = {each.get("name"): each["containerPort"] for each in container.get("ports", [])}
    return Probe(
        port=int(named.get(action["port"], action["port"])),
        path=action.get("path", "/") if "httpGet" in probe else "",
        delay=float(probe.get("initialDelaySeconds", 0)),
        period=float(probe.get("periodSeconds", 10)),
        timeout=float(probe.get("timeoutSeconds", 1)),
        successes=int(probe.get("successThreshold", 1)),
        failures=int(probe.get("failureThreshold", 3)),
    )


def held_unready(pod: Object) -> bool:
    """Whether the annotation says that this Pod is not ready."""
    return str((pod["metadata"].get("annotations") or {}).get(READY_ANNOTATION, "true")).lower() == "false"


def ended_status(pod: Object, *, address: str, host: str, started: str, code: int) -> dict[str, Any]:
    """The status of a Pod whose containers have ended, all with this exit code, and are not started again."""
    wanted = running_status(pod, address=address, host=host, ready=False, started=started)
    terminated = {
        "exitCode": code,
        "reason": "Error" if code else "Completed",
        "startedAt": started,
        "finishedAt": now(),
    }
    for each in wanted["containerStatuses"]:
        each |= {"started": False, "state": {"terminated": {**terminated, "containerID": each["containerID"]}}}
    return wanted | {"phase": "Failed" if code else "Succeeded"}


def waiting_status(pod: Object, *, reason: str, message: str, host: str) -> dict[str, Any]:
    """The status of a Pod that has a node but cannot be run there."""
    moment = now()
    false = {"status": "False", "reason": reason, "message": message, "lastTransitionTime": moment}
    return {
        "phase": "Pending",
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "startTime": moment,
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": moment},
            {"type": "ContainersReady", **false},
            {"type": "Ready", **false},
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": False,
                "started": False,
                "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": message}},
            }
            for container in pod["spec"]["containers"]
        ],
    }


def waiting_event(pod: Object, *, reason: str, message: str, node: str) -> Object:
    """The Event that tells a person why a Pod does not run."""
    metadata, moment = pod["metadata"], now()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name'][:200]}.", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": "Warning",
        "reason": reason,
        "message": message,
        "count": 1,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "source": {"component": "testbed-kubelet", "host": node},
    }
