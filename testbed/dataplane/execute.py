"""Run a command inside a Pod, as ``kubectl exec`` would.

It runs with the Pod's network, resolver, hosts file and host name, and with the machine's own programs and files. Its
environment is a container's, not the caller's: a proxy that is set there would answer in the Pod's place.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.dataplane import names, network
from testbed.errors import BedError
from testbed.identity import BED_VARIABLE
from testbed.processes import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EXEC_SECONDS = 60.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """The result of a command in a Pod.

    Attributes:
        code: its exit code; negative: the signal that ended it.
        stdout: what it wrote.
        stderr: what it complained about.
    """

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodShell:
    """The way to run commands in one Pod.

    Attributes:
        pod: its full name.
        network: its network namespace.
        root: the bed's directory.
    """

    pod: str
    network: str
    root: Path

    def argv(self, command: Sequence[str]) -> list[str]:
        """The command line that runs ``command`` there. Each program replaces itself with the next one."""
        named = ["unshare", "--uts", "--", "sh", "-c", 'hostname "$0" && exec "$@"', self.pod]
        return ["ip", "netns", "exec", self.network, *named, *command]

    def environ(self) -> dict[str, str]:
        """The whole environment of a command; the mark lets leftovers be found."""
        return {"PATH": PATH, "HOME": "/", "HOSTNAME": self.pod, BED_VARIABLE: str(self.root)}


def pod_shell(root: Path, member: str, pod: str, *, namespace: str = "default") -> PodShell:
    """Find a running Pod of the bed in ``root``, by its name or by the name of the Deployment it belongs to.

    Raises:
        BedError: there is none; the text names those that there are.
    """
    root = root.resolve()
    there = names.pods_among(network.existing(), names.bed_id(root), member, namespace)
    chosen = names.choose_pod(there, pod)
    if chosen is None:
        known = f"there are {', '.join(sorted(there))}" if there else "no Pod runs there"
        raise BedError(f"no Pod {pod!r} runs in namespace {namespace!r} of {member}: {known}")
    return PodShell(pod=chosen, network=there[chosen], root=root)


async def pod_exec(
    root: Path,
    member: str,
    pod: str,
    command: Sequence[str],
    *,
    namespace: str = "default",
    timeout: float = EXEC_SECONDS,
) -> Executed:
    """Run a command in a Pod and wait for it.

    Args:
        root: the bed's directory.
        member: the Pod's cluster.
        pod: its name, or the beginning of its name up to a dash (``curl``).
        command: what to run.
        namespace: of the Pod.
        timeout: seconds to give it; then it is killed.

    Raises:
        BedError: there is no such Pod, or the time is up.
    """
    shell = pod_shell(root, member, pod, namespace=namespace)
    process = await asyncio.create_subprocess_exec(
        *shell.argv(command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=shell.environ(),
        cwd="/",
        preexec_fn=die_with_parent(),
    )
    try:
        async with asyncio.timeout(timeout):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        raise BedError(f"`{' '.join(command)}` in {shell.pod} of {member} took longer than {timeout:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    assert process.returncode is not None
    return Executed(
        code=process.returncode, stdout=stdout.decode(errors="replace"), stderr=stderr.decode(errors="replace")
    )
