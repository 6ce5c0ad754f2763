"""The project's manifests make a bed a fleet."""

from __future__ import annotations

import base64

import pytest

from testbed import Api, ApiStatusError, NotYet, karmada, wait_for

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLUSTERS = "cluster.karmada.io/v1alpha1/clusters"


async def test_installing_and_joining_twice_changes_nothing(installed_bed):
    before = await installed_bed.host.api.get(CLUSTERS, "member1")
    await karmada.install(installed_bed)
    await karmada.join(installed_bed, "member1")
    after = await installed_bed.host.api.get(CLUSTERS, "member1")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


async def test_the_secret_of_a_cluster_lets_one_in_as_the_controllers_account(installed_bed):
    host = installed_bed.host.api
    cluster = await host.get(CLUSTERS, "member1")
    assert cluster["spec"]["syncMode"] == "Push"
    assert cluster["spec"]["insecureSkipTLSVerification"] is False
    reference = cluster["spec"]["secretRef"]
    secret = await host.get("v1/secrets", reference["name"], namespace=reference["namespace"])
    plane = installed_bed.members["member1"]
    assert cluster["spec"]["apiEndpoint"] == plane.access.server
    assert base64.b64decode(secret["data"]["caBundle"]) == plane.access.ca_pem
    token = base64.b64decode(secret["data"]["token"]).decode()
    access = plane.token_access(token, installed_bed.root / "users" / "joined.kubeconfig")
    async with Api(access) as api:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = await api.raw("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
        assert answer["status"]["userInfo"]["username"] == karmada.CONTROLLER_USER
        await api.list("discovery.k8s.io/v1/endpointslices")
        with pytest.raises(ApiStatusError, match="forbidden"):
            await api.list("v1/secrets")


async def test_the_controllers_kubeconfig_grants_its_work_and_no_more(installed_bed):
    async with Api(await karmada.controller_access(installed_bed)) as api:
        await api.list("work.karmada.io/v1alpha1/works")
        with pytest.raises(ApiStatusError, match="forbidden"):
            await api.list("v1/secrets", namespace="kube-system")


async def test_an_unjoined_member_is_gone_with_its_secret(new_bed):
    bed = await new_bed(members=("one",), controller_manager=False)
    await karmada.install(bed)
    await karmada.join(bed, "one", labels={"zone": "a"})
    assert (await bed.host.api.get(CLUSTERS, "one"))["metadata"]["labels"] == {"zone": "a"}
    await karmada.unjoin(bed, "one")
    assert await bed.host.api.list(CLUSTERS) == []
    assert await bed.host.api.find("v1/secrets", "one", namespace=karmada.CLUSTER_NAMESPACE) is None


async def test_people_get_the_multi_cluster_kinds_with_their_usual_roles(installed_bed):
    """On the bed with controllers, since one of them puts aggregated roles together."""
    api = installed_bed.host.api

    view = {"get", "list", "watch"}
    change = {"create", "delete", "deletecollection", "patch", "update"}
    for role, expected in {"view": view, "edit": view | change, "admin": view | change}.items():

        async def has_them(role: str = role, expected: set[str] = expected) -> bool | None:
            rules = (await api.get("rbac.authorization.k8s.io/v1/clusterroles", role)).get("rules") or []
            ours = [rule["verbs"] for rule in rules if "multiclusterservices" in rule.get("resources", [])]
            found = set().union(*ours)
            if found != expected:
                raise NotYet(f"{role} allows {found}")
            return True

        await wait_for(f"{role} to be aggregated", has_them)
