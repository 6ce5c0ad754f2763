"""The files under manifests/ and examples/01-walkthrough/ as text and as YAML, without a server."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mcs_controller import __version__
from mcs_controller.domain.naming import work_name
from mcs_controller.options import FLAGS, command

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "manifests"
WALKTHROUGH = ROOT / "examples" / "01-walkthrough"
FOLDERS = ["crds", "standalone", "controller", "member", "admission", "admission/ids", "admission/selection"]
ON_TOP = ["network-policy", "observability"]  # of controller/ or agent/member/, which have the namespace
GATE = "        - --feature-gates=MultiClusterService=true"
LABELS = {"app.kubernetes.io/name", "app.kubernetes.io/component", "app.kubernetes.io/part-of"}

Object = dict[str, Any]


def load(folder: Path) -> list[Object]:
    return [each for file in sorted(folder.glob("*.yaml")) for each in yaml.safe_load_all(file.read_text())]


def one(kind: str, name: str = "mcs-controller-manager", folder: str = "controller") -> Object:
    (found,) = [o for o in load(MANIFESTS / folder) if o["kind"] == kind and o["metadata"]["name"] == name]
    return found


def container() -> Object:
    (only,) = one("Deployment")["spec"]["template"]["spec"]["containers"]
    return only  # type: ignore[no-any-return]


def grants(role: Object) -> dict[tuple[str, str], set[str]]:
    """Verbs by (API group, resource), nonresource URLs under the group "url"."""
    result: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        keys = [(group, resource) for group in rule.get("apiGroups", []) for resource in rule.get("resources", [])]
        keys += [("url", url) for url in rule.get("nonResourceURLs", [])]
        for key in keys:
            result.setdefault(key, set()).update(rule["verbs"])
    return result


def schema_nodes(node: Any) -> list[Object]:
    """Every schema within a schema, itself included."""
    if not isinstance(node, dict):
        return []
    children = [*node.get("properties", {}).values(), node.get("items"), node.get("additionalProperties")]
    return [node] + [found for child in children for found in schema_nodes(child)]


@pytest.mark.parametrize(
    "folder", [*(MANIFESTS / each for each in FOLDERS + ON_TOP), WALKTHROUGH], ids=lambda path: path.name
)
def test_folder_can_be_applied_as_a_whole(folder):
    files = [file for file in folder.iterdir() if file.suffix in {".yaml", ".yml", ".json"}]
    assert files
    for file in files:
        for each in yaml.safe_load_all(file.read_text()):
            assert {"apiVersion", "kind", "metadata"} <= each.keys(), f"{file} is not for kubectl apply"


@pytest.mark.parametrize("folder", FOLDERS + ON_TOP)
def test_everything_but_namespaces_is_labelled(folder):
    for each in load(MANIFESTS / folder):
        labels = each["metadata"].get("labels", {})
        if each["kind"] == "Namespace":
            # Shared with Karmada: labels of ours would claim them.
            assert not labels
        else:
            assert labels.keys() >= LABELS, each["metadata"]["name"]
            assert labels["app.kubernetes.io/part-of"] == "mcs-controller"


@pytest.mark.parametrize("folder", FOLDERS + ON_TOP)
def test_no_object_is_declared_twice(folder):
    keys = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in load(MANIFESTS / folder)]
    assert len(keys) == len(set(keys))


def test_namespaces_come_before_what_lives_in_them():
    for folder in FOLDERS:
        made: set[str] = set()
        for each in load(MANIFESTS / folder):
            if each["kind"] == "Namespace":
                made.add(each["metadata"]["name"])
            elif namespace := each["metadata"].get("namespace"):
                assert namespace in made, f"{folder}: {each['kind']} {each['metadata']['name']}"


def test_namespaced_role_bindings_point_at_their_role_and_our_account():
    for folder in FOLDERS:
        objects = load(MANIFESTS / folder)
        roles = {(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in objects}
        for binding in (o for o in objects if o["kind"].endswith("RoleBinding") or o["kind"] == "ClusterRoleBinding"):
            reference = binding["roleRef"]
            assert (reference["kind"], binding["metadata"].get("namespace"), reference["name"]) in roles
            assert binding["subjects"] == [
                {"kind": "ServiceAccount", "name": "mcs-controller-manager", "namespace": "karmada-system"}
            ]


# --- CRDs


@pytest.mark.parametrize(
    "crd",
    [
        o
        for folder in ("crds", "standalone")
        for o in load(MANIFESTS / folder)
        if o["kind"] == "CustomResourceDefinition"
    ],
    ids=lambda crd: crd["metadata"]["name"],
)
def test_crd_is_filed_under_its_name_and_describes_every_field(crd):
    name = crd["metadata"]["name"]
    assert name == f"{crd['spec']['names']['plural']}.{crd['spec']['group']}"
    assert any(file.name == f"{name}.yaml" for file in MANIFESTS.rglob("*.yaml"))
    (version,) = crd["spec"]["versions"]
    # Karmada's PropagationPolicy has no status.
    assert version.get("subresources", {}) == ({} if name.startswith("propagationpolicies.") else {"status": {}})
    schema = version["schema"]["openAPIV3Schema"]
    del schema["properties"]["metadata"]  # the server describes that one
    undescribed = [
        field
        for node in schema_nodes(schema)
        for field, child in node.get("properties", {}).items()
        if not child.get("description")
    ]
    assert undescribed == []


def test_everything_a_rule_walks_is_bounded():
    (version,) = one("CustomResourceDefinition", "multiclusterservices.networking.karmada.io", "crds")["spec"][
        "versions"
    ]

    def walk(node: Object, *, path: str) -> bool:
        ruled = "x-kubernetes-validations" in node
        children = [(f"{path}.{name}", child) for name, child in node.get("properties", {}).items()]
        if "items" in node:
            children.append((f"{path}[]", node["items"]))
        inner = [walk(child, path=where) for where, child in children]
        if node.get("type") == "array" and (ruled or any(inner)):
            assert "maxItems" in node, path
        if node.get("type") == "string" and ruled:
            assert "maxLength" in node, path
        return ruled or any(inner)

    assert walk(version["schema"]["openAPIV3Schema"], path="")


BY_THE_SERVER = {2, 10}


def test_rule_table_has_a_row_for_each_rule_and_both_enforcers_have_all_that_the_server_does_not():
    table = (ROOT / "docs" / "admission.md").read_text()
    assert re.findall(r"^\| (\d+) \|", table, re.MULTILINE) == [str(number) for number in range(1, 14)]
    enforced = set(range(1, 14)) - BY_THE_SERVER
    crd = (MANIFESTS / "crds" / "multiclusterservices.networking.karmada.io.yaml").read_text()
    commented = {
        int(number) for group in re.findall(r"# Rules? ([\d and]+)\.", crd) for number in re.findall(r"\d+", group)
    }
    assert commented == enforced
    variables = one("ValidatingAdmissionPolicy", "multiclusterservices.mcs-controller", "admission")["spec"][
        "variables"
    ]
    by_name = {each["name"]: each["expression"] for each in variables}
    assert {int(name[4:]) for name in by_name if name.startswith("rule")} == enforced
    # A variable that nothing uses is never evaluated.
    assert {int(number) for number in re.findall(r"variables\.rule(\d+)", by_name["faults"])} == enforced


def test_every_policy_is_bound():
    for folder in ("admission", "admission/ids", "admission/selection"):
        objects = load(MANIFESTS / folder)
        policies = {o["metadata"]["name"] for o in objects if o["kind"].endswith("Policy")}
        assert policies == {o["spec"]["policyName"] for o in objects if o["kind"].endswith("PolicyBinding")}


def test_limits_of_the_policy_are_those_of_the_definition():
    (version,) = one("CustomResourceDefinition", "multiclusterservices.networking.karmada.io", "crds")["spec"][
        "versions"
    ]
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    ingress = properties["status"]["properties"]["loadBalancer"]["properties"]["ingress"]
    in_definition = {
        **{
            f"spec.{name}": each["maxItems"]
            for name, each in properties["spec"]["properties"].items()
            if "maxItems" in each
        },
        "status.loadBalancer.ingress": ingress["maxItems"],
    }
    policy = one("ValidatingAdmissionPolicy", "multiclusterservices.mcs-controller", "admission")
    (told,) = [each["expression"] for each in policy["spec"]["variables"] if each["name"] == "limits"]
    pattern = r"> (\d+)\s*\? \['([\w.]+): Too many: must have at most (\d+) items'\]"
    found = re.findall(pattern, told)
    assert {path: int(limit) for _, path, limit in found} == in_definition
    assert all(compared == limit for compared, _, limit in found)


# --- permissions


READ = {"get", "list", "watch"}
CACHED = {"list", "watch"}


def test_controller_may_do_exactly_what_it_needs():
    assert grants(one("ClusterRole")) == {
        ("networking.karmada.io", "multiclusterservices"): CACHED | {"patch"},
        ("networking.karmada.io", "multiclusterservices/status"): {"patch"},
        ("work.karmada.io", "works"): CACHED | {"create", "patch", "delete"},
        ("work.karmada.io", "resourcebindings"): CACHED | {"create", "patch"},
        ("cluster.karmada.io", "clusters"): CACHED,
        ("", "services"): CACHED | {"create", "patch", "delete"},
        ("", "services/status"): {"patch"},
        ("discovery.k8s.io", "endpointslices"): CACHED | {"create", "patch", "delete"},
        ("", "namespaces"): CACHED,
        ("multicluster.x-k8s.io", "serviceimports"): CACHED,
        ("", "events"): {"create", "patch"},
        ("url", "/livez"): {"get"},
    }
    assert grants(one("Role")) == {("coordination.k8s.io", "leases"): {"get", "create", "update"}}
    assert grants(one("Role", "mcs-controller-manager-member-secrets")) == {("", "secrets"): {"get"}}


def test_standalone_controllers_get_no_more_than_their_difference():
    assert grants(one("ClusterRole", "mcs-controller-manager-standalone", "standalone")) == {
        ("work.karmada.io", "works/status"): {"patch"},
        ("work.karmada.io", "resourcebindings/status"): {"patch"},
        ("", "namespaces"): {"get", "create", "delete"},
        ("cluster.karmada.io", "clusters"): {"patch"},
        ("cluster.karmada.io", "clusters/status"): {"patch"},
        ("policy.karmada.io", "propagationpolicies"): CACHED | {"patch"},
        ("url", "/api/*"): {"get"},
        ("url", "/apis/*"): {"get"},
    }


def test_templates_may_be_followed_and_marked_and_no_more():
    assert grants(one("ClusterRole", "mcs-controller-manager-templates", "standalone")) == {
        (group, resource): CACHED | {"patch"}
        for group, resource in [
            ("apps", "deployments"),
            ("apps", "statefulsets"),
            ("", "configmaps"),
            ("", "services"),
            ("multicluster.x-k8s.io", "serviceexports"),
            ("multicluster.x-k8s.io", "serviceimports"),
            ("discovery.k8s.io", "endpointslices"),
        ]
    }


def test_member_rights():
    assert grants(one("ClusterRole", "mcs-controller-manager-member", "member")) == {
        ("discovery.k8s.io", "endpointslices"): CACHED,
        ("multicluster.x-k8s.io", "serviceexports"): CACHED,
        ("url", "/livez"): {"get"},
    }
    # What is about to be deleted is read once more, if no cache has it.
    write = READ | {"create", "patch", "delete"}
    assert grants(one("ClusterRole", "mcs-controller-manager-member-standalone", "member")) == {
        ("discovery.k8s.io", "endpointslices"): write,
        ("", "services"): write,
        ("", "namespaces"): write,
        ("apps", "deployments"): write,
        ("apps", "statefulsets"): write,
        ("", "configmaps"): write,
        ("multicluster.x-k8s.io", "serviceexports"): write,
        ("multicluster.x-k8s.io", "serviceimports"): write,
        **{("url", url): {"get"} for url in ["/readyz", "/healthz", "/version", "/api", "/api/*", "/apis", "/apis/*"]},
    }


def test_what_policies_may_select_may_be_applied():
    selected = grants(one("ClusterRole", "mcs-controller-manager-templates", "standalone"))
    applied = grants(one("ClusterRole", "mcs-controller-manager-member-standalone", "member"))
    assert selected.keys() <= applied.keys()


def test_no_role_uses_a_wildcard():
    for folder in FOLDERS:
        for role in (o for o in load(MANIFESTS / folder) if o["kind"] in {"Role", "ClusterRole"}):
            for (group, resource), verbs in grants(role).items():
                assert "*" not in {group, resource, *verbs}, role["metadata"]["name"]


def test_user_roles_cover_the_multi_cluster_kinds():
    kinds = {
        ("networking.karmada.io", "multiclusterservices"),
        ("networking.karmada.io", "multiclusterservices/status"),
        ("multicluster.x-k8s.io", "serviceexports"),
        ("multicluster.x-k8s.io", "serviceimports"),
        ("policy.karmada.io", "propagationpolicies"),
    }
    edit = {"create", "delete", "deletecollection", "patch", "update"}
    for name, verbs in [("karmada-view", READ), ("karmada-edit", edit)]:
        role = one("ClusterRole", name, "standalone")
        assert grants(role) == dict.fromkeys(kinds, verbs)
        aggregate = f"rbac.authorization.k8s.io/aggregate-to-{name.removeprefix('karmada-')}"
        assert role["metadata"]["labels"][aggregate] == "true"


# --- Deployment


def test_flags_stand_one_a_line_and_the_gate_is_off():
    command = container()["command"]
    assert "args" not in container()
    assert command[0] == "mcs-controller-manager"
    assert all(re.fullmatch(r"--[a-z-]+=\S+", flag) for flag in command[1:]), command
    assert command.count("--v=4") == 1
    assert not any("feature-gates" in flag for flag in command)


def test_flags_are_those_of_the_binary():
    _, *flags = container()["command"]
    gate = GATE.removeprefix("        - ")
    parsed = command("mcs-controller-manager", __version__, "").make_context("mcs-controller-manager", [*flags, gate])
    assert parsed.params
    given = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
    defaults = {flag.name: str(flag.default) for flag in FLAGS}
    # Spelled out to be found and edited, not to differ; the log level is higher for the first weeks.
    assert {name for name, value in given.items() if value.lower() != defaults[name].lower()} == {"v"}


def insert_gate(text: str) -> str:
    """What the walkthrough's `sed '/- --v=4/i ...'` does."""
    return "".join(f"{GATE}\n{line}" if "- --v=4" in line else line for line in text.splitlines(keepends=True))


def test_line_editor_adds_the_gate_to_what_kubectl_prints():
    # kubectl prints sorted keys, and lists at the depth of their key: as PyYAML does by default.
    printed = yaml.safe_dump(one("Deployment"))
    edited = yaml.safe_load(insert_gate(printed))
    expected = one("Deployment")
    command = expected["spec"]["template"]["spec"]["containers"][0]["command"]
    command.insert(command.index("--v=4"), "--feature-gates=MultiClusterService=true")
    assert edited == expected


def test_metrics_and_probes_use_the_ports_of_the_flags():
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    flags = dict(flag.removeprefix("--").split("=", 1) for flag in container()["command"][1:])
    assert ports == {"metrics": 8080, "healthz": 10357}
    assert flags["metrics-bind-address"] == ":8080"
    assert flags["health-probe-bind-address"] == ":10357"
    assert {container()[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} == {"healthz"}
    annotations = one("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8080",
        "prometheus.io/path": "/metrics",
    }
    (port,) = one("Service")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (8080, "metrics")


def test_everything_selects_the_pods_of_the_deployment():
    deployment = one("Deployment")["spec"]
    pod = deployment["template"]["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    (anti_affinity,) = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    (spread,) = pod["topologySpreadConstraints"]
    for selector in [
        deployment["selector"]["matchLabels"],
        anti_affinity["podAffinityTerm"]["labelSelector"]["matchLabels"],
        spread["labelSelector"]["matchLabels"],
        one("Service")["spec"]["selector"],
        one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ]:
        assert selector
        assert selector.items() <= labels
    # Only then does the budget leave one of the two.
    assert deployment["replicas"] == 2


def test_monitoring_and_network_policy_are_for_the_pods_of_controller_and_agent_and_their_ports():
    policy, monitor = (
        one("NetworkPolicy", "mcs-controller", "network-policy"),
        one("PodMonitor", "mcs-controller", "observability"),
    )
    (agent,) = [o for o in load(MANIFESTS / "agent" / "member") if o["kind"] == "Deployment"]
    for deployment in (one("Deployment"), agent):
        template = deployment["spec"]["template"]
        (only,) = template["spec"]["containers"]
        for each in (policy, monitor):
            assert each["metadata"]["namespace"] == deployment["metadata"]["namespace"]
            selector = each["spec"].get("podSelector") or each["spec"]["selector"]
            assert selector["matchLabels"].items() <= template["metadata"]["labels"].items()
        (ingress,) = policy["spec"]["ingress"]
        assert [each["port"] for each in ingress["ports"]] == [each["name"] for each in only["ports"]]
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] in {each["name"] for each in only["ports"]}
        assert endpoint["path"] == template["metadata"]["annotations"]["prometheus.io/path"]


@pytest.mark.parametrize(
    ("folder", "name"), [("controller", "mcs-controller-manager"), ("agent/member", "mcs-controller-agent")]
)
def test_priority_is_a_class_of_its_own_as_a_server_may_limit_those_of_the_system(folder, name):
    pods = one("Deployment", name, folder)["spec"]["template"]["spec"]
    priority = one("PriorityClass", pods["priorityClassName"], folder)
    assert not priority["metadata"]["name"].startswith("system-")
    assert priority["value"] <= 1_000_000_000  # more is reserved to the system


def test_image_is_of_this_version():
    assert container()["image"].rsplit(":", 1)[1] == __version__


# --- walkthrough


def test_walkthrough_is_what_the_golden_objects_were_made_from():
    (service,) = yaml.safe_load_all((WALKTHROUGH / "service.yaml").read_text())
    (mcs,) = yaml.safe_load_all((WALKTHROUGH / "multiclusterservice.yaml").read_text())
    assert service["spec"] == {"ports": [{"port": 80, "targetPort": 80}], "selector": {"app": "nginx"}}
    assert mcs["spec"] == {
        "types": ["CrossCluster"],
        "providerClusters": [{"name": "member1"}],
        "consumerClusters": [{"name": "member2"}],
    }
    (deployment,) = yaml.safe_load_all((WALKTHROUGH / "deployment.yaml").read_text())
    template = deployment["spec"]["template"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    assert deployment["spec"]["replicas"] == 2
    for each in (service, mcs, deployment):
        assert (each["metadata"]["namespace"], each["metadata"]["name"]) == ("default", "nginx")


def test_walkthrough_places_every_deployment_where_the_service_wants_it():
    (mcs,) = yaml.safe_load_all((WALKTHROUGH / "multiclusterservice.yaml").read_text())
    objects = load(WALKTHROUGH)
    for name, role in {"nginx": "providerClusters", "curl": "consumerClusters"}.items():
        (policy,) = [o for o in objects if o["kind"] == "PropagationPolicy" and o["metadata"]["name"] == name]
        (deployment,) = [o for o in objects if o["kind"] == "Deployment" and o["metadata"]["name"] == name]
        assert policy["spec"]["resourceSelectors"] == [{"apiVersion": "apps/v1", "kind": "Deployment", "name": name}]
        names = [cluster["name"] for cluster in mcs["spec"][role]]
        assert policy["spec"]["placement"] == {"clusterAffinity": {"clusterNames": names}}
        assert policy["metadata"]["namespace"] == deployment["metadata"]["namespace"] == "default"


@pytest.mark.parametrize("kind", ["MultiClusterService", "Service"])
def test_walkthrough_names_the_works_that_will_appear(kind):
    assert f"`{work_name(kind, 'default', 'nginx')}`" in (WALKTHROUGH / "README.md").read_text()


def test_walkthrough_shows_the_collected_work_under_its_true_name():
    shown = re.findall(
        r"^karmada-es-\S+ +((nginx-\w{5})-\w+) +EndpointSlice", (WALKTHROUGH / "README.md").read_text(), re.MULTILINE
    )
    assert len(shown) == 2, "once in the provider's, once in the consumer's execution namespace"
    assert all(work == work_name("EndpointSlice", "default", slice_) for work, slice_ in shown)


def test_walkthrough_switches_the_gate_by_the_one_liner():
    assert (
        "kubectl -n karmada-system get deploy mcs-controller-manager -o yaml | "
        rf"sed '/- --v=4/i \{GATE}' | kubectl replace -f -"
    ) in (WALKTHROUGH / "README.md").read_text()
