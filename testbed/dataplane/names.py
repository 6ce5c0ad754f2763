"""Names and addresses of the data plane; nothing here changes the machine.

Names of namespaces carry the bed's id, which follows from its directory: two beds never meet, and what a killed bed
left is found by name. Addresses may repeat from bed to bed, as all of them live inside namespaces of the bed.

::

    mcs-<id>.hub                                    the switch between the nodes
    mcs-<id>.node.<member>                          a node: kube-proxy, CoreDNS, routes to its Pods
    mcs-<id>.pod.<member>.<namespace>.<pod>.<uid>   a Pod

    10.79.0.0/24    nodes: the n-th member's has 10.79.0.n, its InternalIP and the gateway of its Pods
    10.80+n.0.0/16  Pods of the n-th member              (ControlPlane.pod_cidr)
    10.160+n.0.0/16 cluster IPs of the n-th member       (ControlPlane.service_cidr); the tenth is the cluster's DNS

With dual stack each of them has an IPv6 address or range beside it: 10.81.1.2 has fd00:10:81::102.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PREFIX = "mcs-"
NODES = ipaddress.ip_network("10.79.0.0/24")
CLUSTER_DOMAIN = "cluster.local"
DNS_OFFSET = 10
# A file name in /run/netns and in /etc/netns has at most 255 bytes; a Pod's name alone may have 253.
MAX_POD_NAME = 120

_OURS = re.compile(r"mcs-(?P<id>[0-9a-f]{8})\.")


def bed_id(root: Path) -> str:
    """Eight hex digits that belong to the bed in this directory."""
    return hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]


def bed_of(namespace: str) -> str | None:
    """The id of the bed that a network namespace belongs to; None if it is no bed's."""
    match = _OURS.match(namespace)
    return match["id"] if match else None


def hub_namespace(bed: str) -> str:
    """The network namespace of the switch between the nodes."""
    return f"{PREFIX}{bed}.hub"


def node_namespace(bed: str, member: str) -> str:
    """The network namespace of a member's only node."""
    return f"{PREFIX}{bed}.node.{member}"


def pod_namespace(bed: str, member: str, namespace: str, pod: str, uid: str) -> str:
    """The network namespace of a Pod; another Pod of the same name has another one."""
    return f"{_pods(bed, member, namespace)}{pod[:MAX_POD_NAME]}.{uid[:8]}"


def _pods(bed: str, member: str, namespace: str) -> str:
    return f"{PREFIX}{bed}.pod.{member}.{namespace}."


def pods_among(network_namespaces: Iterable[str], bed: str, member: str, namespace: str) -> dict[str, str]:
    """Network namespaces by the name of their Pod, for the Pods of one Kubernetes namespace."""
    start = _pods(bed, member, namespace)
    ours = [each for each in network_namespaces if each.startswith(start)]
    return {each.removeprefix(start).rpartition(".")[0]: each for each in ours}


def choose_pod(pods: Iterable[str], wanted: str) -> str | None:
    """The Pod of this name, or else the first of those whose names begin with it and a dash (``curl``)."""
    names = sorted(pods)
    return next(
        (each for each in names if each == wanted[:MAX_POD_NAME]),
        next((each for each in names if each.startswith(f"{wanted}-")), None),
    )


def pod_link(uid: str) -> str:
    """The node's end of a Pod's veth pair: the kernel allows 15 characters."""
    return f"p{uid.replace('-', '')[:12]}"


def ipv6_of(value: str) -> str:
    """The IPv6 address or range beside an IPv4 one: ``fd00:10:81::102`` beside ``10.81.1.2``."""
    address, is_range, length = value.partition("/")
    first, second, third, fourth = map(int, address.split("."))
    beside = ipaddress.ip_address(f"fd00:{first}:{second}::{third * 256 + fourth:x}")
    return f"{beside}/{int(length) + 96}" if is_range else str(beside)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """Everything about one node that is known before it exists.

    Attributes:
        member: name of the cluster.
        index: 1 for the first member; names the node's port on the hub.
        bed: the bed's id.
        pod_cidr: where its Pods' addresses come from.
        service_cidr: where its Services' cluster IPs come from.
        dual_stack: whether all addresses and ranges have IPv6 ones beside them.
    """

    member: str
    index: int
    bed: str
    pod_cidr: str
    service_cidr: str
    dual_stack: bool = False

    def families(self, value: str) -> list[str]:
        """An IPv4 address or range and, with dual stack, the IPv6 one beside it."""
        return [value, ipv6_of(value)] if self.dual_stack else [value]

    @property
    def name(self) -> str:
        """The Node object's name."""
        return f"{self.member}-node"

    @property
    def namespace(self) -> str:
        """Its network namespace."""
        return node_namespace(self.bed, self.member)

    @property
    def address(self) -> str:
        """Its address among the nodes."""
        return str(NODES[self.index])

    @property
    def dns(self) -> str:
        """The cluster IP of ``kube-dns``."""
        return str(ipaddress.ip_network(self.service_cidr)[DNS_OFFSET])

    def pod_namespace(self, namespace: str, pod: str, uid: str) -> str:
        """The network namespace of a Pod of this node."""
        return pod_namespace(self.bed, self.member, namespace, pod, uid)


def resolv_conf(dns: str, namespace: str) -> str:
    """A Pod's ``/etc/resolv.conf``, as a kubelet writes it for ``dnsPolicy: ClusterFirst``."""
    search = f"{namespace}.svc.{CLUSTER_DOMAIN} svc.{CLUSTER_DOMAIN} {CLUSTER_DOMAIN}"
    return f"search {search}\nnameserver {dns}\noptions ndots:5\n"


def hosts_file(pod: str, *addresses: str) -> str:
    """A Pod's ``/etc/hosts``, without entries of the machine."""
    return "127.0.0.1\tlocalhost\n" + "".join(f"{address}\t{pod}\n" for address in addresses)
