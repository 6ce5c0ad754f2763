"""Objects in members that have lost what names their Work: whose they are all the same."""

import msgspec
import pytest

from mcs_controller.api.common import Unstructured, decode_applied
from mcs_controller.domain import well_known as wk
from mcs_controller.standalone.domain.execution import belongs_to
from tests.support.builders import a_work, collected_work, dispatched_work, service, slice_, work

NAMES = {wk.WORK_NAMESPACE: "karmada-es-m2", wk.WORK_NAME: "web-1-748bc4d6dc"}
COPY = {wk.MANAGED: "true", wk.SLICE_MANAGED_BY: wk.SLICE_DISPATCHER}
NATIVE = {wk.MANAGED: "true", wk.SLICE_MANAGED_BY: "endpointslice-controller.k8s.io"}
ID = {wk.WORK_PERMANENT_ID: "work-id"}
OTHER_ID = {wk.WORK_PERMANENT_ID: "another"}


def stored(labels: dict[str, str], annotations: dict[str, str]) -> Unstructured:
    return decode_applied(msgspec.json.encode(slice_("m1-web-1", labels=labels, annotations=annotations)))


@pytest.mark.parametrize(
    ("labels", "annotations", "ours"),
    [
        (COPY, NAMES, True),
        (COPY | ID, {}, True),
        (COPY | ID, {wk.WORK_NAME: NAMES[wk.WORK_NAME]}, True),
        (COPY | ID, {wk.WORK_NAMESPACE: NAMES[wk.WORK_NAMESPACE]}, True),
        (COPY, {}, True),
        (COPY | OTHER_ID, {}, False),
        (COPY | ID, NAMES | {wk.WORK_NAME: "another"}, False),
        (COPY | ID, {wk.WORK_NAME: "another"}, False),
        (NATIVE, {}, False),
        (NATIVE | OTHER_ID, {}, False),
        ({}, {}, False),
    ],
    ids=[
        "names it",
        "lost both names",
        "lost the namespace",
        "lost the name",
        "lost names and id",
        "another's id",
        "names another",
        "names half of another",
        "a native slice that mirrors its Service",
        "a native slice that mirrors its Service's id",
        "unmarked",
    ],
)
def test_a_copy_is_known_without_the_names_of_its_work(labels: dict[str, str], annotations: dict[str, str], ours: bool):
    carrier = dispatched_work("m1", "m2")
    carrier["metadata"]["labels"] |= ID
    assert belongs_to(stored(labels, annotations), a_work(carrier)) is ours


def test_the_work_that_holds_a_copy_of_a_native_slice_never_owns_it():
    holder = collected_work("m1")
    holder["metadata"]["labels"] |= ID
    assert not belongs_to(stored(NATIVE, {}), a_work(holder))
    assert not belongs_to(stored(COPY, {}), a_work(holder))


def test_an_object_of_any_kind_is_known_by_the_id():
    there = decode_applied(msgspec.json.encode(service(labels={wk.MANAGED: "true"} | ID)))
    assert belongs_to(there, a_work(work("m1", "web-x", service(), labels=ID)))
    assert not belongs_to(there, a_work(work("m1", "web-x", service())))
