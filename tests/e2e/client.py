"""The client program in a Pod; run there by file name, with the standard library only. Prints lines of JSON.

client.py sample URL COUNT         COUNT requests, each on a new connection after resolving the name anew
client.py loop URL THREADS RATE    requests until SIGTERM, RATE a second in all; a line now and then, one at the end
client.py resolve NAME             the IPv4 addresses of a name
client.py echo NAME PORT TEXT      one datagram, and what comes back
"""

from __future__ import annotations

import collections
import contextlib
import json
import signal
import socket
import sys
import threading
import time
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5.0
REPORT_SECONDS = 0.1


class Counts:
    """The outcomes of all requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.pods: collections.Counter[str] = collections.Counter()
        self.versions: collections.Counter[str] = collections.Counter()
        self.errors: list[str] = []

    def add(self, outcome: str, detail: str = "") -> None:
        with self._lock:
            self.outcomes[outcome] += 1
            if outcome == "ok":
                fields = dict(line.partition(": ")[::2] for line in detail.splitlines())
                self.pods[fields.get("Hostname", "")] += 1
                self.versions[fields.get("Version", "")] += 1
            elif len(self.errors) < 20:
                self.errors.append(f"{time.monotonic():.3f} {outcome}: {detail}")

    def tell(self) -> None:
        with self._lock:
            told = {"outcomes": self.outcomes, "pods": self.pods, "versions": self.versions, "errors": self.errors}
            print(json.dumps(told), flush=True)


def request(url: str, counts: Counts) -> None:
    """One request."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    try:
        address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4]
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIMEOUT_SECONDS)
            connection.connect(address)
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while chunk := connection.recv(4096):
                answer += chunk
    except socket.gaierror as error:
        counts.add("name", str(error))
    except ConnectionRefusedError as error:
        counts.add("refused", str(error))
    except TimeoutError as error:
        counts.add("timeout", str(error))
    except OSError as error:
        counts.add("reset" if isinstance(error, ConnectionError) else "unreachable", str(error))
    else:
        head, _, body = answer.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 200 ") and b"Hostname: " in body:
            counts.add("ok", body.decode())
        else:
            counts.add("cut", repr(answer))


def loop(url: str, threads: int, rate: float) -> None:
    """Send requests until SIGTERM; running requests are still counted."""
    counts, stopping = Counts(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())

    def work(number: int) -> None:
        period = threads / rate
        due = time.monotonic() + number / rate
        while not stopping.wait(max(0.0, due - time.monotonic())):
            request(url, counts)
            due = max(due + period, time.monotonic())

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    while not stopping.wait(REPORT_SECONDS):
        counts.tell()
    for worker in workers:
        worker.join()
    counts.tell()


def resolve(name: str) -> list[str]:
    """The addresses of a name, sorted; none if there is no such name."""
    with contextlib.suppress(socket.gaierror):
        return sorted(
            {str(found[4][0]) for found in socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)}
        )
    return []


def echo(name: str, port: int, text: str) -> str:
    """The answer to a datagram; empty if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.settimeout(5.0)
        try:
            made.sendto(text.encode(), (name, port))
            return made.recv(4096).decode()
        except OSError:
            return ""


def main(command: str, *arguments: str) -> None:
    if command == "sample":
        counts = Counts()
        for _ in range(int(arguments[1])):
            request(arguments[0], counts)
            if not counts.outcomes["ok"]:  # nobody there: not so many timeouts in a row
                break
        counts.tell()
    elif command == "loop":
        loop(arguments[0], int(arguments[1]), float(arguments[2]))
    elif command == "resolve":
        print(json.dumps(resolve(arguments[0])))
    else:
        print(json.dumps(echo(arguments[0], int(arguments[1]), arguments[2])))


if __name__ == "__main__":
    main(*sys.argv[1:])
