"""A member that takes connections and hangs: every command ends, names it as not seen, and sees all the rest."""

from __future__ import annotations

import json
import tarfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mcs_controller.mcsctl.main import EXIT_BROKEN, EXIT_HEALTHY, EXIT_UNSEEN
from tests.integration.mcsctl.calls import Answer, run
from tests.integration.mcsctl.test_clusters import another_server, cluster
from tests.support.fleet import CLUSTERS
from tests.support.hanging import WAYS, hanging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.mcsctl.conftest import Patient

pytestmark = pytest.mark.asyncio(loop_scope="session")

OVERDUE = "timed out"


@asynccontextmanager
async def hanging_member(patient: Patient, tmp_path: Path, way: str) -> AsyncIterator[str]:
    """The address of a server that member1's certificate makes credible. It ends when nobody uses it any more."""
    async with hanging(way, another_server(patient, tmp_path) if way != "silent" else None) as server:
        yield f"https://127.0.0.1:{server.port}"
        server.cut()
        await patient.healthy()


async def call(patient: Patient, *verb: str, kubeconfig: str = "") -> Answer:
    """A command about member1's service, for which a second for each request is enough."""
    flags = ("--context", "karmada", "--timeout", "1")
    return await run(*flags, *verb, "-n", patient.space.namespace, kubeconfig=kubeconfig or patient.kubeconfig)


@pytest.mark.parametrize("way", WAYS)
async def test_a_member_that_hangs_is_named_and_the_rest_is_seen(shared: Patient, tmp_path: Path, way: str):
    async with hanging_member(shared, tmp_path, way) as url, cluster(shared):
        await shared.space.host.patch(CLUSTERS, "member1", {"spec": {"apiEndpoint": url}})
        answer = await call(shared, "doctor", "web")
        assert answer.code in (EXIT_UNSEEN, EXIT_BROKEN), answer  # the controller may still call it Ready
        assert "MCS018" in answer.out
        assert f"member1 does not answer at {url}" in answer.out
        if way == "endless":
            await other_commands(shared, tmp_path)


async def other_commands(patient: Patient, tmp_path: Path) -> None:
    described = await call(patient, "describe", "web", "-o", "json")
    assert described.code == EXIT_UNSEEN, described
    steps = json.loads(described.out)["chain"]
    unseen = [(one["section"], one["status"]) for one in steps if one["status"] != "there"]
    assert {section for section, _ in unseen} == {"member1, provider"}
    assert all(OVERDUE in status for _, status in unseen)
    assert "member2, consumer" in {one["section"] for one in steps}
    for verb in (("get", "web"), ("graph",)):
        seen = await call(patient, *verb)
        assert seen.code == EXIT_HEALTHY, seen
        assert "member1" in seen.out
    file = tmp_path / "bundle.tar.gz"
    bundle = await call(patient, "bundle", "web", "-o", str(file))
    assert bundle.code == EXIT_HEALTHY, bundle

    def about(name: str) -> Any:
        with tarfile.open(file) as archive:
            found = archive.extractfile(f"mcs-bundle/{patient.space.namespace}/web/{name}/about.json")
            assert found is not None
            return json.load(found)

    assert OVERDUE in about("member1")["unseen"]
    assert (about("member2")["unseen"], about("member2")["not read"].get("nodes", "")) == ("", "")


async def test_a_context_that_leads_to_a_server_that_hangs(shared: Patient, tmp_path: Path):
    config = yaml.safe_load(shared.space.bed.members["member1"].access.kubeconfig.read_text())
    async with hanging_member(shared, tmp_path, "headers") as url:
        for kind in ("clusters", "users", "contexts"):
            config[kind][0]["name"] = "hanging"
        config["contexts"][0]["context"] |= {"cluster": "hanging", "user": "hanging"}
        config["clusters"][0]["cluster"]["server"] = url
        file = tmp_path / "hanging.yaml"
        file.write_text(yaml.safe_dump(config))
        flags = ("--member-context", "member1=hanging", "doctor", "web")
        answer = await call(shared, *flags, kubeconfig=f"{shared.kubeconfig}:{file}")
    assert answer.code == EXIT_UNSEEN, answer
    assert "member1: " in answer.out
