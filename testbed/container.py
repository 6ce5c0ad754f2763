"""Run a command of an unpacked image as a container runtime would: ``container.py SPEC COMMAND...``.

Namespaces of its own (mount, PID, IPC, UTS), the image as a read-only root, no capabilities, no new privileges, a
filter of system calls, a memory limit. Two of these are left out where a machine has not got them, the filter
(libseccomp) and the limit (a cgroup that may be made); the rest is an error. Needs root. Run as a file with
``python -I -S``: only the standard library.

SPEC is a file of JSON:

=============  =========================================================================================================
``root``       the folder of the image; what is mounted on is made there, as runtimes do
``user``       the UID and GID of the command
``groups``     its supplementary groups
``env``        its whole environment
``binds``      paths inside, and what is there: a file or a folder, read-only
``tmpfs``      paths of empty writable folders inside, and their sizes in bytes; all may be 0
``memory``     the limit in bytes; 0: none
``seccomp``    whether to filter system calls
``network``    the file of a network namespace; empty: the caller's
=============  =========================================================================================================

The command is process 1 of its namespace. SIGTERM and SIGINT are passed on; the exit code is the command's, or 128 and
the number of the signal that ended it. It is killed if this process is.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import platform
import signal
import sys
from pathlib import Path
from typing import Any

_NEWNS, _NEWUTS, _NEWIPC, _NEWPID, _NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_PDEATHSIG, _CAPBSET_DROP, _NO_NEW_PRIVS = 1, 24, 38
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_DETACH = 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM

DEVICES = ("null", "zero", "full", "random", "urandom")
# What the default profile of containerd refuses to processes without capabilities.
REFUSED = (
    *("acct", "add_key", "bpf", "clock_settime", "create_module", "delete_module", "fanotify_init", "finit_module"),
    *("fsconfig", "fsmount", "fsopen", "init_module", "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load"),
    *("keyctl", "lookup_dcookie", "mount", "mount_setattr", "move_mount", "move_pages", "name_to_handle_at"),
    *("open_by_handle_at", "open_tree", "perf_event_open", "pivot_root", "process_madvise", "quotactl", "reboot"),
    *("request_key", "set_mempolicy", "setdomainname", "sethostname", "setns", "settimeofday", "swapoff", "swapon"),
    *("syslog", "umount2", "unshare", "userfaultfd", "vhangup", "io_uring_setup", "io_uring_enter"),
)

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> None:
    """Call a function of libc that returns 0.

    Raises:
        OSError: it returned something else.
    """
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}{arguments}: {os.strerror(code)}")


def mount(source: str, target: Path, kind: str | None, flags: int, options: str = "") -> None:
    """Mount something."""
    kind_bytes = None if kind is None else kind.encode()
    call("mount", source.encode(), str(target).encode(), kind_bytes, ctypes.c_ulong(flags), options.encode())


def bind(source: Path, target: Path) -> None:
    """Show a file or a folder elsewhere, read-only."""
    mount(str(source), target, None, _BIND | _REC)
    mount("none", target, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def prepare(root: Path, spec: dict[str, Any]) -> None:
    """Make the places that are mounted on: the root is read-only later."""
    for each in ("proc", "dev", *(path.strip("/") for path in spec["tmpfs"])):
        (root / each).mkdir(parents=True, exist_ok=True)
    for path, source in spec["binds"].items():
        place = root / path.strip("/")
        if Path(source).is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()


def enter(root: Path, spec: dict[str, Any]) -> None:
    """Make the image the root of this process, which has a mount namespace of its own."""
    mount("none", Path("/"), None, _REC | _PRIVATE)
    mount(str(root), root, None, _BIND)
    for path, size in spec["tmpfs"].items():
        options = f"mode=1777,size={size or '16m'}"
        mount("tmpfs", root / path.strip("/"), "tmpfs", _NOSUID | _NODEV | _NOEXEC, options)
    for path, source in spec["binds"].items():
        bind(Path(source), root / path.strip("/"))
    mount("proc", root / "proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    mount("tmpfs", root / "dev", "tmpfs", _NOSUID | _NOEXEC, "mode=755,size=64k")
    for each in DEVICES:
        (root / "dev" / each).touch()
        mount(f"/dev/{each}", root / "dev" / each, None, _BIND)
    mount("none", root / "dev", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NOEXEC)
    mount("none", root, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    os.chdir(root)
    call("syscall", _PIVOT_ROOT[platform.machine()], b".", b".")
    call("umount2", b".", _DETACH)
    os.chdir("/")


def libseccomp() -> ctypes.CDLL | None:
    """The library, if this machine has it."""
    try:
        return ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None


def filter_calls(library: ctypes.CDLL) -> None:
    """Refuse the system calls of :data:`REFUSED` from now on."""
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_ALLOW))
    for name in REFUSED:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0 and library.seccomp_rule_add(context, ctypes.c_uint32(_REFUSE), number, 0) != 0:
            raise OSError(f"no filter for {name}")
    if library.seccomp_load(context) != 0:
        raise OSError("the filter of system calls cannot be loaded")


def limited(memory: int) -> Path | None:
    """A new cgroup with a memory limit; None where none can be made."""
    name = f"mcs-testbed-{os.getpid()}"
    for parent, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(parent, name)
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(memory))
        except OSError:
            group.rmdir()
            continue
        return group
    return None


def run(spec: dict[str, Any], command: list[str]) -> None:
    """Become the command, in the namespaces that were made."""
    library = libseccomp() if spec["seccomp"] else None  # it is not to be seen inside
    enter(Path(spec["root"]).resolve(), spec)
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(last + 1):
        call("prctl", _CAPBSET_DROP, capability, 0, 0, 0)
    uid, gid = spec["user"]
    os.setgroups(spec["groups"])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    call("prctl", _PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # forgotten when a process becomes another user's
    call("prctl", _NO_NEW_PRIVS, 1, 0, 0, 0)
    if library is not None:
        filter_calls(library)
    os.execvpe(command[0], command, spec["env"])


def main(path: str, command: list[str]) -> int:
    """Run the command and wait for it."""
    spec = json.loads(Path(path).read_text())
    group = limited(spec["memory"]) if spec["memory"] else None
    if group is not None:
        spec["binds"]["/sys/fs/cgroup" + ("/memory" if group.parent.name == "memory" else "")] = str(group)
    prepare(Path(spec["root"]), spec)
    if spec["network"]:
        with open(spec["network"]) as network:
            call("setns", network.fileno(), _NEWNET)
    call("unshare", _NEWNS | _NEWUTS | _NEWIPC | _NEWPID)
    wait, go = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(go)
            os.read(wait, 1)  # until we are in the cgroup
            run(spec, command)
        except BaseException as error:
            print(f"cannot run {command[0]} in {spec['root']}: {error}", file=sys.stderr, flush=True)
        os._exit(127)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, _: os.kill(child, number))
    if group is not None:
        (group / "cgroup.procs").write_text(str(child))
    os.close(wait)
    os.close(go)
    _, status = os.waitpid(child, 0)
    if group is not None:
        with contextlib.suppress(OSError):  # some machines remove what is empty by themselves
            group.rmdir()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
