"""Members with secrets of their own, and everything that a controller puts out."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.support.fleet import BINDINGS, CLUSTERS, EVENTS, LEASES, MCS, SERVICES, WORKS

if TYPE_CHECKING:
    from testbed import Bed, ControllerProcess
    from tests.integration.security.canaries import Canaries

NAMESPACE = "karmada-cluster"
CLOSED = "http://127.0.0.1:1"


class Fleet:
    """Members that are added by hand, each with secrets of its own."""

    def __init__(self, bed: Bed, canaries: Canaries) -> None:
        self._bed = bed
        self._canaries = canaries
        self.names: list[str] = []

    async def add(self, name: str, *, token: str = "{}", ca: str | None = None, **spec: Any) -> None:
        """A Cluster and its Secret; `{}` in a text becomes a new secret."""
        self.names.append(name)
        data = {"token": self._planted(name, "token", token)}
        if ca is not None:
            data["caBundle"] = self._planted(name, "caBundle", ca)
        host = self._bed.host.api
        meta = {"name": name, "namespace": NAMESPACE}
        await host.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data})
        planted = {key: self._planted(name, key, value) for key, value in spec.items()}
        await host.create(
            {
                "apiVersion": "cluster.karmada.io/v1alpha1",
                "kind": "Cluster",
                "metadata": {"name": name},
                "spec": {
                    "syncMode": "Push",
                    "apiEndpoint": CLOSED,
                    "insecureSkipTLSVerification": ca is None,
                    "secretRef": meta,
                    **planted,
                },
            }
        )

    def _planted(self, name: str, field: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._planted(name, f"{field}.{key}", each) for key, each in value.items()}
        if isinstance(value, str) and "{}" in value:
            return value.replace("{}", self._canaries.plant(f"{field} of {name}"))
        return value


async def everything_of(bed: Bed, *processes: ControllerProcess) -> dict[str, str]:
    """All outputs by name: logs, metrics, probes, and the control plane's objects without their secrets."""
    texts = {}
    async with aiohttp.ClientSession() as session:
        for process in processes:
            texts[f"log of {process.name}"] = process.log.read_text()
            paths = ("healthz?verbose", "readyz?verbose", "debug", "debug/pprof")
            for url in (process.metrics_url, *(f"{process.health_url}/{path}" for path in paths)):
                async with session.get(url) as response:
                    texts[url] = await response.text() + str(response.headers)
    for resource in (MCS, WORKS, BINDINGS, SERVICES, EVENTS, LEASES, CLUSTERS):
        for each in await bed.host.api.list(resource):
            seen = copy.deepcopy(each)
            if resource == CLUSTERS:  # whoever may read a Cluster may read what its spec says
                del seen["spec"]
            texts[f"{resource} {each['metadata'].get('namespace')}/{each['metadata']['name']}"] = json.dumps(seen)
    return texts
