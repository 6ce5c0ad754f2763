"""PropagationPolicies on real API servers, by the installed binary with the rights that the manifests give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import yaml

from testbed import karmada, wait_for
from testbed.errors import NotYet
from tests.support.fleet import (
    BINDINGS,
    CONFIGMAPS,
    DEPLOYMENTS,
    MCS,
    PATIENCE_SECONDS,
    POLICIES,
    SERVICES,
    Object,
    Space,
    at_rest,
    condition_of,
    configmap,
    deployment,
    eventually,
    gone,
    multiclusterservice,
    propagationpolicy,
    service,
)
from tests.support.traffic import Refusals, Traffic, idle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.integration.standalone.conftest import Installed

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = karmada.MANIFESTS.parent / "examples" / "01-walkthrough"
POLICY_LABEL = "propagationpolicy.karmada.io/permanent-id"
CLAIMED_BY = "resourcetemplate.karmada.io/claimed-by"
WIDGET = {"apiVersion": "example.org/v1", "kind": "Widget"}
WIDGETS = "example.org/v1/widgets"


@pytest_asyncio.fixture(loop_scope="session")
async def space(installed: Installed) -> AsyncIterator[Space]:
    made = await Space.make(installed.bed)
    yield made
    await made.remove()


async def until(
    space: Space, where: str, resource: str, name: str, wanted: Callable[[Object], Any] = lambda _: True
) -> Object:
    """Wait until an object of a member, or of the control plane (""), satisfies the predicate."""
    api = space.member(where) if where else space.host

    async def probe() -> Object:
        found = await api.find(resource, name, namespace=space.namespace)
        if found is None or not wanted(found):
            raise NotYet(f"{found}")
        return found

    return await wait_for(f"{resource} {name} in {where or 'the control plane'}", probe, PATIENCE_SECONDS)


async def applied(space: Space, name: str) -> Object:
    """Wait until a binding is applied everywhere."""

    def is_applied(binding: Object) -> bool:
        conditions = {one["type"]: one["status"] for one in binding.get("status", {}).get("conditions", ())}
        return conditions.get("FullyApplied") == "True"

    return await until(space, "", BINDINGS, name, is_applied)


async def test_a_deployment_goes_where_the_policy_says_and_nowhere_else(installed: Installed, space: Space) -> None:
    await space.create(deployment("web", 1), propagationpolicy("web", ["member1"], deployment("web", 1)))
    found = await until(space, "member1", DEPLOYMENTS, "web")
    binding = await applied(space, "web-deployment")
    template = await space.host.get(DEPLOYMENTS, "web", namespace=space.namespace)
    policy = await space.host.get(POLICIES, "web", namespace=space.namespace)
    permanent_id = policy["metadata"]["labels"][POLICY_LABEL]
    assert template["metadata"]["labels"][POLICY_LABEL] == permanent_id
    assert binding["metadata"]["labels"][POLICY_LABEL] == permanent_id
    assert binding["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": "web",
            "uid": template["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert found["spec"] == template["spec"]
    assert await space.member("member2").find(DEPLOYMENTS, "web", namespace=space.namespace) is None
    assert template.get("status", {}) == {}, "nothing runs on the control plane"

    async def told() -> bool:
        return ("Normal", "ApplyPolicySucceed") in await space.event_reasons("Deployment", "web")

    await eventually("the event about the policy", told, True)


async def test_changes_follow_drift_is_repaired_and_places_move(installed: Installed, space: Space) -> None:
    await space.create(deployment("web", 1), propagationpolicy("web", ["member1"], deployment("web", 1)))
    await until(space, "member1", DEPLOYMENTS, "web")
    await space.host.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 3}}, namespace=space.namespace)
    await until(space, "member1", DEPLOYMENTS, "web", lambda one: one["spec"]["replicas"] == 3)
    pod: Object = {"template": {"spec": {"nodeSelector": {"disk": "fast"}}}}
    await space.host.patch(DEPLOYMENTS, "web", {"spec": pod}, namespace=space.namespace)
    await until(space, "member1", DEPLOYMENTS, "web", lambda one: "nodeSelector" in one["spec"]["template"]["spec"])
    pod = {"template": {"spec": {"nodeSelector": None}}}
    await space.host.patch(DEPLOYMENTS, "web", {"spec": pod}, namespace=space.namespace)
    await until(space, "member1", DEPLOYMENTS, "web", lambda one: "nodeSelector" not in one["spec"]["template"]["spec"])
    wanted = (await space.host.get(DEPLOYMENTS, "web", namespace=space.namespace))["spec"]
    for drift in ({"spec": {"replicas": 7}}, {"spec": {"progressDeadlineSeconds": 700}}):
        await space.member("member1").patch(DEPLOYMENTS, "web", drift, namespace=space.namespace)
        await until(space, "member1", DEPLOYMENTS, "web", lambda one: one["spec"] == wanted)
    await space.member("member1").delete(DEPLOYMENTS, "web", namespace=space.namespace)
    await until(space, "member1", DEPLOYMENTS, "web")

    placement = {"clusterAffinity": {"clusterNames": ["member2"]}}
    await space.host.patch(POLICIES, "web", {"spec": {"placement": placement}}, namespace=space.namespace)
    await until(space, "member2", DEPLOYMENTS, "web")
    await gone(space.member("member1"), DEPLOYMENTS, "web", space.namespace)


async def test_what_a_policy_brought_outlives_it_and_goes_with_its_template(installed: Installed, space: Space) -> None:
    app = deployment("web", 1)
    await space.create(app, propagationpolicy("web", ["member1"], app))
    await applied(space, "web-deployment")
    await space.host.delete(POLICIES, "web", namespace=space.namespace)
    await gone(space.host, POLICIES, "web", space.namespace)
    for resource, name in ((DEPLOYMENTS, "web"), (BINDINGS, "web-deployment")):
        left = await space.host.get(resource, name, namespace=space.namespace)
        assert not [key for key in left["metadata"].get("labels", {}) if key.startswith("propagationpolicy.")]
        assert not [key for key in left["metadata"].get("annotations", {}) if key.startswith("propagationpolicy.")]
    await idle(installed.process)
    assert await space.member("member1").find(DEPLOYMENTS, "web", namespace=space.namespace) is not None
    await space.host.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 0}}, namespace=space.namespace)
    await until(space, "member1", DEPLOYMENTS, "web", lambda found: found["spec"]["replicas"] == 0)
    await space.host.delete(DEPLOYMENTS, "web", namespace=space.namespace)
    await gone(space.member("member1"), DEPLOYMENTS, "web", space.namespace)
    await gone(space.host, BINDINGS, "web-deployment", space.namespace)


async def test_a_policy_goes_while_its_template_is_being_deleted_and_held_by_others(
    installed: Installed, space: Space
) -> None:
    app = deployment("held", 1)
    await space.create(app, propagationpolicy("held", ["member1"], app))
    await applied(space, "held-deployment")
    held = {"metadata": {"finalizers": ["example.com/theirs"]}}
    await space.host.patch(DEPLOYMENTS, "held", held, namespace=space.namespace)
    await space.host.delete(DEPLOYMENTS, "held", namespace=space.namespace)
    await space.host.delete(POLICIES, "held", namespace=space.namespace)
    await gone(space.host, POLICIES, "held", space.namespace)
    left = await space.host.get(DEPLOYMENTS, "held", namespace=space.namespace)
    assert left["metadata"]["finalizers"] == ["example.com/theirs"]
    await space.host.patch(DEPLOYMENTS, "held", {"metadata": {"finalizers": None}}, namespace=space.namespace)
    await gone(space.member("member1"), DEPLOYMENTS, "held", space.namespace)


async def test_a_service_that_outlives_its_multi_cluster_service_is_followed(
    installed: Installed, space: Space
) -> None:
    await at_rest(installed.bed, but=space)
    await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
    await applied(space, "web-service")
    await space.host.delete(MCS, "web", namespace=space.namespace)
    await gone(space.host, MCS, "web", space.namespace)
    ports = [{"name": "http", "port": 81}]
    await space.host.patch(SERVICES, "web", {"spec": {"ports": ports}}, namespace=space.namespace)
    for member in ("member1", "member2"):
        await until(space, member, SERVICES, "web", lambda found: found["spec"]["ports"][0]["port"] == 81)
    await idle(installed.process)
    traffic = Traffic(installed.bed)
    await installed.restart()
    await idle(installed.process)
    assert {asked for asked in traffic.writes() if asked.resource != "events"} == set(), traffic.told()
    await space.host.delete(SERVICES, "web", namespace=space.namespace)
    for member in ("member1", "member2"):
        await gone(space.member(member), SERVICES, "web", space.namespace)


async def test_a_restart_writes_nothing_and_misses_nothing(installed: Installed, space: Space) -> None:
    await at_rest(installed.bed, but=space)
    app, settings = deployment("web", 1), configmap("web", a="1")
    await space.create(app, settings, propagationpolicy("web", ["member1", "member2"], app, settings))
    await applied(space, "web-deployment")
    await applied(space, "web-configmap")
    await idle(installed.process)
    traffic = Traffic(installed.bed)
    await installed.restart()
    await idle(installed.process)
    assert {asked for asked in traffic.writes() if asked.resource != "events"} == set(), traffic.told()

    await installed.process.terminate()
    await space.host.patch(CONFIGMAPS, "web", {"data": {"a": "2"}}, namespace=space.namespace)
    await space.host.delete(POLICIES, "web", namespace=space.namespace)
    await installed.restart()
    await gone(space.host, POLICIES, "web", space.namespace)
    left = await space.host.get(DEPLOYMENTS, "web", namespace=space.namespace)
    assert POLICY_LABEL not in left["metadata"].get("labels", {})


async def test_a_claimed_service_is_left_to_its_multi_cluster_service(installed: Installed, space: Space) -> None:
    """The policy is there first; what happens then is the claim's, and after the release the policy's again."""
    await at_rest(installed.bed, but=space)
    everything = {"apiVersion": "v1", "kind": "Service"}
    await space.create(service("web"), propagationpolicy("all", ["member1"], everything))
    await applied(space, "web-service")
    await space.create(multiclusterservice("web", ["member1"], ["member2"]))
    await until(space, "member2", SERVICES, "web")
    claimed = await until(space, "", SERVICES, "web", lambda one: CLAIMED_BY in one["metadata"].get("labels", {}))
    assert POLICY_LABEL not in claimed["metadata"]["labels"]
    binding = await until(space, "", BINDINGS, "web-service", lambda one: POLICY_LABEL not in one["metadata"]["labels"])
    assert binding["spec"]["placement"] == {"clusterAffinity": {"clusterNames": ["member1", "member2"]}}
    await idle(installed.process)
    traffic = Traffic(installed.bed)
    await space.host.patch(POLICIES, "all", {"spec": {"priority": 5}}, namespace=space.namespace)
    await idle(installed.process, traffic)
    assert {asked for asked in traffic.writes() if asked.resource != "events"} == set(), traffic.told()

    await space.host.delete(MCS, "web", namespace=space.namespace)
    await until(space, "", SERVICES, "web", lambda one: POLICY_LABEL in one["metadata"].get("labels", {}))
    await gone(space.member("member2"), SERVICES, "web", space.namespace)


async def test_a_policy_that_asks_for_more_is_refused_where_it_is_seen(installed: Installed, space: Space) -> None:
    app = deployment("web", 1)
    await at_rest(installed.bed, but=space)
    spread = {"spreadConstraints": [{"spreadByField": "cluster", "maxGroups": 1}]}
    refused = propagationpolicy("web", ["member1"], app, failover={"application": {"decisionConditions": {}}})
    refused["spec"]["placement"] |= spread
    await idle(installed.process)
    traffic = Traffic(installed.bed)
    await space.create(app, refused)

    async def told() -> list[str]:
        events = await space.events("PropagationPolicy", "web")
        return [message for type_, reason, message in events if (type_, reason) == ("Warning", "PolicyRefused")]

    message = (
        "The policy is refused, and nothing is done for it: spec.placement.spreadConstraints is not supported; "
        "spec.failover is not supported"
    )
    await eventually("the refusal", told, [message])
    await idle(installed.process, traffic)
    assert {asked for asked in traffic.writes() if asked.resource != "events"} == set(), traffic.told()


async def test_a_kind_that_comes_later_is_picked_up(installed: Installed, space: Space) -> None:
    """A CustomResourceDefinition on the control plane after the policy, and in the member after that."""
    await space.create(propagationpolicy("widgets", ["member1"], WIDGET))

    async def told() -> bool:
        events = await space.events("PropagationPolicy", "widgets")
        return any("the control plane serves no example.org/v1 Widget" in message for *_, message in events)

    await eventually("the missing kind", told, True)
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.org"},
        "spec": {"group": "example.org", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    rights = {"apiGroups": ["example.org"], "resources": ["widgets"], "verbs": ["*"]}
    role: Object = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "widgets"},
    }
    binding: Object = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "widgets"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "widgets"},
        "subjects": [{"kind": "ServiceAccount", "name": "mcs-controller-manager", "namespace": "karmada-system"}],
    }
    granting = [role | {"rules": [rights]}, binding]
    await karmada.apply_all(installed.bed.host.api, [crd, *granting])
    await space.create(WIDGET | {"metadata": {"name": "a"}, "spec": {"size": 3}})
    why = "member1 is not known to serve example.org/v1 Widget"
    await until(space, "", BINDINGS, "a-widget", lambda one: why in condition_of(one, "Scheduled")[2])

    await karmada.apply_all(space.member("member1"), [crd, *granting])
    copy = await until(space, "member1", WIDGETS, "a")
    assert copy["spec"] == {"size": 3}
    await applied(space, "a-widget")


async def test_the_examples_run_where_their_readers_are_told(installed: Installed) -> None:
    """In the namespace that they name, `default`."""
    refusals = Refusals.since_now(installed.bed)
    files = ("deployment.yaml", "propagationpolicy.yaml", "curl.yaml")
    objects = [one for file in files for one in yaml.safe_load_all((EXAMPLES / file).read_text())]
    for one in objects:
        await installed.bed.host.api.create(one)
    space = Space(installed.bed, "default")
    await until(space, "member1", DEPLOYMENTS, "nginx", lambda one: one["spec"]["replicas"] == 2)
    await until(space, "member2", DEPLOYMENTS, "curl")
    await idle(installed.process)
    for cluster, expected in {"member1": ["nginx"], "member2": ["curl"]}.items():
        there = await space.member(cluster).list(DEPLOYMENTS, namespace="default")
        assert [one["metadata"]["name"] for one in there] == expected
    assert refusals.found() == []
