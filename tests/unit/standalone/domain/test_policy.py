"""What a PropagationPolicy may say, whose a template is, and the binding that follows."""

import re
from itertools import permutations
from typing import Any

import msgspec
import pytest

from informers.resource import GroupVersionKind
from mcs_controller.api.common import decode_unstructured
from mcs_controller.api.resourcebinding import ResourceBinding
from mcs_controller.api.resources import RESOURCEBINDINGS
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.bindings import ForeignController
from mcs_controller.domain.works import WorkTerminating
from mcs_controller.standalone.domain.policy import plan_adopt, plan_binding, plan_claim, plan_unclaim
from mcs_controller.standalone.domain.policy_claims import ApplyPolicy, ClaimDecision, decide
from mcs_controller.standalone.domain.policy_spec import UnsupportedPolicy, is_distributed, parse_policy
from tests.support.builders import as_written, golden, ids
from tests.support.object_store import Json, merge_patch
from tests.support.policies import DEPLOYMENT, a_policy, a_template, marks, selector

AFFINITY = {"clusterNames": ["m1"]}


def placed(**fields: Any) -> dict[str, Any]:
    return {"placement": {"clusterAffinity": AFFINITY} | fields}


def labelled(value: Any) -> dict[str, Any]:
    return {"selects": [selector(labelSelector=value)]}


# --- what is refused --------------------------------------------------------------------------------------------------

REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "association": ({"association": True}, "spec.association is not supported"),
    "dependencies": ({"propagateDeps": True}, "spec.propagateDeps is not supported"),
    "overrides": ({"dependentOverrides": ["a"]}, "spec.dependentOverrides is not supported"),
    "failover": ({"failover": {"application": {}}}, "spec.failover is not supported"),
    "activation": ({"activationPreference": "Lazy"}, "spec.activationPreference is not supported"),
    "suspension": ({"suspension": {"dispatching": True}}, "spec.suspension is not supported"),
    "schedule priority": ({"schedulePriority": {"a": "b"}}, "spec.schedulePriority is not supported"),
    "something of the future": ({"frobnicate": 1}, "spec.frobnicate is not supported"),
    "preemption": ({"preemption": "Always"}, "spec.preemption Always is not supported, only Never"),
    "conflict resolution": (
        {"conflictResolution": "Merge"},
        "spec.conflictResolution Merge is not supported, only Abort or Overwrite",
    ),
    "priority of a wrong type": ({"priority": "high"}, "spec.priority: Expected `int`, got `str`"),
    "priority that is true": ({"priority": True}, "spec.priority: Expected `int`, got `bool`"),
    "scheduler of a wrong type": ({"schedulerName": 1}, "spec.schedulerName: Expected `str`, got `int`"),
    "preservation of a wrong type": (
        {"preserveResourcesOnDeletion": "yes"},
        "spec.preserveResourcesOnDeletion: Expected `bool`, got `str`",
    ),
    "no selectors": ({"selects": []}, "spec.resourceSelectors has to name at least one kind"),
    "selectors that are none": (
        {"resourceSelectors": {"": 1}},
        "spec.resourceSelectors: Expected `array`, got `object`",
    ),
    "selector without a version": (
        {"selects": [{"kind": "Deployment"}]},
        "spec.resourceSelectors[0].apiVersion is missing",
    ),
    "selector without a kind": (
        {"selects": [selector("web"), {"apiVersion": "v1"}]},
        "spec.resourceSelectors[1].kind is missing",
    ),
    "name of a wrong type": (
        {"selects": [selector() | {"name": ["a"]}]},
        "spec.resourceSelectors[0].name: Expected `str`, got `array`",
    ),
    "another namespace": (
        {"selects": [selector("web", namespace="other")]},
        "spec.resourceSelectors[0].namespace is other: a PropagationPolicy selects in its own namespace only",
    ),
    "unknown field of a selector": (
        {"selects": [selector(fieldSelector="a=b")]},
        "spec.resourceSelectors[0].fieldSelector is not supported",
    ),
    "events": (
        {"selects": [selector(kind=GroupVersionKind("v1", "Event"))]},
        "spec.resourceSelectors[0]: v1 Event is not a kind that is propagated",
    ),
    "Karmada's own kinds": (
        {"selects": [selector(kind=GroupVersionKind("work.karmada.io/v1alpha1", "Work"))]},
        "spec.resourceSelectors[0]: work.karmada.io/v1alpha1 Work is not a kind that is propagated",
    ),
    "leases": (
        {"selects": [selector(kind=GroupVersionKind("coordination.k8s.io/v1", "Lease"))]},
        "spec.resourceSelectors[0]: coordination.k8s.io/v1 Lease is not a kind that is propagated",
    ),
    "label selector that is none": (
        labelled("a=b"),
        "spec.resourceSelectors[0].labelSelector: Expected `object | null`, got `str`",
    ),
    "unknown field of a label selector": (
        labelled({"matchFields": {"a": "b"}}),
        "spec.resourceSelectors[0].labelSelector.matchFields is not supported",
    ),
    "labels that are no strings": (
        labelled({"matchLabels": {"a": 1}}),
        "spec.resourceSelectors[0].labelSelector.matchLabels[...]: Expected `str`, got `int`",
    ),
    "expressions that are none": (
        labelled({"matchExpressions": ["a"]}),
        "spec.resourceSelectors[0].labelSelector.matchExpressions[0]: Expected `object`, got `str`",
    ),
    "unknown operator": (
        labelled({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}),
        "spec.resourceSelectors[0].labelSelector.matchExpressions[0] is not a requirement on labels",
    ),
    "operator without its values": (
        labelled({"matchExpressions": [{"key": "a", "operator": "NotIn"}]}),
        "spec.resourceSelectors[0].labelSelector.matchExpressions[0] is not a requirement on labels",
    ),
    "operator with values that it has no use for": (
        labelled({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["1"]}]}),
        "spec.resourceSelectors[0].labelSelector.matchExpressions[0] is not a requirement on labels",
    ),
    "no placement": ({"placement": None}, "spec.placement.clusterAffinity.clusterNames has to name the clusters"),
    "placement that is none": (
        {"placement": "m1"},
        "spec.placement: Expected `object`, got `str`",
    ),
    "every cluster": (
        {"placement": {"clusterAffinity": {}}},
        "spec.placement.clusterAffinity.clusterNames has to name the clusters",
    ),
    "cluster that is no name": (
        {"placement": {"clusterAffinity": {"clusterNames": [1]}}},
        "spec.placement.clusterAffinity.clusterNames[0]: Expected `str`, got `int`",
    ),
    "excluded clusters": (
        {"placement": {"clusterAffinity": AFFINITY | {"exclude": ["m2"]}}},
        "spec.placement.clusterAffinity.exclude is not supported",
    ),
    "clusters by label": (
        {"placement": {"clusterAffinity": AFFINITY | {"labelSelector": {"matchLabels": {"a": "b"}}}}},
        "spec.placement.clusterAffinity.labelSelector is not supported",
    ),
    "affinity groups": (placed(clusterAffinities=[{"a": "b"}]), "spec.placement.clusterAffinities is not supported"),
    "tolerations": (placed(clusterTolerations=[{"key": "a"}]), "spec.placement.clusterTolerations is not supported"),
    "spread": (placed(spreadConstraints=[{"maxGroups": 1}]), "spec.placement.spreadConstraints is not supported"),
    "divided replicas": (
        placed(replicaScheduling={"replicaSchedulingType": "Divided"}),
        "spec.placement.replicaScheduling other than Duplicated is not supported",
    ),
    "weights of replicas": (
        placed(replicaScheduling={"replicaSchedulingType": "Duplicated", "weightPreference": {"a": 1}}),
        "spec.placement.replicaScheduling other than Duplicated is not supported",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_not_understood_is_refused_by_its_path(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedPolicy) as caught:
        parse_policy(a_policy(**fields))
    assert str(caught.value) == message


def test_every_problem_is_named() -> None:
    with pytest.raises(UnsupportedPolicy) as caught:
        parse_policy(a_policy(failover={"a": 1}, placement={"spreadConstraints": [1]}))
    assert str(caught.value).split("; ") == [
        "spec.placement.clusterAffinity.clusterNames has to name the clusters",
        "spec.placement.spreadConstraints is not supported",
        "spec.failover is not supported",
    ]


def test_what_is_empty_asks_for_nothing() -> None:
    empty: Json = {
        "propagateDeps": False,
        "dependentOverrides": [],
        "failover": None,
        "suspension": {},
        "association": False,
    }
    placement: Json = {
        "clusterAffinity": AFFINITY | {"exclude": []},
        "spreadConstraints": None,
        "clusterTolerations": [],
    }
    bare, full = a_policy(), a_policy(**empty, placement=placement)
    assert parse_policy(full) == parse_policy(bare)
    assert parse_policy(full).placement == {"clusterAffinity": AFFINITY}


def test_defaults_are_those_of_karmadas_definition() -> None:
    rules = parse_policy(a_policy())
    assert (rules.priority, rules.scheduler_name, rules.conflict_resolution, rules.preserve) == (
        0,
        "default-scheduler",
        "Abort",
        None,
    )
    assert rules == parse_policy(
        a_policy(priority=0, preemption="Never", schedulerName="default-scheduler", conflictResolution="Abort")
    )


@pytest.mark.parametrize("duplicated", [{"replicaSchedulingType": "Duplicated"}, {"replicaDivisionPreference": ""}])
def test_the_same_replicas_everywhere_are_what_there_is(duplicated: Json) -> None:
    rules = parse_policy(a_policy(**placed(replicaScheduling=duplicated)))
    assert rules.placement == {"clusterAffinity": AFFINITY, "replicaScheduling": duplicated}


# --- what is selected -------------------------------------------------------------------------------------------------


def precision(one: Json, labels: dict[str, str] | None = None) -> int:
    return parse_policy(a_policy(selects=[one])).precision(DEPLOYMENT, a_template(labels=labels).metadata)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (selector("web"), 3),
        (selector("other"), 0),
        (selector(), 1),
        (selector(kind=GroupVersionKind("apps/v1", "StatefulSet")), 0),
        (selector(kind=GroupVersionKind("extensions/v1beta1", "Deployment")), 0),
        (selector(labelSelector={}), 2),
        (selector("web", labelSelector={"matchLabels": {"a": "other"}}), 3),
        (selector("web", namespace="default"), 3),
    ],
    ids=["name", "other-name", "kind", "other-kind", "other-group", "any-label", "name-before-labels", "own-namespace"],
)
def test_precision_of_a_match(one: Json, expected: int) -> None:
    assert precision(one) == expected


@pytest.mark.parametrize(
    ("query", "labels", "matches"),
    [
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"matchLabels": {"a": "1", "b": "1"}}, {"a": "1"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {"a": "1"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"b": ""}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"b": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}, {"a": "1"}, False),
    ],
)
def test_label_selectors(query: Json, labels: dict[str, str], matches: bool) -> None:
    assert precision(selector(labelSelector=query), labels) == (2 if matches else 0)


def test_the_best_selector_of_a_policy_counts() -> None:
    rules = parse_policy(a_policy(selects=[selector(), selector("web"), selector(labelSelector={})]))
    assert rules.precision(DEPLOYMENT, a_template().metadata) == 3


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [("default", True), ("shop", True), ("kube-system", False), ("karmada-system", False), ("karmada-cluster", False),
     ("karmada-es-m1", False), ("my-kube-system", True)],
)  # fmt: skip
def test_namespaces_that_are_not_looked_at(namespace: str, expected: bool) -> None:
    assert is_distributed(namespace, (re.compile("kube-.*"),)) is expected


# --- whose is a template ----------------------------------------------------------------------------------------------


def winner(*policies: Any, **fields: Any) -> str | ClaimDecision:
    """The name of the policy that gets the template, the same for every order of the policies."""
    found = set()
    for order in permutations(policies):
        decision = decide(DEPLOYMENT, a_template(**fields), order)
        found.add(decision.policy.metadata.name if isinstance(decision, ApplyPolicy) else decision)
    (only,) = found
    return only


def test_priority_comes_before_precision_and_precision_before_the_name() -> None:
    by_kind, by_label, by_name = [selector()], [selector(labelSelector={})], [selector("web")]
    assert winner(a_policy("a"), a_policy("b")) == "a"
    assert winner(a_policy("a", selects=by_kind), a_policy("b", selects=by_label)) == "b"
    assert winner(a_policy("a", selects=by_label), a_policy("b", selects=by_name)) == "b"
    assert winner(a_policy("a"), a_policy("c", selects=by_kind, priority=1), a_policy("b", priority=-1)) == "c"


def test_who_has_it_keeps_it_whatever_others_say() -> None:
    kind = [selector()]
    assert winner(a_policy("a", priority=9), a_policy("b", selects=kind), **marks("b")) == "b"


@pytest.mark.parametrize(
    "holder",
    [
        [],
        [a_policy("b", selects=[selector("other")])],
        [a_policy("b", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})],
        [a_policy("b", permanent_id="made-anew", selects=[selector("other")])],
    ],
    ids=["gone", "selects-it-no-more", "being-deleted", "made-anew"],
)
def test_a_void_claim_gives_way(holder: list[Any]) -> None:
    assert winner(*holder, **marks("b")) is ClaimDecision.RELEASE
    assert winner(a_policy("c"), *holder, **marks("b")) == "c"


def test_a_policy_made_anew_has_to_claim_again() -> None:
    assert winner(a_policy("a"), a_policy("b", permanent_id="new"), **marks("b", "old")) == "a"


def test_a_policy_that_is_refused_now_keeps_what_it_has_as_it_is() -> None:
    assert winner(a_policy("a"), a_policy("b", failover={"a": 1}), **marks("b")) is ClaimDecision.LEAVE


def test_a_refused_policy_gets_nothing() -> None:
    assert winner(a_policy("a", failover={"a": 1})) is ClaimDecision.RELEASE
    assert winner(a_policy("a", failover={"a": 1}), a_policy("b")) == "b"


def test_a_policy_without_its_id_has_to_wait() -> None:
    assert winner(a_policy("a", metadata={"labels": {}})) is ClaimDecision.LEAVE


def test_what_something_else_claims_is_never_a_policys() -> None:
    labels = marks()["labels"] | {wk.CLAIMED_BY: wk.CLAIMED_BY_MCS}
    assert winner(a_policy(), labels=labels, annotations=marks()["annotations"]) is ClaimDecision.YIELD
    assert winner(a_policy(), labels={wk.CLAIMED_BY: ""}) == "p"


def test_what_a_cluster_policy_claims_stays_its_own() -> None:
    assert winner(a_policy(), labels={wk.CLUSTER_POLICY_PERMANENT_ID: "x"}) is ClaimDecision.LEAVE
    both = marks()["labels"] | {wk.CLUSTER_POLICY_PERMANENT_ID: "x"}
    assert winner(labels=both, annotations=marks()["annotations"]) is ClaimDecision.RELEASE


def test_a_template_that_is_going_is_claimed_by_nobody_and_let_go_by_a_policy_that_goes() -> None:
    going = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert winner(a_policy(), metadata=going) is ClaimDecision.RELEASE  # which writes nothing, as there are no marks
    assert winner(a_policy(), metadata=going, **marks()) is ClaimDecision.LEAVE
    assert winner(a_policy(metadata=going), metadata=going, **marks()) is ClaimDecision.RELEASE


# --- what is written --------------------------------------------------------------------------------------------------


def test_a_policy_gets_its_id_and_its_finalizer_once() -> None:
    fresh = a_policy(metadata={"labels": {"own": "1"}, "finalizers": ["other"]})
    assert plan_adopt(fresh, ids()) == {
        "metadata": {
            "labels": {wk.POLICY_PERMANENT_ID: "id-1"},
            "finalizers": ["other", "karmada.io/propagation-policy-controller"],
            "resourceVersion": "5",
        }
    }
    assert plan_adopt(a_policy(), ids()) is None


def test_claim_and_release_touch_the_marks_and_nothing_else() -> None:
    free = a_template(labels={"own": "1"}, annotations={"own": "2"})
    claim = plan_claim(free, a_policy())
    assert claim == {"metadata": marks() | {"resourceVersion": "9"}}
    ours = a_template(labels={"own": "1"} | marks()["labels"], annotations={"own": "2"} | marks()["annotations"])
    assert plan_claim(ours, a_policy()) is None
    assert plan_unclaim(ours.metadata) == {
        "metadata": {
            "labels": {wk.POLICY_PERMANENT_ID: None},
            "annotations": {wk.POLICY_NAMESPACE: None, wk.POLICY_NAME: None},
            "resourceVersion": "9",
        }
    }
    assert plan_unclaim(free.metadata) is None


def binding_body(observed: ResourceBinding | None = None, **fields: Any) -> Json | None:
    write = plan_binding(a_policy(**fields), parse_policy(a_policy(**fields)), a_template(**marks()), observed, ids())
    assert write is None or write.create is (observed is None)
    return write.body if write is not None else None


def stored(body: Json, **metadata: Any) -> ResourceBinding:
    content = body | {"metadata": body["metadata"] | {"resourceVersion": "33", "uid": "uid-b"} | metadata}
    return RESOURCEBINDINGS.decode(msgspec.json.encode(content))


def written(**fields: Any) -> Json:
    body = binding_body(**fields)
    assert body is not None
    return body


@pytest.mark.parametrize("name", ["serve-service", "serve-serviceexport"])
def test_binding_is_what_karmada_writes(name: str) -> None:
    (wanted,) = [
        one for one in golden("serviceexport/host-resourcebindings")["items"] if one["metadata"]["name"] == name
    ]
    resource = wanted["spec"]["resource"]
    files = {"Service": "host-services", "ServiceExport": "host-serviceexports"}
    (source,) = [
        one
        for one in golden(f"serviceexport/{files[resource['kind']]}")["items"]
        if one["metadata"]["uid"] == resource["uid"]
    ]
    permanent_id = source["metadata"]["labels"][wk.POLICY_PERMANENT_ID]
    kind = GroupVersionKind(resource["apiVersion"], resource["kind"])
    made = a_policy(
        "serve-export",
        namespace="sx",
        permanent_id=permanent_id,
        clusters=["member1"],
        selects=[selector("serve", kind)],
    )
    templates = decode_unstructured(msgspec.json.encode(source))
    write = plan_binding(
        made, parse_policy(made), templates, None, lambda: wanted["metadata"]["labels"][wk.BINDING_PERMANENT_ID]
    )
    expected = as_written(wanted)
    del expected["metadata"]["annotations"][wk.APPLIED_PLACEMENT]  # the scheduler's, like the clusters
    del expected["spec"]["clusters"]
    assert write is not None
    assert write.body == expected
    assert plan_claim(templates, made) is None  # Karmada's marks are ours


def test_binding_that_was_written_is_right() -> None:
    assert binding_body(stored(written())) is None
    for fields in (
        {"conflictResolution": "Overwrite"},
        {"preserveResourcesOnDeletion": True},
        {"clusters": ["b", "a"]},
    ):
        assert binding_body(stored(written(**fields)), **fields) is None


def test_what_others_put_on_a_binding_stays() -> None:
    body = written()
    body["metadata"]["labels"]["own"] = "1"
    body["metadata"]["finalizers"] = ["other", *body["metadata"]["finalizers"]]
    body["metadata"]["ownerReferences"].append({"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "c"})
    body["spec"] |= {"clusters": [{"name": "m1"}], "suspension": {"dispatching": True}, "failover": {"cluster": {}}}
    assert binding_body(stored(body)) is None


def test_a_change_of_the_policy_changes_its_part_of_the_binding() -> None:
    before = stored(written(**placed(replicaScheduling={"replicaSchedulingType": "Duplicated"})))
    patch = binding_body(before, clusters=["m2"], conflictResolution="Overwrite", preserveResourcesOnDeletion=True)
    assert patch == {
        "metadata": {"resourceVersion": "33"},
        "spec": {
            "placement": {"clusterAffinity": {"clusterNames": ["m2"]}, "replicaScheduling": None},
            "conflictResolution": "Overwrite",
            "preserveResourcesOnDeletion": True,
        },
    }


def test_preservation_is_taken_back() -> None:
    patch = binding_body(stored(written(preserveResourcesOnDeletion=True)))
    assert patch == {"metadata": {"resourceVersion": "33"}, "spec": {"preserveResourcesOnDeletion": None}}


def test_binding_of_a_multi_cluster_service_is_taken_over() -> None:
    """After its release it has our places but not our marks, and an owner reference that does not control."""
    body = written()
    wanted = body["metadata"]
    owner = {key: value for key, value in wanted["ownerReferences"][0].items() if not isinstance(value, bool)}
    left = body | {"metadata": wanted | {"labels": {}, "annotations": {}, "finalizers": [], "ownerReferences": [owner]}}
    patch = binding_body(stored(left))
    assert patch is not None
    after = merge_patch(left, patch)
    assert {key: after["metadata"][key] for key in wanted} == wanted
    assert "spec" not in patch


def test_a_template_made_anew_gets_its_binding_for_itself() -> None:
    body = written()
    body["metadata"]["ownerReferences"][0] |= {"uid": "gone", "controller": False}
    patch = binding_body(stored(body))
    assert patch is not None
    assert [one["uid"] for one in patch["metadata"]["ownerReferences"]] == ["uid-of-web"]


def test_binding_that_something_else_controls_is_not_touched() -> None:
    body = written()
    body["metadata"]["ownerReferences"][0]["uid"] = "another"
    with pytest.raises(
        ForeignController, match=r"controlled by Deployment web \(uid another\), not by this Deployment"
    ):
        binding_body(stored(body))


def test_binding_that_is_going_is_waited_for() -> None:
    with pytest.raises(WorkTerminating, match="is being deleted"):
        binding_body(stored(written(), deletionTimestamp="2026-01-01T00:00:00Z"))
