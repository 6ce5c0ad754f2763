"""What a bug report needs is in the bundle, and no secret is, nor in anything else that mcsctl prints."""

from __future__ import annotations

import base64
import json
import tarfile

import pytest

from tests.integration.mcsctl import calls
from tests.integration.mcsctl.calls import mcsctl
from tests.integration.mcsctl.conftest import Patient
from tests.integration.security.canaries import Canaries
from tests.support.fleet import CLUSTERS, EVENTS, SECRETS

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_bundle_has_everything_but_secrets(patient: Patient, tmp_path):
    space, host = patient.space, patient.space.host
    canaries = Canaries()
    for secret in await host.list(SECRETS, namespace="karmada-cluster"):
        token = base64.b64decode(secret["data"]["token"]).decode()
        canaries.plant_value(f"token of {secret['metadata']['name']}", token.rpartition(".")[2])
    for file in patient.kubeconfig.split(":"):
        with open(file) as config:  # noqa: ASYNC230
            key = config.read().partition("client-key-data: ")[2].split()[0]
        canaries.plant_value(f"key of {file}", base64.b64decode(key).decode().splitlines()[2])
    planted = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "planted"},
        "stringData": {"password": canaries.plant("Secret")},
    }
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "planted", "namespace": space.namespace},
        "involvedObject": {"kind": "Service", "name": "web", "namespace": space.namespace},
        "message": f"no answer to Authorization: Bearer {canaries.plant('Event')}",
        "reason": "Planted",
    }
    await space.create(planted, event)
    header = {"spec": {"proxyHeader": {"X-Key": canaries.plant("proxyHeader")}}}
    flags = ("--kubeconfig", patient.kubeconfig, "--context", "karmada")
    archive = tmp_path / "report.tar.gz"
    try:
        await host.patch(CLUSTERS, "member2", header)
        await mcsctl(*flags, "bundle", "web", "-n", space.namespace, "-o", str(archive))
        for args in (("doctor",), ("doctor", "web", "-n", space.namespace, "-o", "json")):
            await calls.run(*flags, *args)
    finally:
        await host.patch(CLUSTERS, "member2", {"spec": {"proxyHeader": None}})
    with tarfile.open(archive) as opened:
        files = {each.name.removeprefix("mcs-bundle/"): opened.extractfile(each) for each in opened.getmembers()}
        texts = {name: content.read().decode() for name, content in files.items() if content is not None}
    assert canaries.found_in(texts) == []
    assert canaries.found_in({str(number): text for number, text in enumerate(calls.outputs)}) == []

    folder = f"{space.namespace}/web"
    read = {name.removeprefix(f"{folder}/"): json.loads(text) for name, text in texts.items() if folder in name}
    assert read["diagnosis.json"]["verdict"] is None
    for plane, kind, name in (
        ("control-plane", "multiclusterservices.networking.karmada.io", "web"),
        ("control-plane", "clusters.cluster.karmada.io", "member2"),
        ("control-plane", "events", "planted"),
        ("control-plane", "services", "web"),
        ("member1", "services", "web"),
        ("member2", "services", "web"),
    ):
        names = [one["metadata"]["name"] for one in read[f"{plane}/{kind}.json"]]
        assert name in names, f"{kind} of {plane}: {names}"
    assert read["control-plane/works.work.karmada.io.json"]
    assert read["control-plane/leases.coordination.k8s.io.json"]
    assert read["member2/endpointslices.discovery.k8s.io.json"]
    assert read["member2/about.json"]["version"].startswith("v1.")
    assert json.loads(texts["installation/diagnosis.json"])["findings"] is not None
    assert json.loads(texts["versions.json"])["mcsctl"]
    assert not any("secrets.json" in name for name in texts)
    assert await host.find(EVENTS, "planted", namespace=space.namespace)
