"""Members are joined, get new tokens, and leave, on real API servers and by mcsctl's own process."""

from __future__ import annotations

import base64

import pytest

from testbed import Bed, NotYet, wait_for
from tests.integration.mcsctl.calls import mcsctl, run
from tests.integration.mcsctl.conftest import Patient, kubeconfig_of
from tests.support.fleet import CLUSTERS, PATIENCE_SECONDS, SECRETS, condition_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAMESPACE = "karmada-cluster"


async def stored(bed: Bed, member: str) -> dict[str, str]:
    """What the Secret of a Cluster holds."""
    secret = await bed.host.api.get(SECRETS, member, namespace=NAMESPACE)
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


async def store(bed: Bed, member: str, **values: str) -> None:
    """Put something else there."""
    await bed.host.api.patch(SECRETS, member, {"stringData": values}, namespace=NAMESPACE)


async def ready(bed: Bed, member: str) -> None:
    """Wait until the controller says so."""

    async def probe() -> bool:
        condition = condition_of(await bed.host.api.get(CLUSTERS, member), "Ready")
        if condition[0] != "True":
            raise NotYet(f"{condition}")
        return True

    await wait_for(f"Cluster {member} to be ready", probe, PATIENCE_SECONDS)


async def test_a_token_is_renewed_whatever_the_secret_holds(doctors_bed):
    bed, _ = doctors_bed
    kubeconfig = kubeconfig_of(bed)
    good = await stored(bed, "member1")
    other_ca = (await bed.host.api.get(SECRETS, "member2", namespace=NAMESPACE))["data"]["caBundle"]
    try:
        await store(bed, "member1", token="wrong", caBundle=base64.b64decode(other_ca).decode())
        said = await mcsctl("--context", "karmada", "token", "renew", "member1", kubeconfig=kubeconfig)
        assert "Secret karmada-cluster/member1 has a new token for karmada-system/mcs-controller-manager" in said
        renewed = await stored(bed, "member1")
        assert renewed["caBundle"].strip() == good["caBundle"].strip()
        assert renewed["token"] not in (good["token"], "wrong")
        assert not any(token in said for token in (renewed["token"], renewed["token"].rpartition(".")[2]))
        await bed.host.api.delete(SECRETS, "member1", namespace=NAMESPACE)
        await mcsctl("--context", "karmada", "token", "renew", "member1", "--duration", "1h", kubeconfig=kubeconfig)
        assert set(await stored(bed, "member1")) == {"token", "caBundle"}
        await ready(bed, "member1")
    finally:
        await bed.host.api.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "member1", "namespace": NAMESPACE},
                "stringData": good,
            }
        )


async def test_a_token_that_cannot_be_renewed_changes_nothing(doctors_bed):
    bed, _ = doctors_bed
    host, both = str(bed.host.access.kubeconfig), kubeconfig_of(bed)
    good = await stored(bed, "member1")
    # By the Secret's own token, which may not make others.
    refused = await run("token", "renew", "member1", kubeconfig=host)
    assert refused.code == 1
    assert "mcsctl --member-context member1=CONTEXT token renew member1" in refused.err
    # The context of another member.
    wrong = await run(
        "--context", "karmada", "--member-context", "member1=member2", "token", "renew", "member1", kubeconfig=both
    )
    assert wrong.code == 1
    assert "the new token of member1 does not work, so nothing was written" in wrong.err
    unknown = await run("--context", "karmada", "token", "renew", "membr1", kubeconfig=both)
    assert unknown.code == 2
    assert "mcsctl join membr1 --cluster-context CONTEXT" in unknown.err
    assert await stored(bed, "member1") == good


async def test_a_renewed_token_is_what_the_service_needs(patient: Patient):
    bed = patient.space.bed
    good = await stored(bed, "member1")
    try:
        await store(bed, "member1", token="wrong")
        await patient.paste(f"mcsctl --kubeconfig {patient.kubeconfig} --context karmada token renew member1")
        await patient.healthy()
    finally:
        await store(bed, "member1", **good)
