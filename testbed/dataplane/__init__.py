"""A data plane for a bed: nodes and Pods in network namespaces, with the real kube-proxy and the real CoreDNS.

::

    async with Bed(dataplane=True) as bed:
        ...                                              # Deployments, Services: their Pods answer
        answer = await bed.dataplane.exec("member2", "curl", ["curl", "http://nginx.default"])
        assert answer.code == 0, answer.stderr

Real: the kernel's routing and address translation, kube-proxy (nftables), CoreDNS, the controllers of Pods and
EndpointSlices. Simulated: the containers (:mod:`testbed.dataplane.images`) and the scheduler.

No traffic leaves the namespaces of the bed: there is no link to the root namespace, and only the sockets of a node's
agent are on both sides (:class:`testbed.dataplane.plane.Node` says why). IPv4 and, with
``Bed(dual_stack=True)``, IPv6.

=================  ==================================================================================
``names``          names and addresses, all in one picture
``capabilities``   the missing requirements of this machine
``network``        namespaces, links, routes
``leftovers``      the leftovers of killed beds, found by name
``agent``          the process that answers for the Pods of a node (``node_agent``: its client)
``images``         simulated container images
``status``         Pod statuses and readiness
``kubelet``        runs Pods
``cluster``        configuration of kube-proxy and CoreDNS
``plane``          :class:`DataPlane`: all of it together
``execute``        run a command in a Pod
``streaming``      ``kubectl exec``, ``logs`` and ``port-forward``
=================  ==================================================================================
"""

from testbed.dataplane.capabilities import install_programs, missing_capabilities
from testbed.dataplane.execute import Executed, pod_exec, pod_shell
from testbed.dataplane.plane import DataPlane

__all__ = ["DataPlane", "Executed", "install_programs", "missing_capabilities", "pod_exec", "pod_shell"]
