"""Free ports on the loopback address, reserved so that no other process can take them before their use."""

from __future__ import annotations

import contextlib
import socket
from typing import Self


class PortReservation:
    """A port that stays reserved, whether a server listens or not.

    The socket is bound with ``SO_REUSEPORT`` but never listens. A server that binds with ``SO_REUSEPORT`` too
    (``kube-apiserver --permit-port-sharing``, ``etcd --socket-reuse-port``) gets every connection, and nobody else is
    handed this port meanwhile. While no server runs, connections are refused, as from a machine whose server is down,
    and the server finds its old port when it comes back.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Release the port."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_ports(count: int) -> list[int]:
    """Different ports that are free at the moment, for servers that cannot use a reserved one.

    Somebody else may take one before you do: a caller must be ready to try again with new ones.
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
