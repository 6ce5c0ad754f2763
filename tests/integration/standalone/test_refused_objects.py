"""What a member does not take: values that it overrules, fields that it never changes, names that are its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mcs_controller.domain import well_known as wk
from mcs_controller.standalone.domain.contention import REPAIRS
from testbed.api import Object, resource_path, wait_for
from testbed.audit import AuditLog
from testbed.errors import NotYet
from tests.support.fleet import eventually
from tests.support.propagation_world import SERVICES, SLICES
from tests.support.standalone import PROPAGATION_FLAGS, USER_AGENT, standalone_controllers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed.audit import AuditMark
    from tests.support.propagation_world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADMISSION = "admissionregistration.k8s.io/v1"
MERGE = "application/merge-patch+json"
OVERWRITE = {wk.CONFLICT_RESOLUTION: wk.CONFLICT_OVERWRITE}


@asynccontextmanager
async def overruling(world: World, name: str) -> AsyncIterator[None]:
    """A policy of the member that sets the session affinity of every Service of the test, whatever it says."""
    api = {"apiVersion": ADMISSION}
    mutation = 'Object{spec: Object.spec{sessionAffinity: "ClientIP"}}'
    rules = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["services"]}
    where = {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}
    spec = {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": {"resourceRules": [rules], "namespaceSelector": where},
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": mutation}}],
    }
    for kind, content in (
        ("MutatingAdmissionPolicy", spec),
        ("MutatingAdmissionPolicyBinding", {"policyName": name}),
    ):
        await world.member.create(api | {"kind": kind, "metadata": {"name": name}, "spec": content})

    async def in_force() -> bool:
        probe = await world.member.create(world.service("probe"))
        await world.member.delete(SERVICES, "probe", namespace=world.namespace)
        if probe["spec"]["sessionAffinity"] != "ClientIP":
            raise NotYet("not in force")
        return True

    await wait_for("the policy to be in force", in_force, 60.0)
    yield
    for plural in ("mutatingadmissionpolicybindings", "mutatingadmissionpolicies"):
        await world.member.delete(f"{api['apiVersion']}/{plural}", name)


async def may_write_jobs(world: World) -> None:
    """Which the manifests do not give: whoever propagates other kinds adds the right to."""
    rights = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["*"]}
    api = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": world.namespace}}
    await world.member.create(api | {"kind": "ClusterRole", "rules": [rights]})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": world.namespace}
    subject = {"kind": "ServiceAccount", "name": "mcs-controller-manager", "namespace": "karmada-system"}
    await world.member.create(api | {"kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]})


async def test_a_value_that_the_member_overrules_is_written_once_in_a_start(world: World) -> None:
    def overruled(one: Object | None) -> bool:
        return one is not None and one["spec"]["sessionAffinity"] == "ClientIP"

    async with overruling(world, "affinity"):
        async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
            await world.carry("work", world.service(sessionAffinity="None"))
            await world.applied("work")
            assert await world.writes_during_quiet() == []
            more = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
            await world.carry("work", world.service(sessionAffinity="None", ports=more))
            await world.until(SERVICES, "web", lambda one: one and len(one["spec"]["ports"]) == 2)
            assert await world.writes_during_quiet() == []
        before = await world.until(SERVICES, "web", overruled)
        one_patch: tuple[list[str], list[str]] = ([], ["patch"])
        for _ in range(2):
            marks = [AuditLog(plane.audit_log).mark() for plane in (world.bed.host, world.bed.members["m1"])]

            async def written(marks: list[AuditMark] = marks) -> tuple[list[str], list[str]]:
                host, member = (
                    [one.verb for one in mark.events() if one.is_write and one.user_agent.startswith(USER_AGENT)]
                    for mark in marks
                )
                return host, member

            async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
                await eventually("the write of this start", written, one_patch)
                await world.writes_during_quiet(3.0)
            assert await written() == one_patch
        # And that one changes nothing.
        after = await world.member.get(SERVICES, "web", namespace=world.namespace)
        assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_a_change_that_the_member_never_takes_is_told_and_holds_no_other_up(world: World) -> None:
    """Workloads are not deleted and made anew, also where they may be overwritten: they are what runs."""

    def deployment(selector: str) -> Object:
        template = {"metadata": {"labels": {"app": selector}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": world.namespace, "annotations": OVERWRITE},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": selector}}, "template": template},
        }

    def job(image: str) -> Object:
        spec = {"restartPolicy": "Never", "containers": [{"name": "c", "image": image}]}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "once", "namespace": world.namespace, "annotations": OVERWRITE},
            "spec": {"suspend": True, "template": {"spec": spec}},
        }

    await may_write_jobs(world)
    kinds = {"deployment": ("apps/v1/deployments", "web"), "job": ("batch/v1/jobs", "once")}
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS, retry_seconds=1.5):
        await world.carry("deployment", deployment("a"))
        await world.carry("job", job("i"))
        for work in kinds:
            await world.applied(work)
        assert await world.writes_during_quiet() == []
        uids = {
            work: (await world.member.get(resource, name, namespace=world.namespace))["metadata"]["uid"]
            for work, (resource, name) in kinds.items()
        }
        await world.carry("deployment", deployment("b"))
        await world.carry("job", job("j"))
        for work in kinds:
            assert "field is immutable" in await world.applied(work, "False")
        mark = AuditLog(world.bed.members["m1"].audit_log).mark()

        async def tried_again() -> bool:
            for resource in ("deployments", "jobs"):
                tried = [one for one in mark.events() if one.is_write and one.resource == resource]
                ours = [one for one in tried if one.user_agent.startswith(USER_AGENT)]
                if len(ours) < 2:
                    raise NotYet(f"{len(ours)} tries of {resource}")
                assert {(one.verb, one.code) for one in ours} == {("patch", 422)}
            return True

        assert await wait_for("more tries", tried_again, 60.0)
        await world.carry("service", world.service())
        await world.applied("service")
        for work, (resource, name) in kinds.items():
            found = await world.member.get(resource, name, namespace=world.namespace)
            assert found["metadata"]["uid"] == uids[work]
        await world.carry("deployment", deployment("a"))
        await world.applied("deployment")


async def test_no_work_writes_what_every_cluster_has_of_its_own(world: World) -> None:
    before = await world.member.get(SERVICES, "kubernetes", namespace="default")
    api: Any = world.service("kubernetes")
    api["metadata"] |= {"namespace": "default", "annotations": OVERWRITE}
    certificates: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kube-root-ca.crt", "namespace": world.namespace, "annotations": OVERWRITE},
        "data": {"ca.crt": "theirs"},
    }
    slice_ = world.slice("kubernetes")
    slice_["metadata"]["namespace"] = "default"
    more = world.slice("more")
    more["metadata"] |= {"namespace": "default", "labels": {wk.SERVICE_NAME: "kubernetes"}}
    async with standalone_controllers(world.access, *PROPAGATION_FLAGS, retry_seconds=0.3):
        for name, manifest in (("api", api), ("certificates", certificates), ("slice", slice_), ("more", more)):
            await world.carry(name, manifest)
            assert "of its own" in await world.applied(name, "False")
        assert await world.writes_during_quiet() == []
    assert await world.member.get(SERVICES, "kubernetes", namespace="default") == before


async def test_what_somebody_else_keeps_changing_back_is_written_a_few_times_until_they_stop(world: World) -> None:
    """Of a slice no cache knows who writes it, of a Service one does."""
    theirs: dict[str, tuple[str, Object]] = {
        "service": (f"{SERVICES}/web", {"spec": {"sessionAffinity": "ClientIP"}}),
        "slice": (f"{SLICES}/m9-web-1", {"endpoints": [{"addresses": ["10.9.9.9"]}]}),
    }

    async def change_back(resource: str, patch: Object) -> None:
        kind, _, name = resource.rpartition("/")
        path = resource_path(kind, name, namespace=world.namespace)
        while True:
            # Nothing is written where nothing changes.
            await world.member.raw("PATCH", path, patch, query={"fieldManager": "fleet-agent"}, content_type=MERGE)
            await asyncio.sleep(0.02)

    def written() -> Counter[str]:
        ours = [one for one in mark.events() if one.is_write and one.user_agent.startswith(USER_AGENT)]
        return Counter(f"{one.verb} {one.resource}" for one in ours)

    async with standalone_controllers(world.access, *PROPAGATION_FLAGS):
        mark = AuditLog(world.bed.members["m1"].audit_log).mark()
        await world.carry("service", world.service(sessionAffinity="None"))
        await world.carry("slice", world.slice())
        for work in theirs:
            await world.applied(work)
        rivals = [asyncio.create_task(change_back(*one)) for one in theirs.values()]
        try:
            for work, told in (("service", f"Service {world.namespace}/web"), ("slice", "/m9-web-1")):
                message = await world.applied(work, "False")
                assert f"{told}: somebody else writes it: fleet-agent; it is written less and less often" in message
            for resource in ("services", "endpointslices"):
                # All that there may be in five minutes.
                assert REPAIRS <= written()[f"patch {resource}"] <= REPAIRS + 7
        finally:
            for rival in rivals:
                rival.cancel()
            await asyncio.wait(rivals)
        for work in theirs:
            await world.applied(work)
        await world.until(SERVICES, "web", lambda one: one["spec"]["sessionAffinity"] == "None")
        await world.until(SLICES, "m9-web-1", lambda one: len(one["endpoints"]) == 2)
        assert await world.writes_during_quiet() == []
