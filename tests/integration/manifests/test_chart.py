"""The Helm chart, by Helm itself: what it renders is what kustomize renders, and an API server takes it."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import yaml

from mcs_controller import __version__
from testbed.pytest_plugin import require_components
from tests.integration.manifests.support import ensure_namespace
from tests.integration.manifests.test_overlays import (
    GATE,
    KUBECONFIG,
    NAME,
    OVERLAYS,
    VERSIONS,
    deployments,
    keyed,
    rendered,
)
from tests.integration.mcsctl.calls import run as mcsctl
from tools import chart as made_chart

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from testbed.api import Object
    from testbed.bed import Bed
    from testbed.controlplane import ControlPlane
    from tests.integration.manifests.conftest import Shell

    Helm = Callable[..., Awaitable["subprocess.CompletedProcess[str]"]]

pytestmark = pytest.mark.asyncio(loop_scope="session")

SYSTEM = "karmada-system"
SWITCHED = ("networkPolicy", "podMonitor", "prometheusRule", "dashboard", "admission")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_components(["kubectl"])
    return await asyncio.to_thread(made_chart.make, tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="module")
def helm(chart: Path) -> Helm:
    """Calls Helm; with a plane, for that API server."""
    binary = require_components(["helm"])["helm"]
    home = {f"HELM_{each}_HOME": str(chart.parent / each.lower()) for each in ("CACHE", "CONFIG", "DATA")}

    async def call(
        *words: str, plane: ControlPlane | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        kubeconfig = {"KUBECONFIG": str(plane.access.kubeconfig) if plane is not None else "/dev/null"}
        done = await asyncio.to_thread(
            subprocess.run,
            [str(binary), "--namespace", SYSTEM, *words],
            env={**os.environ, **home, **kubeconfig},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0 or not check, f"{words}\n{done.stdout}{done.stderr}"
        return done

    return call


def values(**those: str) -> tuple[str, ...]:
    """As flags of Helm; `_` stands for a dot."""
    return tuple(word for name, value in those.items() for word in ("--set", f"{name.replace('_', '.')}={value}"))


async def of_chart(helm: Helm, chart: Path, *flags: str) -> list[Object]:
    text = (await helm("template", "mcs", str(chart), *flags)).stdout
    return [one for one in yaml.safe_load_all(text) if one]


def mode(folder: str) -> tuple[str, ...]:
    return values(mode=folder.removeprefix("overlays/"), clusterName=NAME)


@pytest.mark.parametrize("folder", OVERLAYS)
async def test_a_mode_of_the_chart_is_its_overlay(helm, chart, shell, folder):
    text = yaml.safe_dump_all(await rendered(shell, folder)).replace("CLUSTER", NAME)
    expected = keyed(yaml.safe_load_all(text))
    expected.pop(("v1", "Namespace", "", SYSTEM), None)  # `--create-namespace` makes it
    for (_, kind, _, _), one in expected.items():
        if kind in ("CustomResourceDefinition", "Namespace"):
            one["metadata"].setdefault("annotations", {})["helm.sh/resource-policy"] = "keep"
    assert keyed(await of_chart(helm, chart, *mode(folder))) == expected
    assert "0 chart(s) failed" in (await helm("lint", "--strict", str(chart), *mode(folder))).stdout


async def test_there_is_a_mode_for_each_overlay():
    assert {f"overlays/{each}" for each in made_chart.MODES} == OVERLAYS.keys()


async def test_what_is_enabled_is_its_base(helm, chart, shell):
    enabled = values(**{f"{each}_enabled": "true" for each in SWITCHED})
    more = keyed(await of_chart(helm, chart, *enabled))
    without = keyed(await of_chart(helm, chart))
    folders = ("network-policy", "observability", "admission", "admission/selection")
    bases = [one for each in folders for one in await rendered(shell, each)]
    assert {key: one for key, one in more.items() if key not in without} == keyed(bases)
    monitor = [
        one for one in await of_chart(helm, chart, *values(serviceMonitor_enabled="true")) if "Monitor" in one["kind"]
    ]
    assert monitor == await rendered(shell, "service-monitor")


async def test_values_are_where_they_belong(helm, chart, tmp_path):
    digest = f"sha256:{'0' * 64}"
    given = {
        "mode": "beside-karmada/host",
        "image": {"registry": "registry.example.com:5000", "digest": digest, "pullSecrets": [{"name": "pull"}]},
        "kubeconfigSecret": "mine",
        "replicas": 3,
        "featureGates": {"MultiClusterService": True, "AllBeta": False},
        "logLevel": 2,
        "extraArgs": ["--policy-kinds=apps/v1/Deployment", "--drop-suspicious-endpoints"],
        "resources": {"limits": {"memory": "2Gi"}},
        "nodeSelector": {"pool": "system"},
        "tolerations": [],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "networkPolicy": {"enabled": True, "apiServerPorts": [8443]},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    }
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(given))
    objects = await of_chart(helm, chart, "--values", str(tmp_path / "values.yaml"))
    kinds = {one["kind"]: one for one in objects}
    (deployment,) = deployments(objects)
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert deployment["spec"]["replicas"] == 3
    assert container["image"] == f"registry.example.com:5000/mcs-controller-manager@{digest}"
    assert KUBECONFIG in container["command"]
    assert container["command"][-4:] == [
        "--v=2",
        "--feature-gates=AllBeta=false,MultiClusterService=true",
        *given["extraArgs"],  # type: ignore[misc]
    ]
    assert container["resources"] == {"limits": {"memory": "2Gi"}, "requests": {"cpu": "100m", "memory": "128Mi"}}
    for key in ("nodeSelector", "affinity", "priorityClassName"):
        assert pod[key] == given[key]
    assert "tolerations" not in pod
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert pod["volumes"][-1]["secret"] == {"secretName": "mine"}
    assert "PriorityClass" not in kinds
    assert kinds["NetworkPolicy"]["spec"]["egress"][-1]["ports"] == [{"port": 8443, "protocol": "TCP"}]
    assert kinds["ServiceMonitor"]["metadata"]["labels"]["release"] == "prometheus"
    assert len(kinds["ServiceMonitor"]["metadata"]["labels"]) == 4
    (alone,) = deployments(
        await of_chart(helm, chart, *values(featureGates_MultiClusterService="false", crds_enabled="false"))
    )
    assert GATE not in (command := alone["spec"]["template"]["spec"]["containers"][0]["command"])
    assert GATE.replace("true", "false") in command


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (values(replica="3"), "replica"),
        (values(mode="karmada"), "mode"),
        (values(mode="standalone/agent/member"), "clusterName is needed"),
        (values(podMonitor_enabled="true", serviceMonitor_enabled="true"), "scraped twice"),
        (("--kube-version", "1.31.9"), "needs kube-apiserver 1.32"),
        (("--namespace", "default"), "the namespace is karmada-system"),
    ],
)
async def test_what_cannot_be_meant_is_refused(helm, chart, flags, reason):
    done = await helm("template", "mcs", str(chart), *flags, check=False)
    assert done.returncode
    assert reason in done.stderr


async def test_the_chart_has_the_version_and_the_archive_is_the_same_again(helm, chart, tmp_path):
    about = yaml.safe_load((await helm("show", "chart", str(chart))).stdout)
    assert about["version"] == about["appVersion"] == __version__
    again = await asyncio.to_thread(made_chart.make, tmp_path)
    assert again.read_bytes() == chart.read_bytes()


# --- on a server


async def test_it_is_installed_upgraded_rolled_back_and_removed(lone_bed: Bed, helm: Helm, chart: Path, shell: Shell):
    plane = lone_bed.members["new"]
    overlay = "manifests/overlays/standalone/control-plane"
    versions = f"kubectl get -k {overlay} {VERSIONS}"
    # Definitions are there if another test was here before.
    said = await helm("install", "mcs", str(chart), "--create-namespace", "--take-ownership", plane=plane)
    assert "mcsctl join CLUSTER" in said.stdout
    before = await shell(versions, plane=plane)
    assert len(before.stdout.splitlines()) == len(await rendered(shell, overlay.removeprefix("manifests/")))

    refused = await mcsctl("upgrade", "--mode", "standalone", "--print", kubeconfig=str(plane.access.kubeconfig))
    assert refused.code == 1
    assert "helm upgrade mcs" in refused.err
    await helm("upgrade", "mcs", str(chart), plane=plane)
    assert (await shell(versions, plane=plane)).stdout == before.stdout

    await helm("upgrade", "mcs", str(chart), *values(replicas="3"), plane=plane)
    changed = set((await shell(versions, plane=plane)).stdout.splitlines()) - set(before.stdout.splitlines())
    assert [line.split()[:2] for line in changed] == [["Deployment", "mcs-controller-manager"]]
    await helm("rollback", "mcs", "1", plane=plane)
    replicas = "kubectl -n karmada-system get deployment mcs-controller-manager -o jsonpath={.spec.replicas}"
    assert (await shell(replicas, plane=plane)).stdout == "2"

    await helm("uninstall", "mcs", plane=plane)
    left = await shell(f"kubectl get --ignore-not-found -o name -k {overlay}", plane=plane)
    kinds = [line.partition("/")[0] for line in left.stdout.split()]
    assert sorted(set(kinds)) == ["customresourcedefinition.apiextensions.k8s.io", "namespace"]
    assert len(kinds) == 2 + 7


async def test_beside_karmada_a_release_is_in_each_of_two_clusters(lone_bed, bare, helm, chart, shell):
    host = lone_bed.members["new"]
    for plane, namespace in ((bare, SYSTEM), (bare, "karmada-cluster"), (host, SYSTEM)):
        await ensure_namespace(plane.api, namespace)
    first = await helm("install", "mcs", str(chart), *values(mode="beside-karmada/control-plane"), plane=bare)
    assert "mode beside-karmada/host" in first.stdout
    second = await helm("install", "mcs", str(chart), *values(mode="beside-karmada/host"), plane=host)
    assert "karmada-system/mcs-controller-manager-config" in second.stdout
    assert "The gate MultiClusterService is off" in second.stdout
    account = "system:serviceaccount:karmada-system:mcs-controller-manager"
    rights = f"kubectl auth can-i list works.work.karmada.io -A --as {account}"
    assert (await shell(rights, plane=bare)).stdout == "yes\n"
    for plane, folder in ((bare, "control-plane"), (host, "host")):
        await helm("uninstall", "mcs", plane=plane)
        left = await shell(
            f"kubectl get --ignore-not-found -o name -k manifests/overlays/beside-karmada/{folder}", plane=plane
        )
        assert left.stdout == ""
