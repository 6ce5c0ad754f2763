"""The rules of a MultiClusterService, one by one, on a real API server.

The numbers are those of manifests/crds/README.md; a "case" is one of the numbered behaviours that the controllers'
tests name as well.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from testbed.api import Object, resource_path
from testbed.errors import ApiStatusError
from tests.integration.manifests.support import create_strictly

if TYPE_CHECKING:
    from testbed.controlplane import ControlPlane

pytestmark = pytest.mark.asyncio(loop_scope="session")

RESOURCE = "networking.karmada.io/v1alpha1/multiclusterservices"
Fault = tuple[str, str]  # field path, (part of) the message

LABEL_TEXT = "a lowercase RFC 1123 label must consist of"
DNS_1035_TEXT = "a DNS-1035 label must consist of"
SUBDOMAIN_TEXT = "a lowercase RFC 1123 subdomain must consist of"


def mcs(name: str = "", **spec: Any) -> Object:
    return {
        "apiVersion": "networking.karmada.io/v1alpha1",
        "kind": "MultiClusterService",
        "metadata": {"name": name or f"a-{uuid.uuid4().hex[:8]}", "namespace": "default"},
        "spec": {"types": ["CrossCluster"], **spec},
    }


def clusters(*names: str) -> list[Object]:
    return [{"name": name} for name in names]


class FieldErrors(Exception):
    def __init__(self, status: int, details: list[Fault]) -> None:
        super().__init__(f"{status} {details}")
        self.status = status
        self.details = details


class Refused:
    """Expects a write to be refused with exactly these faults."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = sorted(faults)

    def check(self, error: FieldErrors) -> None:
        assert error.status == 422, error
        found = sorted(error.details)
        assert [path for path, _ in found] == [path for path, _ in self.faults], found
        for (_, message), (_, part) in zip(found, self.faults, strict=True):
            assert part in message


async def send(
    plane: ControlPlane, method: str, manifest: Object, *, subresource: str = "", dry_run: bool = True
) -> Object:
    """A write; raises FieldErrors with the answer's causes, which ApiStatusError does not carry."""
    name = "" if method == "POST" else manifest["metadata"]["name"]
    path = resource_path(RESOURCE, name, namespace="default", subresource=subresource)
    query = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=plane.access.ssl_context())) as session,
        session.request(method, plane.access.server + path, params=query, json=manifest) as response,
    ):
        answer: Object = await response.json()
        if response.status >= 300:
            causes = answer.get("details", {}).get("causes", [])
            raise FieldErrors(response.status, [(cause.get("field", ""), cause["message"]) for cause in causes])
        return answer


async def refused(plane: ControlPlane, method: str, manifest: Object, *faults: Fault, subresource: str = "") -> None:
    with pytest.raises(FieldErrors) as caught:
        await send(plane, method, manifest, subresource=subresource)
    Refused(*faults).check(caught.value)


# --- creation


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="the walkthrough's"),
        pytest.param({"types": []}, id="rule 7: no type"),
        pytest.param({"types": ["LoadBalancer"]}, id="rule 6"),
        pytest.param({"types": ["CrossCluster", "CrossCluster"]}, id="rule 7: one type twice"),
        pytest.param(
            {
                "types": ["LoadBalancer"],
                "ports": [{"name": "foo", "port": 16312}, {"name": "bar", "port": 16313}],
                "providerClusters": clusters("member1", "member2"),
                "consumerClusters": clusters("member1", "member2"),
            },
            id="case 70",
        ),
        pytest.param(
            {"ports": [{"port": 1}, {"port": 65535}, {"name": "", "port": 1}]}, id="rules 3-5: bounds, unnamed"
        ),
        pytest.param({"ports": [{"name": "1" * 63, "port": 1}]}, id="rule 3: longest name"),
        pytest.param({"providerClusters": clusters("a" * 48)}, id="rule 8: longest name"),
        pytest.param({"consumerClusters": clusters("a", "a", "0")}, id="rule 9: repeats, digits"),
        pytest.param({"providerClusters": [], "consumerClusters": []}, id="empty lists"),
        pytest.param(
            {
                "range": {"clusterNames": ["Not A Name"]},
                "serviceProvisionClusters": [""],
                "serviceConsumptionClusters": ["."],
            },
            id="deprecated fields are not looked at",
        ),
        pytest.param({"range": {}}, id="empty range"),
        pytest.param(
            {
                "types": ["CrossCluster"] * 64,
                "ports": [{"name": f"{i:063}", "port": 65535} for i in range(256)],
                "providerClusters": clusters(*(f"{i:048}" for i in range(2000))),
                "consumerClusters": clusters(*(f"{i:048}" for i in range(2000))),
            },
            id="as much as the limits allow, all at once",
        ),
    ],
)
async def test_accepted(installed, spec):
    await send(installed, "POST", mcs(**spec))


@pytest.mark.parametrize(
    ("spec", "faults"),
    [
        pytest.param(
            {"ports": [{"name": "foo.withdot", "port": 1}]},
            [("spec.ports[0].name", "must not contain dots")],
            id="rule 3, case 68",
        ),
        pytest.param(
            {"ports": [{"name": "Foo", "port": 1}]}, [("spec.ports[0].name", LABEL_TEXT)], id="rule 3: letters"
        ),
        pytest.param(
            {"ports": [{"name": "a" * 64, "port": 1}]},
            [("spec.ports[0].name", "must be no more than 63")],
            id="rule 3: length",
        ),
        pytest.param(
            {
                "types": ["LoadBalancer", "LoadBalancer"],
                "ports": [{"name": "foo", "port": 1}, {"name": "foo", "port": 2}],
            },
            [("spec.ports", 'Duplicate value: "foo"')],
            id="rule 4, case 72",
        ),
        pytest.param(
            {"ports": [{"name": n, "port": 1} for n in ("a", "b", "", "", "b", "a")]},
            [("spec.ports", 'Duplicate value: "a"')],
            id="rule 4: several",
        ),
        pytest.param(
            {"ports": [{"port": 0}, {"port": -1}, {"port": 65536}]},
            [(f"spec.ports[{i}].port", "must be between 1 and 65535, inclusive") for i in range(3)],
            id="rule 5",
        ),
        pytest.param({"types": ["Foo"]}, [("spec.types[0]", "ExposureType Error")], id="rule 6"),
        pytest.param({"types": [""]}, [("spec.types[0]", "ExposureType Error")], id="rule 6: empty"),
        pytest.param(
            {"types": ["LoadBalancer", "CrossCluster"]},
            [("spec.types", "MultiClusterService types should not contain more than one type")],
            id="rule 7, case 71",
        ),
        pytest.param(
            {"types": ["CrossCluster", "Foo"]},
            [
                ("spec.types", "MultiClusterService types should not contain more than one type"),
                ("spec.types[1]", "ExposureType Error"),
            ],
            id="rules 6 and 7",
        ),
        pytest.param(
            {"providerClusters": clusters("ok", "")},
            [("spec.providerClusters[1].name", "must be not empty")],
            id="rule 8: empty",
        ),
        pytest.param(
            {"providerClusters": clusters("a" * 49)},
            [("spec.providerClusters[0].name", "must be no more than 48 characters")],
            id="rule 8, case 73",
        ),
        pytest.param(
            {"providerClusters": clusters("a.b", "A")},
            [("spec.providerClusters[0].name", "must not contain dots"), ("spec.providerClusters[1].name", LABEL_TEXT)],
            id="rule 8: letters",
        ),
        pytest.param(
            {"consumerClusters": clusters("", "a" * 49, "-")},
            [
                ("spec.consumerClusters[0].name", "must be not empty"),
                ("spec.consumerClusters[1].name", "must be no more than 48 characters"),
                ("spec.consumerClusters[2].name", LABEL_TEXT),
            ],
            id="rule 9",
        ),
    ],
)
async def test_refused(installed, spec, faults):
    await refused(installed, "POST", mcs(**spec), *faults)


@pytest.mark.parametrize(
    ("name", "message"),
    [("1st", DNS_1035_TEXT), ("a.b", DNS_1035_TEXT), ("a" * 64, "must be no more than 63")],
    ids=["digit first", "dot", "length"],
)
async def test_name_must_be_a_dns_1035_label(installed, name, message):
    await refused(installed, "POST", mcs(name), ("metadata.name", message))


async def test_longest_name_is_accepted(installed):
    await send(installed, "POST", mcs("a" * 63))


async def test_rules_hold_on_update_too(installed):
    """Case 68, second half; and case 69: a valid one passes."""
    stored = await send(installed, "POST", mcs(), dry_run=False)
    stored["spec"]["ports"] = [{"name": "foo", "port": 80}]
    await send(installed, "PUT", stored)
    stored["spec"]["ports"] = [{"name": "foo.withdot", "port": 80}]
    await refused(installed, "PUT", stored, ("spec.ports[0].name", "must not contain dots"))


# --- rules 2 and 10: the server's own


async def test_malformed_metadata_is_refused_by_the_server(installed):
    broken = mcs()
    broken["metadata"]["labels"] = {"a b": "c"}
    await refused(installed, "POST", broken, ("metadata.labels", "name part must consist of"))


async def test_metadata_immutability_is_the_servers(installed):
    stored = await send(installed, "POST", mcs(), dry_run=False)
    stored["metadata"]["uid"] = str(uuid.uuid4())
    with pytest.raises(FieldErrors) as caught:
        await send(installed, "PUT", stored)
    assert caught.value.status == 409


async def test_labels_may_change(installed):
    """Case 74."""
    stored = await send(installed, "POST", mcs(), dry_run=False)
    stored["metadata"]["labels"] = {"a": "b"}
    await send(installed, "PUT", stored)


# --- rule 11


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["LoadBalancer"], ["CrossCluster"]),  # case 75
        (["CrossCluster"], ["CrossCluster", "CrossCluster"]),
        (["CrossCluster"], []),
        ([], ["CrossCluster"]),
    ],
    ids=["case 75", "repeated", "emptied", "filled"],
)
async def test_types_cannot_change(installed, before, after):
    stored = await send(installed, "POST", mcs(types=before), dry_run=False)
    stored["spec"]["types"] = after
    await refused(installed, "PUT", stored, ("spec.types", "MultiClusterService types are immutable"))


async def test_types_cannot_be_removed(installed):
    stored = await send(installed, "POST", mcs(), dry_run=False)
    del stored["spec"]["types"]
    with pytest.raises(FieldErrors) as caught:
        await send(installed, "PUT", stored)
    assert ("spec.types", "Required value") in caught.value.details


async def test_everything_but_types_may_change(installed):
    stored = await send(installed, "POST", mcs(providerClusters=clusters("a")), dry_run=False)
    stored["spec"].update(providerClusters=clusters("b"), consumerClusters=clusters("c"), ports=[{"port": 80}])
    await send(installed, "PUT", stored)


# --- rules 12 and 13


@pytest.mark.parametrize(
    ("ingress", "faults"),
    [
        pytest.param([{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}], [], id="case 76: valid ip"),
        pytest.param([{"hostname": "a.example.com"}], [], id="case 76: valid hostname"),
        pytest.param([{"ip": "192.0.2.1", "hostname": "a.example.com"}], [], id="case 76: both"),
        pytest.param([{"ip": "", "hostname": ""}, {}], [], id="neither"),
        pytest.param(
            [{"ip": "192.0.2.1"}, {"ip": "300.300.300.300"}],
            [("status.loadBalancer.ingress[1].ip", "must be a valid IP address")],
            id="rule 12, case 76: bad ip",
        ),
        pytest.param(
            [{"hostname": "192.0.2.1"}],
            [("status.loadBalancer.ingress[0].hostname", "must be a DNS name, not an IP address")],
            id="rule 13, case 76: ip as hostname",
        ),
        pytest.param(
            [{"hostname": "a_b"}], [("status.loadBalancer.ingress[0].hostname", SUBDOMAIN_TEXT)], id="rule 13: letters"
        ),
        pytest.param(
            [{"hostname": "2001:db8::1"}],
            [
                ("status.loadBalancer.ingress[0].hostname", SUBDOMAIN_TEXT),
                ("status.loadBalancer.ingress[0].hostname", "must be a DNS name, not an IP address"),
            ],
            id="rule 13: both faults",
        ),
    ],
)
async def test_ingress_is_checked_when_the_status_is_written(installed, ingress, faults):
    stored = await send(installed, "POST", mcs(types=["LoadBalancer"]), dry_run=False)
    stored["status"] = {"loadBalancer": {"ingress": ingress}}
    if faults:
        await refused(installed, "PUT", stored, *faults, subresource="status")
    else:
        answer = await send(installed, "PUT", stored, subresource="status", dry_run=False)
        assert answer["status"]["loadBalancer"]["ingress"] == ingress


# --- what is not the rules' affair


async def test_unreadable_json_is_a_bad_request(installed):
    """Case 67."""
    path = resource_path(RESOURCE, namespace="default")
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=installed.access.ssl_context())) as session,
        session.post(
            installed.access.server + path, data=b"{", headers={"Content-Type": "application/json"}
        ) as response,
    ):
        assert response.status == 400, await response.text()


async def test_fields_of_the_wrong_type_are_named(installed):
    """Case 67: the definition answers 422 where the webhook, which decodes by itself, answers 400."""
    with pytest.raises(FieldErrors) as caught:
        await send(installed, "POST", mcs(types="CrossCluster"))
    assert caught.value.status == 422
    assert "spec.types" in dict(caught.value.details)


async def test_unknown_fields_are_refused_if_asked_and_dropped_otherwise(installed):
    with pytest.raises(ApiStatusError, match=r"unknown field \"spec.provider\""):
        await create_strictly(installed.api, RESOURCE, mcs(provider="x"), dryRun="All")
    created = await installed.api.create(mcs(provider="x"))
    assert created["spec"] == {"types": ["CrossCluster"]}


async def test_no_id_is_set_for_the_controller(installed):
    """Case 77 is the controller's: nothing here makes ids, and nothing else is added either."""
    wanted = mcs()
    created = await installed.api.create(json.loads(json.dumps(wanted)))
    assert "labels" not in created["metadata"]
    assert created["spec"] == wanted["spec"]


# --- Cluster


@pytest.mark.parametrize(
    ("name", "message"),
    [("a" * 49, "must be no more than 48 characters"), ("a.b", "must not contain dots"), ("a" * 48, None)],
    ids=["too long", "dot", "longest"],
)
async def test_cluster_name(installed, name, message):
    cluster = {
        "apiVersion": "cluster.karmada.io/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {"syncMode": "Push"},
    }
    if message is None:
        await create_strictly(installed.api, "cluster.karmada.io/v1alpha1/clusters", cluster, dryRun="All")
    else:
        with pytest.raises(ApiStatusError, match=message) as caught:
            await create_strictly(installed.api, "cluster.karmada.io/v1alpha1/clusters", cluster, dryRun="All")
        assert "metadata.name" in caught.value.message
