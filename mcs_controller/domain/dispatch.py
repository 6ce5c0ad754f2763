"""Dispatching collected slices to consumers (contract 3.3)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from informers.errors import UNDECODABLE
from informers.patches import plan_remove_finalizer
from mcs_controller.api.common import parse_time
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.addresses import ADDRESS_RULES, AddressRules
from mcs_controller.domain.collect import free_name
from mcs_controller.domain.endpoint_selection import UNDECIDED, Endpoint, endpoints_in
from mcs_controller.domain.naming import (
    dispatched_slice_name,
    dispatched_slice_names,
    execution_namespace,
    work_name,
)
from mcs_controller.domain.ports import Ports, expose, without_topology
from mcs_controller.domain.selection import Clusters, SkippedCluster, consumers_of, skip_reason
from mcs_controller.domain.withdrawal import service_gone_due, withdrawal_due, withdrawal_period
from mcs_controller.domain.works import (
    PatchWork,
    Role,
    SliceRef,
    Target,
    WorkIntent,
    WorkTerminating,
    WorkWrite,
    cluster_of,
    delete_work,
    origin_of,
    plan_work,
    role_of,
    service_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mcs_controller.api.common import JsonObject
    from mcs_controller.api.core import Service
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.work import Work
    from mcs_controller.domain.addresses import Finding
    from mcs_controller.domain.collect import FindWork
    from mcs_controller.domain.endpoint_selection import Decision

    FindByCopyName = Callable[[Target], Sequence[Work]]
    """The dispatched Works that make that slice in a consumer."""


_SELECTION_MARKS: Final = frozenset({wk.TIER, wk.OFFERED})


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchPolicy:
    """What the flags say about all slices. The defaults are Karmada's behaviour.

    Attributes:
        strip_topology: leave out what says where in its own cluster an endpoint is.
        withdraw_after: seconds that a provider may be not ready before its endpoints go; 0 is for ever.
        addresses: which ones a provider may give its endpoints.
    """

    strip_topology: bool = False
    withdraw_after: float = 0.0
    addresses: AddressRules = ADDRESS_RULES


@dataclass(frozen=True, slots=True)
class Copy:
    """One consumer's copy: the write that it needs."""

    cluster: str
    write: WorkWrite


@dataclass(frozen=True, slots=True)
class DispatchPlan:
    """What one collected slice needs in the consumers.

    Attributes:
        copies: writes in the consumers' execution namespaces, independent of each other.
        release: collected Works whose finalizer may go once no copy is left.
        skips: consumers that have to wait, or the provider, if its endpoints are withdrawn.
        service: the service that the slice is filed under, if it is dispatched at all.
        ports: how the slice's ports compare with those that the service lists; None if either has none.
        problem: what in the service cannot be made sense of, and is ignored.
        look_again: in how many seconds the copies are to be withdrawn; None if that is not under way.
        addresses: of the slice, those that were left out, or are suspicious.
        consumers: who has a copy after these writes.
        triggered: when what led to the last change of the endpoints happened, by the provider's clocks.
    """

    copies: tuple[Copy, ...]
    release: tuple[PatchWork, ...]
    skips: tuple[SkippedCluster, ...]
    service: tuple[str, str] | None
    ports: Ports | None = None
    problem: str | None = None
    look_again: float | None = None
    addresses: tuple[Finding, ...] = ()
    triggered: datetime | None = field(default=None, compare=False)
    consumers: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchContext:
    """What the plans of all slices look things up in.

    Attributes:
        service: finds a MultiClusterService.
        template: finds the Service in the control plane.
        gone_for: how many seconds ago the control plane was first seen without that Service; None if it is there.
        clusters: every registered Cluster.
        find: finds any Work by namespace and name.
        find_by_copy_name: finds dispatched Works by what they make in the consumer.
        new_id: see `plan_work`.
        policy: see there.
        decisions: what the consumers of a service are offered, by cluster; None for everything.
    """

    service: Callable[[tuple[str, str]], MultiClusterService | None]
    template: Callable[[tuple[str, str]], Service | None]
    gone_for: Callable[[tuple[str, str]], float | None]
    clusters: Clusters
    find: FindWork
    find_by_copy_name: FindByCopyName
    new_id: Callable[[], str]
    policy: DispatchPolicy
    decisions: Callable[[MultiClusterService], Mapping[str, Decision] | None] = lambda _: None


def plan_dispatch(
    origin: SliceRef, collected: Sequence[Work], copies: Sequence[Work], context: DispatchContext, now: datetime
) -> DispatchPlan:
    """Which Works the consumers' execution namespaces should hold for one provider's slice.

    Args:
        origin: the slice.
        collected: the control plane's copies of it (one, unless something went wrong).
        copies: every dispatched Work of it, in any namespace.
        context: where to look things up.
        now: the wall clock.

    A plan that was applied is empty afterwards. Consumers that cannot be used keep what they have. A slice none of
    whose ports is listed has no copies: without ports it would offer nothing. Of a Service that is gone no copy is
    made; those that are there stay for a moment, so nobody who begins in the midst of it brings back what has gone.
    """
    living = (work for work in collected if _is_live(work) and work.manifests)
    source = next((work for work in living if service_of(work) is not None), None)
    release = tuple(
        patch for work in collected if work is not source and (patch := release_collected(work)) is not None
    )
    labelled_service = service_of(source) if source is not None else None
    if source is None or labelled_service is None:
        return DispatchPlan(_delete_all(copies), release, (), None)
    mcs = context.service(labelled_service)
    if mcs is None:
        return DispatchPlan((), release, (), None)
    period, problem = withdrawal_period(mcs, context.policy.withdraw_after)
    plan = DispatchPlan((), release, (), labelled_service, problem=problem)
    due = withdrawal_due(context.clusters.get(origin.cluster), period, now)
    if due is not None and due <= 0:
        reason = f"its endpoints are withdrawn, as it has been not ready for {period:g} s"
        withdrawn = SkippedCluster(origin.cluster, wk.EVENT_ENDPOINTS_WITHDRAWN, reason)
        return replace(plan, copies=_delete_all(copies), skips=(withdrawn,))
    gone = service_gone_due(context.gone_for(labelled_service))
    if gone is not None and gone <= 0:
        return replace(plan, copies=_delete_all(copies))
    plan = replace(plan, look_again=min((one for one in (due, gone) if one is not None), default=None))
    if gone is not None and mcs.ports:
        # What the numbers stand for is the Service's to say: the copies stay as they are.
        return plan
    content = source.manifests[0].decode()
    ports = _restrict(content, mcs, context.template, context.policy)
    if ports is not None and not ports.exposed:
        return replace(plan, copies=_delete_all(copies), ports=ports, look_again=None)
    addresses = context.policy.addresses.restrict(origin.cluster, content)
    wanted, skips, consumers = _plan_copies(origin, source, content, mcs, copies, context, making=gone is None)
    triggered = _trigger_time(content)
    plan = replace(plan, copies=wanted, skips=skips, ports=ports, addresses=addresses)
    return replace(plan, triggered=triggered, consumers=consumers)


def endpoints_to_dispatch(
    collected: Work, origin: SliceRef, mcs: MultiClusterService, template: Service | None, policy: DispatchPolicy
) -> tuple[Endpoint, ...]:
    """The endpoints of a collected slice that consumers could have: none of a slice that has no listed port."""
    try:
        content = collected.manifests[0].decode() if collected.manifests else {}
    except UNDECODABLE:
        return ()
    ports = _restrict(content, mcs, lambda _: template, policy)
    if ports is not None and not ports.exposed:
        return ()
    policy.addresses.restrict(origin.cluster, content)
    endpoints = [one for one in content.get("endpoints") or () if one.get("addresses")]
    return tuple(
        Endpoint(origin, one["addresses"][0], (one.get("conditions") or {}).get("ready") is not False)
        for one in endpoints
    )


def _trigger_time(content: JsonObject) -> datetime | None:
    annotations = (content.get("metadata") or {}).get("annotations") or {}
    return parse_time(annotations.get(wk.TRIGGER_TIME))


def _plan_copies(
    origin: SliceRef,
    source: Work,
    content: JsonObject,
    mcs: MultiClusterService,
    copies: Sequence[Work],
    context: DispatchContext,
    *,
    making: bool,
) -> tuple[tuple[Copy, ...], tuple[SkippedCluster, ...], tuple[str, ...]]:
    """The writes that make every consumer's copy hold the content, the consumers that have to wait, and the others.

    Without `making` only copies that are there are looked at. Whom a Service that is gone does not reach is not said
    then: whoever begins would say it for a moment.
    """
    wanted: list[Copy] = []
    skips: list[SkippedCluster] = []
    served: list[str] = []
    kept: set[tuple[str, str]] = set()
    decisions = context.decisions(mcs)
    for consumer in consumers_of(mcs, context.clusters):
        if consumer == origin.cluster:
            continue
        namespace = execution_namespace(consumer)
        there = _copy_in(namespace, copies, source.metadata.name)
        if there is not None:
            kept.add((namespace, there.metadata.name))
        if (skip := skip_reason(consumer, context.clusters)) is not None:
            skips += [skip] if making else []
            continue
        slice_name = _slice_name(namespace, origin, there, context.find_by_copy_name)
        if there is not None and there.ref is not None and there.ref.name != slice_name:
            # A Work that brought something else from now on would leave what it brought before in the member.
            wanted.extend(_delete_all((there,)))
            continue
        name = there.metadata.name if there is not None else _copy_name(namespace, origin, source, context.find)
        observed = there or context.find(namespace, name)
        if observed is None and not making:
            continue
        decision = decisions.get(consumer, UNDECIDED) if decisions is not None else None
        marks = _selection_marks(decision, origin, there)
        offered = _select(content, decision, origin, there)
        intent = _dispatched_intent(namespace, name, slice_name, origin, mcs, offered, marks)
        try:
            write = plan_work(intent, observed, context.new_id)
        except WorkTerminating:
            continue
        served.append(consumer)
        if write is not None:
            wanted.append(Copy(consumer, write))
    stale = [work for work in copies if (work.metadata.namespace, work.metadata.name) not in kept]
    return (*wanted, *_delete_all(stale)), tuple(skips), tuple(served)


def _restrict(
    content: JsonObject,
    mcs: MultiClusterService,
    template: Callable[[tuple[str, str]], Service | None],
    policy: DispatchPolicy,
) -> Ports | None:
    """Take out of a collected slice what its consumers are not to see. Returns how the ports compare."""
    if policy.strip_topology and content.get("endpoints"):
        content["endpoints"] = without_topology(content["endpoints"])
    # A Service that nobody serves has a slice without endpoints and ports: nothing to compare, and nothing wrong.
    if not mcs.ports or not content.get("ports"):
        return None
    ports = expose(mcs.ports, template((mcs.metadata.namespace, mcs.metadata.name)), content["ports"])
    content["ports"] = list(ports.exposed)
    return ports


def _select(content: JsonObject, decision: Decision | None, origin: SliceRef, there: Work | None) -> JsonObject:
    """The slice with those of its endpoints that the consumer is offered.

    A copy stays, be it empty: to fill one is quicker than to make one, and needs no room that may be gone by then.
    """
    if decision is None or not content.get("endpoints"):
        return content
    addresses = decision.offers(origin)
    if not decision.known:
        addresses = frozenset(one.address for one in endpoints_in(there, origin)) if there is not None else frozenset()
    if addresses is None:
        return content
    offered = [one for one in content["endpoints"] if one["addresses"] and one["addresses"][0] in addresses]
    return {**content, "endpoints": offered}


def _selection_marks(decision: Decision | None, origin: SliceRef, there: Work | None) -> dict[str, str]:
    """The annotations of a dispatched Work that tell of tiers. As long as nothing is decided they stay as they are."""
    if decision is None:
        return {}
    if decision.known:
        addresses = decision.offers(origin)
        how = wk.OFFERED_WHOLE if addresses is None else wk.OFFERED_PART if addresses else wk.OFFERED_NONE
        return {wk.TIER: decision.tier_of.get(origin.cluster, wk.TIER_NONE), wk.OFFERED: how}
    if there is None:
        return {wk.TIER: wk.TIER_NONE, wk.OFFERED: wk.OFFERED_NONE}
    return {key: there.metadata.annotations[key] for key in _SELECTION_MARKS & there.metadata.annotations.keys()}


def release_collected(work: Work) -> PatchWork | None:
    """Take the dispatcher's finalizer off a collected Work that is no longer dispatched; None if it is not there."""
    body = plan_remove_finalizer(work, wk.DISPATCH_FINALIZER)
    return PatchWork(work.metadata.namespace, work.metadata.name, body) if body is not None else None


def is_unreadable(work: Work) -> bool:
    """Whether a collected Work that is being deleted holds no slice (any more), and waits for the dispatcher."""
    meta = work.metadata
    return meta.deletion_timestamp is not None and wk.DISPATCH_FINALIZER in meta.finalizers and origin_of(work) is None


def _is_live(work: Work) -> bool:
    return work.metadata.deletion_timestamp is None


def _delete_all(copies: Sequence[Work]) -> tuple[Copy, ...]:
    return tuple(Copy(cluster_of(work) or "", delete_work(work)) for work in copies if _is_live(work))


def _copy_in(namespace: str, copies: Sequence[Work], preferred: str) -> Work | None:
    """The copy in that namespace; of several, the one whose name other readers would compute."""
    there = [work for work in copies if work.metadata.namespace == namespace]
    return next((work for work in there if work.metadata.name == preferred), there[0] if there else None)


def _copy_name(namespace: str, origin: SliceRef, source: Work, find: FindWork) -> str:
    """The collected Work's own name, as the contract has it, unless another Work is there already.

    That happens when two providers have slices of the same name, or the consumer provides one itself.
    """
    service = service_of(source)

    def usable(occupant: Work) -> bool:
        """Whether it is this very copy, garbled."""
        meta = occupant.metadata
        return (
            role_of(occupant) is Role.OTHER
            and meta.annotations.get(wk.PROVISION_CLUSTER) == origin.cluster
            and service_of(occupant) == service
            and meta.deletion_timestamp is None
        )

    return free_name(namespace, _copy_names(origin, source), find, usable)


def _slice_name(namespace: str, origin: SliceRef, there: Work | None, find_by_copy_name: FindByCopyName) -> str:
    """What the copy is called in the consumer: as the contract has it, unless another slice is called so already.

    Cluster a-b with slice c and cluster a with slice b-c both ask for a-b-c. Who comes second gets another name, and
    keeps it: a slice that is renamed leaves its former self behind in the member. Should both have come at once, the
    one that sorts last gives way.
    """
    *names, last = dispatched_slice_names(origin.cluster, origin.name)
    current = there.ref.name if there is not None and there.ref is not None else ""
    if current == last:
        return last
    for name in names[names.index(current) if current in names else 0 :]:
        found = (origin_of(work) for work in find_by_copy_name(Target(namespace, origin.namespace, name)))
        claimants = [one for one in found if one is not None]
        if not claimants or (there is not None and min(claimants) >= origin):
            return name
    return last


def _copy_names(origin: SliceRef, source: Work) -> Iterator[str]:
    yield source.metadata.name
    distinct = dispatched_slice_name(origin.cluster, origin.name)
    yield work_name(wk.SLICE_KIND, origin.namespace, distinct)
    for turn in itertools.count(1):
        yield work_name(wk.SLICE_KIND, origin.namespace, f"{distinct}-dispatched-{turn}")


def _dispatched_intent(
    namespace: str,
    name: str,
    slice_name: str,
    origin: SliceRef,
    mcs: MultiClusterService,
    content: JsonObject,
    marks: dict[str, str],
) -> WorkIntent:
    annotations = {wk.PROVISION_CLUSTER: origin.cluster, **marks}
    if slice_name != dispatched_slice_name(origin.cluster, origin.name):
        annotations[wk.PROVISION_NAME] = origin.name
    metadata: JsonObject = {
        "name": slice_name,
        "namespace": origin.namespace,
        "labels": {wk.SERVICE_NAME: mcs.metadata.name, wk.SLICE_MANAGED_BY: wk.SLICE_DISPATCHER},
        "annotations": {wk.PROVISION_CLUSTER: origin.cluster},
    }
    generate_name = (content.get("metadata") or {}).get("generateName")
    if generate_name:
        metadata["generateName"] = generate_name
    return WorkIntent(
        namespace=namespace,
        name=name,
        manifest={
            "apiVersion": wk.SLICE_API_VERSION,
            "kind": wk.SLICE_KIND,
            "metadata": metadata,
            "addressType": content.get("addressType"),
            "endpoints": content.get("endpoints") or None,
            "ports": content.get("ports") or None,
        },
        labels={wk.MCS_NAMESPACE: mcs.metadata.namespace, wk.MCS_NAME: mcs.metadata.name},
        annotations=annotations,
        without_annotations=_SELECTION_MARKS - marks.keys(),
        finalizers=(wk.EXECUTION_FINALIZER,),
    )
