"""Check by trying whether this machine allows a data plane, and install the programs that one needs."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# name of the program -> the Debian package that has it
PROGRAMS = {"ip": "iproute2", "nft": "nftables", "unshare": "util-linux", "curl": "curl"}
TRIAL = "mcs-trial-{pid}-{turn}"
TRIAL_SECONDS = 20.0
INSTALL_SECONDS = 300.0
_turns = itertools.count(1)  # two beds of one process may try at the same time

# What is tried inside a namespace, and what a person is told if it does not work.
_TRIALS = (
    ("ip link add name trial0 type veth peer name trial1", "the kernel makes no veth pairs: load its module `veth`"),
    ("ip link add name trialbr type bridge", "the kernel makes no bridges: load its module `bridge`"),
    ("nft add table ip trial", "the kernel has no nf_tables: load its module `nf_tables`"),
    (
        "nft add chain ip trial nat '{ type nat hook prerouting priority -100; }'",
        "nf_tables translates no addresses: load the kernel module `nft_chain_nat`",
    ),
    (
        "nft add rule ip trial nat ct state new counter",
        "nf_tables sees no connections: load the kernel modules `nf_conntrack` and `nft_ct`",
    ),
    (
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
        "a network namespace may not forward: /proc/sys is read-only (in a container, run it with --privileged)",
    ),
)

_IPV6_TRIALS = (
    (
        "ip link set lo up && ip addr add fd00::1/128 dev lo nodad",
        "the kernel has no IPv6: boot it without ipv6.disable",
    ),
    (
        "nft add table ip6 trial && nft add chain ip6 trial nat '{ type nat hook prerouting priority -100; }'",
        "nf_tables translates no IPv6 addresses: load the kernel module `nft_chain_nat`",
    ),
    (
        "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
        "a network namespace may not forward IPv6: /proc/sys is read-only (in a container, run it with --privileged)",
    ),
)


def missing_capabilities(
    *,
    dual_stack: bool = False,
    which: Callable[[str], str | None] = shutil.which,
    uid: Callable[[], int] = os.geteuid,
) -> list[str]:
    """The missing requirements of a data plane, each with its remedy; empty if there are none.

    Takes about a tenth of a second: a network namespace is made, and removed again.

    Args:
        dual_stack: whether IPv6 is required, too.
        which: finds programs.
        uid: tells who we are.
    """
    if sys.platform != "linux":
        return ["a Linux kernel: its network namespaces are what the nodes are made of"]
    absent = [
        f"the program `{program}`: `apt-get install {package}`"
        for program, package in PROGRAMS.items()
        if which(program) is None
    ]
    if uid() != 0:
        absent.append("root (to make network namespaces): run it as root, or with sudo")
    trials = (*_TRIALS, *(_IPV6_TRIALS if dual_stack else ()))
    return absent or _tried(TRIAL.format(pid=os.getpid(), turn=next(_turns)), trials)


def _tried(name: str, trials: Iterable[tuple[str, str]]) -> list[str]:
    made = _run("ip", "netns", "add", name)
    if made:
        return [f"network namespaces: {made} (in a container, run it with --privileged)"]
    try:
        for command, advice in trials:
            if complaint := _run("ip", "netns", "exec", name, "sh", "-c", command):
                return [f"{advice} ({complaint})"]
    finally:
        _run("ip", "netns", "del", name)
    return []


def install_programs(
    say: Callable[[str], None],
    *,
    which: Callable[[str], str | None] = shutil.which,
    uid: Callable[[], int] = os.geteuid,
    run: Callable[..., str] | None = None,
) -> None:
    """Install the Debian packages of missing programs, as root where there is apt-get; else do nothing.

    Args:
        say: is told what is installed, and what failed; nothing is raised then.
        which: finds programs.
        uid: tells who we are.
        run: runs a command; the result is empty, or the last line of the output if it failed.
    """
    packages = [package for program, package in PROGRAMS.items() if which(program) is None]
    if not packages or uid() != 0 or which("apt-get") is None:
        return
    install = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages)
    say(f"installing what the data plane needs: {' '.join(install)}")
    for command in (("apt-get", "update", "--quiet"), install):
        if complaint := (run or partial(_run, timeout=INSTALL_SECONDS))(*command):
            say(f"{' '.join(command[:2])} failed: {complaint}")
            return


def _run(*argv: str, timeout: float = TRIAL_SECONDS) -> str:
    """Empty if the command succeeded, else the last line of its output."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=timeout, env=environment)
        if done.returncode == 0:
            return ""
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return f"`{argv[0]}` does not run"
