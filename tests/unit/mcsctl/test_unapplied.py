"""Manifests that are checked before they are applied, without a control plane."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mcs_controller.mcsctl.main import EXIT_BROKEN, EXIT_HEALTHY, EXIT_UNSEEN, EXIT_USAGE, main

CLUSTERS = [
    {"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster", "metadata": {"name": name}}
    for name in ("member1", "member2")
]
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "creationTimestamp": None},
    "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]},
}
POLICY = {
    "apiVersion": "policy.karmada.io/v1alpha1",
    "kind": "PropagationPolicy",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"resourceSelectors": [{"apiVersion": "v1", "kind": "Service", "name": "web"}]},
}


def mcs(**spec: Any) -> dict[str, Any]:
    consumers = {"consumerClusters": [{"name": "member2"}], "providerClusters": [{"name": "member1"}]}
    return {
        "apiVersion": "networking.karmada.io/v1alpha1",
        "kind": "MultiClusterService",
        "metadata": {"name": "web"},
        "spec": {"types": ["CrossCluster"]} | consumers | spec,
    }


class Files:
    """Writes manifests and checks them."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys

    def check(self, *documents: Any, code: int, alone: Any = None) -> list[dict[str, Any]]:
        """The findings about the documents of one file, and of another with one object."""
        (self._folder / "all.yaml").write_text(yaml.safe_dump_all(documents))
        files = ["-f", str(self._folder / "all.yaml")]
        if alone is not None:
            (self._folder / "one.yaml").write_text(json.dumps(alone))
            files += ["-f", str(self._folder / "one.yaml")]
        assert main(["doctor", "--offline", "-n", "shop", "-o", "json", *files]) == code
        found: list[dict[str, Any]] = json.loads(self._capsys.readouterr().out)["findings"]
        return found


@pytest.fixture
def files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Files:
    return Files(tmp_path, capsys)


def test_what_is_declared_well_is_healthy(files: Files):
    assert not files.check({"kind": "ClusterList", "items": CLUSTERS}, SERVICE, mcs(), code=EXIT_HEALTHY)


def test_clusters_that_nobody_named_are_not_taken_for_known(files: Files):
    found = files.check(SERVICE, mcs(), code=EXIT_UNSEEN)
    assert {one["severity"] for one in found} == {"unknown"}
    assert "MCS033" in {one["code"] for one in found}


@pytest.mark.parametrize(
    ("documents", "code"),
    [
        ((SERVICE, mcs(consumerClusters=[{"name": "membr2"}])), "MCS033"),
        ((mcs(),), "MCS031"),
        ((SERVICE, mcs(ports=[{"port": 8080}])), "MCS035"),
        ((SERVICE, mcs(types=["LoadBalancer"])), "MCS032"),
    ],
)
def test_each_mistake_is_one_error(files: Files, documents: tuple[Any, ...], code: str):
    assert [one["code"] for one in files.check(*CLUSTERS, *documents, code=EXIT_BROKEN)] == [code]


def test_a_policy_and_a_multiclusterservice_on_one_service(files: Files):
    (found,) = files.check(*CLUSTERS, SERVICE, mcs(), POLICY, code=EXIT_HEALTHY)
    assert (found["code"], found["severity"]) == ("MCS038", "warning")


def test_the_fix_is_one_of_the_file(files: Files, tmp_path: Path):
    wrong = mcs(consumerClusters=[{"name": "membr2"}])
    (found,) = files.check(*CLUSTERS, SERVICE, alone=wrong, code=EXIT_BROKEN)
    assert "did you mean member2" in found["problem"]
    assert found["fix"].startswith(f"kubectl patch --local -o yaml -f {tmp_path}/one.yaml --type merge -p ")
    (found,) = files.check(*CLUSTERS, SERVICE, wrong, code=EXIT_BROKEN)
    assert found["fix"].startswith(f"Merge into MultiClusterService web of {tmp_path}/all.yaml: {{")


@pytest.mark.parametrize("text", ["a: [", "- a\n- b", "kind: Service", "? [a]\n: b", "\x00", "just words"])
def test_what_is_no_manifest_is_a_wrong_argument(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "odd.yaml").write_text(text)
    assert main(["doctor", "--offline", "-f", str(tmp_path / "odd.yaml")]) == EXIT_USAGE
    assert "odd.yaml" in capsys.readouterr().err
    assert main(["doctor", "--offline", "-f", str(tmp_path / "missing.yaml")]) == EXIT_USAGE
    assert main(["doctor", "--offline"]) == EXIT_USAGE
