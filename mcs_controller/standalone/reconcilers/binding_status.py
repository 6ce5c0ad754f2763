"""resource-binding-status-controller: the status of a ResourceBinding from that of its Works (contract 4.6).

Key: the ResourceBinding. Watches, all of the control plane:

    ResourceBindings   itself                       indexed by `domain.binding.BINDING_INDEXES`
    Works              `binding.requests_for_work`  indexed by `domain.binding.WORK_INDEXES`
    LoadBalancers      `requests_for_service`       Services of type LoadBalancer only: `LOADBALANCERS` with field
                                                    selector `LOADBALANCER_SELECTOR`

The last is an informer of its own and holds next to nothing: the other controllers' Services come without their status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from informers.errors import KubeError, NotFound
from informers.meta import ObjectMeta
from informers.resource import Resource
from mcs_controller.domain import well_known as wk
from mcs_controller.runtime.reconcile import Request, Result
from mcs_controller.standalone.domain.binding import BY_TEMPLATE
from mcs_controller.standalone.domain.binding_status import plan_ingress, plan_status
from mcs_controller.standalone.reconcilers.binding import binding_reference, template_reference, works_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from informers.cache.cached_client import CachedClient
    from informers.cache.event import Event
    from informers.cache.store import Store
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.api.work import Work
    from mcs_controller.key_mutex import KeyMutex
    from mcs_controller.runtime.events import Recorder
    from workqueue.clock import Clock

LOADBALANCER_SELECTOR: Final = "spec.type=LoadBalancer"


class LoadBalancer(msgspec.Struct, frozen=True):
    """A Service of type LoadBalancer: nothing but its status."""

    metadata: ObjectMeta
    ingress: tuple[dict[str, Any], ...] = ()


class _LoadBalancerStatus(msgspec.Struct, frozen=True):
    ingress: tuple[dict[str, Any], ...] | None = None


class _ServiceStatus(msgspec.Struct, frozen=True, rename="camel"):
    load_balancer: _LoadBalancerStatus = _LoadBalancerStatus()


class _Wire(msgspec.Struct):
    metadata: ObjectMeta
    status: _ServiceStatus = _ServiceStatus()


_wire = msgspec.json.Decoder(_Wire)


def decode_loadbalancer(raw: bytes | msgspec.Raw) -> LoadBalancer:
    """Decode a Service."""
    wire = _wire.decode(raw)
    return LoadBalancer(metadata=wire.metadata, ingress=wire.status.load_balancer.ingress or ())


LOADBALANCERS: Final[Resource[LoadBalancer]] = Resource(
    group="", version="v1", plural="services", kind=wk.SERVICE_KIND, decode=decode_loadbalancer
)


class BindingStatusReconciler:
    """Writes a ResourceBinding's aggregated status, and the addresses of a load balancer into its Service."""

    def __init__(
        self,
        *,
        bindings: CachedClient[ResourceBinding],
        works: Store[Work],
        loadbalancers: CachedClient[LoadBalancer],
        recorder: Recorder,
        clock: Clock,
        binding_locks: KeyMutex[Request],
    ) -> None:
        """`binding_locks` says who writes a binding when."""
        self._bindings = bindings
        self._works = works
        self._loadbalancers = loadbalancers
        self._recorder = recorder.for_component(wk.BINDING_STATUS_CONTROLLER)
        self._clock = clock
        self._binding_locks = binding_locks

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what the API server says, except that the object is gone."""
        async with self._binding_locks.hold(request):
            binding = self._bindings.get(request.namespace, request.name)
            if binding is None or binding.metadata.deletion_timestamp is not None:
                return Result()
            works = works_of(binding, self._works)
            try:
                await self._write(binding, works)
            except NotFound:
                return Result()
        await self._publish_addresses(binding, works)
        return Result()

    async def _write(self, binding: ResourceBinding, works: Iterable[Work]) -> None:
        meta, now = binding.metadata, self._clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")
        if (patch := plan_status(binding, works, now)) is not None:
            await self._bindings.patch(meta.namespace, meta.name, patch, subresource="status")
            message = f"Update ResourceBinding({meta.namespace}/{meta.name}) with AggregatedStatus successfully."
            self._recorder.event(binding_reference(binding), "Normal", wk.EVENT_AGGREGATE_STATUS_SUCCEED, message)

    async def _publish_addresses(self, binding: ResourceBinding, works: Iterable[Work]) -> None:
        resource = binding.spec.resource
        if (resource.api_version, resource.kind) != ("v1", wk.SERVICE_KIND):
            return
        service = self._loadbalancers.get(resource.namespace, resource.name)
        if service is None:
            return
        ingress = plan_ingress(works, service.ingress)
        if ingress is None:
            return
        body = {"status": {"loadBalancer": {"ingress": ingress}}}
        reference = template_reference(binding)
        try:
            await self._loadbalancers.patch(resource.namespace, resource.name, body, subresource="status")
        except NotFound:
            return
        except KubeError as error:
            message = f"Failed to update the status of Service({resource.namespace}/{resource.name}): {error}"
            self._recorder.event(reference, "Warning", wk.EVENT_AGGREGATE_STATUS_FAILED, message)
            raise
        message = f"Update Service({resource.namespace}/{resource.name}) with AggregatedStatus successfully."
        self._recorder.event(reference, "Normal", wk.EVENT_AGGREGATE_STATUS_SUCCEED, message)

    def requests_for_service(self, event: Event[LoadBalancer]) -> Iterable[Request]:
        """Bindings of a Service whose addresses may have to be written (again)."""
        if event.new is None:
            return ()
        meta = event.new.metadata
        found = self._bindings.store.by_index(BY_TEMPLATE, ("v1", wk.SERVICE_KIND, meta.namespace, meta.name))
        return [Request(binding.metadata.namespace, binding.metadata.name) for binding in found]
