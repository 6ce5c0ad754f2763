"""What is sent for a planned write."""

import asyncio
import types
from typing import Any, cast

import pytest

from mcs_controller.domain.works import DeleteWork, PatchWork
from mcs_controller.reconcilers.writes import AggregateError, Failures, apply_work, gather_writes


class Works:
    """Notes what is asked of the server."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []

    async def patch(self, namespace: str, name: str, body: Any) -> Any:
        self.sent.append((namespace, name, body))
        return types.SimpleNamespace(metadata=types.SimpleNamespace(resource_version="8"))

    async def delete(self, namespace: str, name: str, *, uid: str = "", resource_version: str = "") -> None:
        self.sent.append((namespace, name, uid, resource_version))


async def sent(write: Any) -> list[tuple[Any, ...]]:
    works = Works()
    await apply_work(cast(Any, works), write)
    return works.sent


async def test_a_new_spec_goes_as_a_json_patch_which_keeps_the_null_of_an_empty_list():
    spec = {"workload": {"manifests": [{"endpoints": None}]}, "suspendDispatching": None}
    write = PatchWork("ns", "w", {"metadata": {"resourceVersion": "7"}, "spec": spec})
    [(_, _, operations)] = await sent(write)
    assert operations == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "replace", "path": "/spec", "value": {"workload": {"manifests": [{"endpoints": None}]}}},
    ]


async def test_marks_alone_go_as_a_merge_patch():
    body = {"metadata": {"resourceVersion": "7", "labels": {"a": None}}}
    assert await sent(PatchWork("ns", "w", body)) == [("ns", "w", body)]


async def test_only_the_work_that_was_seen_is_deleted():
    assert await sent(DeleteWork("ns", "w", "uid", "7")) == [("ns", "w", "uid", "7")]


async def test_a_work_that_is_emptied_first_is_deleted_in_the_version_of_the_answer():
    emptying = {"metadata": {"resourceVersion": "7"}}
    assert await sent(DeleteWork("ns", "w", "uid", "7", emptying)) == [("ns", "w", emptying), ("ns", "w", "uid", "8")]


async def test_an_error_that_nobody_foresaw_fails_its_own_write_alone(caplog: pytest.LogCaptureFixture):
    done: list[str] = []

    async def good() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        done.append("good")

    async def bad() -> None:
        raise RecursionError("deep")

    failures = Failures()
    await gather_writes([("one", good()), ("other", bad())], failures)
    assert done == ["good"]
    assert failures.reportable == ("other: RecursionError: deep",)
    assert [record.exc_info is not None for record in caplog.records] == [True]
    with pytest.raises(AggregateError):
        failures.raise_if_any()


async def test_a_cancelled_write_is_no_failure():
    failures = Failures()
    task = asyncio.create_task(gather_writes([("one", asyncio.Event().wait())], failures))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not failures
