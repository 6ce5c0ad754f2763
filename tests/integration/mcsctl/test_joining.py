"""Members are joined, get new tokens, and leave, on real API servers and by mcsctl's own process."""

from __future__ import annotations

import base64

import pytest

from testbed import Bed, NotYet, karmada, wait_for
from tests.integration.mcsctl.calls import mcsctl, run
from tests.integration.mcsctl.conftest import Patient
from tests.support.fleet import CLUSTERS, PATIENCE_SECONDS, SECRETS, condition_of
from tests.support.no_findings import kubeconfig_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAMESPACE = "karmada-cluster"
ACCOUNTS = "v1/serviceaccounts"
ROLES = "rbac.authorization.k8s.io/v1/clusterroles"


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


async def test_a_renewed_token_is_what_the_service_needs(shared: Patient):
    bed = shared.space.bed
    good = await stored(bed, "member1")
    try:
        await store(bed, "member1", token="wrong")
        await shared.paste(f"mcsctl --kubeconfig {shared.kubeconfig} --context karmada token renew member1")
        await shared.healthy()
    finally:
        await store(bed, "member1", **good)


async def test_a_member_is_joined_again_and_again_and_leaves(doctors_bed):
    bed, _ = doctors_bed
    both = kubeconfig_of(bed)
    join = ("--context", "karmada", "join", "extra", "--cluster-context", "member2")
    try:
        said = await mcsctl(*join, "--labels", "region=eu", kubeconfig=both)
        assert said.splitlines()[-1] == "✓ Cluster extra is Ready"
        made = await bed.host.api.get(CLUSTERS, "extra")
        registered = await bed.host.api.get(CLUSTERS, "member2")
        assert made["spec"] | {"secretRef": None, "id": None} == registered["spec"] | {"secretRef": None, "id": None}
        assert made["metadata"]["labels"] == {"region": "eu"}
        first = await stored(bed, "extra")
        assert first["caBundle"].strip() == (await stored(bed, "member2"))["caBundle"].strip()
        again = await run(*join, "--labels", "region=eu", kubeconfig=both)
        assert again.code == 0
        assert "! Cluster member2 has the same endpoint" in again.err
        assert "is this machine's own" in again.err
        assert first["token"] not in said + again.out + again.err
        other = await run("--context", "karmada", "join", "extra", "--cluster-context", "member1", kubeconfig=both)
        assert other.code == 2
        assert "mcsctl unjoin extra" in other.err
        assert (await bed.host.api.get(CLUSTERS, "extra"))["spec"] == made["spec"]
        asked = await run("--context", "karmada", "unjoin", "extra", kubeconfig=both)
        assert asked.code == 130
        left = await run(
            "--context", "karmada", "unjoin", "extra", "--cluster-context", "member2", "--yes", kubeconfig=both
        )
        assert (left.code, left.out.splitlines()) == (
            0,
            ["✓ Cluster extra is removed", "✓ Secret karmada-cluster/extra is removed"],
        )
        assert "Cluster member2 uses it" in left.err
        assert await bed.members["member2"].api.find(ACCOUNTS, "mcs-controller-manager", namespace="karmada-system")
        twice = await mcsctl("--context", "karmada", "unjoin", "extra", "--yes", kubeconfig=both)
        assert twice == "✓ Cluster extra is not registered\n"
    finally:
        await karmada.unjoin(bed, "extra")


async def test_what_join_made_in_a_member_is_removed_and_made_again(patient: Patient):
    bed = patient.space.bed
    flags = ("--kubeconfig", patient.kubeconfig, "--context", "karmada")
    member = bed.members["member2"].api
    try:
        said = await mcsctl(*flags, "unjoin", "member2", "--cluster-context", "member2", "--yes")
        assert "member2 has our ServiceAccount and its roles no longer" in said
        assert await bed.host.api.find(SECRETS, "member2", namespace=NAMESPACE) is None
        assert await member.find(ACCOUNTS, "mcs-controller-manager", namespace="karmada-system") is None
        roles = await member.list(ROLES, label_selector="app.kubernetes.io/part-of=mcs-controller")
        assert roles == []
        said = await mcsctl(*flags, "join", "member2", "--cluster-context", "member2")
        assert "✓ Cluster member2 is Ready" in said
        await patient.healthy()
    finally:
        await karmada.join(bed, "member2")
        await ready(bed, "member2")


async def test_what_cannot_be_joined_is_refused_with_the_next_step(doctors_bed):
    bed, _ = doctors_bed
    both = kubeconfig_of(bed)
    itself = await run("--context", "karmada", "join", "extra", "--cluster-context", "karmada", kubeconfig=both)
    assert itself.code == 2
    assert "leads to the control plane itself" in itself.err
    nowhere = await run("--context", "member1", "join", "extra", "--cluster-context", "member2", kubeconfig=both)
    assert nowhere.code == 2
    assert "apply -f manifests/crds/ -f manifests/standalone/" in nowhere.err
    no_context = await run("--context", "karmada", "join", "extra", "--cluster-context", "memberX", kubeconfig=both)
    assert no_context.code == 2
    assert await bed.host.api.find(CLUSTERS, "extra") is None
    assert await bed.host.api.find(SECRETS, "extra", namespace=NAMESPACE) is None
