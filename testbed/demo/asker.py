"""Asks one web server, by its name, again and again, and prints who answered: runs inside a Pod.

Only the standard library, run as a file with ``python -I -S``: it shares two cores with everything that it measures.
Every question looks the name up and makes a connection of its own, as a new ``curl`` would, and prints a line::

    {"at": <seconds by the monotonic clock>, "text": "<body>"}
    {"at": ..., "error": "..."}
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time

TIMEOUT_SECONDS = 2.0


def ask(host: str, port: int) -> str:
    """The body of the answer.

    Raises:
        OSError: there was none.
    """
    *_, address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0]
    with socket.create_connection((str(address[0]), port), TIMEOUT_SECONDS) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while block := connection.recv(4096):
            answer += block
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise ConnectionError(f"not an answer: {answer[:80]!r}")
    return body.decode()


def main() -> int:
    """Ask until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--interval", type=float, required=True, help="seconds from one question to the next")
    arguments = parser.parse_args()
    while True:
        began = time.monotonic()
        try:
            heard = {"text": ask(arguments.host, arguments.port)}
        except OSError as error:
            heard = {"error": str(error)}
        now = time.monotonic()
        sys.stdout.write(json.dumps({"at": now, **heard}) + "\n")
        sys.stdout.flush()
        time.sleep(max(began + arguments.interval - now, 0.0))


if __name__ == "__main__":
    sys.exit(main())
