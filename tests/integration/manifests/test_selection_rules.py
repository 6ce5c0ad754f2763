"""manifests/admission/selection on API servers of a new and of an old Kubernetes: it refuses what we could not read.

Each text is tried with the policy and with the function that the controller reads it with: both say the same of it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.tiers import KEYS, path_of, problem_with
from testbed.api import resource_path, wait_for
from testbed.errors import ApiStatusError, NotYet
from testbed.karmada import apply_all, load
from tests.integration.manifests.conftest import BARE
from tests.integration.manifests.support import MANIFESTS, without_rules
from tests.support.admission_rules import SELECTION_TEXTS, mcs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from testbed.api import Object
    from testbed.bed import Bed
    from testbed.controlplane import ControlPlane

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY: Final = MANIFESTS / "admission" / "selection"
KINDS: Final = [f"admissionregistration.k8s.io/v1/validatingadmission{each}" for each in ("policies", "policybindings")]
SERVICES: Final = "networking.karmada.io/v1alpha1/multiclusterservices"


@pytest_asyncio.fixture(params=[BARE, "member1"], scope="module", loop_scope="session")
async def plane(request: pytest.FixtureRequest, lone_bed: Bed) -> AsyncIterator[ControlPlane]:
    """With the policy in force, over definitions as Karmada has them."""
    made = lone_bed.members[request.param]
    await apply_all(made.api, map(without_rules, load(MANIFESTS / "crds")))
    await apply_all(made.api, load(POLICY))

    async def in_force() -> bool:
        if await refusal(made, mcs(), {wk.DRAIN: "-"}) is None:
            raise NotYet("a name that is none is let through")
        return True

    await wait_for(f"the policy to be in force in {made.name}", in_force)
    yield made
    for kind, one in zip(KINDS, load(POLICY), strict=True):
        await made.api.delete(kind, named(one))


def named(manifest: Object) -> str:
    return str(manifest["metadata"]["name"])


async def refusal(plane: ControlPlane, manifest: Object, annotations: Mapping[str, str]) -> str | None:
    """Why the object cannot be made with these annotations; None if it can. Nothing is stored."""
    body = {**manifest, "metadata": {**manifest["metadata"], "annotations": dict(annotations)}}
    kind = SERVICES if manifest["kind"] == "MultiClusterService" else "v1/namespaces"
    path = resource_path(kind, namespace=manifest["metadata"].get("namespace"))
    try:
        await plane.api.raw("POST", path, body, query={"dryRun": "All"})
    except ApiStatusError as error:
        return str(error)
    return None


def namespace() -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "of-a-team"}}


@pytest.mark.parametrize("manifest", [mcs(), namespace()], ids=["service", "namespace"])
async def test_policy_refuses_what_cannot_be_read_and_nothing_else(plane: ControlPlane, manifest: Object) -> None:
    """Each text as the value of all annotations at once: the refusal names those for which it is none."""
    answers = await asyncio.gather(*(refusal(plane, manifest, dict.fromkeys(KEYS, text)) for text in SELECTION_TEXTS))
    shown = [(text.replace("\n", " ")[:64], told or "") for text, told in zip(SELECTION_TEXTS, answers, strict=True)]
    found = [[key for key in KEYS if f'{path_of(key)}: Invalid value: "{text}' in told] for text, told in shown]
    expected = [[key for key in KEYS if problem_with(key, text) is not None] for text in SELECTION_TEXTS]
    pairs = list(zip(SELECTION_TEXTS, found, expected, strict=True))
    assert [one for one in pairs if one[1] != one[2]] == []
    assert [told is not None for told in answers] == [bool(keys) for keys in expected]
    for key in KEYS:
        assert {key in keys for keys in expected} == {True, False}, "both are tried"


async def test_limits_are_told_and_can_be_used_up(plane: ControlPlane) -> None:
    """What a rule walks is as much as the limit allows, at once in all annotations."""
    names = ",".join(f"{n:05}" for n in range(5000))
    full = {wk.TIERS: f"clusters={names};selector=a in ({names[:2000]})", wk.DRAIN: names, wk.TIER_MINIMUM: "1"}
    full |= {wk.HAND_BACK_AFTER: "1s" * 16384, wk.HAND_BACK_EVERY: "1s" * 16384}
    assert await refusal(plane, namespace(), full) is None
    told = await refusal(plane, namespace(), {wk.DRAIN: "a," * 16384 + "a"}) or ""
    assert "must have at most 32768 characters" in told
    assert await refusal(plane, namespace(), {wk.TIERS: "any;" * 8000}) is not None


async def test_namespaces_and_what_is_there_already_are_left_alone(plane: ControlPlane) -> None:
    """Other annotations may hold anything, and what was there before the policy is no fault of the next writer."""
    assert await refusal(plane, namespace(), {"multiclusterservice.karmada.io/other": "!", "a": ""}) is None
    policy, binding = load(POLICY)
    name = f"older-{plane.name}"
    await plane.api.delete(KINDS[1], named(binding))

    async def off() -> bool:
        if await refusal(plane, namespace(), {wk.TIERS: "!"}) is not None:
            raise NotYet("still in force")
        return True

    await wait_for("the policy to be out of force", off)
    await plane.api.create({**namespace(), "metadata": {"name": name, "annotations": {wk.TIERS: "!", wk.DRAIN: "!"}}})
    await apply_all(plane.api, [policy, binding])

    async def on() -> bool:
        if await refusal(plane, namespace(), {wk.TIERS: "!"}) is None:
            raise NotYet("not yet in force")
        return True

    await wait_for("the policy to be in force again", on)
    await plane.api.patch("v1/namespaces", name, {"metadata": {"labels": {"team": "a"}}})
    await plane.api.patch("v1/namespaces", name, {"metadata": {"annotations": {wk.DRAIN: None}}})
    with pytest.raises(ApiStatusError, match="is no tier"):
        await plane.api.patch("v1/namespaces", name, {"metadata": {"annotations": {wk.TIERS: "?"}}})
