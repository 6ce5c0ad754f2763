"""The pinned components, their versions, and the paths of their binaries.

The order is always the same: a binary in ``$KUBEBUILDER_ASSETS`` (the envtest convention) wins, then the one in the
cache folder (``mcs-controller/bin/<component>/<version>/<os>-<arch>/`` under ``$XDG_CACHE_HOME`` or ``~/.cache``), and
only then is it built. What is there is never built again; remove the folder to force it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tools.build import BuildFailed, build_once

MODULES = Path(__file__).resolve().parent / "modules"
KUBERNETES_VERSION = "v1.37.2"
OLDER_KUBERNETES_VERSION = "v1.32.13"
ETCD_VERSION = "v3.6.16"
COREDNS_VERSION = "v1.14.7"
PROMETHEUS_VERSION = "v0.316.0"
"""As a Go module; it calls itself 3.16.0."""
HELM_VERSION = "v4.3.1"
ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"

Source = Literal["assets", "cache", "built"]


class ComponentError(Exception):
    """A component is not available; the text has the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One binary and its build.

    Attributes:
        name: the file name of the binary, and the name people ask for.
        module: the directory that holds the ``go.mod`` pinning it.
        package: the Go package of its ``main``.
        version: the version of that package; part of the cache's path.
        ldflags: values for ``-ldflags -X``: a Kubernetes binary without them calls itself ``v0.0.0-master``,
            which other Kubernetes binaries refuse.
        tags: build tags, as of parts to leave out.
        from_assets: False for a component that must have exactly this version (a version-skew member, say), whatever
            ``KUBEBUILDER_ASSETS`` holds under that name.
    """

    name: str
    module: Path
    package: str
    version: str
    ldflags: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    from_assets: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One progress message.

    Attributes:
        component: the name of the component.
        phase: ``found`` and ``built`` are final and carry ``path``; ``waiting`` (another process builds it) and
            ``building`` come about once a second.
        seconds: how long this phase has taken so far.
        path: where the binary is, or will be.
        detail: for ``found``, where it came from; for ``building``, the version.
    """

    component: str
    phase: Literal["found", "waiting", "building", "built"]
    seconds: float
    path: Path
    detail: str = ""


OnProgress = Callable[[Progress], None]
Builder = Callable[[Component, Path, OnProgress], None]


def kubernetes_ldflags(version: str) -> tuple[str, ...]:
    """The ``-X`` linker values with the version of a Kubernetes binary (``v1.37.2``)."""
    major, minor, *_ = version.removeprefix("v").split(".")
    return tuple(
        f"{package}.{name}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for name, value in (("gitVersion", version), ("gitMajor", major), ("gitMinor", minor))
    )


def kubernetes(name: str, *, version: str = KUBERNETES_VERSION, module: str = "") -> Component:
    """The component ``k8s.io/kubernetes/cmd/<name>`` at a version, pinned by ``tools/modules/<module or name>``."""
    return Component(
        name=name,
        module=MODULES / (module or name),
        package=f"k8s.io/kubernetes/cmd/{name}",
        version=version,
        ldflags=kubernetes_ldflags(version),
        from_assets=version == KUBERNETES_VERSION,
    )


def program(module: Path) -> Component:
    """A program of this project. Its version is that of its sources, so that it is built again when they change."""
    sources = b"\0".join((module / file).read_bytes() for file in ("go.mod", "go.sum", "main.go"))
    return Component(
        name=module.name,
        module=module,
        package=".",
        version=hashlib.sha256(sources).hexdigest()[:10],
        from_assets=False,
    )


# One line per component. A second version of one gets a key and a module of its own.
COMPONENTS: Mapping[str, Component] = {
    "etcd": Component(name="etcd", module=MODULES / "etcd", package="go.etcd.io/etcd/server/v3", version=ETCD_VERSION),
    "kube-apiserver": kubernetes("kube-apiserver"),
    "kube-controller-manager": kubernetes("kube-controller-manager"),
    "kubectl": kubernetes("kubectl"),
    # For members that lag behind.
    "kube-apiserver-v1.32": kubernetes(
        "kube-apiserver", version=OLDER_KUBERNETES_VERSION, module="kube-apiserver-v1.32"
    ),
    # The others are for the data plane only (testbed.dataplane).
    "kube-proxy": kubernetes("kube-proxy"),
    "coredns": Component(
        name="coredns", module=MODULES / "coredns", package="github.com/coredns/coredns", version=COREDNS_VERSION
    ),
    # For the alerts only. Without the clients of all cloud providers it is built in a third of the time.
    "prometheus": Component(
        name="prometheus",
        module=MODULES / "prometheus",
        package="github.com/prometheus/prometheus/cmd/prometheus",
        version=PROMETHEUS_VERSION,
        tags=("remove_all_sd",),
    ),
    # For the chart only. It calls itself by its major version alone unless it is told.
    "helm": Component(
        name="helm",
        module=MODULES / "helm",
        package="helm.sh/helm/v4/cmd/helm",
        version=HELM_VERSION,
        ldflags=(f"helm.sh/helm/v4/internal/version.version={HELM_VERSION}",),
    ),
    "kubelet-streaming": program(MODULES / "kubelet-streaming"),
}


def apiserver(version: str) -> str:
    """The name of the component that is a kube-apiserver of this version (``v1.37.2``).

    Raises:
        ComponentError: none is pinned; the text names those that are.
    """
    pinned = {each.version: name for name, each in COMPONENTS.items() if each.name == "kube-apiserver"}
    try:
        return pinned[version]
    except KeyError:
        raise ComponentError(f"unknown kube-apiserver {version}; known: {', '.join(pinned)}") from None


def go_platform() -> str:
    """This machine as Go names it, joined by a dash: ``linux-amd64``."""
    machine = platform.machine().lower()
    return f"{sys.platform}-{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }"


def cache_root(environ: Mapping[str, str]) -> Path:
    """The folder of the finished binaries."""
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".cache")
    return Path(base) / "mcs-controller" / "bin"


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


class Resolver:
    """Resolves component names into paths of executables.

    Args:
        components: what can be asked for.
        environ: where ``KUBEBUILDER_ASSETS``, ``XDG_CACHE_HOME`` and ``HOME`` are read.
        build: makes one binary at a path; it must leave either a finished executable there or nothing.
    """

    def __init__(self, *, components: Mapping[str, Component], environ: Mapping[str, str], build: Builder) -> None:
        self._components = components
        self._cache = cache_root(environ)
        self._assets = Path(environ[ASSETS_VARIABLE]) if environ.get(ASSETS_VARIABLE) else None
        self._build = build

    def component(self, name: str) -> Component:
        """The table's entry.

        Raises:
            ComponentError: there is none of this name.
        """
        try:
            return self._components[name]
        except KeyError:
            raise ComponentError(f"unknown component {name!r}; known: {', '.join(self._components)}") from None

    def cached_path(self, name: str) -> Path:
        """The path of this component in the cache, whether it exists or not."""
        component = self.component(name)
        return self._cache / name / component.version / go_platform() / component.name

    def locate(self, name: str) -> tuple[Path, Source] | None:
        """The binary, if it exists without a build, and its origin.

        Raises:
            ComponentError: no such component, or ``KUBEBUILDER_ASSETS`` names something that is not a directory.
        """
        component = self.component(name)
        if self._assets is not None and component.from_assets:
            if not self._assets.is_dir():
                raise ComponentError(f"{ASSETS_VARIABLE}={self._assets} is not a directory: correct it or unset it")
            if _executable(found := self._assets / component.name):
                return found, "assets"
        cached = self.cached_path(name)
        return (cached, "cache") if _executable(cached) else None

    def resolve(self, names: Iterable[str], *, on_progress: OnProgress) -> dict[str, Path]:
        """A path for each name, in the same order; missing components are built one after the other.

        Safe under concurrent calls, also from several processes: a file lock beside the binary lets one of them build
        while the others wait and then take its result.

        Raises:
            ComponentError: unknown name, wrong ``KUBEBUILDER_ASSETS``, no Go, or a failed build (with its last lines).
        """
        paths: dict[str, Path] = {}
        for name in dict.fromkeys(names):
            found = self.locate(name)
            if found is not None:
                path, source = found
                detail = f"${ASSETS_VARIABLE}" if source == "assets" else "cache"
                on_progress(Progress(component=name, phase="found", seconds=0.0, path=path, detail=detail))
            else:
                path = self.cached_path(name)
                try:
                    self._build(self.component(name), path, on_progress)
                except BuildFailed as failure:
                    raise ComponentError(str(failure)) from failure
            paths[name] = path
        return paths


def default_resolver() -> Resolver:
    """The resolver for this process's environment and the pinned components."""
    return Resolver(components=COMPONENTS, environ=os.environ, build=_build_with_go)


def resolve(names: Iterable[str], *, on_progress: OnProgress = lambda _: None) -> dict[str, Path]:
    """:meth:`Resolver.resolve` for this process's environment and the pinned components.

    Blocks for minutes when something must be built: call it before starting an event loop, or in a thread.
    """
    return default_resolver().resolve(names, on_progress=on_progress)


def missing(names: Iterable[str]) -> list[str]:
    """The names of the components that would have to be built."""
    resolver = default_resolver()
    return [name for name in names if resolver.locate(name) is None]


def _build_with_go(component: Component, target: Path, on_progress: OnProgress) -> None:
    def tell(phase: Literal["waiting", "building", "built"], seconds: float) -> None:
        on_progress(
            Progress(component=component.name, phase=phase, seconds=seconds, path=target, detail=component.version)
        )

    build_once(
        target,
        module=component.module,
        package=component.package,
        version=component.version,
        variables=component.ldflags,
        tags=component.tags,
        assets_variable=ASSETS_VARIABLE,
        tell=tell,
    )
