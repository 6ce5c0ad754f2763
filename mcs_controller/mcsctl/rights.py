"""Which rights somebody lacks: an API server is asked, right by right."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import msgspec

from informers.errors import from_response
from mcs_controller.diagnosis.world import Right, dig
from mcs_controller.domain import well_known as wk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from informers.client.client import ApiClient

CONTROLLER_USER: Final = f"system:serviceaccount:{wk.SYSTEM_NAMESPACE}:mcs-controller-manager"

_AT_ONCE: Final = 8
"""Questions, so that they share connections: a new one costs more than an answer."""


def _rights(group: str, resource: str, verbs: str, namespace: str = "") -> Iterator[Right]:
    return (Right(verb, resource, group, namespace) for verb in verbs.split())


CONTROLLER_RIGHTS: Final = (
    *_rights("networking.karmada.io", "multiclusterservices", "list watch patch"),
    *_rights("networking.karmada.io", "multiclusterservices/status", "patch"),
    *_rights("work.karmada.io", "works", "list watch create patch delete"),
    *_rights("work.karmada.io", "resourcebindings", "list watch create patch"),
    *_rights("cluster.karmada.io", "clusters", "list watch"),
    *_rights("", "services", "list watch create patch delete"),
    *_rights("", "services/status", "patch"),
    *_rights("discovery.k8s.io", "endpointslices", "list watch create patch delete"),
    *_rights("", "namespaces", "list watch"),
    *_rights("", "events", "create patch"),
    *_rights("coordination.k8s.io", "leases", "get create update", wk.SYSTEM_NAMESPACE),
)
"""What the controller does in the control plane, see manifests/controller/rbac.yaml."""

STANDALONE_RIGHTS: Final = (
    *_rights("work.karmada.io", "works/status", "patch"),
    *_rights("work.karmada.io", "resourcebindings/status", "patch"),
    *_rights("policy.karmada.io", "propagationpolicies", "list watch patch"),
    *_rights("", "namespaces", "get create delete"),
    *_rights("cluster.karmada.io", "clusters", "patch"),
    *_rights("cluster.karmada.io", "clusters/status", "patch"),
)
"""And what the stand-alone controllers do on top, see manifests/standalone/rbac.yaml."""


async def denied(client: ApiClient, rights: Sequence[Right], user: str = "") -> Sequence[str]:
    """Those of the rights that a user lacks, in the server's opinion; without a user, whoever asks.

    Raises:
        KubeError: the server cannot be asked, or not by us.
    """
    turn = asyncio.Semaphore(_AT_ONCE)
    kind = "SubjectAccessReview" if user else "SelfSubjectAccessReview"

    async def ask(right: Right) -> bool:
        resource, _, subresource = right.resource.partition("/")
        attributes = {"verb": right.verb, "group": right.group, "resource": resource, "subresource": subresource}
        spec: dict[str, Any] = {"resourceAttributes": {**attributes, "namespace": right.namespace}}
        if user:
            spec |= {"user": user, "groups": _groups(user)}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        async with turn:
            path = f"/apis/authorization.k8s.io/v1/{kind.lower()}s"
            answer = await client.raw("POST", path, body=json.dumps(review).encode())
        if not 200 <= answer.status < 300:
            raise from_response(answer.status, answer.body)
        return bool(dig(msgspec.json.decode(answer.body), "status", "allowed"))

    allowed = await asyncio.gather(*(ask(right) for right in rights))
    return [str(right) for right, may in zip(rights, allowed, strict=True) if not may]


def _groups(user: str) -> Sequence[str]:
    """The groups that the server gives a user by its name."""
    prefix, _, account = user.partition("system:serviceaccount:")
    if prefix or not account:
        return ["system:authenticated"]
    namespace = account.partition(":")[0]
    return ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
