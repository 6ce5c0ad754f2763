"""Whose a member is, by what was left there."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcs_controller.api.common import Unstructured, decode_unstructured
from mcs_controller.domain import well_known as wk
from mcs_controller.standalone.domain.member_ownership import OBJECT, Identities, Standing, condition_of, plan_ownership
from tests.support.builders import a_cluster
from tests.support.object_store import Json, merge_patch

WHO = Identities("here", "member-uid")


def _object(**data: str) -> Unstructured:
    metadata = {
        "name": OBJECT,
        "namespace": wk.SYSTEM_NAMESPACE,
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return decode_unstructured(
        msgspec.json.encode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    )


def _cluster(**metadata: Any) -> Any:
    return a_cluster("m1", metadata=metadata)


def test_the_first_control_plane_leaves_its_uid() -> None:
    plan = plan_ownership(_cluster(), WHO, None)
    assert plan.ownership.owned
    assert plan.create is not None
    assert plan.create["data"] == {"controlPlane": "here", "cluster": "m1", "member": "member-uid"}


def test_what_it_left_is_not_written_again() -> None:
    plan = plan_ownership(_cluster(), WHO, _object(controlPlane="here", cluster="m1", member="member-uid"))
    assert plan.ownership.owned
    assert plan.ownership.since is not None
    assert (plan.create, plan.patch) == (None, None)
    assert condition_of(plan.ownership).status == "True"


def test_nothing_is_left_in_a_member_that_leaves() -> None:
    plan = plan_ownership(_cluster(deletionTimestamp="2026-01-02T00:00:00Z"), WHO, None)
    assert plan.ownership.owned
    assert plan.create is None


@pytest.mark.parametrize("annotation", ["", "someone", "here"])
def test_another_control_planes_member_is_left_alone(annotation: str) -> None:
    annotations = {wk.TAKE_OVER: annotation} if annotation else {}
    plan = plan_ownership(_cluster(annotations=annotations), WHO, _object(controlPlane="other", cluster="m1"))
    assert plan.ownership.standing is Standing.FOREIGN
    assert (plan.create, plan.patch) == (None, None)
    condition = condition_of(plan.ownership)
    assert (condition.status, condition.reason) == ("False", wk.OWNED_BY_ANOTHER)
    assert f"annotate the Cluster with {wk.TAKE_OVER}=other" in condition.message


def test_it_is_taken_over_once_somebody_names_the_other_one() -> None:
    plan = plan_ownership(
        _cluster(annotations={wk.TAKE_OVER: "other"}),
        WHO,
        _object(controlPlane="other", cluster="x", member="member-uid"),
    )
    assert plan.ownership.owned
    assert plan.patch == {
        "metadata": {"resourceVersion": "7"},
        "data": {"controlPlane": "here", "cluster": "m1", "earlierClusters": "x", "member": "member-uid"},
    }
    assert plan.ownership.earlier == {"x"}


@pytest.mark.parametrize("data", [{}, {"controlPlane": ""}])
def test_an_object_that_names_nobody_is_somebody_elses(data: Json) -> None:
    plan = plan_ownership(_cluster(annotations={wk.TAKE_OVER: ""}), WHO, _object(**data))
    assert plan.ownership.foreign
    assert "delete it there" in condition_of(plan.ownership).message


def test_a_renamed_cluster_gives_its_name() -> None:
    plan = plan_ownership(_cluster(), WHO, _object(controlPlane="here", cluster="before", member="member-uid"))
    assert plan.patch is not None
    assert plan.patch["data"]["cluster"] == "m1"


@pytest.mark.parametrize(("uid", "said"), [("member-uid", "twin"), ("", ""), ("elsewhere", "")])
def test_a_member_that_is_registered_twice_is_said_so(uid: str, said: str) -> None:
    who = Identities("here", "member-uid", {"twin": uid})
    plan = plan_ownership(_cluster(), who, _object(controlPlane="here", cluster="twin", member="member-uid"))
    assert plan.ownership.owned
    assert plan.ownership.twin == said
    assert (plan.patch is None) is (uid != "elsewhere"), "the name stays that of the one that came first"
    assert (condition_of(plan.ownership).reason == wk.REGISTERED_TWICE) is bool(said)


_UIDS = st.sampled_from(["", "here", "other", "member-uid"])
_DATA = st.dictionaries(st.sampled_from(["controlPlane", "cluster", "member", "else"]), _UIDS)


@given(data=_DATA, annotation=_UIDS, others=st.dictionaries(st.sampled_from(["other", "m2"]), _UIDS), member=_UIDS)
def test_a_plan_that_was_carried_out_is_empty_and_keeps_what_it_decided(
    data: dict[str, str], annotation: str, others: dict[str, str], member: str
) -> None:
    who, here = Identities("here", member, others), _cluster(annotations={wk.TAKE_OVER: annotation})
    observed = _object(**data)
    plan = plan_ownership(here, who, observed)
    if plan.ownership.foreign:
        assert plan.patch is None
        assert data.get("controlPlane", "") not in ("here", annotation or "here")
        return
    content = observed.content if plan.patch is None else merge_patch(observed.content, plan.patch)
    again = plan_ownership(here, who, _object(**content["data"]))
    assert again.patch is None
    assert again.ownership == plan.ownership
