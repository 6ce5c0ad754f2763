"""Where a component's binary comes from."""

import re
import threading
from pathlib import Path

import pytest

from tools.build import BuildFailed, build_once
from tools.components import (
    COMPONENTS,
    KUBERNETES_VERSION,
    Component,
    ComponentError,
    OnProgress,
    Progress,
    Resolver,
    apiserver,
    go_platform,
    kubernetes,
    kubernetes_ldflags,
    program,
)

ETCD = Component(name="etcd", module=Path("unused"), package="example.org/etcd", version="v1.2.3")


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class FakeBuilder:
    def __init__(self) -> None:
        self.built: list[str] = []

    def __call__(self, component: Component, target: Path, on_progress: OnProgress) -> None:
        self.built.append(component.name)
        executable(target)


@pytest.fixture
def builder():
    return FakeBuilder()


def resolver_in(
    directory: Path, builder: FakeBuilder, components: dict[str, Component] | None = None, **variables: str
) -> Resolver:
    environ = {"XDG_CACHE_HOME": str(directory / "cache"), "HOME": str(directory / "home"), **variables}
    return Resolver(components=components or {"etcd": ETCD}, environ=environ, build=builder)


def resolve(resolver: Resolver, *names: str) -> tuple[dict[str, Path], list[Progress]]:
    reports: list[Progress] = []
    return resolver.resolve(names, on_progress=reports.append), reports


def test_a_binary_in_the_assets_directory_wins_over_the_cache(tmp_path, builder):
    asset = executable(tmp_path / "assets" / "etcd")
    resolver = resolver_in(tmp_path, builder, KUBEBUILDER_ASSETS=str(tmp_path / "assets"))
    executable(resolver.cached_path("etcd"))
    paths, reports = resolve(resolver, "etcd")
    assert paths == {"etcd": asset}
    assert [(report.phase, report.detail) for report in reports] == [("found", "$KUBEBUILDER_ASSETS")]


def test_a_name_missing_in_the_assets_directory_comes_from_the_cache(tmp_path, builder):
    (tmp_path / "assets").mkdir()
    resolver = resolver_in(tmp_path, builder, KUBEBUILDER_ASSETS=str(tmp_path / "assets"))
    cached = executable(resolver.cached_path("etcd"))
    assert resolve(resolver, "etcd")[0] == {"etcd": cached}
    assert builder.built == []


def test_what_is_nowhere_is_built_once_and_found_the_next_time(tmp_path, builder):
    resolver = resolver_in(tmp_path, builder)
    first, _ = resolve(resolver, "etcd", "etcd")
    second, _ = resolve(resolver, "etcd")
    assert first == second
    assert builder.built == ["etcd"]


def test_the_cache_path_names_component_version_and_platform(tmp_path, builder):
    expected = tmp_path / "cache" / "mcs-controller" / "bin" / "etcd" / "v1.2.3" / go_platform() / "etcd"
    assert resolver_in(tmp_path, builder).cached_path("etcd") == expected


def test_without_a_cache_variable_the_cache_is_below_home(tmp_path, builder):
    resolver = resolver_in(tmp_path, builder, XDG_CACHE_HOME="")
    assert resolver.cached_path("etcd").is_relative_to(tmp_path / "home" / ".cache" / "mcs-controller" / "bin")


def test_a_component_that_must_have_its_version_ignores_the_assets_directory(tmp_path, builder):
    executable(tmp_path / "assets" / "kube-apiserver")
    old = kubernetes("kube-apiserver", version="v1.32.13", module="kube-apiserver-v1.32")
    resolver = resolver_in(
        tmp_path, builder, {"kube-apiserver-v1.32": old}, KUBEBUILDER_ASSETS=str(tmp_path / "assets")
    )
    paths, _ = resolve(resolver, "kube-apiserver-v1.32")
    assert paths["kube-apiserver-v1.32"].is_relative_to(tmp_path / "cache")
    assert paths["kube-apiserver-v1.32"].name == "kube-apiserver"


def test_an_assets_variable_that_names_no_directory_is_refused(tmp_path, builder):
    resolver = resolver_in(tmp_path, builder, KUBEBUILDER_ASSETS=str(tmp_path / "nowhere"))
    with pytest.raises(ComponentError, match=r"KUBEBUILDER_ASSETS=.*nowhere is not a directory"):
        resolve(resolver, "etcd")


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path, builder):
    with pytest.raises(ComponentError, match=r"unknown component 'ectd'; known: etcd"):
        resolve(resolver_in(tmp_path, builder), "ectd")


def test_a_kubernetes_binary_is_told_its_version_in_both_places():
    flags = kubernetes_ldflags("v1.37.2")
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        assert f"{package}.gitVersion=v1.37.2" in flags
        assert f"{package}.gitMajor=1" in flags
        assert f"{package}.gitMinor=37" in flags


def test_an_api_server_is_found_by_its_version():
    assert apiserver("v1.37.2") == "kube-apiserver"
    assert apiserver("v1.32.13") == "kube-apiserver-v1.32"


def test_a_version_that_is_not_pinned_is_answered_with_those_that_are():
    with pytest.raises(ComponentError, match=r"unknown kube-apiserver v1\.9\.0; known: v1\.37\.2, v1\.32\.13"):
        apiserver("v1.9.0")


@pytest.mark.parametrize("name", [name for name, each in COMPONENTS.items() if each.package != "."])
def test_the_module_of_each_component_pins_the_version_in_the_table(name):
    component = COMPONENTS[name]
    text = (component.module / "go.mod").read_text()
    assert f"tool {component.package}\n" in text
    module = component.package.partition("/cmd/")[0]
    assert re.search(rf"^(require)?\s+{re.escape(module)} {re.escape(component.version)}( |$)", text, re.MULTILINE)
    staging = set(re.findall(r"=> k8s\.io/\S+ (\S+)", text))
    assert staging <= {component.version.replace("v1.", "v0.", 1)}
    assert (component.module / "go.sum").stat().st_size > 0


def test_a_program_of_this_project_has_the_libraries_of_its_kubernetes_version():
    text = (COMPONENTS["kubelet-streaming"].module / "go.mod").read_text()
    assert set(re.findall(r"k8s\.io/\w*streaming (\S+)", text)) == {KUBERNETES_VERSION.replace("v1.", "v0.", 1)}


def test_a_program_of_this_project_has_another_version_when_a_source_changes(tmp_path):
    versions = set()
    for changed in ("", "go.mod", "go.sum", "main.go"):
        for file in ("go.mod", "go.sum", "main.go"):
            (tmp_path / file).write_text("new" if file == changed else "old")
        versions.add(program(tmp_path).version)
    assert len(versions) == 4


FAKE_GO = """#!/bin/sh
echo "$PWD $GOFLAGS $CGO_ENABLED $*" >> {calls}
sleep 0.3
while [ "$1" != -o ]; do shift; done
echo binary > "$2"
chmod +x "$2"
"""


def build(target: Path, module: Path, reports: list[str] | None = None) -> None:
    build_once(
        target,
        module=module,
        package="example.org/tool",
        version="v1.2.3",
        variables=["example.org/version.v=v1.2.3"],
        assets_variable="ASSETS",
        tell=lambda phase, seconds: (reports if reports is not None else []).append(phase),
    )


@pytest.fixture
def module(tmp_path):
    (tmp_path / "module").mkdir()
    (tmp_path / "module" / "go.mod").write_text("module example.local\n\ngo 1.26.0\n")
    return tmp_path / "module"


def test_callers_at_the_same_time_build_once_and_all_get_the_result(tmp_path, module, monkeypatch):
    calls = tmp_path / "calls"
    executable(tmp_path / "bin" / "go", FAKE_GO.format(calls=calls))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    target = tmp_path / "out" / "tool"
    reports: list[list[str]] = [[] for _ in range(4)]
    threads = [threading.Thread(target=build, args=(target, module, each)) for each in reports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (call,) = calls.read_text().splitlines()
    assert call.startswith(
        f"{module} -mod=readonly 0 build -trimpath -ldflags -s -w -X example.org/version.v=v1.2.3 -o"
    )
    assert target.read_text() == "binary\n"
    assert all(each[-1] == "built" for each in reports)
    assert sorted(path.name for path in target.parent.iterdir()) == [".tool.lock", "tool"]


def test_without_go_the_error_names_the_version_and_the_alternative(tmp_path, module, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildFailed, match=r"install Go 1\.26 or newer, or set ASSETS to a directory"):
        build(tmp_path / "out" / "tool", module)


def test_a_failed_build_shows_what_go_said_and_leaves_no_binary(tmp_path, module, monkeypatch):
    executable(tmp_path / "bin" / "go", "#!/bin/sh\necho 'no required module provides package' >&2\nexit 1\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    target = tmp_path / "out" / "tool"
    with pytest.raises(BuildFailed, match="no required module provides package"):
        build(target, module)
    assert not target.exists()
