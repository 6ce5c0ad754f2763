"""Binding and execution on real API servers: what real defaulting, allocation and garbage collection make of the rules.

The controllers run with the rights that the manifests give, so a missing verb fails here.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import work_name
from testbed.api import Object, wait_for
from testbed.audit import AuditLog
from testbed.errors import ApiStatusError, NotYet
from tests.support.propagation_world import BINDINGS, SERVICES, SLICES, SPACE, WORKS, World
from tests.support.standalone import PROPAGATION_FLAGS, USER_AGENT, standalone_controllers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="session")


SHAPES: dict[str, Object] = {
    "plain": {},
    "headless": {"clusterIP": "None", "selector": {"app": "a"}, "publishNotReadyAddresses": True},
    "affinity": {"sessionAffinity": "ClientIP", "selector": {"app": "a"}},
    "node-port": {"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]},
    "balancer": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"},
    "balancer-without-node-ports": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False},
    "external-name": {"type": "ExternalName", "externalName": "example.org"},
    "external-ips": {"externalIPs": ["192.0.2.1"]},
    "udp-and-named": {"ports": [{"name": "dns", "port": 53, "protocol": "UDP", "targetPort": "dns"}]},
    "dual-stack-if-possible": {"ipFamilyPolicy": "PreferDualStack"},
    "local-only": {"internalTrafficPolicy": "Local", "trafficDistribution": "PreferClose"},
}


async def test_services_of_every_shape_are_applied_once_and_for_all(world: World) -> None:
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        for name, spec in SHAPES.items():
            await world.carry(f"work-{name}", world.service(name, **spec))
        for name in SHAPES:
            await world.applied(f"work-{name}")
        assert await world.writes_during_quiet() == []
    before = {one["metadata"]["name"]: one for one in await world.member.list(SERVICES, namespace=world.namespace)}
    assert set(before) == set(SHAPES)
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        assert await world.writes_during_quiet(3.0) == []


async def test_a_service_may_take_any_shape_after_any_other(world: World) -> None:
    shapes = ("node-port", "balancer", "plain", "external-name", "affinity", "external-ips", "plain", "local-only")
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        for shape in shapes:
            wanted = world.service("web", **(SHAPES[shape] | {"selector": {"step": shape}}))
            await world.carry("work", wanted)
            found = await world.until(
                SERVICES, "web", lambda one, shape=shape: one and one["spec"].get("selector") == {"step": shape}
            )
            await world.applied("work")
            assert found["spec"]["type"] == SHAPES[shape].get("type", "ClusterIP")
            assert await world.writes_during_quiet(0.5) == [], shape
            left = {"externalIPs", "trafficDistribution", "externalName", "sessionAffinityConfig"} & found[
                "spec"
            ].keys()
            assert left <= SHAPES[shape].keys() | ({"sessionAffinityConfig"} if shape == "affinity" else set())


async def test_slices_large_and_empty(world: World) -> None:
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        for count in (1000, 3, 0):
            ports = {} if count else {"ports": None}
            await world.carry("work", world.slice(count=count) | ports)
            await world.until(SLICES, "m9-web-1", lambda one, n=count: one and len(one["endpoints"] or ()) == n)
            await world.applied("work")
            assert await world.writes_during_quiet(0.5) == []
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        assert await world.writes_during_quiet() == []


async def test_drift_is_repaired(world: World) -> None:
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        await world.carry("work", world.service(selector={"app": "a"}))
        await world.carry("slice", world.slice())
        await world.applied("work")
        await world.applied("slice")
        for patch in (
            {"spec": {"selector": {"app": "theirs"}, "externalIPs": ["192.0.2.1"]}},
            {"metadata": {"labels": None}},
            {"metadata": {"labels": {wk.MANAGED: None}, "annotations": {wk.MANAGED_LABELS: None}}},
        ):
            await world.member.patch(SERVICES, "web", patch, namespace=world.namespace)
            repaired = await world.until(
                SERVICES,
                "web",
                lambda one: (
                    one
                    and one["spec"]["selector"] == {"app": "a"}
                    and one["metadata"].get("labels", {}).get(wk.MANAGED) == "true"
                    and wk.MANAGED_LABELS in one["metadata"]["annotations"]
                ),
            )
            assert repaired["spec"]["externalIPs"] == ["192.0.2.1"], "what others add is theirs"
        await world.member.delete(SLICES, "m9-web-1", namespace=world.namespace)
        await world.until(SLICES, "m9-web-1", lambda one: one is not None)
        assert await world.writes_during_quiet(0.5) == []


async def test_native_slices_survive_the_works_that_hold_their_copies(world: World) -> None:
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        await world.carry("service", world.service(selector={"app": "a"}))
        await world.applied("service")

        async def native() -> Object | None:
            found = await world.member.list(SLICES, namespace=world.namespace)
            return next((one for one in found if one["metadata"]["labels"].get(wk.MANAGED) == "true"), None)

        slice_ = await wait_for("native slice with its Service's labels", native)
        name, uid = slice_["metadata"]["name"], slice_["metadata"]["uid"]
        await world.carry("copy", slice_, suspend_dispatching=True)
        await world.host.delete(WORKS, "copy", namespace=SPACE)

        async def gone() -> bool | None:
            return True if await world.host.find(WORKS, "copy", namespace=SPACE) is None else None

        await wait_for("collected Work is gone", gone)
        left = await world.member.get(SLICES, name, namespace=world.namespace)
        assert (left["metadata"]["uid"], left["metadata"].get("deletionTimestamp")) == (uid, None)


async def test_opening_22_an_object_waits_for_its_namespace_and_follows_it_at_once(world: World) -> None:
    late = f"{world.namespace}-late"
    # Who only tried again later would come too late.
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS, retry_seconds=600.0):
        manifest = world.service()
        manifest["metadata"]["namespace"] = late
        await world.carry("work", manifest)
        assert f"namespace {late} does not exist in cluster m1" in await world.applied("work", "False")
        await world.carry("namespace", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": late}})
        await world.applied("work")
        assert await world.writes_during_quiet(0.5) == []


async def test_deletion_and_what_is_preserved(world: World) -> None:
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        await world.carry("gone", world.service("gone"))
        await world.carry("kept", world.service("kept"), preserve_resources_on_deletion=True)
        await world.member.create(world.service("theirs"))
        await world.carry("theirs", world.service("theirs", selector={"app": "a"}))
        await world.applied("gone")
        await world.applied("kept")
        assert "not managed by Karmada" in await world.applied("theirs", "False")
        for name in ("gone", "kept", "theirs"):
            await world.host.delete(WORKS, name, namespace=SPACE)

        async def cleaned() -> bool | None:
            return True if not await world.host.list(WORKS) else None

        await wait_for("Works are gone", cleaned)
        left = {one["metadata"]["name"]: one for one in await world.member.list(SERVICES, namespace=world.namespace)}
        assert set(left) == {"kept", "theirs"}
        assert wk.MANAGED not in left["kept"]["metadata"].get("labels", {})
        assert "annotations" not in left["kept"]["metadata"]
        assert "selector" not in left["theirs"]["spec"]


async def test_a_binding_from_scheduling_to_deletion(world: World) -> None:
    name, namespace = "web-service", world.namespace
    service = await world.host.create(world.service(type="LoadBalancer", selector={"app": "a"}))

    async def fully_applied() -> Object:
        found = await world.host.get(BINDINGS, name, namespace=namespace)
        conditions = {one["type"]: one["status"] for one in found.get("status", {}).get("conditions", ())}
        if conditions.get("FullyApplied") != "True":
            raise NotYet(str(found.get("status")))
        return found

    def has_address(one: Object | None) -> bool:
        return one is not None and one["status"]["loadBalancer"].get("ingress") == [
            {"ip": "192.0.2.9", "ipMode": "VIP"}
        ]

    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        await world.bind(service)
        await wait_for("FullyApplied", fully_applied)
        ingress = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}}
        await world.member.patch(SERVICES, "web", ingress, namespace=namespace, subresource="status")
        await world.until(SERVICES, "web", has_address, api=world.host)
        assert await world.writes_during_quiet() == []
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        assert await world.writes_during_quiet(3.0) == []
        await world.host.delete(BINDINGS, name, namespace=namespace)
        await world.until(BINDINGS, name, lambda one: one is None, api=world.host)
        await world.until(SERVICES, "web", lambda one: one is None)


# --- what members have of their own ----------------------------------------------------------------------------------

NLB = "example.com/nlb"


@pytest_asyncio.fixture(loop_scope="session")
async def webhook(world: World) -> AsyncIterator[None]:
    """The member fills in a class for balancers that are created."""
    versions = {"apiVersion": "admissionregistration.k8s.io/v1"}
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["services"]}]
    mutation = 'Object{spec: Object.spec{loadBalancerClass: "' + NLB + '"}}'
    spec = {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": {"resourceRules": rules},
        "matchConditions": [{"name": "lb", "expression": 'object.spec.type == "LoadBalancer"'}],
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": mutation}}],
    }
    await world.member.create(versions | {"kind": "MutatingAdmissionPolicy", "metadata": {"name": "nlb"}, "spec": spec})
    binding = {"kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": "nlb"}, "spec": {"policyName": "nlb"}}
    await world.member.create(versions | binding)

    async def works() -> bool | None:
        made = await world.member.create(world.service("probe", type="LoadBalancer"))
        await world.member.delete(SERVICES, "probe", namespace=world.namespace)
        return True if made["spec"].get("loadBalancerClass") == NLB else None

    await wait_for("the policy to be in force", works, 60.0)
    yield
    for plural in ("mutatingadmissionpolicybindings", "mutatingadmissionpolicies"):
        await world.member.delete(f"admissionregistration.k8s.io/v1/{plural}", "nlb")


async def test_what_a_member_fills_in_stays_and_a_restart_writes_nothing(world: World, webhook: None) -> None:
    named = {"ports": [{"name": "http", "port": 80}]}
    balancer = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}
    shop = await world.host.create(world.service("shop", type="NodePort", **named))
    [taken] = [port["nodePort"] for port in shop["spec"]["ports"]]
    wish = taken + 1 if taken < 32767 else taken - 1
    squatter = {"type": "NodePort", "ports": [{"port": 80, "nodePort": taken}]}
    await world.member.create(world.service("squatter", **squatter))
    edge = await world.host.create(world.service("edge", **named, **balancer))
    wished = {"type": "NodePort", "ports": [{"name": "http", "port": 80, "nodePort": wish}]}
    fixed = await world.host.create(world.service("fixed", **wished))
    health = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    health_checked = await world.host.create(world.service("health", **named, **health))
    await world.member.create(world.service("pre", selector={"app": "theirs"}))
    pre = await world.host.create(world.service("pre", clusterIP="None", selector={"app": "pre"}))
    services = (shop, edge, fixed, health_checked, pre)

    def with_two_ports(one: Object | None) -> bool:
        return one is not None and len(one["spec"]["ports"]) == 2

    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        for service in services:
            await world.bind(service)
        works = [work_name("Service", world.namespace, one["metadata"]["name"]) for one in services]
        for name in works:
            await world.applied(name)
        before = {one["metadata"]["name"]: one for one in await world.member.list(SERVICES, namespace=world.namespace)}
        assert before["shop"]["spec"]["ports"][0]["nodePort"] != taken
        assert before["fixed"]["spec"]["ports"][0]["nodePort"] == wish, "one that somebody wrote travels"
        assert before["edge"]["spec"]["loadBalancerClass"] == NLB
        assert before["pre"]["spec"]["clusterIP"] == "None"
        more = {"spec": {"ports": [*named["ports"], {"name": "more", "port": 81}]}}
        for name in ("shop", "edge"):
            await world.host.patch(SERVICES, name, more, namespace=world.namespace)
        changed = {name: await world.until(SERVICES, name, with_two_ports) for name in ("shop", "edge")}
        assert changed["edge"]["spec"]["loadBalancerClass"] == NLB
        assert changed["shop"]["spec"]["ports"][0] == before["shop"]["spec"]["ports"][0]
        assert await world.writes_during_quiet() == []
    theirs = {"spec": {"externalIPs": ["192.0.2.7"]}, "metadata": {"finalizers": ["example.com/theirs"]}}
    await world.member.patch(SERVICES, "edge", theirs, namespace=world.namespace)
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        assert await world.writes_during_quiet(3.0) == []
        await world.host.patch(SERVICES, "edge", {"spec": {"ports": named["ports"]}}, namespace=world.namespace)
        left = await world.until(SERVICES, "edge", lambda one: one and len(one["spec"]["ports"]) == 1)
        assert left["spec"]["externalIPs"] == ["192.0.2.7"]
        assert left["metadata"]["finalizers"] == ["example.com/theirs"]
        await world.member.patch(SERVICES, "edge", {"metadata": {"finalizers": None}}, namespace=world.namespace)


async def test_a_field_that_was_taken_out_while_nobody_ran_goes(world: World) -> None:
    wide: Object = {
        "externalIPs": ["192.0.2.1"],
        "trafficDistribution": "PreferClose",
        "internalTrafficPolicy": "Local",
    }
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        await world.carry("work", world.service(**wide))
        await world.applied("work")
    await world.carry("work", world.service(ports=[{"port": 81}]))
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        found = await world.until(SERVICES, "web", lambda one: one and "externalIPs" not in one["spec"])
        assert [port["port"] for port in found["spec"]["ports"]] == [81]
        assert found["spec"]["internalTrafficPolicy"] == "Cluster"
        assert "trafficDistribution" not in found["spec"]
        assert await world.writes_during_quiet(0.5) == []


async def test_a_slice_whose_address_type_changed_while_nobody_ran_is_made_anew(world: World) -> None:
    other: Object = {"addressType": "IPv6", "endpoints": [{"addresses": ["2001:db8::9"]}]}
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        await world.carry("work", world.slice())
        await world.applied("work")
    await world.carry("work", world.slice(**other))
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        await world.until(SLICES, "m9-web-1", lambda one: one and one["addressType"] == "IPv6")
        await world.carry("work", world.slice())
        await world.until(SLICES, "m9-web-1", lambda one: one and one["addressType"] == "IPv4")
        await world.applied("work")
        assert await world.writes_during_quiet(0.5) == []


async def test_a_service_becomes_headless_and_back_by_being_made_anew(world: World) -> None:
    overwrite = {"annotations": {wk.CONFLICT_RESOLUTION: wk.CONFLICT_OVERWRITE}}
    await world.member.create(world.service("pre", selector={"app": "theirs"}))
    headless = {"clusterIP": "None", "selector": {"app": "pre"}}
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        await world.carry("pre", world.service("pre", **headless))
        assert "not managed by Karmada" in await world.applied("pre", "False")
        await world.carry("pre", world.service("pre", **headless), **overwrite)
        for spec in ({"selector": {"app": "web"}}, headless, {"selector": {"app": "web"}}, headless):
            await world.carry("web", world.service("web", **spec), **overwrite)
            wanted = spec.get("clusterIP") == "None"
            await world.until(
                SERVICES, "web", lambda one, wanted=wanted: one and (one["spec"]["clusterIP"] == "None") is wanted
            )
            await world.applied("web")
        await world.carry("web", world.service("web"))
        assert "cannot be changed in place: spec.clusterIP" in await world.applied("web", "False")
        found = await world.until(SERVICES, "pre", lambda one: one and one["spec"]["clusterIP"] == "None")
        assert found["spec"]["selector"] == {"app": "pre"}
        await world.applied("pre")


async def test_a_namespace_of_the_members_own_counts_as_applied_and_stays(world: World) -> None:
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.namespace}}
        await world.carry("namespace", namespace)
        await world.applied("namespace")
        assert await world.writes_during_quiet(0.5) == []
        await world.host.delete(WORKS, "namespace", namespace=SPACE)

        async def gone() -> bool | None:
            return True if await world.host.find(WORKS, "namespace", namespace=SPACE) is None else None

        await wait_for("Work is gone", gone)
        left = await world.member.get("v1/namespaces", world.namespace)
        assert "deletionTimestamp" not in left["metadata"]


@asynccontextmanager
async def refusing(world: World, part_of_name: str) -> AsyncIterator[None]:
    """The member does not take Services and slices of such names."""
    versions = {"apiVersion": "admissionregistration.k8s.io/v1"}
    rule = {"apiGroups": ["", "discovery.k8s.io"], "apiVersions": ["v1"], "operations": ["CREATE"]}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule | {"resources": ["services", "endpointslices"]}]},
        "matchConditions": [{"name": "by-name", "expression": f'object.metadata.name.contains("{part_of_name}")'}],
        "validations": [{"expression": "false", "message": "team policy: not allowed here"}],
    }
    bound = {"policyName": part_of_name, "validationActions": ["Deny"]}
    for kind, content in (("ValidatingAdmissionPolicy", spec), ("ValidatingAdmissionPolicyBinding", bound)):
        await world.member.create(versions | {"kind": kind, "metadata": {"name": part_of_name}, "spec": content})

    async def in_force() -> bool | None:
        try:
            await world.member.create(world.service(f"probe-{part_of_name}"))
        except ApiStatusError:
            return True
        await world.member.delete(SERVICES, f"probe-{part_of_name}", namespace=world.namespace)
        return None

    await wait_for("the policy to be in force", in_force, 60.0)
    yield
    for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        await world.member.delete(f"{versions['apiVersion']}/{plural}", part_of_name)


async def test_what_is_refused_for_a_while_is_told_once_and_arrives_afterwards(world: World) -> None:
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS, retry_seconds=1.5):
        async with refusing(world, "q4"):
            await world.carry("service", world.service("web-q4"))
            await world.carry("slice", world.slice("m9-web-q4"))
            for name in ("service", "slice"):
                assert "team policy: not allowed here" in await world.applied(name, "False")

            async def tried_again() -> bool:
                tried = [
                    event
                    for event in mark.events()
                    if event.is_write and event.resource == "services" and event.user_agent.startswith(USER_AGENT)
                ]
                if len(tried) < 5:
                    raise NotYet(f"{len(tried)} tries")
                return all(event.code == 422 for event in tried)

            mark = AuditLog(world.bed.members["m1"].audit_log).mark()
            host = AuditLog(world.bed.host.audit_log).mark()
            assert await wait_for("more tries", tried_again, 60.0)
            told = [
                event
                for event in host.events()
                if event.is_write and event.resource != "events" and event.user_agent.startswith(USER_AGENT)
            ]
            assert told == [], "each try says what the one before it said"
        for name in ("service", "slice"):
            await world.applied(name)
