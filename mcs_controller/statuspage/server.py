"""Routes and access control of the status page. It reads caches only, so it costs API servers nothing."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from mcs_controller.api import resources
from mcs_controller.domain.indexes import BY_SERVICE
from mcs_controller.reconcilers.registered_clusters import RegisteredClusters
from mcs_controller.runtime.freshness import ages
from mcs_controller.statuspage.html import POLICY, render
from mcs_controller.statuspage.model import (
    CacheView,
    Listing,
    Overview,
    Query,
    ServicesView,
    select_services,
    view_caches,
    view_clusters,
    view_errors,
    view_flows,
    view_service,
    view_services,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from informers.cache.factory import InformerFactory
    from informers.cache.informer import SharedInformer
    from informers.resource import Resource
    from mcs_controller.statuspage.errors import RecentErrors
    from mcs_controller.statuspage.model import ProcessView
    from workqueue.clock import Clock

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class StatusPage:
    """Observes the caches of a process for each request."""

    def __init__(
        self,
        *,
        process: Callable[[], ProcessView],
        informers: InformerFactory,
        clusters: Callable[[], Mapping[str, InformerFactory]],
        errors: RecentErrors,
        clock: Clock,
        unserved: str = "",
    ) -> None:
        """Watches nothing of its own.

        Args:
            process: the process now.
            informers: those of the control plane.
            clusters: by name, those of each member that is connected.
            errors: the latest of the log.
            clock: for ages.
            unserved: why this process serves no MultiClusterService, if it does not.
        """
        self._process = process
        self._informers = informers
        self._members = clusters
        self._errors = errors
        self._clock = clock
        self._unserved = unserved
        self._turn = asyncio.Lock()

    async def overview(self, query: Query) -> Overview:
        """What is known now. One at a time: many together would keep the event loop from the lease."""
        async with self._turn:
            await asyncio.sleep(0)
            return await self._overview(query)

    async def _overview(self, query: Query) -> Overview:
        members = self._members()
        caches = [*self._caches("", self._informers)]
        for name, informers in members.items():
            caches += self._caches(name, informers)
        clusters = self._control_plane(resources.CLUSTERS)
        registered = RegisteredClusters(clusters.store) if clusters is not None else None
        services = await self._services(query, registered) if registered is not None else None
        ages = {
            one.cluster: one.age
            for one in caches
            if one.resource == str(resources.ENDPOINTSLICES) and one.age is not None
        }
        return Overview(
            at=self._clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ"),
            process=self._process(),
            query=query,
            services=services,
            unserved="" if services is not None else self._unserved or "no controller that is enabled here does",
            flows=view_flows(services.shown, ages) if services is not None else Listing(),
            clusters=view_clusters(registered.values(), members, caches) if registered is not None else Listing(),
            caches=view_caches(caches),
            errors=view_errors(self._errors.views()),
        )

    def routes(self) -> list[web.RouteDef]:
        """The page, at the root of its server."""
        return [web.get("/", self._answer)]

    async def _answer(self, request: web.Request) -> web.Response:
        if not is_own_name(request.headers.get("Host", "")):
            # A web page elsewhere may give its own name this address, and have a browser read what is served here.
            raise web.HTTPMisdirectedRequest(text="Ask by address, as localhost, or by the name of a Service.\n")
        page = await self.overview(Query.parse(request.query))
        wants_json = request.query.get("output") == "json" or _prefers_json(request.headers.get("Accept", ""))
        if wants_json:
            body, kind = msgspec.json.encode(page), "application/json"
        else:
            body, kind = render(page).encode(), "text/html"
        return web.Response(body=body, content_type=kind, charset="utf-8", headers={**_HEADERS, "Vary": "Accept"})

    def _control_plane(self, resource: Resource[Any]) -> SharedInformer[Any] | None:
        return next((one for one in self._informers.informers if one.resource is resource), None)

    async def _services(self, query: Query, clusters: RegisteredClusters) -> ServicesView | None:
        services, works = self._control_plane(resources.MULTICLUSTERSERVICES), self._control_plane(resources.WORKS)
        if services is None or works is None:
            return None
        selected = select_services(services.store.values(), query)
        views = []
        for mcs in selected.shown:
            found = works.store.by_index(BY_SERVICE, (mcs.metadata.namespace, mcs.metadata.name))
            views.append(view_service(mcs, list(found), clusters))
            await asyncio.sleep(0)  # all else has its turn after each: a service may have many endpoints
        return view_services(selected, views)

    def _caches(self, cluster: str, informers: InformerFactory) -> Iterator[CacheView]:
        """Collections of one kind together, as in the metrics."""
        kinds: dict[str, list[SharedInformer[Any]]] = {}
        for informer in informers.informers:
            kinds.setdefault(str(informer.resource), []).append(informer)
        oldest: dict[str, float] = {}
        for informer, seconds in ages(informers.informers, self._clock.monotonic()):
            oldest[str(informer.resource)] = max(seconds, oldest.get(str(informer.resource), 0.0))
        for resource, found in kinds.items():
            yield CacheView(
                cluster=cluster,
                resource=resource,
                objects=sum(len(one.store) for one in found),
                bytes=sum(one.cached_bytes for one in found),
                age=oldest.get(resource),
            )


def _prefers_json(accept: str) -> bool:
    """Whether JSON is named before HTML, as a browser never does."""
    kinds = [each.partition(";")[0].strip().lower() for each in accept.split(",")]
    return "application/json" in kinds and "text/html" not in kinds[: kinds.index("application/json")]


def is_own_name(host: str) -> bool:
    """Whether a Host header is an address, localhost, or a name inside a cluster: none that anybody could register."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or "." not in name.strip(".") or name.endswith((".svc", ".svc.cluster.local"))
    return True
