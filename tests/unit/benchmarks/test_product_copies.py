"""Copies of a converged service differ from it in names and uids, and in nothing else."""

import msgspec

from benchmarks.product.copies import FIRST, Stored, copied, copy_name
from benchmarks.product.one_change import disguised
from mcs_controller.domain.naming import work_name

UID = "3eae800f-1977-4616-994d-af59ded3b901"
OTHER = "b6e5a3a4-5d6c-4c39-9a44-0c5e1c6c2b7d"
CLUSTER = "96b4287c-decc-489d-b230-d1035a440db9"


def stored() -> Stored:
    work = work_name("EndpointSlice", "bench", f"{FIRST}-a")
    content = {
        "metadata": {"name": work, "uid": UID, "labels": {"id": OTHER}, "ownerReferences": [{"uid": CLUSTER}]},
        "spec": {"manifest": {"metadata": {"name": f"member1-{FIRST}-a", "annotations": {"work": work}}}},
    }
    return Stored(f"/karmada/work.karmada.io/works/karmada-es-member1/{work}", msgspec.json.encode(content).decode())


def test_a_copy_has_the_names_that_the_other_service_would_have():
    made = copied(stored(), 17, frozenset([CLUSTER]), "bench")
    work = work_name("EndpointSlice", "bench", f"{copy_name(17)}-a")
    assert made.key.endswith(f"/{work}")
    content = msgspec.json.decode(made.text)
    assert content["metadata"]["name"] == work
    assert content["spec"]["manifest"]["metadata"]["name"] == f"member1-{copy_name(17)}-a"
    assert content["spec"]["manifest"]["metadata"]["annotations"]["work"] == work
    assert FIRST not in made.key + made.text


def test_uids_of_a_copy_are_its_own_and_those_of_others_stay():
    metadata = [
        msgspec.json.decode(copied(stored(), number, frozenset([CLUSTER]), "bench").text)["metadata"]
        for number in (1, 2)
    ]
    found = {each["uid"] for each in metadata} | {each["labels"]["id"] for each in metadata}
    assert len(found) == 4
    assert found.isdisjoint({UID, OTHER})
    assert all(len(each) == len(UID) for each in found)
    assert {each["ownerReferences"][0]["uid"] for each in metadata} == {CLUSTER}


def test_the_baselines_objects_are_as_large_and_nobodys():
    observed = {
        "apiVersion": "work.karmada.io/v1alpha1",
        "kind": "Work",
        "metadata": {
            "name": "a",
            "namespace": "karmada-es-member1",
            "uid": UID,
            "labels": {"karmada.io/managed": "true"},
        },
        "spec": {"workload": {"manifests": [{"metadata": {"annotations": {"work.karmada.io/name": "a"}}}]}},
        "status": {"conditions": []},
    }
    copy = disguised(observed, "web", "chained-es-member1")
    assert copy["apiVersion"] == observed["apiVersion"]
    assert copy["metadata"] == {
        "name": "web",
        "namespace": "chained-es-member1",
        "labels": {"example.io/managed": "true"},
    }
    assert "status" not in copy
    text = msgspec.json.encode(copy["spec"]).decode()
    assert "karmada.io" not in text
    assert len(text) == len(msgspec.json.encode(observed["spec"]))
