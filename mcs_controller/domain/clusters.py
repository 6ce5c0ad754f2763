"""Connection data of a Cluster, and which of its changes are more than a heartbeat (contract 1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from informers.meta import find_condition
from mcs_controller.domain import well_known as wk

if TYPE_CHECKING:
    from mcs_controller.api.cluster import Cluster, SecretRef


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything in a Cluster that its client is built from. Clusters with equal connections can share one client.

    Attributes:
        uid: the Cluster's: one registered anew under an old name is another cluster.
        proxy_header: sorted (name, values).
    """

    uid: str
    endpoint: str
    secret_ref: SecretRef | None
    insecure: bool
    proxy_url: str
    proxy_header: tuple[tuple[str, tuple[str, ...]], ...]


def connection_of(cluster: Cluster) -> Connection:
    """The Cluster's connection. Several values of one proxy header stand in one string, separated by commas."""
    spec = cluster.spec
    header = tuple((name, tuple(spec.proxy_header[name].split(","))) for name in sorted(spec.proxy_header))
    return Connection(
        uid=cluster.metadata.uid,
        endpoint=spec.api_endpoint,
        secret_ref=spec.secret_ref,
        insecure=spec.insecure_skip_tls_verification,
        proxy_url=spec.proxy_url,
        proxy_header=header,
    )


def credentials_of(cluster: Cluster) -> str:
    """What the member is shown as credentials, in words for people."""
    ref = cluster.spec.secret_ref
    return f"the token in Secret {ref.namespace}/{ref.name}" if cluster.is_push and ref else "its agent's credentials"


def relevant_change(old: Cluster, new: Cluster) -> bool:
    """Whether an update of a Cluster can change what any controller here decides.

    Heartbeats, resource summaries, annotations and the messages of conditions cannot: so a Cluster that is written
    every ten seconds causes no reconcile. Services say why a cluster is skipped by the reason of its condition Ready.
    """
    return _relevant(old) != _relevant(new)


def _relevant(cluster: Cluster) -> tuple[object, ...]:
    meta = cluster.metadata
    ready = find_condition(cluster.conditions, wk.READY)
    complete = find_condition(cluster.conditions, wk.COMPLETE_API_ENABLEMENTS)
    return (
        meta.uid,
        meta.deletion_timestamp is not None,
        meta.labels,
        cluster.spec,
        (ready.status, "" if cluster.is_ready else ready.reason) if ready is not None else None,
        cluster.api_enablements,
        # Only True turns "not listed" into "not served".
        complete is not None and complete.status == "True",
    )


def is_leaving(cluster: Cluster | None) -> bool:
    """Whether the Cluster is being deleted, and its execution namespace about to go. Of one that is gone, nothing."""
    return cluster is not None and cluster.metadata.deletion_timestamp is not None
