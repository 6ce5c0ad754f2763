"""Objects that every cluster has of its own."""

import pytest

from mcs_controller.domain.reserved import ReservedObjects


@pytest.mark.parametrize(
    ("kind", "namespace", "name"),
    [
        ("Service", "default", "kubernetes"),
        ("EndpointSlice", "default", "kubernetes"),
        ("Service", "kube-system", "kube-dns"),
        ("ConfigMap", "shop", "kube-root-ca.crt"),
        ("ConfigMap", "kube-system", "extension-apiserver-authentication"),
        ("ConfigMap", "kube-system", "kube-apiserver-legacy-service-account-token-tracking"),
        ("ConfigMap", "kube-public", "cluster-info"),
        ("ServiceAccount", "shop", "default"),
    ],
)
def test_what_kubernetes_makes_everywhere_is_reserved(kind: str, namespace: str, name: str):
    told = ReservedObjects().problem(kind, namespace, name)
    assert told == f"every cluster has a {kind} {namespace}/{name} of its own, which is neither replaced nor shared"


@pytest.mark.parametrize(
    ("kind", "namespace", "name"),
    [
        ("Service", "shop", "kubernetes"),
        ("Service", "kube-system", "metrics-server"),
        ("ConfigMap", "default", "kubernetes"),
        ("ServiceAccount", "shop", "web"),
    ],
)
def test_nothing_else_is(kind: str, namespace: str, name: str):
    assert ReservedObjects().problem(kind, namespace, name) is None


@pytest.mark.parametrize(
    ("kind", "name", "labels"),
    [("EndpointSlice", "any", {"kubernetes.io/service-name": "metrics-server"}), ("Endpoints", "metrics-server", {})],
)
def test_endpoints_of_what_is_reserved_are_too(kind: str, name: str, labels: dict[str, str]):
    reserved = ReservedObjects.parse(["Service/kube-system/metrics-server"])
    told = "every cluster has a Service kube-system/metrics-server of its own, which gets no endpoints of others"
    assert reserved.problem(kind, "kube-system", name, labels) == told
    assert reserved.problem(kind, "shop", name, labels) is None
    assert reserved.problem("ConfigMap", "kube-system", name, labels) is None


def test_more_can_be_reserved():
    reserved = ReservedObjects.parse(["Service/kube-system/metrics-server", "ConfigMap/*/istio-ca-root-cert"])
    assert reserved.problem("Service", "kube-system", "metrics-server") is not None
    assert reserved.problem("ConfigMap", "shop", "istio-ca-root-cert") is not None
    assert reserved.problem("Service", "default", "kubernetes") is not None
    assert reserved.problem("Service", "shop", "metrics-server") is None


@pytest.mark.parametrize("item", ["kubernetes", "default/kubernetes", "Service/default/", "a/b/c/d"])
def test_what_is_no_object_is_refused_with_an_example(item: str):
    with pytest.raises(ValueError, match=f"'{item}' is not Kind/namespace/name, such as Service/"):
        ReservedObjects.parse([item])


@pytest.mark.parametrize(
    "namespace",
    [*("kube-system", "kube-public", "kube-node-lease", "karmada-system", "karmada-cluster", "karmada-es-m1"), "own"],
)
def test_namespaces_that_take_no_slices_from_members(namespace: str) -> None:
    told = ReservedObjects.parse([], ["own"]).export_problem(namespace, "payments")
    assert told == f"namespace {namespace} of the control plane takes no EndpointSlices from members"


def test_other_namespaces_take_the_slices_of_all_but_reserved_services() -> None:
    assert ReservedObjects().export_problem("default", "payments") is None
    assert ReservedObjects().export_problem("default", "kubernetes") is not None
