"""Names, against those that Karmada's own functions made (tests/golden/names.json) and the contract's rules."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers.meta import ObjectKey
from mcs_controller.domain.naming import (
    NotAnExecutionNamespace,
    binding_name,
    cluster_of_namespace,
    derived_service_name,
    dispatched_slice_name,
    execution_namespace,
    go_lower,
    imported_slice_name,
    imported_slice_names,
    named_in,
    work_name,
)

GOLDEN: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[2] / "golden" / "names.json").read_text(encoding="utf-8")
)


def golden(group: str, *fields: str) -> list[Any]:
    return [
        pytest.param(*(row[field] for field in fields), id=f"{number}-" + "-".join(ascii(row[f])[1:-1] for f in fields))
        for number, row in enumerate(GOLDEN[group])
    ]


def test_the_golden_file_holds_the_groups_that_are_tested_here_and_no_other():
    assert set(GOLDEN) == {
        "bindingName",
        "clusterFromExecutionSpace",
        "derivedService",
        "executionSpace",
        "importedEndpointSlice",
        "workName",
    }


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "expected"), golden("workName", "kind", "namespace", "name", "workName")
)
def test_case_80_work_names_are_karmadas(kind: str, namespace: str, name: str, expected: str):
    assert work_name(kind, namespace, name) == expected


@pytest.mark.parametrize(("kind", "name", "expected"), golden("bindingName", "kind", "name", "bindingName"))
def test_case_80_binding_names_are_karmadas(kind: str, name: str, expected: str):
    assert binding_name(kind, name) == expected


@pytest.mark.parametrize(("service", "expected"), golden("derivedService", "service", "derivedName"))
def test_names_of_derived_services_are_karmadas(service: str, expected: str):
    assert derived_service_name(service) == expected


@pytest.mark.parametrize(
    ("cluster", "name", "expected"), golden("importedEndpointSlice", "cluster", "slice", "importedName")
)
def test_names_of_imported_slices_are_karmadas(cluster: str, name: str, expected: str):
    assert imported_slice_name(cluster, name) == expected


def test_opening_17_an_imported_slice_whose_usual_name_is_taken_has_another():
    assert imported_slice_name("a-b", "c") == imported_slice_name("a", "b-c")
    assert imported_slice_names("a-b", "c")[1] != imported_slice_names("a", "b-c")[1]


@pytest.mark.parametrize(("cluster", "expected"), golden("executionSpace", "cluster", "namespace"))
def test_execution_namespaces_are_karmadas(cluster: str, expected: str):
    assert execution_namespace(cluster) == expected


@pytest.mark.parametrize("row", GOLDEN["clusterFromExecutionSpace"], ids=lambda row: str(row["namespace"]) or "empty")
def test_clusters_of_namespaces_are_karmadas(row: dict[str, Any]):
    if "error" in row or "cluster" not in row:
        with pytest.raises(NotAnExecutionNamespace):
            cluster_of_namespace(row["namespace"])
    else:
        assert cluster_of_namespace(row["namespace"]) == row["cluster"]


VECTORS = """
MultiClusterService,default,serve,serve-549cc78557
MultiClusterService,default,test-mcs,test-mcs-5fb7994988
MultiClusterService,default,nginx,nginx-747889f6c4
MultiClusterService,prod,nginx,nginx-68ff7cc84
MultiClusterService,b,a,a-5dc967d4b
MultiClusterService,c,a-b,a-b-d69b47754
MultiClusterService,c-a,b,b-d69b47754
MultiClusterService,team-a,web,web-5d769889b8
MultiClusterService,longns,x123456789012345678901234567890123456789012345678901234567890ab,x123456789012345678901234567890123456789012345678901234567890ab-575dcd4567
EndpointSlice,default,serve-abc12,serve-abc12-7877bdbb46
EndpointSlice,default,serve-xgkpb,serve-xgkpb-f497bddcc
EndpointSlice,default,test-eps,test-eps-7bcbcf477d
EndpointSlice,ns1,eps1,eps1-789dcbc989
EndpointSlice,test-ns,eps-1,eps-1-7c4f846486
EndpointSlice,test-ns,eps-2,eps-2-66b4c4ddf9
EndpointSlice,test-ns,eps-orphan,eps-orphan-667bc459c7
EndpointSlice,default,kubernetes,kubernetes-9d5fc7d85
EndpointSlice,kube-system,kube-dns-abcde,kube-dns-abcde-9c87d8896
EndpointSlice,prod,nginx-7x9zq,nginx-7x9zq-7c446474dc
EndpointSlice,default,member1-serve-abc12,member1-serve-abc12-774d65dbc4
EndpointSlice,ns,my.dotted.slice,my.dotted.slice-5645bdc499
Service,default,serve,serve-685ffc9486
Service,default,nginx,nginx-64b7849b5
Service,prod,nginx,nginx-547cd64cc5
Service,default,derived-serve,derived-serve-c879fcf5d
ServiceExport,default,serve,serve-d6ccf7b76
ServiceExport,prod,nginx,nginx-84d97ff85c
ServiceImport,default,serve,serve-78df56f8c5
Deployment,default,nginx,nginx-687f7fb96f
Namespace,,prod,prod-f968896c4
Namespace,,team-a,team-a-5cc7c7959b
Namespace,,default,default-5b5ccb595b
ClusterRole,,system:Admin,system.admin-7c7568b598
Role,default,Foo:Bar,foo.bar-6b94769487
pods,default,Pod,pod-5fdddc94c5
Pods,default,work:pod,work.pod-85bc474696
CustomResourceDefinition,,serviceexports.multicluster.x-k8s.io,serviceexports.multicluster.x-k8s.io-fd9cff546
"""


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "expected"),
    [tuple(line.split(",")) for line in VECTORS.split()],
    ids=[line.rsplit(",", 1)[0] for line in VECTORS.split()],
)
def test_case_80_work_names_are_the_contracts(kind: str, namespace: str, name: str, expected: str):
    assert work_name(kind, namespace, name) == expected


@pytest.mark.parametrize(
    ("namespace", "cluster"),
    [("karmada-es-member1", "member1"), ("karmada-es-karmada-es-x", "karmada-es-x"), ("karmada-es-", "")],
)
def test_the_prefix_of_an_execution_namespace_is_stripped_once(namespace: str, cluster: str):
    assert cluster_of_namespace(namespace) == cluster


@pytest.mark.parametrize("namespace", ["default", "", "karmada-e", "x-karmada-es-member1"])
def test_a_namespace_without_the_prefix_belongs_to_no_cluster(namespace: str):
    with pytest.raises(NotAnExecutionNamespace, match="does not start with 'karmada-es-'"):
        cluster_of_namespace(namespace)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_lower_casing_keeps_the_number_of_code_points(text: str):
    assert len(go_lower(text)) == len(text)


@pytest.mark.parametrize(
    ("text", "lower"),
    [("\u212a", "k"), ("\u0130", "i"), ("\u0391\u03a3", "\u03b1\u03c3"), ("\u1e9e", "\u00df"), ("ABC.d", "abc.d")],
    ids=["kelvin", "dotted-capital-i", "final-sigma", "capital-sharp-s", "ascii"],
)
def test_lower_casing_is_gos(text: str, lower: str):
    assert go_lower(text) == lower


def test_names_are_never_cut():
    name = "n" * 253
    assert len(work_name("EndpointSlice", "default", name)) > 253
    assert dispatched_slice_name("member1", name) == f"member1-{name}"
    assert binding_name("Service", name) == f"{name}-service"


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ({"ns": "a", "n": "b"}, ObjectKey("a", "b")),
        ({"ns": "a"}, None),
        ({"n": "b"}, None),
        ({"ns": "", "n": "b"}, None),
        ({"ns": "a", "n": ""}, None),
    ],
    ids=str,
)
def test_two_marks_name_an_object_together_or_not_at_all(marks: dict[str, str], expected: ObjectKey | None) -> None:
    assert named_in(marks, "ns", "n") == expected
