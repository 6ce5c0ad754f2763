"""What a MultiClusterService says of itself is what a client in the consumer would find.

Members here have no data plane: what their API servers hold is compared with what is said.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from testbed.controller import installed_binary
from tests.integration.product.test_bad_input import REFUSAL, refusing
from tests.support.fleet import (
    PREFIX,
    SERVICES,
    SLICES,
    Object,
    Space,
    endpointslice,
    eventually,
    multiclusterservice,
    service,
)
from tests.support.traffic import samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbed import ControllerProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")

FINE = ("True", "EndpointsAvailable", "Every consumer has ready endpoints.")
SERVICE_RULE: Object = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"]}


async def says(space: Space, kind: str, expected: tuple[str, str, str], name: str = "web") -> None:
    await eventually(f"condition {kind}", lambda: space.condition(name, kind), expected, timeout=60)


async def available(space: Space, reason: str, message: str) -> None:
    await says(space, "EndpointsAvailable", ("False", reason, message))


async def asked(space: Space, **spec: Any) -> None:
    """Service and MultiClusterService `web`, from member1 to member2."""
    offer = service("web")
    offer["spec"] |= spec
    await space.create(offer, multiclusterservice("web", ["member1"], ["member2"]))


async def observed_generation(space: Space) -> tuple[int, int]:
    mcs = await space.mcs("web")
    (told,) = [one for one in mcs["status"]["conditions"] if one["type"] == "EndpointsAvailable"]
    return told["observedGeneration"], mcs["metadata"]["generation"]


async def test_endpoints_come_and_go_and_it_is_said(space):
    await asked(space)
    await available(space, "NoEndpointSlice", "member2: no EndpointSlice of the Service in member1.")
    # What a selector with a typo makes.
    await space.create_in("member1", endpointslice("web-a", "web", []))
    await available(space, "NoReadyEndpoints", "member2: no ready endpoint in member1.")
    await space.set_addresses("member1", "web-a", ["192.0.2.1"])
    await says(space, "EndpointsAvailable", FINE)
    assert await space.dispatched("member2") == {"member1-web-a": ["192.0.2.1"]}, "it is there when it is said"
    generation, meant = await observed_generation(space)
    assert generation == meant
    await space.set_addresses("member1", "web-a", [])
    await available(space, "NoReadyEndpoints", "member2: no ready endpoint in member1.")
    # Karmada's own two say what they say there.
    for kind, text in (
        ("ServiceApplied", "Service is propagated to target clusters."),
        ("EndpointSliceDispatched", "EndpointSlice are dispatched successfully"),
    ):

        async def said(kind: str = kind) -> tuple[str, str]:
            status, _, message = await space.condition("web", kind)
            return status, message

        await eventually(f"condition {kind}", said, ("True", text))
    # Its own endpoints count, though it is no provider.
    await space.create_in("member2", endpointslice("own-a", "web", ["192.0.2.2"]))
    await says(space, "EndpointsAvailable", FINE)
    await space.member("member2").delete(SLICES, "own-a", namespace=space.namespace)
    await available(space, "NoReadyEndpoints", "member2: no ready endpoint in member1.")
    await space.host.delete(SERVICES, "web", namespace=space.namespace)
    text = f"Service {space.namespace}/web does not exist in the control plane."
    await available(space, "ServiceNotFound", text)


async def test_metrics_have_the_conditions_and_the_endpoints_of_each_pair(space, controller):
    await asked(space)
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1", "192.0.2.2"]))
    await says(space, "EndpointsAvailable", FINE)

    async def shown() -> dict[str, float]:
        return {
            " ".join([name, labels.get("type") or f"{labels['provider_cluster']} {labels['consumer_cluster']}"]): value
            for name, labels, value in await samples(controller, ("mcs_service_condition", "mcs_endpoints_"))
            if (labels["namespace"], labels["service"]) == (space.namespace, "web")
        }

    expected = {
        **{f"mcs_service_condition {kind}": 1.0 for kind in ("ServiceApplied", "EndpointSliceDispatched", FINE[1])},
        **{f"mcs_endpoints_{kind} member1 member2": 2.0 for kind in ("wanted", "ready", "delivered")},
    }
    await eventually("metrics of the service", shown, expected)


async def test_internal_traffic_policy_local_keeps_everybody_from_other_clusters(space):
    await asked(space, internalTrafficPolicy="Local")
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    text = "member2: internalTrafficPolicy: Local keeps Pods from endpoints of other clusters."
    await available(space, "LocalTrafficPolicy", text)
    await space.host.patch(SERVICES, "web", {"spec": {"internalTrafficPolicy": "Cluster"}}, namespace=space.namespace)
    await says(space, "EndpointsAvailable", FINE)


async def test_endpoints_of_an_address_family_that_the_service_lacks_do_not_count(space):
    await asked(space)
    six = endpointslice("web-a", "web", ["2001:db8::1"]) | {"addressType": "IPv6"}
    await space.create_in("member1", six)
    text = "member2: endpoints of member1 have IPv6 addresses, the consumer's Service has IPv4."
    await available(space, "AddressFamilyMismatch", text)
    await space.create_in("member1", endpointslice("web-b", "web", ["192.0.2.1"]))
    await says(space, "EndpointsAvailable", FINE)


def not_ready(slice_: Object) -> Object:
    return slice_ | {"endpoints": [{"addresses": ["10.81.1.3"], "conditions": {"ready": False}}]}


def nameless(slice_: Object) -> Object:
    return slice_ | {"ports": [{"port": 80}]}


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        (not_ready, "NoReadyEndpoints", "member2: no ready endpoint in member1."),
        (
            nameless,
            "PortMismatch",
            'member2: no EndpointSlice of member1 has port "http" of the Service, they have "". '
            'Note: EndpointSlices of member1 have port "", which the Service does not have.',
        ),
    ],
    ids=["A: not ready", "B: a port without name"],
)
async def test_endpoints_that_cannot_be_reached_do_not_count(
    space: Space, change: Callable[[Object], Object], reason: str, message: str
):
    good = endpointslice("web-a", "web", ["10.81.1.3"])
    await asked(space)
    await space.create_in("member1", change(good))
    await available(space, reason, message)
    mended = {key: good[key] for key in ("endpoints", "ports")}
    await space.member("member1").patch(SLICES, "web-a", mended, namespace=space.namespace)
    await says(space, "EndpointsAvailable", FINE)


async def test_a_service_that_a_member_refuses_is_told_in_its_words_and_heals(space):
    probe = service("probe-refused")
    async with refusing(space.member("member2"), space.namespace, SERVICE_RULE, probe):
        await space.create(service("web-refused"), multiclusterservice("web-refused", ["member1"], ["member2"]))

        async def told() -> tuple[str, str, bool]:
            status, reason, message = await space.condition("web-refused", "ServiceApplied")
            begins = message.startswith(f"Service {space.namespace}/web-refused in member2: ")
            return status, reason, begins and REFUSAL in message and message.endswith(", retrying")

        await eventually("the condition", told, ("False", "ServiceAppliedFailed", True), timeout=60)

        async def warnings() -> int:
            found = await space.events("MultiClusterService", "web-refused")
            return len([1 for _, reason, message in found if reason == "SyncServiceFailed" and REFUSAL in message])

        await eventually("one event", warnings, 1)
    expected = ("True", "ServiceAppliedSucceed", "Service is propagated to target clusters.")
    await eventually(
        "the mended condition", lambda: space.condition("web-refused", "ServiceApplied"), expected, timeout=180
    )


async def test_a_namespace_that_is_not_propagated_is_told(fleet_bed, controller):
    space = Space(fleet_bed, f"{PREFIX}not-propagated")
    labels = {"namespace.karmada.io/skip-auto-propagation": "true"}
    metadata = {"name": space.namespace, "labels": labels}
    await space.host.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    try:
        await asked(space)

        async def told() -> tuple[str, bool]:
            status, _, message = await space.condition("web", "ServiceApplied")
            return (
                status,
                f"{space.namespace} does not exist in cluster member2 (create the namespace there)" in message,
            )

        await eventually("the condition", told, ("False", True), timeout=60)
    finally:
        await space.remove()


async def test_a_binding_that_is_suspended_is_told(space):
    await asked(space)
    await says(space, "ServiceApplied", ("True", "ServiceAppliedSucceed", "Service is propagated to target clusters."))
    bindings = "work.karmada.io/v1alpha2/resourcebindings"
    suspended = {"spec": {"suspension": {"dispatchingOnClusters": {"clusterNames": ["member2"]}}}}
    await space.host.patch(bindings, "web-service", suspended, namespace=space.namespace)
    text = f"Service {space.namespace}/web in member2: dispatching is suspended, it keeps what it has"
    await says(space, "ServiceApplied", ("False", "ServiceAppliedFailed", text))


async def test_kubectl_get_shows_it_in_columns(space):
    await asked(space)
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    await says(space, "EndpointsAvailable", FINE)
    path = f"/apis/networking.karmada.io/v1alpha1/namespaces/{space.namespace}/multiclusterservices"

    async def shown() -> dict[str, str]:
        table = await space.host.raw("GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        columns = [one["name"] for one in table["columnDefinitions"]]
        row = dict(zip(columns, table["rows"][0]["cells"], strict=True))
        del row["Age"]
        return row

    expected = {
        "Name": "web",
        "Types": '["CrossCluster"]',
        "Providers": "member1",
        "Consumers": "member2",
        "Applied": "True",
        "Dispatched": "True",
        "Available": "True",
    }
    await eventually("the columns", shown, expected)


def said_version() -> str:
    """The last word of what `--version` says."""
    said = subprocess.run([installed_binary(), "--version"], check=True, capture_output=True, text=True).stdout
    return said.split()[-1]


async def test_the_metric_karmada_build_info_has_the_version_of_the_binary(controller: ControllerProcess):
    ((labels, value),) = [(of, value) for name, of, value in await samples(controller) if name == "karmada_build_info"]
    assert value == 1
    assert labels["git_version"] == f"v{said_version()}"
    assert labels["compiler"]
    assert labels["platform"].startswith("linux/")
