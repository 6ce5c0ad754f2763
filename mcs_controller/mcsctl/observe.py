"""Observing a real installation for a diagnosis: many small reads at once, none of which holds up the others.

What is read for one service does not grow with the number of services: objects are read by name, or by label.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import ssl
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import msgspec

from informers.client.connection import ssl_context
from informers.errors import ConfigError, KubeError, Untrusted, from_response
from mcs_controller.api.cluster import decode_cluster
from mcs_controller.diagnosis import world as w
from mcs_controller.diagnosis.rules.leases import runs_standalone
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace, work_name
from mcs_controller.mcsctl.manifests import manifests_folder
from mcs_controller.mcsctl.rights import CONTROLLER_RIGHTS, CONTROLLER_USER, STANDALONE_RIGHTS
from mcs_controller.mcsctl.rights import denied as denied_rights
from mcs_controller.mcsctl.together import all_of
from mcs_controller.members.credentials import InvalidCluster

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping, Sequence

    from informers.client.client import ApiClient
    from informers.client.transport import RawResponse
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.mcsctl.access import Access, Plane
    from mcs_controller.mcsctl.unapplied import Manifest

MAX_OBJECTS: Final = 5_000
"""Of one kind in one cluster. A list that is longer counts as not seen: rules must not reason from half of it."""

_PAGE: Final = 500

_AT_ONCE: Final = 4
"""Requests of one reader at a time: each of them has a connection, and with it a TLS handshake, of its own."""

MEMBER_RIGHTS: Final = tuple(
    w.Right(verb, kind.plural, kind.api_version.rpartition("/")[0])
    for kind, verbs in (
        (w.SLICES, ("list", "watch", "create", "patch", "delete")),
        (w.SERVICES, ("list", "create", "patch", "delete")),
        (w.NAMESPACES, ("list", "create", "patch")),
    )
    for verb in verbs
)
"""What the controllers do in a member, see manifests/member."""


class Reader:
    """Reads of one API server into one snapshot: what cannot be read is noted there, with the reason."""

    def __init__(self, client: ApiClient, snapshot: w.Snapshot) -> None:
        self.client = client
        self.snapshot = snapshot
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def fetch(self, path: str) -> RawResponse:
        """GET, when it is its turn."""
        async with self._slots:
            return await self.client.raw("GET", path)

    async def get(self, kind: w.Kind, name: str, namespace: str = "", *, redact: bool = False) -> w.Object | None:
        """Read one object, if it is there; of one that is redacted, keep the keys of its data without the values."""
        try:
            answer = await self.fetch(_path(kind, namespace, name))
            if answer.status == 404:
                self.snapshot.add(kind, [])
                return None
            obj: w.Object = _json(answer.status, answer.body)
        except (KubeError, msgspec.DecodeError) as error:
            self.snapshot.unseen(kind, str(error), namespace)
            return None
        if redact:
            # An annotation may hold all that was applied.
            data = dict.fromkeys(w.mapping(obj, "data"), "")
            obj = {"metadata": {"name": name, "namespace": namespace}, "data": data}
        self.snapshot.add(kind, [obj])
        return obj

    async def list(
        self,
        kind: w.Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        at_most: int = MAX_OBJECTS,
        some: bool = False,
    ) -> Sequence[w.Object]:
        """Read the objects of a kind, of one namespace or of all. A kind that is not served has none.

        More than `at_most` count as not seen. With `some` the first page is enough: for hints.
        """
        query = {"limit": str(_PAGE)} | ({"labelSelector": labels} if labels else {})
        query |= {"fieldSelector": fields} if fields else {}
        found: list[w.Object] = []
        try:
            for _ in range(at_most // _PAGE + 2):  # a server may say for ever that there is more
                answer = await self.fetch(f"{_path(kind, namespace)}?{urlencode(query)}")
                if answer.status == 404:
                    self.snapshot.unseen(kind, w.NOT_SERVED, namespace)
                    return []
                page = _json(answer.status, answer.body)
                found.extend({**one, "kind": kind.kind} for one in w.items(page, "items") if isinstance(one, dict))
                if len(found) > at_most:
                    self.snapshot.unseen(kind, f"there are more than {at_most}", namespace)
                    return []
                if some or not (token := w.text(page, "metadata", "continue")):
                    break
                query["continue"] = token
            else:
                self.snapshot.unseen(kind, "its pages have no end", namespace)
                return []
        except (KubeError, msgspec.DecodeError) as error:
            self.snapshot.unseen(kind, str(error), namespace)
            return []
        self.snapshot.add(kind, found)
        return found

    async def version(self) -> None:
        """Read the version of Kubernetes."""
        try:
            answer = await self.fetch("/version")
            self.snapshot.version = w.text(_json(answer.status, answer.body), "gitVersion")
        except (KubeError, msgspec.DecodeError) as error:
            self.snapshot.unseen(None, str(error))


async def observe(
    access: Access,
    *,
    service: tuple[str, str] | None = None,
    from_cluster: str = "",
    controller_user: str = CONTROLLER_USER,
    now: datetime | None = None,
    manifests: Iterable[Manifest] = (),
) -> w.World:
    """Observe an installation, or one service of it.

    Args:
        access: how to reach it.
        service: namespace and name of the Service; None for the installation alone.
        from_cluster: the only consumer to look at; empty for all.
        controller_user: whom the control plane takes the controller for.
        now: the wall clock; None takes this machine's.
        manifests: objects that count as those of the control plane, over what it has.

    Raises:
        ConfigError: no kubeconfig leads to a control plane.
    """
    plane = await access.host()
    host = w.Snapshot(kubectl=plane.kubectl)
    reader = Reader(plane.client, host)
    served: dict[str, frozenset[str]] = {}
    await all_of(*_served_kinds(reader, served), *_control_plane_reads(reader, service))
    kinds = served if not host.why_unseen() else None
    for manifest in manifests:
        host.add(manifest.kind, [manifest.obj])
    world = w.World(now=now or datetime.now(UTC), host=host, service=service, from_cluster=from_cluster, kinds=kinds)
    world = replace(world, mcsctl=access.mcsctl, manifests=manifests_folder())
    if kinds is not None and not world.versions(w.CLUSTERS):
        return replace(world, control_planes=await access.control_planes())
    wanted = members_of(world)
    members = {name: w.Snapshot(name=name, kubectl=world.kubectl(name)) for name in wanted}
    await all_of(
        _controller_rights(reader, wanted.values(), controller_user),
        *(_registration(reader, cluster, service) for cluster in wanted.values()),
        *(_observe_member(access, world, members[name], cluster) for name, cluster in wanted.items()),
        *(_login(access, members[name], cluster) for name, cluster in wanted.items() if cluster.is_push),
    )
    if service is not None:
        await all_of(*_delivery_reads(reader, service, members))
    return replace(world, members=members)


def _control_plane_reads(reader: Reader, service: tuple[str, str] | None) -> Iterable[Coroutine[Any, Any, object]]:
    yield reader.version()
    yield reader.list(w.CLUSTERS)
    yield reader.list(w.LEASES, wk.SYSTEM_NAMESPACE)
    yield reader.list(w.DEPLOYMENTS, wk.SYSTEM_NAMESPACE)
    for kind in (w.MULTICLUSTERSERVICES, w.WORKS, w.BINDINGS, w.CLUSTERS):
        yield reader.get(w.CRDS, kind.group_resource)
    if service is None:
        yield reader.list(w.MULTICLUSTERSERVICES, some=True)
        return
    namespace, name = service
    yield _read_mcs(reader, namespace, name)
    yield reader.list(w.SERVICES, fields=f"metadata.name={name}")
    yield reader.get(w.NAMESPACES, namespace)
    yield reader.list(w.POLICIES, namespace)
    yield reader.get(w.BINDINGS, f"{name}-service", namespace)
    yield reader.list(w.DEPLOYMENTS, namespace, some=True)
    yield reader.list(w.STATEFULSETS, namespace, some=True)
    yield reader.list(w.EVENTS, namespace, fields=f"reason={wk.EVENT_POLICY_REFUSED}", some=True)


def _delivery_reads(
    reader: Reader, service: tuple[str, str], members: Mapping[str, w.Snapshot]
) -> Iterable[Coroutine[Any, Any, object]]:
    namespace, name = service
    labels = f"{wk.MCS_NAME}={name},{wk.MCS_NAMESPACE}={namespace}"
    yield reader.list(w.WORKS, labels=labels)
    for member in members:
        yield reader.get(w.WORKS, work_name(wk.SERVICE_KIND, namespace, name), execution_namespace(member))
        yield reader.get(w.WORKS, work_name(wk.NAMESPACE_KIND, "", namespace), execution_namespace(member))


def members_of(world: w.World) -> dict[str, Cluster]:
    """The members to look at: of a service its providers and consumers, else all."""
    try:
        clusters = world.host.list(w.CLUSTERS)
        names = {*world.providers, *world.consumers} if world.service is not None else None
    except w.Unseen:
        return {}
    found: dict[str, Cluster] = {}
    for obj in clusters:
        name = w.text(obj, "metadata", "name")
        if names is None or name in names:
            try:
                found[name] = decode_cluster(json.dumps(obj).encode())
            except msgspec.DecodeError:
                continue  # a rule says so
    return found


async def _registration(reader: Reader, cluster: Cluster, service: tuple[str, str] | None) -> None:
    """What the control plane holds of one member beside its Cluster."""
    namespace = execution_namespace(cluster.name)
    reads: list[Coroutine[Any, Any, object]] = [_read_execution_namespace(reader, namespace, service)]
    if cluster.is_push and (ref := cluster.spec.secret_ref) is not None:
        reads.append(reader.get(w.SECRETS, ref.name, ref.namespace, redact=True))
    if not cluster.is_push:
        reads.append(reader.get(w.LEASES, w.AGENT_LEASE, namespace))
        reads.append(reader.get(w.LEASES, cluster.name, wk.CLUSTER_NAMESPACE))
    await all_of(*reads)


async def _read_execution_namespace(reader: Reader, name: str, service: tuple[str, str] | None) -> None:
    """The namespace; if it is being deleted, the Works that may hold it, of which a service's own are read anyway."""
    namespace = await reader.get(w.NAMESPACES, name)
    if service is None and w.text(namespace, "metadata", "deletionTimestamp"):
        await reader.list(w.WORKS, name, some=True)


async def _controller_rights(reader: Reader, clusters: Iterable[Cluster], user: str) -> None:
    refs = (cluster.spec.secret_ref for cluster in clusters if cluster.is_push)
    rights = [*CONTROLLER_RIGHTS, *(w.Right("get", "secrets", "", ref.namespace) for ref in refs if ref is not None)]
    try:
        if runs_standalone(reader.snapshot):
            rights += STANDALONE_RIGHTS
        reader.snapshot.denied = await denied_rights(reader.client, list(dict.fromkeys(rights)), user)
    except (KubeError, msgspec.DecodeError, w.Unseen):
        reader.snapshot.denied = None


async def _observe_member(access: Access, world: w.World, snapshot: w.Snapshot, cluster: Cluster) -> None:
    try:
        plane = await access.member(cluster)
        snapshot.kubectl = plane.kubectl
        reader = Reader(plane.client, snapshot)
        await reader.version()
        if not snapshot.why_unseen():
            await all_of(*_member_reads(reader, world))
    except (w.Unseen, ConfigError) as unseen:
        snapshot.unseen(None, str(unseen))


def _member_reads(reader: Reader, world: w.World) -> Iterable[Coroutine[Any, Any, object]]:
    yield reader.list(w.NODES)
    yield reader.list(w.SERVICECIDRS)
    yield reader.list(w.DAEMONSETS, "kube-system")
    yield reader.get(w.SERVICES, "kube-dns", "kube-system")
    yield reader.list(w.SLICES, "kube-system", labels=f"{wk.SERVICE_NAME}=kube-dns")
    yield reader.list(w.DEPLOYMENTS, "kube-system", labels="k8s-app=kube-dns")
    if world.service is None:
        return
    namespace, name = world.service
    yield reader.get(w.NAMESPACES, namespace)
    yield reader.get(w.SERVICES, name, namespace)
    yield reader.list(w.SLICES, namespace, labels=f"{wk.SERVICE_NAME}={name}")
    yield _read_pods(reader, world)
    yield reader.list(w.NETWORKPOLICIES, namespace)
    if reader.snapshot.name in world.providers:
        yield reader.list(w.DEPLOYMENTS, namespace, some=True)
        yield reader.list(w.STATEFULSETS, namespace, some=True)
        yield reader.list(w.EVENTS, namespace, fields="reason=FailedCreate", some=True)
    yield reader.list(w.WEBHOOKS)


async def _read_mcs(reader: Reader, namespace: str, name: str) -> None:
    """The MultiClusterService; if there is none, some others, one of which may be meant."""
    if await reader.get(w.MULTICLUSTERSERVICES, name, namespace) is None:
        await reader.list(w.MULTICLUSTERSERVICES, namespace, some=True)


async def _read_pods(reader: Reader, world: w.World) -> None:
    """The Pods that the Service selects; if there are none, some others, which may be meant."""
    selector = w.mapping(world.template, "spec", "selector")
    labels = ",".join(f"{key}={value}" for key, value in selector.items() if isinstance(value, str))
    if not labels or not await reader.list(w.PODS, world.namespace, labels=labels):
        await reader.list(w.PODS, world.namespace, some=True)


async def _login(access: Access, snapshot: w.Snapshot, cluster: Cluster) -> None:
    """Try what the Secret of a Cluster holds now, as the controller would with a new connection."""
    try:
        plane = await access.by_secret(cluster)
    except (InvalidCluster, ConfigError) as problem:
        snapshot.login = w.Login(error=str(problem), invalid=isinstance(problem, InvalidCluster), status=0)
        return
    try:
        answer = await plane.client.raw("GET", "/version")
        denied = await denied_rights(plane.client, MEMBER_RIGHTS) if answer.status < 400 else ()
    except Untrusted as error:
        certificates = await _certificates(plane)
        snapshot.login = w.Login(error=str(error), untrusted=True, certificates=certificates, status=0)
        return
    except (KubeError, msgspec.DecodeError) as error:
        snapshot.login = w.Login(error=str(error), other_endpoint=await access.other_endpoint(cluster), status=0)
        return
    source = plane.config.token_source
    snapshot.login = w.Login(
        status=answer.status,
        token_expires=token_expiry(await source.token() or "") if source is not None else None,
        certificate_expires=_certificate_expiry(plane.client),
        skew_seconds=_skew(answer.headers),
        denied=denied,
    )


async def _certificates(plane: Plane) -> str:
    """Of a server that is not trusted: who issued its certificate, and whom the stored CA names."""
    url = urlsplit(plane.config.server)
    stored = ssl_context(plane.config)
    subjects = [_name(one.get("subject")) for one in stored.get_ca_certs()] if stored is not None else []
    bundle = f"the stored CA is {', '.join(sorted(subjects)) or 'none'}"
    anything = ssl_context(replace(plane.config, insecure_skip_tls_verify=True))
    try:
        raw = (await _peer(url, plane, anything)).getpeercert(True) or b""
        # Python shows the fields of a certificate that it trusts, and no other: so the server's own is trusted here.
        itself = ssl_context(replace(plane.config, ca_pem=ssl.DER_cert_to_PEM_cert(raw).encode()))
        if itself is not None:
            itself.check_hostname = False
        shown = (await _peer(url, plane, itself)).getpeercert() or {}
    except (OSError, ValueError, ConfigError) as error:
        return f"{bundle}; the server's certificate cannot be read: {error}"
    return f"the server's certificate is issued by {_name(shown.get('issuer'))}; {bundle}"


async def _peer(url: SplitResult, plane: Plane, context: ssl.SSLContext | None) -> ssl.SSLObject:
    async with asyncio.timeout(plane.config.timeout_seconds):
        _, writer = await asyncio.open_connection(
            url.hostname or "", url.port or 443, ssl=context, server_hostname=plane.config.tls_server_name or None
        )
    peer: ssl.SSLObject = writer.get_extra_info("ssl_object")
    writer.transport.abort()  # nothing was sent that a farewell could bring to its end
    return peer


def _name(parts: Any) -> str:
    """A distinguished name as Python gives it, in one line."""
    found = [f"{key}={value}" for part in parts or () for key, value in part]
    return ",".join(found) or "nobody"


def _certificate_expiry(client: ApiClient) -> datetime | None:
    """When the certificate of a server expires that is verified; None for others."""
    try:
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(client.peer_certificate["notAfter"])), UTC)
    except (KeyError, ValueError):
        return None


def token_claims(token: str) -> Mapping[str, Any]:
    """What a JSON web token says of itself, unverified; nothing for other tokens."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def token_expiry(token: str) -> datetime | None:
    """When a JSON web token expires by its own words; None for other tokens, and for one that never does."""
    try:
        return datetime.fromtimestamp(float(token_claims(token)["exp"]), UTC)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _skew(headers: Mapping[str, str]) -> float | None:
    try:
        return (parsedate_to_datetime(headers["date"]) - datetime.now(UTC)).total_seconds()
    except (KeyError, TypeError, ValueError):
        return None


def _served_kinds(reader: Reader, served: dict[str, frozenset[str]]) -> Iterable[Coroutine[Any, Any, object]]:
    """Find out which of the kinds that matter the control plane serves, and in which versions."""

    async def read(api_version: str) -> None:
        try:
            answer = await reader.fetch(f"/apis/{api_version}")
            body = _json(answer.status, answer.body) if answer.status != 404 else {}
        except (KubeError, msgspec.DecodeError) as error:
            reader.snapshot.unseen(None, str(error))
            return
        group, _, version = api_version.rpartition("/")
        for one in w.items(body, "resources"):
            name = f"{w.text(one, 'name')}.{group}"
            served[name] = served.get(name, frozenset()) | {version}

    kinds = (w.MULTICLUSTERSERVICES, w.CLUSTERS, w.WORKS, w.BINDINGS, w.POLICIES, w.SERVICEEXPORTS)
    return (read(api_version) for api_version in {kind.api_version for kind in kinds})


def _path(kind: w.Kind, namespace: str = "", name: str = "") -> str:
    root = f"/apis/{kind.api_version}" if "/" in kind.api_version else f"/api/{kind.api_version}"
    scope = f"/namespaces/{quote(namespace, safe='')}" if namespace and kind.namespaced else ""
    return f"{root}{scope}/{kind.plural}" + (f"/{quote(name, safe='')}" if name else "")


def _json(status: int, body: bytes) -> Any:
    if not 200 <= status < 300:
        raise from_response(status, body)
    return msgspec.json.decode(body)
