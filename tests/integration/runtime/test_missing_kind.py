"""The controller manager where a kind is missing that only some of its controllers need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from testbed import ControllerProcess, NotYet, karmada, wait_for

if TYPE_CHECKING:
    from testbed.pytest_plugin import NewBed

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATIENCE_SECONDS = 60.0
APPLY = "apply its CustomResourceDefinition (see manifests/README.md)"
CRDS = "apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.mark.parametrize(
    ("kind", "listed_as", "waiting"),
    [
        pytest.param(
            "propagationpolicies.policy.karmada.io",
            "propagationpolicies.v1alpha1.policy.karmada.io",
            ("resource-detector", "policy-controller"),
            id="PropagationPolicy",
        ),
        pytest.param(
            "multiclusterservices.networking.karmada.io",
            "multiclusterservices.v1alpha1.networking.karmada.io",
            ("multiclusterservice-controller", "endpointslice-dispatch-controller", "endpointslice-collect-controller"),
            id="MultiClusterService",
        ),
    ],
)
async def test_others_work_people_are_told_and_nobody_needs_to_restart_it(
    new_bed: NewBed, kind: str, listed_as: str, waiting: tuple[str, ...]
):
    bed = await new_bed(members=("member1",), controller_manager=False)
    await karmada.install(bed)
    await karmada.join_all(bed)
    kubeconfig = await karmada.controller_kubeconfig(bed)
    crd = await bed.host.api.get(CRDS, kind)
    await bed.host.api.delete(CRDS, kind)

    async def gone() -> bool:
        if await bed.host.api.find(CRDS, kind) is not None:
            raise NotYet("it is still there")
        return True

    await wait_for("the kind to be gone", gone, PATIENCE_SECONDS)
    process = ControllerProcess(kubeconfig, root=bed.root, extra_args=["--cluster-cache-sync-timeout=1s"])
    await process.start(ready=False)
    try:

        async def readiness(expected: int) -> str:
            async def probe() -> str:
                try:
                    async with (
                        aiohttp.ClientSession() as session,
                        session.get(f"{process.health_url}/readyz") as answer,
                    ):
                        text = await answer.text()
                except aiohttp.ClientError as error:
                    raise NotYet(f"{error}; {process.tail()}") from error
                if answer.status != expected or (expected == 500 and APPLY not in text):
                    raise NotYet(f"{answer.status} {text}")
                return text

            return await wait_for(f"/readyz to answer {expected}", probe, PATIENCE_SECONDS)

        async def execution_space() -> dict[str, Any] | None:
            return await bed.host.api.find("v1/namespaces", "karmada-es-member1")

        await wait_for("the work of another controller", execution_space, PATIENCE_SECONDS)

        async def told() -> str:
            # On a busy machine other kinds are overdue at first, and this one before its error is known.
            lines = [line for line in process.log.read_text().splitlines(keepends=True) if line.endswith("\n")]
            missing = [line for line in lines if "Cache not synced yet, retrying" in line and listed_as in line]
            if not (missing and APPLY in missing[-1]):
                raise NotYet(process.tail())
            return missing[-1]

        line = await wait_for("the log to name the kind", told, PATIENCE_SECONDS)
        answer = await readiness(500)
        for text in (line, answer):
            assert listed_as in text
            assert all(controller in text for controller in waiting)
            assert APPLY in text

        metadata = {"name": kind}
        await bed.host.api.create({**{k: crd[k] for k in ("apiVersion", "kind", "spec")}, "metadata": metadata})
        await readiness(200)
        assert process.pid is not None, "it has been restarted"
    finally:
        await process.terminate()
