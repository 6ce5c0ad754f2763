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

Real components run: one etcd, and for each plane a kube-apiserver with TLS and RBAC and a kube-controller-manager,
which creates ReplicaSets, EndpointSlices and so on. The node is simulated: :mod:`testbed.kubelet` only reports Pods.
With ``Bed(dataplane=True)`` nodes and Pods are network namespaces, with the real kube-proxy and CoreDNS between them,
and ``kubectl exec`` and ``logs`` work.

Nothing outlives its owner. Children get SIGKILL from the kernel when the process that started them dies, in whatever
way; ``python -m testbed up`` therefore keeps a bed in a small supervisor process of its own, and ``down`` ends that.

Modules:

=================  ==================================================================================
``bed``            :class:`Bed`: everything up together, everything gone together
``controlplane``   one plane; stop, kill and restart its API server; create users
``commands``       the components' flags, each with its reason
``karmada``        install the manifests, register members, the controller's own kubeconfig
``controller``     :class:`ControllerProcess`: the product's binary
``api``            :class:`Api` and :func:`wait_for`: plain requests for tests
``audit``          the requests to an API server, with their users
``kubelet``        the interface of kubelets, and one that simulates Pods
``view``           live copies of objects, kept by watches
``walkthrough``    the official walkthrough as steps, for demo and tests
``dataplane``      Pods that answer: namespaces, kube-proxy, CoreDNS; run commands in them
``pytest_plugin``  fixtures for integration tests
``supervisor``     a named bed that stays up (``python -m testbed``)
=================  ==================================================================================

Not part of the product: the product does not import this package, and this package does not import the product.
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
