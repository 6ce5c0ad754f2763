"""Copy the labelled ConfigMaps of one namespace into every labelled namespace, and keep the copies up to date."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

import msgspec

from informers import (
    ApiClient,
    CachedClient,
    InformerFactory,
    ObjectKey,
    ObjectMeta,
    PartialObject,
    Resource,
    struct_decoder,
)
from mcs_controller.runtime import Request, connect

if TYPE_CHECKING:
    from informers import Event

COPY_ME = "copier.example/copy"  # on a ConfigMap: it is to be copied
TARGET = "copier.example/target"  # on a Namespace: it is to have the copies
COPY_OF = "copier.example/copy-of"  # on a copy: the namespace of its original


class ConfigMap(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The fields of a ConfigMap that are read; others are not decoded."""

    metadata: ObjectMeta
    data: dict[str, str] = {}
    binary_data: dict[str, str] = {}


NAMESPACES = Resource(
    group="",
    version="v1",
    plural="namespaces",
    kind="Namespace",
    decode=struct_decoder(PartialObject),
    namespaced=False,
)
CONFIG_MAPS = Resource(group="", version="v1", plural="configmaps", kind="ConfigMap", decode=struct_decoder(ConfigMap))

Contents = dict[str, dict[str, str]]


def contents(config_map: ConfigMap) -> Contents:
    """The copied fields."""
    return {"data": config_map.data, "binaryData": config_map.binary_data}


def plan(wanted: dict[str, Contents], copies: dict[str, ConfigMap]) -> tuple[list[str], list[str], list[str]]:
    """The namespaces in which to create, change and delete a copy; all empty if there is no difference."""
    create = sorted(wanted.keys() - copies.keys())
    change = sorted(name for name in wanted.keys() & copies.keys() if contents(copies[name]) != wanted[name])
    return create, change, sorted(copies.keys() - wanted.keys())


class Copier:
    """Reconciles one name: its original, and its copies in all namespaces."""

    def __init__(self, client: ApiClient, informers: InformerFactory, source: str) -> None:
        """Declare the watched kinds; nothing runs yet."""
        self.client, self.source = client, source
        self.originals = informers.informer(CONFIG_MAPS, namespace=source, label_selector=COPY_ME)
        self.targets = informers.informer(NAMESPACES, label_selector=TARGET)
        copies = informers.informer(CONFIG_MAPS, label_selector=f"{COPY_OF}={source}", indexers={"name": name_of})
        self.copies = CachedClient(client, copies)

    async def reconcile(self, request: Request) -> None:
        """Observe, plan, apply."""
        original = self.originals.store.get(ObjectKey(self.source, request.name))
        targets = {each.metadata.name for each in self.targets.store.values() if not each.metadata.deletion_timestamp}
        wanted = {name: contents(original) for name in targets - {self.source}} if original is not None else {}
        copies = {copy.metadata.namespace: copy for copy in self.copies.store.by_index("name", request.name)}
        create, change, delete = plan(wanted, copies)
        for namespace in create:
            metadata = {"name": request.name, "labels": {COPY_OF: self.source}}
            await self.copies.create({"metadata": metadata, **wanted[namespace]}, namespace)
        for namespace in change:
            same = {"op": "test", "path": "/metadata/uid", "value": copies[namespace].metadata.uid}
            changed = [{"op": "add", "path": f"/{name}", "value": value} for name, value in wanted[namespace].items()]
            await self.copies.patch(namespace, request.name, [same, *changed])
        for namespace in delete:
            await self.client.delete(CONFIG_MAPS, request.name, namespace, uid=copies[namespace].metadata.uid)

    def requests_for_all(self, _: object) -> list[Request]:
        """All names: a namespace concerns all of them."""
        keys = {*self.originals.store.keys(), *self.copies.store.keys()}
        return [Request("", name) for name in sorted({key.name for key in keys})]


def name_of(config_map: ConfigMap) -> list[str]:
    """The index that finds all copies of one name."""
    return [config_map.metadata.name]


def request_for(event: Event[ConfigMap]) -> list[Request]:
    """Originals and copies enqueue their own name only."""
    return [Request("", event.key.name)]


async def run(kubeconfig: str | None, source: str, health_address: str) -> None:
    """Set up the controller and run it until a signal."""
    async with connect(
        "configmap-copier", lease_namespace=source, kubeconfig=kubeconfig, health_address=health_address
    ) as program:
        copier = Copier(program.client, program.informers, source)
        controller = program.controller(copier)
        controller.watch(copier.originals, request_for)
        controller.watch(copier.copies.informer, request_for)
        controller.watch(copier.targets, copier.requests_for_all)
        await program.run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", help="default: $KUBECONFIG, or ~/.kube/config")
    parser.add_argument("--from", dest="source", default="default", help="the namespace of the originals (default)")
    parser.add_argument("--health-address", default="0", help="where /healthz and /readyz answer, such as :8080")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.kubeconfig, arguments.source, arguments.health_address))
