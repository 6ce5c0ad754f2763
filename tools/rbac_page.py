"""docs/reference/rbac.md: every right that is granted in manifests/, with the reasons that stand there as comments."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from tools.markdown import code, table

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFESTS: Final = Path(__file__).resolve().parent.parent / "manifests"
_TITLES: Final = {
    "controller/rbac.yaml": "Controller, on the control plane",
    "standalone/rbac.yaml": "Controller without Karmada's, on the control plane as well",
    "standalone/templates.yaml": "What PropagationPolicies may select, on the control plane",
    "standalone/user-roles.yaml": "Users, by aggregation to `view`, `edit` and `admin`",
    "member/rbac.yaml": "Controller, in a member that provides endpoints",
    "member/standalone.yaml": "Controller without Karmada's, in each member as well",
    "agent/control-plane/rbac.yaml": "Agent of a Pull member, on the control plane",
    "agent/control-plane/standalone.yaml": "Agent of a Pull member without Karmada's, on the control plane as well",
}
"""In the order of the page. Other files come after these, under their own names."""


def roles(path: Path) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """The Roles and ClusterRoles of a file, each with the comments above its rules."""
    for text in re.split(r"^---$", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
        role = yaml.safe_load(text)
        if not role or role["kind"] not in ("Role", "ClusterRole"):
            continue
        _, _, rules = text.partition("\nrules:\n")
        comments = re.findall(r"((?:^  # .*\n)*)^  - ", rules, flags=re.MULTILINE)
        yield role, [" ".join(line.strip("# ") for line in each.splitlines()) for each in comments]


def rbac_page() -> str:
    """docs/reference/rbac.md."""
    lines = [
        "# RBAC: ClusterRoles and Roles",
        "",
        "Made from the files in `manifests` and their comments, by `make docs`. Nobody has a right that is not listed "
        "here; a test with real API servers fails if the controller asks for another, or leaves one unused. Writes are "
        "merge patches, so there is `patch` and no `update` (of Leases there is).",
    ]
    there = {str(path.relative_to(MANIFESTS)): path for path in sorted(MANIFESTS.rglob("*.yaml"))}
    for file in dict.fromkeys((*_TITLES, *there)):
        found = list(roles(there[file])) if file in there else []
        if found:
            about = f"From [manifests/{file}](../../manifests/{file})."
            lines += ["", f"## {_TITLES.get(file, file)}", "", about]
        for role, reasons in found:
            meta = role["metadata"]
            where = f" in namespace `{meta['namespace']}`" if "namespace" in meta else ""
            lines += ["", f"### {role['kind']} `{meta['name']}`{where}"]
            rows = [(*_rule(rule), why) for rule, why in zip(role["rules"], reasons, strict=True)]
            lines += table(["API group", "resources", "verbs", "reason"], rows)
    return "\n".join(lines) + "\n"


def _rule(rule: dict[str, Any]) -> tuple[str, str, str]:
    what = code(rule.get("resources") or rule["nonResourceURLs"])
    if names := rule.get("resourceNames"):
        what += f" named {code(names)}"
    groups = code(group or "core" for group in rule.get("apiGroups", ())) or "(URLs)"
    return groups, what, ", ".join(rule["verbs"])
