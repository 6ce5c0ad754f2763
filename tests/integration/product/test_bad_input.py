"""Wrong input: one clear word about it, nothing else suffers, and it heals by itself when the input is mended."""

from __future__ import annotations

import base64
import copy
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from testbed import ApiStatusError, NotYet, karmada, wait_for
from tests.support.fleet import (
    BINDINGS,
    CLUSTERS,
    CRDS,
    EVENTS,
    MCS,
    PATIENCE_SECONDS,
    SECRETS,
    SERVICES,
    SLICES,
    WORKS,
    Object,
    Space,
    condition_of,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    service,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed import Api, ControllerProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")

ACCOUNTS = "v1/serviceaccounts"
ROLE_BINDINGS = "rbac.authorization.k8s.io/v1/clusterrolebindings"
MEMBER_ROLES = ("mcs-controller-manager-member", "mcs-controller-manager-member-standalone")
COMPLETE = "CompleteAPIEnablements"
MCS_CRD = "multiclusterservices.networking.karmada.io"


async def goes_on(space: Space) -> None:
    """A healthy service, made now, works from one end to the other."""
    await space.create(service("healthy"), multiclusterservice("healthy", ["member1"], ["member2"]))
    await space.create_in("member1", endpointslice("healthy-a", "healthy", ["192.0.2.99"]))
    await space.dispatched_are("member2", {"member1-healthy-a": ["192.0.2.99"]}, "healthy")
    await space.succeeded("healthy")


async def lines_about(controller: ControllerProcess, *words: str) -> list[str]:
    """Lines of the controller's log that hold all these words."""
    lines = controller.log.read_text().splitlines()
    return [line for line in lines if all(word in line for word in words)]


# --- MultiClusterServices ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def without_validation(api: Api) -> AsyncIterator[None]:
    """The kind without its CEL rules, as an older or foreign CRD has it; as it was, afterwards."""
    crd = await api.get(CRDS, MCS_CRD)
    lax = copy.deepcopy(crd)
    for version in lax["spec"]["versions"]:
        strip_rules(version["schema"])
    await api.patch(CRDS, MCS_CRD, {"spec": {"versions": lax["spec"]["versions"]}})
    try:
        yield
    finally:
        await api.patch(CRDS, MCS_CRD, {"spec": {"versions": crd["spec"]["versions"]}})


def strip_rules(schema: Any) -> None:
    if isinstance(schema, dict):
        schema.pop("x-kubernetes-validations", None)
        for each in schema.values():
            strip_rules(each)
    elif isinstance(schema, list):
        for each in schema:
            strip_rules(each)


TWO_TYPES = ("CrossCluster", "LoadBalancer")
MORE_THAN_ONE = "MultiClusterService types should not contain more than one type"


async def test_a_service_of_two_types_is_refused_by_admission(space):
    with pytest.raises(ApiStatusError, match=MORE_THAN_ONE) as refused:
        await space.create(multiclusterservice("both", types=TWO_TYPES))
    assert refused.value.status == 422


async def test_where_admission_lets_it_through_the_condition_says_so(space):
    async with without_validation(space.host):

        async def admitted() -> bool:
            # The server takes a moment to notice that its CRD has changed.
            await space.create(multiclusterservice("both", ["member1"], ["member2"], types=TWO_TYPES))
            return True

        await wait_for("the lax kind", admitted, PATIENCE_SECONDS)
        await space.create(service("both"))
        await space.create_in("member1", endpointslice("both-a", "both", ["192.0.2.1"]))
        await eventually(
            "the condition",
            lambda: space.condition("both", "ServiceApplied"),
            (
                "False",
                "ServiceAppliedFailed",
                f'spec.types: Invalid value: ["CrossCluster","LoadBalancer"]: {MORE_THAN_ONE}',
            ),
        )
        await goes_on(space)
        assert await space.dispatched("member2", "both") == {}
        await space.patch_mcs("both", {"types": ["CrossCluster"]})
    await space.dispatched_are("member2", {"member1-both-a": ["192.0.2.1"]}, "both")
    await space.succeeded("both")


async def test_a_service_without_service_says_so_and_heals_when_it_is_there(space):
    await space.create(multiclusterservice("web", ["member1"], ["member2"]))
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    text = f"Service {space.namespace}/web does not exist; create it in the control plane"
    await eventually(
        "the condition",
        lambda: space.condition("web", "ServiceApplied"),
        ("False", "ServiceAppliedFailed", text),
    )

    async def warnings() -> set[tuple[str, str, str]]:
        return {each for each in await space.events("MultiClusterService", "web") if each[0] == "Warning"}

    missing = f"Service {space.namespace}/web does not exist in the control plane."
    both = {("Warning", "SyncServiceFailed", text), ("Warning", "ServiceNotFound", missing)}
    await eventually("the events", warnings, both)
    await goes_on(space)
    await space.create(service("web"))
    await space.succeeded("web")
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]}, "web")


# --- Clusters ---------------------------------------------------------------------------------------------------------


async def test_a_cluster_without_secret_and_then_with_a_wrong_ca_says_so_and_heals(space, new_bed):
    far = await new_bed(members=(), controller_manager=False)
    await karmada.apply_all(far.host.api, karmada.load(karmada.MANIFESTS / "member"))
    bindings = [await far.host.api.get(ROLE_BINDINGS, name) for name in MEMBER_ROLES]
    for binding in bindings:
        await far.host.api.delete(ROLE_BINDINGS, binding["metadata"]["name"])
        binding["metadata"] = {"name": binding["metadata"]["name"]}
    token = await karmada.request_token(far.host, karmada.SYSTEM_NAMESPACE, karmada.SERVICE_ACCOUNT)
    cluster: Object = {
        "apiVersion": "cluster.karmada.io/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": "far"},
        "spec": {
            "syncMode": "Push",
            "apiEndpoint": far.host.access.server,
            "secretRef": {"namespace": karmada.CLUSTER_NAMESPACE, "name": "far"},
        },
    }
    secret: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "far", "namespace": karmada.CLUSTER_NAMESPACE},
        "data": {"token": encoded(token.encode()), "caBundle": encoded(space.bed.host.access.ca_pem)},
    }
    host = space.host

    async def ready() -> tuple[str, str]:
        return condition_of(await host.get(CLUSTERS, "far"), "Ready")[:2]

    try:
        await host.create(cluster)
        await eventually("the cluster to be called unusable", ready, ("False", "StatusCollectionFailed"))
        assert "Secret karmada-cluster/far not found" in condition_of(await host.get(CLUSTERS, "far"), "Ready")[2]

        async def event_names_the_secret() -> bool:
            return "Secret karmada-cluster/far not found" in await events_of_cluster(host, "far")

        await eventually("an event about the Secret", event_names_the_secret, True)
        await space.create(multiclusterservice("web", ["far", "member1"], ["member2"]), service("web"))
        await eventually(
            "the condition of a service that names it",
            lambda: space.condition("web", "ServiceApplied"),
            (
                "True",
                "ServiceAppliedSucceed",
                "Service is propagated to target clusters. "
                "Skipped: far: there is no way to connect to the cluster, see its condition Ready.",
            ),
        )
        await goes_on(space)

        await host.create(secret)
        await eventually("the cluster to be called unreachable", ready, ("False", "ClusterNotReachable"))

        async def names_the_authorities() -> bool:
            # Who issued the certificate is asked on another connection, which may fail for a moment.
            words = condition_of(await host.get(CLUSTERS, "far"), "Ready")[2]
            return bool(
                re.search(
                    r"the server's certificate, which CN=\S+ issued, is not trusted: "
                    r"caBundle of Secret karmada-cluster/far holds CN=\S+ \(",
                    words,
                )
            )

        await eventually("the message to name both authorities", names_the_authorities, True, timeout=120)

        mended = {"data": {"caBundle": encoded(far.host.access.ca_pem)}}
        await host.patch(SECRETS, "far", mended, namespace=karmada.CLUSTER_NAMESPACE)
        # It is read again every 30 s while something is wrong.
        await eventually("the cluster to be ready", ready, ("True", "ClusterReady"), timeout=60)

        # Whose token it is has no rights yet: a final answer, told at once.
        await skipped(space, "its endpointslices cannot be listed: 403 Forbidden")
        for binding in bindings:
            await far.host.api.create(binding)
        await eventually(
            "the condition of a service that names it",
            lambda: space.condition("web", "ServiceApplied"),
            (
                "True",
                "ServiceAppliedSucceed",
                "Service is propagated to target clusters.",
            ),
        )
        await wait_for("the Service in it", lambda: far.host.api.find(SERVICES, "web", namespace=space.namespace))

        # The token is worth nothing any more, and nobody has put another one into the Secret.
        await far.host.api.delete(ACCOUNTS, karmada.SERVICE_ACCOUNT, namespace=karmada.SYSTEM_NAMESPACE)
        await eventually("the cluster to be called refusing", ready, ("False", "CredentialsRefused"), timeout=60)
        refused = "cluster refused the token in Secret karmada-cluster/far (/readyz answered 401)"
        assert condition_of(await host.get(CLUSTERS, "far"), "Ready")[2] == refused

        async def events_of_the_refusal() -> int:
            return (await events_of_cluster(host, "far")).splitlines().count(refused)

        await eventually("one event of the refusal", events_of_the_refusal, 1)
        await skipped(space, "far: the cluster refused the token in Secret karmada-cluster/far")
    finally:
        # A binding that outlives its MultiClusterService is scheduled by nobody, and keeps the cluster from leaving.
        for resource in (MCS, SERVICES):
            await host.delete(resource, "web", namespace=space.namespace, missing_ok=True)
        await gone(host, BINDINGS, "web-service", space.namespace)
        await host.delete(CLUSTERS, "far", missing_ok=True)
        await gone(host, CLUSTERS, "far")
        await host.delete(SECRETS, "far", namespace=karmada.CLUSTER_NAMESPACE, missing_ok=True)


async def test_an_aggregated_api_whose_server_does_not_exist_leaves_its_member_ready(space):
    """https://github.com/karmada-io/karmada/issues/1673: what else the member serves is known all the same."""
    host, member = space.host, space.member("member1")
    dead: Object = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.dead.example.com"},
        "spec": {
            "group": "dead.example.com",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 10,
            "insecureSkipTLSVerify": True,
            "service": {"name": "nobody", "namespace": "default"},
        },
    }

    async def condition(kind: str) -> tuple[str, str]:
        return condition_of(await host.get(CLUSTERS, "member1"), kind)[:2]

    await eventually("member1 to be ready", lambda: condition("Ready"), ("True", "ClusterReady"))
    since = condition_of(await host.get(CLUSTERS, "member1"), "Ready")
    await member.create(dead)
    try:
        await eventually("a list that says what is missing", lambda: condition(COMPLETE), ("False", "Partial"))
        cluster = await host.get(CLUSTERS, "member1")
        assert "dead.example.com" in condition_of(cluster, COMPLETE)[2]
        assert "discovery.k8s.io/v1" in [one["groupVersion"] for one in cluster["status"]["apiEnablements"]]
        assert condition_of(cluster, "Ready") == since
        await goes_on(space)
    finally:
        await member.delete("apiregistration.k8s.io/v1/apiservices", "v1beta1.dead.example.com")
    await eventually("a complete list", lambda: condition(COMPLETE), ("True", "Complete"))


async def skipped(space: Space, words: str) -> None:
    """Wait until the service says in its condition that a cluster is skipped, and why."""

    async def said() -> bool:
        message = (await space.condition("web", "ServiceApplied"))[2]
        if words not in message:
            raise NotYet(message)
        return True

    await wait_for(f"a condition with {words!r}", said)


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


async def events_of_cluster(api: Api, name: str) -> str:
    selector = f"involvedObject.kind=Cluster,involvedObject.name={name},type=Warning"
    return "\n".join(each["message"] for each in await api.list(EVENTS, field_selector=selector))


# --- Works ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ({}, "apiVersion"),
        ({"apiVersion": 5, "kind": ["a"], "metadata": "none"}, "apiVersion"),
        ({"apiVersion": "v1", "kind": "Service"}, "name"),
        ({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "labels": 5}}, "label"),
        ({"apiVersion": "nowhere/v9", "kind": "Nothing", "metadata": {"name": "a"}}, "nowhere/v9 Nothing"),
    ],
    ids=["empty", "wrong types", "nameless", "wrong metadata", "unknown kind"],
)
async def test_a_work_with_a_garbage_manifest_says_so_and_heals(space, manifest, says):
    name = f"garbage-{space.namespace}"
    executed = "karmada-es-member2"
    work: Object = {
        "apiVersion": "work.karmada.io/v1alpha1",
        "kind": "Work",
        "metadata": {"name": name, "namespace": executed},
        "spec": {"workload": {"manifests": [manifest]}},
    }
    await space.host.create(work)
    try:

        async def refused() -> str:
            status, reason, message = condition_of(await space.host.get(WORKS, name, namespace=executed), "Applied")
            if (status, reason) != ("False", "AppliedFailed"):
                raise NotYet(f"Applied {status} {reason} {message}")
            return message

        assert says.lower() in (await wait_for("the condition", refused)).lower()
        await goes_on(space)
        mended = service("mended")
        mended["metadata"]["namespace"] = space.namespace
        await space.host.patch(
            WORKS,
            name,
            [{"op": "replace", "path": "/spec/workload/manifests", "value": [mended]}],
            namespace=executed,
            patch_type="json",
        )

        async def applied() -> str:
            return condition_of(await space.host.get(WORKS, name, namespace=executed), "Applied")[1]

        await eventually("the mended Work to be applied", applied, "AppliedSuccessful")
        assert await space.member("member2").find(SERVICES, "mended", namespace=space.namespace)
    finally:
        await space.host.delete(WORKS, name, namespace=executed)
        await gone(space.host, WORKS, name, executed)
    assert await space.member("member2").find(SERVICES, "mended", namespace=space.namespace) is None


# --- slices -----------------------------------------------------------------------------------------------------------


async def test_a_slice_of_a_thousand_endpoints_arrives_whole(space):
    addresses = [f"10.9.{number // 250}.{number % 250}" for number in range(1000)]
    await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
    await space.create_in("member1", endpointslice("web-a", "web", addresses))
    await space.dispatched_are("member2", {"member1-web-a": addresses})
    await space.set_addresses("member1", "web-a", addresses[:999])
    await space.dispatched_are("member2", {"member1-web-a": addresses[:999]})
    await space.succeeded("web")


async def test_opening_17_a_slice_whose_name_is_too_long_for_its_work_is_logged_and_the_others_go_on(space, controller):
    """The name of a Work is that of the slice and up to eleven characters."""
    name = "w" * 250
    await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
    await space.create_in(
        "member1", endpointslice(name, "web", ["192.0.2.1"]), endpointslice("web-a", "web", ["192.0.2.2"])
    )
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.2"]})

    async def logged() -> bool | None:
        return (
            bool(await lines_about(controller, "WARNING", f"member1/{space.namespace}/{name}", "must be no more"))
            or None
        )

    await wait_for("a line in the log", logged)
    await goes_on(space)
    await space.member("member1").delete(SLICES, name, namespace=space.namespace)
    await space.create_in("member1", endpointslice("w" * 200, "web", ["192.0.2.1"]))
    await space.dispatched_are(
        "member2", {"member1-web-a": ["192.0.2.2"], "member1-" + "w" * 200: ["192.0.2.1"]}, "web"
    )


REFUSAL = "no slices like this one, please"


@asynccontextmanager
async def refusing(api: Api, namespace: str, what: Object, probe: Object) -> AsyncIterator[None]:
    """An API server that refuses to create objects of a kind in a namespace whose name contains `-refused`.

    Args:
        api: the server.
        namespace: where.
        what: a resource rule of a ValidatingAdmissionPolicy.
        probe: an object that is to be refused, to see when the policy is in force.
    """
    name = f"refuse-{namespace}"
    spec: Object = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [what | {"operations": ["CREATE"]}]},
        "validations": [{"expression": "!object.metadata.name.contains('-refused')", "message": REFUSAL}],
    }
    binding: Object = {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
    }
    for kind, content in (("ValidatingAdmissionPolicy", spec), ("ValidatingAdmissionPolicyBinding", binding)):
        await api.create({"apiVersion": ADMISSION, "kind": kind, "metadata": {"name": name}, "spec": content})

    async def in_force() -> bool:
        group = f"/apis/{what['apiGroups'][0]}" if what["apiGroups"][0] else "/api"
        path = f"{group}/{what['apiVersions'][0]}/namespaces/{namespace}/{what['resources'][0]}"
        try:
            await api.raw("POST", path, probe, query={"dryRun": "All"})
        except ApiStatusError as error:
            if REFUSAL in error.message:
                return True
            raise
        raise NotYet("it was admitted")

    try:
        await wait_for("the policy to be in force", in_force, interval=0.2)
        yield
    finally:
        for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
            await api.delete(f"{ADMISSION}/{plural}", name)


ADMISSION = "admissionregistration.k8s.io/v1"
SLICE_RULE: Object = {"apiGroups": ["discovery.k8s.io"], "apiVersions": ["v1"], "resources": ["endpointslices"]}
WORK_RULE: Object = {"apiGroups": ["work.karmada.io"], "apiVersions": ["v1alpha1"], "resources": ["works"]}
WORK_PROBE: Object = {
    "apiVersion": "work.karmada.io/v1alpha1",
    "kind": "Work",
    "metadata": {"name": "probe-refused"},
    "spec": {"workload": {"manifests": []}},
}


async def test_opening_23_a_slice_that_the_consumer_refuses_is_named_with_the_reason_and_heals(space):
    probe = endpointslice("probe-refused", "x", ["192.0.2.1"])
    async with refusing(space.member("member2"), space.namespace, SLICE_RULE, probe):
        await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
        await space.create_in(
            "member1", endpointslice("web-refused", "web", ["192.0.2.1"]), endpointslice("web-a", "web", ["192.0.2.2"])
        )
        await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.2"]})

        async def work_of_the_refused() -> str | None:
            for work in await space.works("member2", "EndpointSlice"):
                if work["spec"]["workload"]["manifests"][0]["metadata"]["name"] == "member1-web-refused":
                    return str(work["metadata"]["name"])
            return None

        name = await wait_for("the Work of the refused slice", work_of_the_refused)

        async def applied() -> tuple[str, str]:
            work = await space.host.get(WORKS, name, namespace="karmada-es-member2")
            status, reason, message = condition_of(work, "Applied")
            return f"{status} {reason}", REFUSAL if REFUSAL in message else ""

        await eventually("the condition of the Work", applied, ("False AppliedFailed", REFUSAL))
        selector = f"involvedObject.kind=Work,involvedObject.name={name},reason=SyncFailed"

        async def told() -> int:
            return len(await space.host.list(EVENTS, namespace="karmada-es-member2", field_selector=selector))

        await eventually("one event", told, 1)

        async def dispatched() -> tuple[str, str, bool]:
            status, reason, message = await space.condition("web", "EndpointSliceDispatched")
            begins = message.startswith(f"slice {space.namespace}/web-refused of member1 in member2: ")
            return status, reason, begins and REFUSAL in message

        await eventually("the condition", dispatched, ("False", "EndpointSliceDispatchedFailed", True))

        async def warnings() -> list[bool]:
            found = await space.events("MultiClusterService", "web")
            return [REFUSAL in message for _, reason, message in found if reason == "DispatchEndpointSliceFailed"]

        await eventually("one event about it", warnings, [True])
        await goes_on(space)
    both = {"member1-web-a": ["192.0.2.2"], "member1-web-refused": ["192.0.2.1"]}
    # What a member refuses is tried again about every minute.
    await eventually("both slices in member2", lambda: space.dispatched("member2", "web"), both, timeout=180)
    await eventually("the mended Work", applied, ("True AppliedSuccessful", ""))
    await space.succeeded("web")


async def test_openings_09_and_10_one_slice_that_fails_is_not_hidden_by_the_success_of_another(space):
    """The condition is about all slices, names what fails, and heals."""
    executed = "karmada-es-member2"
    async with refusing(space.host, executed, WORK_RULE, WORK_PROBE):
        await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
        await space.create_in(
            "member1", endpointslice("web-refused", "web", ["192.0.2.1"]), endpointslice("web-a", "web", ["192.0.2.2"])
        )
        await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.2"]})

        async def dispatched() -> tuple[str, str, bool]:
            status, reason, message = await space.condition("web", "EndpointSliceDispatched")
            return status, reason, REFUSAL in message and "member2" in message and "web-refused" in message

        failed = ("False", "EndpointSliceDispatchedFailed", True)
        await eventually("the condition", dispatched, failed)
        await space.set_addresses("member1", "web-a", ["192.0.2.3"])
        await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.3"]})
        await goes_on(space)
        assert await dispatched() == failed

        async def told() -> bool:
            return ("Warning", "DispatchEndpointSliceFailed") in await space.event_reasons("MultiClusterService", "web")

        await eventually("an event about it", told, True)
    both = {"member1-web-a": ["192.0.2.3"], "member1-web-refused": ["192.0.2.1"]}
    # The longer it has failed, the later it is tried again.
    await eventually("both slices in member2", lambda: space.dispatched("member2", "web"), both, timeout=180)
    await space.succeeded("web")


# --- other people's objects -------------------------------------------------------------------------------------------


async def test_a_work_that_somebody_emptied_is_written_anew(space):
    await goes_on(space)
    (collected,) = await space.works("member1", "EndpointSlice")
    await space.host.patch(
        WORKS,
        collected["metadata"]["name"],
        [{"op": "replace", "path": "/spec/workload/manifests", "value": [{"apiVersion": "v1", "kind": "Junk"}]}],
        namespace="karmada-es-member1",
        patch_type="json",
    )
    await eventually(
        "the collected Work", lambda: space.work_names("member1", "EndpointSlice"), [collected["metadata"]["name"]]
    )
    await space.set_addresses("member1", "healthy-a", ["192.0.2.98"])
    await space.dispatched_are("member2", {"member1-healthy-a": ["192.0.2.98"]})
