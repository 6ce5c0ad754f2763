"""Which rights somebody lacks: an API server is asked."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import msgspec

from informers.errors import from_response
from mcs_controller.diagnosis.world import Right, dig, items, text
from mcs_controller.domain import well_known as wk
from mcs_controller.mcsctl.together import all_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from informers.client.client import ApiClient
    from informers.client.transport import RawResponse

CONTROLLER_USER: Final = f"system:serviceaccount:{wk.SYSTEM_NAMESPACE}:mcs-controller-manager"

_AT_ONCE: Final = 8
"""Questions, so that they share connections: a new one costs more than an answer."""

_NOWHERE: Final = "_"
"""No namespace can be called so: what is allowed there is allowed in all."""


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

    One answer has the rules of a namespace. What they do not allow is asked right by right, as they need not be all.

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
        async with turn:
            answer = await _review(client, "authorization.k8s.io/v1", kind, spec)
        if not 200 <= answer.status < 300:
            raise from_response(answer.status, answer.body)
        return bool(dig(_answered(answer), "allowed"))

    allowed = await _allowed_by_rules(client, rights, user)
    unsure = [right for right in rights if right not in allowed]
    answers = await all_of(*(ask(right) for right in unsure))
    return [str(right) for right, may in zip(unsure, answers, strict=True) if not may]


async def _allowed_by_rules(client: ApiClient, rights: Sequence[Right], user: str) -> Collection[Right]:
    """Those that the server's rules allow for sure; none if it does not tell them, or not as somebody else."""
    impersonation = {"Impersonate-User": user} if user else {}
    if user:  # a proxy may drop the header, and the rules would be our own
        answer = await _review(client, "authentication.k8s.io/v1", "SelfSubjectReview", {}, impersonation)
        if text(_answered(answer), "userInfo", "username") != user:
            return ()

    async def rules(namespace: str) -> Sequence[Any]:
        spec = {"namespace": namespace or _NOWHERE}
        answer = await _review(client, "authorization.k8s.io/v1", "SelfSubjectRulesReview", spec, impersonation)
        found = _answered(answer)
        return () if dig(found, "incomplete") else items(found, "resourceRules")

    namespaces = sorted({right.namespace for right in rights})
    found = dict(zip(namespaces, await all_of(*(rules(each) for each in namespaces)), strict=True))
    return {right for right in rights if any(_allows(rule, right) for rule in found[right.namespace])}


def _allows(rule: Any, right: Right) -> bool:
    """Whether a rule gives a right for objects of any name."""
    wanted = {"verbs": right.verb, "apiGroups": right.group, "resources": right.resource}
    named = ((items(rule, key), one) for key, one in wanted.items())
    return not dig(rule, "resourceNames") and all(one in some or "*" in some for some, one in named)


async def _review(
    client: ApiClient, api_version: str, kind: str, spec: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> RawResponse:
    body = json.dumps({"apiVersion": api_version, "kind": kind, "spec": spec}).encode()
    return await client.raw("POST", f"/apis/{api_version}/{kind.lower()}s", body=body, headers=headers)


def _answered(review: RawResponse) -> Any:
    return dig(msgspec.json.decode(review.body), "status") if 200 <= review.status < 300 else None


def _groups(user: str) -> Sequence[str]:
    """The groups that the server gives a user by its name."""
    prefix, _, account = user.partition("system:serviceaccount:")
    if prefix or not account:
        return ["system:authenticated"]
    namespace = account.partition(":")[0]
    return ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
