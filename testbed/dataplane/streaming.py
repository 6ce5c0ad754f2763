"""``kubectl exec``, ``logs`` and ``port-forward``: what a node's streaming endpoints know about its Pods.

The endpoints are a program in Go (``tools/modules/kubelet-streaming``), as the libraries with the protocol are. It
finds Pods by files, ``<namespace>/<name>/<uid>/`` in a folder of the node:

===================  ==========================================================================================
``pod.json``         how to run a command in the Pod, and where its network namespace is; there while it runs
``<container>.log``  what the container wrote: a time, a space and a text on each line (:mod:`testbed.dataplane.agent`)
===================  ==========================================================================================
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from testbed.access import write_private
from testbed.commands import KUBELET_CLIENT
from testbed.dataplane.network import NETNS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from testbed.certificates import KeyPair
    from testbed.dataplane.execute import PodShell

HOST = "127.0.0.1"


class PodFiles:
    """The files of one Pod.

    Args:
        pods: the node's folder.
        namespace: of the Pod.
        pod: its name.
        uid: its uid; another Pod of the same name has files of its own.
    """

    def __init__(self, pods: Path, namespace: str, pod: str, uid: str) -> None:
        self._folder = pods / namespace / pod / uid

    def log(self, container: str) -> Path:
        """The log of a container."""
        return self._folder / f"{container}.log"

    def spec(self, container: str) -> Path:
        """What :mod:`testbed.container` is told about a container."""
        return self._folder / f"{container}.container.json"

    def make(self, containers: Iterable[str]) -> None:
        """Create the folder, and an empty log for each container that has none."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for each in containers:
            self.log(each).touch()

    def publish(self, shell: PodShell) -> None:
        """Let commands be run in the Pod."""
        content = {
            "shell": shell.argv([]),
            "environment": [f"{name}={value}" for name, value in shell.environ().items()],
            "network": str(NETNS / shell.network),
        }
        write_private(self._folder / "pod.json", json.dumps(content).encode())

    def withdraw(self) -> None:
        """The Pod does not run any more: who follows its logs comes to their end."""
        (self._folder / "pod.json").unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all files."""
        shutil.rmtree(self._folder, ignore_errors=True)


def streaming_command(
    binary: Path, *, files: Path, pods: Path, port: int, pair: KeyPair, client_ca: bytes
) -> list[str]:
    """The command line of the program, which serves the API server and nobody else.

    Args:
        binary: of ``kubelet-streaming``.
        files: where its certificates are written to.
        pods: the folder of the Pods' files.
        port: where it listens on the loopback address; it may be reserved (:mod:`testbed.ports`).
        pair: its certificate.
        client_ca: the CA that signs the API server's certificate as a client.
    """
    return [
        str(binary),
        f"--listen={HOST}:{port}",
        f"--pods={pods}",
        f"--certificate={write_private(files / 'kubelet.crt', pair.certificate_pem)}",
        f"--key={write_private(files / 'kubelet.key', pair.key_pem)}",
        f"--client-ca={write_private(files / 'kubelet-client-ca.crt', client_ca)}",
        f"--user={KUBELET_CLIENT}",
    ]
