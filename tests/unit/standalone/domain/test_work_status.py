"""What Works say about their objects."""

from typing import Any

import msgspec
import pytest

from mcs_controller.api.common import Unstructured, decode_unstructured
from mcs_controller.api.work import ManifestRef
from mcs_controller.standalone.domain.work_status import (
    applied,
    dispatching,
    health_of,
    kept_status,
    manifest_status,
    plan_status,
    reflected,
)
from tests.support.builders import a_work, service, slice_, work
from tests.support.clusters import golden
from tests.support.object_store import Json

NOW = "2026-01-01T00:00:00Z"


def _object(content: Json) -> Unstructured:
    return decode_unstructured(msgspec.json.encode(content))


def _golden_works() -> list[Any]:
    files = ("host-works-karmada-es-member1.json", "host-works-karmada-es-member2.json")
    works = [one for name in files for one in golden(name)]
    return [pytest.param(one, id=f"{one['metadata']['namespace']}-{one['metadata']['name']}") for one in works]


@pytest.mark.parametrize("content", _golden_works())
def test_conditions_and_entries_are_karmadas_own(content: Json) -> None:
    observed = a_work(content)
    ref = observed.ref
    assert ref is not None
    conditions, statuses = [dispatching(observed)], None
    if not observed.suspend_dispatching:
        conditions.append(applied(1, []))
        [manifest] = content["spec"]["workload"]["manifests"]
        statuses = [manifest_status(0, ref, _object(manifest))]
        assert statuses == content["status"]["manifestStatuses"]
    assert plan_status(observed, conditions, statuses, NOW) is None


def test_failures_are_counted_and_named() -> None:
    verdict = applied(3, ["first", "second"])
    assert (verdict.status, verdict.reason) == ("False", "AppliedFailed")
    assert verdict.message == "Failed to apply all manifests (1/3): first; second"
    assert len(applied(1, ["x" * 40_000]).message) <= 8192


@pytest.mark.parametrize(
    ("ingress", "health"),
    [
        pytest.param(None, "Unhealthy", id="no-address-yet"),
        pytest.param([{"ip": "1.2.3.4"}], "Healthy", id="ip"),
        pytest.param([{"hostname": "a.example"}], "Healthy", id="hostname"),
        pytest.param([{"ports": []}], "Unhealthy", id="neither"),
    ],
)
def test_a_load_balancer_is_healthy_with_an_address(ingress: list[Json] | None, health: str) -> None:
    status = {"loadBalancer": {"ingress": ingress} if ingress else {}}
    observed = _object(service(type="LoadBalancer") | {"status": status})
    entry = manifest_status(0, ManifestRef("v1", "Service", "default", "web"), observed)
    assert (entry["health"], entry["status"]) == (health, status)


@pytest.mark.parametrize("content", [service(), slice_(), service(type="NodePort") | {"status": {"loadBalancer": {}}}])
def test_others_are_healthy_and_their_status_stays_at_home(content: Json) -> None:
    assert (health_of(_object(content)), reflected(_object(content))) == ("Healthy", None)


def test_the_status_is_one_patch_with_everything_that_changed() -> None:
    observed = a_work(work("m1", "w", service()))
    entry = manifest_status(0, ManifestRef("v1", "Service", "default", "web"), _object(service()))
    patch = plan_status(observed, [dispatching(observed), applied(1, [])], [entry], NOW)
    assert patch is not None
    assert patch["metadata"] == {"resourceVersion": "7"}
    assert [one["type"] for one in patch["status"]["conditions"]] == ["Dispatching", "Applied"]
    assert patch["status"]["manifestStatuses"] == [entry]


def test_conditions_of_others_and_unknown_entries_stay() -> None:
    content = work("m1", "w", service()) | {
        "status": {
            "conditions": [{"type": "Foreign", "status": "True", "lastTransitionTime": NOW}],
            "manifestStatuses": [{"identifier": {"ordinal": 0}, "health": "Healthy"}],
        }
    }
    observed = a_work(content)
    patch = plan_status(observed, [dispatching(observed)], None, NOW)
    assert patch is not None
    assert "manifestStatuses" not in patch["status"]
    assert [one["type"] for one in patch["status"]["conditions"]] == ["Foreign", "Dispatching"]
    assert kept_status(0, observed) == {"identifier": {"ordinal": 0}, "health": "Healthy"}
    assert kept_status(1, observed) is None
