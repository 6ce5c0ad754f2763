"""The plan of the cluster controller: execution namespaces, finalizers, taints, and how a Cluster leaves."""

from typing import Any

import msgspec
import pytest

from mcs_controller.api.resources import CLUSTERS, WORKS
from mcs_controller.domain.naming import execution_namespace
from mcs_controller.standalone.domain.cluster import plan_cluster
from tests.support.clusters import FINALIZER, binding, cluster, cluster_json, condition, golden, namespace
from tests.support.object_store import apply_json_patch

GOLDEN = [CLUSTERS.decode(msgspec.json.encode(one)) for one in golden("host-clusters.json")]


def work(*finalizers: str) -> Any:
    metadata = {"name": "w", "namespace": "karmada-es-m1", "resourceVersion": "5", "finalizers": list(finalizers)}
    return WORKS.decode(msgspec.json.encode({"metadata": metadata, "spec": {}}))


@pytest.mark.parametrize("space", golden("host-executionspaces.json"), ids=lambda space: space["metadata"]["name"])
def test_execution_namespace_is_karmadas(space: dict[str, Any]) -> None:
    name = space["metadata"]["name"].removeprefix("karmada-es-")
    created = plan_cluster(cluster(name), None, (), ()).create_namespace
    assert created is not None
    # The label kubernetes.io/metadata.name is the API server's own work.
    labels = {key: value for key, value in space["metadata"]["labels"].items() if not key.startswith("kubernetes.io/")}
    assert created["metadata"] == {"name": space["metadata"]["name"], "labels": labels}
    assert (created["apiVersion"], created["kind"]) == ("v1", "Namespace")


@pytest.mark.parametrize("one", GOLDEN, ids=lambda one: one.name)
def test_golden_cluster_needs_nothing(one: Any) -> None:
    plan = plan_cluster(one, namespace(execution_namespace(one.name)), (), ())
    assert plan == plan_cluster(cluster(), namespace("karmada-es-m1"), (), ())
    assert (plan.create_namespace, plan.taints, plan.finalizers, plan.waiting_for) == (None, (), None, "")


def test_new_cluster_gets_finalizer_beside_those_of_others() -> None:
    plan = plan_cluster(cluster(finalizers=("foreign/one",)), None, (), ())
    assert plan.finalizers == {"metadata": {"resourceVersion": "7", "finalizers": ["foreign/one", FINALIZER]}}


def test_cluster_waits_for_the_namespace_of_its_predecessor_to_go() -> None:
    plan = plan_cluster(cluster(finalizers=()), namespace("karmada-es-m1", deleting=True), (), ())
    assert plan.waiting_for
    assert (plan.create_namespace, plan.finalizers) == (None, None)


def test_leaving_cluster_has_its_namespace_deleted_and_keeps_its_finalizer() -> None:
    space = namespace("karmada-es-m1")
    plan = plan_cluster(cluster(deleting=True), space, [work("karmada.io/execution-controller")], ())
    assert plan.delete_namespace is space
    assert plan.waiting_for
    assert (plan.finalizers, plan.release) == (None, ())


def test_leaving_cluster_waits_for_its_namespace_without_deleting_it_again() -> None:
    plan = plan_cluster(cluster(deleting=True), namespace("karmada-es-m1", deleting=True), (), ())
    assert (plan.delete_namespace, plan.finalizers) == (None, None)
    assert "karmada-es-m1" in plan.waiting_for


def test_leaving_cluster_waits_for_bindings() -> None:
    plan = plan_cluster(cluster(deleting=True), None, (), [binding("m1", clusters=("m1",))])
    assert plan.finalizers is None
    assert "default/nginx-service" in plan.waiting_for


def test_leaving_cluster_is_let_go_when_nothing_is_left() -> None:
    plan = plan_cluster(cluster(deleting=True, finalizers=("foreign/one", FINALIZER)), None, (), ())
    assert plan.finalizers == {"metadata": {"resourceVersion": "7", "finalizers": ["foreign/one"]}}
    assert plan.waiting_for == ""


def test_leaving_cluster_that_was_never_ours_is_left_alone() -> None:
    plan = plan_cluster(cluster(deleting=True, finalizers=("foreign/one",)), namespace("karmada-es-m1"), (), ())
    assert plan == plan_cluster(cluster(), namespace("karmada-es-m1"), (), ())


def test_works_of_a_silent_pull_cluster_are_released() -> None:
    held = work("foreign/one", "karmada.io/execution-controller")
    leaving = cluster(deleting=True, syncMode="Pull", ready="Unknown")
    plan = plan_cluster(leaving, namespace("karmada-es-m1", deleting=True), [held, work("foreign/one")], ())
    assert [release.body for release in plan.release] == [
        {"metadata": {"resourceVersion": "5", "finalizers": ["foreign/one"]}}
    ]


def test_works_of_a_ready_pull_cluster_are_left_to_its_agent() -> None:
    leaving = cluster(deleting=True, syncMode="Pull")
    assert not plan_cluster(leaving, namespace("karmada-es-m1"), [work("karmada.io/execution-controller")], ()).release


# --- taints --------------------------------------------------------------------------------------------------------

NOT_READY = {"key": "cluster.karmada.io/not-ready", "effect": "NoSchedule"}
UNREACHABLE = {"key": "cluster.karmada.io/unreachable", "effect": "NoSchedule"}
FOREIGN = {"key": "foreign", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("ready", "before", "after"),
    [
        pytest.param("True", [FOREIGN], [FOREIGN], id="ready-has-none"),
        pytest.param("False", [], [NOT_READY], id="not-ready-first-taint"),
        pytest.param("False", [FOREIGN], [FOREIGN, NOT_READY], id="not-ready-beside-foreign"),
        pytest.param("False", [NOT_READY, FOREIGN], [NOT_READY, FOREIGN], id="already-there"),
        pytest.param("Unknown", [NOT_READY, FOREIGN], [FOREIGN, UNREACHABLE], id="unreachable-replaces-not-ready"),
        pytest.param("True", [NOT_READY, FOREIGN, UNREACHABLE], [FOREIGN], id="ready-again"),
        pytest.param("True", [NOT_READY], [], id="ready-again-last-taint"),
        pytest.param(None, [NOT_READY], [NOT_READY], id="never-observed"),
        pytest.param(
            "True",
            [NOT_READY | {"effect": "NoExecute"}],
            [NOT_READY | {"effect": "NoExecute"}],
            id="other-effect-is-somebody-elses",
        ),
    ],
)
def test_taints_follow_readiness(ready: str | None, before: list[Any], after: list[Any]) -> None:
    content = cluster_json(ready=ready, taints=before)
    plan = plan_cluster(CLUSTERS.decode(msgspec.json.encode(content)), namespace("karmada-es-m1"), (), ())
    if before == after:
        assert plan.taints == ()
    else:
        assert plan.taints[0] == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}
    patched = apply_json_patch(content, list(plan.taints))
    assert patched["spec"]["taints"] == after
    again = plan_cluster(CLUSTERS.decode(msgspec.json.encode(patched)), namespace("karmada-es-m1"), (), ())
    assert again.taints == ()


def test_taint_is_added_where_there_is_no_list_of_taints() -> None:
    content = cluster_json()
    content["status"]["conditions"] = [condition("Ready", "False")]
    plan = plan_cluster(CLUSTERS.decode(msgspec.json.encode(content)), namespace("karmada-es-m1"), (), ())
    assert apply_json_patch(content, list(plan.taints))["spec"]["taints"] == [NOT_READY]
