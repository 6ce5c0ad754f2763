"""Rules about the installation and the members: what each finds, what it leaves alone, and what it does not claim."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from mcs_controller.controllers import SERVICE_CONTROLLERS
from mcs_controller.diagnosis import world as w
from mcs_controller.diagnosis.findings import Link, Severity
from mcs_controller.diagnosis.rules import RULES, installation
from mcs_controller.diagnosis.rules.leases import runs_standalone
from mcs_controller.diagnosis.verdict import diagnose
from mcs_controller.domain import well_known as wk
from mcs_controller.mcsctl.observe import MEMBER_RIGHTS
from mcs_controller.mcsctl.rights import CONTROLLER_RIGHTS, STANDALONE_RIGHTS
from tests.unit.diagnosis.worlds import NOW, OLD, ago, found, mcs, named, the, world

SYSTEM = "karmada-system"
MANIFESTS = Path(__file__).parents[3] / "manifests"
OURS, KARMADAS = "mcs-controller-manager", "karmada-controller-manager"
ANSWERS = w.Login()
GUARDED = {"finalizers": ["karmada.io/execution-controller", "example.com/guard"]}
RELEASES = """'[{"op": "test", "path": "/metadata/finalizers/1", "value": "example.com/guard"}, """
FINALIZER = {"finalizers": ["karmada.io/multiclusterservice-controller"]}


def lease(name: str = OURS, *, renewed: float = 2, namespace: str = SYSTEM, **spec: Any) -> dict[str, Any]:
    """One that is held."""
    fields = {"holderIdentity": "pod_1", "leaseDurationSeconds": 15, "renewTime": ago(renewed), "acquireTime": ago(600)}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": fields | spec}


def cluster(name: str, *, ready: str = "True", **spec: Any) -> dict[str, Any]:
    """A Push cluster that is ready."""
    fields = {"syncMode": "Push", "apiEndpoint": f"https://{name}:6443"}
    ref = {"secretRef": {"namespace": "karmada-cluster", "name": name}}
    status = {"conditions": [{"type": "Ready", "status": ready, "reason": "R", "message": "said"}]}
    return named(name, spec=fields | ref | spec, status=status)


def secret(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "karmada-cluster"}, "data": {"token": "", "caBundle": ""}}


@cache
def _definitions() -> list[dict[str, Any]]:
    files = [*(MANIFESTS / "crds").glob("*.yaml"), MANIFESTS / "standalone" / "clusters.cluster.karmada.io.yaml"]
    return [yaml.safe_load(file.read_text()) for file in files]


def definitions() -> list[dict[str, Any]]:
    """Those of the manifests, for a test to change."""
    return deepcopy(_definitions())


def served() -> dict[str, Any]:
    return mcs(["member1"], ["member2"]) | {"metadata": mcs()["metadata"] | FINALIZER}


def fleet(
    host: dict[w.Kind, Any] | None = None,
    members: dict[str, dict[w.Kind, Any]] | None = None,
    login: w.Login | None = ANSWERS,
    denied: tuple[str, ...] | None = (),
) -> w.World:
    """A healthy fleet but for what is given; the login is that to member1."""
    objects: dict[w.Kind, Any] = {
        w.CLUSTERS: [cluster("member1"), cluster("member2")],
        w.MULTICLUSTERSERVICES: [served()],
        w.LEASES: [lease()],
        w.CRDS: definitions(),
        w.SECRETS: [secret("member1"), secret("member2")],
        w.NAMESPACES: [named("shop"), named("karmada-es-member1"), named("karmada-es-member2")],
    }
    kinds = {kind.group_resource: frozenset({kind.api_version.rpartition("/")[2]}) for kind in (*objects, w.WORKS)}
    kinds[w.BINDINGS.group_resource] = frozenset({"v1alpha2"})
    ranges = {
        name: {w.SERVICECIDRS: [named("kubernetes", spec={"cidrs": [f"10.9{name[-1]}.0.0/16"]})]}
        for name in ("member1", "member2")
    }
    made = world(
        host=objects | (host or {}),
        members={name: found | (members or {}).get(name, {}) for name, found in ranges.items()},
        kinds=kinds,
    )
    made.host.denied = denied
    for name, snapshot in made.members.items():
        snapshot.version = "v1.37.2"
        snapshot.login = login if name == "member1" else w.Login()
    return made


RULES_HERE = [one for one in RULES.values() if one.link in (Link.INSTALLATION, Link.CLUSTERS)]


def codes(observed: w.World) -> list[str]:
    return [one.code for one in diagnose(observed, RULES_HERE).findings if one.severity > Severity.INFO]


def errors(observed: w.World) -> list[str]:
    findings = diagnose(observed, RULES_HERE).findings
    return [one.code for one in findings if one.severity is Severity.ERROR]


@pytest.mark.parametrize("service", [("shop", "web"), None])
def test_a_healthy_fleet_has_no_findings(service: tuple[str, str] | None):
    assert codes(replace(fleet(), service=service)) == []


def test_a_fleet_of_karmadas_own_is_healthy_without_our_lease_and_rights():
    others = [one for one in definitions() if one["spec"]["group"] != "cluster.karmada.io"]
    healthy = fleet({w.LEASES: [lease(KARMADAS)], w.CRDS: others}, denied=("list services",))
    assert codes(healthy) == []


def test_a_healthy_fleet_beside_karmada_has_both_leases():
    earlier = {"managedFields": [{"manager": KARMADAS, "time": ago(3600)}, {"manager": OURS, "time": ago(60)}]}
    mine = served() | {"metadata": served()["metadata"] | earlier}
    assert codes(fleet({w.LEASES: [lease(), lease(KARMADAS)], w.MULTICLUSTERSERVICES: [mine]})) == []


# --- installation ----------------------------------------------------------------------------------------------------


def test_a_definition_without_a_field_that_is_written():
    old = definitions()
    schema = next(one for one in old if one["metadata"]["name"].startswith("works"))["spec"]["versions"][0]["schema"]
    del schema["openAPIV3Schema"]["properties"]["spec"]["properties"]["suspendDispatching"]
    finding = the("MCS003", fleet({w.CRDS: old}))
    assert "spec.suspendDispatching" in finding.evidence
    assert "apply" in finding.fix
    for one in old:
        one["metadata"].pop("labels")
    assert "get deployments" in the("MCS003", fleet({w.CRDS: old})).fix


def test_nobody_has_ever_led():
    assert codes(fleet({w.LEASES: []})) == ["MCS004"]


@pytest.mark.parametrize(
    ("one", "severity"),
    [
        (lease(renewed=60), Severity.ERROR),
        (lease(renewed=20), Severity.IN_PROGRESS),
        (lease(renewed=5, holderIdentity=""), Severity.IN_PROGRESS),
        (lease(renewed=60, holderIdentity=""), Severity.ERROR),
        (lease(renewTime=None), Severity.ERROR),
        (lease(leaseDurationSeconds="much", renewed=60), Severity.ERROR),
    ],
)
def test_a_lease_that_nobody_renews_is_a_fail_over_first(one: dict[str, Any], severity: Severity):
    finding = the("MCS005", fleet({w.LEASES: [one, lease(KARMADAS)]}))
    assert finding.severity is severity
    assert "rollout restart deployment mcs-controller-manager" in finding.fix


def test_a_deployment_without_replicas_is_scaled():
    deployment = {"metadata": {"name": OURS, "namespace": SYSTEM}, "spec": {"replicas": 0}}
    assert "--replicas=2" in the("MCS005", fleet({w.LEASES: [lease(renewed=99)], w.DEPLOYMENTS: [deployment]})).fix


def deployment(*flags: str) -> dict[str, Any]:
    containers = [{"name": OURS, "command": [OURS, *flags]}]
    spec = {"replicas": 2, "template": {"spec": {"containers": containers}}}
    return {"metadata": {"name": OURS, "namespace": SYSTEM}, "spec": spec, "status": {"readyReplicas": 2}}


@pytest.mark.parametrize(
    ("flags", "off"),
    [
        ((), True),
        (("--feature-gates=MultiClusterService=true",), False),
        (("--feature-gates=Other=true,MultiClusterService=true",), False),
        (("--feature-gates=MultiClusterService=true", "--feature-gates=MultiClusterService=false"), True),
    ],
)
def test_the_gate_is_read_from_the_deployment(flags: tuple[str, ...], off: bool):
    assert errors(fleet({w.DEPLOYMENTS: [deployment(*flags)]})) == (["MCS006"] if off else [])


def told(leader: str = "pod_1", *, gate: str = "true", controllers: str = "", name: str = OURS) -> dict[str, Any]:
    """A Lease whose holder is pod_1, with what somebody says of itself."""
    marks = {wk.LEADER: leader, wk.LEADER_GATES: f"MultiClusterService={gate},Other=true"}
    marks |= {wk.LEADER_CONTROLLERS: controllers or ",".join(SERVICE_CONTROLLERS)}
    held = lease(name)
    return held | {"metadata": held["metadata"] | {"annotations": marks}}


@pytest.mark.parametrize(
    ("one", "flags", "off"),
    [
        (told(gate="false"), None, True),
        (told(gate="false"), ("--feature-gates=MultiClusterService=true",), True),
        (told(), (), False),
        (told("pod_0", gate="false"), None, False),
        (told("pod_0"), (), True),
        (told() | {"spec": {"renewTime": ago(1)}}, (), False),
    ],
)
def test_the_leader_itself_tells_of_its_gates(one: dict[str, Any], flags: tuple[str, ...] | None, off: bool):
    deployments = [deployment(*flags)] if flags is not None else []
    observed = fleet({w.LEASES: [one], w.DEPLOYMENTS: deployments})
    assert ("MCS006" in errors(observed)) is off


def test_a_leader_that_has_the_gate_is_not_suspected_for_a_service_that_waits():
    plain = mcs(["member1"], ["member2"])
    assert errors(fleet({w.MULTICLUSTERSERVICES: [plain], w.LEASES: [told()]})) == []


def test_controllers_that_are_switched_off():
    some = told(controllers="endpointsliceCollect,multiclusterservice,serviceExport")
    finding = the("MCS029", fleet({w.LEASES: [some]}))
    assert "does not run endpointsliceDispatch:" in finding.problem
    wanted = "--controllers=endpointsliceCollect,endpointsliceDispatch,multiclusterservice,serviceExport"
    assert wanted in finding.fix
    other = told(controllers="endpointsliceDispatch", name="the-other")
    assert codes(fleet({w.LEASES: [some, other]})) == []
    assert codes(fleet({w.LEASES: [told("pod_0", controllers="serviceExport")]})) == []


def test_stale_caches_of_the_leader_are_named_by_cluster():
    def saying(stale: str, leader: str = "pod_1") -> w.World:
        one = told(leader)
        one["metadata"]["annotations"][wk.LEADER_STALE] = stale
        return fleet({w.LEASES: [one]})

    odd = f"nonsense,=3,member2/x=y,member2/x={'9' * 5000}"
    observed = saying(f"/works.v1alpha1.work.karmada.io=16,member1/services.v1=17,member1/namespaces.v1=40,{odd}")
    ours, members = diagnose(observed, [RULES["MCS047"]]).findings
    assert "the control plane was not confirmed for 16 s" in ours.problem
    assert "member1 was not confirmed for 40 s" in members.problem
    assert members.evidence == "namespaces.v1: 40 s, services.v1: 17 s"
    assert "describe cluster member1" in members.fix
    assert errors(observed) == []
    assert codes(saying("")) == codes(saying("member1/services.v1=17", leader="pod_0")) == []
    (hostile,) = diagnose(saying("$(reboot)/services.v1=17"), [RULES["MCS047"]]).findings
    assert hostile.fix.endswith("describe cluster '$(reboot)'"), "it is pasted into a shell"


def test_the_controllers_that_serve_are_those_of_the_flag():
    assert installation._SERVING == SERVICE_CONTROLLERS


def test_a_controller_without_election_needs_no_lease():
    flags = ("--leader-elect=false", "--feature-gates=MultiClusterService=true")
    assert codes(fleet({w.LEASES: [], w.DEPLOYMENTS: [deployment(*flags)]})) == []


@pytest.mark.parametrize(("age", "off"), [(5, False), (60, True)])
def test_a_service_that_stays_without_finalizer_is_proof_of_the_gate(age: float, off: bool):
    plain = mcs(["member1"], ["member2"])
    plain = plain | {"metadata": plain["metadata"] | {"creationTimestamp": ago(age)}}
    assert errors(fleet({w.MULTICLUSTERSERVICES: [plain]})) == (["MCS006"] if off else [])
    assert errors(fleet({w.MULTICLUSTERSERVICES: [plain], w.LEASES: [lease(renewed=99)]})) == ["MCS005"]


def test_what_no_controller_would_serve_is_no_proof_of_the_gate():
    other, reserved = mcs(types=["LoadBalancer"]), mcs(["member1"], ["member2"])
    reserved = reserved | {"metadata": reserved["metadata"] | {"namespace": "default", "name": "kubernetes"}}
    for one in (other, reserved):
        assert "MCS006" not in codes(fleet({w.MULTICLUSTERSERVICES: [one]}))


def test_two_controllers_write_one_service():
    fields = {"managedFields": [{"manager": KARMADAS, "time": ago(60)}, {"manager": OURS, "time": ago(50)}]}
    mine = served() | {"metadata": served()["metadata"] | fields}
    both = fleet({w.LEASES: [lease(), lease(KARMADAS)], w.MULTICLUSTERSERVICES: [mine]})
    assert errors(both) == ["MCS007"]
    assert "MultiClusterService=false" in the("MCS007", both).fix
    gone = fleet({w.LEASES: [lease(), lease(KARMADAS, renewed=99)], w.MULTICLUSTERSERVICES: [mine]})
    assert errors(gone) == []


def test_clocks_that_differ_are_a_warning():
    assert the("MCS008", fleet({w.LEASES: [lease(renewed=-120)]})).severity is Severity.WARNING
    assert "-45 s" in the("MCS008", fleet(login=w.Login(skew_seconds=-45.0))).problem
    assert codes(fleet(login=w.Login(skew_seconds=20.0))) == []


def test_rights_of_the_controller():
    finding = the("MCS009", fleet(denied=("patch works.work.karmada.io", "get secrets in namespace karmada-cluster")))
    assert "lacks 1 rights" in finding.problem
    assert {one.severity for one in found("MCS009", fleet(denied=None))} == {Severity.UNKNOWN}


@pytest.mark.parametrize(
    ("one", "standalone"),
    [
        (lease(), True),  # by the definition of Clusters
        (told(), False),
        (told(controllers="endpointsliceDispatch,execution,cluster"), True),
        (told("pod_0"), True),  # of an earlier leader
    ],
    ids=["says nothing", "beside Karmada", "stand-alone", "said by another"],
)
def test_the_roles_of_a_controller_are_those_of_what_it_says_it_does(one: dict[str, Any], standalone: bool):
    observed = fleet({w.LEASES: [one]}, denied=("patch works.work.karmada.io",))
    assert runs_standalone(observed.host) is standalone
    assert ("manifests/standalone" in the("MCS009", observed).fix) is standalone


def rights_in(*folders: str) -> set[w.Right]:
    """All that the roles in these folders give, whatever the namespace."""
    roles = [
        one
        for folder in folders
        for file in (MANIFESTS / folder).glob("*.yaml")
        for one in yaml.safe_load_all(file.read_text())
        if one and one["kind"] in ("Role", "ClusterRole")
    ]
    return {
        w.Right(verb, resource, group)
        for role in roles
        for rule in role["rules"]
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
        for verb in rule["verbs"]
    }


def test_the_rights_that_are_asked_for_are_those_of_the_manifests():
    controller = {right._replace(namespace="") for right in CONTROLLER_RIGHTS}
    imports = {right for right in rights_in("controller") if right.resource in ("serviceimports", "secrets")}
    assert controller == rights_in("controller") - imports
    assert set(STANDALONE_RIGHTS) <= rights_in("standalone")
    assert set(MEMBER_RIGHTS) <= rights_in("member")


# --- members ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        cluster("member1", apiEndpoint=""),
        cluster("member1", apiEndpoint="member1:6443"),
        cluster("member1", secretRef=None),
        cluster("member1", secretRef="text"),
        cluster("member1", apiEndpoint=["a"]),
    ],
)
def test_a_cluster_that_does_not_say_how_it_is_reached(broken: dict[str, Any]):
    clusters = [broken, cluster("member2")]
    invalid = w.Login(status=0, error="spec.secretRef is not set", invalid=True)
    observed = fleet({w.CLUSTERS: clusters}, login=invalid)
    assert errors(observed) == ["MCS010"]
    unread = replace(observed, members={name: one for name, one in observed.members.items() if name == "member2"})
    assert errors(unread) == ["MCS010"]


def test_a_cluster_that_is_not_ready_is_a_consequence():
    clusters = [cluster("member1", ready="False"), cluster("member2")]
    assert "said" in the("MCS011", fleet({w.CLUSTERS: clusters})).evidence
    refused = fleet({w.CLUSTERS: clusters}, login=w.Login(status=401))
    assert errors(refused) == ["MCS015"]
    new = cluster("member1") | {"status": {}}
    new["metadata"] |= {"creationTimestamp": ago(5)}
    assert the("MCS011", fleet({w.CLUSTERS: [new, cluster("member2")]})).severity is Severity.IN_PROGRESS


@pytest.mark.parametrize(
    ("login", "code"),
    [
        (w.Login(status=0, error="Secret karmada-cluster/member1 has no token", invalid=True), "MCS013"),
        (w.Login(status=401), "MCS015"),
        (w.Login(status=401, token_expires=NOW + timedelta(days=90)), "MCS015"),
        (w.Login(status=401, token_expires=NOW - timedelta(days=1)), "MCS016"),
        (w.Login(status=0, untrusted=True, error="certificate verify failed: unable to get issuer"), "MCS017"),
        (w.Login(status=0, untrusted=True, error="certificate verify failed: certificate has expired"), "MCS019"),
        (w.Login(denied=("watch endpointslices.discovery.k8s.io",)), "MCS022"),
    ],
)
def test_each_failure_of_a_login_has_one_code(login: w.Login, code: str):
    assert errors(fleet(login=login)) == [code]
    assert the(code, fleet(login=login)).clusters == {"member1"}


def test_what_expires_within_a_week_is_a_warning():
    soon, late = NOW + timedelta(days=6), NOW + timedelta(days=8)
    assert the("MCS016", fleet(login=w.Login(token_expires=soon))).severity is Severity.WARNING
    assert the("MCS019", fleet(login=w.Login(certificate_expires=soon))).severity is Severity.WARNING
    assert codes(fleet(login=w.Login(token_expires=late, certificate_expires=late))) == []


def test_a_secret_that_is_missing_or_may_not_be_read():
    missing = w.Login(status=0, error="Secret karmada-cluster/member1 not found", invalid=True)
    assert errors(fleet({w.SECRETS: [secret("member2")]}, login=missing)) == ["MCS012"]
    clusters = [cluster("member1", secretRef={"namespace": "else where", "name": "x"}), cluster("member2")]
    away = {"metadata": {"name": "x", "namespace": "else where"}, "data": {}}
    objects = {w.CLUSTERS: clusters, w.SECRETS: [away, secret("member2")]}
    finding = the("MCS014", fleet(objects, denied=("get secrets in namespace else where",)))
    assert '"RoleBinding"' in finding.fix
    assert {one.severity for one in found("MCS014", fleet(denied=None))} == {Severity.UNKNOWN}


def test_an_endpoint_that_the_kubeconfig_knows_better():
    other = w.Login(status=0, error="refused", other_endpoint="https://right:6443")
    down = {w.CLUSTERS: [cluster("member1", ready="False"), cluster("member2")]}
    assert errors(fleet(down, login=other)) == ["MCS018"]
    assert "https://right:6443" in the("MCS018", fleet(down, login=other)).fix
    assert "kept on purpose" in the("MCS018", fleet(down, login=other)).problem


def test_a_member_that_the_controller_reaches_may_be_out_of_reach_of_this_machine_alone():
    observed = fleet(login=w.Login(status=0, error="timed out", other_endpoint="https://here:6443"))
    finding = the("MCS018", observed)
    assert finding.severity is Severity.UNKNOWN
    assert " patch " not in finding.fix
    assert errors(observed) == []


def pull(**leases: float) -> w.World:
    """member1 is a Pull cluster; `ours` and `karmadas` are the ages of agents' Leases."""
    clusters = [named("member1", spec={"syncMode": "Pull"}, status=cluster("member1")["status"]), cluster("member2")]
    agents = [lease()]
    if "ours" in leases:
        agents.append(lease(w.AGENT_LEASE, renewed=leases["ours"], namespace="karmada-es-member1"))
    if "karmadas" in leases:
        agents.append(lease("member1", renewed=leases["karmadas"], namespace="karmada-cluster"))
    return fleet({w.CLUSTERS: clusters, w.LEASES: agents}, login=None)


def test_agents_of_pull_clusters():
    assert codes(pull()) == ["MCS020"]
    assert "overlays/standalone/agent/member" in the("MCS020", pull()).fix
    assert codes(pull(ours=1)) == []
    assert codes(pull(karmadas=1)) == []
    assert codes(pull(ours=999, karmadas=1)) == []
    assert codes(pull(ours=999)) == ["MCS021"]
    assert the("MCS021", pull(ours=18)).severity is Severity.IN_PROGRESS


@pytest.mark.parametrize(
    ("denied", "name", "code"),
    [
        ("create endpointslices.discovery.k8s.io", "member1", ""),
        ("list endpointslices.discovery.k8s.io", "member1", "MCS022"),
        ("create services", "member1", "MCS023"),
        ("create endpointslices.discovery.k8s.io", "member2", "MCS023"),
        ("create services", "member2", "MCS023"),
    ],
)
def test_a_member_needs_the_rights_of_its_role(denied: str, name: str, code: str):
    observed = fleet()
    observed.members[name].login = w.Login(denied=(denied,))
    assert errors(observed) == ([code] if code else [])
    whole = replace(observed, service=None)
    assert errors(whole) == ["MCS022" if denied.startswith("list") else "MCS023"]


@pytest.mark.parametrize(
    ("version", "old"), [("v1.20.15", True), ("v1.21.0", False), ("1.37.2+k3s1", False), ("", False)]
)
def test_a_member_without_endpoint_slices(version: str, old: bool):
    observed = fleet()
    observed.members["member1"].version = version
    assert errors(observed) == (["MCS024"] if old else [])


def test_an_execution_namespace_that_is_gone_or_going():
    rest = [named("shop"), named("karmada-es-member2")]
    assert "missing" in the("MCS025", fleet({w.NAMESPACES: rest})).problem
    going = named("karmada-es-member1", metadata={"deletionTimestamp": OLD})
    assert "terminating" in the("MCS025", fleet({w.NAMESPACES: [*rest, going]})).problem
    held = named("held", metadata={"namespace": "karmada-es-member1", "deletionTimestamp": OLD} | GUARDED)
    assert RELEASES in the("MCS025", fleet({w.NAMESPACES: [*rest, going], w.WORKS: [held]})).fix
    held["metadata"]["finalizers"] = held["metadata"]["finalizers"][:1]
    assert "get works" in the("MCS025", fleet({w.NAMESPACES: [*rest, going], w.WORKS: [held]})).fix


def nodes(*ranges: str) -> dict[w.Kind, Any]:
    return {w.NODES: [named(f"node-{one}", spec={"podCIDRs": [one]}) for one in ranges]}


def test_pod_ranges_that_overlap():
    both = {"member1": nodes("10.1.0.0/24", "10.1.1.0/24", "fd00::/64"), "member2": nodes("10.1.0.0/16", "fd01::/64")}
    finding = the("MCS026", fleet(members=both))
    assert finding.severity is Severity.ERROR
    assert "10.1.0.0/23" in finding.evidence
    assert the("MCS026", replace(fleet(members=both), service=None)).severity is Severity.ERROR
    services = {w.SERVICECIDRS: [named("kubernetes", spec={"cidrs": ["10.2.0.0/24", "bad", 7]})]}
    assert the("MCS026", fleet(members={"member1": services})).severity is Severity.WARNING
    same = {w.SERVICECIDRS: [named("kubernetes", spec={"cidrs": ["10.96.0.0/12"]})]}
    assert codes(fleet(members={"member1": same, "member2": same})) == []


def test_nodes_that_do_not_state_their_range_are_said_to_be_unchecked():
    assert the("MCS026", fleet(members={"member1": {w.NODES: [named("node")]}})).severity is Severity.INFO
    assert found("MCS026", fleet(members={"member1": {w.NODES: []}})) == []


def test_a_member_whose_nodes_may_not_be_read_is_said_once_and_not_if_it_is_down():
    names = ["member1", "member2", "member3"]
    observed = world(names, members={name: {w.SERVICECIDRS: []} for name in names})
    observed.members["member1"].unseen(w.NODES, "403")
    observed.members["member3"].unseen(w.NODES, "403")
    assert len(found("MCS026", replace(observed, service=None))) == 2
    clusters = {w.CLUSTERS: [cluster("member1", ready="False"), *map(cluster, names[1:])]}
    down = fleet(clusters, login=w.Login(status=0, error="refused"))
    down.members["member1"].unseen(None, "refused")
    assert [one.code for one in diagnose(down, RULES_HERE).findings] == ["MCS018"]


def test_a_cluster_that_leaves():
    going = cluster("member1")
    going["metadata"] |= {"deletionTimestamp": ago(10), "finalizers": ["karmada.io/cluster-controller"]}
    objects = {w.CLUSTERS: [going, cluster("member2")], w.NAMESPACES: [named("karmada-es-member2")]}
    assert the("MCS027", fleet(objects)).severity is Severity.IN_PROGRESS
    going["metadata"] |= {"deletionTimestamp": ago(600)}
    assert errors(fleet(objects)) == ["MCS027"]
    assert "get works" in the("MCS027", fleet(objects)).fix
    going["metadata"] |= GUARDED
    assert f"patch clusters.cluster.karmada.io member1 --type json -p {RELEASES}" in the("MCS027", fleet(objects)).fix


@pytest.mark.parametrize("others", [{}, {"prod": "mcsctl --context prod"}, {"prod": "", "test": ""}])
def test_the_kubeconfig_of_a_member_leads_to_the_only_control_plane_that_it_has(others: dict[str, str]):
    observed = replace(fleet(), kinds={}, control_planes=others)
    asked = (
        "mcsctl --context prod doctor web -n shop"
        if len(others) == 1
        else "kubectl --context karmada config get-contexts"
    )
    assert the("MCS001", observed).fix == asked
    assert errors(observed) == ["MCS001"]


@pytest.mark.parametrize("junk", [None, 7, "text", [], {}, {"metadata": 5, "spec": [1]}, {"spec": {"containers": 3}}])
def test_what_is_of_another_type_raises_nothing(junk: Any):
    shell = {"metadata": {"name": "member1"}}
    odd = shell | junk if isinstance(junk, dict) and "metadata" not in junk else shell | {"spec": junk, "status": junk}
    objects = {kind: [odd] for kind in (w.CLUSTERS, w.LEASES, w.SECRETS, w.NAMESPACES, w.CRDS, w.DEPLOYMENTS)}
    diagnose(fleet(objects, members={"member1": {w.NODES: [odd], w.SERVICECIDRS: [odd]}}), RULES_HERE)
