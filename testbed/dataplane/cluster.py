"""Configuration and command lines of a node's kube-proxy and CoreDNS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from testbed.dataplane.names import CLUSTER_DOMAIN

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.api import Object
    from testbed.dataplane.names import NodePlan

PROXY_USER = "system:kube-proxy"  # bound to system:node-proxier by the API server itself
PROXY_HEALTH_PORT = 10256
DNS_USER = "system:coredns"
DNS_READY_PORT = 8181
DNS_NAMESPACE = "kube-system"
DNS_SERVICE = "kube-dns"


def proxy_config(plan: NodePlan, kubeconfig: Path) -> str:
    """The configuration file of kube-proxy. Intervals are the defaults, as in a real cluster."""
    return yaml.safe_dump(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": plan.name,
            "clusterCIDR": ",".join(plan.families(plan.pod_cidr)),
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "healthzBindAddress": f"127.0.0.1:{PROXY_HEALTH_PORT}",
            "nodePortAddresses": ["127.0.0.0/8"],
            # These settings belong to the whole machine: a node in a namespace can and shall not change them.
            "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        },
        sort_keys=False,
    )


def proxy_command(binary: Path, config: Path) -> list[str]:
    """The command line of kube-proxy."""
    return [str(binary), f"--config={config}", "--v=2"]


def corefile(plan: NodePlan, kubeconfig: Path) -> str:
    """The CoreDNS configuration of kubeadm without forwarding: other names do not exist.

    Nor is anything cached: kubeadm's cache leaves the names of the cluster out, too.
    """
    return f"""\
.:53 {{
    bind {plan.address}
    errors
    ready 127.0.0.1:{DNS_READY_PORT}
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig} {plan.member}
        pods insecure
        ttl 30
    }}
}}
"""


def dns_command(binary: Path, config: Path) -> list[str]:
    """The command line of CoreDNS."""
    return [str(binary), "-conf", str(config)]


def dns_manifests(plan: NodePlan) -> list[Object]:
    """The RBAC objects and the Service of CoreDNS."""
    namespaced = {"name": DNS_SERVICE, "namespace": DNS_NAMESPACE}
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    rights = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": DNS_USER}, "rules": rights},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": DNS_USER},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": DNS_USER},
            "subjects": [{"apiGroup": group, "kind": "User", "name": DNS_USER}],
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": namespaced,
            "spec": {"clusterIP": plan.dns, "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**namespaced, "labels": {"kubernetes.io/service-name": DNS_SERVICE}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [plan.address], "conditions": {"ready": True}}],
            "ports": ports,
        },
    ]
