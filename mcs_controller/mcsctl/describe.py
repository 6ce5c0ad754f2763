"""`mcsctl describe`: the chain of one service, object by object."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from mcs_controller.diagnosis import world as w
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import binding_name, execution_namespace, work_name
from mcs_controller.mcsctl import completion
from mcs_controller.mcsctl.access import Access, AccessOptions
from mcs_controller.mcsctl.chain import age, endpoints, has_slice, manifest, provision_cluster, written
from mcs_controller.mcsctl.main import EXIT_BROKEN, EXIT_HEALTHY, EXIT_UNSEEN
from mcs_controller.mcsctl.observe import Reader, observe
from mcs_controller.mcsctl.render import FORMATS, dump
from mcs_controller.mcsctl.together import all_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One object of the chain.

    Attributes:
        section: the heading under which it is shown, such as `member2, consumer of member1`.
        kind: of the object.
        name: of it, with its namespace.
        status: `there`, `missing`, or why it could not be read.
        version: its resourceVersion.
        written: when something but its status was last written.
        detail: what matters of it in the chain.
    """

    section: str
    kind: str
    name: str
    status: str
    version: str = ""
    written: datetime | None = None
    detail: str = ""


@click.command("describe")
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
    help="The only consumer to show. Default: all.",
)
@click.option("-o", "--output", type=click.Choice(FORMATS), default="text", show_default=True)
@click.pass_obj
def command(options: dict[str, Any], service: str, namespace: str, from_cluster: str, output: str) -> int:
    r"""Show the chain of one service, object by object: what is there, its version and age, and what is missing.

    It judges nothing, see `mcsctl doctor`; and it changes nothing.

    \b
    Examples:
      mcsctl describe nginx
      mcsctl describe nginx -n shop --from member2 -o yaml
    """
    world = asyncio.run(_observe(AccessOptions(**options), (namespace, service), from_cluster))
    steps = list(chain(world))
    if output == "text":
        _show(steps, world.now)
    else:
        as_json = [asdict(one) | {"written": one.written.isoformat() if one.written else None} for one in steps]
        dump({"chain": as_json}, output)
    states = {one.status for one in steps}
    if MISSING in states:
        return EXIT_BROKEN
    return EXIT_HEALTHY if states == {"there"} else EXIT_UNSEEN


async def _observe(options: AccessOptions, service: tuple[str, str], from_cluster: str) -> w.World:
    async with Access(options) as access:
        world = await observe(access, service=service, from_cluster=from_cluster)
        reader = Reader((await access.host()).client, world.host)
        name = work_name(wk.SERVICE_KIND, *service)
        # They do not have the labels of the MultiClusterService's other Works, as the binding made them.
        await all_of(*(reader.get(w.WORKS, name, execution_namespace(each)) for each in world.members))
    return world


def chain(world: w.World) -> Iterator[Step]:
    """All objects of the chain of the world's service, in its order."""
    namespace, name = world.namespace, world.name
    at_home = _At(world.host, "control plane")
    yield from at_home.one(w.SERVICES, name, namespace, _ports)
    yield from at_home.one(w.MULTICLUSTERSERVICES, name, namespace, _conditions)
    yield from at_home.one(w.BINDINGS, binding_name(wk.SERVICE_KIND, name), namespace, _placement)
    for provider in _names(lambda: world.providers):
        at = _At(world.members.get(provider), f"{provider}, provider")
        space = execution_namespace(provider)
        yield from at.one(w.NAMESPACES, namespace)
        yield from at.one(w.SERVICES, name, namespace, _ports)
        yield from at.some(w.SLICES, namespace, _is_own, _endpoints)
        works = _At(world.host, at.section)
        yield from works.one(w.WORKS, work_name(wk.SERVICE_KIND, namespace, name), space, _applied)
        yield from works.one(w.WORKS, work_name(wk.MCS_KIND, namespace, name), space)
        yield from works.some(w.WORKS, space, partial(has_slice, provider, ""), _collected)
    for consumer in _names(lambda: world.consumers):
        at = _At(world.members.get(consumer), f"{consumer}, consumer")
        yield from at.one(w.NAMESPACES, namespace)
        yield from at.one(w.SERVICES, name, namespace, _ports)
        works = _At(world.host, at.section)
        yield from works.one(
            w.WORKS, work_name(wk.SERVICE_KIND, namespace, name), execution_namespace(consumer), _applied
        )
    for provider, consumer in list(world.pairs()) if not world.host.why_unseen(w.CLUSTERS) else []:
        section = f"{provider} → {consumer}"
        yield from _At(world.host, section).some(
            w.WORKS, execution_namespace(consumer), partial(has_slice, consumer, provider), _dispatched
        )
        at = _At(world.members.get(consumer), section)
        yield from at.some(w.SLICES, namespace, partial(_is_from, provider), _endpoints)


class _At:
    """Steps about objects of one snapshot, in one section."""

    def __init__(self, snapshot: w.Snapshot | None, section: str) -> None:
        self.snapshot = snapshot
        self.section = section

    def one(
        self, kind: w.Kind, name: str, namespace: str = "", detail: Callable[[w.Object], str] = lambda _: ""
    ) -> Iterator[Step]:
        """An object that has to be there."""
        yield from self._steps(
            kind, f"{namespace}/{name}".lstrip("/"), lambda seen: [seen.get(kind, name, namespace)], detail
        )

    def some(
        self,
        kind: w.Kind,
        namespace: str,
        which: Callable[[w.Object], bool],
        detail: Callable[[w.Object], str],
    ) -> Iterator[Step]:
        """Objects of which at least one has to be there."""
        yield from self._steps(
            kind,
            f"{namespace}/…",
            lambda seen: [one for one in seen.list(kind, namespace) if which(one)] or [None],
            detail,
        )

    def _steps(
        self,
        kind: w.Kind,
        name: str,
        read: Callable[[w.Snapshot], Iterable[w.Object | None]],
        detail: Callable[[w.Object], str],
    ) -> Iterator[Step]:
        try:
            if self.snapshot is None:
                raise w.Unseen("the member was not looked at")
            found = list(read(self.snapshot))
        except w.Unseen as unseen:
            yield Step(section=self.section, kind=kind.kind, name=name, status=str(unseen))
            return
        for obj in found:
            if obj is None:
                yield Step(section=self.section, kind=kind.kind, name=name, status=MISSING)
                continue
            parts = (w.text(obj, "metadata", "namespace"), w.text(obj, "metadata", "name"))
            deleted = "being deleted; " if w.text(obj, "metadata", "deletionTimestamp") else ""
            yield Step(
                section=self.section,
                kind=kind.kind,
                name="/".join(part for part in parts if part),
                status="there",
                version=w.text(obj, "metadata", "resourceVersion"),
                written=written(obj),
                detail=deleted + detail(obj),
            )


def _names(read: Callable[[], Sequence[str]]) -> Sequence[str]:
    """None if they cannot be seen: the step of the MultiClusterService says so."""
    try:
        return read()
    except w.Unseen:
        return ()


def _ports(service: w.Object) -> str:
    ports = [f"{w.dig(one, 'port')}/{w.text(one, 'protocol') or 'TCP'}" for one in w.items(service, "spec", "ports")]
    return f"ports {', '.join(ports) or 'none'}"


def _conditions(obj: w.Object) -> str:
    found = [f"{w.text(one, 'type')} {w.text(one, 'status')}" for one in w.items(obj, "status", "conditions")]
    return ", ".join(found) or "no conditions"


def _placement(binding: w.Object) -> str:
    names = [w.text(one, "name") for one in w.items(binding, "spec", "clusters")]
    return f"to {', '.join(names) or 'no cluster'}; {_conditions(binding)}"


def _endpoints(slice_: w.Object) -> str:
    return f"{endpoints([slice_])} endpoints ready"


def _collected(work: w.Object) -> str:
    return f"{w.text(manifest(work), 'metadata', 'name')}, {_endpoints(manifest(work))}"


def _is_own(slice_: w.Object) -> bool:
    return w.labels_of(slice_).get(wk.SLICE_MANAGED_BY) not in wk.SLICE_MANAGERS


def _is_from(provider: str, slice_: w.Object) -> bool:
    return provision_cluster(slice_) == provider


def _dispatched(work: w.Object) -> str:
    marks = w.annotations_of(work)
    tier = f"; tier {marks[wk.TIER]}: offered {marks.get(wk.OFFERED, '?')}" if wk.TIER in marks else ""
    return f"{_collected(work)}; {_applied(work)}{tier}"


def _applied(work: w.Object) -> str:
    applied = w.condition(work, wk.APPLIED)
    message = w.text(applied, "message") if w.text(applied, "status") != "True" else ""
    return f"Applied {w.text(applied, 'status') or 'not yet'}" + (f": {message}" if message else "")


def _show(steps: Sequence[Step], now: datetime) -> None:
    from rich.padding import Padding

    from mcs_controller.mcsctl.tables import cell, console, table

    screen = console()
    for section in dict.fromkeys(one.section for one in steps):
        screen.print(cell(section, "bold"))
        made = table("", "KIND", "NAME", "VERSION", "WRITTEN", "")
        for one in steps:
            if one.section != section:
                continue
            there = one.status == "there"
            mark = cell("✓", "green") if there else cell("✗" if one.status == MISSING else "?", "red")
            when = age(one.written, now) if there else ""
            made.add_row(mark, *map(cell, (one.kind, one.name, one.version, when, one.detail if there else one.status)))
        screen.print(Padding(made, (0, 0, 1, 2), expand=False))
