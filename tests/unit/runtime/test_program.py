"""The usual parts of a process, put together. That they work together is shown by the examples on an API server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from informers import ConfigError
from mcs_controller.runtime.program import connect
from mcs_controller.runtime.reconcile import Request, Result

if TYPE_CHECKING:
    from pathlib import Path

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {}}],
}


class Nothing:
    async def reconcile(self, request: Request) -> Result:
        return Result()


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    path = tmp_path / "config"
    path.write_text(json.dumps(KUBECONFIG))
    return str(path)


async def test_controllers_are_named_after_the_program_unless_they_have_names(kubeconfig: str):
    async with connect("mine", lease_namespace="ns", kubeconfig=kubeconfig) as program:
        assert program.controller(Nothing()).name == "mine"
        assert program.controller(Nothing(), "second", workers=3).name == "second"


async def test_kubeconfig_of_the_environment_is_used_unless_one_is_named(
    kubeconfig: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KUBECONFIG", kubeconfig)
    async with connect("mine", lease_namespace="ns") as program:
        assert program.name == "mine"


async def test_in_a_pod_the_service_account_is_used_unless_a_kubeconfig_is_named(
    kubeconfig: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBECONFIG", kubeconfig)
    with pytest.raises(ConfigError):  # there is none here
        async with connect("mine", lease_namespace="ns"):
            pass
    async with connect("mine", lease_namespace="ns", kubeconfig=kubeconfig):
        pass
