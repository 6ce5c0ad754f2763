"""The verbs of the Kubernetes API, for one API server.

It retries nothing: who asked knows whether asking again makes sense, and :mod:`informers.errors` tells what failed.
(Only aiohttp repeats a GET once if a kept-alive connection turns out to be dead. A write is never repeated.)
How requests travel is in :mod:`informers.client.transport`, what watch events mean in :mod:`informers.watch.watcher`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from informers.client.nesting import cut
from informers.client.transport import (
    GUARD_ANSWER_SECONDS,
    GUARD_SECONDS,
    MAX_OBJECT_BYTES,
    MAX_PAGE_BYTES,
    NO_CLIENT_METRICS,
    ClientMetrics,
    Lines,
    RawResponse,
    Transport,
)
from informers.client.wire import ListPage, TooDeep, Versions, decode_kind, decode_page, decode_versions
from informers.errors import UNDECODABLE, DecodeError, from_response
from informers.meta import KubeObject, ObjectKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self

    from informers.client.config import ClientConfig
    from informers.resource import Resource
    from workqueue.clock import Clock
    from workqueue.token_bucket import TokenBucket

T = TypeVar("T", bound=KubeObject)

MERGE_PATCH: Final = "application/merge-patch+json"
"""RFC 7386: a mapping, null deletes. Lists are replaced as a whole."""

JSON_PATCH: Final = "application/json-patch+json"
"""RFC 6902: a list of operations."""

APPLY_PATCH: Final = "application/apply-patch+yaml"
"""Server-side apply (KEP-555): the fields that one manages; YAML, so JSON will do."""

WATCH_IDLE_SECONDS: Final = 90.0
"""A watch without a byte for so long is given up, and another one is opened. While anything happens to its kind, an API
server sends a bookmark about every minute. For quiet kinds only when etcd reports its progress: by default every ten
minutes, so their watches end so."""

MAX_LIST_BYTES: Final = 512 << 20
"""Longest answer to a list without a limit, which is what remains when a continue token has expired."""

_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
VERSIONS_LIMIT: Final = 1000
"""Resource versions on a page."""

LIST_SECONDS: Final = 600.0
"""How long the answer to a list may take, as long as it goes on: pages may be large, and links slow. An API server ends
it itself, after a minute unless told otherwise (`--request-timeout`)."""


class Write(NamedTuple):
    """A write that the API server has accepted.

    Attributes:
        verb: create, update, patch or delete; apply for a patch of that kind.
        resource: the kind.
        namespace: of the object.
        name: of the object.
        subresource: "status" and so on; empty for the object itself.
        body: what was sent.
        answer: the object after it; None if it is gone.
    """

    verb: str
    resource: Resource[Any]
    namespace: str
    name: str
    subresource: str
    body: object
    answer: KubeObject | None


WriteTracing: TypeAlias = "Callable[[str, str, object], AbstractContextManager[Mapping[str, str]]]"
"""Entered around a write, with its method, path and body; what it yields is sent as headers, `traceparent` say."""


_UNTRACED: Final = nullcontext()


class ApiClient:
    """One API server, one connection pool.

    Every method may raise TransportError and the subclasses of ApiError; those that return objects also DecodeError.
    Errors of the token source pass through. Bodies are JSON bytes or mappings. Cancelling a write leaves open whether
    it took effect.

    Belongs to one event loop, from its first request on; any number of its tasks may use it at once, over as many
    connections. Requests that one task awaits one after the other arrive in that order. Close it, or use it with
    `async with`.

    What the verbs and their parameters mean: Kubernetes "API concepts".
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        clock: Clock,
        user_agent: str,
        limiter: TokenBucket | None = None,
        metrics: ClientMetrics = NO_CLIENT_METRICS,
        may_write: Callable[[], bool] = lambda: True,
        on_write: Callable[[Write], None] | None = None,
        tracing: WriteTracing | None = None,
    ) -> None:
        """Opens no connection yet.

        Args:
            config: the API server.
            clock: measures requests for `metrics`. Time-outs are the event loop's own.
            user_agent: what audit logs will show.
            limiter: every request, and every start of a watch, waits for a token of it, no longer than a request may
                take; what waits longer fails with RateLimited.
            metrics: told about every request.
            may_write: asked right before a write is sent, after all waiting; if not, it fails with MayNotWrite. For one
                of several processes that write the same objects, see
                :attr:`mcs_controller.runtime.LeaderElector.is_leader`.
            on_write: told about every write that was accepted, except those of :meth:`raw`; must not raise.
            tracing: entered around every write but those of :meth:`raw`, with all that it waits for.

        Raises:
            ConfigError: the URL or the TLS material cannot be used.
        """
        self._on_write = on_write
        self._tracing = tracing
        self._transport = Transport(
            config, clock=clock, user_agent=user_agent, limiter=limiter, metrics=metrics, may_write=may_write
        )

    @property
    def host(self) -> str:
        """Host and port of the API server, as metrics and logs name it."""
        return self._transport.host

    @property
    def peer_certificate(self) -> Mapping[str, Any]:
        """The certificate that the server last showed, as `ssl.SSLSocket.getpeercert` has it.

        Empty before the first connection, if it is not verified, and through a SOCKS proxy.
        """
        return self._transport.peer_certificate

    def __repr__(self) -> str:
        return f"ApiClient({self.host})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections, also those of running watches. Requests made later fail with TransportError."""
        await self._transport.close()

    async def guard(
        self, *, every_seconds: float = GUARD_SECONDS, answer_seconds: float = GUARD_ANSWER_SECONDS
    ) -> NoReturn:
        """Until cancelled, find out about connections that are dead without a word.

        While watches are open, `GET /livez` is sent every few seconds, on a connection that was there before. If it has
        no answer, all connections are given up: watches and requests under way fail with TransportError, and whoever
        tries again does so on new ones. A watch of which nothing is heard does not tell this by itself: mostly there
        is nothing to hear. :class:`~informers.InformerFactory` runs it.

        Args:
            every_seconds: between two questions.
            answer_seconds: for each answer.
        """
        await self._transport.guard(every_seconds=every_seconds, answer_seconds=answer_seconds)

    async def get(self, resource: Resource[T], name: str, namespace: str = "") -> T:
        """Read one object from the API server, not from a cache."""
        answer = await self._call("GET", resource.path(namespace, name), {})
        return _decode(resource, answer.body, namespace, name)

    async def list(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
        resource_version: str = "",
        continue_token: str = "",
    ) -> ListPage[T]:
        """One page of a collection; the most recent state, if `resource_version` is empty.

        Args:
            resource: the kind.
            namespace: only this one; empty means all.
            label_selector: as in the URL of a list request.
            field_selector: the same for fields.
            limit: objects on a page; 0 asks for all of them at once.
            resource_version: at least as new as this ("0": whatever the server's cache holds).
            continue_token: of the page before this one.

        Raises:
            Gone: the continue token is too old.
        """
        query = _selectors(label_selector, field_selector)
        if limit:
            query["limit"] = str(limit)
        if continue_token:
            query["continue"] = continue_token
        if resource_version:
            query["resourceVersion"] = resource_version
        cap = MAX_PAGE_BYTES if limit else MAX_LIST_BYTES
        answer = await self._call("GET", resource.path(namespace), query, max_bytes=cap, total_seconds=LIST_SECONDS)
        try:
            return decode_page(resource, answer.body)
        except TooDeep:
            return decode_page(resource, await cut(answer.body), was_cut=True)

    async def list_versions(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        at_most: int,
    ) -> Versions:
        """The most recent resource version of each object of a collection. Does not wait for the rate limit.

        API servers send metadata and nothing else. `at_most` ends the reading, after a page, at so many objects; the
        other arguments are those of :meth:`list`.

        Raises:
            Gone: a continue token is too old.
        """
        query = {**_selectors(label_selector, field_selector), "limit": str(VERSIONS_LIMIT)}
        objects: dict[ObjectKey, str] = {}
        while True:
            target = _target(resource.path(namespace), query)
            # On a dead connection it is to fail as soon as the guard would: that may have a new one meanwhile.
            answer = await self._transport.exchange(
                "GET",
                target,
                accept=_METADATA_ONLY,
                timeout=GUARD_ANSWER_SECONDS,
                total_seconds=LIST_SECONDS,
                max_bytes=MAX_PAGE_BYTES,
                limited=False,
            )
            if answer.status != 200:
                raise from_response(answer.status, answer.body, answer.headers)
            page, token = decode_versions(resource, answer.body)
            idle = not page.objects.keys() - objects.keys()
            objects.update(page.objects)
            if not token or idle or len(objects) >= at_most:
                return Versions(page.resource_version, objects)
            query["continue"] = token

    async def create(self, resource: Resource[T], body: bytes | Mapping[str, Any], namespace: str = "") -> T:
        """Create an object. Raises AlreadyExists if its name is taken."""
        answer = await self._call("POST", resource.path(namespace), {}, body)
        name = "" if isinstance(body, bytes) else body.get("metadata", {}).get("name", "")
        return self._written("create", resource, namespace, name, "", body, answer.body)

    async def update(
        self,
        resource: Resource[T],
        name: str,
        body: bytes | Mapping[str, Any],
        namespace: str = "",
        *,
        subresource: str = "",
    ) -> T:
        """Replace an object. Raises Conflict if the body's resourceVersion is not the current one."""
        answer = await self._call("PUT", resource.path(namespace, name, subresource), {}, body)
        return self._written("update", resource, namespace, name, subresource, body, answer.body)

    async def patch(
        self,
        resource: Resource[T],
        name: str,
        body: bytes | Mapping[str, Any] | Sequence[Any],
        namespace: str = "",
        *,
        subresource: str = "",
        content_type: str = MERGE_PATCH,
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> T:
        """Change parts of an object.

        Args:
            resource: the kind.
            name: the object's name.
            body: the patch. With a metadata.resourceVersion in it, an object changed since gives Conflict.
            namespace: the object's namespace.
            subresource: "status", "scale" and so on.
            content_type: MERGE_PATCH, JSON_PATCH (a list of operations) or APPLY_PATCH (needs a field manager).
            field_manager: who owns the fields set here; the server takes the user agent's name if empty.
            force: with APPLY_PATCH, take fields over from other managers.
            dry_run: let the server do everything but store the result.
        """
        query = {"fieldManager": field_manager} if field_manager else {}
        if force:
            query["force"] = "true"
        if dry_run:
            query["dryRun"] = "All"
        path = resource.path(namespace, name, subresource)
        answer = await self._call("PATCH", path, query, body, content_type=content_type)
        if dry_run:  # no write to be told of
            return _decode(resource, answer.body, namespace, name)
        verb = "apply" if content_type == APPLY_PATCH else "patch"
        return self._written(verb, resource, namespace, name, subresource, body, answer.body)

    async def apply(
        self,
        resource: Resource[T],
        name: str,
        body: Mapping[str, Any],
        namespace: str = "",
        *,
        field_manager: str,
        force: bool = False,
        dry_run: bool = False,
        subresource: str = "",
    ) -> T:
        """Server-side apply: a :meth:`patch` of APPLY_PATCH. Creates the object if there is none.

        Args:
            resource: the kind.
            name: the object's name.
            body: the fields to manage; `apiVersion`, `kind` and `metadata.name` may be left out.
            namespace: the object's namespace.
            field_manager: who manages them from now on, and does no longer manage others.
            force: take fields over from other managers, which is a Conflict otherwise.
            dry_run: see :meth:`patch`.
            subresource: "status", "scale" and so on.
        """
        metadata = {"name": name, **body.get("metadata", {})}
        whole = {"apiVersion": resource.api_version, "kind": resource.kind, **body, "metadata": metadata}
        return await self.patch(
            resource,
            name,
            whole,
            namespace,
            subresource=subresource,
            content_type=APPLY_PATCH,
            field_manager=field_manager,
            force=force,
            dry_run=dry_run,
        )

    async def delete(
        self,
        resource: Resource[T],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        propagation_policy: str = "Background",
    ) -> T | None:
        """Delete an object.

        Args:
            resource: the kind.
            name: the object's name.
            namespace: the object's namespace.
            uid: fail with Conflict if it is another object by now.
            resource_version: fail with Conflict if it has changed since.
            propagation_policy: what happens to dependents: Background, Foreground or Orphan.

        Returns:
            None if it is gone; the object if finalizers or a grace period keep it.
        """
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation_policy}
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if uid or resource_version:
            options["preconditions"] = {name: value for name, value in preconditions.items() if value}
        answer = await self._call("DELETE", resource.path(namespace, name), {}, options)
        if decode_kind(answer.body) == "Status":
            if self._on_write is not None:
                self._on_write(Write("delete", resource, namespace, name, "", None, None))
            return None
        return self._written("delete", resource, namespace, name, "", None, answer.body)

    def _written(
        self, verb: str, resource: Resource[T], namespace: str, name: str, subresource: str, body: object, answer: bytes
    ) -> T:
        obj = _decode(resource, answer, namespace, name)
        if self._on_write is not None:
            self._on_write(Write(verb, resource, namespace, obj.metadata.name, subresource, body, obj))
        return obj

    @asynccontextmanager
    async def watch(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int,
        bookmarks: bool = True,
        send_initial_events: bool = False,
        idle_seconds: float = WATCH_IDLE_SECONDS,
    ) -> AsyncIterator[Lines]:
        """Open a watch; entered once the server has accepted it.

        The iterator gives the complete lines of each read together, each line a JSON watch event. It ends when the
        server closes the watch in good order, and drops half a line at the end. Leaving closes the connection.

        Args:
            resource: the kind.
            namespace: only this one; empty means all.
            resource_version: send what happened after this.
            label_selector: as in the URL of a list request.
            field_selector: the same for fields.
            timeout_seconds: the server ends the watch after this.
            bookmarks: ask for BOOKMARK events, which carry nothing but a resourceVersion.
            send_initial_events: streaming list (KEP-3157): begin with the state no older than `resource_version`, mark
                its end by a bookmark.
            idle_seconds: without a byte for so long, the iterator raises WatchIdle.
        """
        query = _selectors(label_selector, field_selector)
        query |= {"watch": "1", "resourceVersion": resource_version, "timeoutSeconds": str(timeout_seconds)}
        if bookmarks:
            query["allowWatchBookmarks"] = "true"
        if send_initial_events:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        target = _target(resource.path(namespace), query)
        async with self._transport.stream(target, idle_seconds=idle_seconds) as lines:
            yield lines

    async def raw(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "",
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RawResponse:
        """Any request, for probes and discovery: no error for any status.

        Args:
            method: HTTP method.
            path: beginning with a slash, quoted, with its query if any.
            body: sent as it is.
            content_type: of `body`.
            accept: media types to ask for; empty means JSON.
            timeout: seconds; None means the configured limit.
            headers: more of them, such as `Impersonate-User`.

        Raises:
            TransportError: no complete answer.
        """
        return await self._transport.exchange(
            method, path, body=body, content_type=content_type, accept=accept, timeout=timeout, more_headers=headers
        )

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        content_type: str = "application/json",
        max_bytes: int = MAX_OBJECT_BYTES,
        total_seconds: float | None = None,
    ) -> RawResponse:
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        tracing = self._tracing if method != "GET" else None
        with tracing(method, path, body) if tracing is not None else _UNTRACED as headers:
            answer = await self._transport.exchange(
                method,
                _target(path, query),
                body=data,
                content_type=content_type,
                max_bytes=max_bytes,
                total_seconds=total_seconds,
                more_headers=headers,
            )
            if not 200 <= answer.status < 300:
                raise from_response(answer.status, answer.body, answer.headers)
        return answer


def _target(path: str, query: Mapping[str, str]) -> str:
    quoted = quote(path, safe="/:")
    return f"{quoted}?{urlencode(query)}" if query else quoted


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    query = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in query.items() if value}


def _decode(resource: Resource[T], body: bytes, namespace: str, name: str) -> T:
    """The object that was asked for or written; an empty `name` is one that the server chose."""
    try:
        obj = resource.decode(body)
    except UNDECODABLE as error:
        raise DecodeError(f"{resource}: {error}") from error
    meta = obj.metadata
    if meta.namespace != namespace or (name and meta.name != name):
        raise DecodeError(f"{resource}: the answer is not about {namespace}/{name} but {meta.namespace}/{meta.name}")
    return obj
