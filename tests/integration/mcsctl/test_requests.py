"""What a diagnosis costs the API servers: so many requests, however many services there are."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from mcs_controller.mcsctl.access import AccessOptions
from mcs_controller.mcsctl.doctor import run as run_doctor
from tests.support.fleet import endpointslice, multiclusterservice, service

if TYPE_CHECKING:
    from tests.integration.mcsctl.conftest import Patient

pytestmark = pytest.mark.asyncio(loop_scope="session")

REVIEWS = {
    "/apis/authentication.k8s.io/v1/selfsubjectreviews",
    "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "/apis/authorization.k8s.io/v1/subjectaccessreviews",
}
LOG = "informers.client.requests"
OTHERS = 6
PAGE = 4
"""Of lists here: one that has the objects of all services takes more requests than one of a single service."""

OF_A_SERVICE, OF_AN_INSTALLATION = 73, 45
"""The most requests of a diagnosis with two members. Each waits for its turn: they are what a diagnosis takes."""


async def requests(
    patient: Patient, caplog: pytest.LogCaptureFixture, service_name: str = ""
) -> Counter[tuple[str, str]]:
    """How often a diagnosis, which writes nothing, asks which server for what."""
    options = AccessOptions(kubeconfig=patient.kubeconfig, context="karmada")
    caplog.clear()
    with caplog.at_level(logging.DEBUG, LOG):
        await run_doctor(options, (patient.space.namespace, service_name) if service_name else None)
    asked: list[Any] = [one for one in caplog.records if one.name == LOG]
    assert {one.path for one in asked if one.method != "GET"} <= REVIEWS, "it reads, and asks what may be done"
    return Counter((one.server, one.path.partition("&continue=")[0]) for one in asked)


async def test_how_much_is_asked_does_not_depend_on_the_number_of_services(
    patient: Patient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("mcs_controller.mcsctl.observe._PAGE", PAGE)
    few = [await requests(patient, caplog, name) for name in ("web", "")]
    space, names = patient.space, [f"other-{number}" for number in range(OTHERS)]
    for name in names:
        await space.create(service(name), multiclusterservice(name, ["member1"], ["member2"]))
        await space.create_in("member1", endpointslice(f"{name}-hand", name, ["10.99.0.1"]))
    for name in names:
        await space.dispatched_are("member2", {f"member1-{name}-hand": ["10.99.0.1"]}, name)
    many = [await requests(patient, caplog, name) for name in ("web", "")]
    assert [more - less for more, less in zip(many, few, strict=True)] == [Counter(), Counter()]
    assert many[0].total() <= OF_A_SERVICE
    assert many[1].total() <= OF_AN_INSTALLATION
