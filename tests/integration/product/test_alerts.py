"""Each alert fires in a real Prometheus when its fault is there, and none does before; the dashboard shows what is.

The alerts' `for` is taken out, as nobody waits 15 minutes in a test.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from mcs_controller.domain.well_known import LEADER_STALE, TRIGGER_TIME
from mcs_controller.mcsctl.access import AccessOptions
from mcs_controller.mcsctl.doctor import run as run_doctor
from testbed import ControllerProcess
from testbed.karmada import MANIFESTS
from testbed.ports import free_ports
from testbed.processes import Process
from testbed.pytest_plugin import require_components
from tests.integration.product.conftest import IMPATIENT
from tests.integration.product.test_availability import FINE, asked, says
from tests.support.fleet import LEASES, SLICES, Space, endpointslice, eventually
from tests.support.no_findings import kubeconfig_of
from tests.support.promql import filled
from tools.dashboard import dashboard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testbed import Api, Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROLES = "rbac.authorization.k8s.io/v1/clusterroles"
RULES = MANIFESTS / "observability" / "prometheusrule.yaml"
SLICES_OF_MEMBER1 = "member1/endpointslices.v1.discovery.k8s.io"
ROOM = ("--member-max-works=3", "--member-cache-max-objects=20")
"""A slice and its copy, another slice, and not its copy."""


TROUBLES = {"Services with a condition that is False", "Services without endpoints in a consumer"}
"""Panels of the dashboard that are empty while all is well."""


class Prometheus:
    """A real one that looks at the controller every second."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def firing(self) -> set[str]:
        async with aiohttp.ClientSession() as session, session.get(f"{self._url}/api/v1/alerts") as response:
            alerts = (await response.json())["data"]["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    async def fires(self, *names: str) -> None:
        """Wait until these do, and no other."""
        await eventually("alerts that fire", self.firing, set(names), timeout=90)

    async def series(self, expression: str) -> int:
        """How many series a query has. Raises what Prometheus says against it."""
        address = f"{self._url}/api/v1/query"
        async with aiohttp.ClientSession() as session, session.get(address, params={"query": expression}) as response:
            answer = await response.json()
        assert answer["status"] == "success", answer
        return sum(sample["value"][1] != "NaN" for sample in answer["data"]["result"])

    async def empty(self) -> set[str]:
        """Panels of the dashboard that show nothing."""
        found = set()
        for panel in dashboard()["panels"]:
            queries = [filled(target["expr"]) for target in panel.get("targets", ())]
            if queries and not [expression for expression in queries if await self.series(expression)]:
                found.add(panel["title"])
        return found

    async def is_ready(self) -> bool:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"{self._url}/-/ready") as response:
                    return response.status == 200
            except aiohttp.ClientError:
                return False


@asynccontextmanager
async def prometheus(controller: ControllerProcess, root: Path, folder: Path) -> AsyncIterator[Prometheus]:
    """Prometheus with the rules that the manifests have."""
    binary = require_components(["prometheus"])["prometheus"]
    rules = yaml.safe_load(RULES.read_text())["spec"]
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    target = controller.metrics_url.removeprefix("http://").removesuffix("/metrics")
    config: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": [{"job_name": "mcs", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    flags = {"config.file": folder / "prometheus.yaml", "storage.tsdb.path": folder, "web.listen-address": address}
    argv = [str(binary), *(f"--{name}={value}" for name, value in flags.items())]
    process = Process("prometheus", argv, log=folder / "log", root=root)
    await process.start()
    try:
        made = Prometheus(f"http://{address}")
        await eventually("Prometheus", made.is_ready, True)
        yield made
    finally:
        await process.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def controller(fleet_bed: Bed) -> AsyncIterator[ControllerProcess]:
    """One that is refused something, and has little room."""
    kubeconfig = fleet_bed.root / "controller.kubeconfig"
    async with ControllerProcess(kubeconfig, root=fleet_bed.root, extra_args=[*IMPATIENT, *ROOM, "--v=4"]) as process:
        yield process


@asynccontextmanager
async def without(api: Api, resource: str, *verbs: str, roles: tuple[str, ...]) -> AsyncIterator[None]:
    """The roles have no right to do that with the resource."""
    before = [(name, (await api.get(ROLES, name))["rules"]) for name in roles]
    for name, rules in before:
        kept = [rule | {"verbs": [verb for verb in rule["verbs"] if verb not in verbs]} for rule in rules]
        changed = [new if resource in old.get("resources", ()) else old for old, new in zip(rules, kept, strict=True)]
        await api.patch(ROLES, name, {"rules": [rule for rule in changed if rule["verbs"]]})
    [group] = {rule["apiGroups"][0] for _, rules in before for rule in rules if resource in rule.get("resources", ())}
    try:
        # Its authorizer follows a moment later, and what is allowed meanwhile is done and brings no error.
        await eventually(f"no right to {verbs[0]} {resource}", lambda: allowed(api, group, resource, verbs[0]), False)
        yield
    finally:
        for name, rules in before:
            await api.patch(ROLES, name, {"rules": rules})


async def allowed(api: Api, group: str, resource: str, verb: str) -> bool:
    """Whether the controller may do that in all namespaces."""
    asked = {"group": group, "resource": resource, "verb": verb}
    spec = {"user": "system:serviceaccount:karmada-system:mcs-controller-manager", "resourceAttributes": asked}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = await api.raw("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=review)
    return bool(answer["status"]["allowed"])


async def test_each_alert_fires_when_its_fault_is_there(
    fleet_bed: Bed, space: Space, controller: ControllerProcess, tmp_path: Path
):
    member = fleet_bed.members["member1"].api
    async with prometheus(controller, fleet_bed.root, tmp_path) as alerts:
        await asked(space)
        await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
        await says(space, "EndpointsAvailable", FINE)
        await alerts.fires()

        await member.delete(SLICES, "web-a", namespace=space.namespace)
        await alerts.fires("MCSServiceUnavailable")
        await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
        await alerts.fires()

        await space.create_in("member1", endpointslice("web-b", "web", ["192.0.2.2"]))
        await alerts.fires("MCSEndpointsNotDelivered", "MCSSlicesWithheld")
        await member.delete(SLICES, "web-b", namespace=space.namespace)
        await alerts.fires()

        options = AccessOptions(kubeconfig=kubeconfig_of(fleet_bed), context="karmada")
        roles = ("mcs-controller-manager-member", "mcs-controller-manager-member-standalone")
        async with without(member, "endpointslices", "list", "watch", roles=roles):
            await alerts.fires("MCSServiceUnavailable", "MCSMemberStale")
            await eventually("what the Lease says", lambda: stale(fleet_bed.host.api), {SLICES_OF_MEMBER1})
            [finding] = [one for one in (await run_doctor(options, None)).findings if one.code == "MCS047"]
            assert finding.object.name == "member1"
        await alerts.fires()
        await eventually("what the Lease says", lambda: stale(fleet_bed.host.api), set[str]())

        own = [name for name in await controllers_roles(fleet_bed.host.api) if name]
        async with without(fleet_bed.host.api, "services", "list", "watch", roles=tuple(own)):
            await alerts.fires("MCSControlPlaneStale")
            status, text = await ready(controller)
            assert (status, "services.v1 not confirmed for" in text, "403" in text) == (500, True, True), text
        await alerts.fires()
        assert (await ready(controller))[0] == 200
        assert "Objects of the control plane may be out of date resource=services.v1" in controller.log.read_text()

        async with without(fleet_bed.host.api, "works", "patch", roles=tuple(own)):
            await space.set_addresses("member1", "web-a", ["192.0.2.3"])
            await alerts.fires("MCSReconcileErrors")
        # The rate of ten minutes stays, so from here on it fires as well.
        ticking = {"metadata": {"annotations": {TRIGGER_TIME: datetime.now(UTC).isoformat()}}}
        await member.patch(SLICES, "web-a", ticking, namespace=space.namespace)
        await space.set_addresses("member1", "web-a", ["192.0.2.9"])
        await eventually("panels that show nothing", alerts.empty, TROUBLES)

        for number in range(25):
            await space.create_in("member1", endpointslice(f"other-{number}", "other", ["192.0.2.4"]))
        await eventually("the alert", lambda: fires_among(alerts, "MCSMemberCacheDropped"), True, timeout=60)

        await controller.terminate()
        await eventually("the alert", lambda: fires_among(alerts, "MCSControllerNoLeader"), True, timeout=60)


async def stale(api: Api) -> set[str]:
    """The stale caches that the leader names on its Lease, for mcsctl."""
    lease = await api.get(LEASES, "mcs-controller-manager", namespace="karmada-system")
    return {one.partition("=")[0] for one in lease["metadata"]["annotations"][LEADER_STALE].split(",") if one}


async def ready(controller: ControllerProcess) -> tuple[int, str]:
    """What a probe is told."""
    async with aiohttp.ClientSession() as session, session.get(f"{controller.health_url}/readyz") as response:
        return response.status, await response.text()


async def fires_among(alerts: Prometheus, name: str) -> bool:
    return name in await alerts.firing()


async def controllers_roles(api: Api) -> list[str]:
    """The ClusterRoles of the controller in the control plane."""
    bindings = await api.list("rbac.authorization.k8s.io/v1/clusterrolebindings")
    return [
        one["roleRef"]["name"]
        for one in bindings
        if any(subject["name"] == "mcs-controller-manager" for subject in one.get("subjects") or ())
    ]
