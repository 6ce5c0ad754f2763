"""service-export-controller: which slices the members' ServiceExports want in the control plane (contract 3.4).

Two queues. `service-export-controller` takes Works that ask for a member's ServiceExports to be followed.
`service-export` takes single ServiceExports of members, and brings a full comparison of the service's slices with what
was collected. What the collected Works should be is for `SliceCollection`, which asks `ServiceExportSource`.

Watches: Works; Clusters; and, in members, ServiceExports and EndpointSlices (see `member_watches`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from informers.meta import ObjectKey
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.collect import EXPORT, CollectFeature
from mcs_controller.domain.indexes import BY_SERVICE
from mcs_controller.domain.naming import NotAnExecutionNamespace, cluster_of_namespace
from mcs_controller.domain.reserved import RESERVED
from mcs_controller.domain.serviceexport import BY_EXPORT, BY_EXPORTER, asks_for_exports, carries_export
from mcs_controller.domain.works import origin_of
from mcs_controller.runtime.events import ObjectReference
from mcs_controller.runtime.reconcile import ClusterRequest, Request, Result, TerminalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from informers.cache.informer import Event
    from informers.cache.store import Store
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.multicluster import ServiceExport
    from mcs_controller.api.work import Work
    from mcs_controller.domain.conditions import StepResult
    from mcs_controller.domain.reserved import ReservedObjects
    from mcs_controller.domain.works import SliceRef
    from mcs_controller.members.informers import MemberInformers
    from mcs_controller.members.provider_informers import ProviderInformers
    from mcs_controller.runtime.events import Recorder


class ServiceExportReconciler:
    """Follows the ServiceExports of a member as long as a Work asks for it."""

    def __init__(
        self,
        *,
        works: Store[Work],
        exports: MemberInformers[ServiceExport],
        slices: ProviderInformers,
        enqueue_export: Callable[[ClusterRequest], None],
        recorder: Recorder | None,
        reserved: ReservedObjects = RESERVED,
    ) -> None:
        """Without a `recorder`, as in an agent, it is the control plane's controllers that tell."""
        self._works = works
        self._exports = exports
        self._slices = slices
        self._enqueue_export = enqueue_export
        self._recorder = recorder.for_component(wk.EXPORT_CONTROLLER) if recorder is not None else None
        self._reserved = reserved
        self._refused: dict[Request, str] = {}
        """Works that carry an export of a reserved Service, with their uids: each is told once."""

    async def reconcile(self, request: Request) -> Result:
        """See the class. A member that cannot be watched yet is no error: it leads back here when it can.

        Raises:
            TerminalError: the Work is in no cluster's namespace.
        """
        work = self._works.get(ObjectKey(*request))
        if work is None or not asks_for_exports(work):
            self._refused.pop(request, None)
            return Result()
        self._tell_reserved(request, work)
        try:
            cluster = cluster_of_namespace(request.namespace)
        except NotAnExecutionNamespace as error:
            raise TerminalError(f"Work {request}: {error}") from error
        self._exports.ensure(cluster)
        self._slices.ensure(cluster)
        export = EXPORT.labelled_service(work)
        if export is not None:
            self._enqueue_export(ClusterRequest(cluster, *export))
        return Result()

    def _tell_reserved(self, request: Request, work: Work) -> None:
        ref, meta = work.ref, work.metadata
        if self._recorder is None or ref is None or not carries_export(work) or self._refused.get(request) == meta.uid:
            return
        if (problem := self._reserved.export_problem(ref.namespace, ref.name)) is not None:
            self._refused[request] = meta.uid
            about = ObjectReference(
                api_version=wk.WORK_API_VERSION,
                kind=wk.WORK_KIND,
                namespace=meta.namespace,
                name=meta.name,
                uid=meta.uid,
            )
            message = f"ServiceExport {ref.namespace}/{ref.name} has no effect: {problem}"
            self._recorder.event(about, "Warning", wk.EVENT_RESERVED_OBJECT, message)

    def requests_for_work(self, event: Event[Work]) -> Iterable[Request]:
        """Works that may ask for a member's ServiceExports to be followed."""
        work = event.object
        relevant = carries_export(work) or EXPORT.labelled_service(work) is not None
        return (Request(work.metadata.namespace, work.metadata.name),) if relevant else ()

    def requests_in(self, cluster: str) -> list[Request]:
        """The Works that ask for the cluster's ServiceExports to be followed."""
        works = self._works.by_index(BY_EXPORTER, cluster)
        return [Request(work.metadata.namespace, work.metadata.name) for work in works]


class ExportedSlicesReconciler:
    """Has every slice of one exported service looked at, and everything that was collected for it."""

    def __init__(
        self, *, works: Store[Work], slices: ProviderInformers, enqueue_slice: Callable[[ClusterRequest], None]
    ) -> None:
        self._works = works
        self._slices = slices
        self._enqueue_slice = enqueue_slice

    async def reconcile(self, request: ClusterRequest) -> Result:
        """See the class. Whether the ServiceExport is there is asked when a slice's turn comes."""
        for work in self._works.by_index(BY_EXPORT, tuple(request)):
            origin = origin_of(work)
            if origin is not None:
                self._enqueue_slice(ClusterRequest(*origin))
        slices = self._slices.slices(request.cluster)
        service = (request.namespace, request.name)
        for slice_ in slices.by_index(BY_SERVICE, service) if slices is not None else ():
            self._enqueue_slice(ClusterRequest(request.cluster, slice_.metadata.namespace, slice_.metadata.name))
        return Result()

    def requests_in(self, exports: MemberInformers[ServiceExport], cluster: str) -> set[ClusterRequest]:
        """Every ServiceExport of the cluster, and everything that was collected for one."""
        store = exports.objects(cluster)
        found = {ClusterRequest(cluster, *key) for key in (store.keys() if store is not None else ())}
        for work in self._works.by_index(BY_EXPORTER, cluster):
            if (export := EXPORT.labelled_service(work)) is not None:
                found.add(ClusterRequest(cluster, *export))
        return found


class ServiceExportSource:
    """The slices that members' ServiceExports request to be collected, for `SliceCollection`."""

    feature: CollectFeature = EXPORT

    def __init__(
        self,
        *,
        exports: MemberInformers[ServiceExport],
        clusters: Store[Cluster],
        reserved: ReservedObjects = RESERVED,
    ) -> None:
        self._exports = exports
        self._reserved = reserved
        self._clusters = clusters

    def wants(self, cluster: str, service: tuple[str, str]) -> bool | None:
        """Whether the service is exported there; None as long as the member's ServiceExports are not known.

        A Service that every cluster has of its own never is, nor one of a namespace that is not the members' affair.
        """
        if self._reserved.export_problem(*service) is not None:
            return False
        registered = self._clusters.get(ObjectKey("", cluster))
        if registered is None:
            return False  # its Cluster was removed by force, and left this behind
        exports = self._exports.objects(cluster)
        if exports is not None:
            return exports.get(ObjectKey(*service)) is not None
        # A member without the kind has none. Two have to say so: a 404 alone may come from something on the way.
        if not self._exports.is_refused(cluster):
            return None
        served = registered.serves(wk.MULTICLUSTER_API_VERSION, wk.SERVICE_EXPORT_KIND)
        return False if served == "Disabled" else None

    def report(self, origin: SliceRef, service: tuple[str, str] | None, outcome: StepResult) -> None:
        """No report: a ServiceExport has no conditions and no events here. Failures are logged and retried."""
