"""What is decoded has the shape that the rules take for granted, or is not decoded."""

from typing import Any

import msgspec
import pytest

from informers.errors import UNDECODABLE, DecodeError
from mcs_controller.api import resources
from mcs_controller.api.common import unstructured_decoder
from mcs_controller.api.shapes import ENDPOINTSLICE, MAX_NESTING, SERVICE
from mcs_controller.domain.works import Role, role_of, same_json
from mcs_controller.standalone.domain.binding_status import plan_ingress
from mcs_controller.standalone.member_objects import MEMBER_KINDS, SERVICES, SLICES
from tests.support.builders import a_slice, a_work, binding, collected_work, service, slice_, work

DEEP = b'{"a":' * (MAX_NESTING + 1) + b"1" + b"}" * (MAX_NESTING + 1)
BAD_JSON = [
    pytest.param(DEEP, id="deep"),
    pytest.param(b'"\xff"', id="no-utf-8"),
    pytest.param(b"1e999", id="out-of-range"),
]
"""What a `msgspec.Raw` may be."""


def _with(content: dict[str, Any], raw: bytes) -> bytes:
    return msgspec.json.encode(content).replace(b'"HERE"', raw)


@pytest.mark.parametrize(
    ("decode", "content"),
    [
        (SLICES.resource.decode, slice_(ports=[1])),
        (SLICES.resource.decode, slice_(endpoints={})),
        (SLICES.resource.decode, slice_(endpoints=[5])),
        (SLICES.resource.decode, slice_(ports=[{"name": 5}])),
        (SLICES.resource.decode, slice_() | {"kind": "Service"}),
        (SERVICES.resource.decode, service(ports=[1])),
        (SERVICES.resource.decode, service() | {"status": {"loadBalancer": {"ingress": [5]}}}),
        (SERVICES.resource.decode, service() | {"spec": []}),
        (SERVICES.resource.decode, service(metadata={"managedFields": [{"fieldsV1": {"f:spec": 5}}]})),
        (SERVICES.resource.decode, service(metadata={"managedFields": [{"fieldsV1": {"f:a": {"k:{": {}}}}]})),
        (resources.SERVICES.decode, service(ports=[{"name": "no number"}])),
        (resources.SERVICES.decode, service(selector={"a": 1})),
        (resources.RESOURCEBINDINGS.decode, binding(placement={"clusterAffinity": []})),
        (resources.RESOURCEBINDINGS.decode, binding(placement={"clusterAffinity": {"clusterNames": [[]]}})),
    ],
)
def test_objects_of_another_shape_cannot_be_decoded(decode: Any, content: dict[str, Any]) -> None:
    with pytest.raises(UNDECODABLE):
        decode(msgspec.json.encode(content))


@pytest.mark.parametrize("raw", BAD_JSON)
@pytest.mark.parametrize(
    ("decode", "content"),
    [
        (SLICES.resource.decode, slice_(extra="HERE")),
        (SERVICES.resource.decode, service(extra="HERE")),
        (resources.SERVICES.decode, service(extra="HERE")),
        (resources.NAMESPACES.decode, {"metadata": {"name": "a"}, "spec": "HERE"}),
        (resources.RESOURCEBINDINGS.decode, binding(placement={"a": "HERE"})),
        (resources.PROPAGATIONPOLICIES.decode, {"metadata": {"name": "a"}, "spec": {"a": "HERE"}}),
    ],
)
def test_json_that_cannot_be_worked_with_cannot_be_decoded(decode: Any, content: dict[str, Any], raw: bytes) -> None:
    with pytest.raises(UNDECODABLE):
        decode(_with(content, raw))


def test_ordinary_depth_is_none() -> None:
    content = slice_(extra=msgspec.json.decode(b"[" * (MAX_NESTING - 1) + b"]" * (MAX_NESTING - 1)))
    assert SLICES.resource.decode(msgspec.json.encode(content)).content["extra"]


@pytest.mark.parametrize("raw", BAD_JSON)
@pytest.mark.parametrize("field", ["endpoints", "ports"])
def test_a_slice_is_checked_when_its_endpoints_are_decoded(field: str, raw: bytes) -> None:
    decoded = resources.ENDPOINTSLICES.decode(_with(slice_() | {field: [{"x": "HERE"}]}, raw))
    with pytest.raises(DecodeError, match="EndpointSlice default/web-1: "):
        decoded.manifest()


def test_a_slice_of_another_shape_names_the_field() -> None:
    with pytest.raises(DecodeError, match=r"ports\[0\]"):
        a_slice(ports=[1]).manifest()


@pytest.mark.parametrize("raw", BAD_JSON)
def test_a_manifest_that_cannot_be_worked_with_is_garbage(raw: bytes) -> None:
    carrier = resources.WORKS.decode(_with(collected_work("m1", slice_(extra="HERE")), raw))
    assert carrier.ref is None
    assert role_of(carrier) is Role.OTHER
    assert "malformed" in carrier.manifests[0].problem
    assert not same_json(carrier.manifests[0].raw, slice_())


def test_servers_leave_the_kind_out_of_the_items_of_a_list() -> None:
    for kind, member in MEMBER_KINDS.items():
        item = msgspec.json.encode({"metadata": {"name": "a"}})
        content = member.resource.decode(item).content
        assert (content["apiVersion"], content["kind"]) == kind


def test_decoders_of_one_kind_are_one() -> None:
    assert unstructured_decoder(SERVICE, applied=True) is unstructured_decoder(SERVICE, applied=True)
    assert unstructured_decoder(SERVICE) is not unstructured_decoder(ENDPOINTSLICE)


# --- what a member reports --------------------------------------------------------------------------------------------


def _reporting(cluster: str, *statuses: Any) -> Any:
    return a_work(work(cluster, "w", service()) | {"status": {"manifestStatuses": list(statuses)}})


def _balancer(ingress: Any) -> dict[str, Any]:
    return {"status": {"loadBalancer": {"ingress": ingress}}}


@pytest.mark.parametrize(
    "bad",
    [
        *(5, None, {"identifier": 5}, {"status": 5}, {"status": {"loadBalancer": 5}}, _balancer(5)),
        *(_balancer([5]), _balancer([{"ip": "x"}]), _balancer([{"ip": 5}]), _balancer([{"hostname": None}])),
        *(_balancer([{"hostname": "not a name"}]), _balancer([{"hostname": "a", "ipMode": "VIP"}]), _balancer([{}])),
        _balancer([{"ip": "fe80::1%eth0", "ipMode": "VIP"}]),
    ],
)
def test_one_members_report_does_not_hide_the_others(bad: Any) -> None:
    good = {"ip": "1.2.3.4", "ipMode": "VIP"}
    assert plan_ingress([_reporting("m1", bad), _reporting("m2", _balancer([good]))], []) == [good]


@pytest.mark.parametrize("raw", [b"5", b"{}", DEEP, b'["\xff"]', b"[1e999]"])
def test_reports_that_are_no_list_are_none(raw: bytes) -> None:
    content = work("m1", "w", service()) | {"status": {"manifestStatuses": "HERE"}}
    assert resources.WORKS.decode(_with(content, raw)).statuses() == []
