"""One API server for these tests alone: they change things of the whole cluster, and nothing else may write there."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from testbed.api import Object, resource_path, wait_for
from testbed.bed import Bed
from testbed.errors import ApiStatusError, NotYet
from testbed.karmada import apply_all, load
from testbed.pytest_plugin import require_components
from tests.integration.manifests.support import (
    FOLDERS,
    MANIFESTS,
    ROOT,
    Refused,
    create_strictly,
    send,
    without_rules,
)
from tests.support.admission_rules import clusters, mcs
from tools.components import OLDER_KUBERNETES_VERSION

if TYPE_CHECKING:
    from testbed.controlplane import ControlPlane

BARE = "bare"
Shell = Callable[..., Awaitable["subprocess.CompletedProcess[str]"]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lone_bed() -> AsyncIterator[Bed]:
    """Four API servers: a control plane, a member, a control plane whose definitions have no rules, and an empty one.

    The member's is of an older Kubernetes.

    Without controllers, above all without a garbage collector: the golden objects have owners that are not there.
    """
    require_components(["etcd", "kube-apiserver", "kubectl"])
    versions = {"member1": OLDER_KUBERNETES_VERSION}
    async with Bed(members=("member1", BARE, "new"), controller_manager=False, versions=versions) as bed:
        yield bed


@pytest.fixture(scope="session")
def shell(lone_bed: Bed) -> Shell:
    """Runs a command line as a person would who has `kubectl` in the path and the kubeconfig in the environment."""
    kubectl = require_components(["kubectl"])["kubectl"]

    async def run(
        line: str, *, plane: ControlPlane = lone_bed.host, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        result = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-o", "pipefail", "-c", line],
            cwd=ROOT,
            env={
                "PATH": f"{kubectl.parent}:{os.environ['PATH']}",
                "HOME": str(lone_bed.root),  # kubectl keeps a discovery cache
                "KUBECONFIG": str(plane.access.kubeconfig),
            },
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert result.returncode == 0 or not check, f"{line}\n{result.stdout}{result.stderr}"
        return result

    return run


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def installed(lone_bed: Bed, shell: Shell) -> ControlPlane:
    """The control plane with all its manifests applied, folder by folder, strictly validated by the server.

    Before the rules were there, some objects were stored that break them, a Cluster among them.
    """
    await _store_old_objects(lone_bed.host)
    await _define_without_rules(lone_bed.host, "standalone")
    cluster = {"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster", "spec": {"syncMode": "Push"}}
    await lone_bed.host.api.create(
        cluster | {"metadata": {"name": f"old.{'a' * 48}", "finalizers": ["example.com/old"]}}
    )
    for folder in FOLDERS:
        await shell(f"kubectl apply --validate=strict -f manifests/{folder}/")
        if folder in {"crds", "standalone"}:
            await shell("kubectl wait --for=condition=Established --timeout=60s crd --all")
    await _rules_in_force(lone_bed.host)
    await _cluster_rules_in_force(lone_bed.host)
    await _in_discovery(shell)
    return lone_bed.host


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bare(lone_bed: Bed, shell: Shell) -> ControlPlane:
    """A control plane as Karmada's: definitions without rules, and manifests/admission. Old objects as above."""
    plane = lone_bed.members[BARE]
    await _store_old_objects(plane)
    for folder in ("admission", "admission/ids"):
        await shell(f"kubectl apply --validate=strict -f manifests/{folder}/", plane=plane)
    await _rules_in_force(plane)
    await _ids_in_force(plane)
    return plane


@dataclass(frozen=True)
class Enforced:
    """A control plane on which the rules are enforced.

    Attributes:
        plane: the control plane.
        by: "definition" or "policies".
        old: names of objects that break them, from before they were there; in the namespace default.
    """

    plane: ControlPlane
    by: str
    old: Sequence[str]


@pytest.fixture(params=["definition", "policies"])
def enforced(request: pytest.FixtureRequest) -> Enforced:
    """Each control plane on which the rules are enforced, one after the other."""
    plane = request.getfixturevalue("installed" if request.param == "definition" else "bare")
    return Enforced(plane, request.param, [name for name in OLD if name != "old-leaving"])


# Each breaks as many rules as one object can.
OLD: Mapping[str, Object] = {
    "old.name": mcs("old.name"),
    "old-types": mcs("old-types", types=["CrossCluster", "Foo"]),
    "old-fields": mcs(
        "old-fields",
        ports=[{"name": "a.b", "port": 0}, {"name": "a.b", "port": 1}],
        providerClusters=clusters("", "a" * 49),
        consumerClusters=clusters("A"),
    ),
    "old-leaving": mcs("old-leaving", types=["Foo"], ports=[{"port": 0}]),
}


async def _store_old_objects(plane: ControlPlane) -> None:
    await _define_without_rules(plane, "crds")
    for name, manifest in OLD.items():
        finalizers = {"finalizers": ["example.com/old"]}
        created = await plane.api.create(manifest | {"metadata": manifest["metadata"] | finalizers})
        created["status"] = {"loadBalancer": {"ingress": [{"ip": "300.300.300.300", "hostname": "192.0.2.1"}]}}
        await send(plane, "PUT", created, name=name, subresource="status")


async def _define_without_rules(plane: ControlPlane, folder: str) -> None:
    definitions = [one for one in load(MANIFESTS / folder) if one["kind"] == "CustomResourceDefinition"]
    await apply_all(plane.api, map(without_rules, definitions))


async def _rules_in_force(plane: ControlPlane) -> None:
    """A new definition or policy counts a moment after it is stored."""

    async def refused() -> bool:
        try:
            await send(plane, "POST", mcs(types=["Foo"]), dry_run=True)
        except Refused:
            return True
        raise NotYet("a type that does not exist is let through")

    await wait_for(f"the rules to be in force in {plane.name}", refused)


async def _cluster_rules_in_force(plane: ControlPlane) -> None:
    """Those of another definition, which the server takes over by itself."""
    cluster: Object = {"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster", "metadata": {"name": "a.b"}}

    async def refused() -> bool:
        resource = "cluster.karmada.io/v1alpha1/clusters"
        try:
            await create_strictly(plane.api, resource, cluster | {"spec": {"syncMode": "Push"}}, dryRun="All")
        except ApiStatusError as error:
            if error.status == 422:
                return True
            raise
        raise NotYet("a name with a dot is let through")

    await wait_for(f"the rules of Clusters to be in force in {plane.name}", refused)


async def _in_discovery(shell: Shell) -> None:
    """Until kubectl finds all kinds, and has them in its cache."""
    names = {f"{one['spec']['names']['plural']}.{one['spec']['group']}" for one in _definitions()}

    async def found() -> bool:
        told = set((await shell("kubectl api-resources -o name", check=False)).stdout.split())
        if missing := names - told:
            raise NotYet(f"no {sorted(missing)}")
        return True

    await wait_for("all kinds in the server's discovery", found, interval=1.0)


def _definitions() -> list[Object]:
    return [
        one
        for folder in ("crds", "standalone")
        for one in load(MANIFESTS / folder)
        if one["kind"] == "CustomResourceDefinition"
    ]


async def _ids_in_force(plane: ControlPlane) -> None:
    """Of each kind: the server needs a kind's OpenAPI for that, and publishes one after the other."""
    bound = {"resource": {"apiVersion": "v1", "kind": "Service", "name": "a"}}
    for manifest in (
        mcs("until-ids-are-given"),
        {"apiVersion": "work.karmada.io/v1alpha1", "kind": "Work", "spec": {}},
        {"apiVersion": "work.karmada.io/v1alpha2", "kind": "ResourceBinding", "spec": bound},
    ):
        meta = {"name": "until-ids-are-given", "namespace": "default"}
        made = await plane.api.create(manifest | {"metadata": meta})
        made["metadata"]["annotations"] = {"example.com/touched": "yes"}
        resource = f"{made['apiVersion']}/{made['kind'].lower()}s"
        path = resource_path(resource, meta["name"], namespace=meta["namespace"])

        async def given(path: str = path, made: Object = made) -> bool:
            answer = await plane.api.raw("PUT", path, made, query={"dryRun": "All"})
            if not answer["metadata"].get("labels"):
                raise NotYet("no id")
            return True

        await wait_for(f"ids of {resource} to be given in {plane.name}", given)
        await plane.api.delete(resource, meta["name"], namespace=meta["namespace"])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def member(lone_bed: Bed, shell: Shell) -> ControlPlane:
    """The member with the manifests for members applied."""
    plane = lone_bed.members["member1"]
    await shell("kubectl apply --validate=strict -f manifests/member/", plane=plane)
    return plane
