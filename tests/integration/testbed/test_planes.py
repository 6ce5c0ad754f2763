"""The shared bed is made of real control planes that do what real ones do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from testbed import Api, ApiStatusError, AuditLog, NotYet, WaitTimeout, wait_for

pytestmark = pytest.mark.asyncio(loop_scope="session")

LABELS = {"app": "web"}


def deployment(replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {"containers": [{"name": "web", "image": "nginx"}]},
            },
        },
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": LABELS, "ports": [{"port": 80}]},
}


async def endpoints_are(api: Api, namespace: str, count: int) -> list[str]:
    """Wait until the Service's slices name this many ready addresses, and return them."""

    async def probe() -> list[str] | None:
        slices = await api.list(
            "discovery.k8s.io/v1/endpointslices",
            namespace=namespace,
            label_selector="kubernetes.io/service-name=web",
        )
        endpoints = [endpoint for each in slices for endpoint in each["endpoints"] or ()]
        ready = sorted(each["addresses"][0] for each in endpoints if each["conditions"]["ready"])
        if not slices or len(ready) != count or len(endpoints) != count:
            raise NotYet(f"{len(slices)} slices with endpoints {endpoints}")
        return ready

    return await wait_for(f"{count} ready endpoints of the Service", probe)


async def test_pods_of_a_deployment_run_and_the_real_slice_follows_every_scaling(bed, namespace):
    plane = bed.members["member1"]
    await plane.api.create(SERVICE, namespace=namespace)
    await plane.api.create(deployment(2), namespace=namespace)
    addresses = await endpoints_are(plane.api, namespace, 2)
    pods = await plane.api.list("v1/pods", namespace=namespace)
    assert sorted(pod["status"]["podIP"] for pod in pods) == addresses
    assert all(address.startswith("10.81.") for address in addresses)
    assert {pod["spec"]["nodeName"] for pod in pods} == {"member1-node"}
    for replicas in (3, 1, 0):
        await plane.api.patch("apps/v1/deployments", "web", {"spec": {"replicas": replicas}}, namespace=namespace)
        await endpoints_are(plane.api, namespace, replicas)


async def test_a_pod_whose_readiness_a_test_takes_away_is_left_so(bed, namespace):
    plane = bed.members["member2"]
    await plane.api.create(SERVICE, namespace=namespace)
    await plane.api.create(deployment(2), namespace=namespace)
    await endpoints_are(plane.api, namespace, 2)
    name = (await plane.api.list("v1/pods", namespace=namespace))[0]["metadata"]["name"]
    not_ready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    await plane.api.patch("v1/pods", name, not_ready, namespace=namespace, subresource="status", patch_type="strategic")

    async def one_is_not_ready() -> bool | None:
        (one,) = await plane.api.list("discovery.k8s.io/v1/endpointslices", namespace=namespace)
        return [each["conditions"]["ready"] for each in one["endpoints"]].count(False) == 1 or None

    await wait_for("one endpoint that is not ready", one_is_not_ready)


async def test_a_deleted_pod_goes_and_its_replacement_gets_an_address_of_its_own(bed, namespace):
    plane = bed.members["member1"]
    await plane.api.create(SERVICE, namespace=namespace)
    await plane.api.create(deployment(1), namespace=namespace)
    (before,) = await endpoints_are(plane.api, namespace, 1)
    (pod,) = await plane.api.list("v1/pods", namespace=namespace)
    await plane.api.delete("v1/pods", pod["metadata"]["name"], namespace=namespace)

    async def replaced() -> str | None:
        pods = await plane.api.list("v1/pods", namespace=namespace)
        uids = {each["metadata"]["uid"] for each in pods}
        return pods[0]["status"].get("podIP") if len(pods) == 1 and uids != {pod["metadata"]["uid"]} else None

    address = await wait_for("another pod with an address in its place", replaced)
    assert address != before

    async def follows() -> bool | None:
        return await endpoints_are(plane.api, namespace, 1) == [address] or None

    await wait_for("the slice to name the other pod", follows)


async def test_ranges_of_the_planes_do_not_overlap(bed):
    planes = [bed.host, *bed.members.values()]
    ranges = [cidr for plane in planes for cidr in (plane.pod_cidr, plane.service_cidr)]
    assert len(set(ranges)) == len(ranges)
    services = [await plane.api.get("v1/services", "kubernetes", namespace="default") for plane in planes]
    assert len({service["spec"]["clusterIP"] for service in services}) == len(planes)


async def test_owned_objects_are_collected_on_the_control_plane(bed, namespace):
    api = bed.host.api
    owner = await api.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}}, namespace=namespace
    )
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    owned = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned", "ownerReferences": [reference]}}
    await api.create(owned, namespace=namespace)
    await api.delete("v1/configmaps", "owner", namespace=namespace)

    async def gone() -> bool | None:
        return await api.find("v1/configmaps", "owned", namespace=namespace) is None or None

    await wait_for("the owned object to be gone", gone)


async def test_a_minted_user_may_do_what_rbac_grants_and_nothing_else(bed, namespace):
    await bed.host.api.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "readers"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "readers"}],
        },
        namespace=namespace,
    )
    async with Api(bed.host.make_client("jane", ["readers"])) as jane:

        async def may_list() -> list[dict[str, Any]] | None:
            return await jane.list("v1/configmaps", namespace=namespace)

        await wait_for("the binding to count", may_list)
        with pytest.raises(ApiStatusError) as refusal:
            await jane.list("v1/secrets", namespace=namespace)
    assert (refusal.value.status, refusal.value.reason) == (403, "Forbidden")
    assert '"jane" cannot list resource "secrets"' in refusal.value.message


async def test_a_plane_refuses_certificates_of_another_plane(bed):
    stranger = bed.members["member1"].make_client("stranger", ["system:masters"])
    own = bed.host.access
    mixed = type(own)(
        name="mixed",
        server=own.server,
        ca_pem=own.ca_pem,
        client_cert_pem=stranger.client_cert_pem,
        client_key_pem=stranger.client_key_pem,
        kubeconfig=stranger.kubeconfig,
    )
    async with Api(mixed) as api:
        with pytest.raises(ApiStatusError) as refusal:
            await api.list("v1/namespaces")
    assert refusal.value.status == 401


async def test_the_audit_log_tells_each_answered_request_once_with_user_and_verb(bed, namespace):
    mark = AuditLog(bed.host.audit_log).mark()
    async with Api(bed.host.make_client("auditee", ["system:masters"])) as api:
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
        await api.create(manifest, namespace=namespace)
        await api.patch("v1/configmaps", "a", {"data": {"k": "v"}}, namespace=namespace)
        await api.list("v1/configmaps", namespace=namespace)
        await api.delete("v1/configmaps", "a", namespace=namespace)
        with pytest.raises(ApiStatusError):
            await api.get("v1/configmaps", "a", namespace=namespace)
    events = [event for event in mark.events() if event.user == "auditee" and event.resource == "configmaps"]
    assert [(event.verb, event.name, event.code) for event in events] == [
        ("create", "a", 201),
        ("patch", "a", 200),
        ("list", "", 200),
        ("delete", "a", 200),
        ("get", "a", 404),
    ]
    assert [event.is_write for event in events] == [True, True, False, True, False]


async def test_applying_an_unknown_field_is_an_error(bed, namespace):
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "dta": {}}
    with pytest.raises(ApiStatusError, match="field not declared in schema"):
        await bed.host.api.apply(manifest, namespace=namespace)


async def test_a_kind_that_the_server_does_not_know_is_not_found(bed):
    with pytest.raises(ApiStatusError, match="no kind Unheard in v1"):
        await bed.host.api.create({"apiVersion": "v1", "kind": "Unheard", "metadata": {"name": "a"}})


async def test_waiting_in_vain_ends_in_time_and_tells_what_was_last_seen():
    async def probe() -> None:
        raise NotYet("two of three")

    with pytest.raises(WaitTimeout, match=r"after 0\.3 s waiting for the third; last seen: two of three"):
        async with asyncio.timeout(60):
            await wait_for("the third", probe, 0.3)


async def test_a_probe_that_hangs_does_not_outlast_the_time_given():
    async def probe() -> bool | None:
        await asyncio.Event().wait()
        return None

    with pytest.raises(WaitTimeout):
        await wait_for("nothing", probe, 0.2)
