"""Build one Go binary at a path, at most once, however many processes ask at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

TICK_SECONDS = 1.0
LOCK_POLL_SECONDS = 0.2

Tell = Callable[[Literal["waiting", "building", "built"], float], None]


class BuildFailed(Exception):
    """Go is missing, or the build failed; the text has the remedy."""


def go_version_wanted(module: Path) -> str:
    """The ``go`` line of the module's ``go.mod``, without its patch level: ``1.26``."""
    for line in (module / "go.mod").read_text().splitlines():
        if line.startswith("go "):
            return ".".join(line.split()[1].split(".")[:2])
    raise BuildFailed(f"{module / 'go.mod'} has no go line")


def build_once(
    target: Path,
    *,
    module: Path,
    package: str,
    version: str,
    variables: Sequence[str],
    tags: Sequence[str] = (),
    assets_variable: str,
    tell: Tell,
) -> None:
    """Build ``target`` if it does not exist, or wait for the process that builds it.

    Args:
        target: where the executable shall be; its directory is made.
        module: the directory of the ``go.mod`` that pins ``package``.
        package: the Go package to build.
        version: for messages only.
        variables: values for ``-ldflags -X``.
        tags: for ``-tags``.
        assets_variable: the environment variable that a person can set instead of building; for messages only.
        tell: called about once a second with what happens and for how many seconds.

    Raises:
        BuildFailed: see the text. Nothing is left at ``target`` then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with exclusively(target.with_name(f".{target.name}.lock"), lambda seconds: tell("waiting", seconds)):
        if target.exists():  # built by the one we waited for
            tell("built", 0.0)
            return
        go = shutil.which("go")
        if go is None:
            raise BuildFailed(
                f"{target.name} {version} must be built, but there is no `go` on PATH: install"
                f" Go {go_version_wanted(module)} or newer, or set {assets_variable} to a directory with it"
            )
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as scratch:
            made = Path(scratch) / target.name
            ldflags = " ".join(["-s", "-w", *(f"-X {variable}" for variable in variables)])
            command = [
                go,
                "build",
                "-trimpath",
                *(["-tags", ",".join(tags)] if tags else []),
                "-ldflags",
                ldflags,
                "-o",
                str(made),
                package,
            ]
            _run(command, module, Path(scratch) / "log", lambda seconds: tell("building", seconds))
            made.replace(target)  # in one step: nobody ever sees half a binary
        tell("built", time.monotonic() - began)


def _run(command: Sequence[str], cwd: Path, log: Path, tick: Callable[[float], None]) -> None:
    # CGO off: no C compiler needed, and the result runs on any libc. GOWORK off: a go.work further up cannot interfere.
    environ = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            while True:
                tick(time.monotonic() - began)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = process.wait(TICK_SECONDS)
                    break
        except BaseException:
            # Ctrl-C: `go` has compilers of its own, so the whole group goes.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise BuildFailed(f"`{' '.join(command)}` in {cwd} ended with {code}:\n{tail}")


@contextlib.contextmanager
def exclusively(path: Path, waiting: Callable[[float], None]) -> Iterator[None]:
    """Hold an exclusive lock on a file; call ``waiting`` about once a second until it is acquired.

    The file stays: removing a lock file lets two processes hold "the" lock on two different files of that name.
    """
    began = time.monotonic()
    told = -TICK_SECONDS
    with path.open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                seconds = time.monotonic() - began
                if seconds - told >= TICK_SECONDS:
                    told = seconds
                    waiting(seconds)
                time.sleep(LOCK_POLL_SECONDS)
        yield
