"""From a collected slice to the Works of the consumers (contract 3.3): the plan, as a pure function.

The peer's queue holds Works, ours holds slices: a plan is for one provider's slice, whichever Works carry it.
"""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.addresses import AddressRules, Finding, Kind, parse_member_ranges
from mcs_controller.domain.dispatch import (
    DispatchContext,
    DispatchPlan,
    DispatchPolicy,
    plan_dispatch,
    release_collected,
)
from mcs_controller.domain.naming import dispatched_slice_name, dispatched_slice_names, distinct_slice_name, work_name
from mcs_controller.domain.withdrawal import SERVICE_GONE_SECONDS
from mcs_controller.domain.works import CreateWork, DeleteWork, PatchWork, Role, SliceRef, origin_of, role_of, target_of
from tests.support.builders import (
    DELETED_AT,
    Json,
    a_cluster,
    a_work,
    as_written,
    collected_work,
    decode,
    dispatched_work,
    endpoint,
    filed,
    golden,
    golden_work,
    ids,
    mcs,
    service,
    slice_,
    work,
)
from tests.support.object_store import merge_patch

ORIGIN = SliceRef("m1", "default", "web-1")
KARMADAS = DispatchPolicy()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "web-1-748bc4d6dc"
"""WN(EndpointSlice, default, web-1)."""

Works = dict[tuple[str, str], Json]


def by_key(*present: Json) -> Works:
    return {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in present}


def dispatch(
    content: Json | None,
    works: Works,
    *,
    origin: SliceRef = ORIGIN,
    clusters: dict[str, Any] | None = None,
    template: Json | None = None,
    gone_for: float | None = None,
    policy: DispatchPolicy = KARMADAS,
    now: datetime = NOW,
) -> DispatchPlan:
    """The plan for one slice, with these Works on the server."""
    if clusters is None:
        clusters = {name: a_cluster(name) for name in ("m1", "m2", "m3")}
    decoded = {key: a_work(one) for key, one in works.items()}

    def with_role(role: Role) -> list[Any]:
        return [one for _, one in sorted(decoded.items()) if role_of(one) is role and origin_of(one) == origin]

    return plan_dispatch(
        origin,
        with_role(Role.COLLECTED),
        with_role(Role.DISPATCHED),
        DispatchContext(
            service=lambda key: (
                decode(content) if content is not None and key == ("default", content["metadata"]["name"]) else None
            ),
            template=lambda key: decode(template) if template is not None and key == ("default", "web") else None,
            gone_for=lambda _: gone_for,
            clusters=clusters,
            find=lambda *key: decoded.get(key),
            find_by_copy_name=lambda target: [one for _, one in sorted(decoded.items()) if target_of(one) == target],
            new_id=ids(f"{origin.cluster}-{origin.name}"),
            policy=policy,
        ),
        now,
    )


def carried_out(works: Works, *writes: Any) -> Works:
    """The Works after these writes; a finalizer keeps nothing, as if everybody else had let go at once."""
    after = dict(works)
    for write in writes:
        key = (write.namespace, write.name)
        if isinstance(write, CreateWork):
            assert key not in after
            after[key] = write.body | {"metadata": write.body["metadata"] | {"uid": "u", "resourceVersion": "8"}}
        elif isinstance(write, PatchWork):
            after[key] = merge_patch(after[key], write.body)
        else:
            after.pop(key)
    return after


def at_rest(content: Json | None, works: Works, *, origin: SliceRef = ORIGIN, **fields: Any) -> Works:
    """The Works after the plan; a second look finds nothing."""
    after = works
    for _ in range(2):  # what has to go before another one comes takes two
        plan = dispatch(content, after, origin=origin, **fields)
        after = carried_out(after, *(copy.write for copy in plan.copies), *plan.release)
        if not any(isinstance(copy.write, DeleteWork) for copy in plan.copies):
            break
    again = dispatch(content, after, origin=origin, **fields)
    assert again.copies == ()
    assert again.release == ()
    return after


def in_consumers(works: Works) -> set[tuple[str, str]]:
    """(consumer's execution namespace, slice that it gets)."""
    found = (target_of(a_work(one)) for one in works.values())
    return {(target.execution_namespace, target.name) for target in found if target is not None}


# --- what a copy looks like -------------------------------------------------------------------------------------------


def test_case_33_a_collected_work_of_any_name_is_dispatched_under_that_name():
    content = mcs("test-mcs", providers=["provider"], consumers=["consumer"])
    observed = slice_("test-eps", service="test-mcs", labels={"own": "l"}, annotations={"own": "a"})
    works = by_key(collected_work("provider", observed, name="test-work"))
    after = at_rest(
        content,
        works,
        origin=SliceRef("provider", "default", "test-eps"),
        clusters={name: a_cluster(name) for name in ("provider", "consumer")},
    )
    made = after["karmada-es-consumer", "test-work"]
    assert made["metadata"]["labels"] == filed("test-mcs") | {wk.WORK_PERMANENT_ID: "provider-test-eps-1"}
    assert made["metadata"]["annotations"] == {wk.PROVISION_CLUSTER: "provider"}
    assert made["metadata"]["finalizers"] == [wk.EXECUTION_FINALIZER]
    assert made["spec"].keys() == {"workload"}
    [manifest] = made["spec"]["workload"]["manifests"]
    metadata = manifest["metadata"]
    assert (metadata["namespace"], metadata["name"]) == ("default", "provider-test-eps")
    assert metadata["labels"] == {
        wk.SERVICE_NAME: "test-mcs",
        wk.SLICE_MANAGED_BY: wk.SLICE_DISPATCHER,
        wk.MANAGED: "true",
        wk.WORK_PERMANENT_ID: "provider-test-eps-1",
    }
    assert metadata["annotations"].keys() == {
        wk.PROVISION_CLUSTER,
        wk.TEMPLATE_UID,
        wk.WORK_NAMESPACE,
        wk.WORK_NAME,
        wk.MANAGED_LABELS,
        wk.MANAGED_ANNOTATIONS,
    }
    assert metadata["annotations"][wk.TEMPLATE_UID] == ""
    assert metadata["annotations"][wk.WORK_NAME] == "test-work"


def test_an_address_that_api_servers_refuse_is_left_out_alone_and_said():
    works = by_key(collected_work("m1", slice_(addresses=["10.0.0.1", "127.0.0.1", "10.2.0.1"])))
    after = at_rest(mcs(consumers=["m2"]), works)
    assert sent(after)["endpoints"] == [endpoint("10.0.0.1"), endpoint("10.2.0.1")]
    plan = dispatch(mcs(consumers=["m2"]), after)
    assert plan.addresses == (Finding(True, 1, Kind.REFUSED, "127.0.0.1", "loopback"),)


def test_a_slice_that_has_no_address_left_is_dispatched_without_endpoints():
    after = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1", slice_(addresses=["127.0.0.1"]))))
    assert sent(after)["endpoints"] is None


def test_addresses_in_ranges_of_others_are_said_and_left_out_by_a_flag():
    works = by_key(collected_work("m1", slice_(addresses=["10.0.0.1", "10.2.0.1"])))
    ranges = parse_member_ranges(["m1=10.0.0.0/16", "m2=10.2.0.0/16"])
    for drop, left in ((False, ["10.0.0.1", "10.2.0.1"]), (True, ["10.0.0.1"])):
        policy = DispatchPolicy(addresses=AddressRules(ranges, drop_suspicious=drop))
        after = at_rest(mcs(consumers=["m2"]), works, policy=policy)
        assert sent(after)["endpoints"] == [endpoint(one) for one in left]
        found = dispatch(mcs(consumers=["m2"]), after, policy=policy).addresses
        assert found == (Finding(drop, 1, Kind.MEMBER, "10.2.0.1", "in 10.2.0.0/16, a range of m2"),)


def test_opening_16_everything_about_the_endpoints_travels_as_the_contract_says():
    endpoints = [
        endpoint("2001:db8::1")
        | {
            "hostname": "web-0",
            "nodeName": "n",
            "zone": "z",
            "hints": {"forZones": [{"name": "z"}]},
            "targetRef": {"kind": "Pod", "name": "p"},
        }
    ]
    observed = slice_(endpoints=endpoints, metadata={"generateName": "web-"}, addressType="IPv6")
    after = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1", observed)))
    [manifest] = after["karmada-es-m2", NAME]["spec"]["workload"]["manifests"]
    assert manifest["endpoints"] == endpoints
    assert manifest["ports"] == observed["ports"]
    assert manifest["addressType"] == "IPv6"
    assert manifest["metadata"]["generateName"] == "web-"


WHEREABOUTS = {"zone": "z", "nodeName": "n", "hints": {"forZones": [{"name": "z"}]}}


def test_opening_16_with_the_flag_nothing_says_where_in_its_own_cluster_an_endpoint_is():
    stripped = DispatchPolicy(strip_topology=True)
    works = by_key(collected_work("m1", slice_(endpoints=[endpoint("10.0.0.1") | WHEREABOUTS])))
    kept = at_rest(mcs(consumers=["m2"]), works)
    assert sent(kept)["endpoints"] == [endpoint("10.0.0.1") | WHEREABOUTS]
    after = at_rest(mcs(consumers=["m2"]), kept, policy=stripped)
    assert sent(after)["endpoints"] == [endpoint("10.0.0.1")]
    assert after["karmada-es-m1", NAME] == works["karmada-es-m1", NAME], "what was collected stays as it was"


def sent(works: Works, consumer: str = "m2") -> Any:
    """The slice that a consumer gets."""
    return works[f"karmada-es-{consumer}", NAME]["spec"]["workload"]["manifests"][0]


HTTP, GRPC = {"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "grpc", "port": 9000, "protocol": "TCP"}
TEMPLATE = service(ports=[{"name": "http", "port": 80}, {"name": "grpc", "port": 90}])


def listing(*ports: Any) -> Json:
    content = mcs(consumers=["m2"])
    content["spec"]["ports"] = list(ports)
    return content


@pytest.mark.parametrize("entry", [{"name": "http", "port": 80}, {"port": 80}], ids=["by name", "by number"])
def test_opening_18_a_consumer_gets_the_listed_ports_only(entry: Json):
    works = by_key(collected_work("m1", slice_(ports=[HTTP, GRPC])))
    before = at_rest(mcs(consumers=["m2"]), works, template=TEMPLATE)
    assert sent(before)["ports"] == [HTTP, GRPC]
    after = at_rest(listing(entry), before, template=TEMPLATE)
    assert sent(after)["ports"] == [HTTP]
    assert sent(after)["endpoints"] == [endpoint("10.0.0.1")]
    assert at_rest(mcs(consumers=["m2"]), after, template=TEMPLATE) == before


def test_opening_18_a_slice_without_any_listed_port_has_no_copies_and_says_what_it_has():
    works = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1", slice_(ports=[HTTP, GRPC]))), template=TEMPLATE)
    content = listing({"port": 443})
    plan = dispatch(content, works, template=TEMPLATE)
    assert gone(plan) == [f"karmada-es-m2/{NAME}"]
    assert plan.release == ()
    assert plan.ports is not None
    assert (plan.ports.missing, plan.ports.there) == (("443",), ("http (8080/TCP)", "grpc (9000/TCP)"))
    assert plan.service == ("default", "web")
    assert in_consumers(at_rest(content, works, template=TEMPLATE)) == set()


@pytest.mark.parametrize("ports", [None, []], ids=["null", "empty"])
def test_opening_18_a_slice_that_has_no_ports_yet_is_dispatched_as_it_is(ports: Any):
    works = by_key(collected_work("m1", slice_(endpoints=[], ports=ports)))
    assert dispatch(listing({"port": 80}), works).ports is None
    assert sent(at_rest(listing({"port": 80}), works))["ports"] is None


# --- providers that are not ready -------------------------------------------------------------------------------------


def away(status: str = "False") -> dict[str, Any]:
    """m1 has not been ready since a year before NOW."""
    return {"m1": a_cluster("m1", ready=status), "m2": a_cluster("m2")}


def test_opening_24_a_provider_that_is_not_ready_keeps_its_endpoints_by_default():
    works = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1")))
    plan = dispatch(mcs(consumers=["m2"]), works, clusters=away())
    assert (plan.copies, plan.skips, plan.look_again) == ((), (), None)


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_opening_24_after_the_period_its_endpoints_go_and_only_they(status: str):
    works = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1")))
    policy = DispatchPolicy(withdraw_after=300.0)
    plan = dispatch(mcs(consumers=["m2"]), works, clusters=away(status), policy=policy)
    assert gone(plan) == [f"karmada-es-m2/{NAME}"]
    assert [(skip.cluster, skip.reason) for skip in plan.skips] == [("m1", wk.EVENT_ENDPOINTS_WITHDRAWN)]
    assert "not ready for 300 s" in plan.skips[0].message
    assert (plan.release, plan.service, plan.look_again) == ((), ("default", "web"), None)
    after = at_rest(mcs(consumers=["m2"]), works, clusters=away(status), policy=policy)
    assert list(after) == [("karmada-es-m1", NAME)], "what was collected stays"
    assert in_consumers(at_rest(mcs(consumers=["m2"]), after, policy=policy)) == {("karmada-es-m2", "m1-web-1")}


def test_opening_24_until_then_the_plan_says_when_to_look_again():
    policy = DispatchPolicy(withdraw_after=300.0)
    now = datetime(2025, 1, 1, 0, 4, tzinfo=UTC)
    plan = dispatch(mcs(consumers=["m2"]), by_key(collected_work("m1")), clusters=away(), policy=policy, now=now)
    assert plan.look_again == 60.0
    assert [copy.cluster for copy in plan.copies] == ["m2"], "and goes on as usual meanwhile"


def test_opening_24_a_service_that_says_so_itself_goes_its_own_way():
    never = mcs(consumers=["m2"], metadata={"annotations": {wk.WITHDRAW_AFTER: "0"}})
    works = at_rest(never, by_key(collected_work("m1")))
    policy = DispatchPolicy(withdraw_after=300.0)
    assert dispatch(never, works, clusters=away(), policy=policy).copies == ()
    odd = mcs(consumers=["m2"], metadata={"annotations": {wk.WITHDRAW_AFTER: "soon"}})
    plan = dispatch(odd, works, clusters=away())
    assert plan.copies == ()
    assert "'soon' is not a duration" in (plan.problem or "")


# --- a Service that is gone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listed", [None, [{"port": 80}]], ids=["all ports", "listed ports"])
def test_the_copies_of_a_service_that_is_gone_stay_for_a_moment_and_then_go(listed: Any):
    content = mcs(consumers=["m2"])
    content["spec"]["ports"] = listed
    works = at_rest(content, by_key(collected_work("m1")), template=service())
    plan = dispatch(content, works, gone_for=SERVICE_GONE_SECONDS - 4)
    assert (plan.copies, plan.skips, plan.ports, plan.look_again) == ((), (), None, 4.0)
    plan = dispatch(content, works, gone_for=SERVICE_GONE_SECONDS)
    assert gone(plan) == [f"karmada-es-m2/{NAME}"]
    assert (plan.release, plan.skips, plan.service, plan.look_again) == ((), (), ("default", "web"), None)
    after = at_rest(content, works, gone_for=SERVICE_GONE_SECONDS)
    assert list(after) == [("karmada-es-m1", NAME)], "what was collected stays"
    assert dispatch(content, after, gone_for=0.0).copies == (), "who begins then brings nothing back"
    back = at_rest(content, after, template=service())
    assert in_consumers(back) == {("karmada-es-m2", "m1-web-1")}


def test_until_the_copies_of_a_service_that_is_gone_go_they_follow_their_slice_and_no_new_ones_are_made():
    works = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1")))
    changed = works | by_key(collected_work("m1", slice_(addresses=["10.0.0.9"])))
    plan = dispatch(mcs(consumers=["m2", "m3"]), changed, gone_for=1.0)
    assert [(copy.cluster, type(copy.write)) for copy in plan.copies] == [("m2", PatchWork)]


def test_a_copy_whose_marks_were_taken_off_is_put_right_while_its_service_is_gone_so_that_it_can_go():
    works = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1")))
    there = works["karmada-es-m2", NAME]
    garbled = there | {"spec": {"workload": {"manifests": [7]}}}
    plan = dispatch(mcs(consumers=["m2"]), works | by_key(garbled), gone_for=1.0)
    assert [type(copy.write) for copy in plan.copies] == [PatchWork]


def test_a_provider_that_is_not_ready_for_too_long_does_not_keep_the_copies_of_a_service_that_is_gone():
    works = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1")))
    policy = DispatchPolicy(withdraw_after=300.0)
    now = datetime(2025, 1, 1, 0, 4, tzinfo=UTC)
    plan = dispatch(mcs(consumers=["m2"]), works, clusters=away(), policy=policy, now=now, gone_for=0.0)
    assert plan.look_again == SERVICE_GONE_SECONDS, "what is due first"


@pytest.mark.parametrize("endpoints", [None, []], ids=["null", "empty"])
def test_a_slice_without_endpoints_is_written_as_null_and_is_then_at_rest(endpoints: Any):
    works = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1", slice_(endpoints=endpoints, ports=None))))
    [manifest] = works["karmada-es-m2", NAME]["spec"]["workload"]["manifests"]
    assert manifest["endpoints"] is None
    # As a real server answers a merge patch: without the nulls.
    del manifest["endpoints"], manifest["ports"]
    assert dispatch(mcs(consumers=["m2"]), works).copies == ()


# --- to whom ----------------------------------------------------------------------------------------------------------


def test_case_93_a_cluster_never_gets_its_own_slices_back():
    after = at_rest(mcs(consumers=["m1", "m2"]), by_key(collected_work("m1")))
    assert in_consumers(after) == {("karmada-es-m2", "m1-web-1")}


def test_case_95_without_consumers_every_other_cluster_gets_the_slice():
    after = at_rest(mcs(), by_key(collected_work("m1")))
    assert in_consumers(after) == {("karmada-es-m2", "m1-web-1"), ("karmada-es-m3", "m1-web-1")}


def test_case_31_a_copy_in_a_cluster_that_consumes_no_more_is_deleted():
    works = at_rest(mcs(consumers=["m2", "m3"]), by_key(collected_work("m1")))
    after = at_rest(mcs(consumers=["m2"]), works)
    assert in_consumers(after) == {("karmada-es-m2", "m1-web-1")}


def test_case_32_copies_in_consumers_only_are_all_kept():
    works = at_rest(mcs(consumers=["m2", "m3"]), by_key(collected_work("m1")))
    assert at_rest(mcs(consumers=["m3", "m2"]), works) == works


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"ready": "Unknown"}, wk.EVENT_SYNC_SERVICE_FAILED),
        ({"apis": {}}, wk.EVENT_API_INCOMPATIBLE),
        (None, wk.EVENT_CLUSTER_NOT_FOUND),
    ],
    ids=["not ready", "lacks the API", "not registered"],
)
def test_opening_09_a_consumer_that_cannot_be_used_keeps_what_it_has_and_the_others_go_on(
    state: dict[str, Any] | None, reason: str
):
    clusters = {"m1": a_cluster("m1"), "m3": a_cluster("m3")}
    if state is not None:
        clusters["m2"] = a_cluster("m2", **state)
    content = mcs(consumers=["m2", "m3"])
    before = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1", slice_(addresses=["10.0.0.9"]))))
    before |= by_key(collected_work("m1"))
    after = at_rest(content, before, clusters=clusters)
    plan = dispatch(content, after, clusters=clusters)
    assert after["karmada-es-m2", NAME] == before["karmada-es-m2", NAME]
    assert ("karmada-es-m3", "m1-web-1") in in_consumers(after)
    assert [(skip.cluster, skip.reason) for skip in plan.skips] == [("m2", reason)]


def test_opening_13_a_consumer_that_is_leaving_is_no_skip_when_all_are_meant():
    clusters = {"m1": a_cluster("m1"), "m2": a_cluster("m2", metadata={"deletionTimestamp": DELETED_AT})}
    plan = dispatch(mcs(), by_key(collected_work("m1")), clusters=clusters)
    assert plan.copies == ()
    assert plan.skips == ()


# --- withdrawing ------------------------------------------------------------------------------------------------------


def gone(plan: DispatchPlan) -> list[str]:
    return [f"{one.write.namespace}/{one.write.name}" for one in plan.copies if isinstance(one.write, DeleteWork)]


def test_case_34_a_work_that_is_being_deleted_takes_its_own_copies_along_and_is_released():
    works = at_rest(mcs(consumers=["m2", "m3"]), by_key(collected_work("m1"), collected_work("m1", slice_("web-2"))))
    works = at_rest(mcs(consumers=["m2", "m3"]), works, origin=SliceRef("m1", "default", "web-2"))
    works |= by_key(collected_work("m1", deleting=True))
    plan = dispatch(mcs(consumers=["m2", "m3"]), works)
    assert gone(plan) == [f"karmada-es-m2/{NAME}", f"karmada-es-m3/{NAME}"]
    [release] = plan.release
    assert (release.namespace, release.name) == ("karmada-es-m1", NAME)
    assert release.body == {"metadata": {"finalizers": [], "resourceVersion": "7"}}
    assert plan.service is None


@pytest.mark.parametrize(
    "labels",
    [
        {wk.COLLECTED_BY: "ServiceExport", wk.EXPORT_NAME: "web"},
        filed("") | {wk.COLLECTED_BY: "MultiClusterService"},
        {},
    ],
    ids=["the mark was dropped", "an empty name", "no labels at all"],
)
def test_a_work_without_service_is_dispatched_no_more_and_released(labels: dict[str, str]):
    works = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1")))
    works |= by_key(collected_work("m1", labels=labels, finalizers=["theirs", wk.DISPATCH_FINALIZER]))
    plan = dispatch(mcs(consumers=["m2"]), works)
    assert gone(plan) == [f"karmada-es-m2/{NAME}"]
    assert plan.release[0].body["metadata"]["finalizers"] == ["theirs"]


def test_opening_03_copies_of_a_slice_that_is_collected_no_more_are_deleted():
    plan = dispatch(mcs(), by_key(dispatched_work("m1", "m2"), dispatched_work("m1", "m3")))
    assert gone(plan) == [f"karmada-es-m2/{NAME}", f"karmada-es-m3/{NAME}"]


def test_a_slice_whose_service_is_unknown_keeps_its_copies_until_the_collector_withdraws_it():
    works = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1")))
    assert dispatch(None, works) == DispatchPlan((), (), (), None)


def test_opening_04_copies_follow_a_slice_to_another_service():
    works = at_rest(mcs(consumers=["m2", "m3"]), by_key(collected_work("m1")))
    works |= by_key(collected_work("m1", slice_(service="other")))
    after = at_rest(mcs("other", consumers=["m3"]), works)
    assert in_consumers(after) == {("karmada-es-m3", "m1-web-1")}
    made = after["karmada-es-m3", NAME]
    assert made["metadata"]["labels"][wk.MCS_NAME] == "other"
    assert made["spec"]["workload"]["manifests"][0]["metadata"]["labels"][wk.SERVICE_NAME] == "other"


def test_a_copy_that_is_being_deleted_is_waited_for():
    works = by_key(collected_work("m1"), dispatched_work("m1", "m2", deleting=True))
    assert dispatch(mcs(consumers=["m2"]), works).copies == ()
    assert [copy.cluster for copy in dispatch(mcs(consumers=["m3"]), works).copies] == ["m3"]
    assert dispatch(mcs(), by_key(dispatched_work("m1", "m2", deleting=True))).copies == ()


def test_only_the_dispatchers_finalizer_is_released():
    assert release_collected(a_work(collected_work("m1", finalizers=["theirs"]))) is None


# --- whose place is it ------------------------------------------------------------------------------------------------


def test_opening_01_slices_of_one_name_from_two_providers_both_arrive_and_one_leaves_without_the_other():
    content = mcs(consumers=["m3"])
    first, second = SliceRef("m1", "default", "web-1"), SliceRef("m2", "default", "web-1")
    works = by_key(collected_work("m1"), collected_work("m2"))
    works = at_rest(content, works, origin=first)
    works = at_rest(content, works, origin=second)
    assert at_rest(content, works, origin=first) == works, "a fixed point"
    assert in_consumers(works) == {("karmada-es-m3", "m1-web-1"), ("karmada-es-m3", "m2-web-1")}
    del works["karmada-es-m1", NAME]
    works = at_rest(content, works, origin=first)
    assert in_consumers(works) == {("karmada-es-m3", "m2-web-1")}
    assert at_rest(content, works, origin=second) == works


def test_opening_02_a_consumers_own_collected_work_is_not_touched():
    content = mcs(consumers=["m2"])
    works = by_key(collected_work("m1"), collected_work("m2"))
    after = at_rest(content, works)
    assert after["karmada-es-m2", NAME] == works["karmada-es-m2", NAME]
    assert in_consumers(after) == {("karmada-es-m2", "m1-web-1")}


def test_opening_17_slices_that_would_share_a_name_in_the_consumer_are_told_apart():
    content = mcs(consumers=["m3"])
    clusters = {name: a_cluster(name) for name in ("a", "a-b", "m3")}
    first, second = SliceRef("a", "default", "b-c"), SliceRef("a-b", "default", "c")
    works = by_key(collected_work("a", slice_("b-c")), collected_work("a-b", slice_("c")))
    works = at_rest(content, works, origin=second, clusters=clusters)
    works = at_rest(content, works, origin=first, clusters=clusters)
    distinct = distinct_slice_name("a", "b-c")
    assert distinct == "a-b-c-54b8f6799c"
    assert in_consumers(works) == {("karmada-es-m3", "a-b-c"), ("karmada-es-m3", distinct)}
    assert at_rest(content, works, origin=second, clusters=clusters) == works, "a fixed point"
    assert {origin_of(a_work(one)) for one in works.values()} == {first, second}, "and both know where they are from"
    del works["karmada-es-a-b", work_name(wk.SLICE_KIND, "default", "c")]
    works = at_rest(content, works, origin=second, clusters=clusters)
    works = at_rest(content, works, origin=first, clusters=clusters)
    assert in_consumers(works) == {("karmada-es-m3", distinct)}, "a rename would leave the old slice in the member"


def test_opening_17_of_two_slices_that_took_one_name_at_once_the_one_that_sorts_last_gives_way():
    content = mcs(consumers=["m3"])
    clusters = {name: a_cluster(name) for name in ("a", "a-b", "m3")}
    first, second = SliceRef("a", "default", "b-c"), SliceRef("a-b", "default", "c")
    works = by_key(
        collected_work("a", slice_("b-c")),
        collected_work("a-b", slice_("c")),
        dispatched_work("a", "m3", slice_("b-c")),
        dispatched_work("a-b", "m3", slice_("c")),
    )
    for order in ((first, second), (second, first)):
        after = works
        for origin in order:
            [copy] = dispatch(content, after, origin=origin, clusters=clusters).copies
            # A Work that is renamed would leave its slice in the member, so it goes, and another one comes.
            assert isinstance(copy.write, DeleteWork if origin == second else PatchWork)
            after = at_rest(content, after, origin=origin, clusters=clusters)
        assert in_consumers(after) == {("karmada-es-m3", "a-b-c"), ("karmada-es-m3", distinct_slice_name("a-b", "c"))}


@pytest.mark.parametrize("hostile_first", [True, False])
def test_a_provider_cannot_take_all_names_of_another(hostile_first: bool):
    content = mcs(consumers=["m3"])
    clusters = {name: a_cluster(name) for name in ("a", "a-b", "m3")}
    usual, distinct, guarded = dispatched_slice_names("a-b", "c")
    honest = SliceRef("a-b", "default", "c")
    squatters = [SliceRef("a", "default", name.removeprefix("a-")) for name in (usual, distinct)]
    works = by_key(
        collected_work("a-b", slice_("c")), *(collected_work("a", slice_(squatter.name)) for squatter in squatters)
    )
    for origin in (*squatters, honest) if hostile_first else (honest, *squatters):
        works = at_rest(content, works, origin=origin, clusters=clusters)
    for origin in (honest, *squatters):
        assert at_rest(content, works, origin=origin, clusters=clusters) == works, "a fixed point"
    names = {origin_of(one): one.ref.name for one in map(a_work, works.values()) if target_of(one) and one.ref}
    assert names[honest] == (guarded if hostile_first else usual)
    assert len({*names.values()}) == 3


def test_of_two_that_took_the_distinct_name_of_one_at_once_one_gives_way():
    content = mcs(consumers=["m3"])
    clusters = {name: a_cluster(name) for name in ("a", "a-b", "m3")}
    usual, distinct, _ = dispatched_slice_names("a-b", "c")
    squatter, honest = SliceRef("a", "default", distinct.removeprefix("a-")), SliceRef("a-b", "default", "c")
    mine = dispatched_work("a-b", "m3", slice_("c"), annotations={wk.PROVISION_CLUSTER: "a-b", wk.PROVISION_NAME: "c"})
    mine["spec"]["workload"]["manifests"][0]["metadata"]["name"] = distinct
    works = by_key(
        collected_work("a-b", slice_("c")),
        collected_work("a", slice_(squatter.name)),
        dispatched_work("a", "m3", slice_(squatter.name)),
        mine,
    )
    for _ in range(2):
        for origin in (squatter, honest):
            works = at_rest(content, works, origin=origin, clusters=clusters)
    assert in_consumers(works) == {("karmada-es-m3", distinct), ("karmada-es-m3", usual)}


def test_a_slice_whose_name_is_shared_with_nobody_is_called_as_the_contract_says():
    assert dispatched_slice_name("a-b", "c") == "a-b-c"
    after = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1")))
    assert wk.PROVISION_NAME not in after["karmada-es-m2", NAME]["metadata"]["annotations"]


@pytest.mark.parametrize("manifests", [[], [7], [None], [{"apiVersion": "v1", "kind": "Pod"}]])
def test_a_garbled_copy_is_put_right_in_its_place(manifests: list[Any]):
    garbled = work("m2", NAME, *manifests, labels=filed(), annotations={wk.PROVISION_CLUSTER: "m1"})
    after = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1"), garbled))
    assert list(after) == [("karmada-es-m1", NAME), ("karmada-es-m2", NAME)]
    assert in_consumers(after) == {("karmada-es-m2", "m1-web-1")}


@pytest.mark.parametrize("label", [None, wk.MCS_NAME, wk.MCS_NAMESPACE, wk.WORK_PERMANENT_ID])
def test_a_copy_that_lost_its_annotation_is_known_by_what_it_holds(label: str | None):
    before = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1")))
    copy = before["karmada-es-m2", NAME]
    stripped = merge_patch(copy, {"metadata": {"annotations": None, "labels": {label: None} if label else {}}})
    assert (role_of(a_work(stripped)), origin_of(a_work(stripped))) == (Role.DISPATCHED, ORIGIN)
    plan = dispatch(mcs(consumers=["m2"]), before | {("karmada-es-m2", NAME): stripped})
    (write,) = (one.write for one in plan.copies)
    assert isinstance(write, PatchWork)  # so the consumer never lacks the slice
    after = merge_patch(stripped, write.body)
    assert after["metadata"]["annotations"] == copy["metadata"]["annotations"]
    assert after["metadata"]["labels"].keys() == copy["metadata"]["labels"].keys()


def test_a_slice_that_was_brought_by_another_work_does_not_make_a_copy_of_the_work_that_holds_it():
    before = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1")))
    manifest = before["karmada-es-m2", NAME]["spec"]["workload"]["manifests"][0]
    assert role_of(a_work(work("m2", "other", manifest, labels=filed()))) is Role.COLLECTED
    assert role_of(a_work(work("m2", NAME, manifest, labels={wk.COLLECTED_BY: "Other"}))) is Role.COLLECTED
    assert role_of(a_work(work("m2", "other", manifest))) is Role.OTHER


@pytest.mark.parametrize(
    "occupant",
    [
        work("m2", NAME, 7),
        work("m2", NAME, 7, labels=filed(), annotations={wk.PROVISION_CLUSTER: "m3"}),
        work("m2", NAME, 7, labels=filed("other"), annotations={wk.PROVISION_CLUSTER: "m1"}),
        work("m2", NAME, 7, labels=filed(), annotations={wk.PROVISION_CLUSTER: "m1"}, deleting=True),
    ],
    ids=["unmarked", "of another provider", "of another service", "on its way out"],
)
def test_garbage_that_is_not_this_copy_is_left_alone(occupant: Json):
    after = at_rest(mcs(consumers=["m2"]), by_key(collected_work("m1"), occupant))
    assert after["karmada-es-m2", NAME] == occupant
    assert in_consumers(after) == {("karmada-es-m2", "m1-web-1")}


def test_of_two_copies_in_one_consumer_the_one_under_the_usual_name_stays():
    works = by_key(collected_work("m1"), dispatched_work("m1", "m2"), dispatched_work("m1", "m2", name="a-spare"))
    after = at_rest(mcs(consumers=["m2"]), works)
    assert set(after) == {("karmada-es-m1", NAME), ("karmada-es-m2", NAME)}


# --- as Karmada wrote it ----------------------------------------------------------------------------------------------


def test_golden_the_dispatched_work_is_reproduced_field_by_field():
    expected, source = golden_work("member2", wk.SLICE_KIND), golden_work("member1", wk.SLICE_KIND)
    clusters = {one["metadata"]["name"]: decode(one) for one in golden("host-clusters")["items"]}
    origin = SliceRef("member1", "default", "nginx-b5zrb")
    content = decode(golden("host-multiclusterservice"))
    plan = plan_dispatch(
        origin,
        [a_work(source)],
        [],
        DispatchContext(
            service=lambda _: content,
            template=lambda _: None,
            gone_for=lambda _: None,
            clusters=clusters,
            find=lambda *_: None,
            find_by_copy_name=lambda _: [],
            new_id=lambda: str(expected["metadata"]["labels"][wk.WORK_PERMANENT_ID]),
            policy=KARMADAS,
        ),
        NOW,
    )
    [copy] = plan.copies
    assert isinstance(copy.write, CreateWork)
    assert copy.write.body == as_written(expected)
    assert dispatch(
        golden("host-multiclusterservice"), by_key(source, expected), origin=origin, clusters=clusters
    ) == DispatchPlan((), (), (), ("default", "nginx"))


# --- laws -------------------------------------------------------------------------------------------------------------

NAMES = ("a", "a-b", "b")
ORIGINS = [SliceRef(cluster, "default", name) for cluster in NAMES for name in ("b-c", "c")]


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_whatever_the_order_and_wherever_it_stops_every_slice_reaches_every_consumer_once(data: st.DataObject):
    clusters = {name: a_cluster(name) for name in (*NAMES, "z")}
    consumers = data.draw(st.sets(st.sampled_from([*NAMES, "z"]), min_size=1), "consumers")
    present = data.draw(st.sets(st.sampled_from(ORIGINS)), "collected")
    stale = data.draw(st.lists(st.tuples(st.sampled_from(ORIGINS), st.sampled_from(["b", "z"])), max_size=3), "stale")
    content = mcs(consumers=sorted(consumers))
    works = by_key(
        *(dispatched_work(one.cluster, to, slice_(one.name)) for one, to in stale if one.cluster != to),
        *(collected_work(one.cluster, slice_(one.name)) for one in present),
    )
    # Some passes in any order, each stopping after any number of its writes, in any order of these.
    for _ in range(data.draw(st.integers(0, 6), "passes that crash")):
        origin = data.draw(st.sampled_from(ORIGINS))
        writes = [copy.write for copy in dispatch(content, works, origin=origin, clusters=clusters).copies]
        writes = data.draw(st.permutations(writes))
        works = carried_out(works, *writes[: data.draw(st.integers(0, len(writes)))])
    # Then everything is looked at until nothing is left to do: the queues see to that.
    for _ in range(2):
        for origin in data.draw(st.permutations(ORIGINS)):
            works = at_rest(content, works, origin=origin, clusters=clusters)
    for origin in ORIGINS:
        assert at_rest(content, works, origin=origin, clusters=clusters) == works
    found = [a_work(one) for one in works.values() if role_of(a_work(one)) is Role.DISPATCHED]
    assert sorted((origin_of(one), one.metadata.namespace) for one in found) == sorted(
        (one, f"karmada-es-{to}") for one in present for to in consumers if to != one.cluster
    )
    targets = [target_of(one) for one in found]
    assert len(set(targets)) == len(targets), "no two copies overwrite each other in a member"
