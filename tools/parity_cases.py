"""Data of docs/parity.md: the numbered cases of the wire contract, and the situations where Karmada can be bettered.

A number here is the number in tests' ids; `tools.parity` finds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Case:
    """One behaviour that Karmada's tests check, or that was read from Karmada.

    Attributes:
        number: in the contract, and in the ids of the tests that show it.
        part: the controller or component it is about.
        given: the situation, or what happens.
        expected: what then holds.
        deviations: keys of `parity_clauses.DEVIATIONS`.
        lacks: what no test shows yet; empty if nothing.
    """

    number: int
    part: str
    given: str
    expected: str
    deviations: tuple[str, ...] = ()
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class Opening:
    """One situation in which Karmada's own controllers leave something to wish for.

    Attributes:
        number: in the ids of the tests that show it.
        situation: what happens.
        theirs: what Karmada makes of it.
        ours: what we do.
        lacks: what no test shows yet; empty if nothing.
    """

    number: int
    situation: str
    theirs: str
    ours: str
    lacks: str = ""


CASES: Final[tuple[Case, ...]] = (
    Case(
        1,
        "service",
        "a MultiClusterService is deleted",
        "the Service loses its two claim labels and keeps the two annotations; the finalizer goes",
    ),
    Case(2, "service", "the same, beside a ResourceBinding of another name", "that binding is untouched"),
    Case(3, "service", "c1 has its Work and is no provider", "the Work is deleted"),
    Case(4, "service", "c1 has its Work and is a provider", "the Work stays"),
    Case(5, "service", "one provider, ready, serves EndpointSlices", "one Work, rightly named and labelled"),
    Case(6, "service", "a provider that is not ready", "no Work, no error", ("skips",)),
    Case(7, "service", "a provider that says it has no EndpointSlices", "no Work, no error", ("skips",)),
    Case(8, "service", "two good providers", "two Works"),
    Case(
        9,
        "service",
        "providers c1, c2 and consumers c3, c4",
        "a binding on the union, with marks, owner, finalizer and reference",
        ("foreign", "ids"),
    ),
    Case(10, "service", "a Service without labels and annotations is claimed", "it gets two of each"),
    Case(11, "service", "a Service with keys of its own and of a policy is claimed", "its own stay, the policy's go"),
    Case(
        12,
        "service",
        "a Service changes",
        "its CrossCluster MultiClusterService is looked at; one of another type, or none, is not",
    ),
    Case(
        13,
        "service",
        "Cluster c1 changes; providers are c1 and c2, no consumers listed",
        "both services are looked at",
        ("heartbeats",),
    ),
    Case(
        14,
        "service",
        "a Cluster changes and there is no service; or the object is no Cluster",
        "nothing (the second cannot be: events are typed)",
    ),
    Case(15, "service", "provider c1, consumer c2; either changes", "the service is looked at", ("heartbeats",)),
    Case(16, "service", "no lists; any Cluster changes", "the service is looked at", ("heartbeats",)),
    Case(17, "collect", "a cluster's slices are asked for twice", "one watch, used by both"),
    Case(18, "collect", "a slice is added", "it is looked at once"),
    Case(19, "collect", "a slice is updated without difference", "it is not looked at"),
    Case(20, "collect", "a slice is deleted, or was while nobody saw it", "it is looked at once"),
    Case(
        21,
        "collect",
        "a slice has no Work",
        "one with namespace, name and mark, and the dispatcher's finalizer",
        ("ids",),
    ),
    Case(22, "collect", "its Work is marked by the other feature", "both marks, and the labels of both"),
    Case(23, "collect", "its Work has two foreign finalizers", "three, sorted"),
    Case(24, "collect", "its Work has finalizers and no labels", "the finalizers stay, labels as on a new one"),
    Case(25, "collect", "the only mark is dropped", "the Work is deleted"),
    Case(26, "dispatch", "slices are dispatched", "the condition as Karmada writes it", ("messages", "verdict")),
    Case(27, "dispatch", "Cluster c1 changes and consumes a collected slice", "the slice is looked at", ("identity",)),
    Case(28, "dispatch", "Cluster c1 changes and consumes nothing of it", "nothing"),
    Case(29, "dispatch", "three Works, two of the service, in two namespaces", "the two are found", ("caches",)),
    Case(
        30,
        "dispatch",
        "the service changes; a slice is collected and has a copy",
        "the slice is looked at once",
        ("identity",),
    ),
    Case(31, "dispatch", "copies in c1 and c2; c2 consumes no more", "the one in c2 is deleted"),
    Case(32, "dispatch", "copies in consumers only", "none is deleted"),
    Case(
        33,
        "dispatch",
        "a collected Work of any name",
        "the copy has that name; slice, labels and annotations to the letter",
        ("identity",),
    ),
    Case(
        34,
        "dispatch",
        "a collected Work goes; there are copies of others",
        "its own copies go, the others stay, the finalizer goes last",
    ),
    Case(35, "export", "the only mark, of an export, is dropped", "the Work is deleted"),
    Case(36, "export", "a slice is deleted that has no Work", "nothing"),
    Case(
        37,
        "export",
        "a slice is deleted whose Work has both marks",
        "the Work stays without the export's labels and mark",
    ),
    Case(38, "export", "an export goes and the Works cannot be had", "an error, tried again", ("caches",)),
    Case(
        39,
        "export",
        "an export goes; one Work is its alone, one is shared",
        "the first is deleted, the second loses its mark",
    ),
    Case(40, "export", "an export goes; a Work is another export's", "that one is untouched"),
    Case(41, "export", "an exported slice has no Work", "one with labels, mark and the importer's finalizer", ("ids",)),
    Case(42, "export", "the Work cannot be read", "an error, nothing is written", ("caches",)),
    Case(43, "export", "its Work has another's mark and a foreign label", "both marks, the label stays"),
    Case(44, "export", "a slice changes in a cluster whose exports nobody follows", "nothing"),
    Case(
        45,
        "export",
        "a slice changes before the exports are listed",
        "nothing is made or withdrawn until they are",
        ("unknown",),
    ),
    Case(46, "export", "a slice changes whose service is not exported", "nothing is collected"),
    Case(47, "export", "a slice changes whose service is exported", "its Work is made"),
    Case(
        48,
        "export",
        "an export changes before the slices are listed",
        "nothing is made or withdrawn until they are",
        ("unknown",),
    ),
    Case(49, "export", "an export comes; two slices, and one stale Work", "two Works, the stale one goes"),
    Case(50, "export", "an export comes; no slices, one stale Work", "the stale one goes"),
    Case(51, "export", "a stale Work is only the other feature's", "it stays as it is"),
    Case(
        52,
        "export",
        "a labelled Work that is not suspended",
        "it is nobody's orphan, if it is not marked as collected",
        ("resumed",),
    ),
    Case(
        53,
        "export",
        "a queue's key is of a foreign type or an unknown kind",
        "cannot be: each queue holds keys of one kind",
        ("queues",),
    ),
    Case(54, "export", "an export is no longer in the member", "its Works go"),
    Case(55, "export", "the export's Work is gone, going, not applied, or carries none", "nothing to do, no error"),
    Case(56, "export", "the export's Work is in no execution namespace", "an error"),
    Case(
        57,
        "export",
        "its Cluster is missing or not ready",
        "nothing is begun or withdrawn until it is there",
        ("unknown",),
    ),
    Case(
        58,
        "events",
        "a suspended Work; an unknown cluster; a namespace that is none; a Pull cluster; a Push cluster",
        "only the last is followed",
        ("unknown",),
    ),
    Case(59, "events", "an update in which only the old or only the new object counts", "it is looked at"),
    Case(
        60,
        "events",
        "an agent sees Works of its own and of another cluster",
        "it takes its own",
    ),
    Case(
        61,
        "slices",
        "a slice of the control plane is absent, different, equal",
        "created, changed, not written",
        ("patches",),
    ),
    Case(
        62,
        "slices",
        "a slice is managed by the dispatcher, the importer, somebody else, nobody",
        "the first two are copies, and never collected",
    ),
    Case(
        63,
        "import",
        "a Work was collected for an export",
        "the control plane has its slice, named, labelled and annotated",
    ),
    Case(64, "import", "a shared Work loses its export", "its slice goes, then the finalizer; the Work stays"),
    Case(
        65,
        "import",
        "a ClusterSetIP with two ports and an ip",
        "the derived Service with both ports, the ip in its status (which Kubernetes from 1.29 on refuses)",
        ("derived",),
    ),
    Case(66, "import", "a ServiceImport goes", "its derived Service goes", ("derived",)),
    Case(67, "admission", "an object that cannot be read", "400", ("wrong-type",)),
    Case(68, "admission", "a port named with a dot", "refused, in Kubernetes' words", ("admission",)),
    Case(69, "admission", "a valid update", "allowed"),
    Case(70, "admission", "two ports, two lists of two, LoadBalancer", "allowed"),
    Case(71, "admission", "both types at once", "refused", ("admission",)),
    Case(72, "admission", "one port name twice, one type twice", "the port alone is refused", ("admission",)),
    Case(73, "admission", "a cluster name of 49 characters", "refused", ("admission",)),
    Case(74, "admission", "an update of labels only", "allowed"),
    Case(75, "admission", "an update of the type", "refused", ("admission",)),
    Case(
        76,
        "admission",
        "ingress: an ip, a hostname, both, no ip, an ip as hostname",
        "the last two are refused",
        ("admission",),
    ),
    Case(77, "admission", "an object without id", "it gets one, and nothing else changes", ("ids",)),
    Case(
        78,
        "admission",
        "a Work with an unpruned manifest",
        "an id on both, pruned, the managed-* annotations",
        ("ids",),
    ),
    Case(79, "works", "a Work is ensured that is absent, or there", "one manifest in each case"),
    Case(80, "works", "names with colons, capitals, no namespace", "Karmada's own function's results"),
    Case(81, "execution", "a suspended Work", "nothing is applied, and the condition and an event say so"),
    Case(82, "execution", "a Work that gets suspended", "the condition turns False"),
    Case(
        83,
        "execution",
        "a Work goes; preserve is true, false, absent",
        "the member's object stays, goes, goes",
        ("own-objects",),
    ),
    Case(84, "execution", "a member's object that is not managed, or names no Work", "ignored"),
    Case(
        85,
        "execution",
        "a member's object changes: status, spec, labels stripped",
        "ignored; its Work is looked at; likewise",
    ),
    Case(86, "execution", "a Service with a cluster IP, and a headless one, is pruned", "both fields go; both stay"),
    Case(87, "namespaces", "reserved, default, kube-*, opted out, going", "no Works"),
    Case(88, "clusters", "readiness flips, for less than 30 s, and longer", "the old value; the new one"),
    Case(
        89,
        "clusters",
        "an API is listed; absent from a complete list; from a partial one; and no condition",
        "Enabled; Disabled; Unknown; Unknown",
    ),
    Case(
        90,
        "end to end",
        "exported in c1, imported in c2",
        "one endpoint under the derived name on the control plane; Service and slice in c2, which answers; an event",
    ),
    Case(91, "end to end", "the same, the provider grows", "the new endpoint is in c2"),
    Case(
        92,
        "end to end",
        "provider c1, consumer c2",
        "the slice in c2 with as many endpoints, both events, the condition",
        ("messages",),
    ),
    Case(93, "end to end", "providers c1 and c2, consumer c2", "c1's slice is in c2; c2's own is not copied to itself"),
    Case(94, "end to end", "a provider that is not registered", "an event names it; the others go on", ("skips",)),
    Case(95, "end to end", "no lists", "each cluster's slices are in every other one"),
)

OPENINGS: Final[tuple[Opening, ...]] = (
    Opening(
        1,
        "two providers have slices of one name",
        "one Work for both; the last writer wins, and cleaning up one deletes the other",
        "both arrive; the second has a Work name of its own, and each leaves alone",
    ),
    Opening(
        2,
        "a provider that consumes too, slices of one name",
        "collected and dispatched Work collide and flip for ever",
        "a Work never has two roles",
    ),
    Opening(
        3,
        "slices go while the controller is down",
        "consumers keep dead endpoints",
        "a full comparison after each (re)sync withdraws them",
    ),
    Opening(4, "a slice moves to another Service", "stays filed under the first", "moves"),
    Opening(
        5, "a collected Work appears after its provider or its service left", "is dispatched and stays", "is withdrawn"
    ),
    Opening(6, "a restart in a steady world", "ten writes for each service", "no write"),
    Opening(
        7,
        "a Cluster's heartbeat",
        "every service that could name it is reconciled",
        "only what can matter is looked at",
    ),
    Opening(8, "one slice of many changes", "all Works are listed, several times", "two writes, no list"),
    Opening(
        9,
        "one of several clusters fails",
        "the rest is not tried; skipped ones count as success",
        "every one is tried, and named with the reason",
    ),
    Opening(10, "one of several slices fails", "a later success hides it", "the condition is about all slices"),
    Opening(
        11,
        "an empty permanent id",
        "cleaning up one service selects others' Works",
        "missing ids are set; an empty one selects nothing",
    ),
    Opening(
        12,
        "a client drops the permanent id",
        "Works under the old one are never found again",
        "found by namespace and name, and relabelled",
    ),
    Opening(13, "a Cluster is being deleted, all are meant", "the service fails until it is gone", "it is left out"),
    Opening(
        14,
        "a Cluster's endpoint, CA, token or proxy changes",
        "watches keep the old connection",
        "connected anew; nothing is withdrawn meanwhile",
    ),
    Opening(
        15,
        "a member is down when the controller starts",
        "found up to 1000 s late",
        "tried every few seconds, and at once when it turns ready",
    ),
    Opening(
        16,
        "zone and hints of foreign endpoints",
        "a consumer may drop endpoints because of them",
        "kept by default; `--strip-topology` leaves them out",
    ),
    Opening(
        17,
        "names that collide or are too long",
        "fail for ever, silently",
        "told apart; or said, while everything else goes on",
    ),
    Opening(18, "`spec.ports` lists some of the ports", "ignored", "only those are exposed"),
    Opening(
        19,
        "both features want one Service's slices",
        "duplicates and races on the shared Work",
        "one Work, one writer, each endpoint once",
    ),
    Opening(
        20, "exports are there when the controller starts", "followed only after some Work changes", "followed at once"
    ),
    Opening(
        21,
        "somebody edits the derived Service or slice",
        "labels, annotations and more are wiped",
        "only our fields change",
    ),
    Opening(
        22,
        "a slice arrives before its namespace",
        "backs off for minutes",
        "applied as soon as that appears, where our execution does it; beside Karmada its executor does, and backs off",
    ),
    Opening(
        23,
        "a consumer refuses a slice",
        "the service says success",
        "condition and event name slice, cluster and error",
    ),
    Opening(
        24,
        "a provider is not ready",
        "its endpoints stay",
        "the same by default; `--withdraw-not-ready-after`, or an annotation, withdraws them",
    ),
    Opening(
        25, "a headless Service with a StatefulSet", "untested", "each Pod's name resolves and answers in the consumer"
    ),
    Opening(
        26,
        "the walkthrough's curl fails",
        "no command says why",
        "one command names the first broken link",
        lacks="later work",
    ),
    Opening(27, "a binding is taken over from a policy", "finalizers of others are lost", "they stay"),
    Opening(
        28,
        "Pod or Service ranges of two clusters overlap",
        "traffic goes astray silently",
        "detected and said",
        lacks="later work",
    ),
)
