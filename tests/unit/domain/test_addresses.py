"""Which addresses of a provider's endpoints leave the control plane, and what is said of the others.

tests/integration/product/test_addresses.py asks an API server the same of each of them.
"""

from typing import Any

import pytest

from mcs_controller.domain.addresses import (
    ADDRESS_RULES,
    AddressRules,
    Finding,
    Kind,
    parse_member_ranges,
    parse_suspicious,
)
from tests.support.addresses import ACCEPTED, REFUSED
from tests.support.builders import Json, endpoint

FLAGS = [
    *parse_suspicious(["10.0.0.0/8", "2001:db8::/32"]),
    *parse_member_ranges(["m1=10.1.0.0/16", "m2=10.2.0.0/16", "m2=192.168.0.0/24", "m3=10.2.3.0/24"]),
]
NAMED, DROPPED = AddressRules(FLAGS), AddressRules(FLAGS, drop_suspicious=True)


def restricted(
    *endpoints: Json, rules: AddressRules = ADDRESS_RULES, family: str = "IPv4", provider: str = "m1"
) -> tuple[list[Any], list[Finding]]:
    """The endpoints that are left, and the findings."""
    content: Json = {"addressType": family, "endpoints": list(endpoints)}
    found = rules.restrict(provider, content)
    return content["endpoints"], list(found)


@pytest.mark.parametrize(("family", "address"), ACCEPTED)
def test_what_api_servers_accept_stays(family: str, address: str):
    assert restricted(endpoint(address), family=family)[0] == [endpoint(address)]


@pytest.mark.parametrize(("family", "address", "why"), REFUSED)
def test_what_they_refuse_is_left_out_alone_and_said(family: str, address: str, why: str):
    good = {"IPv4": "192.0.2.1", "IPv6": "2001:db8::1", "FQDN": "example.com"}[family]
    both = {"addresses": [good, address], "hostname": "web-0"}
    left, [finding] = restricted(endpoint(address), endpoint(good), both, family=family)
    assert left == [endpoint(good), both | {"addresses": [good]}]
    assert finding == Finding(True, 2, Kind.REFUSED, finding.example, why)


@pytest.mark.parametrize("address", [1, None, ["10.0.0.1"], {}, 1.5, True])
def test_what_is_no_text_is_left_out(address: Any):
    for family in ("IPv4", "IPv6", "FQDN"):
        left, [finding] = restricted({"addresses": [address]}, family=family)
        assert (left, finding.left_out, finding.total) == ([], True, 1)


@pytest.mark.parametrize("odd", [{}, {"addresses": None}, {"addresses": []}, {"addresses": "10.0.0.1"}])
def test_an_endpoint_without_addresses_is_left_out(odd: Json):
    assert restricted(odd, endpoint("10.0.0.1")) == ([endpoint("10.0.0.1")], [])


def test_of_an_endpoint_with_too_many_addresses_the_first_hundred_stay():
    many = [f"10.0.0.{number}" for number in range(1, 103)]
    [left], [finding] = restricted({"addresses": many})
    assert left == {"addresses": many[:100]}
    assert finding == Finding(True, 2, Kind.REFUSED, "10.0.0.101", "an endpoint has at most 100 addresses")


def test_of_a_type_that_nobody_knows_nothing_is_known():
    assert restricted(endpoint("::1"), family="IPX") == ([endpoint("::1")], [])


def test_a_slice_in_which_nothing_is_wrong_is_not_touched():
    endpoints = [endpoint("10.0.0.1"), endpoint("10.0.0.2")]
    content: Json = {"addressType": "IPv4", "endpoints": endpoints}
    assert ADDRESS_RULES.restrict("m1", content) == ()
    assert content["endpoints"] is endpoints


@pytest.mark.parametrize("nothing", [{}, {"endpoints": None}, {"endpoints": []}])
def test_a_slice_without_endpoints_is_left_as_it_is(nothing: Json):
    content = {"addressType": "IPv4"} | nothing
    assert ADDRESS_RULES.restrict("m1", content) == ()
    assert content == {"addressType": "IPv4"} | nothing


@pytest.mark.parametrize(
    ("provider", "address", "why"),
    [
        ("m1", "192.0.2.1", None),
        ("m1", "10.3.0.1", "in the suspicious range 10.0.0.0/8"),
        ("m1", "10.1.0.1", None),
        ("m2", "10.1.0.1", "in the suspicious range 10.0.0.0/8"),
        ("m2", "10.2.0.1", None),
        ("m2", "10.2.3.1", None),
        ("m3", "10.2.3.1", None),
        ("m3", "10.2.4.1", "in the suspicious range 10.0.0.0/8"),
        ("m2", "192.168.0.255", None),
        ("m1", "192.168.0.255", "in 192.168.0.0/24, a range of m2"),
        ("m1", "192.168.1.0", None),
        ("m1", "192.167.255.255", None),
        ("m1", "239.1.2.3", "multicast"),
        ("m1", "240.0.0.1", "reserved"),
        ("m1", "255.255.255.255", "reserved"),
        ("m1", "0.1.2.3", "reserved"),
        ("m1", "100.100.100.200", "metadata service"),
        ("m1", "100.100.100.201", None),
        ("m1", "168.63.129.16", "metadata service"),
        ("m1", "2001:db8::1", "in the suspicious range 2001:db8::/32"),
        ("m1", "2001:db9::1", None),
        ("m1", "ff05::1", "multicast"),
        ("m1", "fd00:ec2::254", "metadata service"),
        ("m1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"),
    ],
)
def test_suspicious_addresses_are_named_and_left_out_only_by_a_flag(provider: str, address: str, why: str | None):
    family = "IPv6" if ":" in address else "IPv4"
    one = endpoint(address)
    left, found = restricted(one, rules=NAMED, family=family, provider=provider)
    assert (left, [(each.left_out, each.example, each.why) for each in found]) == (
        [one],
        [(False, address, why)] if why else [],
    )
    left, found = restricted(one, rules=DROPPED, family=family, provider=provider)
    assert (left, [(each.left_out, each.why) for each in found]) == (([], [(True, why)]) if why else ([one], []))


def test_no_range_of_its_own_excuses_what_is_no_pod():
    """A provider of 100.64.0.0/10 that gives its endpoint a metadata service's address in it."""
    rules = AddressRules(parse_member_ranges(["m1=100.64.0.0/10", "m1=127.0.0.0/8"]))
    left, found = restricted(endpoint("100.100.100.200"), endpoint("127.0.0.1"), rules=rules)
    assert left == [endpoint("100.100.100.200")]
    assert [(one.left_out, one.why) for one in found] == [(True, "loopback"), (False, "metadata service")]


def test_the_worst_is_the_example_and_there_is_one_finding_of_each_sort():
    rules = AddressRules(parse_member_ranges(["m2=10.2.0.0/16"]))
    addresses = ["10.2.0.1", "239.0.0.1", "127.0.0.9", "10.2.0.2", "127.0.0.1", "::1"]
    left, found = restricted({"addresses": addresses}, rules=rules)
    assert left == [{"addresses": ["10.2.0.1", "239.0.0.1", "10.2.0.2"]}]
    assert found == [
        Finding(True, 3, Kind.REFUSED, "127.0.0.1", "loopback"),
        Finding(False, 3, Kind.SPECIAL, "239.0.0.1", "multicast"),
    ]


def test_the_example_is_short_and_printable():
    _, [finding] = restricted(endpoint("a\n\x1b[2J" + "b" * 8_000_000))
    assert finding.example.startswith("a\\n\\x1b[2Jbbb")
    assert len(finding.example) < 100


@pytest.mark.parametrize("wrong", ["10.0.0.0", "m1=", "=10.0.0.0/8", "m1=10.0.0.1/8", "m1=ten"])
def test_a_range_that_is_none_is_named(wrong: str):
    with pytest.raises(ValueError, match=wrong.rpartition("=")[2] or "CIDR"):
        parse_member_ranges([wrong])
    with pytest.raises(ValueError, match="is not a CIDR"):
        parse_suspicious(["10.0.0.1/8"])


def test_its_own_ranges_excuse_a_provider_beside_an_address_that_is_left_out():
    left, [finding] = restricted({"addresses": ["10.1.0.1", "127.0.0.1"]}, rules=DROPPED)
    assert (left, finding.total, finding.why) == ([{"addresses": ["10.1.0.1"]}], 1, "loopback")
