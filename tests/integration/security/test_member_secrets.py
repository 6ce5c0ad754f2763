"""The ways to the members: whatever is wrong with a Cluster, its Secret and its proxy are in nobody's sight.

One fleet with good members and a bad one of every kind, and one controller at the highest verbosity that tries them
all. Looked at is everything it puts out: log, metrics, probes, Events, and every object of the control plane but the
Secrets and specs in which the secrets were planted.
"""

from __future__ import annotations

import base64
import copy
import json
import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from testbed import ControllerProcess, NotYet, karmada, wait_for
from testbed.certificates import Authority
from tests.integration.security.canaries import (
    Canaries,
    echo_page,
    echo_reason,
    echo_status,
    redirect,
    refuse_token,
    server,
)
from tests.support.fleet import (
    BINDINGS,
    CLUSTERS,
    EVENTS,
    LEASES,
    MCS,
    SECRETS,
    SERVICES,
    WORKS,
    Space,
    endpointslice,
    multiclusterservice,
    service,
)

if TYPE_CHECKING:
    from testbed import Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")

Object = dict[str, Any]
NAMESPACE = "karmada-cluster"
CLOSED = "http://127.0.0.1:1"


def pem(kind: str, inside: str) -> str:
    return f"-----BEGIN {kind}-----\n{base64.b64encode(inside.encode()).decode()}\n-----END {kind}-----\n"


class Fleet:
    """Bad members, each with secrets of its own."""

    def __init__(self, bed: Bed, canaries: Canaries) -> None:
        self._bed = bed
        self._canaries = canaries
        self.names: list[str] = []

    async def add(self, name: str, *, token: str = "{}", ca: str | None = None, **spec: Any) -> None:
        """A Cluster and its Secret; `{}` in a text becomes a new secret."""
        self.names.append(name)
        data = {"token": self._planted(name, "token", token)}
        if ca is not None:
            data["caBundle"] = self._planted(name, "caBundle", ca)
        host = self._bed.host.api
        meta = {"name": name, "namespace": NAMESPACE}
        await host.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data})
        planted = {key: self._planted(name, key, value) for key, value in spec.items()}
        await host.create(
            {
                "apiVersion": "cluster.karmada.io/v1alpha1",
                "kind": "Cluster",
                "metadata": {"name": name},
                "spec": {
                    "syncMode": "Push",
                    "apiEndpoint": CLOSED,
                    "insecureSkipTLSVerification": ca is None,
                    "secretRef": meta,
                    **planted,
                },
            }
        )

    def _planted(self, name: str, field: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._planted(name, f"{field}.{key}", each) for key, each in value.items()}
        if isinstance(value, str) and "{}" in value:
            return value.replace("{}", self._canaries.plant(f"{field} of {name}"))
        return value


async def everything_of(bed: Bed, process: ControllerProcess) -> dict[str, str]:
    """All outputs by name."""
    texts = {"log": process.log.read_text()}
    async with aiohttp.ClientSession() as session:
        for url in (
            process.metrics_url,
            *(f"{process.health_url}/{path}" for path in ("healthz?verbose", "readyz?verbose", "debug", "debug/pprof")),
        ):
            async with session.get(url) as response:
                texts[url] = await response.text() + str(response.headers)
    for resource in (MCS, WORKS, BINDINGS, SERVICES, EVENTS, LEASES, CLUSTERS):
        for each in await bed.host.api.list(resource):
            seen = copy.deepcopy(each)
            if resource == CLUSTERS:  # whoever may read a Cluster may read what its spec says
                del seen["spec"]
            texts[f"{resource} {each['metadata']['name']}"] = json.dumps(seen)
    return texts


async def test_secrets_of_clusters_are_not_told(new_bed):
    canaries = Canaries()
    async with AsyncExitStack() as stack:
        bed: Bed = await new_bed()
        await karmada.install(bed)
        await karmada.join_all(bed)
        kubeconfig = await karmada.controller_kubeconfig(bed)
        # The real tokens are secrets, too; of each, the signature, as the rest is in other tokens as well.
        for name in bed.members:
            secret = await bed.host.api.get(SECRETS, name, namespace=NAMESPACE)
            real = base64.b64decode(secret["data"]["token"]).decode()
            canaries.plant_value(f"real token of {name}", real.rpartition(".")[2])
        canaries.plant_value("token of the controller", kubeconfig.read_text().partition("token: ")[2].split()[0][-60:])

        async def answering(answer: Any) -> str:
            return f"http://127.0.0.1:{await stack.enter_async_context(server(answer))}"

        fleet = Fleet(bed, canaries)
        member = bed.members["member2"].access
        # Tokens.
        await fleet.add("refused", apiEndpoint=member.server, ca=member.ca_pem.decode())
        await fleet.add("refused-plainly", apiEndpoint=await answering(refuse_token))
        await fleet.add("quoted-in-status", apiEndpoint=await answering(echo_status))
        await fleet.add("quoted-on-page", apiEndpoint=await answering(echo_page))
        await fleet.add("redirected", apiEndpoint=await answering(redirect))
        await fleet.add("away")
        await fleet.add("control-character", token="{}\n\x01")
        # Authorities.
        stranger = Authority("stranger").certificate_pem.decode()
        await fleet.add("stranger", apiEndpoint=member.server, ca=stranger)
        await fleet.add("ca-is-none", apiEndpoint=member.server, ca="{}")
        await fleet.add("ca-is-key", apiEndpoint=member.server, ca=pem("PRIVATE KEY", "{}") + "{}")
        # Endpoints.
        await fleet.add("endpoint-with-password", apiEndpoint="https://a:{}@127.0.0.1:1", ca=member.ca_pem.decode())
        await fleet.add("endpoint-with-query", apiEndpoint="http://127.0.0.1:1/?key={}")
        await fleet.add("endpoint-is-none", apiEndpoint="https://a:{}@[127.0.0.1")
        # Proxies.
        header: Object = {"X-Proxy-Key": "{}"}
        quoting = (await answering(echo_reason)).removeprefix("http://")
        away = "a:{}@127.0.0.1:2"
        tls: Object = {"apiEndpoint": member.server, "proxyHeader": header}
        await fleet.add("proxy-away", proxyURL=f"http://{away}", **tls)
        await fleet.add("proxy-away-with-ca", proxyURL=f"http://{away}", ca=member.ca_pem.decode(), **tls)
        await fleet.add("proxy-quoting", proxyURL=f"http://a:{{}}@{quoting}", **tls)
        await fleet.add("proxy-quoting-plainly", proxyURL=f"http://a:{{}}@{quoting}", proxyHeader=header)
        await fleet.add("proxy-with-tls", proxyURL=f"https://a:{{}}@{quoting}", **tls)
        await fleet.add("proxy-socks", proxyURL=f"socks5://{away}", **tls)
        await fleet.add("proxy-socks-mute", proxyURL=f"socks5://a:{{}}@{quoting}", **tls)
        await fleet.add("proxy-is-none", proxyURL="http://a:{}@[127.0.0.1", **tls)
        await fleet.add("proxy-of-other-kind", proxyURL=f"ftp://{away}", **tls)
        await fleet.add("proxy-without-host", proxyURL="http://a:{}@:1", **tls)

        process = ControllerProcess(
            kubeconfig,
            root=bed.root,
            name=f"told-{uuid.uuid4().hex[:6]}",
            extra_args=[
                "--v=10",
                "--cluster-status-update-frequency=1s",
                "--cluster-success-threshold=1s",
                "--cluster-failure-threshold=1s",
            ],
        )
        stack.push_async_callback(process.kill)
        await process.start()
        space = await Space.make(bed, in_members=False)
        await space.create(service("web"), multiclusterservice("web"))
        await space.exists_in_members()
        await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
        await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})

        async def all_were_tried() -> bool:
            found = {each["metadata"]["name"]: each for each in await bed.host.api.list(CLUSTERS)}
            untold = [name for name in fleet.names if not found[name].get("status", {}).get("conditions")]
            if untold:
                raise NotYet(f"no condition of {untold}")
            return True

        await wait_for("every Cluster to have a condition", all_were_tried, 60)
        # With the good members' credentials broken while they are in use.
        body = {"stringData": {"token": canaries.plant("new token of member1")}}
        await bed.host.api.patch(SECRETS, "member1", body, namespace=NAMESPACE)
        await bed.host.api.patch(CLUSTERS, "member1", {"spec": {"proxyHeader": {"X-Key": canaries.plant("header")}}})

        async def noticed() -> bool:
            cluster = await bed.host.api.get(CLUSTERS, "member1")
            (ready,) = [each for each in cluster["status"]["conditions"] if each["type"] == "Ready"]
            if ready["status"] == "True":
                raise NotYet("member1 is ready")
            return True

        await wait_for("member1 not to be ready", noticed, 60)
        texts = await everything_of(bed, process)
        await process.terminate()
        texts["log"] = process.log.read_text()

    assert all(name in texts["log"] for name in fleet.names)
    assert canaries.found_in(texts) == []
