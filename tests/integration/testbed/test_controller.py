"""How the controller's process is started, waited for and ended; a small server stands in for the product here."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import aiohttp
import pytest

from testbed import ControllerProcess, ProcessFailed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")

STAND_IN = """#!{python}
import http.server, json, pathlib, signal, sys

here = pathlib.Path(__file__).parent
starts = here / "starts"
with starts.open("a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
flags = dict(flag.removeprefix("--").split("=", 1) for flag in sys.argv[1:])
if "port-taken-once" in flags and len(starts.read_text().splitlines()) == 1:
    sys.exit("OSError: [Errno 98] error while attempting to bind: address already in use")
if "refuse" in flags:
    sys.exit("--refuse: there is no such flag")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if "never-ready" in flags and self.path == "/readyz" else 200)
        self.end_headers()
    def log_message(self, *_):
        pass

host, _, port = flags["health-probe-bind-address"].rpartition(":")
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"""


@pytest.fixture
def starts(tmp_path, monkeypatch):
    """The file to which each start adds its flags."""
    binary = tmp_path / "mcs-controller-manager"
    binary.write_text(STAND_IN.replace("{python}", sys.executable))
    binary.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    return tmp_path / "starts"


def controller(root: Path, *extra: str) -> ControllerProcess:
    return ControllerProcess(root / "kubeconfig", root=root, extra_args=extra)


async def test_it_is_started_with_a_users_flags_and_is_ready_when_its_probes_say_so(starts, tmp_path):
    async with controller(tmp_path, "--v=4") as process:
        flags = process.command[1:]
        assert flags[:3] == [
            f"--kubeconfig={tmp_path / 'kubeconfig'}",
            "--feature-gates=MultiClusterService=true",
            "--controllers=*,standalone",
        ]
        assert flags[-1] == "--v=4"
        async with aiohttp.ClientSession() as session, session.get(f"{process.health_url}/readyz") as response:
            assert response.status == 200
    assert process.returncode == 7  # SIGTERM reached it, and it ended in its own way
    assert process.pid is None


async def test_a_killed_one_tells_the_signal(starts, tmp_path):
    process = controller(tmp_path)
    await process.start()
    await process.kill()
    assert process.returncode == -signal.SIGKILL


async def test_when_somebody_took_its_port_it_starts_again_with_others(starts, tmp_path):
    async with controller(tmp_path, "--port-taken-once=1"):
        first, second = starts.read_text().splitlines()
    assert first != second


async def test_one_that_refuses_its_flags_is_not_tried_again_and_its_words_are_shown(starts, tmp_path):
    with pytest.raises(ProcessFailed, match=r"(?s)ended before it was ready \(exit code 1\).*there is no such flag"):
        await controller(tmp_path, "--refuse=1").start()
    assert len(starts.read_text().splitlines()) == 1


async def test_an_expected_failure_can_be_waited_for(starts, tmp_path):
    process = controller(tmp_path, "--refuse=1")
    await process.start(ready=False)
    assert await process.wait() == 1
    assert "there is no such flag" in process.tail()


async def test_one_that_never_gets_ready_is_ended_when_the_time_is_up(starts, tmp_path):
    process = controller(tmp_path, "--never-ready=1")
    with pytest.raises(ProcessFailed, match=r"was not ready within 1 s"):
        await process.start(timeout=1.0)
    assert process.pid is None
