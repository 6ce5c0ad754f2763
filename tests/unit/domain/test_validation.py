"""What the controller itself finds wrong with a MultiClusterService, by the examples that admission is tested with."""

import json
from typing import Any

import pytest

from mcs_controller.api.multiclusterservice import decode_multiclusterservice
from mcs_controller.domain import validation
from tests.support.admission_rules import ACCEPTED, REFUSED, Fault, clusters, mcs


def found(manifest: dict[str, Any]) -> tuple[validation.ValidationError, ...]:
    return validation.faults(decode_multiclusterservice(json.dumps(manifest).encode()))


@pytest.mark.parametrize("manifest", ACCEPTED)
def test_what_admission_accepts_has_no_faults(manifest):
    assert found(manifest) == ()


@pytest.mark.parametrize(("manifest", "expected"), REFUSED)
def test_what_admission_refuses_is_told_by_the_same_paths_and_words(manifest, expected: list[Fault]):
    told = sorted((fault.path, fault.message) for fault in found(manifest))
    wanted = sorted((fault.path, fault.message) for fault in expected)
    assert [path for path, _ in told] == [path for path, _ in wanted]
    for (_, message), (_, part) in zip(told, wanted, strict=True):
        assert part in message


def test_every_fault_is_told_in_the_webhooks_order():
    manifest = mcs(
        "1st",
        types=["Foo", "CrossCluster"],
        ports=[{"name": "a", "port": 0}, {"name": "a", "port": 1}, {"name": "a", "port": 1}],
        providerClusters=clusters(""),
        consumerClusters=clusters("A"),
    )
    assert [fault.path for fault in found(manifest)] == [
        "metadata.name",
        "spec.ports[0].port",
        "spec.ports[1].name",
        "spec.ports[2].name",
        "spec.types[0]",
        "spec.types",
        "spec.providerClusters[0].name",
        "spec.consumerClusters[0].name",
    ]


def test_only_types_stop_everything():
    manifest = mcs(types=["Foo"], ports=[{"port": 0}], providerClusters=clusters("A"))
    assert [fault.path for fault in found(manifest) if fault.stops] == ["spec.types[0]"]


def test_fault_reads_as_the_webhook_writes_it():
    (fault,) = found(mcs(types=["Foo"]))
    assert str(fault) == 'spec.types[0]: Invalid value: "Foo": ExposureType Error'


def test_lists_may_be_null():
    assert found(mcs(ports=None, providerClusters=None, consumerClusters=None)) == ()
