"""What the definitions do beyond the rules of a MultiClusterService."""

from __future__ import annotations

import pytest

from testbed.errors import ApiStatusError
from tests.integration.manifests.support import create_strictly
from tests.support.admission_rules import LABEL_TEXT, RESOURCE, mcs

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLUSTERS = "cluster.karmada.io/v1alpha1/clusters"


async def test_unknown_fields_are_refused_if_asked_and_dropped_otherwise(installed):
    with pytest.raises(ApiStatusError, match=r"unknown field \"spec.provider\""):
        await create_strictly(installed.api, RESOURCE, mcs(provider="x"), dryRun="All")
    created = await installed.api.create(mcs(provider="x"))
    assert created["spec"] == {"types": ["CrossCluster"]}


async def test_definition_sets_no_id_and_adds_nothing_else(installed):
    wanted = mcs()
    created = await installed.api.create(wanted)
    assert "labels" not in created["metadata"]
    assert created["spec"] == wanted["spec"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("a" * 49, "must be no more than 48 characters"), ("a.b", LABEL_TEXT), ("a" * 48, None)],
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
        await create_strictly(installed.api, CLUSTERS, cluster, dryRun="All")
    else:
        with pytest.raises(ApiStatusError, match=message) as caught:
            await create_strictly(installed.api, CLUSTERS, cluster, dryRun="All")
        assert "metadata.name" in caught.value.message


async def test_cluster_from_before_the_rules_can_be_let_go(installed):
    name = f"old.{'a' * 48}"
    await installed.api.patch(CLUSTERS, name, {"spec": {"apiEndpoint": "https://192.0.2.1"}})
    await installed.api.delete(CLUSTERS, name)
    await installed.api.patch(CLUSTERS, name, {"metadata": {"finalizers": None}})
    assert await installed.api.find(CLUSTERS, name) is None
