"""What `make setup` and images install: locked, complete, with hashes, and under licences that we may ship."""

import re
import tomllib
from email.message import EmailMessage
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any, cast

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.licences import licence_of, locked

ROOT = Path(__file__).parents[3]
LOCKS = ("runtime", "otel", "dev", "bench")


def lock(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text()


def wanted(name: str) -> list[Requirement]:
    """What pyproject.toml asks for."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"] | project["project"]["optional-dependencies"]
    return [Requirement(each) for each in [*project["project"]["dependencies"], *groups.get(name, [])]]


def unsatisfied(requirements: list[Requirement], versions: dict[str, str]) -> list[str]:
    needed = (each for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""}))
    return [str(each) for each in needed if not each.specifier.contains(versions.get(canonicalize_name(each.name), ""))]


@pytest.mark.parametrize("name", LOCKS)
def test_lock_has_what_pyproject_asks_for(name: str):
    assert unsatisfied(wanted(name), locked(lock(name))) == [], "run `make lock`"


@pytest.mark.parametrize("name", LOCKS)
def test_lock_has_what_its_packages_ask_for(name: str):
    versions = locked(lock(name))
    for package in versions:
        try:
            needed = [Requirement(each) for each in requires(package) or ()]
        except PackageNotFoundError:
            continue  # for another system, or for `make bench` alone
        assert unsatisfied(needed, versions) == [], f"{package}: run `make lock`"


@pytest.mark.parametrize("name", LOCKS)
def test_each_package_has_its_hashes(name: str):
    entries = re.split(r"\n(?=\S)", lock(name).strip())
    assert len(entries) == len(locked(lock(name)))
    assert [each.split()[0] for each in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", each)] == []


def test_product_is_tested_with_the_versions_that_it_runs_with():
    assert locked(lock("runtime")).items() <= locked(lock("otel")).items() <= locked(lock("dev")).items()


def test_uvloop_is_not_installed():
    """It may close the descriptor of another connection: tests/integration/informers/test_descriptors.py."""
    assert not any("uvloop" in locked(lock(name)) for name in LOCKS)


def test_nothing_is_installed_past_the_locks():
    text = (ROOT / "Makefile").read_text()
    installing = [line for line in text.splitlines() if "pip install" in line and "build/lock" not in line]
    assert installing
    assert [line for line in installing if "--require-hashes" not in line and "--no-deps" not in line] == []


def about(**fields: str) -> Any:
    message = EmailMessage()
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    return cast("Any", message)


@pytest.mark.parametrize(
    ("package", "licence"),
    [
        ("anything", about(License_Expression="GPL-3.0-only")),
        ("anything", about(License_Expression="MIT AND LGPL-2.1-or-later")),
        ("anything", about(License="MPL-2.0")),
        ("anything", about(License_Expression="MIT OR Proprietary")),
        ("anything", about()),
    ],
)
def test_licence_that_nobody_has_looked_at_is_refused(package: str, licence: Any):
    with pytest.raises(ValueError, match=f"{package} has licence"):
        licence_of(package, licence)


def test_licences_are_named_as_spdx_names_them():
    assert licence_of("anything", about(License="Apache 2.0")) == "Apache-2.0"
    assert licence_of("certifi", about(License="MPL-2.0")) == "MPL-2.0"


def test_page_lists_each_package():
    page = (ROOT / "docs" / "reference" / "dependencies.md").read_text()
    missing = [
        f"{name} {version}"
        for name, version in locked(lock("runtime")).items()
        if f"| {name} | {version} |" not in page
    ]
    assert missing == [], "run `make docs`"
