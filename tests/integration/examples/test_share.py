"""The example with a kind of its own: status, events, finalizers, owners and apply, on a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import yaml

from testbed import AuditLog, NotYet, wait_for
from testbed.karmada import apply_all
from tests.integration.examples.test_configmap_copier import CONFIG_MAPS, EXAMPLE, data_is, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testbed import Api, AuditMark, Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHARES = "copier.example/v1/shares"
DEFINITIONS = "apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest_asyncio.fixture(loop_scope="session")
async def shares(bed: Bed) -> AsyncIterator[None]:
    """The definition, served."""
    definition = yaml.safe_load((EXAMPLE / "share.yaml").read_text())
    await apply_all(bed.host.api, [definition])
    yield
    await bed.host.api.delete(DEFINITIONS, definition["metadata"]["name"])


async def ready(api: Api, namespace: str, **wanted: Any) -> dict[str, Any]:
    """Wait until the Share's condition has these fields."""

    async def probe() -> dict[str, Any]:
        share = await api.get(SHARES, "s", namespace=namespace)
        (condition,) = share.get("status", {}).get("conditions", [{}])
        if wanted.items() - condition.items():
            raise NotYet(f"{condition}")
        return share

    return await wait_for(f"the condition {wanted}", probe)


def writes(mark: AuditMark) -> list[str]:
    return [
        f"{event.verb} {event.resource} {event.name}"
        for event in mark.events()
        if event.user_agent == "config-sharer" and event.is_write and event.resource not in ("leases", "events")
    ]


async def test_share_is_copied_described_and_cleaned_up(bed: Bed, namespace: str, shares: None, tmp_path: Path):
    api, there, later = bed.host.api, f"{namespace}-there", f"{namespace}-later"
    await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": there}})
    spec = {"namespaces": [there], "data": {"k": "1"}}
    share = {"apiVersion": "copier.example/v1", "kind": "Share", "metadata": {"name": "s"}, "spec": spec}
    await api.create(share, namespace=namespace)
    async with running(bed, "share.py", (namespace,), tmp_path / "log") as first:
        await data_is(api, there, "s", {"k": "1"})
        made = await ready(api, namespace, status="True", reason="Shared", message="in 1 namespaces")
        assert made["metadata"]["finalizers"] == ["copier.example/copies"]
        # It owns what is beside it.
        await data_is(api, namespace, "s-overview", {"namespaces": there})
        (owner,) = (await api.get(CONFIG_MAPS, "s-overview", namespace=namespace))["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("Share", made["metadata"]["uid"], True)
        # What somebody deletes or edits is made good; fields of others stay, of which labels are not ours.
        await api.delete(CONFIG_MAPS, "s-overview", namespace=namespace)
        await data_is(api, namespace, "s-overview", {"namespaces": there})
        await api.patch(CONFIG_MAPS, "s", {"data": {"k": "mine"}, "metadata": {"labels": {"a": "b"}}}, namespace=there)
        copy = await data_is(api, there, "s", {"k": "1"})
        assert copy is not None
        assert copy["metadata"]["labels"]["a"] == "b"
        # A key that is no longer wanted goes, and a namespace that is missing is told in words.
        change = {"spec": {"namespaces": [there, later], "data": {"k": None, "word": "2"}}}
        await api.patch(SHARES, "s", change, namespace=namespace)
        await data_is(api, there, "s", {"word": "2"})
        told = await ready(api, namespace, status="False", reason="NamespaceNotFound")
        (condition,) = told["status"]["conditions"]
        assert condition["message"] == f"there is no namespace {later}"
        assert condition["observedGeneration"] == told["metadata"]["generation"]

        async def recorded() -> list[str] | None:
            events = await api.list("v1/events", namespace=namespace)
            reasons = sorted(event["reason"] for event in events if event["involvedObject"]["kind"] == "Share")
            return reasons if len(reasons) == 2 else None

        assert await wait_for("two events", recorded) == ["NamespaceNotFound", "Shared"]
        # A restart finds all as it should be, once it is.
        await api.patch(SHARES, "s", {"spec": {"namespaces": [there]}}, namespace=namespace)
        await ready(api, namespace, status="True")
        assert "patch shares s" in writes(first.mark)
    mark = AuditLog(bed.host.audit_log).mark()
    async with running(bed, "share.py", (namespace,), tmp_path / "log") as second:
        second.mark = mark
        marker = share | {"metadata": {"name": "marker"}, "spec": {"namespaces": []}}
        await api.create(marker, namespace=namespace)
        await data_is(api, namespace, "marker-overview", {"namespaces": ""})
        assert [write for write in writes(mark) if "marker" not in write] == []
        # Deleted, it stays until its copies are gone.
        for name in ("s", "marker"):
            await api.delete(SHARES, name, namespace=namespace)

        async def gone() -> bool:
            if left := await api.list(SHARES, namespace=namespace):
                raise NotYet(f"{left}")
            return True

        await wait_for("the Shares to go", gone)
        assert await api.find(CONFIG_MAPS, "s", namespace=there) is None
    await api.delete("v1/namespaces", there)
