"""Rules about the members: how each is registered, whether it answers, and what the control plane may do there."""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from informers.metrics import STALE_SECONDS
from mcs_controller.api.cluster import decode_cluster
from mcs_controller.diagnosis.findings import CONTROL_PLANE, Link, ObjectRef, Severity
from mcs_controller.diagnosis.rules.declaration import join_command
from mcs_controller.diagnosis.rules.leases import (
    KARMADAS_AGENT,
    MANAGER,
    TAKEOVER_SECONDS,
    described,
    overdue_seconds,
    runs_standalone,
    said_by,
)
from mcs_controller.diagnosis.rules.objects import apply_command, release_command
from mcs_controller.diagnosis.rules.rule import Scope, rule
from mcs_controller.diagnosis.world import (
    AGENT_LEASE,
    CLUSTERS,
    LEASES,
    NAMESPACES,
    NODES,
    NOT_SERVED,
    SECRETS,
    SERVICECIDRS,
    WORKS,
    Right,
    Unseen,
    condition,
    items,
    mapping,
    text,
)
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mcs_controller.diagnosis.findings import Finding
    from mcs_controller.diagnosis.rules.rule import Context
    from mcs_controller.diagnosis.world import Login, Object, World

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SOON = timedelta(days=7)
_YOUNG_SECONDS = 15.0
"""A Cluster has its namespace and its first conditions by then."""
_LEAVING_SECONDS = 60.0

_PODS = "get nodes -o custom-columns=NODE:.metadata.name,PODS:.spec.podCIDRs"
_SERVICES = "get servicecidrs"
"""What shows the ranges of a cluster."""

_ENDPOINT = re.compile(r"https?://[^/]")

_RIGHTS_OF_READERS = tuple(f"{verb} endpointslices.discovery.k8s.io" for verb in ("list", "watch"))


def _cluster(context: Context) -> Object:
    found = context.world.host.get(CLUSTERS, context.cluster)
    if found is None:
        raise Unseen(f"Cluster {context.cluster} is gone")
    return found


def _ref(context: Context) -> ObjectRef:
    return ObjectRef(CONTROL_PLANE, "Cluster", context.cluster)


def _is_push(cluster: Object) -> bool:
    return text(cluster, "spec", "syncMode") != "Pull"


def _leaves(cluster: Object) -> bool:
    return bool(text(cluster, "metadata", "deletionTimestamp"))


def _secret_of(cluster: Object) -> tuple[str, str]:
    """Namespace and name of a Push cluster's Secret; empty if there is none, or none is needed."""
    ref = mapping(cluster, "spec", "secretRef") if _is_push(cluster) else {}
    return text(ref, "namespace"), text(ref, "name")


def _login(context: Context) -> Login | None:
    """How a Push cluster answered; None for others."""
    if not _is_push(_cluster(context)):
        return None
    login = context.world.snapshot(context.cluster).login
    if login is None:
        raise Unseen(f"nobody tried to log in to {context.cluster} with its Secret")
    return login


def _renew(context: Context) -> str:
    """A command that puts a new token and the right CA into the Secret, and makes one if there is none."""
    return f"{context.world.mcsctl} token renew {shlex.quote(context.cluster)}"


@rule(
    "MCS010",
    "A Cluster does not say how it is reached",
    Link.CLUSTERS,
    Scope.WORLD,
    meaning="The Cluster is malformed, or is a Push cluster without apiEndpoint or secretRef: the controller skips it.",
    evidence="The Cluster.",
    fix="Register it anew, by its context.",
)
def cluster_malformed(context: Context) -> Iterator[Finding]:
    """About those that were looked at, and those that could not be for this reason."""
    world = context.world
    named = {*world.providers, *world.consumers} if world.service is not None else set(world.clusters)
    for cluster in world.host.list(CLUSTERS):
        name = text(cluster, "metadata", "name")
        problem = _malformed(cluster) if name in named else ""
        if problem:
            about = replace(context, cluster=name)
            yield about.found(
                _ref(about),
                f"Cluster {name} does not say how it is reached: {problem}",
                evidence=f"spec: {json.dumps(mapping(cluster, 'spec'))[:300]}",
                fix=_join(world, name, text(cluster, "spec", "apiEndpoint")),
            )


def _join(world: World, name: str, endpoint: str) -> str:
    """A command that registers a cluster anew: its endpoint stays if it is one."""
    return f"{join_command(world, name)} " + (
        f"--api-endpoint {shlex.quote(endpoint)}" if _ENDPOINT.match(endpoint) else "--force"
    )


def _malformed(cluster: Object) -> str:
    try:
        spec = decode_cluster(json.dumps(cluster).encode()).spec
    except msgspec.DecodeError as error:
        return str(error)
    if not _is_push(cluster):
        return ""
    if not _ENDPOINT.match(spec.api_endpoint):
        return f"spec.apiEndpoint is {spec.api_endpoint!r}" if spec.api_endpoint else "spec.apiEndpoint is not set"
    return "" if spec.secret_ref is not None else "spec.secretRef is not set"


@rule(
    "MCS011",
    "A Cluster is not ready",
    Link.CLUSTERS,
    Scope.MEMBER,
    symptom=True,
    meaning="The controller does not reach the member, or is refused. Its endpoints stay as they are.",
    evidence="The condition Ready of the Cluster.",
    fix="What its message names.",
    no_command="by itself: it is a consequence of what is found before it in the chain, whose fix mends it.",
)
def cluster_not_ready(context: Context) -> Iterator[Finding]:
    """Mostly a more exact finding explains it."""
    cluster = _cluster(context)
    ready = condition(cluster, wk.READY)
    if text(ready, "status") == "True" or _leaves(cluster):
        return
    said = f"{text(ready, 'reason')}: {text(ready, 'message')}" if ready else "it has no condition Ready"
    yield context.found(
        _ref(context),
        f"Cluster {context.cluster} is not ready",
        evidence=said,
        fix=f"{context.world.kubectl()} get cluster {shlex.quote(context.cluster)} -o yaml",
        severity=Severity.IN_PROGRESS if not ready and context.world.age(cluster) < _YOUNG_SECONDS else None,
    )


@rule(
    "MCS012",
    "The Secret of a Cluster is missing",
    Link.CLUSTERS,
    Scope.MEMBER,
    meaning="The Secret that spec.secretRef names does not exist: the controller has no credentials for the member.",
    evidence="The Secret in the control plane.",
    fix="Create it, with a token of the member and the CA of its API server.",
)
def secret_missing(context: Context) -> Iterator[Finding]:
    """With the command that makes it anew."""
    namespace, name = _secret_of(_cluster(context))
    if not name or context.world.host.get(SECRETS, name, namespace) is not None:
        return
    yield context.found(
        ObjectRef(CONTROL_PLANE, "Secret", name, namespace),
        f"the Secret with the credentials of {context.cluster} does not exist",
        evidence=f"spec.secretRef of Cluster {context.cluster}; GET secrets/{name}: 404",
        fix=_renew(context),
    )


@rule(
    "MCS013",
    "The Secret of a Cluster has no token or no certificate",
    Link.CLUSTERS,
    Scope.MEMBER,
    meaning="The Secret needs the keys `token` and `caBundle`: a token, and certificates in PEM.",
    evidence="The keys of the Secret.",
    fix="Put them into it.",
)
def secret_incomplete(context: Context) -> Iterator[Finding]:
    """Values are not shown."""
    world = context.world
    cluster = _cluster(context)
    login = _login(context)
    namespace, name = _secret_of(cluster)
    if login is None or not (login.invalid and name) or _malformed(cluster):
        return
    secret = world.host.get(SECRETS, name, namespace)
    if secret is not None:
        yield context.found(
            ObjectRef(CONTROL_PLANE, "Secret", name, namespace),
            f"the Secret of {context.cluster} cannot be used: {login.error}",
            evidence=f"its keys: {', '.join(sorted(mapping(secret, 'data'))) or 'none'}",
            fix=_renew(context),
        )


@rule(
    "MCS014",
    "The controller may not read the Secret of a Cluster",
    Link.CLUSTERS,
    Scope.MEMBER,
    meaning="The controller may read Secrets in karmada-cluster only, and the Secret is elsewhere.",
    evidence="The control plane's answer to a SubjectAccessReview.",
    fix="Create a Role and a RoleBinding in the namespace of the Secret.",
)
def secret_not_readable(context: Context) -> Iterator[Finding]:
    """With the Role and its binding."""
    world = context.world
    namespace, name = _secret_of(_cluster(context))
    if not name:
        return
    if world.host.denied is None:
        raise Unseen("whether the controller may read the Secret: SubjectAccessReviews are not allowed to us")
    if str(Right("get", "secrets", "", namespace)) not in world.host.denied:
        return
    group, role = "rbac.authorization.k8s.io", "mcs-controller-manager-member-secrets"
    metadata = {"name": role, "namespace": namespace}
    account = {"kind": "ServiceAccount", "name": "mcs-controller-manager", "namespace": wk.SYSTEM_NAMESPACE}
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    made: list[Object] = [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": role},
            "subjects": [account],
        },
    ]
    yield context.found(
        ObjectRef(CONTROL_PLANE, "Secret", name, namespace),
        f"the controller may not read the Secret of {context.cluster}",
        evidence=f"SubjectAccessReview: get secrets in namespace {namespace} is denied",
        fix=apply_command(world.kubectl(), {"apiVersion": "v1", "kind": "List", "items": made}),
    )


@rule(
    "MCS015",
    "A member refuses the token",
    Link.CLUSTERS,
    Scope.MEMBER,
    meaning="The token that the Secret holds now is not, or is no longer, one of the member's. A controller that is "
    "connected notices within five minutes.",
    evidence="A request to the member with the stored token: 401.",
    fix="Put a new token into the Secret.",
)
def token_refused(context: Context) -> Iterator[Finding]:
    """One that is expired is another rule's."""
    login = _login(context)
    if login is not None and login.status == 401 and not _expired(context.world, login):
        yield _about_token(context, f"{context.cluster} refuses the token in its Secret", "GET /version with it: 401")


def _expired(world: World, login: Login) -> bool:
    return login.token_expires is not None and login.token_expires <= world.now


def _about_token(context: Context, problem: str, evidence: str, severity: Severity | None = None) -> Finding:
    secret = _secret_of(_cluster(context))
    ref = ObjectRef(CONTROL_PLANE, "Secret", secret[1], secret[0])
    return context.found(ref, problem, evidence=evidence, fix=_renew(context), severity=severity)


@rule(
    "MCS016",
    "A token is expired, or soon will be",
    Link.CLUSTERS,
    Scope.MEMBER,
    meaning="The token in the Secret states when it expires: it has, or will within seven days.",
    evidence="The claim `exp` of the token.",
    fix="Put a new token into the Secret.",
)
def token_expires(context: Context) -> Iterator[Finding]:
    """Error or warning."""
    world = context.world
    login = _login(context)
    if login is None or login.token_expires is None or login.token_expires - world.now > _SOON:
        return
    expired = _expired(world, login)
    yield _about_token(
        context,
        f"the token for {context.cluster} {'is expired' if expired else 'expires soon'}",
        f"exp is {login.token_expires:%Y-%m-%d %H:%M:%S} UTC",
        None if expired else Severity.WARNING,
    )


@rule(
    "MCS017",
    "The stored CA is not that of the member",
    Link.CLUSTERS,
    Scope.MEMBER,
    meaning="The member's certificate does not verify against the caBundle in its Secret. Nothing is sent.",
    evidence="A TLS handshake with the member.",
    fix="Put the CA of the member's API server into the Secret.",
)
def server_not_trusted(context: Context) -> Iterator[Finding]:
    """A certificate that has expired is another rule's."""
    login = _login(context)
    if login is None or not login.untrusted or _certificate_expired(context, login):
        return
    namespace, name = _secret_of(_cluster(context))
    yield context.found(
        ObjectRef(CONTROL_PLANE, "Secret", name, namespace),
        f"the caBundle in the Secret does not verify the server of {context.cluster}",
        evidence=f"{login.error}; {login.certificates}",
        fix=_renew(context),
    )


def _certificate_expired(context: Context, login: Login) -> bool:
    at = login.certificate_expires
    return "certificate has expired" in login.error or (at is not None and at <= context.world.now)


@rule(
    "MCS018",
    "A member cannot be reached",
    Link.CLUSTERS,
    Scope.MEMBER,
    meaning="Nobody answers at spec.apiEndpoint. The endpoints of the member are kept on purpose: its Pods may well "
    "answer while its API server does not.",
    evidence="A request to the member. It is `unknown` as long as the controller reports the Cluster as Ready: then "
    "perhaps only this machine does not reach the member.",
    fix="Correct spec.apiEndpoint: the command does it if the context of the member has another server, which answers. "
    "Else the command tries whether it answers.",
    no_command="if no context has another server that answers: then the API server has to be started, or the network "
    "mended, where commands to it do not arrive.",
)
def not_reachable(context: Context) -> Iterator[Finding]:
    """A context of the member that names another server tells which."""
    world = context.world
    cluster = _cluster(context)
    login = _login(context)
    if login is None or login.status or login.untrusted or login.invalid or _malformed(cluster):
        return
    endpoint = text(cluster, "spec", "apiEndpoint")
    ready = text(condition(cluster, wk.READY), "status") == "True"
    patch = shlex.quote(json.dumps({"spec": {"apiEndpoint": login.other_endpoint}}))
    yield context.found(
        _ref(context),
        f"{context.cluster} does not answer at {endpoint}"
        + (" from here, and the controller reports it as Ready" if ready else "; its endpoints are kept on purpose"),
        evidence=login.error + (f"; the kubeconfig has {login.other_endpoint} for it" if login.other_endpoint else ""),
        fix=f"{world.kubectl()} patch cluster {shlex.quote(context.cluster)} --type merge -p {patch}"
        if login.other_endpoint and not ready
        else _ask(endpoint),
        severity=Severity.UNKNOWN if ready else None,
    )


def _ask(endpoint: str) -> str:
    """A command that shows who answers at an endpoint, with its certificate. It sends no credentials."""
    return f"curl -vk --max-time 10 {shlex.quote(f'{endpoint}/livez')}"


@rule(
    "MCS019",
    "The certificate of a member is expired, or soon will be",
    Link.CLUSTERS,
    Scope.MEMBER,
    severity=Severity.WARNING,
    meaning="Nobody who verifies certificates can talk to the member then.",
    evidence="The end of validity of the certificate that its API server shows.",
    fix="Renew it on the machines of the member's API server, with kubeadm by `kubeadm certs renew apiserver`. The "
    "command that is printed shows the certificate.",
    no_command="from elsewhere: the certificate and its key are files on the machines of the member's API server.",
)
def certificate_expires(context: Context) -> Iterator[Finding]:
    """Warning or error."""
    login = _login(context)
    if login is None:
        return
    at = login.certificate_expires
    expired = _certificate_expired(context, login)
    if expired or (at is not None and at - context.world.now <= _SOON):
        yield context.found(
            ObjectRef(context.cluster, "API server"),
            f"the certificate of {context.cluster}'s API server {'is expired' if expired else 'expires soon'}",
            evidence=f"valid until {at:%Y-%m-%d %H:%M} UTC" if at is not None else login.error,
            fix=_ask(text(_cluster(context), "spec", "apiEndpoint")),
            severity=Severity.ERROR if expired else None,
        )


def _agents(context: Context) -> Sequence[Object]:
    """The Leases of a Pull cluster's agents: ours, and Karmada's."""
    places = ((AGENT_LEASE, execution_namespace(context.cluster)), (context.cluster, wk.CLUSTER_NAMESPACE))
    found = (context.world.host.get(LEASES, name, namespace) for name, namespace in places)
    return [lease for lease in found if lease is not None]


@rule(
    "MCS020",
    "A Pull cluster has no agent",
    Link.CLUSTERS,
    Scope.MEMBER,
    meaning="For a Pull cluster the control plane does nothing: its agent has to, and none has ever run.",
    evidence="The Leases of agents in the control plane.",
    fix="Install the agent: the command gives it rights in the control plane and a token, and applies it in the "
    "member, as docs/agent.md does. The server of the control plane's context has to be one that the member reaches.",
)
def no_agent(context: Context) -> Iterator[Finding]:
    """Neither ours nor Karmada's."""
    world = context.world
    cluster = _cluster(context)
    if _is_push(cluster) or _leaves(cluster) or _agents(context):
        return
    yield context.found(
        _ref(context),
        f"{context.cluster} is a Pull cluster, and no agent has ever run for it: docs/agent.md installs one",
        evidence=f"there is neither Lease {execution_namespace(context.cluster)}/{AGENT_LEASE} "
        f"nor {wk.CLUSTER_NAMESPACE}/{context.cluster}",
        fix=_install_agent(world, context.cluster),
        severity=Severity.IN_PROGRESS if world.age(cluster) < _YOUNG_SECONDS else None,
    )


def _install_agent(world: World, cluster: str) -> str:
    """Steps 2 to 4 of docs/agent.md, in a shell of their own that ends with the first one that fails."""
    host, member, file = world.kubectl(), world.kubectl(cluster), '"$d/karmada.config"'
    try:
        mode = "standalone" if runs_standalone(world.host) else "beside-karmada"
    except Unseen:  # the agent alone is what the other one has more than it
        mode = "beside-karmada"
    overlay = f"{shlex.quote(world.manifests)}/overlays/{mode}"
    made_out = f"sed {shlex.quote(f's/CLUSTER/{cluster}/g')}"
    namespace, system = shlex.quote(execution_namespace(cluster)), wk.SYSTEM_NAMESPACE
    steps = (
        "set -e",
        "d=$(mktemp -d)",
        """trap 'rm -r "$d"' EXIT""",
        f"kubectl kustomize {overlay}/agent/control-plane | {made_out} | {host} apply -f -",
        f"{host} config view --minify --flatten > {file}",
        f"u=$(kubectl --kubeconfig {file} config view -o jsonpath='{{.users[0].name}}')",
        f"t=$({host} -n {namespace} create token {AGENT_LEASE} --duration=8760h)",
        f'kubectl --kubeconfig {file} config delete-user "$u"',
        f'kubectl --kubeconfig {file} config set-credentials "$u" --token="$t"',
        f"kubectl kustomize {overlay}/agent/member | {made_out} | {member} apply -f -",
        f"kubectl create secret generic {AGENT_LEASE}-config -n {system} --from-file={file} --dry-run=client -o yaml | "
        f"{member} apply -f -",
    )
    return f"({'; '.join(steps)})"


@rule(
    "MCS021",
    "The agent of a Pull cluster is down",
    Link.CLUSTERS,
    Scope.MEMBER,
    meaning="No agent renews its Lease: the member gets no changes, and its endpoints stay as they are.",
    evidence="renewTime and leaseDurationSeconds of the Lease.",
    fix="Start the agent; its log says why it ended.",
)
def agent_down(context: Context) -> Iterator[Finding]:
    """One that lives suffices."""
    world = context.world
    cluster = _cluster(context)
    leases = [] if _is_push(cluster) or _leaves(cluster) else _agents(context)
    if not leases or (overdue := min(overdue_seconds(world, one) for one in leases)) <= 0:
        return
    lease = leases[0]
    name, namespace = text(lease, "metadata", "name"), text(lease, "metadata", "namespace")
    deployment = AGENT_LEASE if name == AGENT_LEASE else KARMADAS_AGENT
    yield context.found(
        ObjectRef(CONTROL_PLANE, "Lease", name, namespace),
        f"the agent of {context.cluster} does not renew its Lease",
        evidence=described(world, lease),
        fix=f"{world.kubectl(context.cluster)} -n {wk.SYSTEM_NAMESPACE} rollout restart deployment {deployment}",
        severity=Severity.IN_PROGRESS if overdue < TAKEOVER_SECONDS else None,
    )


def _denied(context: Context) -> tuple[Sequence[str], Sequence[str]]:
    """The rights that a member denies: those that a provider needs, and the others, which a consumer needs."""
    world = context.world
    login = _login(context)
    if login is None or world.service is None:
        provides = consumes = login is not None
    else:
        provides, consumes = context.cluster in world.providers, context.cluster in world.consumers
    denied = login.denied if login is not None else ()
    reading = [right for right in denied if right in _RIGHTS_OF_READERS and provides]
    # A provider gets the Service and its namespace, too, and no slices of others.
    writing = [right for right in denied if right not in reading and (consumes or "endpointslices" not in right)]
    return reading, writing


def _rights(context: Context, problem: str, denied: Sequence[str]) -> Finding:
    return context.found(
        ObjectRef(context.cluster, "ServiceAccount", "mcs-controller-manager", wk.SYSTEM_NAMESPACE),
        problem,
        evidence=f"SelfSubjectAccessReview with the stored token, denied: {', '.join(denied)}",
        fix=f"{context.world.kubectl(context.cluster)} apply -f {shlex.quote(context.world.manifests)}/member/",
    )


@rule(
    "MCS022",
    "The controller may not read the endpoints of a provider",
    Link.CLUSTERS,
    Scope.MEMBER,
    meaning="The user of the stored token may not list and watch EndpointSlices: new endpoints are not seen.",
    evidence="The member's answer to a SelfSubjectAccessReview for each right.",
    fix="Apply manifests/member/ to the member.",
)
def provider_rights(context: Context) -> Iterator[Finding]:
    """All that is denied: one command mends it."""
    reading, writing = _denied(context)
    if reading:
        yield _rights(context, f"the endpoints of {context.cluster} cannot be read", [*reading, *writing])


@rule(
    "MCS023",
    "The controller may not write to a consumer",
    Link.CLUSTERS,
    Scope.MEMBER,
    meaning="The user of the stored token may not write Services, EndpointSlices or Namespaces.",
    evidence="The member's answer to a SelfSubjectAccessReview for each right.",
    fix="Apply manifests/member/ to the member.",
)
def consumer_rights(context: Context) -> Iterator[Finding]:
    """One that cannot be read either is found already, with the same fix."""
    reading, writing = _denied(context)
    if writing and not reading:
        yield _rights(context, f"objects cannot be written to {context.cluster}", writing)


@rule(
    "MCS024",
    "A member is too old",
    Link.CLUSTERS,
    Scope.MEMBER,
    meaning="Kubernetes before 1.21 has no EndpointSlices in version discovery.k8s.io/v1.",
    evidence="The version of the member's API server.",
    fix="Upgrade the member to a supported release of Kubernetes. The command shows the version.",
    no_command="because a cluster is upgraded by whatever has installed it, and not through its API server.",
)
def member_too_old(context: Context) -> Iterator[Finding]:
    """By its version."""
    member = context.world.snapshot(context.cluster)
    if reason := member.why_unseen():
        raise Unseen(f"the version of {context.cluster}: {reason}")
    version = re.match(r"v?(\d+)\.(\d+)", member.version)
    if version is not None and (int(version[1]), int(version[2])) < (1, 21):
        yield context.found(
            ObjectRef(context.cluster, "API server"),
            f"{context.cluster} is too old: discovery.k8s.io/v1 came with Kubernetes 1.21",
            evidence=f"GET /version: {member.version}",
            fix=f"{context.world.kubectl(context.cluster)} version",
        )


@rule(
    "MCS025",
    "The execution namespace of a member is missing or terminating",
    Link.CLUSTERS,
    Scope.MEMBER,
    meaning="The Works of the member are kept in this namespace: without it nothing can be sent to the member, and "
    "nothing can be collected from it.",
    evidence="The namespace karmada-es-NAME in the control plane.",
    fix="The controller makes it anew once the old one is gone. If a Work in it has a finalizer that is not Karmada's, "
    "the command takes that off; see first whether its owner is really gone.",
    no_command="if anything else holds it: what that guards is not known here. The command shows the Works.",
)
def execution_namespace_gone(context: Context) -> Iterator[Finding]:
    """Not of a Cluster that is leaving."""
    world = context.world
    cluster = _cluster(context)
    if _leaves(cluster):
        return
    name = execution_namespace(context.cluster)
    namespace = world.host.get(NAMESPACES, name)
    missing = namespace is None
    if not missing and not text(namespace, "metadata", "deletionTimestamp"):
        return
    content = condition(namespace, "NamespaceContentRemaining") or condition(namespace, "NamespaceFinalizersRemaining")
    yield context.found(
        ObjectRef(CONTROL_PLANE, "Namespace", name),
        f"the execution namespace of {context.cluster} is {'missing' if missing else 'terminating'}",
        evidence="GET namespaces: 404" if missing else text(content, "message") or "it has a deletionTimestamp",
        fix=f"{world.kubectl()} create namespace {shlex.quote(name)}"
        if missing
        else next(
            filter(None, (release_command(world.kubectl(), WORKS, one) for one in _deleted_works(world, name))), ""
        )
        or f"{world.kubectl()} -n {shlex.quote(name)} get works -o yaml",
        severity=Severity.IN_PROGRESS if missing and world.age(cluster) < _YOUNG_SECONDS else None,
    )


def _deleted_works(world: World, namespace: str) -> Sequence[Object]:
    """Those that were read: a diagnosis of one service reads its own."""
    works = () if world.host.why_unseen(WORKS, namespace) else world.host.list(WORKS, namespace)
    return [one for one in works if text(one, "metadata", "deletionTimestamp")]


@rule(
    "MCS026",
    "Two clusters have overlapping address ranges",
    Link.CLUSTERS,
    Scope.NEIGHBOURS,
    meaning="Both have Pods of the same addresses: a request to an endpoint of the other cluster stays in its own. A "
    "Service range that overlaps the other's Pod range does the same for single addresses.",
    evidence="spec.podCIDRs of the Nodes, and the ServiceCIDRs.",
    fix="Set one of the two up anew with other ranges, or connect them by a network that translates addresses. The "
    "command shows the ranges.",
    no_command="because the ranges of a running cluster cannot be changed.",
)
def ranges_overlap(context: Context) -> Iterator[Finding]:
    """Service ranges may be the same: no request to another cluster goes to a cluster IP."""
    world = context.world
    one, other = context.provider, context.cluster
    pods = {name: _pod_ranges(world, name) for name in (one, other)}
    if silent := [name for name in pods if world.service and not pods[name] and world.snapshot(name).list(NODES)]:
        yield context.found(
            ObjectRef(silent[0], "Node"),
            f"not checked whether the Pod ranges of {one} and {other} overlap",
            evidence=f"the Nodes of {silent[0]} do not state them (spec.podCIDRs)",
            severity=Severity.INFO,
        )
    services = {name: _service_ranges(world, name) for name in (one, other)}
    problems = [
        (Severity.ERROR, "Pods", _overlap(pods[one], pods[other]), (_PODS, _PODS)),
        (Severity.WARNING, f"Pods of {one} and Services", _overlap(pods[one], services[other]), (_PODS, _SERVICES)),
        (Severity.WARNING, f"Services of {one} and Pods", _overlap(services[one], pods[other]), (_SERVICES, _PODS)),
    ]
    for severity, what, shared, (shows, shows_other) in problems:
        if shared:
            yield context.found(
                ObjectRef(other, "Cluster", other),
                f"the ranges of {what} of {one} and {other} overlap"
                if what == "Pods"
                else f"the ranges of {what} of {other} overlap",
                evidence=f"in both: {', '.join(map(str, shared[:3]))}",
                fix=f"{world.kubectl(one)} {shows} && {world.kubectl(other)} {shows_other}",
                severity=severity,
            )


def _pod_ranges(world: World, cluster: str) -> Sequence[Network]:
    nodes = world.snapshot(cluster).list(NODES)
    texts = [one for node in nodes for one in (*items(node, "spec", "podCIDRs"), text(node, "spec", "podCIDR"))]
    return _networks(texts)


def _service_ranges(world: World, cluster: str) -> Sequence[Network]:
    """None where the kind is not served: it came with Kubernetes 1.33."""
    snapshot = world.snapshot(cluster)
    if snapshot.why_unseen(SERVICECIDRS) == NOT_SERVED:
        return ()
    return _networks([one for each in snapshot.list(SERVICECIDRS) for one in items(each, "spec", "cidrs")])


def _networks(texts: Sequence[object]) -> Sequence[Network]:
    found: list[Network] = []
    for one in dict.fromkeys(one for one in texts if isinstance(one, str) and one):
        try:
            found.append(ipaddress.ip_network(one, strict=False))
        except ValueError:
            continue  # not for us to judge
    v4 = ipaddress.collapse_addresses(one for one in found if isinstance(one, ipaddress.IPv4Network))
    v6 = ipaddress.collapse_addresses(one for one in found if isinstance(one, ipaddress.IPv6Network))
    return [*v4, *v6]


def _overlap(some: Sequence[Network], others: Sequence[Network]) -> Sequence[Network]:
    """Of each two ranges that share addresses the smaller one."""
    return [
        max(one, other, key=lambda each: each.prefixlen)
        for one in some
        for other in others
        if one.version == other.version and one.overlaps(other)
    ]


@rule(
    "MCS027",
    "A Cluster is being deleted",
    Link.CLUSTERS,
    Scope.MEMBER,
    meaning="The cluster leaves: what was sent there is removed, and its endpoints are withdrawn.",
    evidence="deletionTimestamp and finalizers of the Cluster.",
    fix="Wait. If it takes long, see what holds it: the controller must be able to reach the member. A finalizer that "
    "is not Karmada's is taken off by the command; see first whether its owner is really gone.",
    no_command="if no such finalizer holds it: the controller is removing what it brought to the member, and the "
    "command shows what is left.",
)
def cluster_leaves(context: Context) -> Iterator[Finding]:
    """It takes some time."""
    world = context.world
    cluster = _cluster(context)
    if not _leaves(cluster):
        return
    finalizers = [one for one in items(cluster, "metadata", "finalizers") if isinstance(one, str)]
    since = world.age({"metadata": {"creationTimestamp": text(cluster, "metadata", "deletionTimestamp")}})
    yield context.found(
        _ref(context),
        f"Cluster {context.cluster} is being deleted",
        evidence=f"for {since:.0f} s; finalizers: {', '.join(finalizers) or 'none'}",
        fix=release_command(world.kubectl(), CLUSTERS, cluster)
        or f"{world.kubectl()} -n {shlex.quote(execution_namespace(context.cluster))} get works",
        severity=Severity.IN_PROGRESS if since < _LEAVING_SECONDS else None,
    )


@rule(
    "MCS047",
    "The controller's cache of a cluster is stale",
    Link.CLUSTERS,
    Scope.WORLD,
    severity=Severity.WARNING,
    meaning=f"The leader could not confirm for more than {STALE_SECONDS:g} seconds what a cluster has. Consumers keep "
    "the endpoints that they have, which may be out of date; services without others say Stale in EndpointsAvailable.",
    evidence="What the leader says of itself in annotations of its Lease, as old as its last renewal.",
    fix="The log of the controller has the error; metric informer_unconfirmed_seconds the age. docs/alerts.md, "
    "MCSMemberStale and MCSControlPlaneStale, says what to look at.",
    no_command="because the controller asks without end: it is mended as soon as the cluster answers.",
)
def stale(context: Context) -> Iterator[Finding]:
    """By cluster: a connection that is dead makes all kinds stale."""
    world = context.world
    ages: dict[str, dict[str, str]] = {}
    lease = world.host.get(LEASES, MANAGER, wk.SYSTEM_NAMESPACE)
    for one in said_by(lease).get(wk.LEADER_STALE, "").split(","):
        cluster, slash, rest = one.partition("/")
        resource, equals, seconds = rest.rpartition("=")
        if slash and equals and seconds.isdecimal() and len(seconds) < 12:
            ages.setdefault(cluster, {})[resource] = seconds
    for cluster, found in sorted(ages.items()):
        oldest = max(int(seconds) for seconds in found.values())
        yield context.found(
            ObjectRef(CONTROL_PLANE, "Cluster", cluster) if cluster else ObjectRef(CONTROL_PLANE, "API server"),
            f"the controller's cache of {cluster or 'the control plane'} was not confirmed for {oldest} s",
            evidence=", ".join(f"{resource}: {seconds} s" for resource, seconds in sorted(found.items())),
            fix=world.kubectl(CONTROL_PLANE)
            + (f" describe cluster {shlex.quote(cluster)}" if cluster else " get --raw /readyz"),
        )
