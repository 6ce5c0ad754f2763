"""The files under manifests/agent/ as text and as YAML, without a server."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mcs_controller.options import Options, command

MANIFESTS = Path(__file__).parents[3] / "manifests"
FILES = sorted((MANIFESTS / "agent").rglob("*.yaml"))
OWN = "karmada-es-member3"
AGENT = "mcs-controller-agent"


def load(*files: Path) -> list[dict[str, Any]]:
    """As applied for member3."""
    return [
        each for file in files for each in yaml.safe_load_all(file.read_text().replace("CLUSTER", "member3")) if each
    ]


RIGHTS_FILES = [file for file in FILES if file.parent.name == "control-plane"]
RIGHTS = load(*RIGHTS_FILES)


def test_each_side_can_be_piped_to_kubectl_as_one_text():
    """As docs/agent.md does it."""
    for side in ("control-plane", "member"):
        files = [file for file in FILES if file.parent.name == side]
        text = "".join(file.read_text().replace("CLUSTER", "member3") for file in files)
        assert [each for each in yaml.safe_load_all(text) if each] == load(*files)


@pytest.mark.parametrize(
    "file", [*RIGHTS_FILES, MANIFESTS / "agent/member/deployment.yaml"], ids=lambda file: file.name
)
def test_a_file_applied_without_the_clusters_name_is_refused_by_any_server(file):
    """No namespace, and no Cluster, has capital letters in its name."""
    assert "CLUSTER" in file.read_text()
    assert any("CLUSTER" in str(each) for each in yaml.safe_load_all(file.read_text()))


def test_everything_is_labelled_and_nothing_is_declared_twice():
    objects = load(*FILES)
    for each in objects:
        assert each["metadata"]["labels"]["app.kubernetes.io/part-of"] == "mcs-controller"
        assert each["metadata"]["labels"]["app.kubernetes.io/component"] == "agent"
    keys = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects]
    assert len(keys) == len(set(keys))


def test_rights_are_in_the_own_namespace_or_on_the_own_cluster_by_name():
    for each in RIGHTS:
        if each["kind"] == "Role":
            assert each["metadata"]["namespace"] == OWN
        if each["kind"] == "ClusterRole":
            for rule in each["rules"]:
                # Events are told where the object is that they are about; nobody can be read or changed by that.
                # And whether a namespace is gone is asked before the member's is deleted.
                others = [(["events"], ["create", "patch"]), (["namespaces"], ["get"])]
                own = rule.get("resourceNames") == ["member3"]
                path = rule.get("nonResourceURLs") == ["/livez"]  # whether the server answers
                assert own or path or (rule["resources"], rule["verbs"]) in others
        for rule in each.get("rules", ()):
            resources = rule.get("resources", [])
            assert "*" not in (*rule.get("apiGroups", []), *resources, *rule["verbs"])
            assert not {"secrets", "impersonate"} & {*resources, *rule["verbs"]}


def test_bindings_point_at_their_roles_and_at_the_agents_account():
    roles = {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in RIGHTS}
    for each in RIGHTS:
        if each["kind"].endswith("Binding"):
            assert (each["roleRef"]["kind"], each["metadata"].get("namespace"), each["roleRef"]["name"]) in roles
            assert each["subjects"] == [{"kind": "ServiceAccount", "name": AGENT, "namespace": OWN}]


def test_the_deployment_says_flags_that_there_are_and_leaves_the_lease_where_the_rights_are(tmp_path):
    (deployment,) = load(MANIFESTS / "agent/member/deployment.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    binary, *flags = container["command"]
    assert binary == "mcs-controller-manager"
    (mounted,) = [one for one in flags if one.startswith("--karmada-kubeconfig=")]
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "config"]
    assert mounted.startswith(f"--karmada-kubeconfig={mount['mountPath']}/")
    there = tmp_path / "karmada.config"
    there.write_text("x")
    flags[flags.index(mounted)] = f"--karmada-kubeconfig={there}"
    values = command(binary, "1", "").main(args=flags, standalone_mode=False)
    assert isinstance(values, dict)
    options = Options.of(values)
    assert options.cluster_name == "member3"
    assert (options.leader_elect_resource_namespace, options.leader_elect_resource_name) == (OWN, AGENT)
    (named,) = [rule for each in RIGHTS for rule in each.get("rules", ()) if rule.get("resourceNames") == [AGENT]]
    assert named == {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [AGENT],
        "verbs": ["get", "update"],
    }


def test_the_agent_runs_as_the_account_that_members_have():
    (deployment,) = load(MANIFESTS / "agent/member/deployment.yaml")
    accounts = [
        each for each in load(*sorted((MANIFESTS / "member").glob("*.yaml"))) if each["kind"] == "ServiceAccount"
    ]
    assert [each["metadata"]["name"] for each in accounts] == [
        deployment["spec"]["template"]["spec"]["serviceAccountName"]
    ]
    assert {each["metadata"]["namespace"] for each in accounts} == {deployment["metadata"]["namespace"]}
