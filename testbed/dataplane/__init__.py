"""A data plane for a bed: nodes and Pods in network namespaces, with the real kube-proxy and the real CoreDNS.

::

    async with Bed(dataplane=True) as bed:
        ...                                              # Deployments, Services: their Pods answer
        answer = await bed.dataplane.exec("member2", "curl", ["curl", "http://nginx.default"])
        assert answer.code == 0, answer.stderr

What is real: the kernel's routing and address translation, kube-proxy (nftables), CoreDNS, the controllers that make
Pods and EndpointSlices. What is played: the containers (:mod:`testbed.dataplane.images`) and the scheduler.

No traffic leaves the namespaces that the bed made: nothing is wired to the root namespace, and sockets of a node's
agent are the only things on both sides (:class:`testbed.dataplane.plane.Node` says why). IPv4 only.

=================  ==================================================================================
``names``          names and addresses, all in one picture
``capabilities``   what this machine lacks
``network``        namespaces, links, routes
``leftovers``      what a killed bed left, found by name
``agent``          the process that answers for the Pods of a node (``node_agent``: how the bed talks to it)
``images``         what stands for a container image
``status``         Pod statuses and readiness
``kubelet``        runs Pods
``cluster``        how kube-proxy and CoreDNS are set up
``plane``          :class:`DataPlane`: all of it together
``execute``        run a command in a Pod
=================  ==================================================================================
"""

from testbed.dataplane.capabilities import missing_capabilities
from testbed.dataplane.execute import Executed, pod_exec, pod_shell
from testbed.dataplane.plane import DataPlane

__all__ = ["DataPlane", "Executed", "missing_capabilities", "pod_exec", "pod_shell"]
