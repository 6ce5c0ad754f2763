"""Which client each part of the process gets, and which controllers are started."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import types
from typing import Any

import pytest

from informers.client.config import ClientConfig
from mcs_controller import app
from mcs_controller.options import Options, command

CONFIG = ClientConfig(server="http://host.invalid")
AGENT = ("--cluster-name=m1", f"--karmada-kubeconfig={__file__}")  # nobody reads that


class Client:
    """What is asked of an ApiClient until it is used."""

    def __init__(self, config: ClientConfig, *, limiter: Any = None, may_write: Any = None, **_: Any) -> None:
        self.limiter = limiter
        self.may_write = may_write

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class Started:
    """What `app.run` made, with everything that would use the network left out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.elector: Any = None
        self.lease = types.SimpleNamespace(is_leader=False)
        self.events: Any = None
        self.ctx: Any = None
        self.execution = object()
        self.begun: list[str] = []
        manager = types.SimpleNamespace(
            add_ready_check=lambda *_: None,
            add_runnable=lambda *_, **__: None,
            add_informers=lambda *_: None,
            stop=lambda: None,
            run=self._run,
        )
        monkeypatch.setattr(app, "ApiClient", Client)
        monkeypatch.setattr(app, "_api_servers", self._api_servers)
        monkeypatch.setattr(app, "LeaderElector", self._elector)
        monkeypatch.setattr(app, "EventBroadcaster", self._events)
        monkeypatch.setattr(app, "Manager", lambda **_: manager)
        monkeypatch.setattr(app, "start_standalone", self._standalone)
        monkeypatch.setattr(app, "stop_on_signals", lambda _: contextlib.nullcontext())
        monkeypatch.setattr(app, "gc", types.SimpleNamespace(collect=lambda: None, freeze=lambda: None))
        monkeypatch.setattr(app, "start_controllers", lambda _: self.begun.append("controllers"))

    async def run(self, *flags: str) -> Started:
        values = command("test", "0", "").main(args=list(flags), prog_name="test", standalone_mode=False)
        await app.run(Options.of(values))
        return self

    async def _run(self) -> None:
        self.begun.append("run")

    async def _api_servers(self, *_: object) -> tuple[ClientConfig, None]:
        return CONFIG, None

    def _elector(self, client: Client, *_: object, **__: object) -> Any:
        self.elector = client
        return self.lease

    def _events(self, client: Client, **_: object) -> Any:
        self.events = client
        return types.SimpleNamespace(for_component=lambda _: None)

    def _standalone(self, ctx: Any) -> Any:
        self.ctx = ctx
        return self.execution


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    return Started(monkeypatch)


async def test_the_renewal_of_the_lease_waits_for_no_request_of_the_controllers(started: Started):
    await started.run("--leader-elect=true")
    assert started.elector.limiter is None
    assert started.ctx.host.limiter is not None
    assert started.elector is not started.ctx.host


async def test_without_the_lease_no_controller_may_write(started: Started):
    await started.run("--leader-elect=true")
    guards = [started.ctx.host.may_write, started.ctx._may_write]  # of the control plane, and of members
    assert [guard() for guard in guards] == [False, False]
    started.lease.is_leader = True
    assert [guard() for guard in guards] == [True, True]
    assert started.elector.may_write is None


async def test_without_leader_election_all_may_write(started: Started):
    await started.run("--leader-elect=false")
    assert started.ctx.host.may_write()


async def test_events_have_a_limit_of_their_own(started: Started):
    await started.run()
    assert started.events.limiter is not None
    assert started.events.limiter is not started.ctx.host.limiter


@pytest.mark.parametrize("flags", [(), AGENT], ids=["control plane", "agent"])
async def test_controllers_are_there_before_the_manager_runs(started: Started, flags: tuple[str, ...]):
    await started.run(*flags)
    assert started.begun == ["controllers", "run"]


async def test_dispatch_knows_the_execution_controller_of_its_process(started: Started):
    await started.run()
    assert started.ctx.local_execution is started.execution


def test_what_nobody_switches_on_is_not_imported():
    """In a process of its own: tests import everything."""
    code = "import mcs_controller.app, sys; print(*sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "mcs_controller.app" in found
    for name in ("opentelemetry", "mcs_controller.statuspage", "mcs_controller.tracing.spans", "requests"):
        assert name not in found
