"""`mcsctl trace`: the next change of a provider's endpoints on its way to the consumers, hop by hop, with times."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import click
import msgspec

from informers.errors import KubeError, from_response
from mcs_controller.api.resources import ENDPOINTSLICES, WORKS
from mcs_controller.diagnosis import world as w
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import dispatched_slice_names
from mcs_controller.mcsctl import completion
from mcs_controller.mcsctl.access import Access, AccessOptions
from mcs_controller.mcsctl.chain import fingerprint, manifest, provision_cluster
from mcs_controller.mcsctl.get import observe_services
from mcs_controller.mcsctl.main import EXIT_BROKEN, EXIT_HEALTHY, EXIT_UNSEEN
from mcs_controller.mcsctl.observe import members_of
from mcs_controller.mcsctl.render import FORMATS, dump
from mcs_controller.mcsctl.seconds import SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from informers.resource import Resource
    from mcs_controller.mcsctl.access import Plane

    Content = frozenset[tuple[str, bool]] | None
    """What endpoints a slice has; None if there is no such slice."""

_MANAGER: Final = "mcsctl"


class Stage(Enum):
    """The objects that a change of endpoints passes through."""

    SLICE = "EndpointSlice"
    COLLECTED = "collected Work"
    DISPATCHED = "dispatched Work"
    COPY = "EndpointSlice of the consumer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One object as a list or a watch showed it.

    Attributes:
        seconds: by our clock, when it was seen; all watches are compared by it.
        stage: which of the objects on the way.
        provider: whose slice it is, or carries.
        cluster: where it is, or whose execution namespace.
        slice: the name of the slice that it is, or carries.
        name: of the object itself, with its namespace.
        content: its endpoints.
    """

    seconds: float
    stage: Stage
    provider: str
    cluster: str
    slice: str
    name: str
    content: Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One hop of the change. `milliseconds` counts from the change in the provider; None if it was not seen."""

    object: str
    cluster: str
    name: str
    milliseconds: int | None


@click.command("trace")
@click.argument("service", shell_complete=completion.services)
@click.option(
    "-n",
    "--namespace",
    default="default",
    show_default=True,
    shell_complete=completion.namespaces,
    help="Of the Service.",
)
@click.option(
    "--from",
    "from_cluster",
    default="",
    metavar="CLUSTER",
    shell_complete=completion.clusters,
    help="The only consumer to follow. Default: all.",
)
@click.option("--touch", is_flag=True, help="Make a harmless change, see above.")
@click.option("--timeout", "seconds", type=SECONDS, default=60.0, show_default=True, help="For the whole of it.")
@click.option("-o", "--output", type=click.Choice(FORMATS), default="text", show_default=True)
@click.pass_obj
def command(
    options: dict[str, Any], service: str, namespace: str, from_cluster: str, touch: bool, seconds: float, output: str
) -> int:
    r"""Follow the next change of a provider's endpoints through the hops to the consumers, with times.

    Times are those at which this machine was told by the watches of all servers. Without --touch nothing is changed:
    scale or restart the provider's Deployment meanwhile. An annotation would end at the first hop, so --touch creates
    an EndpointSlice without endpoints in a provider, which no request can reach, follows it and deletes it.

    \b
    Examples:
      mcsctl trace nginx --touch
      mcsctl trace nginx -n shop --from member2 --timeout 300
    """
    hops = asyncio.run(_trace(AccessOptions(**options), (namespace, service), from_cluster, touch, seconds))
    if output == "text":
        _show(hops)
    else:
        dump({"hops": [asdict(one) for one in hops]}, output)
    if not hops:
        click.echo(f"No endpoints changed within {seconds:g} seconds; --touch makes a harmless change.", err=True)
        return EXIT_UNSEEN
    if any(one.milliseconds is None for one in hops):
        click.echo(
            f"Not all of it arrived within {seconds:g} seconds: mcsctl doctor -n {namespace} {service}", err=True
        )
        return EXIT_BROKEN
    return EXIT_HEALTHY


def timeline(before: Sequence[Seen], events: Sequence[Seen], consumers: Sequence[str], only: str = "") -> list[Hop]:
    """The hops of the first change of a provider's slice; none if there was no change.

    A hop is reached when its object has what the slice had at the change or afterwards: of several changes in a row
    some may never be sent on.

    Args:
        before: what there was before the first event.
        events: in the order in which they were seen.
        consumers: where the change is to go.
        only: the one slice to follow; empty means any.
    """
    known = {(one.provider, one.slice): one.content for one in before if one.stage is Stage.SLICE}
    own = [one for one in events if one.stage is Stage.SLICE and only in ("", one.slice)]
    first = next((one for one in own if one.content != known.get((one.provider, one.slice))), None)
    if first is None:
        return []
    same = [one for one in own if (one.provider, one.slice) == (first.provider, first.slice)]
    contents = {one.content for one in same if one.seconds >= first.seconds}
    names = {first.slice, *dispatched_slice_names(first.provider, first.slice)}

    def hop(stage: Stage, cluster: str) -> Hop:
        reached = (one for one in events if (one.stage, one.provider, one.cluster) == (stage, first.provider, cluster))
        found = next((one for one in reached if one.slice in names and one.content in contents), None)
        return Hop(
            object=stage.value,
            cluster=cluster,
            name=found.name if found is not None else "",
            milliseconds=round((found.seconds - first.seconds) * 1000) if found is not None else None,
        )

    hops = [
        Hop(object=Stage.SLICE.value, cluster=first.cluster, name=first.name, milliseconds=0),
        hop(Stage.COLLECTED, first.provider),
    ]
    for consumer in consumers:
        if consumer != first.provider:
            hops += [hop(Stage.DISPATCHED, consumer), hop(Stage.COPY, consumer)]
    return hops


def seen_in_member(cluster: str, obj: w.Object, *, gone: bool, seconds: float) -> Seen:
    """A slice in a member."""
    provider = provision_cluster(obj)
    return _seen(Stage.COPY if provider else Stage.SLICE, provider or cluster, cluster, obj, obj, gone, seconds)


def seen_in_host(obj: w.Object, *, gone: bool, seconds: float) -> Seen | None:
    """A Work; None for one that carries no slice."""
    carried = manifest(obj)
    if w.text(carried, "kind") != wk.SLICE_KIND:
        return None
    cluster = w.text(obj, "metadata", "namespace").removeprefix(wk.EXECUTION_PREFIX)
    provider = provision_cluster(obj)
    stage = Stage.DISPATCHED if provider else Stage.COLLECTED
    return _seen(stage, provider or cluster, cluster, carried, obj, gone, seconds)


def _seen(
    stage: Stage, provider: str, cluster: str, slice_: w.Object, obj: w.Object, gone: bool, seconds: float
) -> Seen:
    return Seen(
        seconds=seconds,
        stage=stage,
        provider=provider,
        cluster=cluster,
        slice=w.text(slice_, "metadata", "name"),
        name=f"{w.text(obj, 'metadata', 'namespace')}/{w.text(obj, 'metadata', 'name')}",
        content=None if gone else fingerprint([slice_]),
    )


async def _trace(
    options: AccessOptions, service: tuple[str, str], from_cluster: str, touch: bool, seconds: float
) -> list[Hop]:
    namespace, name = service
    async with AsyncExitStack() as stack:
        access = await stack.enter_async_context(Access(options))
        world = replace(await observe_services(access, *service), service=service, from_cluster=from_cluster)
        routes = list(world.pairs())
        if not routes:
            raise click.ClickException(f"no MultiClusterService {namespace}/{name} leads from a provider to a consumer")
        members = {each: await access.member(cluster) for each, cluster in members_of(world).items()}
        before: list[Seen] = []
        events: list[Seen] = []
        more = asyncio.Event()

        async def follow(
            plane: Plane, resource: Resource[Any], where: str, labels: str, read: Callable[..., Seen | None]
        ) -> None:
            """List, and then go on watching in the background."""
            answer = await plane.client.raw("GET", f"{resource.path(where)}?{urlencode({'labelSelector': labels})}")
            if answer.status != 200:
                raise from_response(answer.status, answer.body)
            body = msgspec.json.decode(answer.body)
            began = time.monotonic()
            found = (read(one, gone=False, seconds=began) for one in w.items(body, "items"))
            before.extend(one for one in found if one is not None)
            version = w.text(body, "metadata", "resourceVersion")

            async def watch() -> None:
                async with plane.client.watch(
                    resource, where, resource_version=version, label_selector=labels, timeout_seconds=int(seconds) + 30
                ) as batches:
                    async for batch in batches:
                        now = time.monotonic()
                        for event in map(msgspec.json.decode, batch):
                            obj = w.mapping(event, "object")
                            one = read(obj, gone=w.text(event, "type") == "DELETED", seconds=now)
                            if one is not None and w.text(event, "type") in ("ADDED", "MODIFIED", "DELETED"):
                                events.append(one)
                                more.set()

            await stack.enter_async_context(_background(watch()))

        host = await access.host()
        await follow(host, WORKS, "", f"{wk.MCS_NAME}={name},{wk.MCS_NAMESPACE}={namespace}", seen_in_host)
        for each, plane in members.items():
            read = _reader_of(each)
            await follow(plane, ENDPOINTSLICES, namespace, f"{wk.SERVICE_NAME}={name}", read)
        only = ""
        if touch:
            provider = routes[0][0]
            only = await stack.enter_async_context(_touched(members[provider], service))
            click.echo(f"EndpointSlice {namespace}/{only} is created in {provider}, and deleted afterwards.", err=True)
        else:
            click.echo(f"Waiting for a change of endpoints in {', '.join(world.providers)}.", err=True)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    hops = timeline(before, events, world.consumers, only)
                    if hops and all(one.milliseconds is not None for one in hops):
                        return hops
                    await more.wait()
                    more.clear()
        except TimeoutError:
            return timeline(before, events, world.consumers, only)


def _reader_of(cluster: str) -> Callable[..., Seen | None]:
    return lambda obj, *, gone, seconds: seen_in_member(cluster, obj, gone=gone, seconds=seconds)


@asynccontextmanager
async def _background(work: Any) -> AsyncIterator[None]:
    """A task for the time of the block. What it fails with is a hop that is not seen."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        for result in await asyncio.gather(task, return_exceptions=True):
            if isinstance(result, KubeError):
                click.echo(f"A watch ended: {result}", err=True)


@asynccontextmanager
async def _touched(plane: Plane, service: tuple[str, str]) -> AsyncIterator[str]:
    """A slice without endpoints of the service in a provider, for the time of the block; its name.

    It has the ports of the Service's other slices, as those alone are sent on that have a port that is asked for.
    """
    namespace, name = service
    made = f"{name[:50]}-trace-{secrets.token_hex(3)}"
    path = ENDPOINTSLICES.path(namespace)
    selector = urlencode({"labelSelector": f"{wk.SERVICE_NAME}={name}"})
    answer = await plane.client.raw("GET", f"{path}?{selector}")
    others = w.items(msgspec.json.decode(answer.body), "items") if answer.status == 200 else ()
    body: Mapping[str, Any] = {
        "apiVersion": wk.SLICE_API_VERSION,
        "kind": wk.SLICE_KIND,
        "metadata": {"name": made, "labels": {wk.SERVICE_NAME: name, wk.SLICE_MANAGED_BY: _MANAGER}},
        "addressType": "IPv4",
        "endpoints": [],
        "ports": next((ports for one in others if (ports := w.items(one, "ports"))), []),
    }
    try:
        answer = await plane.client.raw("POST", path, body=json.dumps(body).encode())
        if answer.status >= 300:
            raise from_response(answer.status, answer.body)
        yield made
    finally:
        await plane.client.raw("DELETE", f"{path}/{made}")


def _show(hops: Sequence[Hop]) -> None:
    from mcs_controller.mcsctl.tables import cell, console, table

    if not hops:
        return
    made = table("MS", "CLUSTER", "OBJECT", "NAME")
    for one in hops:
        reached = one.milliseconds is not None
        values = (one.milliseconds if reached else "-", one.cluster, one.object, one.name or "not seen")
        made.add_row(*(cell(value, "" if reached else "red") for value in values))
    console().print(made)
