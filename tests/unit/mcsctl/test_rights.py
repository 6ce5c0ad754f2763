"""Which rights somebody lacks, by the answers of a server: as few questions as it allows, and never a guess."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from informers.client.transport import RawResponse
from informers.errors import KubeError
from mcs_controller.diagnosis.world import Right
from mcs_controller.mcsctl.rights import denied

if TYPE_CHECKING:
    from collections.abc import Mapping

LIST = Right("list", "endpointslices", "discovery.k8s.io")
PATCH = Right("patch", "services")
LEASES = Right("get", "leases", "coordination.k8s.io", "karmada-system")
SLICES = {"verbs": ["list"], "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"]}
ALL = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
CONTROLLER = "system:serviceaccount:karmada-system:mcs-controller-manager"
OURSELVES = "kubernetes-admin"


@dataclass
class Server:
    """Answers reviews.

    Attributes:
        rules: what it tells of everybody's rules, by namespace.
        allowed: whether it allows what it is asked right by right.
        incomplete: it says that the rules are not all.
        drops_headers: it takes us for ourselves, whatever we say.
        status: of all answers about rules and users.
        asked: the kinds of the reviews.
    """

    rules: dict[str, list[Any]] = field(default_factory=dict)
    allowed: bool = False
    incomplete: bool = False
    drops_headers: bool = False
    status: int = 201
    asked: list[str] = field(default_factory=list)

    async def raw(
        self, _: str, path: str, *, body: bytes, headers: Mapping[str, str] | None = None, **__: Any
    ) -> RawResponse:
        review = json.loads(body)
        self.asked.append(review["kind"])
        assert path == f"/apis/{review['apiVersion']}/{review['kind'].lower()}s"
        if review["kind"].endswith("SubjectAccessReview"):
            return RawResponse(201, json.dumps({"status": {"allowed": self.allowed}}).encode())
        user = OURSELVES if self.drops_headers else (headers or {}).get("Impersonate-User", OURSELVES)
        rules = self.rules.get(review["spec"].get("namespace", ""), [])
        status = {"userInfo": {"username": user}, "incomplete": self.incomplete, "resourceRules": rules}
        return RawResponse(self.status, json.dumps({"status": status}).encode())


async def lacks(server: Server, *rights: Right, user: str = "") -> list[str]:
    return list(await denied(server, rights, user))  # type: ignore[arg-type]


async def test_rules_that_allow_everything_are_the_only_question():
    server = Server({"_": [SLICES, ALL], "karmada-system": [ALL]})
    assert await lacks(server, LIST, PATCH, LEASES) == []
    assert server.asked == ["SelfSubjectRulesReview"] * 2


async def test_what_the_rules_do_not_allow_is_asked():
    server = Server({"_": [SLICES]})
    assert await lacks(server, LIST, PATCH) == ["patch services"]
    assert server.asked == ["SelfSubjectRulesReview", "SelfSubjectAccessReview"]
    server.allowed = True
    assert await lacks(server, LIST, PATCH) == []


@pytest.mark.parametrize(
    "rule",
    [
        SLICES | {"resourceNames": ["web"]},
        SLICES | {"verbs": ["get"]},
        SLICES | {"apiGroups": [""]},
        SLICES | {"resources": ["endpointslices/status"]},
        SLICES | {"verbs": [{"list": 1}]},
        {"verbs": "list"},
        "list",
    ],
)
async def test_a_rule_about_something_else_allows_nothing(rule: Any):
    assert await lacks(Server({"_": [rule]}), LIST) == ["list endpointslices.discovery.k8s.io"]


@pytest.mark.parametrize("server", [Server({"_": [ALL]}, incomplete=True), Server({"_": [ALL]}, status=403)])
async def test_every_right_is_asked_where_the_rules_are_not_told(server: Server):
    assert await lacks(server, LIST, PATCH) == ["list endpointslices.discovery.k8s.io", "patch services"]


async def test_the_rules_of_a_user_are_asked_for_as_that_user():
    server = Server({"_": [ALL]})
    assert await lacks(server, LIST, PATCH, user=CONTROLLER) == []
    assert server.asked == ["SelfSubjectReview", "SelfSubjectRulesReview"]


@pytest.mark.parametrize("server", [Server({"_": [ALL]}, drops_headers=True), Server({"_": [ALL]}, status=403)])
async def test_our_own_rules_are_not_taken_for_those_of_a_user(server: Server):
    assert await lacks(server, LIST, user=CONTROLLER) == ["list endpointslices.discovery.k8s.io"]
    assert server.asked == ["SelfSubjectReview", "SubjectAccessReview"]


async def test_a_server_that_answers_no_question_is_an_error():
    class Silent(Server):
        async def raw(self, *_: Any, **__: Any) -> RawResponse:
            return RawResponse(403, b"{}")

    with pytest.raises(KubeError):
        await lacks(Silent(), LIST)
