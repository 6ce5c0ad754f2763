"""Keep the data of each Share as ConfigMaps in the namespaces that it names, and report the result in its status."""

import asyncio
import sys

import msgspec

from informers import CachedClient, Condition, Event, NotFound, ObjectMeta, Resource, struct_decoder
from mcs_controller.runtime import (
    ObjectReference,
    Program,
    Request,
    Result,
    connect,
    controller_reference,
    enqueue_object,
    enqueue_owner,
    generation_changed,
    plan_add_finalizer,
    plan_conditions,
    plan_remove_finalizer,
)


class Spec(msgspec.Struct, frozen=True):
    """The desired state."""

    namespaces: list[str] = []
    data: dict[str, str] = {}


class Status(msgspec.Struct, frozen=True):
    """The observed state."""

    conditions: tuple[Condition, ...] = ()


class Share(msgspec.Struct, frozen=True):
    """See share.yaml."""

    metadata: ObjectMeta
    spec: Spec = Spec()
    status: Status = Status()


class ConfigMap(msgspec.Struct, frozen=True):
    """The fields of a ConfigMap that are read."""

    metadata: ObjectMeta
    data: dict[str, str] = {}


SHARES = Resource(group="copier.example", version="v1", plural="shares", kind="Share", decode=struct_decoder(Share))
CONFIG_MAPS = Resource(group="", version="v1", plural="configmaps", kind="ConfigMap", decode=struct_decoder(ConfigMap))
SHARED_BY = "copier.example/shared-by"  # on a copy: namespace and name of its Share, with a dot between
OVERVIEW = "copier.example/overview"  # on the ConfigMap beside a Share that lists where its copies are
FINALIZER = "copier.example/copies"
MANAGER = "config-sharer"


def shared_by(copy: ConfigMap) -> list[Request]:
    """The Share of a copy: an index, and the request of a copy's event."""
    namespace, _, name = copy.metadata.labels[SHARED_BY].partition(".")
    return [Request(namespace, name)]


def requests_for_copy(event: Event[ConfigMap]) -> list[Request]:
    """A copy is in another namespace than its Share, so its label says whose it is."""
    return shared_by(event.object)


class Sharer:
    """Reconciles the copies of one Share."""

    def __init__(self, program: Program) -> None:
        """Declare the watched kinds; nothing runs yet."""
        self.program = program
        self.shares: CachedClient[Share] = program.cached(SHARES)
        self.copies = program.cached(CONFIG_MAPS, label_selector=SHARED_BY, indexers={"share": shared_by})
        self.overviews = program.cached(CONFIG_MAPS, label_selector=OVERVIEW)

    async def reconcile(self, request: Request) -> Result | None:
        """Compare a Share with its copies, and write the difference."""
        share = self.shares.get(*request)
        if share is None:
            return None
        copies = {copy.metadata.namespace: copy for copy in self.copies.store.by_index("share", request)}
        if share.metadata.deletion_timestamp:
            await self.clean_up(share, copies)
            return None
        if patch := plan_add_finalizer(share, FINALIZER):
            share = await self.shares.patch(*request, patch)
        missing = await self.make_copies(share, copies)
        await self.describe(share)
        await self.report(share, missing)
        return Result(requeue_after=30.0) if missing else None  # no watch tells when there is such a namespace

    async def clean_up(self, share: Share, copies: dict[str, ConfigMap]) -> None:
        """Delete the copies, and then let the Share go. Nobody else would: an owner cannot be in another namespace."""
        for namespace, copy in copies.items():
            await self.copies.delete(namespace, copy.metadata.name, uid=copy.metadata.uid)
        if patch := plan_remove_finalizer(share, FINALIZER):
            await self.shares.patch(share.metadata.namespace, share.metadata.name, patch)

    async def make_copies(self, share: Share, copies: dict[str, ConfigMap]) -> list[str]:
        """One copy in each namespace. Returns the namespaces that do not exist."""
        meta, missing = share.metadata, []
        body = {"metadata": {"labels": {SHARED_BY: f"{meta.namespace}.{meta.name}"}}, "data": share.spec.data}
        for namespace in share.spec.namespaces:
            if namespace in copies and copies[namespace].data == share.spec.data:
                continue
            try:
                await self.copies.apply(namespace, meta.name, body, field_manager=MANAGER, force=True)
            except NotFound:
                missing.append(namespace)
        for namespace in copies.keys() - set(share.spec.namespaces):
            await self.copies.delete(namespace, meta.name, uid=copies[namespace].metadata.uid)
        return missing

    async def describe(self, share: Share) -> None:
        """The overview is in the namespace of its Share, which owns it: the garbage collector takes it away."""
        meta = share.metadata
        data = {"namespaces": " ".join(share.spec.namespaces)}
        overview = self.overviews.get(meta.namespace, f"{meta.name}-overview")
        if overview is not None and overview.data == data:
            return
        metadata = {"labels": {OVERVIEW: ""}, "ownerReferences": [controller_reference(share, SHARES)]}
        body = {"metadata": metadata, "data": data}
        await self.overviews.apply(meta.namespace, f"{meta.name}-overview", body, field_manager=MANAGER, force=True)

    async def report(self, share: Share, missing: list[str]) -> None:
        """Write the status, and record an event if it has changed."""
        if missing:
            status, reason, message = "False", "NamespaceNotFound", f"there is no namespace {', '.join(missing)}"
        else:
            status, reason, message = "True", "Shared", f"in {len(share.spec.namespaces)} namespaces"
        ready = Condition("Ready", status, reason, message, observed_generation=share.metadata.generation)
        patch = plan_conditions(share, share.status.conditions, [ready], now=self.program.clock.utcnow())
        if patch is None:
            return
        await self.shares.patch(share.metadata.namespace, share.metadata.name, patch, subresource="status")
        reference = ObjectReference.to(share, SHARES)
        self.program.recorder.event(reference, "Warning" if missing else "Normal", reason, message)


async def main(lease_namespace: str) -> None:
    """Set up the controller and run it until a signal."""
    async with connect("config-sharer", lease_namespace=lease_namespace, qps=20) as program:
        sharer = Sharer(program)
        controller = program.controller(sharer, workers=2)
        controller.watch(sharer.shares.informer, enqueue_object, generation_changed)
        controller.watch(sharer.copies.informer, requests_for_copy)
        controller.watch(sharer.overviews.informer, enqueue_owner(SHARES))
        await program.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
