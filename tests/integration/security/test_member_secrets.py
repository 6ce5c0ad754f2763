"""The ways to the members: whatever is wrong with a Cluster, its Secret and its proxy are in nobody's sight.

One fleet with good members and a bad one of every kind, and one controller at the highest verbosity that tries them
all. Looked at is everything it puts out: log, metrics, probes, Events, and every object of the control plane but the
Secrets and specs in which the secrets were planted.
"""

from __future__ import annotations

import base64
import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

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
from tests.integration.security.fleet import NAMESPACE, Fleet, everything_of
from tests.support.fleet import CLUSTERS, SECRETS, Space, endpointslice, multiclusterservice, service

if TYPE_CHECKING:
    from testbed import Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")

Object = dict[str, Any]


def pem(kind: str, inside: str) -> str:
    return f"-----BEGIN {kind}-----\n{base64.b64encode(inside.encode()).decode()}\n-----END {kind}-----\n"


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
        log = texts[f"log of {process.name}"] = process.log.read_text()

    assert all(name in log for name in fleet.names)
    assert canaries.found_in(texts) == []
