"""Every manifest on a real API server: accepted, effective, and printed as promised."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import pytest
import yaml

from testbed.errors import ApiStatusError
from tests.integration.manifests.support import FOLDERS, MANIFESTS, ROOT, create_strictly, ensure_namespace
from tests.support.fleet import eventually

if TYPE_CHECKING:
    from testbed.api import Api, Object

pytestmark = pytest.mark.asyncio(loop_scope="session")

CRDS = {
    "multiclusterservices.networking.karmada.io",
    "works.work.karmada.io",
    "resourcebindings.work.karmada.io",
    "serviceexports.multicluster.x-k8s.io",
    "serviceimports.multicluster.x-k8s.io",
    "clusters.cluster.karmada.io",
    "propagationpolicies.policy.karmada.io",
}
ACCOUNT = "system:serviceaccount:karmada-system:mcs-controller-manager"


def deployment() -> Object:
    manifest: Object = yaml.safe_load((MANIFESTS / "controller" / "deployment.yaml").read_text())
    return manifest


VERSIONS = "-o jsonpath='{range .items[*]}{.kind}/{.metadata.name}={.metadata.resourceVersion}{\"\\n\"}{end}'"


@pytest.mark.parametrize("folder", FOLDERS)
async def test_applying_a_folder_again_changes_nothing(installed, shell, folder):
    # Not by what kubectl says: it calls a PodDisruptionBudget "configured" each time.
    await shell(f"kubectl apply --validate=strict -f manifests/{folder}/")
    before = await shell(f"kubectl get -f manifests/{folder}/ {VERSIONS}")
    await shell(f"kubectl apply --validate=strict -f manifests/{folder}/")
    after = await shell(f"kubectl get -f manifests/{folder}/ {VERSIONS}")
    assert "=" in before.stdout
    assert after.stdout == before.stdout


async def test_applying_to_a_member_again_changes_nothing(member, shell):
    before = await shell(f"kubectl get -f manifests/member/ {VERSIONS}", plane=member)
    await shell("kubectl apply --validate=strict -f manifests/member/", plane=member)
    after = await shell(f"kubectl get -f manifests/member/ {VERSIONS}", plane=member)
    assert "=" in before.stdout
    assert after.stdout == before.stdout


# Those of agents have a placeholder for the cluster's name, and the kinds of the Prometheus Operator need their
# definitions: see test_overlays.
ELSEWHERE = {"agent", "observability", "service-monitor"}
FILES = sorted(file for file in MANIFESTS.rglob("*.yaml") if not ELSEWHERE & {*file.relative_to(MANIFESTS).parts})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
async def test_file_is_accepted_by_server_side_apply_too(installed, shell, file):
    # What GitOps tools use; it knows list keys and finds duplicates that client-side apply merges away.
    await shell(f"kubectl apply --server-side --force-conflicts --dry-run=server --validate=strict -f {file}")


QUOTAS: dict[str, dict[str, tuple[str, Object]]] = {
    "tenant": {
        "networking.karmada.io/v1alpha1/multiclusterservices": (
            "MultiClusterService",
            {"spec": {"types": ["CrossCluster"]}},
        ),
        "policy.karmada.io/v1alpha1/propagationpolicies": (
            "PropagationPolicy",
            {"spec": {"resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap"}]}},
        ),
        "multicluster.x-k8s.io/v1alpha1/serviceexports": ("ServiceExport", {}),
        "multicluster.x-k8s.io/v1alpha1/serviceimports": ("ServiceImport", {"spec": {"type": "Headless", "ports": []}}),
        "v1/configmaps": ("ConfigMap", {}),
    },
    "agent": {"work.karmada.io/v1alpha1/works": ("Work", {"spec": {"workload": {"manifests": []}}})},
}
"""By whose quota: kinds that it counts, each with what else an object of it needs."""


@pytest.mark.parametrize("whose", QUOTAS)
async def test_quota_counts_what_its_owner_makes(installed, shell, whose):
    namespace = f"quota-of-{whose}"
    await ensure_namespace(installed.api, namespace)
    await shell(f"kubectl -n {namespace} apply --validate=strict -f manifests/examples/{whose}-quota.yaml")
    quota = await installed.api.get("v1/resourcequotas", "mcs-controller", namespace=namespace)
    hard = dict.fromkeys(quota["spec"]["hard"], "1")
    # What the quota controller does, which does not run here.
    for body, subresource in (
        ({"spec": {"hard": hard}}, ""),
        ({"status": {"hard": hard, "used": dict.fromkeys(hard, "0")}}, "status"),
    ):
        await installed.api.patch(
            "v1/resourcequotas", "mcs-controller", body, namespace=namespace, subresource=subresource
        )

    async def refusal(resource: str, kind: str, spec: Object) -> str:
        meta = {"generateName": "one-", "namespace": namespace}
        manifest = {"apiVersion": resource.rpartition("/")[0], "kind": kind, "metadata": meta, **spec}
        try:
            await create_strictly(installed.api, resource, manifest)
        except ApiStatusError as error:
            return str(error)
        return ""

    for resource, (kind, spec) in QUOTAS[whose].items():
        await eventually(f"the first {kind}", partial(refusal, resource, kind, spec), "")
        refused = await refusal(resource, kind, spec)
        plural = resource.rpartition("/")[2]
        assert "exceeded quota: mcs-controller" in refused
        assert f"count/{plural}" in refused


async def test_strict_validation_would_find_a_misspelt_field(installed, shell, tmp_path):
    misspelt = deployment()
    misspelt["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    (tmp_path / "deployment.yaml").write_text(yaml.safe_dump(misspelt))
    result = await shell(f"kubectl apply --dry-run=server --validate=strict -f {tmp_path}", check=False)
    assert "unknown field" in result.stderr
    assert "readinesProbe" in result.stderr


async def test_crds_are_established_and_without_complaints(installed):
    crds = {
        each["metadata"]["name"]: each
        for each in await installed.api.list("apiextensions.k8s.io/v1/customresourcedefinitions")
    }
    assert crds.keys() == CRDS
    for name, crd in crds.items():
        conditions = {each["type"]: each["status"] for each in crd["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}, name


@pytest.mark.parametrize(
    ("short", "header"),
    [
        ("mcs", "NAME TYPES PROVIDERS CONSUMERS APPLIED DISPATCHED AVAILABLE AGE"),
        ("wk", "NAME WORKLOAD-KIND APPLIED AGE"),
        ("rb", "NAME SCHEDULED FULLYAPPLIED AGE"),
        ("svcex", "NAME AGE"),
        ("svcim", "NAME TYPE IP AGE"),
        ("clusters", "NAME VERSION MODE READY AGE"),
        ("pp", "NAME CONFLICT-RESOLUTION PRIORITY AGE"),
        ("clusters -o wide", "NAME VERSION MODE READY AGE ZONES REGION PROVIDER API-ENDPOINT PROXY-URL"),
    ],
)
async def test_kubectl_prints_the_columns(installed, shell, short, header):
    namespace = "columns"
    await ensure_namespace(installed.api, namespace)
    samples: dict[str, Object] = {
        "networking.karmada.io/v1alpha1/multiclusterservices": {"kind": "MultiClusterService", "spec": {"types": []}},
        "work.karmada.io/v1alpha1/works": {"kind": "Work", "spec": {}},
        "work.karmada.io/v1alpha2/resourcebindings": {
            "kind": "ResourceBinding",
            "spec": {"resource": {"apiVersion": "v1", "kind": "Service", "name": "a"}},
        },
        "multicluster.x-k8s.io/v1alpha1/serviceexports": {"kind": "ServiceExport"},
        "multicluster.x-k8s.io/v1alpha1/serviceimports": {
            "kind": "ServiceImport",
            "spec": {"type": "Headless", "ports": []},
        },
        "cluster.karmada.io/v1alpha1/clusters": {"kind": "Cluster", "spec": {"syncMode": "Push"}},
        "policy.karmada.io/v1alpha1/propagationpolicies": {
            "kind": "PropagationPolicy",
            "spec": {"resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap"}]},
        },
    }
    for resource, manifest in samples.items():
        name = "columns"
        where = None if manifest["kind"] == "Cluster" else namespace
        if await installed.api.find(resource, name, namespace=where) is None:
            metadata = {"name": name} | ({"namespace": where} if where else {})
            api_version = resource.rpartition("/")[0]
            await create_strictly(
                installed.api, resource, {"apiVersion": api_version, "metadata": metadata, **manifest}
            )
    printed = await shell(f"kubectl -n {namespace} get {short}")
    assert printed.stdout.splitlines()[0].split() == header.split()


async def test_columns_show_the_workload_and_its_state(installed, shell):
    name, namespace = "printed", "columns"
    await ensure_namespace(installed.api, namespace)
    await installed.api.create(
        {
            "apiVersion": "work.karmada.io/v1alpha1",
            "kind": "Work",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"workload": {"manifests": [{"apiVersion": "v1", "kind": "Service"}]}},
        }
    )
    condition = {
        "type": "Applied",
        "status": "False",
        "reason": "AppliedFailed",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    await installed.api.patch(
        "work.karmada.io/v1alpha1/works", name, {"status": {"conditions": [condition]}},
        namespace=namespace, subresource="status",
    )  # fmt: skip
    printed = await shell(f"kubectl -n {namespace} get work {name} --no-headers")
    assert printed.stdout.split()[:3] == [name, "Service", "False"]


async def test_karmada_io_category_lists_the_karmada_kinds(installed, shell):
    names = (await shell("kubectl api-resources --categories=karmada-io -o name")).stdout.split()
    assert set(names) == {name for name in CRDS if name.endswith("karmada.io")}


async def may(api: Api, verb: str, group: str = "", resource: str = "", namespace: str = "", url: str = "") -> bool:
    """What the server's authorizer says of the service account.

    Without its groups: those give everybody some rights, which would hide a missing one.
    """
    attributes: Object = (
        {"nonResourceAttributes": {"verb": verb, "path": url}}
        if url
        else {
            "resourceAttributes": {
                "verb": verb,
                "group": group,
                "resource": resource.partition("/")[0],
                "subresource": resource.partition("/")[2],
                "namespace": namespace,
            }
        }
    )
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {"user": ACCOUNT, **attributes},
    }
    answer = await api.raw("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=review)
    allowed: bool = answer["status"]["allowed"]
    return allowed


async def comes_to_allow(
    api: Api, expected: bool, verb: str, group: str = "", resource: str = "", namespace: str = "", *, url: str = ""
) -> None:
    """Wait until :func:`may` says so: the authorizer learns of roles a moment after they are stored."""
    right = (verb, group, resource, namespace, url)
    await eventually(f"{right}", lambda: may(api, *right), expected)


@pytest.mark.parametrize(
    ("verb", "group", "resource", "namespace", "allowed"),
    [
        ("patch", "networking.karmada.io", "multiclusterservices", "any", True),
        ("patch", "networking.karmada.io", "multiclusterservices/status", "any", True),
        ("update", "networking.karmada.io", "multiclusterservices", "any", False),
        ("delete", "networking.karmada.io", "multiclusterservices", "any", False),
        ("delete", "work.karmada.io", "works", "karmada-es-member1", True),
        ("patch", "work.karmada.io", "resourcebindings", "any", True),
        ("delete", "work.karmada.io", "resourcebindings", "any", False),
        ("delete", "", "services", "any", True),
        ("update", "", "services", "any", False),
        ("get", "", "services", "any", False),
        ("patch", "", "services/status", "any", True),
        ("create", "", "events", "any", True),
        ("get", "", "secrets", "karmada-cluster", True),
        ("list", "", "secrets", "karmada-cluster", False),
        ("get", "", "secrets", "karmada-system", False),
        ("get", "", "secrets", "default", False),
        ("update", "coordination.k8s.io", "leases", "karmada-system", True),
        ("create", "coordination.k8s.io", "leases", "karmada-system", True),
        ("delete", "coordination.k8s.io", "leases", "karmada-system", False),
        ("update", "coordination.k8s.io", "leases", "kube-system", False),
        ("create", "rbac.authorization.k8s.io", "clusterroles", "", False),
        ("patch", "policy.karmada.io", "propagationpolicies", "any", True),
        ("watch", "apps", "deployments", "any", True),
        ("patch", "", "configmaps", "any", True),
        ("create", "apps", "deployments", "any", False),
    ],
)
async def test_server_grants_the_controller(installed, verb, group, resource, namespace, allowed):
    await comes_to_allow(installed.api, allowed, verb, group, resource, namespace)


@pytest.mark.parametrize(
    ("verb", "group", "resource", "allowed"),
    [
        ("watch", "discovery.k8s.io", "endpointslices", True),
        ("patch", "discovery.k8s.io", "endpointslices", True),
        ("update", "discovery.k8s.io", "endpointslices", False),
        ("create", "", "services", True),
        ("delete", "", "namespaces", True),
        ("get", "", "secrets", False),
        ("get", "", "pods", False),
        ("create", "apps", "deployments", True),
        ("update", "apps", "deployments", False),
    ],
)
async def test_member_grants_the_controller(member, verb, group, resource, allowed):
    await comes_to_allow(member.api, allowed, verb, group, resource, "any")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [("/readyz", True), ("/healthz", True), ("/version", True), ("/api/v1", True), ("/apis/apps/v1", True),
     ("/metrics", False)],
)  # fmt: skip
async def test_member_grants_the_status_probe(member, url, allowed):
    await comes_to_allow(member.api, allowed, "get", url=url)


async def test_service_account_can_use_the_api_with_a_token(installed, shell):
    token = (await shell("kubectl -n karmada-system create token mcs-controller-manager")).stdout.strip()
    # Without its certificate, the kubeconfig's user would win.
    base = (
        f"kubectl --kubeconfig /dev/null --server {installed.access.server} --insecure-skip-tls-verify --token {token}"
    )
    assert (await shell(f"{base} get works -A")).returncode == 0
    refused = await shell(f"{base} get secrets -n default", check=False)
    assert "forbidden" in refused.stderr


# --- the Deployment


async def test_one_liner_of_the_walkthrough_switches_the_gate_on(installed, shell):
    readme = (ROOT / "examples" / "01-walkthrough" / "README.md").read_text()
    (one_liner,) = re.findall(r"^kubectl .* \| sed .*$", readme, re.MULTILINE)
    await shell("kubectl apply -f manifests/controller/deployment.yaml")
    before = await installed.api.get("apps/v1/deployments", "mcs-controller-manager", namespace="karmada-system")
    assert "feature-gates" not in str(before["spec"])

    await shell(one_liner)

    after = await installed.api.get("apps/v1/deployments", "mcs-controller-manager", namespace="karmada-system")
    command = after["spec"]["template"]["spec"]["containers"][0]["command"]
    assert "--feature-gates=MultiClusterService=true" in command
    command.remove("--feature-gates=MultiClusterService=true")
    assert after["spec"] == before["spec"]  # and nothing else


async def test_applying_the_manifest_again_takes_the_gate_away(installed, shell):
    await shell("kubectl apply -f manifests/controller/deployment.yaml")
    found = await installed.api.get("apps/v1/deployments", "mcs-controller-manager", namespace="karmada-system")
    assert (
        found["spec"]["template"]["spec"]["containers"][0]["command"]
        == (deployment()["spec"]["template"]["spec"]["containers"][0]["command"])
    )


async def test_commands_for_a_separate_control_plane_give_the_deployment_its_kubeconfig(installed, shell):
    readme = (MANIFESTS / "README.md").read_text()
    (block,) = [each for each in re.findall(r"```sh\n(.*?)```", readme, re.DOTALL) if "karmada.config" in each]
    kubeconfig = installed.access.kubeconfig
    try:
        await shell(block.replace("<kubeconfig>", str(kubeconfig)))
        found = await installed.api.get("apps/v1/deployments", "mcs-controller-manager", namespace="karmada-system")
        pod = found["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["command"][:2] == ["mcs-controller-manager", "--kubeconfig=/etc/karmada/config/karmada.config"]
        (mount,) = [each for each in container["volumeMounts"] if each["name"] == "config"]
        assert "/etc/karmada/config/karmada.config".startswith(mount["mountPath"])
        (volume,) = [each for each in pod["volumes"] if each["name"] == "config"]
        secret = await installed.api.get("v1/secrets", volume["secret"]["secretName"], namespace="karmada-system")
        assert set(secret["data"]) == {"karmada.config"}
    finally:
        await shell("kubectl -n karmada-system delete secret mcs-controller-manager-config --ignore-not-found")
        await shell("kubectl -n karmada-system delete deployment mcs-controller-manager")
        await shell("kubectl apply -f manifests/controller/deployment.yaml")
