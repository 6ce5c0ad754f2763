"""The controllers where manifests/admission is in force, over definitions without rules: it is in nobody's way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed import ControllerProcess, karmada
from testbed.karmada import apply_all, load
from tests.integration.manifests.support import MANIFESTS, without_rules
from tests.support.fleet import MCS, SERVICES, Space, endpointslice, eventually, gone, multiclusterservice, service
from tests.support.traffic import Traffic, idle

if TYPE_CHECKING:
    from testbed import Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")

OLD = "old"


async def test_services_old_faulty_and_new_are_served_and_let_go_and_then_nothing_is_written(new_bed):
    bed: Bed = await new_bed(audit=True)
    api = bed.host.api
    await apply_all(api, map(without_rules, load(MANIFESTS / "crds")))
    space = await Space.make(bed, in_members=False)
    # From before the policies: faults in ports and clusters, and none of the ids.
    old = multiclusterservice(OLD, ["member1", "NoCluster"], ["member2"])
    old["spec"]["ports"] = [{"name": "a.b", "port": 80}, {"name": "a.b", "port": 0}]
    await space.create(old)
    await apply_all(api, load(MANIFESTS / "admission"))
    await apply_all(api, load(MANIFESTS / "admission" / "ids"))
    await apply_all(api, load(MANIFESTS / "controller"))
    await apply_all(api, load(MANIFESTS / "standalone"))
    await bed.host.restart_controller_manager()
    await karmada.join_all(bed)

    traffic = Traffic(bed)
    flags = ["--v=4", "--cluster-status-update-frequency=1s", "--cluster-success-threshold=1s"]
    kubeconfig = await karmada.controller_kubeconfig(bed)
    async with ControllerProcess(kubeconfig, root=bed.root, extra_args=flags) as process:
        await space.exists_in_members()
        await space.create(service(OLD), service("web"), multiclusterservice("web", ["member1"], ["member2"]))
        await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
        await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]}, "web")
        await space.succeeded("web")
        await idle(process, Traffic(bed))

        async def is_served() -> tuple[bool, bool, bool]:
            seen = await space.mcs(OLD)
            has_id = "multiclusterservice.karmada.io/permanent-id" in seen["metadata"].get("labels", {})
            told = "NoCluster" in str(seen.get("status", {}).get("conditions"))
            return bool(seen["metadata"].get("finalizers")), has_id, told

        await eventually("the old one to be served", is_served, (True, True, True))
        await idle(process, Traffic(bed))

        # A fixed point: nobody gives an id that somebody else takes away.
        quiet = Traffic(bed)
        await api.patch(SERVICES, "web", {"metadata": {"annotations": {"a": "b"}}}, namespace=space.namespace)
        await idle(process, quiet)
        await idle(process, settled := Traffic(bed))
        assert not [asked for asked in settled.writes() if asked.resource not in ("clusters/status", "events")]

        for name in (OLD, "web"):
            await api.delete(MCS, name, namespace=space.namespace)
            await gone(api, MCS, name, space.namespace)
        await idle(process)
    refused = [(event.code, event.verb, event.uri) for _, event in traffic.events() if event.code in (400, 403, 422)]
    assert refused == []
