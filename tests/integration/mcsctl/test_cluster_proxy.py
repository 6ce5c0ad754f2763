"""A member is seen through the control plane's cluster proxy, as Karmada has one, where there is no other way to it."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
import yaml
from aiohttp import web
from yarl import URL

from mcs_controller.diagnosis.findings import Severity
from mcs_controller.mcsctl.access import AccessOptions
from mcs_controller.mcsctl.doctor import run as run_doctor
from tests.integration.mcsctl.test_clusters import CREDENTIALS, secret
from tests.support.fleet import SECRETS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testbed import Bed
    from tests.integration.mcsctl.conftest import Patient

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROXIED = re.compile(r"/apis/cluster\.karmada\.io/v1alpha1/clusters/([^/]+)/proxy(/.*)")


@asynccontextmanager
async def cluster_proxy(bed: Bed) -> AsyncIterator[str]:
    """The address of the control plane with a cluster proxy. Whoever comes this way is an administrator."""
    planes = {"": bed.host.access, **{name: one.access for name, one in bed.members.items()}}
    async with AsyncExitStack() as stack:
        sessions = {
            name: await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=access.ssl_context()))
            )
            for name, access in planes.items()
        }

        async def serve(request: web.Request) -> web.Response:
            found = PROXIED.fullmatch(request.raw_path)
            name, path = found.groups() if found else ("", request.raw_path)
            url = URL(planes[name].server + path, encoded=True)
            headers = {"Content-Type": "application/json"}
            async with sessions[name].request(
                request.method, url, data=await request.read() or None, headers=headers
            ) as answer:
                return web.Response(status=answer.status, body=await answer.read())

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", serve)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"


async def test_a_member_whose_secret_is_missing_is_seen_through_the_cluster_proxy(shared: Patient, tmp_path: Path):
    file, target = tmp_path / "karmada.config", (shared.space.namespace, "web")
    async with cluster_proxy(shared.space.bed) as url, secret(shared):
        await shared.space.host.delete(SECRETS, "member1", namespace=CREDENTIALS)
        config = {
            "current-context": "karmada",
            "clusters": [{"name": "karmada", "cluster": {"server": url}}],
            "contexts": [{"name": "karmada", "context": {"cluster": "karmada"}}],
        }
        file.write_text(yaml.safe_dump(config))
        diagnosis = await run_doctor(AccessOptions(kubeconfig=str(file)), target)
        assert diagnosis.verdict is not None
        assert diagnosis.verdict.code == "MCS012"
        found = [*diagnosis.findings, *diagnosis.hidden]
        unseen = [one for one in found if one.severity is Severity.UNKNOWN and one.object.cluster == "member1"]
        assert unseen == [], (
            "about a member with a broken Secret all is seen, and about member2 what the controller sees"
        )
    await shared.healthy()
