"""Addresses of endpoints: which ones API servers refuse, and what becomes of those that an agent hands over."""

from __future__ import annotations

import pytest

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import work_name
from testbed import ApiStatusError
from tests.support.addresses import ACCEPTED, REFUSED
from tests.support.fleet import (
    CLUSTERS,
    NAMESPACES,
    SLICES,
    Object,
    Space,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    service,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = "hostile"
"""A Pull cluster whose agent is the test."""


async def is_accepted(space: Space, family: str, address: str) -> bool:
    content = endpointslice("one", "web", [address]) | {"addressType": family}
    try:
        await space.create_in("member2", content)
    except ApiStatusError as error:
        if error.status != 422 or "endpoints[0].addresses" not in str(error):
            raise
        return False
    await space.member("member2").delete(SLICES, "one", namespace=space.namespace)
    return True


async def test_api_servers_think_of_each_address_as_we_do(space):
    differing = [(family, one) for family, one in ACCEPTED if not await is_accepted(space, family, one)]
    differing += [(family, one) for family, one, _ in REFUSED if await is_accepted(space, family, one)]
    assert differing == []


async def hand_over(space: Space, name: str, addresses: list[str]) -> None:
    """As an agent does that asks nobody: the collected Work of a slice of the service `web`."""
    content = endpointslice(name, "web", addresses)
    content["metadata"]["namespace"] = space.namespace
    labels = {wk.MCS_NAMESPACE: space.namespace, wk.MCS_NAME: "web", wk.COLLECTED_BY: wk.COLLECTED_BY_MCS}
    work: Object = {
        "apiVersion": wk.WORK_API_VERSION,
        "kind": wk.WORK_KIND,
        "metadata": {"name": work_name(wk.SLICE_KIND, space.namespace, name), "labels": labels},
        "spec": {"workload": {"manifests": [content]}, "suspendDispatching": True},
    }
    await space.host.create(work, namespace=f"karmada-es-{HOSTILE}")


async def test_what_no_api_server_takes_is_left_out_alone_and_what_is_suspicious_is_named(space):
    body = {"apiVersion": wk.CLUSTER_API_VERSION, "kind": wk.CLUSTER_KIND, "metadata": {"name": HOSTILE}}
    await space.host.create(body | {"spec": {"syncMode": "Pull"}})
    await eventually("its namespace", lambda: exists(space, f"karmada-es-{HOSTILE}"), True)
    await space.create(service("web"), multiclusterservice("web", ["member1", HOSTILE], ["member2"]))
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    await hand_over(space, "web-b", ["192.0.2.2", "169.254.169.254", "127.0.0.1", "100.100.100.200", "010.0.0.1"])
    await space.dispatched_are(
        "member2", {"member1-web-a": ["192.0.2.1"], "hostile-web-b": ["100.100.100.200", "192.0.2.2"]}
    )
    await eventually(
        "the condition",
        lambda: space.condition("web", "EndpointSliceDispatched"),
        (
            "True",
            "EndpointSliceDispatchedSucceed",
            "EndpointSlice are dispatched successfully. Note: addresses of endpoints were left out: hostile: "
            "more than 1, such as 010.0.0.1 (not an IPv4 address). "
            "Note: endpoints have suspicious addresses: hostile: 100.100.100.200 (metadata service).",
        ),
    )
    await eventually("the events", lambda: reasons(space), {wk.EVENT_ADDRESSES_LEFT_OUT, wk.EVENT_SUSPICIOUS_ADDRESSES})
    await space.host.delete(CLUSTERS, HOSTILE)
    await gone(space.host, CLUSTERS, HOSTILE)


async def exists(space: Space, namespace: str) -> bool:
    return await space.host.find(NAMESPACES, namespace) is not None


async def reasons(space: Space) -> set[str]:
    """The reasons of events about addresses."""
    found = await space.event_reasons("MultiClusterService", "web")
    return {reason for _, reason in found if "Addresses" in reason}
