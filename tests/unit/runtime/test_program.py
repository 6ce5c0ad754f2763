"""The usual parts of a process, put together. That they work together is shown by the examples on an API server."""

import json
from pathlib import Path
from typing import Any

import pytest

from informers import ConfigError
from mcs_controller.runtime import ObjectReference, Request, Result, connect
from mcs_controller.runtime.metrics import render_metrics
from tests.support.objects import CONFIG_MAPS, ConfigMap, config_map

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


async def test_second_controller_of_a_name_is_refused(kubeconfig: str):
    async with connect("mine", lease_namespace="ns", kubeconfig=kubeconfig) as program:
        program.controller(Nothing())
        with pytest.raises(ValueError, match="a controller named 'mine' already"):
            program.controller(Nothing())


def labels(obj: ConfigMap) -> list[str]:
    return list(obj.metadata.labels)


async def test_cached_kind_has_the_indexes_that_were_asked_for(kubeconfig: str):
    async with connect("mine", lease_namespace="ns", kubeconfig=kubeconfig) as program:
        cached = program.cached(CONFIG_MAPS, indexers={"label": labels})
        cached.informer.observe(config_map("a", 1, labels={"x": ""}))
        assert [obj.metadata.name for obj in cached.store.by_index("label", "x")] == ["a"]
        again = program.cached(CONFIG_MAPS, indexers={"name": lambda obj: [obj.metadata.name]})
        assert again.informer is cached.informer
        assert again.store.index_values("name") == ["a"]


async def test_informers_are_counted_in_the_metrics_that_are_served(kubeconfig: str):
    async with connect("mine", lease_namespace="ns", kubeconfig=kubeconfig) as program:
        program.cached(CONFIG_MAPS).informer.observe(config_map("a", 1))
        text = render_metrics(program.registry).decode()
        assert 'informer_events_total{cluster="",kind="added",resource="configmaps.v1"} 1.0' in text


async def test_reference_to_an_object_is_made_of_its_kind_and_metadata():
    reference = ObjectReference.to(config_map("a", 1), CONFIG_MAPS)
    assert reference == ObjectReference("v1", "ConfigMap", "a", "ns", "uid-a")


@pytest.mark.parametrize(
    "limits", [{"qps": 0.0}, {"qps": 1.0, "burst": 0}, {"burst": 3}], ids=["no rate", "no burst", "burst alone"]
)
async def test_limit_that_is_none_is_refused(kubeconfig: str, limits: dict[str, Any]):
    with pytest.raises(ValueError, match="qps"):
        async with connect("mine", lease_namespace="ns", kubeconfig=kubeconfig, **limits):
            pass


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
