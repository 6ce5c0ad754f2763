"""`mcsctl bundle`: what a bug report needs, in one file, without secrets."""

from __future__ import annotations

import asyncio
import io
import json
import platform
import tarfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from informers.client.redaction import redact_bytes
from mcs_controller import __version__
from mcs_controller.diagnosis import world as w
from mcs_controller.diagnosis.verdict import diagnose
from mcs_controller.domain import well_known as wk
from mcs_controller.mcsctl import completion
from mcs_controller.mcsctl.access import Access, AccessOptions
from mcs_controller.mcsctl.observe import Reader, observe
from mcs_controller.mcsctl.render import as_json
from mcs_controller.mcsctl.scrub import scrub
from mcs_controller.mcsctl.together import all_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mcs_controller.diagnosis.world import World

Service = tuple[str, str]


@click.command("bundle")
@click.argument("services", nargs=-1, metavar="[[NAMESPACE/]SERVICE]...")
@click.option(
    "-n",
    "--namespace",
    default="default",
    show_default=True,
    shell_complete=completion.namespaces,
    help="Of Services without one.",
)
@click.option("-o", "--output", default="", metavar="FILE", help="Default: mcs-bundle-<time>.tar.gz")
@click.pass_obj
def command(options: dict[str, Any], services: tuple[str, ...], namespace: str, output: str) -> None:
    r"""Collect what a bug report needs.

    The archive has the versions, the diagnosis of the installation and of each SERVICE, every object that was looked
    at for it, and the events about them. Secrets are not read into it; tokens, keys, passwords and environment
    variables in other objects are removed. Addresses and names stay: look into it before you send it to others.

    \b
    Examples:
      mcsctl bundle nginx -n shop
      mcsctl bundle shop/nginx shop/db -o report.tar.gz
    """
    targets = [_service(each, namespace) for each in services]
    file = output or f"mcs-bundle-{datetime.now(UTC):%Y%m%d-%H%M%S}.tar.gz"
    files = asyncio.run(_collect(AccessOptions(**options), targets))
    with tarfile.open(file, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"mcs-bundle/{name}")
            info.size, info.mtime, info.mode = len(content), int(time.time()), 0o600
            archive.addfile(info, io.BytesIO(content))
    click.echo(f"{file} has {len(files)} files. It has no Secrets; names and addresses are in it.")


def _service(text: str, namespace: str) -> Service:
    where, separator, name = text.partition("/")
    return (where, name) if separator else (namespace, text)


async def _collect(options: AccessOptions, services: Sequence[Service]) -> dict[str, bytes]:
    async with Access(options) as access:
        contents: dict[str, Any] = {}
        for service in services or (None,):
            world = await observe(access, service=service)
            await _look_further(access, world)
            folder = "/".join(service) if service else "installation"
            contents.update({f"{folder}/{name}": value for name, value in _files(world)})
        if services:  # what concerns no service in particular
            contents["installation/diagnosis.json"] = as_json(diagnose(await observe(access)))
        contents["versions.json"] = {
            "mcsctl": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
        }
        secrets = await access.secrets()
    return {name: redact_bytes(_encode(scrub(value)), secrets) for name, value in sorted(contents.items())}


async def _look_further(access: Access, world: World) -> None:
    """Read what no rule asks for, and people who read reports do."""
    reader = Reader((await access.host()).client, world.host)
    if world.service is None:
        await all_of(reader.list(w.MULTICLUSTERSERVICES), reader.list(w.EVENTS, wk.SYSTEM_NAMESPACE))
    else:
        await all_of(*(reader.list(w.EVENTS, one) for one in (world.namespace, wk.SYSTEM_NAMESPACE)))


def _files(world: World) -> Iterator[tuple[str, Any]]:
    yield "diagnosis.json", as_json(diagnose(world))
    for snapshot in (world.host, *world.members.values()):
        name = snapshot.name or "control-plane"
        about = {"version": snapshot.version, "denied": snapshot.denied, "unseen": snapshot.why_unseen()}
        login = asdict(snapshot.login) if snapshot.login is not None else None
        yield f"{name}/about.json", {**about, "login": login, "not read": dict(snapshot.unread())}
        for kind, objects in snapshot.everything():
            if kind != w.SECRETS:
                yield f"{name}/{kind.group_resource}.json", objects


def _encode(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str).encode("utf-8", "replace")
