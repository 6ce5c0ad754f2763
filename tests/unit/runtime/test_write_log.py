"""One line for each write: what, where, for which service, and no values."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from informers.client.client import Write
from mcs_controller.api.resources import SERVICES, WORKS
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.subjects import service_of_write
from mcs_controller.runtime.logging import WRITES
from mcs_controller.runtime.write_log import WriteLog


def fields_of(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    (record,) = caplog.records
    assert (record.levelno, record.message) == (logging.INFO, "Wrote")
    names = ("verb", "kind", "object", "cluster", "service", "changes")
    return {name: vars(record)[name] for name in names if name in vars(record)}


def test_a_patch_names_its_fields_and_no_values(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, WRITES)
    body = {"metadata": {"resourceVersion": "7", "labels": {"a": "secret"}}, "data": {"token": "secret"}, "x": 1}
    WriteLog("member1", service_of_write)(Write("patch", SERVICES, "ns", "web", "status", body, None))
    assert fields_of(caplog) == {
        "verb": "patch",
        "kind": "Service/status",
        "object": "ns/web",
        "cluster": "member1",
        "service": "ns/web",
        "changes": "data.token,metadata.labels,x",
    }
    assert "secret" not in str([vars(record) for record in caplog.records])


def test_a_write_for_nobody_knows_whom_says_what_it_is(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, WRITES)
    WriteLog(service_of=service_of_write)(Write("delete", WORKS, "karmada-es-m1", "w", "", None, None))
    assert fields_of(caplog) == {"verb": "delete", "kind": "Work", "object": "karmada-es-m1/w"}


def test_what_is_not_logged_costs_nothing(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING, WRITES)
    WriteLog(service_of=lambda *_: pytest.fail("was asked"))(Write("delete", WORKS, "ns", "w", "", None, None))
    assert caplog.records == []


@pytest.mark.parametrize(
    ("metadata", "manifest", "expected"),
    [
        ({"labels": {wk.MCS_NAMESPACE: "a", wk.MCS_NAME: "b"}}, {}, "a/b"),
        ({"annotations": {wk.EXPORT_NAMESPACE: "a", wk.EXPORT_NAME: "e"}}, {}, "a/e"),
        ({}, {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "a", "name": "s"}}, "a/s"),
        ({}, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "a", "name": "c"}}, ""),
        ({}, {"kind": 7}, ""),
    ],
)  # fmt: skip
def test_a_work_says_for_which_service_it_is(metadata: Any, manifest: Any, expected: str):
    body = {"metadata": {"name": "w", "namespace": "es", **metadata}, "spec": {"workload": {"manifests": [manifest]}}}
    work = WORKS.decode(json.dumps(body).encode())
    assert service_of_write("Work", "es", "w", work) == expected
