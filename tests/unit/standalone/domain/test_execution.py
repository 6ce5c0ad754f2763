"""Manifests against what members have. Numbers are cases of docs/parity.md."""

import copy
from typing import Any

import msgspec
import pytest

from mcs_controller.api.common import Unstructured, decode_applied
from mcs_controller.domain import well_known as wk
from mcs_controller.standalone.domain.cluster import BY_EXECUTION_CLUSTER
from mcs_controller.standalone.domain.execution import (
    BY_MEMBER_NAMESPACE,
    BY_MEMBER_OBJECT,
    WORK_INDEXES,
    InvalidManifest,
    NotOurs,
    check_overwrite,
    foreign_id,
    has_drifted,
    manifest_of,
    may_delete,
    plan_release,
    plan_update,
)
from tests.support.builders import a_work, service, slice_, work
from tests.support.clusters import golden
from tests.support.object_store import Json, merge_patch

NAMESPACE = "karmada-es-m1"
MARKS = {wk.WORK_NAMESPACE: NAMESPACE, wk.WORK_NAME: "w"}


def _object(content: Json) -> Unstructured:
    return decode_applied(msgspec.json.encode(content))


def _marked(content: Json, **annotations: str) -> Json:
    """As a Work carries it: with the marks, and without what servers set."""
    marked = copy.deepcopy(content)
    metadata = marked["metadata"]
    for name in ("uid", "resourceVersion"):
        metadata.pop(name, None)
    metadata["labels"] = {**metadata.get("labels", {}), wk.MANAGED: "true"}
    metadata["annotations"] = {**metadata.get("annotations", {}), **MARKS, **annotations}
    return marked


def _stored(manifest: Json, **spec: Any) -> Json:
    """As the member stores it: with a uid, a version and what its server fills in."""
    stored = copy.deepcopy(manifest)
    stored["metadata"] |= {"uid": "u", "resourceVersion": "5", "creationTimestamp": "2026-01-01T00:00:00Z"}
    if "spec" in stored:
        stored["spec"] |= spec
    return stored


def _update(manifest: Json, stored: Json) -> tuple[Json | None, Json]:
    """The plan, and what the member has after it was carried out; a second pass has nothing to do."""
    patch = plan_update(manifest, _object(stored))
    after = merge_patch(stored, patch or {})
    assert plan_update(manifest, _object(after)) is None
    return patch, after


# --- no request in a steady world ------------------------------------------------------------------------------------

CLUSTER_IP = {
    "clusterIP": "10.1.1.1",
    "clusterIPs": ["10.1.1.1"],
    "ipFamilies": ["IPv4"],
    "ipFamilyPolicy": "SingleStack",
}
DEFAULTED = {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}
PORT = {"port": 80, "protocol": "TCP", "targetPort": 80}


@pytest.mark.parametrize(
    ("spec", "stored"),
    [
        pytest.param({"ports": [{"port": 80}]}, {**DEFAULTED, **CLUSTER_IP, "ports": [PORT]}, id="the-shortest-of-all"),
        pytest.param(
            {"ports": [PORT], "publishNotReadyAddresses": False, "externalIPs": [], "selector": {}},
            {**DEFAULTED, **CLUSTER_IP, "ports": [PORT]},
            id="empty-is-absent",
        ),
        pytest.param(
            {"ports": [PORT], "sessionAffinity": "ClientIP"},
            {
                **DEFAULTED,
                **CLUSTER_IP,
                "ports": [PORT],
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
            },
            id="client-ip-affinity",
        ),
        pytest.param(
            {"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]},
            {
                **DEFAULTED,
                **CLUSTER_IP,
                "type": "NodePort",
                "externalTrafficPolicy": "Cluster",
                "ports": [
                    {"name": "a", "port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": 30001},
                    {"name": "b", "port": 81, "protocol": "TCP", "targetPort": 81, "nodePort": 30002},
                ],
            },
            id="node-ports-that-the-member-chose",
        ),
        pytest.param(
            {"type": "LoadBalancer", "ports": [PORT], "externalTrafficPolicy": "Local"},
            {
                **DEFAULTED,
                **CLUSTER_IP,
                "type": "LoadBalancer",
                "externalTrafficPolicy": "Local",
                "allocateLoadBalancerNodePorts": True,
                "healthCheckNodePort": 32000,
                "ports": [PORT | {"nodePort": 30001}],
            },
            id="load-balancer-with-a-health-check-port",
        ),
        pytest.param(
            {"type": "LoadBalancer", "ports": [PORT], "allocateLoadBalancerNodePorts": False},
            {
                **DEFAULTED,
                **CLUSTER_IP,
                "type": "LoadBalancer",
                "externalTrafficPolicy": "Cluster",
                "allocateLoadBalancerNodePorts": False,
                "ports": [PORT],
            },
            id="load-balancer-without-node-ports",
        ),
        pytest.param(
            {"ports": [PORT], "clusterIP": "None", "clusterIPs": ["None"]},
            {**DEFAULTED, **CLUSTER_IP, "clusterIP": "None", "clusterIPs": ["None"], "ports": [PORT]},
            id="headless",
        ),
        pytest.param(
            {"type": "ExternalName", "externalName": "example.org"},
            {"type": "ExternalName", "externalName": "example.org", "sessionAffinity": "None"},
            id="external-name",
        ),
    ],
)
def test_what_a_server_fills_in_is_no_difference(spec: Json, stored: Json) -> None:
    manifest = _marked(service() | {"spec": spec})
    assert plan_update(manifest, _object(_stored(manifest) | {"spec": stored})) is None


@pytest.mark.parametrize(
    ("works", "objects", "name"),
    [
        ("host-works-karmada-es-member1.json", "member1-service.json", "nginx-64b7849b5"),
        ("host-works-karmada-es-member2.json", "member2-service.json", "nginx-64b7849b5"),
        ("host-works-karmada-es-member2.json", "member2-endpointslices.json", "nginx-b5zrb-7b6c849b87"),
    ],
)
def test_what_karmada_applied_needs_no_write(works: str, objects: str, name: str) -> None:
    content = next(one for one in golden(works) if one["metadata"]["name"] == name)
    [manifest] = content["spec"]["workload"]["manifests"]
    made = next(one for one in golden(objects) if one["metadata"]["name"] == manifest["metadata"]["name"])
    assert manifest_of(a_work(content), a_work(content).manifests[0]) == manifest
    assert plan_update(manifest, _object(made)) is None


@pytest.mark.parametrize("empty", [None, []])
def test_an_empty_slice_is_stored_as_null_and_needs_no_write(empty: list[Any] | None) -> None:
    manifest = _marked(slice_(endpoints=empty, ports=empty))
    stored = _stored(manifest) | {"endpoints": None, "ports": None}
    assert plan_update(manifest, _object(stored)) is None


def test_a_slice_port_needs_no_write_for_its_defaults() -> None:
    manifest = _marked(slice_(ports=[{"port": 80}]))
    stored = _stored(manifest) | {"ports": [{"name": "", "port": 80, "protocol": "TCP"}]}
    assert plan_update(manifest, _object(stored)) is None


def test_a_namespace_needs_no_write_for_what_the_server_puts_there() -> None:
    manifest = _marked({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}})
    stored = _stored(manifest) | {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    stored["metadata"]["labels"] |= {"kubernetes.io/metadata.name": "prod"}
    assert plan_update(manifest, _object(stored)) is None


# --- updates ---------------------------------------------------------------------------------------------------------


def test_a_patch_names_the_version_it_was_computed_from() -> None:
    manifest = _marked(service())
    patch, _ = _update(manifest, _stored(manifest, **DEFAULTED, **CLUSTER_IP, selector={"app": "other"}))
    assert patch == {"metadata": {"resourceVersion": "5"}, "spec": {"selector": {"app": "web"}}}


def test_the_lists_of_a_slice_are_replaced_as_a_whole() -> None:
    manifest = _marked(slice_(addresses=["10.0.0.1", "10.0.0.2"]))
    patch, _ = _update(manifest, _stored(_marked(slice_(addresses=["10.0.0.3"]))))
    assert patch == {"metadata": {"resourceVersion": "5"}, "endpoints": manifest["endpoints"]}


def test_a_slice_that_became_empty_loses_its_lists() -> None:
    manifest = _marked(slice_(endpoints=None, ports=None))
    patch, _ = _update(manifest, _stored(_marked(slice_())))
    assert patch == {"metadata": {"resourceVersion": "5"}, "endpoints": None, "ports": None}


def test_labels_and_annotations_of_others_stay_and_the_manifest_wins() -> None:
    manifest = _marked(service(labels={"shared": "manifest"}))
    stored = _stored(manifest, **DEFAULTED, **CLUSTER_IP)
    stored["metadata"]["labels"] |= {"own": "x", "shared": "member"}
    stored["metadata"]["annotations"] |= {"own": "y"}
    patch, _ = _update(manifest, stored)
    assert patch == {"metadata": {"labels": {"shared": "manifest"}, "resourceVersion": "5"}}


def test_managed_labels_and_annotations_that_left_the_manifest_are_removed() -> None:
    manifest = _marked(service(labels={"kept": "1"}), **{wk.MANAGED_LABELS: "kept", wk.MANAGED_ANNOTATIONS: ""})
    stored = _stored(manifest, **DEFAULTED, **CLUSTER_IP)
    stored["metadata"]["labels"] |= {"gone": "1", "own": "1"}
    stored["metadata"]["annotations"] |= {"a": "1", wk.MANAGED_LABELS: "gone,kept", wk.MANAGED_ANNOTATIONS: "a"}
    patch, _ = _update(manifest, stored)
    assert patch is not None
    assert patch["metadata"]["labels"] == {"gone": None}
    assert patch["metadata"]["annotations"] == {"a": None, wk.MANAGED_LABELS: "kept", wk.MANAGED_ANNOTATIONS: ""}


# --- whose object ----------------------------------------------------------------------------------------------------


def _mine(*manifests: Json, **fields: Any) -> Any:
    return a_work(work("m1", "w", *(manifests or (_marked(service()),)), **fields))


def test_an_unmanaged_object_is_not_written_over() -> None:
    with pytest.raises(NotOurs, match=r"Service default/web exists in the cluster and is not managed by Karmada"):
        check_overwrite(_marked(service()), _object(service()), _mine(), None, owned=True)


def test_nobody_is_told_to_delete_a_namespace_with_all_that_is_in_it() -> None:
    there = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}}
    with pytest.raises(NotOurs, match=r"^Namespace prod exists in the cluster and is not managed") as refused:
        check_overwrite(_marked(there), _object(there), _mine(_marked(there)), None, owned=True)
    assert "delete" not in str(refused.value)
    assert f"annotate that one with {wk.CONFLICT_RESOLUTION}: {wk.CONFLICT_OVERWRITE}" in str(refused.value)


def test_an_unmanaged_object_is_written_over_if_the_manifest_says_so() -> None:
    check_overwrite(
        _marked(service(), **{wk.CONFLICT_RESOLUTION: "overwrite"}), _object(service()), _mine(), None, owned=True
    )


def test_a_managed_object_is_written_over() -> None:
    check_overwrite(_marked(service()), _object(service(labels={wk.MANAGED: "true"})), _mine(), None, owned=True)


def test_an_object_of_this_work_without_its_label_is_repaired() -> None:
    check_overwrite(_marked(service()), _object(service(annotations=MARKS)), _mine(), None, owned=True)


def test_an_object_of_another_living_work_is_not_taken_over() -> None:
    other = a_work(work("m1", "other", _marked(service())))
    observed = _object(service(labels={wk.MANAGED: "true"}, annotations=MARKS | {wk.WORK_NAME: "other"}))
    with pytest.raises(NotOurs, match="applied by another Work already, karmada-es-m1/other"):
        check_overwrite(_marked(service()), observed, _mine(), other, owned=True)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(None, id="gone"),
        pytest.param(work("m1", "other", service(), deleting=True, finalizers=["x"]), id="being-deleted"),
        pytest.param(work("m1", "other", service(), suspended=True), id="suspended"),
        pytest.param(work("m1", "other", service("else")), id="carries-something-else"),
    ],
)
def test_an_object_whose_work_does_not_apply_it_any_more_is_taken_over(other: Json | None) -> None:
    observed = _object(service(labels={wk.MANAGED: "true"}, annotations=MARKS | {wk.WORK_NAME: "other"}))
    check_overwrite(_marked(service()), observed, _mine(), a_work(other) if other else None, owned=True)


@pytest.mark.parametrize(
    ("labels", "annotations", "deleted"),
    [
        pytest.param({wk.MANAGED: "true"}, MARKS, True, id="applied-by-the-work"),
        pytest.param({wk.MANAGED: "true"}, {}, False, id="native-slice-with-its-services-labels"),
        pytest.param({wk.MANAGED: "true"}, MARKS | {wk.WORK_NAME: "other"}, False, id="applied-by-another"),
        pytest.param({}, MARKS, True, id="applied-by-the-work-and-the-label-taken-off"),
    ],
)
def test_only_what_the_work_applied_is_deleted_with_it(
    labels: dict[str, str], annotations: dict[str, str], deleted: bool
) -> None:
    assert may_delete(_object(slice_(labels=labels, annotations=annotations)), _mine(), owned=True) is deleted


OTHER_OWNER = {wk.MANAGED: "true", wk.WORK_PERMANENT_ID: "another"}


@pytest.mark.parametrize(
    "name", [pytest.param("w", id="this-works-name"), pytest.param("other", id="the-name-of-a-work-that-is-not-here")]
)
def test_an_object_of_another_control_planes_work_is_left_and_named(name: str) -> None:
    observed = _object(service(labels=OTHER_OWNER, annotations=MARKS | {wk.WORK_NAME: name}))
    manifest = _marked(service(), **{wk.CONFLICT_RESOLUTION: "overwrite"})
    said = rf"belongs to Work karmada-es-m1/{name} of another control plane \(permanent-id another\)"
    mine = _mine(manifest, labels={wk.WORK_PERMANENT_ID: "ours"})
    with pytest.raises(NotOurs, match=said):
        check_overwrite(manifest, observed, mine, None, owned=False)
    assert not may_delete(observed, mine, owned=False)


def test_in_a_member_of_ours_another_id_is_that_of_an_earlier_work() -> None:
    observed = _object(service(labels=OTHER_OWNER, annotations=MARKS))
    manifest = _marked(service(labels={wk.WORK_PERMANENT_ID: "ours"}))
    mine = _mine(manifest, labels={wk.WORK_PERMANENT_ID: "ours"})
    check_overwrite(manifest, observed, mine, None, owned=True)
    assert may_delete(observed, mine, owned=True)
    patch = plan_update(manifest, observed)
    assert patch is not None
    assert patch["metadata"]["labels"] == {wk.WORK_PERMANENT_ID: "ours"}


@pytest.mark.parametrize(
    ("there", "ours", "inside", "foreign"),
    [
        pytest.param("a", "a", "a", "", id="the-same"),
        pytest.param("a", "b", "b", "a", id="another"),
        pytest.param("a", "b", "a", "", id="the-manifest-still-has-it"),
        pytest.param("", "b", "b", "", id="object-without"),
        pytest.param("a", "", "", "", id="work-without"),
    ],
)
def test_an_id_is_foreign_if_neither_the_work_nor_its_manifest_has_it(
    there: str, ours: str, inside: str, foreign: str
) -> None:
    labels = {wk.WORK_PERMANENT_ID: inside} if inside else {}
    owner = work("m1", "w", service(labels=labels), labels={wk.WORK_PERMANENT_ID: ours} if ours else {})
    observed = _object(service(labels={wk.WORK_PERMANENT_ID: there} if there else {}, annotations=MARKS))
    assert foreign_id(observed, a_work(owner)) == foreign


def test_golden_native_slices_are_never_deleted() -> None:
    for cluster in ("member1", "member2"):
        works = [a_work(one) for one in golden(f"host-works-karmada-es-{cluster}.json")]
        native = [
            _object(one)
            for one in golden(f"{cluster}-endpointslices.json")
            if one["metadata"]["labels"].get(wk.SLICE_MANAGED_BY) == "endpointslice-controller.k8s.io"
        ]
        assert native
        assert not any(may_delete(one, owner, owned=True) for one in native for owner in works)


def test_case_83_an_object_that_is_preserved_loses_our_marks_and_keeps_its_own() -> None:
    marks = dict.fromkeys((wk.BINDING_PERMANENT_ID, wk.WORK_PERMANENT_ID, wk.MANAGED), "true")
    notes = dict.fromkeys(
        (wk.MANAGED_LABELS, wk.MANAGED_ANNOTATIONS, wk.TEMPLATE_UID, wk.BINDING_NAME, wk.POLICY_NAME), "x"
    )
    observed = _object(service(labels=marks | {"own": "1"}, annotations=MARKS | notes | {"own": "1"}))
    patch = plan_release(observed, _mine())
    assert patch == {
        "metadata": {
            "labels": dict.fromkeys(marks),
            "annotations": dict.fromkeys([*MARKS, *notes]),
            "resourceVersion": "7",
        }
    }


def test_an_object_of_another_work_is_not_stripped() -> None:
    assert plan_release(_object(service(annotations=MARKS | {wk.WORK_NAME: "other"})), _mine()) is None


# --- drift -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "drifted"),
    [
        pytest.param({"status": {"loadBalancer": {"ingress": []}}}, False, id="case-85-status"),
        pytest.param({"metadata": {"resourceVersion": "9"}}, False, id="case-85-nothing"),
        pytest.param({"spec": {"selector": {"app": "x"}}}, True, id="case-85-spec"),
        pytest.param({"metadata": {"labels": None}}, True, id="case-85-labels-stripped"),
        pytest.param({"metadata": {"annotations": {"a": "b"}}}, True, id="case-85-annotations"),
    ],
)
def test_drift_is_any_change_outside_of_the_status(change: Json, drifted: bool) -> None:
    before = _marked(service())
    assert has_drifted(_object(before), _object(merge_patch(before, change))) is drifted


# --- manifests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        pytest.param("garbage", "is not an object with apiVersion, kind and metadata.name", id="a-string"),
        pytest.param({"kind": "Service"}, "is not an object with", id="no-name"),
        pytest.param(service() | {"spec": "garbage"}, "malformed", id="spec-is-a-string"),
        pytest.param(service(ports=["garbage"]), "malformed", id="ports-are-strings"),
        pytest.param(service(metadata={"labels": ["a"]}), "malformed", id="labels-are-a-list"),
        pytest.param(slice_(endpoints="garbage"), "malformed", id="endpoints-are-a-string"),
    ],
)
def test_a_garbage_manifest_is_refused_with_words(manifest: Any, words: str) -> None:
    carrier = a_work(work("m1", "w", manifest))
    with pytest.raises(InvalidManifest, match=words):
        manifest_of(carrier, carrier.manifests[0])


def test_a_work_made_by_hand_still_marks_what_it_applies() -> None:
    carrier = a_work(
        work(
            "m1",
            "w",
            service(metadata={"ownerReferences": [{}]}),
            labels={wk.WORK_PERMANENT_ID: "id"},
            annotations={wk.CONFLICT_RESOLUTION: "overwrite"},
        )
    )
    metadata = manifest_of(carrier, carrier.manifests[0])["metadata"]
    assert metadata["labels"] == {wk.MANAGED: "true", wk.WORK_PERMANENT_ID: "id"}
    assert metadata["annotations"] | MARKS == metadata["annotations"]
    assert metadata["annotations"][wk.CONFLICT_RESOLUTION] == "overwrite"
    assert "ownerReferences" not in metadata


def test_works_are_found_by_cluster_namespace_and_object() -> None:
    carrier = a_work(work("m1", "w", service(), "garbage"))
    elsewhere = a_work(work("m1", "w", service(), namespace="default"))
    expected = {
        BY_EXECUTION_CLUSTER: ["m1"],
        BY_MEMBER_NAMESPACE: [("m1", "default")],
        BY_MEMBER_OBJECT: [("m1", "v1", "Service", "default", "web")],
    }
    for index, values in expected.items():
        assert list(WORK_INDEXES[index](carrier)) == values
        assert list(WORK_INDEXES[index](elsewhere)) == []
