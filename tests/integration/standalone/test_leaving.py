"""A ready cluster leaves: what was brought there goes, and what others have there stays. By the installed binary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed import karmada
from testbed.audit import AuditLog
from tests.support.fleet import (
    CONFIGMAPS,
    NAMESPACES,
    SERVICES,
    SLICES,
    Space,
    configmap,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    service,
)

if TYPE_CHECKING:
    from tests.integration.standalone.conftest import Installed

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_cluster_leaves_and_takes_nothing_of_others_along(installed: Installed) -> None:
    bed = installed.bed
    space = await Space.make(bed)
    namespace, member = space.namespace, space.member("member1")
    await space.create(service("web"), multiclusterservice("web", ["member1", "member2"], ["member1", "member2"]))
    native = {CONFIGMAPS: configmap("native", a="1"), SERVICES: service("native")}
    native[SLICES] = endpointslice("web-1", "web", ["192.0.2.1"])
    await space.create_in("member1", *native.values())
    await space.create_in("member2", endpointslice("web-2", "web", ["192.0.2.2"]))
    copy = {"member2-web-2": ["192.0.2.2"]}
    await space.dispatched_are("member1", copy)
    await space.dispatched_are("member2", {"member1-web-1": ["192.0.2.1"]})
    before = {
        resource: await member.get(resource, manifest["metadata"]["name"], namespace=namespace)
        for resource, manifest in native.items()
    }
    mark = AuditLog(bed.members["member1"].audit_log).mark()

    await karmada.unjoin(bed, "member1")
    await gone(member, SERVICES, "web", namespace)
    await space.dispatched_are("member1", {})
    await space.dispatched_are("member2", {})
    deleted = {(event.resource, event.name) for event in mark.events() if event.verb == "delete"}
    assert {("services", "web"), ("endpointslices", "member2-web-2")} <= deleted
    assert not {name for resource, name in deleted if resource == "namespaces" or name in ("native", "web-1")}
    for resource, found in before.items():
        assert await member.get(resource, found["metadata"]["name"], namespace=namespace) == found
    left = await member.get(NAMESPACES, namespace)
    assert "deletionTimestamp" not in left["metadata"]
    marks = {**left["metadata"].get("labels", {}), **left["metadata"].get("annotations", {})}
    assert not [key for key in marks if "karmada.io/" in key]

    # It comes back, and is served as before, in a namespace that is its own now.
    await karmada.join(bed, "member1")
    await space.dispatched_are("member1", copy)
    await space.dispatched_are("member2", {"member1-web-1": ["192.0.2.1"]})

    # What somebody deletes on the control plane is another matter.
    await space.host.delete(NAMESPACES, namespace)

    async def leaves() -> bool:
        found = await space.member("member2").find(NAMESPACES, namespace)
        return found is None or "deletionTimestamp" in found["metadata"]

    await eventually("the namespace of member2 to go", leaves, True)
    assert "deletionTimestamp" not in (await member.get(NAMESPACES, namespace))["metadata"]
    await member.delete(NAMESPACES, namespace)  # or it would stay for the tests that come
