"""What is asked of a member."""

import pytest

from informers.discovery import AGGREGATED, Discovery
from informers.errors import NoCredentials, TransportError
from mcs_controller.standalone.member_probe import MemberProbe
from tests.support.clusters import FakeMember


def probe(member: FakeMember) -> MemberProbe:
    return MemberProbe(member, timeout=5.0, credentials="the token")


@pytest.mark.parametrize(
    ("answers", "asked", "reason"),
    [
        ({"/readyz": (200, b"ok")}, ["/readyz"], "ClusterReady"),
        ({"/healthz": (200, b"ok")}, ["/readyz", "/healthz"], "ClusterReady"),
        ({"/readyz": (500, b"no"), "/healthz": (200, b"ok")}, ["/readyz"], "ClusterNotReachable"),
        ({"/readyz": (202, b"")}, ["/readyz"], "ClusterNotReady"),
        ({}, ["/readyz", "/healthz"], "ClusterNotReachable"),
        ({"/readyz": TransportError("refused")}, ["/readyz"], "ClusterNotReachable"),
    ],
    ids=["ready", "healthz-only-after-404", "no-fallback-after-500", "not-ok", "neither", "no-answer"],
)
async def test_health(answers: dict, asked: list[str], reason: str) -> None:  # type: ignore[type-arg]
    member = FakeMember(answers)
    condition = await probe(member).health()
    assert (member.asked, condition.reason) == (asked, reason)


async def test_reason_for_not_reaching_it_is_told() -> None:
    condition = await probe(FakeMember({"/readyz": TransportError("connection refused")})).health()
    assert condition.message == "cluster is not reachable: connection refused"
    condition = await probe(FakeMember({"/readyz": (503, b"")})).health()
    assert condition.message == "cluster is not reachable: /readyz answered 503"


async def test_token_that_is_refused_is_read_again_before_it_is_told() -> None:
    member = FakeMember({"/readyz": (401, b"")})
    condition = await probe(member).health()
    assert member.asked == ["/readyz", "/readyz"]
    assert (condition.reason, condition.message) == (
        "CredentialsRefused",
        "cluster refused the token (/readyz answered 401)",
    )


async def test_rotated_token_is_no_news() -> None:
    member = FakeMember({"/readyz": [(401, b""), (200, b"ok")]})
    assert (await probe(member).health()).reason == "ClusterReady"


async def test_secret_that_is_gone_is_not_the_members_fault() -> None:
    gone = NoCredentials("credentials of cluster m1: Secret karmada-cluster/m1 not found")
    condition = await probe(FakeMember({"/readyz": gone})).health()
    assert (condition.reason, condition.message) == ("StatusCollectionFailed", str(gone))


async def test_aggregated_discovery_takes_one_document_for_each_root() -> None:
    member = FakeMember.healthy()
    collected = await probe(member).collect()
    assert collected.version == "v1.36.1"
    expected = {"v1": {"services": "Service"}, "discovery.k8s.io/v1": {"endpointslices": "EndpointSlice"}}
    assert collected.discovery == Discovery(expected)
    assert member.accepted == {"/api": AGGREGATED, "/apis": AGGREGATED, "/version": ""}
    assert len(member.asked) == 3


async def test_older_servers_are_read_document_by_document() -> None:
    groups = [{"name": "apps", "versions": [{"groupVersion": "apps/v1"}, {"groupVersion": "apps/v1beta1"}]}]
    member = FakeMember(
        {
            "/api": (200, {"kind": "APIVersions", "versions": ["v1"]}),
            "/api/v1": (200, {"kind": "APIResourceList", "resources": [{"name": "pods", "kind": "Pod"}]}),
            "/apis": (200, {"kind": "APIGroupList", "groups": groups}),
            "/apis/apps/v1": (200, {"kind": "APIResourceList", "resources": [{"name": "d", "kind": "D"}]}),
            "/apis/apps/v1beta1": (503, b"not now"),
        }
    )
    collected = await probe(member).collect()
    assert collected.version is None
    assert collected.discovery == Discovery({"v1": {"pods": "Pod"}, "apps/v1": {"d": "D"}}, frozenset({"apps/v1beta1"}))


@pytest.mark.parametrize("answer", [(200, b"<html>"), (500, b""), TransportError("reset")], ids=str)
async def test_root_that_does_not_answer_is_a_failure_of_its_own(answer: object) -> None:
    member = FakeMember.healthy()
    member.answers["/apis"] = answer  # type: ignore[assignment]
    collected = await probe(member).collect()
    assert collected.discovery == Discovery({"v1": {"services": "Service"}}, frozenset({"/apis"}))


LEGACY = {"/version": (200, {"gitVersion": "v1"}), "/apis": (404, b"")}


@pytest.mark.parametrize(
    "versions",
    [
        ["v1 HTTP/1.1\r\nX: y\r\n\r\nGET /steal"],
        ["../../.."],
        ["v1?x"],
        ["a/b/c"],
        [""],
        ["x" * 9000],
        [f"v{number}" for number in range(1001)],
    ],
    ids=["smuggled request", "path", "query", "three parts", "empty", "long", "many"],
)
async def test_group_versions_that_are_none_are_not_asked_for(versions: list[str]) -> None:
    member = FakeMember({**LEGACY, "/api": (200, {"kind": "APIVersions", "versions": versions})})
    collected = await probe(member).collect()
    assert collected.discovery.failed >= {"/api"}
    assert member.asked == ["/version", "/api", "/apis"]


async def test_group_version_that_is_named_often_is_asked_for_once() -> None:
    member = FakeMember({**LEGACY, "/api": (200, {"kind": "APIVersions", "versions": ["v1"] * 900})})
    await probe(member).collect()
    assert member.asked == ["/version", "/api", "/api/v1", "/apis"]


async def test_kinds_without_end_do_not_get_into_the_cluster() -> None:
    resources = [{"resource": f"r{number}", "responseKind": {"kind": "K" * 60}} for number in range(10_000)]
    groups = [{"metadata": {"name": "g"}, "versions": [{"version": "v1", "resources": resources}]}]
    member = FakeMember(
        {
            "/version": (200, {"gitVersion": "v" * 1000}),
            "/api": (200, {"kind": "APIVersions", "versions": []}),
            "/apis": (200, {"kind": "APIGroupDiscoveryList", "items": groups}),
        }
    )
    collected = await probe(member).collect()
    assert collected.version is None
    assert not collected.discovery.apis
    (failed,) = collected.discovery.failed
    assert failed.startswith("room for ")
