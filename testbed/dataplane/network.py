"""Network namespaces, their links and routes, made with ``ip``.

::

    Pod eth0 ── p<uid> node eth0 ── m<n> hub m<m> ── eth0 node p<uid> ── eth0 Pod
                        (routes)      br0 (a bridge)       (routes)

Nothing is wired to the root namespace, so there is no way in or out: a Pod's default route ends at its node, and a
node knows the ranges of the other members' Pods and nothing else.

A Pod has a /32 and its node a route to it, so there is no bridge on a node and everything passes kube-proxy's rules.
Links are made inside their namespaces: beds that start at the same time cannot collide over names.

With dual stack everything has an IPv6 address, too. A Pod's IPv6 gateway is a link-local address of its node, which
would not answer for an address of another link, as it does in IPv4.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.dataplane import names
from testbed.errors import BedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NETNS = Path("/run/netns")
ETC_NETNS = Path("/etc/netns")
HUB_PORT = "m{index}"

# Forward for the Pods; no checks of the way back, as a Pod's way to another member's Pod is not always symmetric.
_ROUTER_SETTINGS = "\n".join(
    f"echo {value} > /proc/sys/net/ipv4/{name}"
    for name, value in (("ip_forward", 1), ("conf/all/rp_filter", 0), ("conf/default/rp_filter", 0))
)

_IPV6_ROUTER_SETTINGS = "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"
_IPV6_GATEWAY = "fe80::1"


class NetworkError(BedError):
    """The kernel or ``ip`` refused a command; the text has the command."""


async def run(argv: Sequence[str], stdin: str = "") -> str:
    """Run a short command; its stdout.

    Raises:
        NetworkError: it ended with another code than 0.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise NetworkError(f"cannot run {argv[0]}: {error}") from error
    try:
        output, complaint = await process.communicate(stdin.encode())
    finally:
        with contextlib.suppress(ProcessLookupError):
            if process.returncode is None:  # cancelled
                process.kill()
    if process.returncode != 0:
        raise NetworkError(f"`{' '.join(argv)}` ended with {process.returncode}: {complaint.decode().strip()}\n{stdin}")
    return output.decode()


async def ip(lines: Iterable[str], *, namespace: str = "") -> None:
    """Run a batch of ``ip`` commands in a network namespace or the root's, until the first failure."""
    await run(["ip", *(["-n", namespace] if namespace else []), "-batch", "-"], "\n".join(lines) + "\n")


async def make_hub(bed: str) -> None:
    """Create the switch between the nodes."""
    hub = names.hub_namespace(bed)
    await ip([f"netns add {hub}"])
    await ip(["link add name br0 type bridge", "link set br0 up"], namespace=hub)


async def make_node(plan: names.NodePlan, others: Iterable[names.NodePlan]) -> None:
    """Create a node on the hub, with routes to the Pods of the others."""
    hub, port = names.hub_namespace(plan.bed), HUB_PORT.format(index=plan.index)
    await ip([f"netns add {plan.namespace}"])
    settings = "\n".join([_ROUTER_SETTINGS, *([_IPV6_ROUTER_SETTINGS] if plan.dual_stack else [])])
    await run(["ip", "netns", "exec", plan.namespace, "sh", "-ec", settings])
    await ip([f"link add name {port} type veth peer name eth0 netns {plan.namespace}"], namespace=hub)
    await ip([f"link set {port} master br0", f"link set {port} up"], namespace=hub)
    await ip(
        [
            "link set lo up",
            *_assign(plan.families(f"{plan.address}/{names.NODES.prefixlen}")),
            "link set eth0 up",
            # A Pod that is gone, and the world outside: say so at once.
            *(f"route add unreachable {each}" for each in plan.families(plan.pod_cidr)),
            "route add unreachable default",
            *(["route add unreachable ::/0"] if plan.dual_stack else []),
            *(
                f"route add {pods} via {address}"
                for other in others
                if other.index != plan.index
                for pods, address in zip(plan.families(other.pod_cidr), plan.families(other.address), strict=True)
            ),
        ],
        namespace=plan.namespace,
    )


async def make_pod(plan: names.NodePlan, *, namespace: str, pod: str, uid: str, address: str) -> str:
    """Create a Pod's namespace with link and resolver; its name. Leftovers of a failed try are replaced."""
    network = plan.pod_namespace(namespace, pod, uid)
    addresses = plan.families(address)
    await remove([network])
    _write_files(
        ETC_NETNS / network,
        {
            "resolv.conf": names.resolv_conf(plan.dns, namespace),
            "hosts": names.hosts_file(pod, *addresses),
            # On some machines it names a resolver outside of the namespace.
            "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        },
    )
    link = names.pod_link(uid)
    await ip([f"netns add {network}"])
    await ip(
        [
            f"link add name {link} type veth peer name eth0 netns {network}",
            f"link set {link} up",
            *([f"addr add {_IPV6_GATEWAY}/64 dev {link} nodad"] if plan.dual_stack else []),
            *(
                f"route add {each} dev {link} src {node}"
                for each, node in zip(addresses, plan.families(plan.address), strict=True)
            ),
        ],
        namespace=plan.namespace,
    )
    await ip(
        [
            "link set lo up",
            *_assign(addresses),
            "link set eth0 up",
            f"route add {plan.address} dev eth0",
            f"route add default via {plan.address} dev eth0",
            *([f"route add default via {_IPV6_GATEWAY} dev eth0"] if plan.dual_stack else []),
        ],
        namespace=network,
    )
    return network


def _assign(addresses: Iterable[str]) -> list[str]:
    """The commands that give addresses to eth0. An IPv6 one is used at once: nobody else can have it."""
    return [f"addr add {each} dev eth0{' nodad' if ':' in each else ''}" for each in addresses]


async def remove_pod(plan: names.NodePlan, network: str, uid: str) -> None:
    """Remove a Pod's namespace. Its address stops answering at once, even if a process still has a socket in it."""
    with contextlib.suppress(NetworkError):  # half-made
        await ip([f"link del {names.pod_link(uid)}"], namespace=plan.namespace)
    await remove([network])


async def remove(networks: Sequence[str]) -> None:
    """Remove namespaces, and with each the links in it and its files under ``/etc/netns``."""
    present = [each for each in networks if (NETNS / each).exists()]
    if present:
        await ip(f"netns del {each}" for each in present)
    for each in networks:
        shutil.rmtree(ETC_NETNS / each, ignore_errors=True)


def _write_files(directory: Path, files: Mapping[str, str]) -> None:
    """What ``ip netns exec`` lays over the files of these names in ``/etc``; it can only do so where there is one."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if (Path("/etc") / name).exists():
            (directory / name).write_text(content)


def existing() -> list[str]:
    """The named network namespaces of this machine, oldest first."""
    try:
        found = [(each.stat().st_mtime_ns, each.name) for each in NETNS.iterdir()]
    except OSError:  # none was ever made; or one went just now
        return [each.name for each in NETNS.iterdir()] if NETNS.is_dir() else []
    return [name for _, name in sorted(found)]
