"""What is remembered of services whose collected Works are to go."""

import pytest

from mcs_controller.api import resources
from mcs_controller.domain.indexes import SERVICE_INDEXES, WORK_INDEXES
from mcs_controller.domain.reserved import RESERVED
from mcs_controller.domain.works import SliceRef
from mcs_controller.reconcilers import endpointslice_collect
from mcs_controller.reconcilers.endpointslice_collect import ServiceWithdrawal
from mcs_controller.reconcilers.service_status import StatusAggregator
from tests.support.builders import collected_work, slice_
from tests.support.memory import MemoryApi


def test_services_that_are_withdrawn_are_forgotten_and_others_are_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(endpointslice_collect, "FORGET_AT", 3)
    api = MemoryApi()
    sent: list[object] = []
    withdrawal = ServiceWithdrawal(
        works=api.cached(resources.WORKS, WORK_INDEXES).store,
        services=api.cached(resources.MULTICLUSTERSERVICES, SERVICE_INDEXES).store,
        clusters=api.cached(resources.CLUSTERS).store,
        aggregator=StatusAggregator(),
        reserved=RESERVED,
        enqueue_slice=sent.append,
    )
    api.seed(collected_work("m1", slice_("web-1", service="web")))
    withdrawal.withdraw(SliceRef("m1", "default", "web-1"), ("default", "web"))
    for number in range(20):
        withdrawal.withdraw(SliceRef("m1", "default", f"gone-{number}"), ("default", f"gone-{number}"))
    assert len(sent) == 21
    assert withdrawal.wants("m1", ("default", "web")) is False
    assert withdrawal.wants("m1", ("default", "gone-0")) is None
    assert withdrawal.wants("m1", ("default", "gone-19")) is False
