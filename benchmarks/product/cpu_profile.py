"""Where the controller's CPU time goes: in a stream of changes, and when it starts."""

from __future__ import annotations

import itertools
import shutil
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.flame import kept, of_itself, parse, with_callees
from benchmarks.product.copies import FIRST, Copies
from benchmarks.product.fleet import SPACE, Fleet, fleet, offer, ours
from benchmarks.product.objects import CONSUMER, SLICES, mark
from benchmarks.product.services_growth import until_quiet
from benchmarks.product.stream import Marks, observing, within
from benchmarks.scenario import BenchmarkError, Context, Outcome, Scenario, Table
from testbed.processes import Process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from testbed import ControllerProcess

SAMPLES_A_SECOND: Final = 250
SHOWN: Final = 15
LEAST_SHARE: Final = 0.001
"""Stacks that are rarer are not kept, all together they are a few per cent."""

ALL: Final = 95.0
"""Per cent of the samples: what is on nearly every stack tells nothing."""

SECONDS: Final = 20.0
OURS: Final = ("mcs_controller.", "informers.", "workqueue.")

LARGEST: Final = 3
WHY: Final = {
    "asyncio.runners.Runner.run": (
        "The event loop itself, uvloop, which is C: polling, reading sockets, decrypting, running callbacks. One "
        "change wakes it for four watch events and three answers. Fewer wake-ups would need fewer connections."
    ),
    "aiohttp.http_writer.StreamWriter._writelines": (
        "Encrypting and sending requests: three patches for one change, each with its system call. The contract asks "
        "for these writes; a smaller body would save next to nothing, as the cost is that of the record and the call."
    ),
    "aiohttp.client_proto.ResponseHandler.data_received": (
        "Parsing HTTP, in C: answers, and the chunks of watches. What arrives is an object with its managedFields, "
        "which only the server could leave out."
    ),
    "ssl.SSLObject.read": "Decrypting what watches and answers bring.",
    "mcs_controller.api.common.decode_unstructured": (
        "Works and objects of members whose kind is not known beforehand become dicts, once for each comparison of a "
        "manifest with what is there. At start all of them are compared."
    ),
    "<frozen importlib._bootstrap_external>._compile_bytecode": (
        "Reading the compiled modules of the libraries: the same however many services there are."
    ),
    "prometheus_client.values.MutexValue.inc": (
        "Counting: each event, queue item and reconcile adds to a few counters, each behind a lock. All objects of the "
        "first lists pass through all of them."
    ),
    "prometheus_client.metrics.MetricWrapperBase.labels": "Finding the counters for these labels, each time by name.",
    "aiohttp.compression_utils.ZLibDecompressor.decompress_sync": (
        "Unpacking answers, which API servers compress from 128 KiB on: first lists above all."
    ),
    "mcs_controller.domain.works.role_of": "What a Work is for: asked by every handler of every Work.",
    "mcs_controller.api.work.decode_work": "The Works of the control plane, each once as it is listed.",
    "informers.watcher.Watcher._line": "Every object of the first lists, from its line to its decoder.",
}
"""What the largest costs are, and why they are there. The shares come from the profile, never from here."""


async def run(context: Context) -> Outcome:
    """See :data:`SCENARIO`."""
    services, changes = (100, 100) if context.quick else (2000, 1500)
    sampler = _sampler()
    marks = Marks()
    numbers = itertools.count(1)
    async with fleet(context) as world:
        controller = await world.start()
        await offer(world, FIRST, headless=True)
        await controller.terminate()
        copies = Copies(world, SPACE)
        await copies.read()
        context.tell(f"copying until there are {services} services")
        await copies.grow(services)
        context.tell("start-up")
        start = world.bed.root / "start.stacks"
        await controller.start(ready=False)
        async with _sampling(world, controller, sampler, start):
            await until_quiet(controller)
        context.tell(f"{changes} changes")
        steady = world.bed.root / "steady.stacks"
        async with (
            observing(world.bed.members[CONSUMER].access, SLICES, SPACE, marks),
            _sampling(world, controller, sampler, steady),
        ):
            for _ in range(changes):
                number = next(numbers)
                arrived = marks.expect(f'"{mark(number)}"'.encode())
                await world.change(FIRST, number)
                await within(SECONDS, arrived, f"change {number}")
        found = {"In a stream of changes": _read(steady), "While starting": _read(start)}
        await controller.terminate()
    return Outcome(
        contestants=[ours()],
        measurements=[],
        tables=[table for title, stacks in found.items() for table in _tables(title, stacks)],
        profiles=[
            kept(title, stacks, least=max(2, round(LEAST_SHARE * sum(stacks.values()))))
            for title, stacks in found.items()
        ],
        conditions=[
            f"Sampled {SAMPLES_A_SECOND} times a second by py-spy, while the process was on a core. What is done in C "
            "(TLS, HTTP parsing, JSON, system calls) counts for the Python function that calls it; what the event loop "
            "itself does counts for `run_until_complete`.",
            f"{changes} changes of one service, each begun when the one before had arrived, and a start-up in which "
            f"nothing is to be done, both among {services} services.",
        ],
    )


def _sampler() -> str:
    """Raises BenchmarkError if it is not installed."""
    beside = Path(sys.executable).with_name("py-spy")
    path = str(beside) if beside.exists() else shutil.which("py-spy")
    if path is None:
        raise BenchmarkError("py-spy is not installed: make bench installs it")
    return path


@asynccontextmanager
async def _sampling(world: Fleet, controller: ControllerProcess, sampler: str, into: Path) -> AsyncIterator[None]:
    """Count the stacks of the controller for the block, and write them to a file.

    Raises:
        BenchmarkError: the sampler cannot look into the process.
    """
    process = Process(
        "py-spy",
        [
            sampler,
            *("record", "--format=raw", f"--rate={SAMPLES_A_SECOND}", f"--pid={controller.pid}", f"--output={into}"),
        ],
        log=world.bed.root / "py-spy.log",
        root=world.bed.root,
    )
    await process.start()
    try:
        yield
        if not process.running:
            raise BenchmarkError(f"py-spy: {process.tail()}")
    finally:
        process.signal(signal.SIGINT)  # it writes its file then, and ends
        await process.wait()
    if process.returncode != 0:
        raise BenchmarkError(f"py-spy: {process.tail()}")


def _read(path: Path) -> dict[tuple[str, ...], int]:
    return parse(path.read_text().splitlines())


def _tables(title: str, stacks: Mapping[tuple[str, ...], int]) -> list[Table]:
    total = max(sum(stacks.values()), 1)

    def share(count: int) -> float:
        return round(100 * count / total, 1)

    own = of_itself(stacks).most_common(SHOWN)
    all_ = [each for each in with_callees(stacks).most_common() if each[0].startswith(OURS) and share(each[1]) < ALL]
    return [
        Table(
            title=f"{title}: the largest costs, and why they are there",
            columns=["function", "why", "% of the samples"],
            rows=[[name, WHY.get(name, "Not looked into yet."), share(count)] for name, count in own[:LARGEST]],
        ),
        Table(
            title=f"{title}: functions that cost most by themselves, with what they call in C",
            columns=["function", "% of the samples"],
            rows=[[name, share(count)] for name, count in own],
        ),
        Table(
            title=f"{title}: our functions that cost most with everything they call",
            columns=["function", "% of the samples"],
            rows=[[name, share(count)] for name, count in all_[:SHOWN]],
        ),
    ]


SCENARIO = Scenario(
    name="cpu_profile",
    title="Where the CPU time goes",
    about="What the controller spends its CPU time on while changes come one after the other, and while it starts.",
    run=run,
    uvloop=True,
)
