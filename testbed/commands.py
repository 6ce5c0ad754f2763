"""The command lines of a plane's processes, with the reason for each flag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from testbed.etcd import EtcdClient

# Every request, once, when it is answered: tests count writes and reads by user. Bodies would only cost time.
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted, Panic]
rules:
- level: None
  nonResourceURLs: ["/readyz*", "/livez*", "/healthz*"]
- level: Metadata
"""

# A member runs workloads; the control plane only keeps objects, so only what tidies up after them.
HOST_CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
)
MEMBER_CONTROLLERS = (
    *HOST_CONTROLLERS,
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
)

KUBELET_CLIENT = "kube-apiserver-kubelet-client"
"""The API server's name to kubelets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneFiles:
    """Where a plane's files are."""

    directory: Path

    @property
    def ca(self) -> Path:
        """The CA that signs this plane's server and its clients."""
        return self.directory / "ca.crt"

    @property
    def server_certificate(self) -> Path:
        """The API server's certificate."""
        return self.directory / "server.crt"

    @property
    def server_key(self) -> Path:
        """The API server's key."""
        return self.directory / "server.key"

    @property
    def kubelet_client_certificate(self) -> Path:
        """The API server's certificate as a client of kubelets."""
        return self.directory / "kubelet-client.crt"

    @property
    def kubelet_client_key(self) -> Path:
        """The key of that certificate."""
        return self.directory / "kubelet-client.key"

    @property
    def token_key(self) -> Path:
        """Signs service-account tokens."""
        return self.directory / "tokens.key"

    @property
    def token_public_key(self) -> Path:
        """Verifies service-account tokens."""
        return self.directory / "tokens.pub"

    @property
    def audit_policy(self) -> Path:
        """The audit policy."""
        return self.directory / "audit-policy.yaml"

    @property
    def audit_log(self) -> Path:
        """One JSON line per request."""
        return self.directory / "audit.log"


def apiserver_command(
    binary: Path,
    *,
    etcd: EtcdClient,
    prefix: str,
    port: int,
    service_cidr: str,
    files: PlaneFiles,
    audit: bool,
    further: Sequence[str],
) -> list[str]:
    """The kube-apiserver of one plane."""
    auditing = [
        f"--audit-policy-file={files.audit_policy}",
        f"--audit-log-path={files.audit_log}",
        "--audit-log-mode=blocking",  # an answered request is in the log: no test has to wait for it
        "--audit-log-maxsize=4096",  # megabytes; in effect never rotated, so that a position in it stays valid
    ]
    return [
        str(binary),
        f"--etcd-servers={etcd.url}",
        f"--etcd-cafile={etcd.ca}",
        f"--etcd-certfile={etcd.certificate}",
        f"--etcd-keyfile={etcd.key}",
        f"--etcd-prefix=/{prefix}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",  # it refuses to publish a loopback address, once every 10 s, in the log
        f"--secure-port={port}",
        "--permit-port-sharing=true",  # the bed keeps the port reserved, see testbed.ports
        f"--tls-cert-file={files.server_certificate}",
        f"--tls-private-key-file={files.server_key}",
        f"--client-ca-file={files.ca}",
        "--anonymous-auth=false",
        f"--kubelet-certificate-authority={files.ca}",
        f"--kubelet-client-certificate={files.kubelet_client_certificate}",
        f"--kubelet-client-key={files.kubelet_client_key}",
        "--kubelet-preferred-address-types=InternalDNS",  # see testbed.kubelet.register_node
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={files.token_public_key}",
        f"--service-account-signing-key-file={files.token_key}",
        # Mounts tokens into Pods and insists on a "default" account for each, which nothing here runs with.
        "--disable-admission-plugins=ServiceAccount",
        f"--service-cluster-ip-range={service_cidr}",
        "--allow-privileged=true",
        "--profiling=false",
        "--shutdown-delay-duration=0s",
        # Without it a polite stop waits for the clients to end their watches, up to a minute.
        "--shutdown-watch-termination-grace-period=1s",
        *(auditing if audit else []),
        *further,
    ]


def controller_manager_command(
    binary: Path, *, kubeconfig: Path, controllers: Sequence[str], files: PlaneFiles
) -> list[str]:
    """The kube-controller-manager of one plane."""
    return [
        str(binary),
        f"--kubeconfig={kubeconfig}",
        f"--controllers={','.join(controllers)}",
        "--leader-elect=false",
        "--secure-port=0",  # nobody scrapes it, and a port less can be taken
        "--use-service-account-credentials=true",  # as real clusters run it: each controller with its own RBAC
        f"--root-ca-file={files.ca}",
        # The defaults (20, 30) are for a manager shared by thousands of nodes; here they would only slow a test down.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
    ]
