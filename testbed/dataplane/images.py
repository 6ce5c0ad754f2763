"""Simulated container images: nothing is pulled, the node's agent acts for a few known images.

An unpacked image that a test adds (``Bed.dataplane.add_image``) is run as it is: see :mod:`testbed.containers`.

===========================  ====================================================================================
image                        behaviour
===========================  ====================================================================================
``nginx``                    HTTP on its ``containerPorts`` (80 if it names none): ``Hello, world!``, the version,
                             the Pod's name
``hello-app``                the same; 8080 if it names no port
``udp-echo``                 sends datagrams back, after a line with the Pod's name; 5353 if it names no port
``curl``, ``busybox``,       nothing: a namespace in which commands can be run (with the machine's own programs)
``pause``
===========================  ====================================================================================

Registry and tag do not matter: ``docker.io/library/nginx:1.27`` is ``nginx``. The environment variable ``VERSION`` is
the version that a web server tells (``1.0.0`` otherwise), so that a rolling update can be seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from testbed.api import Object

DEFAULT_VERSION = "1.0.0"

Protocol = Literal["TCP", "UDP"]

# The protocol that an image serves and the port it does so on when it is not told.
_IMAGES: dict[str, tuple[Protocol, int] | None] = {
    "nginx": ("TCP", 80),
    "hello-app": ("TCP", 8080),
    "udp-echo": ("UDP", 5353),
    "curl": None,
    "busybox": None,
    "pause": None,
}
_SLEEP = re.compile(r"\bsleep\b\D*?(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serves:
    """One port of a Pod, the container that has it, and the answer on it."""

    container: str
    protocol: Protocol
    port: int
    text: str


class Unplayable(Exception):
    """This Pod cannot be simulated.

    Attributes:
        reason: one word, as a container's ``waiting.reason``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def image_name(image: str) -> str:
    """The last part of an image's name, without tag and digest."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def play(pod: Object) -> list[Serves]:
    """The behaviour of a Pod's containers. Init containers count as completed.

    Raises:
        Unplayable: it needs a feature that the test bed does not have.
    """
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        raise Unplayable("HostNetworkNotSupported", "the test bed does not support hostNetwork")
    served: dict[tuple[str, int], Serves] = {}
    for container in spec["containers"]:
        name = image_name(container["image"])
        if name not in _IMAGES:
            known = ", ".join(_IMAGES)
            raise Unplayable("ErrImagePull", f"the test bed simulates {known}, not {container['image']!r}")
        default = _IMAGES[name]
        if default is None:
            continue
        protocol, port = default
        text = _text(container, protocol, pod["metadata"]["name"])
        declared = [
            each["containerPort"] for each in container.get("ports", []) if each.get("protocol", "TCP") == protocol
        ]
        for each in declared or [port]:
            if (protocol, each) in served:
                raise Unplayable("CrashLoopBackOff", f"{protocol} port {each}: address already in use")
            served[protocol, each] = Serves(container=container["name"], protocol=protocol, port=each, text=text)
    return list(served.values())


def _text(container: Object, protocol: Protocol, pod: str) -> str:
    if protocol == "UDP":
        return f"Hostname: {pod}\n"
    version = next((each.get("value") for each in container.get("env", []) if each["name"] == "VERSION"), None)
    return f"Hello, world!\nVersion: {version or DEFAULT_VERSION}\nHostname: {pod}\n"


def stopping_seconds(pod: Object, cap: float) -> float:
    """How long a terminating Pod still answers: during its ``preStop`` sleep, at most ``cap`` seconds.

    Never longer than its grace period. A Pod that serves nothing stops at once.
    """
    grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
    hooks = [each.get("lifecycle", {}).get("preStop") for each in pod["spec"]["containers"]]
    sleeps = [_sleep(each) for each in hooks if each]
    if sleeps:
        return min(max(sleeps), grace)
    idle = all(_IMAGES.get(image_name(each["image"])) is None for each in pod["spec"]["containers"])
    return 0.0 if idle else min(cap, grace)


def _sleep(hook: dict[str, Any]) -> float:
    if "sleep" in hook:
        return float(hook["sleep"]["seconds"])
    found = _SLEEP.search(" ".join(hook.get("exec", {}).get("command", [])))
    return float(found[1]) if found else 0.0
