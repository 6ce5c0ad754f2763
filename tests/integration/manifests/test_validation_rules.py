"""The rules of a MultiClusterService, one by one, on a real API server, by each of their two enforcers.

``definition``: the rules in manifests/crds. ``policies``: manifests/admission over definitions without rules.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from testbed.api import Object, resource_path
from tests.integration.manifests.support import Refused, send
from tests.support.admission_rules import (
    ACCEPTED,
    INGRESS_ACCEPTED,
    INGRESS_REFUSED,
    METADATA_KEPT_ON_UPDATE,
    METADATA_REFUSED_ON_CREATE,
    METADATA_REFUSED_ON_UPDATE,
    REFUSED,
    RESOURCE,
    TOO_MANY,
    TYPES_CHANGED,
    Fault,
    clusters,
    mcs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.integration.manifests.conftest import Enforced

pytestmark = pytest.mark.asyncio(loop_scope="session")

# One fault in the answer of a policy, which is one text for all of them.
TOLD = re.compile(r"((?:metadata|spec|status)[.\w\[\]]+): (.*?)(?=, (?:metadata|spec|status)[.\w\[\]]+: |\]$|$)")


async def refused(
    enforced: Enforced, method: str, manifest: Object, faults: Iterable[Fault], *, subresource: str = ""
) -> None:
    """Expects a write to be refused with exactly these faults."""
    with pytest.raises(Refused) as caught:
        await send(enforced.plane, method, manifest, subresource=subresource, dry_run=True)
    assert caught.value.status == 422, caught.value
    if enforced.by == "policies":
        _, denied, told = caught.value.message.partition("denied request: ")
        assert denied, caught.value
        found = sorted(TOLD.findall(told))
        expected = sorted((fault.path, fault.message) for fault in faults)
    else:
        found = sorted(caught.value.causes)
        expected = sorted(
            (fault.listed_at, f"{fault.path}: {fault.message}") if fault.listed_at else (fault.path, fault.message)
            for fault in faults
        )
    assert [path for path, _ in found] == [path for path, _ in expected], found
    for (_, message), (_, part) in zip(found, expected, strict=True):
        assert part in message


async def stored(enforced: Enforced, **spec: Any) -> Object:
    return await send(enforced.plane, "POST", mcs(**spec))


@pytest.mark.parametrize("manifest", ACCEPTED)
async def test_creation(enforced, manifest):
    await send(enforced.plane, "POST", manifest, dry_run=True)


@pytest.mark.parametrize(("manifest", "faults"), REFUSED)
async def test_refused_creation(enforced, manifest, faults):
    await refused(enforced, "POST", manifest, faults)


@pytest.mark.parametrize(("manifest", "faults"), [one for one in REFUSED if re.search(r"rules? [34589]", str(one.id))])
async def test_refused_update(enforced, manifest, faults):
    found = await stored(enforced, types=manifest["spec"]["types"])
    found["spec"] = manifest["spec"]
    await refused(enforced, "PUT", found, faults)


@pytest.mark.parametrize(("spec", "path", "limit"), TOO_MANY)
async def test_lists_beyond_the_limits(enforced, spec, path, limit):
    with pytest.raises(Refused) as caught:
        await send(enforced.plane, "POST", mcs(**spec), dry_run=True)
    assert f"{path}: Too many: " in caught.value.message
    assert f"must have at most {limit} items" in caught.value.message


async def test_case_69_rules_accept_a_valid_update_of_everything_but_types(enforced):
    found = await stored(enforced, providerClusters=clusters("a"))
    found["spec"].update(
        providerClusters=clusters("b"), consumerClusters=clusters("c"), ports=[{"name": "foo", "port": 80}]
    )
    await send(enforced.plane, "PUT", found, dry_run=True)


async def test_case_74_rules_accept_an_update_of_labels_only(enforced):
    found = await stored(enforced)
    found["metadata"]["labels"] = {"a": "b"}
    await send(enforced.plane, "PUT", found, dry_run=True)


# --- rules 2 and 10


async def test_rule_2_accepts_well_formed_metadata(enforced):
    manifest = mcs()
    manifest["metadata"] |= {
        "labels": {"example.com/a": "b"},
        "annotations": {"example.com/a": "anything at all"},
        "finalizers": ["example.com/a"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "a", "uid": "b"}],
    }
    await send(enforced.plane, "POST", manifest, dry_run=True)


@pytest.mark.parametrize(("metadata", "path"), METADATA_REFUSED_ON_CREATE)
async def test_malformed_metadata(enforced, metadata, path):
    manifest = mcs()
    manifest["metadata"] |= metadata
    with pytest.raises(Refused) as caught:
        await send(enforced.plane, "POST", manifest, dry_run=True)
    assert caught.value.status == 422
    assert path in dict(caught.value.causes)


@pytest.mark.parametrize(("metadata", "status", "text"), METADATA_REFUSED_ON_UPDATE)
async def test_changed_metadata(enforced, metadata, status, text):
    found = await stored(enforced)
    changed = copy.deepcopy(found)
    changed["metadata"] |= metadata
    with pytest.raises(Refused) as caught:
        await send(enforced.plane, "PUT", changed, name=found["metadata"]["name"], dry_run=True)
    assert (caught.value.status, text in caught.value.message) == (status, True), caught.value


@pytest.mark.parametrize("metadata", METADATA_KEPT_ON_UPDATE)
async def test_changed_metadata_that_the_server_puts_right(enforced, metadata):
    found = await stored(enforced)
    answer = await send(enforced.plane, "PUT", found | {"metadata": found["metadata"] | metadata}, dry_run=True)
    for field in metadata:
        assert answer["metadata"].get(field) == found["metadata"].get(field)


# --- rule 11


@pytest.mark.parametrize(("before", "after"), TYPES_CHANGED)
async def test_changed_types(enforced, before, after):
    found = await stored(enforced, types=before)
    found["spec"]["types"] = after
    message = "MultiClusterService types are immutable"
    if enforced.by == "policies":  # as the webhook: the reported value is the old list
        values = ",".join(f'"{each}"' for each in before)
        message = f"Invalid value: [{values}]: {message}"
    await refused(enforced, "PUT", found, [Fault("spec.types", message)])


async def test_rule_11_types_cannot_be_removed(enforced):
    found = await stored(enforced)
    del found["spec"]["types"]
    with pytest.raises(Refused) as caught:
        await send(enforced.plane, "PUT", found, dry_run=True)
    assert ("spec.types", "Required value") in caught.value.causes


# --- rules 12 and 13


@pytest.mark.parametrize("ingress", INGRESS_ACCEPTED)
async def test_status(enforced, ingress):
    found = await stored(enforced, types=["LoadBalancer"])
    found["status"] = {"loadBalancer": {"ingress": ingress}}
    answer = await send(enforced.plane, "PUT", found, subresource="status")
    assert answer["status"]["loadBalancer"]["ingress"] == ingress


@pytest.mark.parametrize(("ingress", "faults"), INGRESS_REFUSED)
async def test_refused_status(enforced, ingress, faults):
    found = await stored(enforced, types=["LoadBalancer"])
    found["status"] = {"loadBalancer": {"ingress": ingress}}
    await refused(enforced, "PUT", found, faults, subresource="status")


# --- objects from before the rules


@pytest.mark.parametrize(
    ("change", "subresource"),
    [
        pytest.param({"metadata": {"labels": {"a": "b"}, "finalizers": None}}, "", id="labels and finalizers"),
        pytest.param({"spec": {"range": {}}}, "", id="what Karmada's writers add"),
        pytest.param(
            {
                "status": {
                    "conditions": [
                        {
                            "type": "ServiceApplied",
                            "status": "False",
                            "reason": "ServiceAppliedFailed",
                            "message": "",
                            "lastTransitionTime": "2026-01-01T00:00:00Z",
                        }
                    ]
                }
            },
            "status",
            id="conditions",
        ),
        pytest.param(
            {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}, "status", id="a status that is right"
        ),
    ],
)
async def test_faults_from_before_the_rules_do_not_stand_in_the_way_of(enforced, change, subresource):
    for name in enforced.old:
        before = await enforced.plane.api.get(RESOURCE, name, namespace="default")
        after = await enforced.plane.api.patch(RESOURCE, name, change, namespace="default", subresource=subresource)
        assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]


async def test_faults_from_before_the_rules_are_told_when_their_field_changes(enforced):
    found = await enforced.plane.api.get(RESOURCE, "old-fields", namespace="default")
    found["spec"]["ports"].append({"name": "b.c", "port": 1})
    faults = [
        *(Fault(f"spec.ports[{i}].name", "must not contain dots") for i in (0, 1, 2)),
        Fault("spec.ports[1].name", 'Duplicate value: "a.b"', listed_at="spec.ports"),
        Fault("spec.ports[0].port", "must be between 1 and 65535, inclusive"),
    ]
    await refused(enforced, "PUT", found, faults)


async def test_object_from_before_the_rules_can_be_deleted_with_its_finalizers(enforced):
    api = enforced.plane.api
    name = "old-leaving"
    await api.delete(RESOURCE, name, namespace="default")
    await api.patch(RESOURCE, name, {"metadata": {"labels": {"a": "b"}}}, namespace="default")
    await api.patch(RESOURCE, name, {"metadata": {"finalizers": None}}, namespace="default")
    assert await api.find(RESOURCE, name, namespace="default") is None


# --- what is not the rules' affair


async def test_case_67_unreadable_json_is_a_bad_request(enforced):
    access = enforced.plane.access
    url = access.server + resource_path(RESOURCE, namespace="default")
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=access.ssl_context())) as session,
        session.post(url, data=b"{", headers={"Content-Type": "application/json"}) as response,
    ):
        assert response.status == 400, await response.text()


async def test_case_67_fields_of_the_wrong_type_are_named(enforced):
    """The definition answers 422 where the webhook, which decodes by itself, answers 400."""
    with pytest.raises(Refused) as caught:
        await send(enforced.plane, "POST", mcs(types="CrossCluster"), dry_run=True)
    assert caught.value.status == 422
    assert "spec.types" in dict(caught.value.causes)
