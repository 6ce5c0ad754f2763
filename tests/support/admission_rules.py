"""The rules of a MultiClusterService as examples: what each lets through, and what it refuses with which words.

The numbers are those of docs/admission.md; a "case" is one of the numbered behaviours that the controllers' tests
name as well. Paths and messages are those of Karmada's webhook, except that paths name the field that the user wrote.
"""

import uuid
from typing import Any, NamedTuple

import pytest

from testbed.api import Object

RESOURCE = "networking.karmada.io/v1alpha1/multiclusterservices"

LABEL_TEXT = "a lowercase RFC 1123 label must consist of"
DNS_1035_TEXT = "a DNS-1035 label must consist of"
SUBDOMAIN_TEXT = "a lowercase RFC 1123 subdomain must consist of"


class Fault(NamedTuple):
    """One fault that a refusal has to name.

    Attributes:
        path: of the field.
        message: what the text about it must contain.
        listed_at: the path that a rule of the definition reports instead, the message then naming `path`: a rule
            cannot speak for one item of a list that it compares with the others.
    """

    path: str
    message: str
    listed_at: str = ""


def mcs(name: str = "", **spec: Any) -> Object:
    """A MultiClusterService that is right as far as it goes."""
    return {
        "apiVersion": "networking.karmada.io/v1alpha1",
        "kind": "MultiClusterService",
        "metadata": {"name": name or f"a-{uuid.uuid4().hex[:8]}", "namespace": "default"},
        "spec": {"types": ["CrossCluster"], **spec},
    }


def clusters(*names: str) -> list[Object]:
    """What providerClusters and consumerClusters hold."""
    return [{"name": name} for name in names]


def _named(*names: str) -> list[Object]:
    return [{"name": name, "port": 1} for name in names]


def _duplicate(index: int, name: str) -> Fault:
    return Fault(f"spec.ports[{index}].name", f'Duplicate value: "{name}"', listed_at="spec.ports")


_TWO_PORTS = [{"name": "foo", "port": 16312}, {"name": "bar", "port": 16313}]

# --- spec, on creation and (rules 3-5, 8, 9) on update

ACCEPTED = [
    pytest.param(mcs(), id="the walkthrough's"),
    pytest.param(mcs("a" * 63), id="rule 1 accepts the longest name"),
    pytest.param(mcs(ports=_named("1" * 63)), id="rule 3 accepts the longest name"),
    pytest.param(mcs(ports=[{"port": 1}, {"name": "", "port": 1}, {"port": 1}]), id="rule 4 accepts unnamed ports"),
    pytest.param(mcs(ports=[{"port": 1}, {"port": 65535}, {"port": 1}]), id="rule 5 accepts both ends and repeats"),
    pytest.param(mcs(types=["LoadBalancer"]), id="rule 6 accepts LoadBalancer"),
    pytest.param(mcs(types=["CrossCluster"]), id="rule 6 accepts CrossCluster"),
    pytest.param(mcs(types=[]), id="rule 7 accepts no type"),
    pytest.param(mcs(types=["CrossCluster", "CrossCluster"]), id="rule 7 accepts one type twice"),
    pytest.param(mcs(providerClusters=clusters("a" * 48)), id="rule 8 accepts the longest name"),
    pytest.param(mcs(consumerClusters=clusters("a", "a", "0")), id="rule 9 accepts repeats and digits"),
    pytest.param(mcs(providerClusters=[], consumerClusters=[]), id="rules 8 and 9 accept empty lists"),
    pytest.param(
        mcs(
            types=["LoadBalancer"],
            ports=_TWO_PORTS,
            providerClusters=clusters("member1", "member2"),
            consumerClusters=clusters("member1", "member2"),
        ),
        id="case 70: all rules accept two ports, two lists of two clusters, LoadBalancer",
    ),
    pytest.param(
        mcs(range={"clusterNames": ["Not A Name"]}, serviceProvisionClusters=[""], serviceConsumptionClusters=["."]),
        id="no rule looks at deprecated fields",
    ),
    pytest.param(mcs(range={}), id="no rule looks at an empty range"),
    pytest.param(
        mcs(
            types=["CrossCluster"] * 64,
            ports=[{"name": f"{i:063}", "port": 65535} for i in range(256)],
            providerClusters=clusters(*(f"{i:048}" for i in range(2000))),
            consumerClusters=clusters(*(f"{i:048}" for i in range(2000))),
        ),
        id="all rules accept as much as the limits allow, all at once",
    ),
]

REFUSED = [
    pytest.param(mcs("1st"), [Fault("metadata.name", DNS_1035_TEXT)], id="rule 1 refuses a digit first"),
    pytest.param(mcs("a.b"), [Fault("metadata.name", DNS_1035_TEXT)], id="rule 1 refuses a dot"),
    pytest.param(mcs("a" * 64), [Fault("metadata.name", "must be no more than 63")], id="rule 1 refuses 64 characters"),
    pytest.param(
        mcs(ports=_named("foo.withdot")),
        [Fault("spec.ports[0].name", "must not contain dots")],
        id="case 68: rule 3 refuses a dot",
    ),
    pytest.param(
        mcs(ports=_named("ok", "Foo")), [Fault("spec.ports[1].name", LABEL_TEXT)], id="rule 3 refuses capitals"
    ),
    pytest.param(
        mcs(ports=_named("a" * 64)),
        [Fault("spec.ports[0].name", "must be no more than 63")],
        id="rule 3 refuses 64 characters",
    ),
    pytest.param(
        mcs(types=["LoadBalancer", "LoadBalancer"], ports=_named("foo", "foo")),
        [_duplicate(1, "foo")],
        id="case 72: rule 4 refuses a name twice, and rule 7 not a type twice",
    ),
    pytest.param(
        mcs(ports=_named("x", "", "b", "y", "b", "")), [_duplicate(4, "b")], id="rule 4 names the later of the two"
    ),
    pytest.param(
        mcs(ports=[{"port": 0}, {"port": -1}, {"port": 65536}]),
        [Fault(f"spec.ports[{i}].port", "must be between 1 and 65535, inclusive") for i in range(3)],
        id="rule 5 refuses each port beyond the ends",
    ),
    pytest.param(
        mcs(types=["Foo"]), [Fault("spec.types[0]", "ExposureType Error")], id="rule 6 refuses an unknown type"
    ),
    pytest.param(mcs(types=[""]), [Fault("spec.types[0]", "ExposureType Error")], id="rule 6 refuses an empty type"),
    pytest.param(
        mcs(types=["LoadBalancer", "CrossCluster"]),
        [Fault("spec.types", "MultiClusterService types should not contain more than one type")],
        id="case 71: rule 7 refuses two types",
    ),
    pytest.param(
        mcs(types=["CrossCluster", "Foo"]),
        [
            Fault("spec.types", "MultiClusterService types should not contain more than one type"),
            Fault("spec.types[1]", "ExposureType Error"),
        ],
        id="rules 6 and 7 both refuse",
    ),
    pytest.param(
        mcs(providerClusters=clusters("ok", "")),
        [Fault("spec.providerClusters[1].name", "must be not empty")],
        id="rule 8 refuses an empty name",
    ),
    pytest.param(
        mcs(providerClusters=clusters("a" * 49)),
        [Fault("spec.providerClusters[0].name", "must be no more than 48 characters")],
        id="case 73: rule 8 refuses 49 characters",
    ),
    pytest.param(
        mcs(providerClusters=clusters("a.b", "A")),
        [
            Fault("spec.providerClusters[0].name", "must not contain dots"),
            Fault("spec.providerClusters[1].name", LABEL_TEXT),
        ],
        id="rule 8 refuses what is no label",
    ),
    pytest.param(
        mcs(consumerClusters=clusters("", "a" * 49, "-")),
        [
            Fault("spec.consumerClusters[0].name", "must be not empty"),
            Fault("spec.consumerClusters[1].name", "must be no more than 48 characters"),
            Fault("spec.consumerClusters[2].name", LABEL_TEXT),
        ],
        id="rule 9 refuses each name that rule 8 would",
    ),
]

TOO_MANY = [
    pytest.param({"types": ["CrossCluster"] * 65}, "spec.types", "64", id="types"),
    pytest.param({"ports": [{"port": 1}] * 257}, "spec.ports", "256", id="ports"),
    pytest.param({"ports": [{"port": 1}] * 20000}, "spec.ports", "256", id="very many ports"),
    pytest.param({"providerClusters": clusters(*["a"] * 2001)}, "spec.providerClusters", "2000", id="providers"),
    pytest.param({"consumerClusters": clusters(*["a"] * 2001)}, "spec.consumerClusters", "2000", id="consumers"),
]

# --- rules 2 and 10, which the server has for every kind: (change to the metadata, status, part of the answer)

METADATA_REFUSED_ON_CREATE = [
    pytest.param({"labels": {"a b": "c"}}, "metadata.labels", id="rule 2 refuses a label's key"),
    pytest.param({"annotations": {"a b": "c"}}, "metadata.annotations", id="rule 2 refuses an annotation's key"),
    pytest.param({"finalizers": ["a b"]}, "metadata.finalizers", id="rule 2 refuses a finalizer that is no name"),
    pytest.param(
        {"ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "a", "uid": ""}]},
        "metadata.ownerReferences[0].uid",
        id="rule 2 refuses an owner without uid",
    ),
]
METADATA_REFUSED_ON_UPDATE = [
    pytest.param({"name": "another"}, 400, "the name of the object", id="rule 10 refuses another name"),
    pytest.param({"namespace": "another"}, 400, "the namespace of the", id="rule 10 refuses another namespace"),
    pytest.param({"uid": str(uuid.uuid4())}, 409, "UID in precondition", id="rule 10 refuses another uid"),
    pytest.param({"resourceVersion": ""}, 422, "metadata.resourceVersion", id="rule 10 refuses no resourceVersion"),
    pytest.param(
        {"deletionTimestamp": "2020-01-01T00:00:00Z"},
        422,
        "metadata.deletionTimestamp",
        id="rule 10 refuses a deletion stamp",
    ),
    pytest.param({"resourceVersion": "1"}, 409, "has been modified", id="rule 10 refuses an old resourceVersion"),
]
METADATA_KEPT_ON_UPDATE = [
    pytest.param({"creationTimestamp": "2020-01-01T00:00:00Z"}, id="rule 10 keeps the creation stamp"),
    pytest.param({"generation": 0}, id="rule 10 keeps the generation"),
]

# --- rule 11: (types before, types after)

TYPES_CHANGED = [
    pytest.param(["LoadBalancer"], ["CrossCluster"], id="case 75: rule 11 refuses LoadBalancer to CrossCluster"),
    pytest.param(["CrossCluster"], ["CrossCluster", "CrossCluster"], id="rule 11 refuses a repeat"),
    pytest.param(["CrossCluster"], [], id="rule 11 refuses to empty it"),
    pytest.param([], ["CrossCluster"], id="rule 11 refuses to fill it"),
]

# --- rules 12 and 13: status.loadBalancer.ingress

INGRESS = "status.loadBalancer.ingress"
INGRESS_ACCEPTED = [
    pytest.param([{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}], id="case 76: rule 12 accepts a valid ip"),
    pytest.param([{"hostname": "a.example.com"}], id="case 76: rule 13 accepts a valid hostname"),
    pytest.param([{"ip": "192.0.2.1", "hostname": "a.example.com"}], id="case 76: rules 12 and 13 accept both"),
    pytest.param([{"ip": "", "hostname": ""}, {}], id="rules 12 and 13 accept neither"),
    pytest.param([{"ip": "192.0.2.1"}] * 2000, id="rules 12 and 13 accept as many as the limit allows"),
]
INGRESS_REFUSED = [
    pytest.param(
        [{"ip": "192.0.2.1"}, {"ip": "300.300.300.300"}],
        [Fault(f"{INGRESS}[1].ip", "must be a valid IP address")],
        id="case 76: rule 12 refuses 300.300.300.300",
    ),
    pytest.param(
        [{"hostname": "192.0.2.1"}],
        [Fault(f"{INGRESS}[0].hostname", "must be a DNS name, not an IP address")],
        id="case 76: rule 13 refuses an ip as hostname",
    ),
    pytest.param(
        [{"hostname": "a_b"}], [Fault(f"{INGRESS}[0].hostname", SUBDOMAIN_TEXT)], id="rule 13 refuses an underscore"
    ),
    pytest.param(
        [{"hostname": "2001:db8::1"}],
        [
            Fault(f"{INGRESS}[0].hostname", SUBDOMAIN_TEXT),
            Fault(f"{INGRESS}[0].hostname", "must be a DNS name, not an IP address"),
        ],
        id="rule 13 refuses with both faults",
    ),
]

# --- annotations that say which cluster answers (manifests/admission/selection): each is tried as the value of each key

_SIXTEEN = ";".join(f"clusters=m{n}" for n in range(16))
SELECTION_TEXTS = [
    *(
        "",
        " ",
        ";",
        ";;",
        "!",
        "any",
        " any ",
        "any;",
        "any; ",
        "any;;",
        "local",
        "local;any",
        "any;local",
        "local;local",
    ),
    *("same-zone; same-region;same-provider ;any", "any;any", "same-zone;same-zone", "same-zone; same-zone", "LOCAL"),
    *("same-zone;local", "any;same-zone", "local=", "local=a", "any =", "nearby", "local any", "local,any"),
    *("clusters", "clusters=", "clusters=m1", "clusters = m1 , m2", "clusters=m1,", "clusters=,m1", "clusters=m1,,m2"),
    *("clusters=M1", "clusters=m.1", "clusters=-m", "clusters=m-", f"clusters={'a' * 48}", f"clusters={'a' * 49}"),
    *("clusters=m1;clusters=m1", "clusters=m1;clusters=m1,m2", "clusters=m1=m2", "cluster=m1", "clustersx=m1"),
    *(_SIXTEEN, f"{_SIXTEEN};", f"{_SIXTEEN};any", f"local;{_SIXTEEN}"),
    *(
        "selector",
        "selector=",
        "selector= ",
        "selector=a",
        "selector=!a",
        "selector=! a",
        "selector=a=b",
        "selector=a==b",
    ),
    *("selector=a!=b", "selector=a=", "selector=a=b,", "selector=a=b,,c", "selector=,a", "selector=a,!b,c in (d, e)"),
    *(
        "selector=a in (b)",
        "selector=a in(b)",
        "selector=a in ()",
        "selector=a in (b",
        "selector=a in b",
        "selector=a b",
    ),
    *("selector=a notin (b,c),d", "selector=a.b/c-d=e", "selector=!a=b", "selector=!a in (b)", "selector=a=b c"),
    *("selector=a in ((b))", "selector=a in (b) c", "selector=a;any", "selector=é", "selector=a>1", "selector a=b"),
    *("selectorx=a", "selector =a", "selector=ain (b)", "selector=in", "selector=in in (in)", "selector=a in (b),"),
    *("0", "1", "30", "007", "999999", "1000000", "0000001", "-1", "+1", "1.5", "1e3", " 5 ", "0%", "1%", "50%", "51%"),
    *("100%", "101%", "000050%", "0000050%", "050%", "5 %", "%", "50%%", " 50% ", "1_0"),
    *("true", "false", "True", " true", "yes", "1s", "0s", "1.5s", "1.s", ".5s", "1m30s", "1h", "2m0s", "500ms", "1us"),
    *("1µs", "1ns", "1d", "s", "1", "1s ", "-1s", "1s1", "1 s", "0h0m0s", "0.0s", "0.01s", "1m1", "1ms1s"),
    *("١", "٥%", "٣s"),
    *("m1", "m1,m2", "m1, m2 ", "m1,", ",", "a" * 48, "a" * 49, "m_1", "m1;m2", "m1 m2", "member1\nmember2"),
]
