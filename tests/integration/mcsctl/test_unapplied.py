"""`mcsctl doctor -f` beside a real control plane: what is in a file counts over what is there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mcs_controller.diagnosis.findings import Severity
from mcs_controller.mcsctl.access import AccessOptions
from mcs_controller.mcsctl.unapplied import check, load
from tests.support.fleet import multiclusterservice, propagationpolicy, service

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.mcsctl.conftest import Patient

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_manifests_are_checked_before_they_are_applied(shared: Patient, tmp_path: Path):
    options = AccessOptions(kubeconfig=shared.kubeconfig, context="karmada")
    file = tmp_path / "web.json"

    async def findings(*objects: dict[str, object]) -> list[tuple[str, Severity, str]]:
        file.write_text(json.dumps({"kind": "List", "items": objects}))
        found = await check(options, load([str(file)], shared.space.namespace), None, offline=False)
        return [(one.code, one.severity, one.fix) for one in found.findings]

    assert await findings(multiclusterservice("web", ["member1"], ["member2"])) == []
    ((code, _, fix),) = await findings(multiclusterservice("web", ["member1"], ["membr2"]))
    assert code == "MCS033"
    corrected = await shared.paste(fix.replace("-o yaml", "-o json"))
    assert json.loads(corrected)["spec"]["consumerClusters"] == [{"name": "member2"}]
    policy = propagationpolicy("all", ["member1"], service("web"))
    assert [one[:2] for one in await findings(policy)] == [("MCS038", Severity.WARNING)]
    lacking = multiclusterservice("wbe", ["member1"], ["member2"])
    assert [one[:2] for one in await findings(lacking)] == [("MCS031", Severity.ERROR)]
    await shared.healthy()
