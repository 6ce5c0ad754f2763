from __future__ import annotations

import pytest
import yaml
from click.testing import CliRunner

from mcs_controller.mcsctl.join import is_loopback
from mcs_controller.mcsctl.main import cli
from mcs_controller.mcsctl.manifests import member_manifests


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.8.0.1", "::1"])
def test_addresses_that_mean_another_machine_to_everybody(host: str):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "fd00::1", "kind-a", "localhost.example.org", ""])
def test_addresses_that_mean_the_same_to_all(host: str):
    assert not is_loopback(host)


def test_a_member_beside_karmada_gets_no_right_to_write():
    verbs = {
        verb for one in member_manifests(standalone=False) for rule in one.get("rules", ()) for verb in rule["verbs"]
    }
    assert verbs == {"get", "list", "watch"}
    more = {(one["kind"], one["metadata"]["name"]) for one in member_manifests(standalone=True)}
    assert more > {(one["kind"], one["metadata"]["name"]) for one in member_manifests(standalone=False)}


def test_print_shows_what_join_would_apply_without_asking_anybody(tmp_path):
    context = {"name": "a", "context": {"cluster": "a", "user": "a"}}
    cluster = {"name": "a", "cluster": {"server": "https://192.0.2.1:6443"}}
    config = {"contexts": [context], "clusters": [cluster], "users": [{"name": "a", "user": {"token": "secret-token"}}]}
    (tmp_path / "config").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **config}))
    join = ["join", "eu", "--cluster-context", "a", "--labels", "region=eu,tier=1", "--print"]
    result = CliRunner().invoke(
        cli, ["--kubeconfig", str(tmp_path / "config"), "--context", "a", *join], standalone_mode=False
    )
    assert result.exception is None
    assert "secret-token" not in result.output
    *rest, secret, made = yaml.safe_load_all(result.output)
    assert rest == member_manifests(standalone=True)
    assert secret["metadata"] == made["spec"]["secretRef"] == {"namespace": "karmada-cluster", "name": "eu"}
    assert made["metadata"] == {"name": "eu", "labels": {"region": "eu", "tier": "1"}}
    assert made["spec"]["apiEndpoint"] == "https://192.0.2.1:6443"


@pytest.mark.parametrize("labels", ["region", "=eu", "a=b,c"])
def test_labels_that_are_none(labels: str):
    result = CliRunner().invoke(cli, ["join", "eu", "--cluster-context", "a", "--labels", labels])
    assert result.exit_code == 2
    assert "is not NAME=VALUE" in result.output
