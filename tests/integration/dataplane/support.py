"""Manifests and questions that the tests of the data plane share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testbed import Bed, NotYet, wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed import ControlPlane

Object = dict[str, Any]

HELLO = "Hello, world!\nVersion: 1.0.0\nHostname: {pod}\n"


def deployment(name: str, image: str, replicas: int = 1) -> Object:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": name, "image": image}]}},
        },
    }


def pod(name: str, image: str, *, container: Object | None = None, **spec: Any) -> Object:
    containers = [{"name": name, "image": image, **(container or {})}]
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}}


def service(name: str, *, port: int = 80, protocol: str = "TCP") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": port, "protocol": protocol}]},
    }


async def running(plane: ControlPlane, namespace: str, app: str, count: int = 1) -> dict[str, str]:
    """Addresses of the Pods of an app by name, once there are so many that are ready."""

    async def ready() -> dict[str, str] | None:
        pods = await plane.api.list("v1/pods", namespace=namespace, label_selector=f"app={app}")
        found = {each["metadata"]["name"]: each["status"]["podIP"] for each in pods if is_ready(each)}
        if len(found) == count == len(pods):
            return found
        raise NotYet(f"{len(found)} of {len(pods)} ready")

    return await wait_for(f"{count} Pods of {app} in {plane.name}", ready, 60)


def is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return {"Ready": "True"}.items() <= {each["type"]: each["status"] for each in conditions}.items()


async def curl(bed: Bed, member: str, namespace: str, *url: str) -> str:
    """What a Pod called curl gets; an empty text if there is no answer."""
    answer = await bed.dataplane.exec(member, "curl", ["curl", "-sS", "-m", "10", *url], namespace=namespace)
    return answer.stdout


async def answered_by(bed: Bed, member: str, namespace: str, url: str, pods: Sequence[str], *, tries: int = 12) -> None:
    """Wait until all of these Pods answer and nobody else does."""
    wanted = {HELLO.format(pod=pod) for pod in pods} or {""}

    async def only_these() -> bool | None:
        one_command = ["sh", "-c", f"for i in $(seq {tries}); do curl -s -m 10 {url}; printf '|'; done"]
        answer = await bed.dataplane.exec(member, "curl", one_command, namespace=namespace, timeout=200)
        seen = set(answer.stdout.split("|")[:-1])
        if seen == wanted:
            return True
        raise NotYet(f"{seen}")

    await wait_for(f"{url} to be answered by {pods}", only_these, 60)


async def until_silent(bed: Bed, member: str, namespace: str, url: str) -> None:
    async def silent() -> bool | None:
        return not await curl(bed, member, namespace, url) or None

    await wait_for(f"{url} to be silent", silent, 60)
