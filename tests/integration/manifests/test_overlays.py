"""The kustomizations of manifests/: they render what the files say, and a new API server takes it in one command."""

from __future__ import annotations

import re
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from mcs_controller import __version__
from mcs_controller.options import command
from testbed.errors import ApiStatusError
from tests.integration.manifests.support import MANIFESTS, ROOT, create_strictly, ensure_namespace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbed.api import Object
    from testbed.controlplane import ControlPlane
    from tests.integration.manifests.conftest import Shell

pytestmark = pytest.mark.asyncio(loop_scope="session")

GATE, STANDALONE = "--feature-gates=MultiClusterService=true", "--controllers=*,standalone"
KUBECONFIG = "--kubeconfig=/etc/karmada/config/karmada.config"
NAME = "member3"  # the Pull cluster of manifests/examples


def named(folder: Path) -> str:
    return folder.relative_to(MANIFESTS).as_posix()


ALL = {named(file.parent): yaml.safe_load(file.read_text()) for file in sorted(MANIFESTS.rglob("Kustomization"))}
EXAMPLES = [folder for folder in ALL if folder.startswith("examples/")]
ENTRIES = [folder for folder, one in ALL.items() if one["kind"] == "Kustomization" and folder not in EXAMPLES]
AGENT_RIGHTS = ["agent/control-plane/rbac.yaml", "agent/control-plane/standalone.yaml"]
MEMBER_RIGHTS = ["member/rbac.yaml", "member/standalone.yaml"]
NAMESPACES = {"karmada-system", "karmada-cluster"}
# Of each overlay, the files whose objects it has; a folder stands for all that are in it.
OVERLAYS: dict[str, list[str]] = {
    "overlays/standalone/control-plane": ["crds", "standalone", "controller"],
    "overlays/standalone/member": MEMBER_RIGHTS,
    "overlays/standalone/agent/control-plane": AGENT_RIGHTS,
    "overlays/standalone/agent/member": [*MEMBER_RIGHTS, "agent/member"],
    "overlays/beside-karmada/control-plane": ["controller/rbac.yaml"],
    "overlays/beside-karmada/host": [
        f"controller/{each}.yaml" for each in ("deployment", "service", "poddisruptionbudget", "priorityclass")
    ],
    "overlays/beside-karmada/member": MEMBER_RIGHTS[:1],
    "overlays/beside-karmada/agent/control-plane": AGENT_RIGHTS[:1],
    "overlays/beside-karmada/agent/member": [*MEMBER_RIGHTS[:1], "agent/member"],
}
# What an overlay adds to the flags of its Deployment.
FLAGS = {
    "overlays/standalone/control-plane": [STANDALONE, GATE],
    "overlays/standalone/agent/member": [STANDALONE, GATE],
    "overlays/beside-karmada/host": [KUBECONFIG],
    "overlays/beside-karmada/agent/member": [],
}

Key = tuple[str, str, str, str]


def key(one: Object) -> Key:
    return one["apiVersion"], one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]


def keyed(objects: Iterable[Object]) -> dict[Key, Object]:
    listed = list(objects)
    result = {key(one): one for one in listed}
    assert len(result) == len(listed), "an object is there twice"
    return result


def objects_of(files: Iterable[Path]) -> list[Object]:
    return [one for file in files for one in yaml.safe_load_all(file.read_text()) if one]


def yaml_files(path: Path) -> list[Path]:
    return sorted(path.glob("*.yaml")) if path.is_dir() else [path]


_texts: dict[str, str] = {}
"""What kubectl made of each folder: it takes half a second each time."""


async def rendered(shell: Shell, folder: str) -> list[Object]:
    if folder not in _texts:
        _texts[folder] = (await shell(f"kubectl kustomize manifests/{folder}")).stdout
    return [one for one in yaml.safe_load_all(_texts[folder]) if one]


def deployments(objects: Iterable[Object]) -> list[Object]:
    return [one for one in objects if one["kind"] == "Deployment"]


async def test_kustomizations_together_have_every_file_that_is_not_an_example(shell):
    files = [file for file in MANIFESTS.rglob("*.yaml") if file.relative_to(MANIFESTS).parts[0] != "examples"]
    found = [key(one) for folder in ENTRIES for one in await rendered(shell, folder)]
    assert set(found) == set(map(key, objects_of(files)))


@pytest.mark.parametrize("folder", [folder for folder in ENTRIES if folder not in OVERLAYS])
async def test_base_is_its_files(shell, folder):
    assert keyed(await rendered(shell, folder)) == keyed(objects_of(yaml_files(MANIFESTS / folder)))


async def test_there_is_a_row_for_each_overlay():
    assert OVERLAYS.keys() == {folder for folder in ENTRIES if folder.startswith("overlays/")}


@pytest.mark.parametrize("folder", OVERLAYS)
async def test_overlay_is_the_files_of_its_mode_with_flags_added(shell, folder):
    sources = [source for each in OVERLAYS[folder] for source in yaml_files(MANIFESTS / each)]
    expected = keyed(objects_of(sources))
    if folder == "overlays/beside-karmada/host":  # the account of the Pods, without rights
        expected |= keyed(
            one for one in objects_of([MANIFESTS / "controller/rbac.yaml"]) if one["kind"] == "ServiceAccount"
        )
    found = keyed(await rendered(shell, folder))
    assert found.keys() == expected.keys()
    for each, one in found.items():
        if each[1] == "Deployment":
            (container,) = one["spec"]["template"]["spec"]["containers"]
            for flag in FLAGS[folder]:
                container["command"].remove(flag)
            if KUBECONFIG in FLAGS[folder]:
                _take_kubeconfig_out(one["spec"]["template"]["spec"])
        assert one == expected[each]


def _take_kubeconfig_out(pod: Object) -> None:
    """What it needs for the flag: see manifests/README.md."""
    assert pod.pop("automountServiceAccountToken") is False  # it would be that of another API server
    assert pod["volumes"].pop() == {"name": "config", "secret": {"secretName": "mcs-controller-manager-config"}}
    mount = {"name": "config", "mountPath": "/etc/karmada/config", "readOnly": True}
    assert pod["containers"][0]["volumeMounts"].pop() == mount


@pytest.mark.parametrize("folder", FLAGS)
async def test_flags_of_an_overlay_are_those_of_the_binary(shell, folder):
    (deployment,) = deployments(await rendered(shell, folder))
    binary, *flags = deployment["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command(binary, __version__, "").make_context(binary, flags).params
    names = [flag.partition("=")[0] for flag in flags]
    assert len(names) == len(set(names)), "a flag is there twice"


@pytest.mark.parametrize("mode", ["standalone", "beside-karmada"])
@pytest.mark.parametrize("side", ["control-plane", "member"])
async def test_component_puts_the_name_of_a_pull_cluster_everywhere(shell, tmp_path, mode, side):
    copied = Path(shutil.copytree(MANIFESTS, tmp_path / "manifests"))
    folder = copied / "examples" / "pull-cluster" / side
    overlay = f"overlays/{mode}/agent/{side}"
    text = (folder / "Kustomization").read_text().replace(f"overlays/standalone/agent/{side}", overlay)
    assert overlay in text
    (folder / "Kustomization").write_text(text)
    result = (await shell(f"kubectl kustomize {folder}")).stdout
    placeholder = (await shell(f"kubectl kustomize manifests/{overlay}")).stdout
    assert "CLUSTER" in placeholder
    assert result == placeholder.replace("CLUSTER", NAME)


@pytest.mark.parametrize(
    ("folder", "kind", "endpoints", "target", "ports"),
    [
        ("observability", "PodMonitor", "podMetricsEndpoints", "Deployment", "containers"),
        ("service-monitor", "ServiceMonitor", "endpoints", "Service", "ports"),
    ],
)
async def test_what_a_monitor_selects_is_there_and_has_its_port(shell, folder, kind, endpoints, target, ports):
    (monitor,) = [one for one in await rendered(shell, folder) if one["kind"] == kind]
    (one,) = [one for one in await rendered(shell, "controller") if one["kind"] == target]
    selected = one["spec"]["template"] if target == "Deployment" else one
    assert monitor["spec"]["selector"]["matchLabels"].items() <= selected["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"][endpoints]
    (first, *_) = selected["spec"][ports]
    offered = first["ports"] if target == "Deployment" else [first]
    assert endpoint["port"] in {port["name"] for port in offered}


# --- on a server

VERSIONS = "--no-headers -o custom-columns=:.kind,:.metadata.name,:.metadata.resourceVersion"

TEXT: Object = {"type": "string"}
TEXTS: Object = {"type": "object", "additionalProperties": TEXT}


def _list_of(**fields: Object) -> Object:
    return {"type": "array", "items": {"type": "object", "properties": fields}}


def _monitoring(kind: str, **spec: Object) -> Object:
    """What is used here of one of the Prometheus Operator's kinds: `--validate=strict` refuses other fields."""
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [version],
        },
    }


_RULES = _list_of(alert=TEXT, expr=TEXT, **{"for": TEXT}, labels=TEXTS, annotations=TEXTS)
MONITORING = [
    _monitoring(
        "PodMonitor",
        selector={"type": "object", "properties": {"matchLabels": TEXTS}},
        podMetricsEndpoints=_list_of(port=TEXT, path=TEXT, honorLabels={"type": "boolean"}),
    ),
    _monitoring(
        "ServiceMonitor",
        selector={"type": "object", "properties": {"matchLabels": TEXTS}},
        endpoints=_list_of(port=TEXT, path=TEXT, honorLabels={"type": "boolean"}),
    ),
    _monitoring("PrometheusRule", groups=_list_of(name=TEXT, rules=_RULES)),
]
"""As much of the Prometheus Operator's definition as ours uses, in its shape."""


@pytest.fixture(scope="module")
def new(lone_bed) -> ControlPlane:
    """An API server on which nothing has been applied by other tests."""
    plane: ControlPlane = lone_bed.members["new"]
    return plane


# In this order, as one server is a control plane, a host and a member in turn.
INSTALLED = [
    "overlays/standalone/control-plane",
    "overlays/standalone/member",
    "overlays/beside-karmada/control-plane",
    "overlays/beside-karmada/host",
    "overlays/beside-karmada/member",
    "network-policy",
    "observability",
    "service-monitor",
]


@pytest.mark.parametrize("folder", INSTALLED)
async def test_one_command_installs_it_and_another_time_it_changes_nothing(new, shell, folder):
    """By what the server keeps, not by what kubectl says: it calls a PodDisruptionBudget "configured" each time."""
    if folder == "observability":
        await shell(f"kubectl apply -f - <<'E'\n{yaml.safe_dump_all(MONITORING)}E", plane=new)
        names = " ".join(f"crd/{one['metadata']['name']}" for one in MONITORING)
        await shell(f"kubectl wait --for=condition=Established {names}", plane=new)
    apply = f"kubectl apply --validate=strict -k manifests/{folder}"
    versions = f"kubectl get -k manifests/{folder} {VERSIONS}"
    await shell(apply, plane=new)
    if "standalone/control-plane" in folder:
        await shell("kubectl wait --for=condition=Established --timeout=60s crd --all", plane=new)
    before = await shell(versions, plane=new)
    assert len(before.stdout.splitlines()) == len(await rendered(shell, folder))

    assert (await shell(f"kubectl diff -k manifests/{folder}", plane=new)).stdout == ""
    await shell(apply, plane=new)
    assert (await shell(versions, plane=new)).stdout == before.stdout


@pytest.mark.parametrize("folder", [*EXAMPLES, *(folder for folder in OVERLAYS if "agent" in folder)])
async def test_server_takes_the_agent_once_its_cluster_has_a_name(new, shell, folder):
    for namespace in NAMESPACES | {f"karmada-es-{NAME}"}:
        await ensure_namespace(new.api, namespace)
    what = "kubectl apply --server-side --force-conflicts --dry-run=server --validate=strict"
    named = f"kubectl kustomize manifests/{folder} | sed s/CLUSTER/{NAME}/g"
    await shell(f"{what} -k manifests/{folder}" if folder in EXAMPLES else f"{named} | {what} -f -", plane=new)


@pytest.mark.parametrize("folder", FLAGS)
async def test_pods_are_admitted_where_only_restricted_pods_are(new, shell, folder):
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = f"restricted-{uuid.uuid4().hex[:6]}"
    await new.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": enforce}})
    objects = await rendered(shell, folder)
    (deployment,) = deployments(objects)
    (priority,) = [one for one in objects if one["kind"] == "PriorityClass"]
    await new.api.apply(priority)
    template = deployment["spec"]["template"]
    meta = {**template["metadata"], "name": "a", "namespace": namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}

    admitted = await create_strictly(new.api, "v1/pods", pod, dryRun="All")
    assert admitted["spec"]["priority"] == priority["value"]

    (container,) = pod["spec"]["containers"]
    for part, field in (
        (pod["spec"]["securityContext"], "runAsNonRoot"),
        (pod["spec"]["securityContext"], "seccompProfile"),
        (container["securityContext"], "allowPrivilegeEscalation"),
        (container["securityContext"], "capabilities"),
    ):
        value = part.pop(field)
        with pytest.raises(ApiStatusError, match="violates PodSecurity"):
            await create_strictly(new.api, "v1/pods", pod, dryRun="All")
        part[field] = value


async def test_the_overlay_of_ones_own_in_the_docs_has_another_image_and_the_gate(shell, tmp_path):
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "install.md").read_text(), re.DOTALL)
    (tmp_path / "kustomization.yaml").write_text(block)
    shutil.copytree(MANIFESTS, tmp_path / "mcs-controller" / "manifests")
    text = (await shell(f"kubectl kustomize {tmp_path}")).stdout
    (deployment,) = deployments(yaml.safe_load_all(text))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"registry.example.com/mcs-controller-manager:{__version__}"
    assert GATE in container["command"]


async def test_every_folder_that_the_docs_apply_is_there():
    folders = {
        folder.rstrip("/.`")
        for page in [ROOT / "README.md", MANIFESTS / "README.md", *(ROOT / "docs").glob("*.md")]
        for folder in re.findall(r"(?:-k|kustomize) (manifests/\S+)", page.read_text())
    }
    assert len(folders) > 5
    assert {folder for folder in folders if not (ROOT / folder / "Kustomization").is_file()} == set()
