"""Copy the labelled ConfigMaps of one namespace into another, and keep the copies up to date."""

import asyncio
import sys

import msgspec

from informers import Event, ObjectMeta, Resource, struct_decoder
from mcs_controller.runtime import Program, Request, connect


class ConfigMap(msgspec.Struct, frozen=True):
    """The fields that are read; others are not decoded."""

    metadata: ObjectMeta
    data: dict[str, str] = {}


CONFIG_MAPS = Resource(group="", version="v1", plural="configmaps", kind="ConfigMap", decode=struct_decoder(ConfigMap))
COPY_OF = "copier.example/copy-of"  # on a copy: the namespace of its original


class Copier:
    """Makes the copy with a name equal to its original."""

    def __init__(self, program: Program, source: str, target: str) -> None:
        """Declare the watched kinds; nothing runs yet."""
        self.source, self.target = source, target
        self.originals = program.cached(CONFIG_MAPS, namespace=source, label_selector="copier.example/copy")
        self.copies = program.cached(CONFIG_MAPS, namespace=target, label_selector=f"{COPY_OF}={source}")

    async def reconcile(self, request: Request) -> None:
        """Compare both, and write the difference."""
        original = self.originals.get(self.source, request.name)
        copy = self.copies.get(self.target, request.name)
        if original is None and copy is not None:
            await self.copies.delete(self.target, request.name, uid=copy.metadata.uid)
        elif original is not None and copy is None:
            metadata = {"name": request.name, "labels": {COPY_OF: self.source}}
            await self.copies.create({"metadata": metadata, "data": original.data}, self.target)
        elif original is not None and copy is not None and copy.data != original.data:
            same = {"op": "test", "path": "/metadata/uid", "value": copy.metadata.uid}
            change = {"op": "add", "path": "/data", "value": original.data}
            await self.copies.patch(self.target, request.name, [same, change])


def request_for(event: Event[ConfigMap]) -> list[Request]:
    """Originals and copies enqueue their own name."""
    return [Request("", event.key.name)]


async def main(source: str, target: str) -> None:
    """Set up the controller and run it until a signal."""
    async with connect("configmap-copier", lease_namespace=source) as program:
        copier = Copier(program, source, target)
        controller = program.controller(copier)
        controller.watch(copier.originals.informer, request_for)
        controller.watch(copier.copies.informer, request_for)
        await program.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
