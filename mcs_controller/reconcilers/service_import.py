"""service-import-controller: the derived Service of each ServiceImport of the control plane (contract 3.6).

Key: the ServiceImport. Watches: ServiceImports; Services, of which those are looked at whose names are derived ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from informers.errors import AlreadyExists, Conflict, KubeError
from informers.meta import ObjectKey
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import derived_service_name
from mcs_controller.domain.reserved import RESERVED
from mcs_controller.domain.serviceimport import (
    import_of,
    is_followed,
    is_made_here,
    is_user_owned,
    plan_derived,
    plan_ingress,
)
from mcs_controller.runtime.events import ObjectReference
from mcs_controller.runtime.reconcile import Request, Result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from informers.cache.cached_client import CachedClient
    from informers.cache.informer import Event
    from informers.cache.store import Store
    from mcs_controller.api.core import Service
    from mcs_controller.api.multicluster import ServiceImport
    from mcs_controller.domain.reserved import ReservedObjects
    from mcs_controller.runtime.events import Recorder

_SOMEBODYS_OWN = "has a selector, another type or no cluster IP: it is somebody's own, and left alone"


class ServiceImportReconciler:
    """Creates and updates the derived Service of a ServiceImport, and deletes it with the ServiceImport."""

    def __init__(
        self,
        *,
        imports: Store[ServiceImport],
        services: CachedClient[Service],
        recorder: Recorder,
        reserved: ReservedObjects = RESERVED,
    ) -> None:
        self._imports = imports
        self._reserved = reserved
        self._services = services
        self._recorder = recorder.for_component(wk.SERVICE_IMPORT_CONTROLLER)
        self._departed: set[Request] = set()
        """ServiceImports that were seen to go, and whose Services may still be there."""
        self._reported: dict[Request, str] = {}
        """What the latest event about a failure said."""

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what the API server says; people are told by an event, once per change."""
        found = self._imports.get(ObjectKey(*request))
        if found is None:
            await self._remove(request)
            return Result()
        self._departed.discard(request)
        if not is_followed(found):
            return Result()
        for name in (request.name, derived_service_name(request.name)):
            if (problem := self._reserved.problem(wk.SERVICE_KIND, request.namespace, name)) is not None:
                self._tell_failure(request, found, f"No Service is made: {problem}.")
                return Result()
        occupant = self._services.get(request.namespace, derived_service_name(request.name))
        if occupant is not None and is_user_owned(occupant):
            # It is left as it is until somebody removes it or makes another of it, either of which leads back here.
            self._tell_failure(request, found, f"Service {occupant.metadata.name} is there, and {_SOMEBODYS_OWN}.")
            return Result()
        try:
            wrote = await self._write_service(request, found)
        except KubeError as error:
            # Somebody was faster, and the cache does not show it yet: the next try is due in milliseconds.
            if not isinstance(error, Conflict | AlreadyExists):
                self._tell_failure(request, found, str(error))
            raise
        failed_before = self._reported.pop(request, None) is not None
        if wrote or failed_before:
            message = f"Sync derived service for serviceImport({request.name}) succeed."
            self._recorder.event(_reference(found), "Normal", wk.EVENT_SYNC_DERIVED_SERVICE_SUCCEED, message)
        return Result()

    async def _write_service(self, request: Request, found: ServiceImport) -> bool:
        """Write what is missing; whether anything was."""
        name = derived_service_name(request.name)
        service = self._services.get(request.namespace, name)
        if service is not None and service.metadata.deletion_timestamp is not None:
            return False  # its end leads back here
        planned = plan_derived(found, service)
        if planned is not None:
            create, body = planned
            if create:
                service = await self._services.create(body, request.namespace)
            else:
                service = await self._services.patch(request.namespace, name, body)
        assert service is not None
        status = plan_ingress(found, service)
        if status is not None:
            await self._services.patch(request.namespace, name, status, subresource="status")
        return planned is not None or status is not None

    async def _remove(self, request: Request) -> None:
        self._reported.pop(request, None)
        service = self._services.get(request.namespace, derived_service_name(request.name))
        departed = request in self._departed and service is not None and not is_user_owned(service)
        if service is not None and (departed or is_made_here(service)):
            meta = service.metadata
            await self._services.delete(meta.namespace, meta.name, uid=meta.uid)
        self._departed.discard(request)

    def _tell_failure(self, request: Request, found: ServiceImport, message: str) -> None:
        if self._reported.get(request) != message:
            self._reported[request] = message
            self._recorder.event(_reference(found), "Warning", wk.EVENT_SYNC_DERIVED_SERVICE_FAILED, message)

    def requests_for_import(self, event: Event[ServiceImport]) -> Iterable[Request]:
        """The ServiceImport itself; that it went is remembered."""
        request = Request(event.object.metadata.namespace, event.object.metadata.name)
        if event.new is None:
            self._departed.add(request)
        return (request,)

    def requests_for_service(self, event: Event[Service]) -> Iterable[Request]:
        """The ServiceImport that makes a Service of this name, if it is one that could be made so."""
        name = import_of(event.object)
        return (Request(event.object.metadata.namespace, name),) if name is not None else ()


def _reference(service_import: ServiceImport) -> ObjectReference:
    meta = service_import.metadata
    return ObjectReference(
        api_version=wk.MULTICLUSTER_API_VERSION,
        kind=wk.SERVICE_IMPORT_KIND,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
    )
