"""What consumers see of a slice: which ports an entry of spec.ports means, and endpoints without their whereabouts."""

from typing import Any

import pytest

from mcs_controller.api.multiclusterservice import ListedPort
from mcs_controller.domain.ports import expose, without_topology
from tests.support.builders import Json, decode, endpoint, mcs, service

HTTP, GRPC = {"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "grpc", "port": 9000, "protocol": "TCP"}
UNNAMED: Json = {"name": "", "port": 8080, "protocol": "TCP"}
TWO = service(ports=[{"name": "http", "port": 80, "targetPort": 8080}, {"name": "grpc", "port": 90}])
ONE = service(ports=[{"port": 80, "targetPort": 8080}])


def exposed(listed: list[ListedPort], template: Json | None, ports: list[Json]) -> tuple[list[Any], list[str]]:
    """Names of the ports that are exposed, and the entries that none answers to."""
    found = expose(listed, decode(template) if template is not None else None, ports)
    return [port.get("name") for port in found.exposed], list(found.missing)


@pytest.mark.parametrize(
    ("listed", "template", "ports", "names", "missing"),
    [
        ([ListedPort(name="http", port=80)], TWO, [HTTP, GRPC], ["http"], []),
        ([ListedPort(name="http", port=1)], TWO, [HTTP, GRPC], ["http"], []),
        ([ListedPort(name="http", port=90)], TWO, [HTTP, GRPC], ["http"], []),
        ([ListedPort(name="grpc", port=80)], TWO, [HTTP], [], ["grpc (80)"]),
        ([ListedPort(name="http", port=80)], None, [HTTP, GRPC], ["http"], []),
        ([ListedPort(port=80)], TWO, [GRPC, HTTP], ["http"], []),
        ([ListedPort(port=8080)], TWO, [HTTP, GRPC], [], ["8080"]),
        ([ListedPort(port=80)], None, [HTTP, GRPC], [], ["80"]),
        ([ListedPort(port=80)], ONE, [UNNAMED], [""], []),
        ([ListedPort(port=80)], ONE, [{"port": 8080}], [None], []),
        ([ListedPort(name="web", port=80)], ONE, [UNNAMED], [""], []),
        ([ListedPort(name="web", port=80)], TWO, [HTTP, GRPC], ["http"], []),
        ([ListedPort(port=90), ListedPort(name="http", port=80)], TWO, [HTTP, GRPC], ["http", "grpc"], []),
        ([ListedPort(port=7), ListedPort(name="http", port=80)], TWO, [HTTP, GRPC], ["http"], ["7"]),
        (
            [ListedPort(port=53)],
            service(ports=[{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53}]),
            [{"name": "dns", "port": 5353}, {"name": "dns-tcp", "port": 5353}],
            ["dns", "dns-tcp"],
            [],
        ),
        ([ListedPort(port=80)], service(ports=None), [HTTP], [], ["80"]),
    ],
    ids=[
        "by name",
        "the name counts, not the number",
        "nor the number of another port",
        "a name that this slice lacks is not replaced by a number",
        "a name needs no Service",
        "by the Service's number",
        "the pods' number is not meant",
        "a number needs the Service",
        "the only port has no name",
        "nor a field for it",
        "an unknown name with the number of the unnamed port",
        "an unknown name with the number of another",
        "several, in the order of the slice",
        "one of two",
        "two protocols at one number",
        "a Service without ports",
    ],
)
def test_opening_18_an_entry_means_a_port_by_name_else_by_the_services_number(
    listed: list[ListedPort], template: Json | None, ports: list[Json], names: list[Any], missing: list[str]
):
    assert exposed(listed, template, ports) == (names, missing)


def test_opening_18_ports_are_told_by_name_and_number():
    found = expose([ListedPort(name="x", port=1)], None, [HTTP, {"port": 53, "protocol": "UDP"}, {"name": "any"}])
    assert found.there == ("http (8080/TCP)", "53/UDP", "any (every port/TCP)")
    assert found.listed == ("x (1)",)


@pytest.mark.parametrize("every", [{"name": "any"}, {"name": "any", "port": None}], ids=["absent", "null"])
def test_a_port_without_a_number_means_every_port_and_is_not_offered_where_ports_are_listed(every: Json):
    listed = [ListedPort(name="http", port=80), ListedPort(name="any", port=1)]
    assert exposed(listed, None, [HTTP, every]) == (["http"], ["any (1)"])
    assert exposed(listed[1:], None, [every]) == ([], ["any (1)"])


def test_a_service_that_lists_no_ports_lists_none():
    assert decode(mcs()).ports == ()
    content = mcs()
    content["spec"]["ports"] = [{"name": "http", "port": 80}, {"port": 90}]
    assert decode(content).ports == (ListedPort(name="http", port=80), ListedPort(port=90))


def test_opening_16_only_what_says_where_an_endpoint_is_goes():
    whereabouts = {
        "zone": "z",
        "nodeName": "n",
        "hints": {"forZones": [{"name": "z"}]},
        "deprecatedTopology": {"kubernetes.io/hostname": "n"},
    }
    rest = endpoint("10.0.0.1") | {"hostname": "web-0", "targetRef": {"kind": "Pod", "name": "p"}}
    assert without_topology([rest | whereabouts, rest]) == [rest, rest]
