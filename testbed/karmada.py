"""Make a bed a fleet: apply the manifests to the control plane and register the members as Clusters.

Everything a person would do by hand with ``kubectl apply``, by the same files, with the rights those files give.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from testbed.api import Api, Object, wait_for
from testbed.errors import BedError, NotYet
from testbed.tasks import together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from testbed.access import ClusterAccess
    from testbed.bed import Bed
    from testbed.controlplane import ControlPlane

MANIFESTS = Path(__file__).resolve().parent.parent / "manifests"
SYSTEM_NAMESPACE = "karmada-system"
CLUSTER_NAMESPACE = "karmada-cluster"
SERVICE_ACCOUNT = "mcs-controller-manager"
CONTROLLER_USER = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{SERVICE_ACCOUNT}"
# Long enough for a bed that is left running; nobody renews it.
TOKEN_SECONDS = 90 * 24 * 3600
ESTABLISHED_SECONDS = 60.0

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where there is libyaml: ten times as fast

# What others need exists first; within a rank, the order of the files counts.
_RANKS = ("Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "Role")


async def install(bed: Bed, *, manifests: Path = MANIFESTS, standalone: bool = True) -> None:
    """Apply the manifests to the control plane and wait until its new kinds are served.

    Doing it again changes nothing.

    Args:
        bed: a bed that is up.
        manifests: the directory with ``crds``, ``controller`` and ``standalone``.
        standalone: whether to apply ``standalone`` too (the Cluster kind and the rights to use it): needed wherever no
            Karmada provides it.

    Raises:
        BedError: a directory is missing or holds nothing.
        ApiStatusError: the server refuses an object.
    """
    folders = ["crds", "controller", *(["standalone"] if standalone else [])]
    objects = [each for folder in folders for each in load(manifests / folder)]
    await apply_all(bed.host.api, objects)
    # The host's garbage collector must know the new kinds before the first owner reference to one.
    await bed.host.restart_controller_manager()


async def join(bed: Bed, member: str, *, manifests: Path = MANIFESTS, labels: dict[str, str] | None = None) -> Object:
    """Register a member: create the controller's rights there, its token in a Secret here, and the Cluster.

    Args:
        bed: a bed with the manifests installed.
        member: the member's name; the Cluster and its Secret are called the same.
        manifests: the directory with ``member``.
        labels: for the Cluster.

    Returns:
        The Cluster as the server has it. Nobody has set its status yet: that is the controller's task.
    """
    plane = bed.members[member]
    await apply_all(plane.api, load(manifests / "member"))
    token = await request_token(plane, SYSTEM_NAMESPACE, SERVICE_ACCOUNT)
    return await register(bed, member, plane.access.server, token, plane.access.ca_pem, labels=labels)


async def register(
    bed: Bed, member: str, server: str, token: str, ca_pem: bytes, *, labels: dict[str, str] | None = None
) -> Object:
    """Create the Cluster of a member, wherever it is, and the Secret with its token. Returns the Cluster."""
    host = bed.host.api
    await host.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CLUSTER_NAMESPACE}})
    secret: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": member, "namespace": CLUSTER_NAMESPACE},
        "data": {
            "token": base64.b64encode(token.encode()).decode(),
            "caBundle": base64.b64encode(ca_pem).decode(),
        },
    }
    await host.apply(secret)
    return await host.apply(
        {
            "apiVersion": "cluster.karmada.io/v1alpha1",
            "kind": "Cluster",
            "metadata": {"name": member, **({"labels": labels} if labels else {})},
            "spec": {
                "syncMode": "Push",
                "apiEndpoint": server,
                "secretRef": {"namespace": CLUSTER_NAMESPACE, "name": member},
                "insecureSkipTLSVerification": False,
            },
        }
    )


async def join_all(bed: Bed, *, manifests: Path = MANIFESTS) -> None:
    """:meth:`join` every member of the bed, at the same time."""
    await together(join(bed, member, manifests=manifests) for member in bed.members)


async def unjoin(bed: Bed, member: str, *, timeout: float = 120.0) -> None:
    """Delete a member's Cluster, wait until its finalizers are removed, then delete its Secret.

    Args:
        bed: the bed.
        member: the member's name.
        timeout: seconds to give the controller for its clean-up.

    Raises:
        WaitTimeout: a finalizer is still there.
    """
    host = bed.host.api
    await host.delete("cluster.karmada.io/v1alpha1/clusters", member, missing_ok=True)

    async def gone() -> bool | None:
        cluster = await host.find("cluster.karmada.io/v1alpha1/clusters", member)
        if cluster is None:
            return True
        raise NotYet(f"finalizers {cluster['metadata'].get('finalizers', [])}")

    await wait_for(f"Cluster {member} to be gone", gone, timeout)
    await host.delete("v1/secrets", member, namespace=CLUSTER_NAMESPACE, missing_ok=True)


async def controller_access(bed: Bed) -> ClusterAccess:
    """Access to the control plane as the controller's ServiceAccount, with the rights of the manifests only."""
    token = await request_token(bed.host, SYSTEM_NAMESPACE, SERVICE_ACCOUNT)
    return bed.host.token_access(token, bed.root / "controller.kubeconfig")


async def controller_kubeconfig(bed: Bed) -> Path:
    """The kubeconfig of :func:`controller_access`."""
    return (await controller_access(bed)).kubeconfig


async def request_token(plane: ControlPlane, namespace: str, service_account: str) -> str:
    """A token for a ServiceAccount by the TokenRequest API, valid for :data:`TOKEN_SECONDS`."""
    answer = await plane.api.raw(
        "POST",
        f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_SECONDS},
        },
    )
    token: str = answer["status"]["token"]
    return token


def load(directory: Path) -> Iterator[Object]:
    """Every object in the directory's YAML files, in the order of the files' names; Kustomize's own file is skipped.

    Raises:
        BedError: there is no such directory, or nothing in it.
    """
    files = [path for path in sorted(directory.glob("*.yaml")) if path.name != "kustomization.yaml"]
    if not files:
        raise BedError(f"no manifests in {directory.absolute()}: run in the repository's root or give their directory")
    for path in files:
        for document in yaml.load_all(path.read_text(), Loader=_Loader):
            if document:
                yield from document["items"] if document.get("kind") == "List" else [document]


async def apply_all(api: Api, objects: Iterable[Object]) -> None:
    """Server-side apply objects in an order that works, waiting for CRDs to be served before the rest is applied."""
    ranks = {kind: rank for rank, kind in enumerate(_RANKS)}
    ordered = sorted(objects, key=lambda each: ranks.get(each["kind"], len(_RANKS)))
    crds = [each for each in ordered if each["kind"] == "CustomResourceDefinition"]
    first = [each for each in ordered if each["kind"] == "Namespace"]
    for each in first:
        await api.apply(each)
    await together(_apply_crd(api, crd) for crd in crds)
    for each in ordered:
        if each["kind"] not in ("Namespace", "CustomResourceDefinition"):
            await api.apply(each)


async def _apply_crd(api: Api, crd: Object) -> None:
    await api.apply(crd)
    name, spec = crd["metadata"]["name"], crd["spec"]

    async def served() -> bool | None:
        current = await api.get("apiextensions.k8s.io/v1/customresourcedefinitions", name)
        conditions = {each["type"]: each for each in current.get("status", {}).get("conditions") or ()}
        if conditions.get("Established", {}).get("status") != "True":
            raise NotYet(f"conditions {list(conditions.values())}")
        # Established comes a moment before discovery and the paths themselves.
        for version in spec["versions"]:
            if version["served"]:
                await api.raw(
                    "GET", f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}", query={"limit": "1"}
                )
                known = await api.raw("GET", f"/apis/{spec['group']}/{version['name']}")
                if spec["names"]["plural"] not in {each["name"] for each in known["resources"] or ()}:
                    raise NotYet(f"not in discovery of {version['name']}")
        return True

    await wait_for(f"CRD {name} to be served", served, ESTABLISHED_SECONDS)
