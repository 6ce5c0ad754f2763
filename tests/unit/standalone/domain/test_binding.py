"""ResourceBindings to Works. Numbers are cases of docs/parity.md."""

from typing import Any, cast

import msgspec
import pytest

from mcs_controller.api.common import Unstructured, decode_unstructured
from mcs_controller.api.resourcebinding import ResourceBinding
from mcs_controller.api.work import Work
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.bindings import targets
from mcs_controller.domain.naming import work_name
from mcs_controller.domain.works import CreateWork, WorkIntent, plan_work
from mcs_controller.standalone.domain.binding import (
    BINDING_INDEXES,
    BY_BINDING,
    BY_BINDING_ID,
    BY_TEMPLATE,
    WORK_INDEXES,
    is_older,
    occupied,
    plan_adopt,
    plan_bound_work,
    plan_cleanup,
    plan_works,
)
from tests.support.builders import a_binding, a_work, binding, decode, ids, service, work
from tests.support.clusters import golden
from tests.support.object_store import Json


def _binding(*clusters: str, **fields: Any) -> ResourceBinding:
    """A binding that was scheduled to these clusters; `fields` are of its spec, or its `metadata`."""
    content = binding(labels={wk.BINDING_PERMANENT_ID: "rb-id"}, metadata=fields.pop("metadata", None))
    content["spec"] |= {"clusters": [{"name": cluster} for cluster in clusters], **fields}
    return cast("ResourceBinding", decode(content))


def _template(content: Json | None = None) -> Unstructured:
    return decode_unstructured(msgspec.json.encode(content or service()))


def _intents(made_for: ResourceBinding, template: Unstructured | None = None) -> dict[str, WorkIntent]:
    return {one.namespace: one for one in plan_works(made_for, template or _template())}


def _work_of(cluster: str, name: str = "web", **fields: Any) -> Work:
    return a_work(work(cluster, name, service(), **fields))


# --- the golden Works ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cluster", ["member1", "member2"])
def test_works_of_the_walkthrough_are_karmadas_own(cluster: str) -> None:
    scheduled = cast("ResourceBinding", decode(golden("host-resourcebinding.json")[0]))
    expected = next(
        one for one in golden(f"host-works-karmada-es-{cluster}.json") if one["metadata"]["name"] == "nginx-64b7849b5"
    )
    work_id = expected["metadata"]["labels"][wk.WORK_PERMANENT_ID]

    intent = _intents(scheduled, _template(golden("host-service.json")[0]))[f"karmada-es-{cluster}"]
    write = plan_work(intent, None, lambda: work_id)

    assert isinstance(write, CreateWork)
    set_by_server = ("creationTimestamp", "generation", "resourceVersion", "uid")
    assert write.body["metadata"] == {
        key: value for key, value in expected["metadata"].items() if key not in set_by_server
    }
    assert write.body["spec"] == expected["spec"]


def test_a_golden_work_needs_no_write() -> None:
    scheduled = cast("ResourceBinding", decode(golden("host-resourcebinding.json")[0]))
    observed = {
        one["metadata"]["namespace"]: a_work(one)
        for cluster in ("member1", "member2")
        for one in golden(f"host-works-karmada-es-{cluster}.json")
        if one["metadata"]["name"] == "nginx-64b7849b5"
    }
    for intent in plan_works(scheduled, _template(golden("host-service.json")[0])):
        assert plan_work(intent, observed[intent.namespace], ids()) is None


# --- rules of the table in 4.2 -------------------------------------------------------------------------------------


def test_generation_of_the_template_travels_only_if_it_has_one() -> None:
    with_generation = _template(service(metadata={"generation": 3}))
    manifests = [_intents(_binding("m1"), one)["karmada-es-m1"].manifest for one in (with_generation, _template())]
    found = [manifest["metadata"]["annotations"].get(wk.TEMPLATE_GENERATION) for manifest in manifests]
    assert found == ["3", None]


@pytest.mark.parametrize(
    ("own", "of_binding", "expected"),
    [
        pytest.param("abort", "Overwrite", "abort", id="the-service-says-abort"),
        pytest.param("overwrite", "Abort", "overwrite", id="the-service-says-overwrite"),
        pytest.param("nonsense", "Overwrite", "overwrite", id="nonsense-does-not-count"),
        pytest.param(None, "Overwrite", "overwrite", id="the-binding-says-overwrite"),
        pytest.param(None, "Abort", "abort", id="the-binding-says-abort"),
        pytest.param(None, "", "abort", id="abort-by-default"),
    ],
)
def test_conflict_resolution(own: str | None, of_binding: str, expected: str) -> None:
    template = _template(service(annotations={wk.CONFLICT_RESOLUTION: own} if own else {}))
    intent = _intents(_binding("m1", conflictResolution=of_binding), template)["karmada-es-m1"]
    assert intent.annotations[wk.CONFLICT_RESOLUTION] == expected


@pytest.mark.parametrize(
    ("suspension", "suspended"),
    [
        pytest.param(None, [], id="none"),
        pytest.param({"scheduling": True}, [], id="of-scheduling-only"),
        pytest.param({"dispatching": True}, ["m1", "m2"], id="of-dispatching"),
        pytest.param({"dispatchingOnClusters": {"clusterNames": ["m2"]}}, ["m2"], id="of-dispatching-on-one"),
    ],
)
def test_suspension_is_carried(suspension: Json | None, suspended: list[str]) -> None:
    fields = {"suspension": suspension} if suspension else {}
    intents = _intents(_binding("m1", "m2", **fields))
    assert [name for name in ("m1", "m2") if intents[f"karmada-es-{name}"].suspend_dispatching] == suspended
    assert all(one.suspend_dispatching is not None for one in intents.values())


def test_preserve_flag_is_always_written() -> None:
    flags = [
        _intents(one)["karmada-es-m1"].preserve_resources_on_deletion
        for one in (_binding("m1"), _binding("m1", preserveResourcesOnDeletion=True))
    ]
    assert flags == [False, True]


@pytest.mark.parametrize(
    ("cluster_ip", "expected"),
    [
        pytest.param("10.0.0.7", {}, id="case-86-cluster-ip-is-the-members-own"),
        pytest.param("None", {"clusterIP": "None", "clusterIPs": ["None"]}, id="case-86-headless-stays-headless"),
    ],
)
def test_cluster_ips_in_manifests(cluster_ip: str, expected: Json) -> None:
    template = _template(service(clusterIP=cluster_ip, clusterIPs=[cluster_ip]))
    write = plan_work(_intents(_binding("m1"), template)["karmada-es-m1"], None, ids())
    assert isinstance(write, CreateWork)
    spec = write.body["spec"]["workload"]["manifests"][0]["spec"]
    assert {key: value for key, value in spec.items() if key.startswith("clusterIP")} == expected


def test_node_ports_travel() -> None:
    ports = [{"port": 80, "nodePort": 30080}]
    template = _template(service(type="LoadBalancer", ports=ports, healthCheckNodePort=31000))
    spec = _intents(_binding("m1"), template)["karmada-es-m1"].manifest["spec"]
    assert (spec["ports"], spec["healthCheckNodePort"]) == (ports, 31000)


# --- which clusters ------------------------------------------------------------------------------------------------


def test_targets_are_scheduled_and_required_clusters_each_once_in_order() -> None:
    bound = _binding(
        "m2", "m1", requiredBy=[{"namespace": "a", "name": "b", "clusters": [{"name": "m3"}, {"name": "m2"}]}]
    )
    assert targets(bound) == ("m1", "m2", "m3")


def test_clusters_under_graceful_eviction_keep_their_work_unless_purged_directly() -> None:
    tasks = [{"fromCluster": "slow", "purgeMode": "Gracefully"}, {"fromCluster": "now", "purgeMode": "Directly"}]
    bound = _binding("m1", gracefulEvictionTasks=tasks)
    works = [_work_of(cluster) for cluster in ("m1", "slow", "now", "other")]
    assert occupied(bound) == {"m1", "slow"}
    assert [one.namespace for one in plan_cleanup(bound, works)] == ["karmada-es-now", "karmada-es-other"]
    assert targets(bound) == ("m1",)


def test_all_works_of_a_binding_that_is_being_deleted_go() -> None:
    bound = _binding("m1", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    works = [_work_of("m1"), _work_of("m2"), _work_of("m3", deleting=True, finalizers=["x"])]
    assert [one.namespace for one in plan_cleanup(bound, works)] == ["karmada-es-m1", "karmada-es-m2"]


# --- ids, finalizers, indexes --------------------------------------------------------------------------------------


def test_a_binding_without_id_or_finalizer_gets_both_and_keeps_what_it_has() -> None:
    patch = plan_adopt(a_binding(finalizers=["foreign"]), ids())
    assert patch == {
        "metadata": {
            "labels": {wk.BINDING_PERMANENT_ID: "id-1"},
            "finalizers": ["foreign", wk.BINDING_FINALIZER],
            "resourceVersion": "7",
        }
    }
    assert plan_adopt(_binding(), ids()) is None


def test_an_empty_id_selects_nothing() -> None:
    for labels in ({}, {wk.BINDING_PERMANENT_ID: ""}):
        assert list(WORK_INDEXES[BY_BINDING_ID](_work_of("m1", labels=labels))) == []
    assert list(WORK_INDEXES[BY_BINDING_ID](_work_of("m1", labels={wk.BINDING_PERMANENT_ID: "a"}))) == ["a"]


def test_works_are_found_by_their_bindings_name() -> None:
    annotations = {wk.BINDING_NAMESPACE: "default", wk.BINDING_NAME: "web-service"}
    assert list(WORK_INDEXES[BY_BINDING](_work_of("m1", annotations=annotations))) == [("default", "web-service")]
    assert list(WORK_INDEXES[BY_BINDING](_work_of("m1"))) == []


def test_bindings_are_found_by_their_template() -> None:
    assert list(BINDING_INDEXES[BY_TEMPLATE](a_binding())) == [("v1", "Service", "default", "web")]


@pytest.mark.parametrize(
    ("have", "meant", "older"),
    [("7", "8", True), ("8", "8", False), ("10", "9", False), ("x", "9", False), ("7", "", False)],
)
def test_a_template_is_older_than_the_one_the_binding_speaks_of(have: str, meant: str, older: bool) -> None:
    resource = {"apiVersion": "v1", "kind": "Service", "namespace": "default", "name": "web", "resourceVersion": meant}
    template = _template(service(metadata={"resourceVersion": have}))
    assert is_older(template, _binding(resource=resource)) is older


# --- ensuring a Work -----------------------------------------------------------------------------------------------


def test_case_78_a_work_and_its_unpruned_manifest_get_id_marks_and_pruning() -> None:
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "u",
            "resourceVersion": "1",
            "generation": 4,
            "managedFields": [{}],
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": ["x"],
            "labels": {"app": "web"},
        },
        "spec": {"replicas": 2},
        "status": {"readyReplicas": 2},
    }
    write = plan_work(WorkIntent(namespace="karmada-es-m1", name="w", manifest=manifest, source_uid="u"), None, ids())
    assert isinstance(write, CreateWork)
    assert write.body["metadata"]["labels"] == {wk.WORK_PERMANENT_ID: "id-1"}
    [stored] = write.body["spec"]["workload"]["manifests"]
    assert "status" not in stored
    assert sorted(stored["metadata"]) == ["annotations", "labels", "name", "namespace"]
    assert stored["metadata"]["labels"] == {"app": "web", wk.MANAGED: "true", wk.WORK_PERMANENT_ID: "id-1"}
    assert stored["metadata"]["annotations"][wk.MANAGED_LABELS] == f"app,{wk.MANAGED},{wk.WORK_PERMANENT_ID}"
    assert wk.MANAGED_ANNOTATIONS in stored["metadata"]["annotations"][wk.MANAGED_ANNOTATIONS].split(",")


@pytest.mark.parametrize(
    "present", [pytest.param(False, id="case-79-absent"), pytest.param(True, id="case-79-present")]
)
def test_an_ensured_work_holds_one_manifest(present: bool) -> None:
    observed = a_work(work("m1", "web-5d769889b8", service("a"), service("b"))) if present else None
    write = plan_work(_intents(_binding("m1"))["karmada-es-m1"], observed, ids())
    assert write is not None
    assert not hasattr(write, "uid")
    assert len(write.body["spec"]["workload"]["manifests"]) == 1


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "expected"),
    [
        pytest.param("Pods", "default", "work:pod", "work.pod-85bc474696", id="case-80-colon"),
        pytest.param("Role", "default", "Foo:Bar", "foo.bar-6b94769487", id="case-80-upper-case"),
        pytest.param("Namespace", "", "prod", "prod-f968896c4", id="case-80-no-namespace"),
    ],
)
def test_names_of_works(kind: str, namespace: str, name: str, expected: str) -> None:
    assert work_name(kind, namespace, name) == expected


# --- what older versions put into Works ------------------------------------------------------------------------------


def _older(applied: str, **spec: Any) -> tuple[WorkIntent, Work]:
    """An intent, and the Work that an older version made of the same template."""
    allocated: Json = {"ipFamilies": ["IPv4"], "ports": [{"port": 80, "nodePort": 30001}]}
    before = _intents(_binding("m1"), _template(service(type="NodePort", **allocated)))["karmada-es-m1"]
    write = plan_work(before, None, lambda: "id")
    assert isinstance(write, CreateWork)
    conditions = [{"type": wk.APPLIED, "status": applied, "reason": "x", "message": "", "lastTransitionTime": None}]
    observed = a_work(write.body | {"status": {"conditions": conditions}})
    wanted: Json = {"type": "NodePort", "ports": [{"port": 80}]} | spec
    return _intents(_binding("m1"), _template(service(**wanted)))["karmada-es-m1"], observed


def test_a_work_that_its_member_has_taken_is_not_written_for_what_the_server_allocated() -> None:
    intent, observed = _older("True")
    assert plan_work(intent, observed, ids()) is not None
    assert plan_bound_work(intent, observed, ids()) is None


@pytest.mark.parametrize(
    ("applied", "spec"), [("False", {}), ("True", {"selector": {"a": "b"}})], ids=["refused", "changed"]
)
def test_a_work_that_is_refused_or_written_anyway_loses_it(applied: str, spec: Json) -> None:
    intent, observed = _older(applied, **spec)
    write = plan_bound_work(intent, observed, ids())
    assert write is not None
    [manifest] = write.body["spec"]["workload"]["manifests"]
    assert "ipFamilies" not in manifest["spec"]
    assert manifest["spec"]["ports"] == [{"port": 80}]
