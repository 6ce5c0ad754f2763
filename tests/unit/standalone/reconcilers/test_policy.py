"""The two controllers of policies, over an API server in memory."""

import asyncio
import re
from typing import Any, cast

import pytest

from informers.cache.event import Event
from informers.errors import Conflict, Forbidden
from informers.resource import GroupVersionKind
from mcs_controller.api.resources import PROPAGATIONPOLICIES, RESOURCEBINDINGS
from mcs_controller.domain import well_known as wk
from mcs_controller.key_mutex import KeyMutex
from mcs_controller.predicates import content_changed
from mcs_controller.runtime.reconcile import Request, Result
from mcs_controller.standalone.domain.policy_claims import BINDING_INDEXES, POLICY_INDEXES
from mcs_controller.standalone.domain.policy_spec import PolicyLimits
from mcs_controller.standalone.reconcilers.policy import (
    PolicyReconciler,
    ResourceDetector,
    TemplateRequest,
    follow_templates,
    requests_for_binding,
)
from mcs_controller.standalone.templates import TemplateInformers
from tests.support.builders import ids
from tests.support.clock import settle
from tests.support.memory import MemoryApi, MemoryRecorder
from tests.support.object_store import Json
from tests.support.policies import DEPLOYMENT, NAMESPACE, SERVICE, MemoryTemplates, marks, policy, selector, template
from workqueue.priority import LOW, at_priority

CONFIGMAP = GroupVersionKind("v1", "ConfigMap")
WEB = TemplateRequest(DEPLOYMENT, NAMESPACE, "web")
POLICY = Request(NAMESPACE, "p")


class World:
    """A control plane, both reconcilers, and what their queues hold."""

    def __init__(self) -> None:
        self.api = MemoryApi()
        self.recorder = MemoryRecorder()
        self.limits = PolicyLimits()
        self.start()

    def start(self) -> None:
        """Begin anew, as after a restart."""
        self.templates = MemoryTemplates(self.api)
        self.policies = self.api.cached(PROPAGATIONPOLICIES, POLICY_INDEXES)
        bindings = self.api.cached(RESOURCEBINDINGS, BINDING_INDEXES)
        self.binding_locks = KeyMutex[Request]()
        self.queued_templates: set[TemplateRequest] = set()
        self.queued_policies: set[Request] = set()
        shared: Any = {
            "templates": cast("TemplateInformers", self.templates),
            "recorder": self.recorder,
            "new_id": ids(),
            "skipped": (re.compile("kube-.*"),),
            "limits": self.limits,
        }
        self.detector = ResourceDetector(
            policies=self.policies.store, bindings=bindings, binding_locks=self.binding_locks, **shared
        )
        self.reconciler = PolicyReconciler(
            policies=self.policies, bindings=bindings.store, enqueue_template=self.queued_templates.add, **shared
        )

        def of_policy(event: Event[Any]) -> None:
            if content_changed(event):
                self.queued_policies.add(Request(*event.key))

        def of_binding(event: Event[Any]) -> None:
            if content_changed(event):
                self.queued_templates.update(requests_for_binding(event))
                self.queued_policies.update(self.reconciler.requests_for_marks(event))

        self.policies.informer.add_handler(of_policy)
        bindings.informer.add_handler(of_binding)
        follow_templates(
            cast("TemplateInformers", self.templates),
            bindings.store,
            self.reconciler,
            enqueue_template=self.queued_templates.add,
            enqueue_policy=self.queued_policies.add,
        )

    async def settle(self) -> None:
        """Reconcile until nothing is queued."""
        for _ in range(100):
            if self.queued_policies:
                await self.reconciler.reconcile(self.queued_policies.pop())
            elif self.queued_templates:
                await self.detector.reconcile(self.queued_templates.pop())
            else:
                return
        raise AssertionError("it does not come to rest")

    def find(self, kind: str, name: str, namespace: str = NAMESPACE) -> Json:
        return self.api.read(kind, namespace, name)

    def binding(self, name: str = "web-deployment") -> Json | None:
        return self.api.find("ResourceBinding", NAMESPACE, name)

    def events(self) -> list[tuple[str, str, str]]:
        """(kind, reason, message) of what came since the last call."""
        found = [(kind, reason, message) for _, kind, _, _, reason, message in self.recorder.events]
        self.recorder.events.clear()
        return found

    def take_writes(self) -> list[str]:
        writes = [str(call) for call in self.api.writes]
        self.api.calls.clear()
        return writes


@pytest.fixture
def world() -> World:
    return World()


def carries(obj: Json | None, name: str = "p") -> bool:
    """Whether an object has the policy's marks; fails if it has them half."""
    assert obj is not None
    meta = obj["metadata"]
    found = (meta.get("labels", {}).get(wk.POLICY_PERMANENT_ID), meta.get("annotations", {}).get(wk.POLICY_NAME))
    assert (found[0] is None) == (found[1] is None) == (wk.POLICY_NAMESPACE not in meta.get("annotations", {}))
    return found == (f"id-{name}", name)


async def test_a_policy_claims_and_binds_what_it_selects_and_then_rests(world: World) -> None:
    world.api.seed(template(), template("other"), policy(metadata={"labels": {}, "finalizers": []}))
    await world.settle()
    assert world.take_writes() == [
        f"patch propagationpolicies/{NAMESPACE}/p",
        f"patch deployments/{NAMESPACE}/web",
        f"create resourcebindings/{NAMESPACE}/web-deployment",
    ]
    binding = world.binding()
    assert binding is not None
    assert binding["spec"]["placement"] == {"clusterAffinity": {"clusterNames": ["m1"]}}
    assert (
        binding["spec"]["resource"]["resourceVersion"] == world.find("Deployment", "web")["metadata"]["resourceVersion"]
    )
    assert not carries(world.find("Deployment", "other"))
    assert world.events() == [("Deployment", "ApplyPolicySucceed", "Apply policy(default/p) succeed")]
    world.start()
    await world.settle()
    assert world.take_writes() == []
    assert world.events() == []


async def test_a_template_that_comes_later_is_found(world: World) -> None:
    world.api.seed(policy())
    await world.settle()
    assert world.templates.wanted["policy"] == {DEPLOYMENT}
    world.api.seed(template())
    await world.settle()
    assert carries(world.binding())


async def test_a_change_of_the_template_reaches_the_binding_but_its_status_does_not(world: World) -> None:
    world.api.seed(template(), policy())
    await world.settle()
    world.take_writes()
    world.api.edit("Deployment", NAMESPACE, "web", {"status": {"readyReplicas": 1}})
    await world.settle()
    assert world.take_writes() == []
    world.api.edit("Deployment", NAMESPACE, "web", {"spec": {"replicas": 5}})
    await world.settle()
    assert world.take_writes() == [f"patch resourcebindings/{NAMESPACE}/web-deployment"]


async def test_a_binding_that_somebody_else_writes_is_written_after_that(world: World) -> None:
    world.api.seed(template(), policy())
    await world.settle()
    world.take_writes()
    for number in (1, 2):
        if number == 1:
            world.api.edit("Deployment", NAMESPACE, "web", {"spec": {"replicas": 9}})
        else:
            world.api.remove("PropagationPolicy", NAMESPACE, "p")
        async with world.binding_locks.hold(Request(NAMESPACE, "web-deployment")):
            working = asyncio.create_task(world.settle())
            await settle()
            world.api.edit("ResourceBinding", NAMESPACE, "web-deployment", {"metadata": {"labels": {"n": str(number)}}})
            assert not [one for one in world.take_writes() if "resourcebindings" in one]
        await working  # no conflict
        assert f"patch resourcebindings/{NAMESPACE}/web-deployment" in world.take_writes()


async def test_a_binding_is_repaired(world: World) -> None:
    world.api.seed(template(), policy())
    await world.settle()
    world.api.edit("ResourceBinding", NAMESPACE, "web-deployment", {"spec": {"placement": None}})
    await world.settle()
    binding = world.binding()
    assert binding is not None
    assert binding["spec"]["placement"] == {"clusterAffinity": {"clusterNames": ["m1"]}}
    world.api.edit("ResourceBinding", NAMESPACE, "web-deployment", {"metadata": {"finalizers": []}})
    world.api.remove("ResourceBinding", NAMESPACE, "web-deployment")
    await world.settle()
    assert carries(world.binding())


async def test_a_refused_policy_is_told_once_a_change_and_nothing_is_done(world: World) -> None:
    world.api.seed(template())
    world.api.seed(policy(metadata={"labels": {}, "finalizers": []}, failover={"application": {"a": 1}}))
    for _ in range(3):
        await world.settle()
        world.queued_policies.add(POLICY)
    message = "The policy is refused, and nothing is done for it: spec.failover is not supported"
    assert world.events() == [("PropagationPolicy", "PolicyRefused", message)]
    assert world.take_writes() == []
    assert world.templates.wanted["policy"] == frozenset()
    world.api.edit("PropagationPolicy", NAMESPACE, "p", {"spec": {"failover": {"application": {"a": 2}}}})
    await world.settle()
    assert world.events() == [("PropagationPolicy", "PolicyRefused", message)]
    world.api.edit("PropagationPolicy", NAMESPACE, "p", {"spec": {"failover": None}})
    await world.settle()
    assert carries(world.binding(), "p") or world.find("PropagationPolicy", "p")["metadata"]["labels"] != {}
    assert world.binding() is not None


async def test_a_policy_of_a_namespace_that_is_not_propagated_is_refused(world: World) -> None:
    world.api.seed(template(namespace="kube-system"), policy(namespace="kube-system", finalizers=()))
    await world.settle()
    await world.detector.reconcile(TemplateRequest(DEPLOYMENT, "kube-system", "web"))
    (event,) = world.events()
    assert "nothing is propagated of the namespace kube-system" in event[2]
    assert world.take_writes() == []


async def test_a_policy_that_is_refused_now_keeps_what_it_had_until_it_goes(world: World) -> None:
    world.api.seed(template(), policy())
    await world.settle()
    before = world.binding()
    world.api.edit("PropagationPolicy", NAMESPACE, "p", {"spec": {"failover": {"a": 1}, "placement": None}})
    world.api.edit("Deployment", NAMESPACE, "web", {"spec": {"replicas": 5}})
    await world.settle()
    assert world.binding() == before
    world.api.remove("PropagationPolicy", NAMESPACE, "p")
    await world.settle()
    assert world.api.find("PropagationPolicy", NAMESPACE, "p") is None
    assert not carries(world.binding())


async def test_a_deleted_policy_lets_go_of_its_marks_and_leaves_what_runs(world: World) -> None:
    world.api.seed(template(labels={"own": "1"}), policy())
    await world.settle()
    before = world.binding()
    assert before is not None
    world.take_writes()
    world.api.remove("PropagationPolicy", NAMESPACE, "p")
    await world.settle()
    assert world.take_writes() == [
        f"patch deployments/{NAMESPACE}/web",
        f"patch resourcebindings/{NAMESPACE}/web-deployment",
        f"patch propagationpolicies/{NAMESPACE}/p",
    ]
    assert world.api.find("PropagationPolicy", NAMESPACE, "p") is None
    assert world.find("Deployment", "web")["metadata"]["labels"] == {"own": "1"}
    after = world.binding()
    assert not carries(after)
    assert after is not None
    assert after["spec"] == before["spec"]
    assert world.templates.wanted["policy"] == frozenset()


@pytest.mark.parametrize("writes", range(3))
async def test_a_crash_while_letting_go_loses_nothing(world: World, writes: int) -> None:
    world.api.seed(template(), policy())
    await world.settle()
    world.take_writes()
    world.api.remove("PropagationPolicy", NAMESPACE, "p")
    while world.queued_policies or world.queued_templates:
        if len(world.api.writes) >= writes:
            break
        queue = world.queued_policies or world.queued_templates
        request: Any = queue.pop()
        reconciler: Any = world.detector if isinstance(request, TemplateRequest) else world.reconciler
        await reconciler.reconcile(request)
    world.start()
    await world.settle()
    assert world.api.find("PropagationPolicy", NAMESPACE, "p") is None
    assert not carries(world.find("Deployment", "web"))
    assert not carries(world.binding())


async def test_a_policy_that_vanished_while_nobody_watched_is_cleaned_up_after(world: World) -> None:
    world.api.seed(template(), policy(finalizers=()))
    await world.settle()
    world.api.edit("PropagationPolicy", NAMESPACE, "p", {"metadata": {"finalizers": []}})
    world.api.remove("PropagationPolicy", NAMESPACE, "p")
    world.start()
    await world.settle()
    world.templates.become_available(DEPLOYMENT)
    await world.settle()
    assert not carries(world.find("Deployment", "web"))
    assert not carries(world.binding())


async def test_a_policy_that_is_taken_away_by_force_is_cleaned_up_after_at_once(world: World) -> None:
    world.api.seed(template(), policy())
    await world.settle()
    world.api.edit("PropagationPolicy", NAMESPACE, "p", {"metadata": {"finalizers": []}})
    world.api.remove("PropagationPolicy", NAMESPACE, "p")
    await world.settle()
    assert not carries(world.find("Deployment", "web"))
    assert not carries(world.binding())


async def test_marks_of_a_vanished_policy_go_from_a_binding_whose_template_vanished_too(world: World) -> None:
    world.api.seed(template(), policy(finalizers=()))
    await world.settle()
    world.api.edit("PropagationPolicy", NAMESPACE, "p", {"metadata": {"finalizers": []}})
    world.api.remove("PropagationPolicy", NAMESPACE, "p")
    world.api.remove("Deployment", NAMESPACE, "web")
    world.start()
    world.templates.absent.add(DEPLOYMENT)
    await world.settle()
    assert carries(world.binding())
    world.templates.become_available(DEPLOYMENT)
    await world.settle()
    assert not carries(world.binding())


async def test_a_policy_without_a_binding_goes_when_its_template_is_unmarked(world: World) -> None:
    world.api.seed(template(), policy())
    world.api.fail(Forbidden(403, "Forbidden", "no"), "create", kind="ResourceBinding")
    with pytest.raises(Forbidden):
        await world.settle()
    world.queued_templates.clear()
    world.api.remove("PropagationPolicy", NAMESPACE, "p")
    await world.settle()
    assert world.api.find("PropagationPolicy", NAMESPACE, "p") is None


async def test_a_policy_does_not_wait_for_what_something_else_has_claimed(world: World) -> None:
    """Whoever claimed it left our marks there, and we touch it no more."""
    labels = {wk.CLAIMED_BY: "somebody"}
    world.api.seed(template(labels=labels | marks()["labels"], annotations=marks()["annotations"]), policy())
    await world.settle()
    world.api.remove("PropagationPolicy", NAMESPACE, "p")
    await world.settle()
    assert world.api.find("PropagationPolicy", NAMESPACE, "p") is None
    assert carries(world.find("Deployment", "web"))


async def test_the_next_policy_takes_over_and_the_binding_stays_one(world: World) -> None:
    world.api.seed(template(), policy(), policy("q", selects=[selector()], clusters=["m2"]))
    await world.settle()
    uid = (world.binding() or {})["metadata"]["uid"]
    world.api.remove("PropagationPolicy", NAMESPACE, "p")
    await world.settle()
    after = world.binding()
    assert carries(after, "q")
    assert after is not None
    assert (after["metadata"]["uid"], after["spec"]["placement"]) == (
        uid,
        {"clusterAffinity": {"clusterNames": ["m2"]}},
    )
    assert world.api.find("PropagationPolicy", NAMESPACE, "p") is None


@pytest.mark.parametrize(
    "change",
    [{"resourceSelectors": [selector("other")]}, {"resourceSelectors": [selector("web", kind=SERVICE)]}],
    ids=["another-name", "another-kind"],
)
async def test_what_is_selected_no_more_is_released(world: World, change: Json) -> None:
    world.api.seed(template(), policy())
    await world.settle()
    world.api.edit("PropagationPolicy", NAMESPACE, "p", {"spec": change})
    await world.settle()
    assert not carries(world.find("Deployment", "web"))
    assert not carries(world.binding())
    assert DEPLOYMENT not in world.templates.wanted["policy"] or change["resourceSelectors"][0]["kind"] == "Deployment"


async def test_what_is_selected_now_is_claimed(world: World) -> None:
    world.api.seed(template(), template("other"), policy())
    await world.settle()
    world.api.edit("PropagationPolicy", NAMESPACE, "p", {"spec": {"resourceSelectors": [selector("other")]}})
    await world.settle()
    assert carries(world.binding("other-deployment"))


async def test_labels_decide_at_any_time(world: World) -> None:
    world.api.seed(template(labels={"tier": "a"}))
    world.api.seed(policy(selects=[selector(labelSelector={"matchLabels": {"tier": "a"}})]))
    await world.settle()
    assert carries(world.binding())
    world.api.edit("Deployment", NAMESPACE, "web", {"metadata": {"labels": {"tier": "b"}}})
    await world.settle()
    assert not carries(world.find("Deployment", "web"))
    assert not carries(world.binding())
    world.api.edit("Deployment", NAMESPACE, "web", {"metadata": {"labels": {"tier": "a"}}})
    await world.settle()
    assert carries(world.binding())


async def test_a_claimed_service_is_never_touched(world: World) -> None:
    world.api.seed(template(kind=SERVICE, labels={wk.CLAIMED_BY: wk.CLAIMED_BY_MCS}))
    before = world.find("Service", "web")
    world.api.seed(policy(selects=[selector(kind=SERVICE)]))
    await world.settle()
    assert world.take_writes() == []
    assert world.find("Service", "web") == before
    assert world.binding("web-service") is None


CLAIMED = (
    "v1 Service default/web is claimed by a MultiClusterService, which says where it goes; "
    "the policy does not apply to it"
)


def claims_told(world: World) -> list[tuple[str, str]]:
    found = [(one[2], one[5]) for one in world.recorder.events if one[4] == wk.EVENT_TEMPLATE_CLAIMED]
    world.recorder.events.clear()
    return found


async def test_a_policy_is_told_once_that_what_it_selects_is_claimed(world: World) -> None:
    world.api.seed(template(kind=SERVICE, labels={wk.CLAIMED_BY: wk.CLAIMED_BY_MCS}))
    world.api.seed(policy(selects=[selector(kind=SERVICE)]))
    world.api.seed(policy("others", selects=[selector(kind=DEPLOYMENT)]))
    await world.settle()
    assert claims_told(world) == [(f"{NAMESPACE}/p", CLAIMED)]
    world.api.edit("Service", NAMESPACE, "web", {"metadata": {"annotations": {"a": "b"}}})
    await world.settle()
    assert claims_told(world) == []
    world.api.edit("Service", NAMESPACE, "web", {"metadata": {"labels": {wk.CLAIMED_BY: None}}})
    await world.settle()
    world.api.edit("Service", NAMESPACE, "web", {"metadata": {"labels": {wk.CLAIMED_BY: wk.CLAIMED_BY_MCS}}})
    await world.settle()
    assert claims_told(world) == [(f"{NAMESPACE}/p", CLAIMED)]


async def test_a_restart_tells_no_policy_of_a_claim_again(world: World) -> None:
    world.api.seed(template(kind=SERVICE, labels={wk.CLAIMED_BY: wk.CLAIMED_BY_MCS}))
    world.api.seed(policy(selects=[selector(kind=SERVICE)]))
    with at_priority(LOW):
        await world.settle()
    assert claims_told(world) == []


async def test_a_service_that_is_claimed_later_is_given_up_and_taken_again_after_its_release(world: World) -> None:
    world.api.seed(template(kind=SERVICE), policy(selects=[selector(kind=SERVICE)]))
    await world.settle()
    assert carries(world.binding("web-service"))
    gone = {wk.POLICY_PERMANENT_ID: None, wk.CLAIMED_BY: wk.CLAIMED_BY_MCS}
    no_annotations = {wk.POLICY_NAMESPACE: None, wk.POLICY_NAME: None}
    world.take_writes()
    world.api.edit("Service", NAMESPACE, "web", {"metadata": {"labels": gone, "annotations": no_annotations}})
    before = world.find("Service", "web")
    await world.settle()
    assert world.take_writes() == [f"patch resourcebindings/{NAMESPACE}/web-service"]
    assert world.find("Service", "web") == before
    assert not carries(world.binding("web-service"))
    world.api.edit("Service", NAMESPACE, "web", {"metadata": {"labels": {wk.CLAIMED_BY: None}}})
    await world.settle()
    assert carries(world.find("Service", "web"))
    assert carries(world.binding("web-service"))


async def test_a_claim_made_meanwhile_is_not_overwritten(world: World) -> None:
    """The cache does not know of it yet; the resourceVersion in the patch does."""
    world.api.seed(template(kind=SERVICE), policy(selects=[selector(kind=SERVICE)]))
    assert await world.reconciler.reconcile(POLICY) == Result()
    assert world.templates.get(SERVICE) is not None
    world.api.hold_watches()
    world.api.edit("Service", NAMESPACE, "web", {"metadata": {"labels": {wk.CLAIMED_BY: wk.CLAIMED_BY_MCS}}})
    before = world.find("Service", "web")
    with pytest.raises(Conflict):
        await world.detector.reconcile(TemplateRequest(SERVICE, NAMESPACE, "web"))
    assert world.find("Service", "web") == before
    assert world.events() == []


async def test_what_goes_wrong_is_told_once_and_what_ends_it_too(world: World) -> None:
    world.api.seed(template(), policy())
    await world.reconciler.reconcile(POLICY)
    world.api.fail(Forbidden(403, "Forbidden", "not allowed"), "create", kind="ResourceBinding", times=2)
    for _ in range(2):
        with pytest.raises(Forbidden):
            await world.detector.reconcile(WEB)
    await world.settle()
    assert [(reason, message) for _, reason, message in world.events()] == [
        ("ApplyPolicyFailed", "Apply policy(default/p) failed: 403 Forbidden: not allowed"),
        ("ApplyPolicySucceed", "Apply policy(default/p) succeed"),
    ]


async def test_a_binding_that_something_else_controls_is_waited_for(world: World) -> None:
    world.api.seed(template(), policy())
    await world.settle()
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "gone", "controller": True}
    world.api.edit("ResourceBinding", NAMESPACE, "web-deployment", {"metadata": {"ownerReferences": [owner]}})
    world.events()
    await world.settle()
    await world.detector.reconcile(WEB)
    (event,) = world.events()
    assert event[1] == "ApplyPolicyFailed"
    world.api.edit("ResourceBinding", NAMESPACE, "web-deployment", {"metadata": {"finalizers": []}})
    world.api.remove("ResourceBinding", NAMESPACE, "web-deployment")
    await world.settle()
    assert (world.binding() or {})["metadata"]["ownerReferences"][0]["uid"] == "uid-of-web"


async def test_a_kind_that_is_not_there_is_told_and_looked_for_again(world: World) -> None:
    world.templates.problems[DEPLOYMENT] = "the control plane serves no apps/v1 Deployment"
    world.api.seed(policy())
    for _ in range(2):
        assert (await world.reconciler.reconcile(POLICY)).requeue_after is not None
    assert [(reason, message) for _, reason, message in world.events()] == [
        ("ApplyPolicyFailed", "the control plane serves no apps/v1 Deployment")
    ]
    world.api.seed(template())
    world.templates.become_available(DEPLOYMENT)
    await world.settle()
    assert carries(world.binding())


async def test_a_policy_does_not_go_before_its_kinds_can_be_looked_through(world: World) -> None:
    world.api.seed(policy())
    await world.settle()
    world.templates.problems[DEPLOYMENT] = "apps/v1 Deployment cannot be listed: 403"
    world.api.remove("PropagationPolicy", NAMESPACE, "p")
    assert (await world.reconciler.reconcile(POLICY)).requeue_after is not None
    assert world.find("PropagationPolicy", "p")["metadata"]["finalizers"] == [wk.POLICY_FINALIZER]
    assert [reason for _, reason, _ in world.events()] == ["ApplyPolicyFailed"]
    world.templates.problems.clear()
    world.templates.absent.add(DEPLOYMENT)
    await world.reconciler.reconcile(POLICY)
    assert world.api.find("PropagationPolicy", NAMESPACE, "p") is None


async def test_a_policy_does_not_wait_for_the_garbage_of_a_template_that_is_gone(world: World) -> None:
    world.api.seed(template(), policy())
    await world.settle()
    world.api.remove("Deployment", NAMESPACE, "web")
    world.take_writes()
    await world.settle()
    assert world.take_writes() == []  # the garbage collector's
    world.api.remove("PropagationPolicy", NAMESPACE, "p")
    await world.settle()
    assert world.api.find("PropagationPolicy", NAMESPACE, "p") is None
    assert not carries(world.binding())


async def test_a_policy_does_not_wait_for_a_template_that_is_being_deleted_and_held_by_others(world: World) -> None:
    world.api.seed(template() | {"metadata": template()["metadata"] | {"finalizers": ["example.com/theirs"]}})
    world.api.seed(policy())
    await world.settle()
    world.api.remove("Deployment", NAMESPACE, "web")
    await world.settle()
    assert carries(world.find("Deployment", "web")), "its policy is there, so nothing is taken off"
    world.api.remove("PropagationPolicy", NAMESPACE, "p")
    await world.settle()
    assert world.api.find("PropagationPolicy", NAMESPACE, "p") is None
    assert not carries(world.find("Deployment", "web"))
    assert not carries(world.binding())
    assert world.find("Deployment", "web")["metadata"]["finalizers"] == ["example.com/theirs"]


async def test_a_foreign_finalizer_stays(world: World) -> None:
    world.api.seed(policy(finalizers=["other", wk.POLICY_FINALIZER]))
    await world.settle()
    world.api.remove("PropagationPolicy", NAMESPACE, "p")
    await world.settle()
    assert world.find("PropagationPolicy", "p")["metadata"]["finalizers"] == ["other"]
    await world.reconciler.reconcile(POLICY)
    await world.settle()


async def test_templates_of_other_namespaces_are_not_selected(world: World) -> None:
    world.api.seed(template(namespace="other"), policy(selects=[selector()]))
    await world.settle()
    assert world.take_writes() == []


async def test_bindings_whose_names_collide_are_told_apart(world: World) -> None:
    """`web-deployment` of another API group: its binding is not taken for the template's."""
    other = GroupVersionKind("other.io/v1", "Deployment")
    world.api.seed(
        {
            "apiVersion": wk.BINDING_API_VERSION,
            "kind": wk.BINDING_KIND,
            "metadata": {"name": "web-deployment", "namespace": NAMESPACE, **marks("gone")},
            "spec": {"resource": {"apiVersion": other.api_version, "kind": other.kind, "name": "web"}},
        }
    )
    world.templates.absent.add(other)
    before = world.binding()
    world.api.seed(template(), policy("q", selects=[selector("else")]))
    await world.settle()
    await world.detector.reconcile(WEB)
    assert world.binding() == before


# --- objects that every cluster has of its own ------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), [(SERVICE, "kubernetes"), (CONFIGMAP, "kube-root-ca.crt")])
async def test_a_policy_that_names_what_every_cluster_has_is_refused(
    world: World, kind: GroupVersionKind, name: str
) -> None:
    world.api.seed(template(name, kind=kind), template(), policy(selects=[selector(), selector(name, kind)]))
    await world.settle()
    await world.detector.reconcile(WEB)
    assert world.take_writes() == []
    message = (
        "The policy is refused, and nothing is done for it: spec.resourceSelectors[1]: "
        f"every cluster has a {kind.kind} default/{name} of its own, which is neither replaced nor shared"
    )
    assert world.events() == [("PropagationPolicy", "PolicyRefused", message)]


@pytest.mark.parametrize(("kind", "name"), [(SERVICE, "kubernetes"), (CONFIGMAP, "kube-root-ca.crt")])
async def test_a_policy_that_selects_a_whole_kind_leaves_out_what_every_cluster_has(
    world: World, kind: GroupVersionKind, name: str
) -> None:
    world.api.seed(template(name, kind=kind, **marks()), template("web", kind=kind))
    world.api.seed(policy(selects=[selector("", kind)], conflictResolution="Overwrite"))
    await world.settle()
    assert carries(world.find(kind.kind, "web"))
    assert not carries(world.find(kind.kind, name))
    assert len(world.api.all("ResourceBinding")) == 1


async def test_slices_of_what_every_cluster_has_belong_to_no_policy(world: World) -> None:
    kind = GroupVersionKind("discovery.k8s.io/v1", "EndpointSlice")
    world.api.seed(template("mine", kind=kind, labels={wk.SERVICE_NAME: "kubernetes"}))
    world.api.seed(policy(selects=[selector("mine", kind)]))
    await world.settle()
    assert world.take_writes() == []


# --- kinds that policies may select -----------------------------------------------------------------------------------


async def test_a_policy_that_selects_a_kind_that_it_may_not_is_refused(world: World) -> None:
    world.limits = PolicyLimits(frozenset({"Deployment.apps"}))
    world.start()
    world.api.seed(template(), template("web", kind=SERVICE))
    world.api.seed(policy(selects=[selector(), selector("", SERVICE)]))
    await world.settle()
    await world.detector.reconcile(WEB)
    assert world.take_writes() == []
    message = (
        "The policy is refused, and nothing is done for it: "
        "spec.resourceSelectors[1]: policies may not select Service here (--policy-kinds)"
    )
    assert world.events() == [("PropagationPolicy", "PolicyRefused", message)]
    assert world.templates.wanted["policy"] == {DEPLOYMENT}
    world.api.edit("PropagationPolicy", NAMESPACE, "p", {"spec": {"resourceSelectors": [selector()]}})
    await world.settle()
    assert carries(world.binding())


async def test_a_policy_whose_kind_is_not_allowed_any_more_keeps_what_it_had_until_it_goes(world: World) -> None:
    world.api.seed(template(), policy())
    await world.settle()
    before = world.binding()
    world.limits = PolicyLimits(frozenset({"Service"}))
    world.start()
    world.queued_policies.add(POLICY)
    await world.settle()
    world.api.edit("Deployment", NAMESPACE, "web", {"spec": {"replicas": 5}})
    world.queued_templates.add(WEB)
    await world.settle()
    assert world.binding() == before
    assert world.templates.wanted["policy"] == {DEPLOYMENT}
    world.api.remove("PropagationPolicy", NAMESPACE, "p")
    await world.settle()
    assert world.api.find("PropagationPolicy", NAMESPACE, "p") is None
    assert not carries(world.binding())
