"""The rights that manifests grant, and those that were used, by the audit log: to be compared."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from testbed import AuditLog, Bed
from testbed.api import Object
from testbed.controlplane import ControlPlane


class Right(NamedTuple):
    """One verb on one resource (with its subresource, if any) or on one path (and then there is no group)."""

    group: str
    resource: str
    verb: str


def granted(objects: Iterable[Object]) -> Iterator[Right]:
    """What the roles among these objects allow the controller, or an agent; rights of people are other roles."""
    for each in objects:
        ours = each["metadata"]["name"].startswith("mcs-controller-")
        if each["kind"] in ("Role", "ClusterRole") and ours:
            for rule in each["rules"]:
                for verb in rule["verbs"]:
                    for path in rule.get("nonResourceURLs", ()):
                        yield Right("", path, verb)
                    for group in rule.get("apiGroups", ()):
                        for resource in rule.get("resources", ()):
                            yield Right(group, resource, verb)


def used(user: str, *planes: ControlPlane, of: Iterable[Right]) -> set[Right]:
    """What a user asked for since the planes were started. A path counts as the right that covers it."""
    paths = [right for right in of if right.resource.startswith("/")]
    result = set()
    for plane in planes:
        for event in AuditLog(plane.audit_log).start().events():
            if event.user != user:
                continue
            if event.resource:
                resource = f"{event.resource}/{event.subresource}" if event.subresource else event.resource
                result.add(Right(event.api_group, resource, event.verb))
            else:
                asked = Right("", event.uri.partition("?")[0], event.verb)
                result |= {right for right in paths if _covers(right, asked)} or {asked}
    return result


def _covers(right: Right, asked: Right) -> bool:
    """As the RBAC authorizer has it: a star at the end stands for anything."""
    path = right.resource
    fits = asked.resource.startswith(path[:-1]) if path.endswith("*") else asked.resource == path
    return fits and right.verb == asked.verb


def differences(granted: set[Right], used: set[Right], excused: Iterable[Right] = ()) -> dict[str, list[Right]]:
    """What is used and not granted, and the other way round. An excuse that is not needed counts, too."""
    excused = set(excused)
    found = {
        "not granted": used - granted,
        "never used": granted - used - excused,
        "excused for nothing": excused & used | excused - granted,
    }
    return {what: sorted(rights) for what, rights in found.items() if rights}


def strict_flags(directory: Path) -> list[str]:
    """For the API servers of a bed whose rights are compared.

    Without streaming lists, so that `list` is needed wherever `watch` is. Probes are in the audit log, as all else is.
    `directory` is for the audit policy.
    """
    policy = directory / "audit-all.yaml"
    policy.write_text(
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived, ResponseStarted, Panic]\n"
        "rules: [{level: Metadata}]\n"
    )
    return ["--feature-gates=WatchList=false", f"--audit-policy-file={policy}"]


async def grant_paths_to_nobody_else(bed: Bed) -> None:
    """Take from ordinary users what Kubernetes lets everybody ask: discovery, version, readiness.

    So an API server refuses what our roles forget. Kubernetes' own controllers keep it, as they could not work.
    """
    own = [
        {"kind": "User", "name": "system:kube-controller-manager"},
        {"kind": "Group", "name": "system:serviceaccounts:kube-system"},
    ]
    body = {"subjects": [one | {"apiGroup": "rbac.authorization.k8s.io"} for one in own]}
    for plane in [bed.host, *bed.members.values()]:
        for name in ("system:discovery", "system:public-info-viewer"):
            await plane.api.patch("rbac.authorization.k8s.io/v1/clusterrolebindings", name, body)
