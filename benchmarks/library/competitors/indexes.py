"""The two indexes of every informer here: by namespace, and by service, as in ``benchmarks/go/informer.go``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from informers import Indexers, KubeObject


def _by_namespace(obj: KubeObject) -> Iterable[str]:
    return (obj.metadata.namespace,)


def _by_service(obj: KubeObject) -> Iterable[str]:
    return (f"{obj.metadata.namespace}/{obj.metadata.labels.get('kubernetes.io/service-name', '')}",)


INDEXERS: Indexers[KubeObject] = {"namespace": _by_namespace, "service": _by_service}
