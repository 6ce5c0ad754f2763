"""Real control planes on one machine, for the demo, the tests and the benchmarks.

::

    async with Bed(members=("member1", "member2"), audit=True) as bed:
        await karmada.install(bed)                        # the project's manifests, applied to the control plane
        await karmada.join_all(bed)                       # members become Clusters
        kubeconfig = await karmada.controller_kubeconfig(bed)
        async with ControllerProcess(kubeconfig, root=bed.root):
            await bed.host.api.apply({...})
            await wait_for("the slice in member2", probe)
            await bed.members["member1"].kill_apiserver()  # an unreachable member

What runs is real: one etcd, per plane a kube-apiserver with TLS and RBAC, and a kube-controller-manager that makes
ReplicaSets, EndpointSlices and so on. What is not real is the node: :mod:`testbed.kubelet` only says that Pods run.
With ``Bed(dataplane=True)`` nodes and Pods are network namespaces, with the real kube-proxy and CoreDNS between them.

Nothing outlives its owner. Children get SIGKILL from the kernel when the process that started them dies, in whatever
way; ``python -m testbed up`` therefore keeps a bed in a small supervisor process of its own, and ``down`` ends that.

Where to look:

=================  ==================================================================================
``bed``            :class:`Bed`: everything up together, everything gone together
``controlplane``   one plane; stop, kill and restart its API server; mint users
``commands``       the components' flags, each with its reason
``karmada``        install the manifests, join and unjoin members, the controller's own kubeconfig
``controller``     :class:`ControllerProcess`: the product's binary
``api``            :class:`Api` and :func:`wait_for`: plain requests for tests
``audit``          who asked an API server for what
``kubelet``        what runs Pods, behind a protocol
``dataplane``      Pods that answer: namespaces, kube-proxy, CoreDNS; run commands in them
``pytest_plugin``  fixtures for integration tests
``supervisor``     a named bed that stays up (``python -m testbed``)
=================  ==================================================================================

Not part of the product: nothing that is shipped imports this package, and it imports nothing of the product.
"""

from testbed.access import ClusterAccess
from testbed.api import Api, wait_for
from testbed.audit import AuditEvent, AuditLog, AuditMark
from testbed.bed import Bed
from testbed.controller import ControllerProcess
from testbed.controlplane import ControlPlane
from testbed.errors import ApiStatusError, BedError, NotYet, ProcessFailed, StateError, WaitTimeout

__all__ = [
    "Api",
    "ApiStatusError",
    "AuditEvent",
    "AuditLog",
    "AuditMark",
    "Bed",
    "BedError",
    "ClusterAccess",
    "ControlPlane",
    "ControllerProcess",
    "NotYet",
    "ProcessFailed",
    "StateError",
    "WaitTimeout",
    "wait_for",
]
