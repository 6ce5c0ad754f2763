"""A small client for tests, the demo and the test bed itself: plain dicts in and out, no cache, no retries.

Resources are named ``<apiVersion>/<plural>`` (``v1/pods``, ``discovery.k8s.io/v1/endpointslices``); whole objects find
their plural by discovery. This client is independent of the product's, so that tests detect its bugs.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from urllib.parse import quote

import aiohttp

from testbed.errors import ApiStatusError, NotYet, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from testbed.access import ClusterAccess

T = TypeVar("T")
Object = dict[str, Any]
PatchType = Literal["merge", "strategic", "json", "apply"]

FIELD_MANAGER = "testbed"
REQUEST_TIMEOUT_SECONDS = 30.0

_PATCH_CONTENT = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


def resource_path(resource: str, name: str = "", *, namespace: str | None = None, subresource: str = "") -> str:
    """The URL path of a collection, an object or its subresource."""
    api_version, _, plural = resource.rpartition("/")
    parts = [f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"]
    if namespace:
        parts.append(f"namespaces/{quote(namespace)}")
    parts += [part for part in (plural, quote(name), subresource) if part]
    return "/".join(parts)


class Api:
    """Requests to one API server as one user.

    Use as an async context manager, or call :meth:`close`. Bound to the event loop of its first request.

    Every method raises :class:`ApiStatusError` for an error answer, and ``aiohttp.ClientError`` or ``TimeoutError``
    when the server cannot be reached.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self.access = access
        self._session: aiohttp.ClientSession | None = None
        self._kinds: dict[tuple[str, str], tuple[str, bool]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop the connections; a later request opens new ones."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def get(self, resource: str, name: str, *, namespace: str | None = None, subresource: str = "") -> Object:
        """One object."""
        return await self.raw("GET", resource_path(resource, name, namespace=namespace, subresource=subresource))

    async def find(self, resource: str, name: str, *, namespace: str | None = None) -> Object | None:
        """One object, or None if it does not exist."""
        try:
            return await self.get(resource, name, namespace=namespace)
        except ApiStatusError as error:
            if error.status == 404:
                return None
            raise

    async def list(
        self, resource: str, *, namespace: str | None = None, label_selector: str = "", field_selector: str = ""
    ) -> list[Object]:
        """All objects of a kind, of one namespace or of all; each with its ``apiVersion`` and ``kind``."""
        answer = await self.list_raw(
            resource, namespace=namespace, label_selector=label_selector, field_selector=field_selector
        )
        kind = answer["kind"].removesuffix("List")
        return [{"apiVersion": answer["apiVersion"], "kind": kind, **item} for item in answer["items"] or ()]

    async def list_raw(
        self, resource: str, *, namespace: str | None = None, label_selector: str = "", field_selector: str = ""
    ) -> Object:
        """The list as the server sends it, with its ``resourceVersion``."""
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        query = {name: value for name, value in selectors.items() if value}
        return await self.raw("GET", resource_path(resource, namespace=namespace), query=query)

    async def create(self, manifest: Object, *, namespace: str | None = None) -> Object:
        """Create an object (in its own ``metadata.namespace`` unless one is given)."""
        path, _ = await self._path_of(manifest, namespace)
        return await self.raw("POST", path, body=manifest, query={"fieldManager": FIELD_MANAGER})

    async def apply(
        self, manifest: Object, *, namespace: str | None = None, field_manager: str = FIELD_MANAGER, force: bool = True
    ) -> Object:
        """Server-side apply, with strict field validation: an unknown field is an error, not a silent loss."""
        path, name = await self._path_of(manifest, namespace)
        return await self.raw(
            "PATCH",
            f"{path}/{quote(name)}",
            body=manifest,
            query={"fieldManager": field_manager, "force": str(force).lower(), "fieldValidation": "Strict"},
            content_type=_PATCH_CONTENT["apply"],
        )

    async def replace(self, manifest: Object, *, namespace: str | None = None) -> Object:
        """PUT the whole object; its ``resourceVersion``, if set, must be current."""
        path, name = await self._path_of(manifest, namespace)
        return await self.raw("PUT", f"{path}/{quote(name)}", body=manifest, query={"fieldManager": FIELD_MANAGER})

    async def patch(
        self,
        resource: str,
        name: str,
        body: Any,
        *,
        namespace: str | None = None,
        subresource: str = "",
        patch_type: PatchType = "merge",
    ) -> Object:
        """Patch an object or its subresource."""
        return await self.raw(
            "PATCH",
            resource_path(resource, name, namespace=namespace, subresource=subresource),
            body=body,
            query={"fieldManager": FIELD_MANAGER},
            content_type=_PATCH_CONTENT[patch_type],
        )

    async def delete(
        self,
        resource: str,
        name: str,
        *,
        namespace: str | None = None,
        grace_seconds: int | None = None,
        uid: str = "",
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
        missing_ok: bool = False,
    ) -> None:
        """Delete an object; with ``uid`` only if it has this uid.

        Args:
            resource: see the module.
            name: of the object.
            namespace: of the object.
            grace_seconds: overrides the object's own grace period; 0 removes a Pod at once.
            uid: precondition.
            propagation: what becomes of dependents; None is the server's default.
            missing_ok: an object that is not there counts as deleted.
        """
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if uid:
            options["preconditions"] = {"uid": uid}
        if propagation:
            options["propagationPolicy"] = propagation
        try:
            await self.raw("DELETE", resource_path(resource, name, namespace=namespace), body=options)
        except ApiStatusError as error:
            if not (missing_ok and error.status == 404):
                raise

    async def watch(
        self, resource: str, *, namespace: str | None = None, resource_version: str
    ) -> AsyncIterator[Object]:
        """Watch events (``{"type": ..., "object": ...}``) after a resource version, until the server ends the stream.

        Raises:
            ApiStatusError: also for an ERROR event within the stream (410: list again).
        """
        query = {"watch": "true", "resourceVersion": resource_version, "allowWatchBookmarks": "true"}
        url = self.access.server + resource_path(resource, namespace=namespace)
        # The server ends a watch after 5 to 10 minutes; silence in between is normal (a bookmark about once a minute).
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_TIMEOUT_SECONDS, sock_read=120)
        async with self._http().get(url, params=query, timeout=timeout) as response:
            if response.status >= 300:
                raise _status_error(response.status, await response.text(), f"WATCH {resource}")
            pending = b""
            async for chunk in response.content.iter_any():
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _status_error(event["object"].get("code", 500), event["object"], f"WATCH {resource}")
                    yield event

    async def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        """One request; the decoded JSON answer (``{"text": ...}`` if the answer is no JSON, as ``/readyz`` gives)."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept} | ({"Content-Type": content_type} if data is not None else {})
        async with self._http().request(
            method, self.access.server + path, params=query or {}, data=data, headers=headers
        ) as response:
            text = await response.text()
            if response.status >= 300:
                raise _status_error(response.status, text, f"{method} {path}")
            if "json" not in response.headers.get("Content-Type", ""):
                return {"text": text}
            answer: Object = json.loads(text)
            return answer

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Authorization": f"Bearer {self.access.token}"} if self.access.token else {}
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self.access.ssl_context(), limit=0),
                timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS),
                headers={"User-Agent": "mcs-testbed", **headers},
            )
        return self._session

    async def _path_of(self, manifest: Object, namespace: str | None) -> tuple[str, str]:
        """The collection's path and the object's name."""
        api_version, kind = manifest["apiVersion"], manifest["kind"]
        if (api_version, kind) not in self._kinds:
            base = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
            for each in (await self.raw("GET", base))["resources"] or ():
                if "/" not in each["name"]:
                    self._kinds[api_version, each["kind"]] = (each["name"], each["namespaced"])
        try:
            plural, namespaced = self._kinds[api_version, kind]
        except KeyError:
            raise ApiStatusError(404, "NotFound", f"the server knows no kind {kind} in {api_version}") from None
        where = (namespace or manifest["metadata"].get("namespace") or "default") if namespaced else None
        return resource_path(f"{api_version}/{plural}", namespace=where), manifest["metadata"].get("name", "")


def _status_error(status: int, body: str | Object, request: str) -> ApiStatusError:
    try:
        decoded = json.loads(body) if isinstance(body, str) else body
    except ValueError:
        decoded = {}
    if not isinstance(decoded, dict):
        decoded = {}
    return ApiStatusError(
        status, decoded.get("reason", ""), decoded.get("message", "") or str(body)[:500], request=request
    )


async def wait_for(
    describe: str, probe: Callable[[], Awaitable[T | None]], timeout: float = 60.0, *, interval: float | None = None
) -> T:
    """Call ``probe`` until it returns something, and return that.

    Args:
        describe: the end of the sentence "timed out waiting for ...".
        probe: returns None, or raises :class:`NotYet` with what it saw instead, while it must be repeated. Error
            answers and connection errors count as "not yet", too.
        timeout: seconds in all.
        interval: seconds between two calls. By default they grow with the time that has passed: what takes long is
            seen a little later, and probes cost the servers under test little.

    Raises:
        WaitTimeout: with what the probe last saw.
    """
    seen = "nothing yet"
    began = time.monotonic()
    while True:
        remaining = timeout - (time.monotonic() - began)
        try:
            async with asyncio.timeout(max(remaining, 0.0)):
                result = await probe()
            if result is not None:
                return result
            seen = "nothing of the kind"
        except NotYet as reason:
            seen = str(reason)
        except (ApiStatusError, aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            if time.monotonic() - began < timeout:
                seen = f"{type(error).__name__}: {error}"
        elapsed = time.monotonic() - began
        pause = interval if interval is not None else min(max(elapsed / 8, 0.05), 0.5)
        if elapsed + pause >= timeout:
            raise WaitTimeout(f"timed out after {timeout:g} s waiting for {describe}; last seen: {seen}")
        await asyncio.sleep(pause)
