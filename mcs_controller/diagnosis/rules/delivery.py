"""Rules about delivery: Works, from the providers to the control plane and on to the members, and what these refuse."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from mcs_controller.diagnosis.findings import CONTROL_PLANE, Link, ObjectRef, Severity
from mcs_controller.diagnosis.rules.chain import (
    by_age,
    collected_work,
    dispatched_work,
    endpoints_of,
    is_young,
    kubectl,
    manifest_of,
    offered,
    own_slices,
    works_in,
)
from mcs_controller.diagnosis.rules.leases import restart
from mcs_controller.diagnosis.rules.objects import foreign_finalizers, release_command, texts
from mcs_controller.diagnosis.rules.rule import Scope, rule
from mcs_controller.diagnosis.world import WEBHOOKS, WORKS, condition, dig, items, text
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    _Content: TypeAlias = tuple[Mapping[str, bool], frozenset[str]]
    """Addresses, with whether they are ready, and ports."""

    from mcs_controller.diagnosis.findings import Finding
    from mcs_controller.diagnosis.rules.rule import Context
    from mcs_controller.diagnosis.world import Object, World

REFUSALS: Final = {
    "MCS065": re.compile(r"somebody else writes it: (?P<name>[^;,]+)"),
    "MCS066": re.compile(
        r"""(?:admission webhook|failed calling webhook|ValidatingAdmissionPolicy) ["'](?P<name>[^"']+)["']"""
    ),
    "MCS067": re.compile(r"(?:exceeded quota: (?P<name>[^,\s]+)|failed quota: (?P<failed>[^:\s]+)|usage per )"),
    "MCS070": re.compile(r"""namespaces? "?[^" ]+"? (?:not found|does not exist in)|because it is being terminated"""),
    "MCS073": re.compile(r"is not managed by Karmada|belongs to (?:Work|another)|is applied by another Work already"),
}
"""The rule that explains why a member does not take an object, by what its Work says."""

NOT_DONE: Final = (
    "Whatever is broken before this in the chain. If nothing is, restart the controller, which then looks at "
    "everything; its log from before belongs into a bug report (`mcsctl bundle`)."
)
"""The documented fix of what a controller that leads has left undone."""


def refusals(world: World, cluster: str, code: str = "") -> Iterator[tuple[Object, re.Match[str] | None, str]]:
    """The Works of a cluster that it did not take for the reason of this rule, with the match and its words.

    Without a rule: those that no rule explains.
    """
    if world.service is None or world.mcs is None:
        return
    for work in works_in(world, cluster):
        applied = condition(work, wk.APPLIED)
        if text(applied, "status") != "False" or text(work, "metadata", "deletionTimestamp"):
            continue
        words = text(applied, "message")
        found = next(((one, match) for one, words_of in REFUSALS.items() if (match := words_of.search(words))), None)
        if (found[0] if found else "") == code:
            yield work, found[1] if found else None, words


def member_object(cluster: str, work: Object) -> ObjectRef:
    """What a Work makes in its member."""
    manifest = manifest_of(work)
    return ObjectRef(
        cluster,
        text(manifest, "kind") or "object",
        text(manifest, "metadata", "name"),
        text(manifest, "metadata", "namespace"),
    )


def work_ref(work: Object) -> ObjectRef:
    """A Work as the object of a finding."""
    return ObjectRef(CONTROL_PLANE, wk.WORK_KIND, text(work, "metadata", "name"), text(work, "metadata", "namespace"))


@rule(
    "MCS060",
    "A provider's EndpointSlice is not collected",
    Link.DELIVERY,
    Scope.PROVIDER,
    symptom=True,
    meaning="The control plane has no Work with an EndpointSlice of the provider, so no consumer gets its endpoints.",
    evidence="The EndpointSlices of the Service in the provider, and the Works in its execution namespace.",
    fix=NOT_DONE,
)
def not_collected(context: Context) -> Iterator[Finding]:
    """One finding for all slices."""
    world, provider = context.world, context.cluster
    missing = [one for one in own_slices(world, provider) if collected_work(world, provider, one) is None]
    if missing:
        names = sorted(text(one, "metadata", "name") for one in missing)
        yield context.found(
            ObjectRef(provider, wk.SLICE_KIND, names[0], world.namespace),
            f"{len(names)} EndpointSlices of {provider} are not collected",
            evidence=f"no Work in {execution_namespace(provider)} holds {', '.join(names[:5])}",
            fix=restart(world, provider),
            severity=by_age(world, world.mcs, *missing),
        )


@rule(
    "MCS061",
    "A Work is behind the provider's EndpointSlice",
    Link.DELIVERY,
    Scope.PAIR,
    symptom=True,
    meaning="The endpoints of the provider have changed, and what is sent to the consumer is older.",
    evidence="The EndpointSlice in the provider, the Work that holds it, and the Work for the consumer.",
    fix=NOT_DONE,
)
def work_behind(context: Context) -> Iterator[Finding]:
    """One finding for each pair of clusters."""
    world, provider, consumer = context.world, context.provider, context.cluster
    for one in own_slices(world, provider):
        collected = collected_work(world, provider, one)
        dispatched = dispatched_work(world, provider, consumer, one)
        wanted = _content(one, provider)
        if collected is not None and _content(manifest_of(collected), provider) != wanted:
            behind, hop = collected, "collected"
        elif dispatched is not None and _differs(
            _content(manifest_of(dispatched), provider), _offered(wanted, dispatched, provider), world.mcs
        ):
            behind, hop = dispatched, "sent"
        else:
            continue
        held = _content(manifest_of(behind), provider)
        what, tell = ("endpoints", _ready) if held[0] != wanted[0] else ("ports", _ports)
        yield context.found(
            work_ref(behind),
            f"the {what} {hop} of EndpointSlice {text(one, 'metadata', 'name')} of {provider} are out of date",
            evidence=f"in {provider}: {tell(wanted)}; in the Work: {tell(held)}",
            fix=restart(world, provider if behind is collected else CONTROL_PLANE),
            severity=by_age(world, world.mcs, one, collected, dispatched),
        )
        return


def _content(slice_: Object, provider: str) -> _Content:
    ports = [one for one in items(slice_, "ports") if isinstance(one, dict)]
    told = (f"{one.get('name') or ''} {one.get('protocol') or 'TCP'} {one.get('port')}".strip() for one in ports)
    return endpoints_of(slice_, provider), frozenset(told)


def _offered(wanted: _Content, dispatched: Object, provider: str) -> _Content:
    """What of the provider's the consumer is to have: of a part that it is offered, any endpoints of it."""
    if offered(dispatched) == wk.OFFERED_WHOLE:
        return wanted
    held = _content(manifest_of(dispatched), provider)[0]
    return {address: ready for address, ready in wanted[0].items() if address in held}, wanted[1]


def _differs(held: _Content, wanted: _Content, mcs: Object | None) -> bool:
    """Of a service that lists its ports, a consumer has some of the provider's."""
    return held[0] != wanted[0] or (held[1] != wanted[1] and not items(mcs or {}, "spec", "ports"))


def _ready(content: _Content) -> str:
    ready = sorted(address for address, is_ready in content[0].items() if is_ready)
    more = f" and {len(ready) - 5} more" if len(ready) > 5 else ""
    return f"ready {', '.join(ready[:5]) or 'none'}{more}"


def _ports(content: _Content) -> str:
    return ", ".join(sorted(content[1])[:5]) or "none"


@rule(
    "MCS062",
    "A provider's EndpointSlice is not sent to a consumer",
    Link.DELIVERY,
    Scope.PAIR,
    symptom=True,
    meaning="The control plane has the provider's EndpointSlice, and no Work that brings it to the consumer.",
    evidence="The Works in the execution namespaces of both clusters.",
    fix=NOT_DONE,
)
def not_dispatched(context: Context) -> Iterator[Finding]:
    """Of a service that lists its ports, slices that have none of them are not sent."""
    world, provider, consumer = context.world, context.provider, context.cluster
    collected = [
        (one, work) for one in own_slices(world, provider) if (work := collected_work(world, provider, one)) is not None
    ]
    missing = [pair for pair in collected if dispatched_work(world, provider, consumer, pair[0]) is None]
    if not missing or (items(world.mcs, "spec", "ports") and len(missing) < len(collected)):
        return
    names = sorted(text(one, "metadata", "name") for one, _ in missing)
    yield context.found(
        ObjectRef(CONTROL_PLANE, wk.WORK_KIND, "", execution_namespace(consumer)),
        f"{len(names)} EndpointSlices of {provider} are not sent to {consumer}",
        evidence=f"no Work in {execution_namespace(consumer)} brings {', '.join(names[:5])}",
        fix=restart(world),
        severity=by_age(world, world.mcs, *(one for pair in missing for one in pair)),
    )


@rule(
    "MCS063",
    "A member does not take an object",
    Link.DELIVERY,
    Scope.MEMBER,
    symptom=True,
    meaning="The Service or an EndpointSlice is sent to the member, which refuses it, or nobody applies it there.",
    evidence="Condition Applied of the Works in the member's execution namespace.",
    fix="Mend what the member's own words in the condition name. Without a condition, restart whoever applies Works.",
    no_command="if the member refuses the object: what to change follows from its words, and many of them are about "
    "objects of others. The command shows them in full.",
)
def not_applied(context: Context) -> Iterator[Finding]:
    """Only what no other rule explains; one finding for each member."""
    world, cluster = context.world, context.cluster
    for work, _, words in refusals(world, cluster):
        ref = work_ref(work)
        look = kubectl(world, CONTROL_PLANE, "-n", ref.namespace, "describe", "work", ref.name)
        yield _not_applied(context, work, words, look)
        return
    if world.service is None or world.mcs is None:
        return
    for work in works_in(world, cluster):
        waits = not condition(work, wk.APPLIED) and not dig(work, "spec", "suspendDispatching")
        if waits and manifest_of(work) and not text(work, "metadata", "deletionTimestamp"):
            found = _not_applied(context, work, "no condition Applied", restart(world, cluster, executes=True))
            yield replace(found, severity=by_age(world, work))
            return


def _not_applied(context: Context, work: Object, words: str, fix: str) -> Finding:
    ref, where = member_object(context.cluster, work), work_ref(work)
    problem = f"{context.cluster} has not taken {ref.kind} {ref.name}"
    return context.found(ref, problem, evidence=f"Work {where.namespace}/{where.name}: {words}", fix=fix)


@rule(
    "MCS064",
    "A Work that is being deleted is held by a finalizer",
    Link.DELIVERY,
    Scope.SERVICE,
    meaning="Kubernetes keeps the Work until each of its finalizers is removed. Until then nothing new can take its "
    "place, and the member may keep what it brought.",
    evidence="metadata.deletionTimestamp and metadata.finalizers of the Works of the service.",
    fix="Let the owner of the finalizer remove it, or remove it yourself if there is no owner any more.",
)
def work_held(context: Context) -> Iterator[Finding]:
    """A finalizer of our own is held for a reason, which other rules know."""
    world = context.world
    for work in world.host.list(WORKS):
        if not text(work, "metadata", "deletionTimestamp"):
            continue
        held, foreign, ref = texts(work, "metadata", "finalizers"), foreign_finalizers(work), work_ref(work)
        cluster = ref.namespace.removeprefix(wk.EXECUTION_PREFIX)
        found = context.found(
            ref,
            f"the Work is being deleted, and finalizer {', '.join(foreign or held) or 'of the namespace'} holds it",
            evidence=f"deleted at {text(work, 'metadata', 'deletionTimestamp')}; finalizers: {', '.join(held)}",
            fix=release_command(world.kubectl(), WORKS, work)
            or (restart(world, cluster, executes=True) if wk.EXECUTION_FINALIZER in held else restart(world)),
            severity=by_age(world, work),
        )
        yield replace(found, clusters=frozenset({cluster}), symptom=not foreign)


@rule(
    "MCS065",
    "Somebody else writes an object of ours in a member",
    Link.DELIVERY,
    Scope.MEMBER,
    meaning="Two programs write the same object, each undoing what the other did.",
    evidence="Condition Applied of the Work; it names the other field manager.",
    fix="Decide who owns the object. Stop the other program, or have it leave this object alone: the command shows who "
    "writes which field.",
    no_command="because who owns the object is for people to say, and the other program is not known here.",
)
def contention(context: Context) -> Iterator[Finding]:
    """One finding for each other writer."""
    for who, (work, words) in _by_name(context).items():
        ref = member_object(context.cluster, work)
        look = ("-n", ref.namespace, "get", ref.kind.lower(), ref.name, "--show-managed-fields", "-o", "yaml")
        yield context.found(
            ref,
            f"somebody else writes {ref.kind} {ref.name} in {context.cluster}: {who}",
            evidence=words,
            fix=kubectl(context.world, context.cluster, *look),
        )


@rule(
    "MCS066",
    "Admission control of a member refuses an object",
    Link.DELIVERY,
    Scope.MEMBER,
    meaning="A webhook or a ValidatingAdmissionPolicy of the member does not admit the Service or an EndpointSlice, or "
    "the webhook does not answer.",
    evidence="Condition Applied of the Work, which names the webhook or the policy.",
    fix="Have whoever owns the webhook or policy admit the object, or exclude the namespace: the command shows what it "
    "refuses. One that does not answer is ignored until it does.",
)
def admission_refuses(context: Context) -> Iterator[Finding]:
    """A webhook that fails can be bypassed until it answers; one that refuses has a reason."""
    world, cluster = context.world, context.cluster
    for name, (work, words) in _by_name(context).items():
        ref = member_object(cluster, work)
        is_policy = "ValidatingAdmissionPolicy" in words
        kind = "validatingadmissionpolicy" if is_policy else "validatingwebhookconfiguration"
        config, place = ("", 0) if is_policy else _webhook(world, cluster, name)
        if config and "failed calling webhook" in words:
            patch = json.dumps([{"op": "replace", "path": f"/webhooks/{place}/failurePolicy", "value": "Ignore"}])
            fix = kubectl(world, cluster, "patch", kind, config, "--type", "json", "-p", patch)
        else:
            which = [config or name] if config or is_policy else []
            fix = kubectl(world, cluster, "get", kind, *which, "-o", "yaml")
        yield context.found(
            ref,
            f"admission control of {cluster} refuses {ref.kind} {ref.name}: {name}",
            evidence=words,
            fix=fix,
        )


def _webhook(world: World, cluster: str, name: str) -> tuple[str, int]:
    """The configuration that a webhook is in, and its place there; empty if it is not known."""
    snapshot = world.snapshot(cluster)
    for one in () if snapshot.why_unseen(WEBHOOKS) else snapshot.list(WEBHOOKS):
        for place, webhook in enumerate(items(one, "webhooks")):
            if text(webhook, "name") == name:
                return text(one, "metadata", "name"), place
    return "", 0


@rule(
    "MCS067",
    "A quota of a member refuses an object",
    Link.DELIVERY,
    Scope.MEMBER,
    meaning="A ResourceQuota or LimitRange in the namespace of the member leaves no room for the object.",
    evidence="Condition Applied of the Work, which names the quota.",
    fix="Raise the quota, or remove other objects that use it up.",
)
def quota_refuses(context: Context) -> Iterator[Finding]:
    """The fix raises the quota to what is used and asked for, where these are plain numbers."""
    world, cluster = context.world, context.cluster
    for name, (work, words) in _by_name(context).items():
        ref = member_object(cluster, work)
        hard = {
            resource: str(int(asked) + int(used))
            for resource, asked in _quantities("requested", words).items()
            if (used := _quantities("used", words).get(resource)) is not None
        }
        patch = json.dumps({"spec": {"hard": hard}})
        yield context.found(
            ref,
            f"a quota of {cluster} refuses {ref.kind} {ref.name}" + (f": {name}" if name else ""),
            evidence=words,
            fix=kubectl(
                world, cluster, "-n", ref.namespace, "patch", "resourcequota", name, "--type=merge", "-p", patch
            )
            if name and hard
            else kubectl(world, cluster, "-n", ref.namespace, "describe", "resourcequotas,limitranges"),
        )


def _quantities(which: str, words: str) -> dict[str, str]:
    """The quantities of a quota's message, those that are plain numbers."""
    found = re.search(rf"{which}: ((?:[\w./-]+=\d+,?)+)(?:,|$| |\))", words)
    return dict(re.findall(r"([\w./-]+)=(\d+)", found[1])) if found else {}


def _by_name(context: Context) -> Mapping[str, tuple[Object, str]]:
    """What the rule's refusals name, each with the first Work and its words."""
    found: dict[str, tuple[Object, str]] = {}
    for work, match, words in refusals(context.world, context.cluster, context.rule.code):
        named = next((value for value in match.groupdict().values() if value), "") if match else ""
        found.setdefault(named, (work, words))
    return found


@rule(
    "MCS068",
    "The MultiClusterService reports what no other rule explains",
    Link.TRAFFIC,
    Scope.SERVICE,
    symptom=True,
    meaning="A condition of the MultiClusterService is not True, and no other rule has found out why.",
    evidence="The conditions of the MultiClusterService.",
    fix="Mend what the message of the condition names. If nothing is left of it, restart the controller.",
)
def condition_unexplained(context: Context) -> Iterator[Finding]:
    """The last resort, so behind all others in the chain."""
    world = context.world
    mcs = world.mcs
    if "CrossCluster" not in items(mcs, "spec", "types"):
        return
    ref = ObjectRef(CONTROL_PLANE, wk.MCS_KIND, world.name, world.namespace)
    conditions = items(mcs, "status", "conditions")
    if not conditions:
        found = context.found(
            ref, "no controller has written a condition", evidence="status.conditions is empty", fix=restart(world)
        )
        yield replace(found, severity=by_age(world, mcs))
    for one in conditions:
        if text(one, "status") != "True":
            young = is_young(world, text(one, "lastTransitionTime"))
            yield context.found(
                ref,
                f"condition {text(one, 'type')} is {text(one, 'status')}: {text(one, 'reason')}",
                evidence=text(one, "message"),
                fix=kubectl(world, CONTROL_PLANE, "-n", ref.namespace, "describe", "multiclusterservice", ref.name),
                severity=Severity.IN_PROGRESS if young else Severity.ERROR,
            )
