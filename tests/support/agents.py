"""Agents of Pull clusters, installed as docs/agent.md says: rights on both sides, two kubeconfigs, the process."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from testbed import Bed, ControllerProcess, karmada
from testbed.karmada import MANIFESTS, apply_all, load, request_token
from tests.support.fleet import NAMESPACES, eventually

AGENT = "mcs-controller-agent"
RIGHTS = MANIFESTS / "agent" / "control-plane"


def agents_user(cluster: str) -> str:
    """What an agent is on the control plane."""
    return f"system:serviceaccount:karmada-es-{cluster}:{AGENT}"


def for_cluster(cluster: str, files: Iterable[Path]) -> list[dict[str, Any]]:
    """The objects in manifests of the agent, made out to a cluster."""
    text = "\n---\n".join(path.read_text() for path in sorted(files))
    return [each for each in yaml.safe_load_all(text.replace("CLUSTER", cluster)) if each]


async def control_plane_kubeconfig(bed: Bed, cluster: str, *, standalone: bool = True) -> Path:
    """Give the agent its rights on the control plane; a kubeconfig that has them and no others."""
    host = bed.host

    async def has_namespace() -> bool:
        return await host.api.find(NAMESPACES, f"karmada-es-{cluster}") is not None

    await eventually(f"the execution namespace of {cluster}", has_namespace, True)
    files = RIGHTS.glob("*.yaml") if standalone else [RIGHTS / "rbac.yaml"]
    await apply_all(host.api, for_cluster(cluster, files))
    token = await request_token(host, f"karmada-es-{cluster}", AGENT)
    return host.token_access(token, bed.root / f"agent-{cluster}-karmada.kubeconfig").kubeconfig


async def member_kubeconfig(bed: Bed, cluster: str, *, manifests: Path = MANIFESTS) -> Path:
    """Give the agent its rights in its member; a kubeconfig that has them and no others."""
    member = bed.members[cluster]
    await apply_all(member.api, load(manifests / "member"))
    token = await request_token(member, karmada.SYSTEM_NAMESPACE, karmada.SERVICE_ACCOUNT)
    return member.token_access(token, bed.root / f"agent-{cluster}.kubeconfig").kubeconfig


async def install_agent(
    bed: Bed, cluster: str, *flags: str, name: str = "", program: Sequence[str] = ()
) -> ControllerProcess:
    """An agent of a stand-alone control plane, not started yet. `program`: if it is not that of the checkout."""
    control_plane = await control_plane_kubeconfig(bed, cluster)
    flags = (f"--cluster-name={cluster}", f"--karmada-kubeconfig={control_plane}", *flags)
    own = await member_kubeconfig(bed, cluster)
    name = name or f"agent-{cluster}"
    return ControllerProcess(own, root=bed.root, name=name, extra_args=flags, program=program)
