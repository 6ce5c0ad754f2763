"""The client program in a Pod; run there by file name, with the standard library only. Prints lines of JSON.

client.py sample URL COUNT         COUNT requests, each on a new connection after resolving the name anew
client.py loop URL THREADS RATE    requests until SIGTERM, RATE a second in all; a line now and then, one at the end
client.py resolve NAME A|AAAA       the IPv4 or IPv6 addresses of a name

A URL begins with http:// or, for a datagram that is echoed, udp://, over IPv4; with http6:// or udp6:// over IPv6.
A fragment is the port to send from: each new connection of a client has another one otherwise.
"""

from __future__ import annotations

import collections
import contextlib
import json
import random
import signal
import socket
import sys
import threading
import time
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5.0
DATAGRAM_SECONDS = 1.0
"""Nobody sends a datagram again, so that more patience would not help."""
REPORT_SECONDS = 0.1
FAMILIES = (socket.AF_INET, socket.AF_INET6)


class Counts:
    """The outcomes of all requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.pods: collections.Counter[str] = collections.Counter()
        self.versions: collections.Counter[str] = collections.Counter()
        self.errors: list[str] = []
        self.lost_at = 0.0

    def add(self, outcome: str, began: float, detail: str = "") -> None:
        with self._lock:
            self.outcomes[outcome] += 1
            if outcome != "ok":
                self.lost_at = max(self.lost_at, began)
            if outcome == "ok":
                fields = dict(line.partition(": ")[::2] for line in detail.splitlines())
                self.pods[fields.get("Hostname", "")] += 1
                self.versions[fields.get("Version", "")] += 1
            elif len(self.errors) < 20:
                self.errors.append(f"{time.monotonic():.3f} {outcome}: {detail}")

    def tell(self) -> None:
        with self._lock:
            told = {"outcomes": self.outcomes, "pods": self.pods, "versions": self.versions, "errors": self.errors}
            print(json.dumps({**told, "at": time.monotonic(), "lost_at": self.lost_at}), flush=True)


def request(url: str, counts: Counts) -> None:
    """One request."""
    began, parts = time.monotonic(), urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    datagram = parts.scheme.startswith("udp")
    kind = socket.SOCK_DGRAM if datagram else socket.SOCK_STREAM
    sent = f"ping {time.monotonic_ns()}" if datagram else f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    try:
        # Of a headless Service any of them: the resolver sorts them, the same way each time.
        found = socket.getaddrinfo(host, port, FAMILIES[parts.scheme[-1] == "6"], kind)
        family, _, _, _, address = random.choice(found)
        with socket.socket(family, kind) as connection:
            connection.settimeout(DATAGRAM_SECONDS if datagram else TIMEOUT_SECONDS)
            if parts.fragment:
                connection.bind(("", int(parts.fragment)))
            connection.connect(address)
            connection.sendall(sent.encode())
            answer = connection.recv(4096)
            while not datagram and (chunk := connection.recv(4096)):
                answer += chunk
    except socket.gaierror as error:
        counts.add("name", began, str(error))
    except ConnectionRefusedError as error:
        counts.add("refused", began, str(error))
    except TimeoutError as error:
        counts.add("timeout", began, str(error))
    except OSError as error:
        counts.add("reset" if isinstance(error, ConnectionError) else "unreachable", began, str(error))
    else:
        head, _, body = (b"", b"", answer) if datagram else answer.partition(b"\r\n\r\n")
        good = body.endswith(sent.encode()) if datagram else head.startswith(b"HTTP/1.1 200 ")
        if good and b"Hostname: " in body:
            counts.add("ok", began, body.decode())
        else:
            counts.add("cut", began, repr(answer))


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


def resolve(name: str, record: str) -> list[str]:
    """The addresses of a name, sorted; none if there is no such name."""
    with contextlib.suppress(socket.gaierror):
        found = socket.getaddrinfo(name, None, FAMILIES[record == "AAAA"], socket.SOCK_STREAM)
        return sorted({str(each[4][0]) for each in found})
    return []


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
    else:
        print(json.dumps(resolve(*arguments)))


if __name__ == "__main__":
    main(*sys.argv[1:])
