"""Whether each consumer finds endpoints, and what is said where it does not."""

from typing import Any

import pytest

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.availability import (
    Availability,
    Problem,
    Reason,
    families_of,
    is_news,
    judge,
    offer_of,
    summary,
)
from tests.support.builders import (
    Json,
    a_cluster,
    a_service,
    a_slice,
    a_work,
    collected_work,
    condition,
    decode,
    dispatched_work,
    endpoint,
    mcs,
    slice_,
)

HTTP = {"name": "http", "port": 8080, "protocol": "TCP"}
ADMIN = {"name": "admin", "port": 9090, "protocol": "TCP"}
WEB = a_service(ports=[{"name": "http", "port": 80}])
BOTH = a_service(ports=[{"name": "http", "port": 80}, {"name": "admin", "port": 81}])
HEADLESS = a_service(clusterIP="None", ports=[{"name": "http", "port": 80}])
UNREADY = {"addresses": ["10.0.0.1"], "conditions": {"ready": False, "serving": True}}
CHANGED = "may have changed, the cluster has not answered for more than 14 s"
NEVER_KNOWN = "its own EndpointSlices are not known"


def web(name: str = "web-1", **fields: Any) -> Json:
    return slice_(name, **({"ports": [HTTP]} | fields))


def at(provider: str, content: Json | None = None) -> Any:
    """The provider offers it."""
    return a_work(collected_work(provider, content or web()))


def to(consumer: str, provider: str, content: Json | None = None, *said: Json, **status: Any) -> Any:
    """The consumer was sent it; it has taken it unless it says something else."""
    conditions = list(said) or [condition(wk.APPLIED)]
    work = dispatched_work(provider, consumer, content or web())
    return a_work(work | {"status": {"conditions": conditions, **status}})


REFUSED = condition(wk.APPLIED, "False", message="denied")
UNTRIED = condition("Dispatching")
HELD = {"manifestStatuses": [{"identifier": {"ordinal": 0}}]}


def asked(works: Any = (), *, service: Any = WEB, down: Any = (), own: Any = None, **fields: Any) -> Availability:
    fields = {"providers": ["m1"], "consumers": ["m2"]} | fields
    listed, zones, left_out = fields.pop("ports", None), fields.pop("zones", {}), fields.pop("left_out", ())
    stale, families = fields.pop("stale", ()), fields.pop("families", {})
    content = mcs(**fields)
    if listed:
        content["spec"]["ports"] = listed
    clusters = {
        name: a_cluster(name, ready="False" if name in down else "True", spec={"zones": zones.get(name, [])})
        for name in ("m1", "m2", "m3")
    }
    slices = {} if own is None else own
    return judge(
        decode(content),
        service,
        works,
        clusters,
        lambda problem: slices.get(problem.consumer, ()),
        left_out=lambda origin: origin.name in left_out,
        is_stale=lambda cluster: cluster in stale,
        families=lambda cluster: families.get(cluster),
    )


def said(found: Availability) -> tuple[str, str, str]:
    made = found.condition(found.problems, 3)
    assert made.observed_generation == 3
    return made.status, made.reason, made.message


FINE = ("True", "EndpointsAvailable", "Every consumer has ready endpoints.")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (asked([at("m1"), to("m2", "m1")]), FINE),
        (asked([at("m1"), to("m2", "m1")], service=HEADLESS), FINE),
        (
            asked(
                [at("m1", web(endpoints=[{"addresses": ["a"]}])), to("m2", "m1", web(endpoints=[{"addresses": ["a"]}]))]
            ),
            FINE,
        ),
        (asked([at("m1", web(ports=None)), to("m2", "m1", web(ports=None))]), FINE),
        (asked([at("m1")], consumers=["m1"]), FINE),
        (asked([at("m1"), at("m2"), to("m1", "m2"), to("m2", "m1")], providers=None, consumers=["m1", "m2"]), FINE),
        (asked(own={"m2": [a_slice(ports=[HTTP])]}), FINE),
        (
            asked([at("m1"), to("m2", "m1")], consumers=["m2", "m9"]),
            (*FINE[:2], f"{FINE[2]} Skipped: m9: no such Cluster is registered."),
        ),
        (asked([at("m1"), to("m2", "m1")], service=BOTH, ports=[{"port": 80}]), FINE),
        (asked([at("m1"), at("m1", web("web-2", endpoints=[UNREADY])), to("m2", "m1")]), FINE),
        (
            asked(
                [at("m1"), at("m3"), to("m2", "m1"), to("m2", "m3")],
                providers=["m1", "m3"],
                stale=["m3"],
            ),
            (*FINE[:2], f"{FINE[2]} Note: endpoints of m3 {CHANGED}."),
        ),
        (asked(own={"m2": [a_slice(ports=[HTTP])]}, stale=["m1"]), FINE),
    ],
    ids=[
        "delivered",
        "headless",
        "ready is not said",
        "null ports are all ports",
        "the provider's own",
        "both provide and consume",
        "its own, though it is no provider",
        "a consumer that nobody registered",
        "only the listed port counts",
        "one of two slices is not ready",
        "another provider is stale",
        "a provider without endpoints is stale",
    ],
)
def test_available(found: Availability, expected: tuple[str, str, str]):
    assert found.problems == ()
    assert said(found) == expected


@pytest.mark.parametrize(
    ("found", "reason", "message"),
    [
        (asked(service=None), Reason.SERVICE_NOT_FOUND, "Service default/web does not exist in the control plane."),
        (
            asked(consumers=["m9"]),
            Reason.NO_CONSUMER,
            "no consumer cluster is registered. Skipped: m9: no such Cluster is registered.",
        ),
        (asked(), Reason.NO_ENDPOINT_SLICE, "m2: no EndpointSlice of the Service in m1."),
        (asked(consumers=["m2", "m3"]), Reason.NO_ENDPOINT_SLICE, "m2, m3: no EndpointSlice of the Service in m1."),
        (asked(providers=["m1", "nosuch"]), Reason.NO_ENDPOINT_SLICE, "m2: no EndpointSlice of the Service in m1."),
        (asked(providers=["nosuch"]), Reason.NO_ENDPOINT_SLICE, "m2: no provider is registered."),
        (
            asked([at("m1", web(endpoints=[])), to("m2", "m1", web(endpoints=[]))]),
            Reason.NO_READY_ENDPOINTS,
            "m2: no ready endpoint in m1.",
        ),
        (
            asked([at("m1", web(endpoints=[UNREADY])), to("m2", "m1", web(endpoints=[UNREADY]))]),
            Reason.NO_READY_ENDPOINTS,
            "m2: no ready endpoint in m1.",
        ),
        (
            asked([at("m1", web(addressType="FQDN")), to("m2", "m1", web(addressType="FQDN"))]),
            Reason.NO_READY_ENDPOINTS,
            "m2: no ready endpoint in m1 (endpoints of addressType FQDN are not proxied).",
        ),
        (
            asked([at("m1", web(ports=[{"port": 80}])), to("m2", "m1", web(ports=[{"port": 80}]))]),
            Reason.PORT_MISMATCH,
            'm2: no EndpointSlice of m1 has port "http" of the Service, they have "". '
            'Note: EndpointSlices of m1 have port "", which the Service does not have.',
        ),
        (
            asked([at("m1", web(ports=[HTTP | {"protocol": "UDP"}])), to("m2", "m1")]),
            Reason.PORT_MISMATCH,
            'm2: no EndpointSlice of m1 has port "http" of the Service, they have "http" (UDP). '
            'Note: EndpointSlices of m1 have port "http" (UDP), which the Service does not have.',
        ),
        (
            asked([at("m1"), to("m2", "m1")], service=BOTH),
            Reason.PORT_MISMATCH,
            'm2: no EndpointSlice of m1 has port "admin" of the Service, they have "http".',
        ),
        (
            asked([at("m1"), to("m2", "m1")], ports=[{"port": 443}]),
            Reason.PORT_MISMATCH,
            'm2: spec.ports lists 443, but the Service has "http".',
        ),
        (
            asked(
                [at("m1"), to("m2", "m1")],
                service=a_service(ports=[{"name": "http", "port": 80}], internalTrafficPolicy="Local"),
            ),
            Reason.LOCAL_TRAFFIC_POLICY,
            "m2: internalTrafficPolicy: Local keeps Pods from endpoints of other clusters.",
        ),
        (asked([at("m1")]), Reason.NOT_DELIVERED, "m2: slice default/web-1 of m1: not delivered yet."),
        (
            asked([at("m1"), to("m2", "m1", None, UNTRIED)]),
            Reason.NOT_DELIVERED,
            "m2: slice default/web-1 of m1: not applied yet.",
        ),
        (
            asked([at("m1"), to("m2", "m1", None, REFUSED)]),
            Reason.NOT_DELIVERED,
            "m2: slice default/web-1 of m1: denied, retrying.",
        ),
        (
            asked([at("m1"), to("m2", "m1", None, REFUSED, **HELD)]),
            Reason.NOT_DELIVERED,
            "m2: slice default/web-1 of m1: denied, retrying (it holds an older state).",
        ),
        (
            asked([at("m1"), to("m2", "m1", web(endpoints=[]))]),
            Reason.NOT_DELIVERED,
            "m2: slice default/web-1 of m1: holds an older state of it.",
        ),
        (
            asked([at("m1")], down=["m2"]),
            Reason.NOT_DELIVERED,
            "m2: slice default/web-1 of m1: the cluster is not ready and has never had it.",
        ),
        (
            asked([at("m1"), to("m2", "m1", web(endpoints=[]))], down=["m2"]),
            Reason.NOT_DELIVERED,
            "m2: slice default/web-1 of m1: the cluster is not ready and holds an older state of it. "
            "Note: m2 is not ready and holds the state that it was last given.",
        ),
        (
            asked([at("m1", web(endpoints=[UNREADY])), to("m2", "m1")], down=["m2"]),
            Reason.NO_READY_ENDPOINTS,
            "m2: no ready endpoint in m1, the cluster is not ready and holds an older state. "
            "Note: m2 is not ready and holds the state that it was last given.",
        ),
        (
            asked([at("m1"), to("m2", "m1")], down=["m1"]),
            Reason.PROVIDER_NOT_READY,
            "m2: m1 is not ready, whether its endpoints still answer is not known.",
        ),
        (
            asked([at("m1"), to("m2", "m1"), to("m3", "m1")], consumers=["m2", "m3"], stale=["m1"]),
            Reason.STALE,
            f"m2, m3: endpoints of m1 {CHANGED}.",
        ),
        (
            asked([at("m1"), to("m2", "m1")], down=["m1"], stale=["m1"]),
            Reason.PROVIDER_NOT_READY,
            f"m2: m1 is not ready, whether its endpoints still answer is not known. Note: endpoints of m1 {CHANGED}.",
        ),
        (asked(down=["m1"]), Reason.PROVIDER_NOT_READY, "m2: m1 is not ready, its EndpointSlices are not known."),
        (
            asked(own={"m2": NEVER_KNOWN}),
            Reason.NO_ENDPOINT_SLICE,
            f"m2: no EndpointSlice of the Service in m1 ({NEVER_KNOWN}).",
        ),
        (
            asked(own={"m2": [a_slice(ports=[HTTP], labels={wk.SLICE_MANAGED_BY: wk.SLICE_DISPATCHER})]}),
            Reason.NO_ENDPOINT_SLICE,
            "m2: no EndpointSlice of the Service in m1.",
        ),
        (
            asked([at("m1"), to("m2", "m1"), to("m3", "m1", None, REFUSED)], consumers=["m2", "m3"]),
            Reason.NOT_DELIVERED,
            "m3: slice default/web-1 of m1: denied, retrying.",
        ),
    ],
    ids=[
        "no Service",
        "no consumer",
        "no slice",
        "no slice for two",
        "a provider that nobody registered does not count",
        "no provider at all",
        "an empty slice",
        "not ready",
        "FQDN",
        "a port without name",
        "another protocol",
        "one of two ports",
        "a listed port that the Service does not have",
        "internalTrafficPolicy Local",
        "no Work yet",
        "not tried yet",
        "refused",
        "refused, and it has an older one",
        "taken, but an older one",
        "down, and never had any",
        "down, and has an older one",
        "down, and has what is gone",
        "the provider is stale",
        "the provider is stale and down",
        "the provider is down",
        "the provider was never up",
        "what it has of its own cannot be known",
        "a copy is not its own",
        "one of two consumers",
    ],
)
def test_unavailable(found: Availability, reason: Reason, message: str):
    assert said(found) == ("False", reason, message)


def test_a_consumer_whose_own_slices_may_yet_be_known_is_not_called_empty():
    found = asked(consumers=["m2", "m3"], own={"m2": None, "m3": ()})
    assert found.unwatched == ("m2",)
    assert [one.consumer for one in found.problems] == ["m3"]


def test_who_has_endpoints_is_never_asked_for_its_own():
    def never(_: Problem) -> None:
        raise AssertionError

    clusters = {name: a_cluster(name) for name in ("m1", "m2")}
    found = judge(
        decode(mcs(providers=["m1"], consumers=["m1", "m2"])), WEB, [at("m1"), to("m2", "m1")], clusters, never
    )
    assert found == Availability()


@pytest.mark.parametrize(
    ("works", "lasts"),
    [([at("m1")], True), ([at("m1"), to("m2", "m1", None, REFUSED)], True), ([], False)],
    ids=["not delivered", "refused", "nothing to deliver"],
)
def test_only_what_is_on_its_way_may_be_over_in_a_moment(works: Any, lasts: bool):
    [problem] = asked(works).problems
    assert (problem.pending is not None) is lasts


# --- notes ------------------------------------------------------------------------------------------------------------


def named(hostname: str) -> Json:
    return web(endpoints=[endpoint("10.0.0.1") | {"hostname": hostname}])


def test_one_hostname_in_two_providers_of_a_headless_service_is_named():
    works = [at("m1", named("web-0")), at("m3", named("web-0")), to("m2", "m1", named("web-0"))]
    note = "Note: hostname web-0 is in m1, m3, its name resolves to endpoints of each."
    assert said(asked(works, service=HEADLESS, providers=["m1", "m3"])) == (*FINE[:2], f"{FINE[2]} {note}")
    assert asked(works, providers=["m1", "m3"]).notes == ()
    assert asked([at("m1", named("web-0")), at("m3", named("web-1"))], service=HEADLESS, providers=None).notes == ()


def test_a_port_that_the_service_does_not_have_is_named_even_if_all_is_well():
    both = web(ports=[HTTP, ADMIN])
    found = asked([at("m1", both), to("m2", "m1", both)])
    note = 'EndpointSlices of m1 have port "admin", which the Service does not have'
    assert (found.problems, found.notes) == ((), (note,))


def test_hints_that_name_no_zone_of_the_consumer_are_named():
    hinted = web(endpoints=[endpoint("10.0.0.1") | {"hints": {"forZones": [{"name": "z1"}]}}])
    works = [at("m1", hinted), to("m2", "m1", hinted)]
    [note] = asked(works, zones={"m2": ["z2"]}).notes
    assert note.startswith("every endpoint of m1 has hints for zones z1, none of which m2 has")
    assert asked(works, zones={"m2": ["z1", "z2"]}).notes == asked(works).notes == ()


def test_the_message_is_bounded_and_in_order():
    consumers = [f"c{number:04}" for number in range(3000)]
    clusters = {name: a_cluster(name) for name in consumers}
    content = decode(mcs(providers=consumers[:1], consumers=consumers[::-1]))
    found = judge(content, WEB, [], clusters, lambda _: ())
    message = found.condition(found.problems, 1).message
    assert len(message) <= 32768
    assert message.startswith("c0000, c0001, c0002, ")
    assert message.endswith("and others.")


# --- what is worth a look, and an event -------------------------------------------------------------------------------


def test_scaling_changes_nothing_and_the_first_endpoint_does():
    one, two, none = (at("m1", web(addresses=addresses)) for addresses in (["a"], ["a", "b"], []))
    assert summary(one, with_offer=True) == summary(two, with_offer=True)
    assert summary(one, with_offer=True) != summary(none, with_offer=True)
    assert summary(one, with_offer=True) != summary(at("m1", web(endpoints=[UNREADY])), with_offer=True)


def test_a_manifest_that_cannot_be_read_offers_nothing():
    assert offer_of(at("m1", web(endpoints=[5]))) is None
    assert said(asked([at("m1", web(endpoints=5))]))[1] == Reason.NO_ENDPOINT_SLICE


@pytest.mark.parametrize(
    ("before", "after", "news"),
    [
        (None, "True", False),
        (None, "False", True),
        ("True", "True", False),
        ("True", "False", True),
        ("False", "True", True),
    ],
)
def test_what_is_worth_an_event(before: str | None, after: str, news: bool):
    def made(status: str) -> Any:
        return decode(mcs(conditions=[condition(wk.ENDPOINTS_AVAILABLE, status)])).conditions[0]

    assert is_news(made(before) if before else None, made(after)) is news


def test_a_consumer_whose_endpoints_were_all_left_out_is_told_so():
    works = [at("m1"), to("m2", "m1", web(endpoints=[]))]
    found = asked(works, left_out=["web-1"])
    assert said(found) == (
        "False",
        "NoReadyEndpoints",
        "m2: endpoints in m1 have only addresses that were left out, see EndpointSliceDispatched.",
    )
    assert [one.pending is not None for one in found.problems] == [True], "a copy may be on its way"
    assert said(asked([at("m1"), to("m2", "m1")], left_out=["web-1"])) == FINE
    untried = asked([at("m1"), to("m2", "m1", None, UNTRIED)], left_out=["web-1"])
    assert said(untried)[2] == "m2: slice default/web-1 of m1: not applied yet."


def test_of_several_slices_the_one_that_is_whole_is_the_one_to_tell_of():
    works = [at("m1"), to("m2", "m1", web(endpoints=[])), at("m1", web("web-2"))]
    assert said(asked(works, left_out=["web-1"]))[2] == "m2: slice default/web-2 of m1: not delivered yet."


SIX = web(addressType="IPv6", endpoints=[endpoint("2001:db8::1")])
FOUR, BOTH_FAMILIES = frozenset(["IPv4"]), frozenset(["IPv4", "IPv6"])
HTTP_PORT = {"name": "http", "port": 80}
SINGLE = a_service(ports=[HTTP_PORT], ipFamilies=["IPv4"])
MISMATCH = (
    "False",
    "AddressFamilyMismatch",
    "m2: endpoints of m1 have IPv6 addresses, the consumer's Service has IPv4.",
)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"families": {"m2": FOUR}}, MISMATCH),
        ({"families": {"m2": BOTH_FAMILIES}}, FINE),
        ({}, FINE),
        ({"service": SINGLE}, MISMATCH),
        ({"service": SINGLE, "families": {"m2": BOTH_FAMILIES}}, FINE),
        ({"service": a_service(ports=[HTTP_PORT], ipFamilies=["IPv4"], ipFamilyPolicy="PreferDualStack")}, FINE),
        ({"service": HEADLESS, "families": {"m2": FOUR}}, FINE),
    ],
    ids=["the other", "both", "not known", "asked for", "it has more", "if possible", "headless"],
)
def test_endpoints_of_a_family_that_the_service_lacks_do_not_count(fields: Any, expected: tuple[str, str, str]):
    assert said(asked([at("m1", SIX), to("m2", "m1", SIX)], **fields)) == expected


def test_one_slice_of_the_right_family_is_enough():
    four = web("web-2")
    works = [at("m1", SIX), to("m2", "m1", SIX), at("m1", four), to("m2", "m1", four)]
    assert said(asked(works, families={"m2": FOUR})) == FINE


@pytest.mark.parametrize(
    ("spec", "families"),
    [
        ({"ipFamilies": ["IPv6", "IPv4"]}, BOTH_FAMILIES),
        ({"ipFamilies": []}, None),
        ({"ipFamilies": "IPv4"}, None),
        ({"ipFamilies": [4]}, None),
        ({}, None),
        (None, None),
    ],
    ids=str,
)
def test_families_of_a_members_service(spec: Any, families: Any):
    assert families_of(spec) == families
