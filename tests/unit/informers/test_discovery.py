"""Discovery documents of both forms."""

from typing import Any

import msgspec
import pytest

from informers.discovery import Discovery, Malformed, parse_resources, parse_root, parse_version
from tests.support.clusters import aggregated


def encode(content: Any) -> bytes:
    return msgspec.json.encode(content)


def test_aggregated_form_tells_everything() -> None:
    apis = {"v1": {"pods": "Pod"}, "apps/v1": {"deployments": "Deployment"}, "apps/v2": {"deployments": "Deployment"}}
    assert parse_root(encode(aggregated(apis))) == Discovery(apis)


def test_stale_group_version_counts_as_failed() -> None:
    content = aggregated({"metrics.k8s.io/v1": {"nodes": "NodeMetrics"}, "apps/v1": {}}, stale=("metrics.k8s.io/v1",))
    assert parse_root(encode(content)) == Discovery({"apps/v1": {}}, frozenset({"metrics.k8s.io/v1"}))


def test_aggregated_resource_without_a_kind_of_its_own_is_left_out() -> None:
    content = aggregated({"v1": {"pods": "Pod"}})
    content["items"][0]["versions"][0]["resources"] += [
        {"resource": "only-subresources", "subresources": []},
        {"resource": "nameless", "responseKind": {"group": "", "version": "v1", "kind": ""}},
    ]
    assert parse_root(encode(content)) == Discovery({"v1": {"pods": "Pod"}})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"kind": "APIVersions", "versions": ["v1"]}, ["v1"]),
        (
            {
                "kind": "APIGroupList",
                "groups": [{"name": "apps", "versions": [{"groupVersion": "apps/v1"}, {"groupVersion": "apps/v2"}]}],
            },
            ["apps/v1", "apps/v2"],
        ),
    ],
    ids=["core", "groups"],
)
def test_older_form_names_the_documents_to_read(content: Any, expected: list[str]) -> None:
    assert parse_root(encode(content)) == expected


def test_subresources_are_left_out() -> None:
    listed = [{"name": "pods", "kind": "Pod"}, {"name": "pods/status", "kind": "Pod"}]
    assert parse_resources(encode({"kind": "APIResourceList", "resources": listed})) == {"pods": "Pod"}


@pytest.mark.parametrize(
    "body", [b"", b"ok", b"[]", b"{}", b'{"kind":"Status"}', b'{"kind":"APIGroupDiscoveryList","items":1}', b"\xff\xfe"]
)
def test_anything_else_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_root(body)
    with pytest.raises(Malformed):
        parse_resources(body)


def test_version() -> None:
    assert parse_version(b'{"major":"1","gitVersion":"v1.36.1"}') == "v1.36.1"
    with pytest.raises(Malformed):
        parse_version(b"<html>")


def test_enablements_are_sorted_on_both_levels_by_name() -> None:
    discovery = Discovery({"v1": {"ingresses": "Ingress", "ingressclasses": "IngressClass"}, "apps/v1": {}})
    assert discovery.enablements() == [
        {"groupVersion": "apps/v1", "resources": []},
        {
            "groupVersion": "v1",
            "resources": [{"name": "ingressclasses", "kind": "IngressClass"}, {"name": "ingresses", "kind": "Ingress"}],
        },
    ]
