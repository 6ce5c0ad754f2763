"""What is kept of core kinds."""

import copy
import gc
from typing import Any

import msgspec
import pytest

from mcs_controller.api.core import decode_endpointslice, decode_service
from tests.support.builders import service, slice_
from tests.support.managed_fields import with_fields

OWNER = {"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "u"}


def test_a_slice_in_a_cache_has_no_owners_and_no_age_and_is_nothing_to_the_garbage_collector():
    content = slice_()
    content["metadata"] |= {"ownerReferences": [OWNER], "creationTimestamp": "2026-01-01T00:00:00Z"}
    decoded = decode_endpointslice(msgspec.json.encode(content))
    assert (decoded.metadata.owner_references, decoded.metadata.creation_timestamp) == ((), None)
    assert decoded.metadata.name == "web-1"
    assert not gc.is_tracked(decoded)


ALLOCATED: dict[str, Any] = {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "healthCheckNodePort": 32000}
WRITTEN: dict[str, Any] = {"type": "LoadBalancer", "ports": [{"port": 80}, {"port": 81, "protocol": "UDP"}]}


def _stored() -> dict[str, Any]:
    spec = copy.deepcopy(WRITTEN | ALLOCATED)
    for number, port in enumerate(spec["ports"]):
        port |= {"protocol": port.get("protocol", "TCP"), "nodePort": 30001 + number}
    return service() | {"spec": spec}


@pytest.mark.parametrize(
    ("written", "node_ports", "left"),
    [
        pytest.param({}, [None, None], [], id="nothing"),
        pytest.param({"ipFamilies": ["IPv4"]}, [None, None], ["ipFamilies"], id="families"),
        pytest.param(
            {"ports": [{"port": 80}, {"port": 81, "protocol": "UDP", "nodePort": 30002}]},
            [None, 30002],
            [],
            id="one-node-port",
        ),
        pytest.param(
            _stored()["spec"], [30001, 30002], ["healthCheckNodePort", "ipFamilies", "ipFamilyPolicy"], id="everything"
        ),
    ],
)
def test_what_the_server_allocated_for_a_service_does_not_travel(
    written: dict[str, Any], node_ports: list[int | None], left: list[str]
) -> None:
    stored = with_fields(_stored(), {"spec": WRITTEN | written})
    spec = msgspec.json.decode(decode_service(msgspec.json.encode(stored)).raw)["spec"]
    assert [port.get("nodePort") for port in spec["ports"]] == node_ports
    assert sorted(ALLOCATED.keys() & spec) == left
    assert spec["type"] == "LoadBalancer"


def test_everything_travels_if_nobody_can_tell_who_wrote_it() -> None:
    spec = msgspec.json.decode(decode_service(msgspec.json.encode(_stored())).raw)["spec"]
    assert spec == _stored()["spec"]
