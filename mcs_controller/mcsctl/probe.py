"""`mcsctl probe`: resolve names and connect to addresses from where it runs, which is a Pod of a consumer.

Only the standard library, so that it starts at once where there is little CPU.
"""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import click

TIMEOUT_SECONDS: Final = 4.0


@click.command("probe")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(targets: tuple[str, ...], as_json: bool) -> int:
    r"""Resolve names and connect to addresses from here; `mcsctl doctor --probe` runs it in a Pod.

    A TARGET is dns=NAME, service=ADDRESS:PORT or endpoint=ADDRESS:PORT. Exit code 1 if any of them fails.

    \b
    Example:
      mcsctl probe dns=nginx.shop.svc service=10.11.0.7:80 'endpoint=[fd00::5]:8080'
    """
    with ThreadPoolExecutor(max_workers=len(targets)) as pool:
        errors = list(pool.map(attempt, targets))
    results = [
        {"step": target.partition("=")[0], "target": target.partition("=")[2], "ok": not error, "error": error}
        for target, error in zip(targets, errors, strict=True)
    ]
    if as_json:
        click.echo(json.dumps(results))
    else:
        for one in results:
            click.echo(f"{one['step']:9} {one['target']}: {one['error'] or 'answers'}")
    return 1 if any(errors) else 0


def attempt(target: str) -> str:
    """What became of one target: empty if it answers, else why it does not."""
    step, _, where = target.partition("=")
    try:
        if step == "dns":
            socket.getaddrinfo(where, None)
        else:
            host, _, port = where.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT_SECONDS).close()
    except socket.gaierror as error:
        return "timeout" if error.errno == socket.EAI_AGAIN else "no such name"
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "timeout"
    except (OSError, ValueError, OverflowError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""
