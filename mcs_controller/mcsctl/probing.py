"""`mcsctl doctor --probe`: traffic from inside a consumer, from a Pod that the user names or a short-lived one.

A Pod of the user is entered over a WebSocket, as kubectl exec does it, and needs sh and curl. The short-lived one runs
our own image, and is always deleted.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from informers.client.connection import open_session, ssl_context
from informers.errors import ConfigError, KubeError, from_response
from mcs_controller import __version__
from mcs_controller.api.cluster import decode_cluster
from mcs_controller.diagnosis import world as w
from mcs_controller.diagnosis.rules.chain import is_about
from mcs_controller.mcsctl.together import all_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcs_controller.diagnosis.world import Object, World
    from mcs_controller.mcsctl.access import Access, Plane

IMAGE: Final = f"mcs-controller-manager:{__version__}"
MAX_ENDPOINTS: Final = 20
"""Of one consumer. More of them tell nothing new."""

_PATIENCE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.3
_WAITING_FOR_EVER: Final = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError")
_PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDOUT, _STDERR, _STATUS = 1, 2, 3

_BY_CURL: Final = """\
command -v curl >/dev/null 2>&1 || { echo 'the Pod has no curl' >&2; exit 127; }
for each in "$@"; do
  (said=$(curl -sS -o /dev/null -m 4 --noproxy '*' -w ' connect=%{time_connect}' "http://${each#*=}/" 2>&1)
  printf '%s %s\\n' "$each" "$(echo "$said" | tr '\\n' ' ')") &
done
wait
"""


class NoProbe(Exception):
    """Traffic could not be tried; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOptions:
    """How traffic is tried.

    Attributes:
        pod: of the user, in the namespace of the Service, `NAME` or `NAME/CONTAINER`; empty makes a short-lived one.
        image: of the short-lived one.
    """

    pod: str = ""
    image: str = IMAGE


async def probe_consumers(access: Access, world: World, options: ProbeOptions) -> None:
    """Try the service from each consumer that can be looked at, and note in its snapshot what came of it."""
    await all_of(*(_probe(access, world, name, options) for name in world.consumers if name in world.members))


async def _probe(access: Access, world: World, consumer: str, options: ProbeOptions) -> None:
    snapshot = world.members[consumer]
    try:
        wanted = targets_of(world, consumer)
        cluster = decode_cluster(json.dumps(world.host.get(w.CLUSTERS, consumer)).encode())
        plane = await access.member(cluster)
        if options.pod:
            snapshot.probes = by_curl(await _exec(plane, world.namespace, options.pod, _BY_CURL, wanted))
        else:
            snapshot.probes = _decode(await _in_new_pod(plane, world.namespace, options.image, wanted))
    except (NoProbe, w.Unseen, ConfigError, KubeError, msgspec.DecodeError) as problem:
        snapshot.probe_error = str(problem)


def targets_of(world: World, consumer: str) -> list[str]:
    """What to try in a consumer: the name, the Service, and its ready endpoints, as far as they are TCP."""
    snapshot = world.snapshot(consumer)
    found = [f"dns={world.name}.{world.namespace}.svc"]
    service = snapshot.get(w.SERVICES, world.name, world.namespace)
    for port in _tcp_ports(service, "spec"):
        addresses = w.items(service, "spec", "clusterIPs") or [w.text(service, "spec", "clusterIP")]
        found += [
            f"service={_join(one, port)}" for one in addresses if isinstance(one, str) and one not in ("", "None")
        ]
    endpoints = [
        f"endpoint={_join(address, port)}"
        for each in snapshot.list(w.SLICES, world.namespace)
        if is_about(each, world.name)
        for port in _tcp_ports(each)
        for one in w.items(each, "endpoints")
        if w.dig(one, "conditions", "ready") is not False
        for address in w.items(one, "addresses")
        if isinstance(address, str)
    ]
    return found + sorted(set(endpoints))[:MAX_ENDPOINTS]


def _tcp_ports(obj: Object | None, *path: str) -> list[int]:
    ports = [one for one in w.items(obj, *path, "ports") if (w.text(one, "protocol") or "TCP") == "TCP"]
    return [port for one in ports if isinstance(port := w.dig(one, "port"), int)]


def _join(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _decode(log: str) -> list[w.ProbeResult]:
    """What `mcsctl probe --json` wrote."""
    try:
        return [
            w.ProbeResult(step=str(one["step"]), target=str(one["target"]), ok=bool(one["ok"]), error=str(one["error"]))
            for one in json.loads(log)
        ]
    except (ValueError, TypeError, KeyError):
        raise NoProbe(f"the probe's Pod wrote {log[:200]!r}") from None


def by_curl(output: str) -> list[w.ProbeResult]:
    """What the script for Pods of users wrote, a line for each target."""
    return [
        w.ProbeResult(step=match[1], target=match[2], ok=not (error := _of_curl(match[1], match[3])), error=error)
        for line in output.splitlines()
        if (match := re.match(r"(dns|service|endpoint)=(\S+) (.*)", line))
    ]


def _of_curl(step: str, said: str) -> str:
    """In curl's words a connection is made if it took any time; refusals come at once."""
    if "Could not resolve" in said:
        return "no such name"
    if step == "dns":
        return "timeout" if "Resolving timed out" in said else ""
    connected = re.search(r"connect=0*\.?0*[1-9]", said)
    if connected:
        return ""
    after = re.search(r"\(7\).*after (\d+) ms", said)
    if "refused" in said or (after and int(after[1]) < 1000):
        return "refused"
    return "timeout" if "timed out" in said else said.partition(" connect=")[0].strip()


async def _exec(plane: Plane, namespace: str, pod: str, script: str, arguments: Sequence[str]) -> str:
    """Run a script in a Pod; what it wrote to standard output.

    Raises:
        NoProbe: it could not be run, or wrote nothing.
    """
    name, _, container = pod.partition("/")
    query = [("command", one) for one in ("sh", "-c", script, "sh", *arguments)]
    query += [("stdout", "true"), ("stderr", "true"), *([("container", container)] if container else [])]
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(name, safe='')}/exec?{urlencode(query)}"
    token = await plane.config.token_source.token() if plane.config.token_source is not None else None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    session, options = open_session(plane.config, ssl_context(plane.config))
    written: dict[int, bytes] = {}
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS), session:
            url = plane.config.server.rstrip("/") + path
            async with session.ws_connect(url, protocols=_PROTOCOLS, headers=headers, **options) as stream:
                async for message in stream:
                    if message.type is aiohttp.WSMsgType.BINARY and message.data:
                        written[message.data[0]] = written.get(message.data[0], b"") + message.data[1:]
    except aiohttp.WSServerHandshakeError as error:
        raise NoProbe(f"exec into Pod {namespace}/{name} of {plane.name}: HTTP {error.status}") from None
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise NoProbe(f"exec into Pod {namespace}/{name} of {plane.name}: {error or 'timed out'}") from None
    output = written.get(_STDOUT, b"").decode(errors="replace")
    if not output:
        said = (written.get(_STDERR) or written.get(_STATUS) or b"nothing").decode(errors="replace")
        raise NoProbe(f"exec into Pod {namespace}/{name} of {plane.name}: {said.strip()[:300]}")
    return output


def probe_pod(name: str, namespace: str, image: str, targets: Sequence[str]) -> dict[str, Any]:
    """The short-lived Pod. It passes Pod Security "restricted", and ends by itself should nobody delete it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/name": "mcsctl-probe", "app.kubernetes.io/managed-by": "mcsctl"},
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": int(_PATIENCE_SECONDS),
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "probe",
                    "image": image,
                    "command": ["mcsctl", "probe", "--json", *targets],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "64Mi"},
                        "limits": {"cpu": "500m", "memory": "128Mi"},
                    },
                }
            ],
        },
    }


async def _in_new_pod(plane: Plane, namespace: str, image: str, targets: Sequence[str]) -> str:
    """Run `mcsctl probe` in a Pod of its own; its log. The Pod is deleted whatever happens, also if we are cancelled.

    Raises:
        NoProbe: the Pod did not run.
        KubeError: the API server refuses it.
    """
    name = f"mcsctl-probe-{secrets.token_hex(4)}"
    pods = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods"
    body = json.dumps(probe_pod(name, namespace, image, targets)).encode()
    try:
        await _call(plane, "POST", pods, body)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                pod = json.loads(await _call(plane, "GET", f"{pods}/{name}"))
                if w.text(pod, "status", "phase") in ("Succeeded", "Failed"):
                    return await _call(plane, "GET", f"{pods}/{name}/log")
                for one in w.items(pod, "status", "containerStatuses"):
                    if (reason := w.text(one, "state", "waiting", "reason")) in _WAITING_FOR_EVER:
                        message = w.text(one, "state", "waiting", "message")
                        raise NoProbe(f"Pod {name}: {reason}: {message} (--probe-image names another image)")
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise NoProbe(f"Pod {namespace}/{name} of {plane.name} has not ended after {_PATIENCE_SECONDS:g} s") from None
    finally:
        await plane.client.raw("DELETE", f"{pods}/{name}?gracePeriodSeconds=0")


async def _call(plane: Plane, method: str, path: str, body: bytes | None = None) -> str:
    answer = await plane.client.raw(method, path, body=body)
    if not 200 <= answer.status < 300:
        raise from_response(answer.status, answer.body)
    return answer.body.decode(errors="replace")
