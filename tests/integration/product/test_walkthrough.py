"""The official walkthrough, by its own files and with kubectl, against what Karmada wrote for the same input."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio

from mcs_controller.domain.naming import work_name
from testbed import Bed, ControllerProcess, NotYet, wait_for
from testbed.bed import HOST_NAME
from testbed.pytest_plugin import require_components
from testbed.walkthrough import EXAMPLE, NAME, NAMESPACE, REPOSITORY, SHARED, following, observe
from tests.integration.product.conftest import equip
from tests.support import golden
from tests.support.fleet import (
    BINDINGS,
    DEPLOYMENTS,
    DISPATCHER,
    EVENTS,
    MANAGED_BY,
    MCS,
    NAMESPACES,
    PATIENCE_SECONDS,
    PREFIX,
    SERVICES,
    SLICES,
    WORKS,
    addresses_of,
    condition_of,
    eventually,
    gone,
)
from tools.components import OLDER_KUBERNETES_VERSION, apiserver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testbed.controlplane import ControlPlane

pytestmark = pytest.mark.asyncio(loop_scope="session")

Object = dict[str, Any]

AVAILABILITY = "multiclusterservice-status-controller"
"""Tells of the condition EndpointsAvailable, which is ours alone."""

WEBHOOK = "Karmada's webhook writes every MultiClusterService anew, and Go then adds its empty structs"
PATCHED = "Karmada writes the whole status, with Go's empty structs; here only the conditions are patched"
FAMILIES = "Karmada passes on the IP families that the control plane's server filled in; here each member chooses"
ONE_WRITE = "the number of writes is free: Karmada's scheduler writes the spec once more than ours"


class Difference(NamedTuple):
    golden: Any
    ours: Any
    reason: str


# Every difference that there is. One more fails the test, and so does one less.
KNOWN = {
    "mcs: spec range": Difference({}, golden.ABSENT, WEBHOOK),
    "MultiClusterService work in karmada-es-member1: spec workload manifests 0 spec range": Difference(
        {}, golden.ABSENT, WEBHOOK
    ),
    "mcs: status loadBalancer": Difference({}, golden.ABSENT, PATCHED),
    "binding: metadata generation": Difference(3, 2, ONE_WRITE),
    "binding: status schedulerObservedGeneration": Difference(3, 2, ONE_WRITE),
} | {
    f"Service work in karmada-es-{member}: spec workload manifests 0 spec {field}": Difference(
        value, golden.ABSENT, FAMILIES
    )
    for member in ("member1", "member2")
    for field, value in (("ipFamilies", ["IPv4"]), ("ipFamilyPolicy", "SingleStack"))
}


class Capture(NamedTuple):
    """The walkthrough's objects of one world, under names that both worlds share."""

    objects: dict[str, Object]
    aliases: dict[str, str]
    events: set[tuple[str, str, str, str, str]]

    def normalised(self) -> dict[str, Object]:
        return golden.normalised(self.objects, self.aliases)


def capture(
    *,
    mcs: Object,
    service: Object,
    binding: Object,
    works: list[Object],
    services: dict[str, Object],
    slices: dict[str, list[Object]],
    namespaces: list[Object],
    events: list[Object],
) -> Capture:
    """Name the objects by what they are, and find out what the generated strings in them stand for."""
    conditions = mcs["status"]["conditions"]
    mcs["status"]["conditions"] = [one for one in conditions if one["type"] != "EndpointsAvailable"]  # ours alone
    objects = {"mcs": mcs, "service": service, "binding": binding}
    aliases = {
        mcs["metadata"]["uid"]: "<uid of the mcs>",
        service["metadata"]["uid"]: "<uid of the service>",
        service["spec"]["clusterIP"]: "<ip of the service>",
        mcs["metadata"]["labels"]["multiclusterservice.karmada.io/permanent-id"]: "<id of the mcs>",
        binding["metadata"]["labels"]["resourcebinding.karmada.io/permanent-id"]: "<id of the binding>",
    }
    if binding["spec"]["resource"]["resourceVersion"] == service["metadata"]["resourceVersion"]:
        binding["spec"]["resource"]["resourceVersion"] = "<version of the service>"
    (native,) = (each for each in slices["member1"])
    aliases[native["metadata"]["uid"]] = "<uid of the slice>"
    aliases[native["metadata"]["name"]] = "<slice>"
    for number, endpoint in enumerate(native["endpoints"]):
        aliases[endpoint["addresses"][0]] = f"<address {number}>"
        aliases[endpoint["targetRef"]["uid"]] = f"<uid of pod {number}>"
        aliases[endpoint["targetRef"]["name"]] = f"<pod {number}>"
        aliases[endpoint["nodeName"]] = "<node>"
    for cluster, found in slices.items():
        for each in found:
            dispatched = "endpointslice.karmada.io/provision-cluster" in each["metadata"].get("annotations", {})
            what = f"{'dispatched' if dispatched else 'native'} slice in {cluster}"
            assert what not in objects
            objects[what] = each
            aliases.setdefault(each["metadata"]["name"], f"<{what}>")
    for cluster, each in services.items():
        objects[f"service in {cluster}"] = each
        aliases[each["metadata"]["uid"]] = f"<uid of the service in {cluster}>"
        aliases[each["spec"]["clusterIP"]] = f"<ip of the service in {cluster}>"
    for work in works:
        (manifest,) = work["spec"]["workload"]["manifests"]
        what = f"{manifest['kind']} work in {work['metadata']['namespace']}"
        assert what not in objects
        objects[what] = work
        aliases[work["metadata"]["labels"]["work.karmada.io/permanent-id"]] = f"<id of {what}>"
        aliases[work["metadata"]["uid"]] = f"<uid of {what}>"
        if manifest["kind"] == "EndpointSlice":
            aliases[work["metadata"]["name"]] = "<slice work>"
    objects |= {f"namespace {each['metadata']['name']}": each for each in namespaces}
    about = {work["metadata"]["name"] for work in works} | {NAME, binding["metadata"]["name"]}
    named = {
        (
            each["involvedObject"]["kind"],
            _replaced(each["involvedObject"].get("name", ""), aliases),
            each["type"],
            each["reason"],
            f"{each['source']['component']}, {each['reportingComponent']}",
        )
        for each in events
        if each["involvedObject"].get("name") in about  # the server's own events are about nothing by name ...
        # ... or, from its repair of Services' addresses, have no component.
        and each["source"].get("component") not in {None, AVAILABILITY}
    }
    return Capture(objects, aliases, named)


def _replaced(text: str, aliases: dict[str, str]) -> str:
    return aliases.get(text, text)


def what_karmada_wrote() -> Capture:
    works = [*golden.load("host-works-karmada-es-member1.json"), *golden.load("host-works-karmada-es-member2.json")]
    return capture(
        mcs=golden.load("host-multiclusterservice.json")[0],
        service=golden.load("host-service.json")[0],
        binding=golden.load("host-resourcebinding.json")[0],
        works=works,
        services={name: golden.load(f"{name}-service.json")[0] for name in ("member1", "member2")},
        slices={name: golden.load(f"{name}-endpointslices.json") for name in ("member1", "member2")},
        namespaces=golden.load("host-executionspaces.json"),
        events=golden.load("host-events.json"),
    )


async def what_we_wrote(bed: Bed) -> Capture:
    api = bed.host.api

    async def of_service(plane: ControlPlane) -> list[Object]:
        return await plane.api.list(SLICES, namespace=NAMESPACE, label_selector=f"kubernetes.io/service-name={NAME}")

    executed = [f"karmada-es-{name}" for name in bed.members]
    works = [work for space in executed for work in await api.list(WORKS, namespace=space)]
    return capture(
        mcs=await api.get(MCS, NAME, namespace=NAMESPACE),
        service=await api.get(SERVICES, NAME, namespace=NAMESPACE),
        binding=await api.get(BINDINGS, f"{NAME}-service", namespace=NAMESPACE),
        works=[work for work in works if not _of_earlier_tests(work)],
        services={
            name: await plane.api.get(SERVICES, NAME, namespace=NAMESPACE) for name, plane in bed.members.items()
        },
        slices={name: await of_service(plane) for name, plane in bed.members.items()},
        namespaces=[await api.get(NAMESPACES, space) for space in executed],
        events=await api.list(EVENTS),
    )


def _of_earlier_tests(work: Object) -> bool:
    """Whether it is about their namespaces or what was in them: that may still be on its way out."""
    (metadata,) = (manifest["metadata"] for manifest in work["spec"]["workload"]["manifests"])
    return str(metadata.get("namespace") or metadata["name"]).startswith(PREFIX)


async def kubectl(binaries: dict[str, Path], plane: ControlPlane, *arguments: str) -> str:
    """Run kubectl as a person would."""
    process = await asyncio.create_subprocess_exec(
        str(binaries["kubectl"]),
        f"--kubeconfig={plane.access.kubeconfig}",
        f"--cache-dir={plane.access.kubeconfig.parent / 'kubectl-cache'}",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


# Few are on the newest Kubernetes: members and the control plane are older ones, too. The tests of mcsctl have an older
# consumer beside a new provider.
VERSIONS: dict[str, dict[str, str]] = {
    "newest-members": {},
    "older-members": dict.fromkeys(("member1", "member2"), OLDER_KUBERNETES_VERSION),  # in `make test-long`
    "older-everywhere": dict.fromkeys((HOST_NAME, "member1", "member2"), OLDER_KUBERNETES_VERSION),
}


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="session",
    params=[
        pytest.param(versions, id=name, marks=pytest.mark.long if name == "older-members" else ())
        for name, versions in VERSIONS.items()
    ],
)
async def fleet_bed(request: pytest.FixtureRequest, binaries: dict[str, Path]) -> AsyncIterator[Bed]:
    """In place of the shared fleet: one of these versions."""
    versions: dict[str, str] = request.param
    require_components([apiserver(version) for version in versions.values()])
    async with Bed(audit=True, versions=versions) as bed:
        yield await equip(bed)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def walked(fleet_bed: Bed, controller: ControllerProcess, binaries: dict[str, Path]) -> AsyncIterator[Bed]:
    """The bed with the walkthrough's files applied, at rest."""
    bed = fleet_bed
    # A zone, as the golden world's node has one: the copies carry it.
    await bed.members["member1"].api.patch("v1/nodes", "member1-node", {"metadata": {"labels": ZONE}})
    await kubectl(binaries, bed.members["member1"], "apply", "-f", str(REPOSITORY / EXAMPLE / "deployment.yaml"))
    await kubectl(binaries, bed.host, "apply", "-f", str(REPOSITORY / EXAMPLE / "service.yaml"))
    await kubectl(binaries, bed.host, "apply", "-f", str(REPOSITORY / EXAMPLE / "multiclusterservice.yaml"))
    async with following(bed) as scene:
        await observe(scene, SHARED, PATIENCE_SECONDS)
    await eventually("the binding to be fully applied", lambda: _fully_applied(bed), "True")
    yield bed
    await bed.host.api.delete(MCS, NAME, namespace=NAMESPACE)
    await gone(bed.host.api, MCS, NAME, NAMESPACE)
    await bed.host.api.delete(SERVICES, NAME, namespace=NAMESPACE)
    await bed.members["member1"].api.delete(DEPLOYMENTS, NAME, namespace=NAMESPACE)


ZONE = {"topology.kubernetes.io/zone": "zone-a"}


async def _fully_applied(bed: Bed) -> str:
    return condition_of(await bed.host.api.get(BINDINGS, f"{NAME}-service", namespace=NAMESPACE), "FullyApplied")[0]


async def test_every_object_is_what_karmada_writes_field_by_field(walked):
    known = {path: (each.golden, each.ours) for path, each in KNOWN.items()}

    async def probe() -> bool:
        found = golden.differences(what_karmada_wrote().normalised(), (await what_we_wrote(walked)).normalised())
        if found != known:
            new = [path for path in found if found[path] != known.get(path)]
            raise NotYet(f"gone: {sorted(known.keys() - found.keys())}; new:\n{golden.told(found, new)}")
        return True

    await wait_for("no other difference from Karmada than the known ones", probe, PATIENCE_SECONDS)


async def test_every_kind_of_event_is_told_of_the_same_object_by_the_same_component(walked):
    async def probe() -> bool:
        theirs, ours = what_karmada_wrote().events, (await what_we_wrote(walked)).events
        if theirs != ours:
            raise NotYet(f"only Karmada tells {sorted(theirs - ours)}; only we tell {sorted(ours - theirs)}")
        return True

    await wait_for("the same events", probe, PATIENCE_SECONDS)


async def test_works_are_named_as_the_contract_computes_them(walked):
    wrote = await what_we_wrote(walked)
    for what, obj in wrote.objects.items():
        if obj["kind"] == "Work" and not what.endswith("in karmada-es-member2"):
            (manifest,) = obj["spec"]["workload"]["manifests"]
            name = manifest["metadata"]["name"]
            assert obj["metadata"]["name"] == work_name(manifest["kind"], NAMESPACE, name), what


async def test_the_consumer_has_the_addresses_of_the_providers_pods(walked):
    pods = await walked.members["member1"].api.list("v1/pods", namespace=NAMESPACE, label_selector=f"app={NAME}")
    copies = await walked.members["member2"].api.list(
        SLICES, namespace=NAMESPACE, label_selector=f"{MANAGED_BY}={DISPATCHER}"
    )
    assert [addresses_of(copy) for copy in copies] == [sorted(pod["status"]["podIP"] for pod in pods)]
    assert len(pods) == 2
