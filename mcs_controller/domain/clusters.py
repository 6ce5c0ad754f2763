"""What about a Cluster matters to whom: its connection, and which changes are more than a heartbeat (contract 1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcs_controller.api.common import find_condition

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


def relevant_change(old: Cluster, new: Cluster) -> bool:
    """Whether an update of a Cluster can change what any controller here decides.

    Heartbeats, resource summaries, annotations and the words of conditions cannot: so a Cluster that is written every
    ten seconds causes no reconcile.
    """
    return _relevant(old) != _relevant(new)


def _relevant(cluster: Cluster) -> tuple[object, ...]:
    meta = cluster.metadata
    complete = find_condition(cluster.conditions, "CompleteAPIEnablements")
    return (
        meta.uid,
        meta.deletion_timestamp is not None,
        meta.labels,
        cluster.spec,
        cluster.is_ready,
        cluster.api_enablements,
        # Only True turns "not listed" into "not served".
        complete is not None and complete.status == "True",
    )
