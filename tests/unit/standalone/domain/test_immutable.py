"""Which differences between a manifest and a member's object cannot be patched away."""

from typing import Any

import msgspec
import pytest

from mcs_controller.api.common import decode_unstructured
from mcs_controller.domain import well_known as wk
from mcs_controller.standalone.domain.immutable import Immutable, check_replaceable, unchangeable
from tests.support.builders import service, slice_
from tests.support.object_store import Json

ADDRESS: Json = {"clusterIP": "10.1.1.1", "clusterIPs": ["10.1.1.1"]}
HEADLESS: Json = {"clusterIP": "None", "clusterIPs": ["None"]}
BALANCER: Json = {"type": "LoadBalancer"}


def _there(content: Json) -> Any:
    return decode_unstructured(msgspec.json.encode(content))


@pytest.mark.parametrize(
    ("wanted", "there", "field"),
    [
        pytest.param(HEADLESS, ADDRESS, "spec.clusterIP (10.1.1.1 there, None wanted)", id="becomes-headless"),
        pytest.param({}, HEADLESS, "spec.clusterIP (None there, an allocated address wanted)", id="gets-an-address"),
        pytest.param({}, ADDRESS, "", id="has-an-address"),
        pytest.param(HEADLESS, HEADLESS, "", id="is-headless"),
        pytest.param(HEADLESS, {"type": "ExternalName"}, "", id="was-an-external-name"),
        pytest.param({"type": "ExternalName"}, HEADLESS, "", id="becomes-an-external-name"),
        pytest.param(
            {"ipFamilies": ["IPv6"]},
            {"ipFamilies": ["IPv4"]},
            "spec.ipFamilies[0] (IPv4 there, IPv6 wanted)",
            id="family",
        ),
        pytest.param({"ipFamilies": ["IPv4"]}, {"ipFamilies": ["IPv4", "IPv6"]}, "", id="second-family"),
        pytest.param({}, {"ipFamilies": ["IPv6"]}, "", id="family-of-the-member"),
        pytest.param(
            BALANCER | {"loadBalancerClass": "a/b"},
            BALANCER | {"loadBalancerClass": "c/d"},
            "spec.loadBalancerClass (c/d there, a/b wanted)",
            id="class",
        ),
        pytest.param(BALANCER, BALANCER | {"loadBalancerClass": "c/d"}, "", id="class-of-the-member"),
        pytest.param(BALANCER | {"loadBalancerClass": "a/b"}, {}, "", id="becomes-a-balancer-with-class"),
    ],
)
def test_what_a_service_cannot_change(wanted: Json, there: Json, field: str) -> None:
    assert unchangeable(service(**wanted), _there(service(**there))) == field


def test_a_slice_cannot_change_the_type_of_its_addresses() -> None:
    found = unchangeable(slice_(), _there(slice_() | {"addressType": "IPv6"}))
    assert found == "addressType (IPv6 there, IPv4 wanted)"
    assert unchangeable(slice_(addresses=["10.9.9.9"]), _there(slice_())) == ""


def test_slices_are_replaced_always_and_services_if_the_work_may_overwrite() -> None:
    allowed = service(annotations={wk.CONFLICT_RESOLUTION: wk.CONFLICT_OVERWRITE})
    check_replaceable(slice_(), _there(slice_()), "addressType")
    check_replaceable(allowed, _there(service()), "spec.clusterIP")
    with pytest.raises(
        Immutable, match=r"^Service default/web cannot be changed in place: spec.clusterIP is immutable"
    ):
        check_replaceable(service(), _there(service()), "spec.clusterIP")


def test_what_is_being_deleted_is_waited_for() -> None:
    going = slice_(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    with pytest.raises(Immutable, match="is being deleted"):
        check_replaceable(slice_(), _there(going), "addressType")
