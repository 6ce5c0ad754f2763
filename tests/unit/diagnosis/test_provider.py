"""Rules about providers: each finds what it is about, and nothing in a healthy world."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from mcs_controller.diagnosis import world as w
from mcs_controller.diagnosis.findings import Link, Severity
from mcs_controller.diagnosis.rules import RULES
from mcs_controller.diagnosis.verdict import diagnose
from tests.unit.diagnosis.test_declaration import WEB_DEPLOYMENT, deployment, patch_of, policy, refused
from tests.unit.diagnosis.worlds import ago, endpointslice, found, mcs, named, pod, service, the, thing, world

PROVIDER = [rule for rule in RULES.values() if rule.link is Link.PROVIDER]
HTTP = [{"name": "web", "ports": [{"name": "web", "containerPort": 8080}]}]


def provider(*, host: Any = None, **objects: Any) -> w.World:
    """A world whose provider member1 has these objects of a kind, by the kind's plural."""
    kinds = {kind.plural: kind for kind in vars(w).values() if isinstance(kind, w.Kind)}
    return world(host=host, members={"member1": {kinds[name]: found for name, found in objects.items()}})


@pytest.mark.parametrize(
    "observed",
    [
        world(),
        world(host={w.MULTICLUSTERSERVICES: [mcs()]}, members={"member2": {w.SLICES: [endpointslice(["10.2.0.5"])]}}),
        provider(services=[service(clusterIP="None")]),
        provider(services=[service(selector=None)], pods=[]),
        provider(pods=[pod(), pod("web-2", ready=False)]),
        provider(pods=[pod(containers=HTTP)], services=[service(ports=[{"port": 80, "targetPort": "web"}])]),
        provider(pods=[pod(containers=HTTP)], services=[service(ports=[{"port": 80, "targetPort": 8080}])]),
        provider(pods=[pod(containers=[*HTTP, {"name": "sidecar"}])]),
        provider(pods=[pod(ready=False)], services=[service(publishNotReadyAddresses=True)]),
        provider(pods=[pod(address="fd00::5")], endpointslices=[endpointslice(["fd00::5"])]),
        provider(networkpolicies=[thing("open", spec={"podSelector": {}, "ingress": [{}]})]),
        provider(networkpolicies=[thing("out", spec={"podSelector": {}, "policyTypes": ["Egress"]})]),
    ],
)
def test_nothing_is_found_in_a_healthy_world(observed: w.World):
    diagnosis = diagnose(observed, PROVIDER)
    assert not [one for one in diagnosis.findings if one.severity > Severity.INFO]
    assert diagnosis.checked == {rule.code for rule in PROVIDER}


@pytest.mark.parametrize("hostile", [None, 7, "text", [], ["text", None, 3], {}, {"a": {"b": 1}}])
def test_fields_of_any_type_end_no_rule(hostile: Any):
    odd = thing(labels={"app": "web"}, spec=hostile, status=hostile)
    ports = service(ports=hostile, selector={"app": hostile})
    kinds = ("pods", "deployments", "statefulsets", "networkpolicies", "endpointslices", "events", "daemonsets")
    diagnose(provider(**{kind: [odd, {"metadata": hostile}] for kind in kinds}, services=[service()]), PROVIDER)
    diagnose(provider(services=[ports], pods=[pod(), pod("b", containers=hostile)]), PROVIDER)
    quota = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]}
    odd = deployment(status=quota | {"replicas": hostile})
    diagnose(provider(deployments=[odd], pods=[], networkpolicies=[thing(spec={"ingress": hostile})]), PROVIDER)


def test_mcs050_creates_the_namespace():
    finding = the("MCS050", provider(namespaces=[]))
    assert finding.fix == "kubectl --context member1 create namespace shop"
    kept_out = named("shop", metadata={"labels": {"namespace.karmada.io/skip-auto-propagation": "true"}})
    assert not found("MCS050", provider(namespaces=[], host={w.NAMESPACES: [kept_out]})), "another code's"
    young = named("shop", metadata={"creationTimestamp": ago(5)})
    assert the("MCS050", provider(namespaces=[], host={w.NAMESPACES: [young]})).severity is Severity.IN_PROGRESS


def test_mcs051_names_the_work():
    finding = the("MCS051", provider(services=[]))
    assert "-n karmada-es-member1 describe works" in finding.fix
    assert finding.symptom
    assert not found("MCS051", provider(services=[], namespaces=[]))


@pytest.mark.parametrize(
    ("selector", "patch"),
    [
        ({"app": "wbe"}, {"app": "web"}),
        ({"apps": "web"}, {"apps": None, "app": "web"}),
        ({"app": "web", "tier": "fornt"}, {"tier": "front"}),
    ],
)
def test_mcs052_takes_the_labels_of_the_nearest_pod(selector: dict[str, str], patch: dict[str, Any]):
    pods = [pod(labels={"app": "db"}), pod("web-7", labels={"app": "web", "tier": "front", "pod-template-hash": "1"})]
    wrong = service(selector=selector)
    finding = the("MCS052", provider(services=[wrong], pods=pods, host={w.SERVICES: [wrong]}))
    assert patch_of(finding.fix) == {"spec": {"selector": patch}}
    assert "--context karmada" in finding.fix, "the copy follows the control plane's"
    assert "web-7" in finding.problem


def test_mcs052_is_in_progress_while_the_copy_lags():
    changed = service()
    changed["metadata"]["managedFields"] = [{"time": ago(2)}]
    observed = provider(services=[service(selector={"app": "wbe"})], host={w.SERVICES: [changed]})
    assert the("MCS052", observed).severity is Severity.IN_PROGRESS


def test_mcs052_leaves_a_selector_that_suits_another_provider():
    members: dict[str, Any] = {"member2": {w.SLICES: [endpointslice()], w.PODS: [pod(labels={"app": "webb"})]}}
    finding = the("MCS052", world(host={w.MULTICLUSTERSERVICES: [mcs()]}, members=members))
    assert finding.severity is Severity.INFO
    assert finding.fix == "kubectl --context member2 -n shop get pods --show-labels"


def test_mcs053_scales_up_what_is_scaled_to_zero():
    idle = deployment()
    idle["spec"]["replicas"] = 0
    finding = the("MCS053", provider(pods=[], deployments=[idle]))
    assert finding.fix == "kubectl --context member1 -n shop scale deployment/web --replicas=1"
    assert the("MCS053", provider(pods=[], deployments=[deployment()])).severity is Severity.ERROR
    new = deployment(metadata={"creationTimestamp": ago(5)})
    assert the("MCS053", provider(pods=[], deployments=[new])).severity is Severity.IN_PROGRESS


def test_mcs053_is_no_error_if_others_serve():
    serving: dict[str, Any] = {"member1": {w.PODS: []}, "member2": {w.SLICES: [endpointslice()], w.PODS: [pod()]}}
    assert the("MCS053", world(host={w.MULTICLUSTERSERVICES: [mcs()]}, members=serving)).severity is Severity.INFO
    both = mcs(["member1", "member2"], ["member2"])
    serving["member1"] |= {w.SLICES: []}
    finding = the("MCS053", world(host={w.MULTICLUSTERSERVICES: [both]}, members=serving))
    assert finding.severity is Severity.WARNING


def test_mcs053_brings_the_control_plane_s_workload():
    finding = the("MCS053", provider(pods=[], host={w.DEPLOYMENTS: [deployment()]}))
    manifest = json.loads(shlex.split(finding.fix)[1])
    assert manifest["spec"]["placement"]["clusterAffinity"]["clusterNames"] == ["member1"]
    placed = deployment(labels={"propagationpolicy.karmada.io/permanent-id": "1"})
    assert "describe" in the("MCS053", provider(pods=[], host={w.DEPLOYMENTS: [placed]})).fix
    assert "get deployments,statefulsets,pods" in the("MCS053", provider(pods=[])).fix


def test_mcs053_is_a_consequence_of_a_refused_policy():
    host = {w.POLICIES: [policy(WEB_DEPLOYMENT)], w.DEPLOYMENTS: [deployment()], w.EVENTS: [refused(60)]}
    diagnosis = diagnose(provider(pods=[], host=host), [RULES["MCS039"], RULES["MCS053"]])
    assert [one.code for one in diagnosis.findings] == ["MCS039"]
    assert [one.code for one in diagnosis.hidden] == ["MCS053"]


def waiting(reason: str) -> dict[str, Any]:
    return {"containerStatuses": [{"state": {"waiting": {"reason": reason, "message": "no such image"}}}]}


def test_mcs054_gives_the_reasons():
    finding = the("MCS054", provider(pods=[pod(ready=False)]))
    assert finding.severity is Severity.ERROR
    assert finding.fix == "kubectl --context member1 -n shop describe pod web-1"
    young = {"creationTimestamp": ago(5)}
    assert the("MCS054", provider(pods=[pod(ready=False, metadata=young)])).severity is Severity.IN_PROGRESS
    stuck = pod(ready=False, metadata=young, status=waiting("ImagePullBackOff"))
    finding = the("MCS054", provider(pods=[stuck]))
    assert (finding.severity, finding.evidence) == (Severity.ERROR, "web-1: ImagePullBackOff: no such image")
    crashing = pod(ready=False, status=waiting("CrashLoopBackOff"))
    assert "logs --previous web-1" in the("MCS054", provider(pods=[crashing])).fix


def test_mcs054_undoes_a_rollout_that_cannot_start():
    stuck = pod(ready=False, status=waiting("ErrImagePull"))
    rolled = deployment(metadata={"annotations": {"deployment.kubernetes.io/revision": "2"}})
    finding = the("MCS054", provider(pods=[stuck], deployments=[rolled]))
    assert finding.fix == "kubectl --context member1 -n shop rollout undo deployment/web"


@pytest.mark.parametrize(("target", "choice"), [(9999, 8080), ("http", 8080), (None, 8080)])
def test_mcs055_takes_the_port_that_the_pods_have(target: Any, choice: int):
    wrong = service(ports=[{"name": "other", "port": 70}, {"name": "http", "port": 80, "targetPort": target}])
    _, finding = found("MCS055", provider(services=[wrong], pods=[pod(containers=HTTP)], host={w.SERVICES: [wrong]}))
    assert patch_of(finding.fix) == [{"op": "add", "path": "/spec/ports/1/targetPort", "value": choice}]


def test_mcs055_one_number_of_several_may_be_listened_to_without_being_declared():
    both = service(ports=[{"name": "http", "port": 8080}, {"name": "admin", "port": 9999}])
    assert the("MCS055", provider(services=[both], pods=[pod(containers=HTTP)])).severity is Severity.INFO
    both["spec"]["ports"][1]["targetPort"] = "admin"
    assert the("MCS055", provider(services=[both], pods=[pod(containers=HTTP)])).severity is Severity.ERROR


def test_mcs055_a_name_has_to_be_declared():
    wrong = service(ports=[{"port": 80, "targetPort": "htp"}])
    finding = the("MCS055", provider(services=[wrong], host={w.SERVICES: [wrong]}))
    assert finding.fix.endswith("describe pods -l app=web")


def test_mcs056_lets_the_consumers_in():
    selectors = thing("inside", spec={"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]})
    finding = the("MCS056", provider(networkpolicies=[selectors]))
    manifest = json.loads(shlex.split(finding.fix)[1])
    assert manifest["spec"]["ingress"] == [{"from": [{"ipBlock": {"cidr": "10.2.0.0/16"}}]}]
    assert (finding.severity, finding.clusters) == (Severity.ERROR, frozenset({"member1", "member2"}))
    assert not found("MCS056", provider(networkpolicies=[selectors, thing("from", spec=manifest["spec"])]))
    cilium = [thing("cilium")]
    assert the("MCS056", provider(networkpolicies=[selectors], daemonsets=cilium)).severity is Severity.WARNING


@pytest.mark.parametrize(
    ("ingress", "code"),
    [
        ({"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}, None),
        ({"from": [{"ipBlock": {"cidr": "10.2.0.0/24"}}]}, None),
        ({"from": [{"ipBlock": {"cidr": "10.9.0.0/16"}}]}, Severity.WARNING),
        ({"ports": [{"port": 80}]}, None),
        ({"ports": [{"port": 1, "endPort": 100}]}, None),
        ({"ports": [{"port": "http"}]}, None),
        ({"ports": [{"port": 443}]}, Severity.ERROR),
    ],
)
def test_mcs056_reads_the_rules(ingress: dict[str, Any], code: Severity | None):
    policies = [thing("some", spec={"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [ingress]})]
    findings = found("MCS056", provider(networkpolicies=policies))
    assert [one.severity for one in findings] == ([code] if code is not None else [])


def test_mcs056_believes_a_probe():
    observed = provider(networkpolicies=[thing("none", spec={"podSelector": {}})])
    assert found("MCS056", observed)
    observed.members["member2"].probes = [w.ProbeResult(step="endpoint", target="10.1.0.5:80", ok=True)]
    assert not found("MCS056", observed)


def test_mcs057_ready_pods_that_no_slice_has():
    assert the("MCS057", provider(endpointslices=[])).severity is Severity.ERROR
    just_now = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ago(1)}]}
    assert the("MCS057", provider(endpointslices=[], pods=[pod(status=just_now)])).severity is Severity.IN_PROGRESS


def test_mcs057_gives_a_service_a_selector():
    bare = {"services": [service(selector=None)], "endpointslices": []}
    finding = the("MCS057", provider(**bare, host={w.SERVICES: bare["services"]}))
    assert patch_of(finding.fix) == {"spec": {"selector": {"app": "web"}}}
    assert the("MCS057", provider(**bare, pods=[])).fix.endswith("-o wide --show-labels")


def test_mcs058_of_containers_and_of_slices():
    udp = service(ports=[{"port": 8080, "protocol": "UDP"}])
    observed = provider(services=[udp], pods=[pod(containers=HTTP)], host={w.SERVICES: [udp]})
    assert patch_of(the("MCS058", observed).fix) == [{"op": "add", "path": "/spec/ports/0/protocol", "value": "TCP"}]
    assert not found("MCS055", observed)
    by_hand = endpointslice(ports=[{"name": "http", "port": 80, "protocol": "UDP"}])
    observed = provider(services=[service(selector=None)], endpointslices=[by_hand])
    assert patch_of(the("MCS058", observed).fix) == [{"op": "add", "path": "/ports/0/protocol", "value": "TCP"}]


def exceeded(used: str) -> str:
    return f'pods "web-1" is forbidden: exceeded quota: few, requested: {used}, used: {used}, limited: {used}'


def test_mcs059_raises_the_quota_by_what_is_missing():
    failed = [{"type": "ReplicaFailure", "status": "True", "message": exceeded("pods=3")}]
    starved = deployment(status={"conditions": failed, "replicas": 0})
    starved["spec"]["replicas"] = 2
    observed = provider(deployments=[starved], pods=[])
    assert patch_of(the("MCS059", observed).fix) == {"spec": {"hard": {"pods": "9"}}}
    assert not found("MCS053", observed), "it is said once"
    failed[0]["message"] = exceeded("requests.cpu=500m,pods=1")
    assert " describe resourcequotas few" in the("MCS059", provider(deployments=[starved], pods=[])).fix


def test_mcs059_of_a_statefulset_by_its_events():
    starved = deployment(status={"replicas": 0})
    event = thing("web.1", message=exceeded("pods=0"), involvedObject={"uid": "uid-web"})
    assert the("MCS059", provider(statefulsets=[starved], pods=[], events=[event])).severity is Severity.ERROR
    assert the("MCS059", provider(statefulsets=[starved], events=[event])).severity is Severity.WARNING
