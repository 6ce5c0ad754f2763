"""Which namespaces travel, and how."""

import re
from typing import Any

import pytest

from informers.meta import OwnerReference
from mcs_controller.domain.works import CreateWork, plan_work
from mcs_controller.standalone.domain.namespaces import is_propagated, namespace_work
from tests.support.clusters import namespace

SKIPPED = (re.compile("kube-.*"),)
SKIP_LABEL = "namespace.karmada.io/skip-auto-propagation"
OWNER = OwnerReference(
    api_version="v1", kind="Namespace", name="prod", uid="uid-prod", controller=True, block_owner_deletion=True
)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        pytest.param("karmada-system", {}, id="case-87-reserved-system"),
        pytest.param("karmada-cluster", {}, id="case-87-reserved-cluster"),
        pytest.param("karmada-es-member1", {}, id="case-87-execution-namespace"),
        pytest.param("default", {}, id="case-87-default"),
        pytest.param("kube-system", {}, id="case-87-kube-system"),
        pytest.param("kube-", {}, id="case-87-kube-prefix-alone"),
        pytest.param("prod", {"labels": {SKIP_LABEL: "true"}}, id="case-87-skip-label"),
        pytest.param("prod", {"labels": {SKIP_LABEL: "True"}}, id="case-87-skip-label-in-capitals"),
        pytest.param("prod", {"deleting": True}, id="case-87-deleted"),
    ],
)
def test_namespace_that_stays_at_home(name: str, fields: dict[str, Any]) -> None:
    assert not is_propagated(namespace(name, **fields), SKIPPED)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("prod", {}),
        ("prod", {SKIP_LABEL: "false"}),
        ("prod", {SKIP_LABEL: ""}),
        ("my-kube-system", {}),
        ("karmada", {}),
        ("default-2", {}),
        ("kube", {}),
    ],
)
def test_namespace_that_travels(name: str, labels: dict[str, str]) -> None:
    assert is_propagated(namespace(name, labels=labels), SKIPPED)


def test_pattern_must_match_the_whole_name() -> None:
    skipped = (re.compile("team-[ab]"), re.compile("x|y"))
    travels = {name: is_propagated(namespace(name), skipped) for name in ("team-a", "team-ab", "my-team-a", "x", "xy")}
    assert travels == {"team-a": False, "team-ab": True, "my-team-a": True, "x": False, "xy": True}


def test_work_of_a_namespace() -> None:
    intent = namespace_work(namespace("prod", labels={"team": "a"}), "member1", OWNER)
    write = plan_work(intent, None, lambda: "the-id")
    assert isinstance(write, CreateWork)
    assert write.body == {
        "apiVersion": "work.karmada.io/v1alpha1",
        "kind": "Work",
        "metadata": {
            "name": "prod-f968896c4",
            "namespace": "karmada-es-member1",
            "labels": {"work.karmada.io/permanent-id": "the-id"},
            "finalizers": ["karmada.io/execution-controller"],
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Namespace",
                    "name": "prod",
                    "uid": "uid-prod",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "workload": {
                "manifests": [
                    {
                        "apiVersion": "v1",
                        "kind": "Namespace",
                        "metadata": {
                            "name": "prod",
                            "labels": {
                                "karmada.io/managed": "true",
                                "kubernetes.io/metadata.name": "prod",
                                "team": "a",
                                "work.karmada.io/permanent-id": "the-id",
                            },
                            "annotations": {
                                "resourcetemplate.karmada.io/managed-annotations": (
                                    "resourcetemplate.karmada.io/managed-annotations,"
                                    "resourcetemplate.karmada.io/managed-labels,"
                                    "resourcetemplate.karmada.io/uid,"
                                    "work.karmada.io/name,work.karmada.io/namespace"
                                ),
                                "resourcetemplate.karmada.io/managed-labels": (
                                    "karmada.io/managed,kubernetes.io/metadata.name,team,work.karmada.io/permanent-id"
                                ),
                                "resourcetemplate.karmada.io/uid": "uid-prod",
                                "work.karmada.io/name": "prod-f968896c4",
                                "work.karmada.io/namespace": "karmada-es-member1",
                            },
                        },
                        "spec": {"finalizers": ["kubernetes"]},
                    }
                ]
            }
        },
    }
