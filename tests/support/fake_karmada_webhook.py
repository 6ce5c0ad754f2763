"""Karmada's webhook server as the API server sees it: registered, called for every write, answering with a patch.

The mutations are those of contract 5.1 and 5.3, and what a round trip through Go's structs does besides. The definition
of ResourceBinding gets Karmada's second version with a conversion webhook: an object that somebody writes or reads in
the old version is rewritten on its way.
"""

import base64
import copy
import json
import ssl
import tempfile
from collections import Counter
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from testbed import Api
from testbed.certificates import Authority
from tests.support.fake_karmada_objects import mutated

Object = dict[str, Any]

BINDINGS_CRD = "resourcebindings.work.karmada.io"
_CRDS = "apiextensions.k8s.io/v1/customresourcedefinitions"
_RULES = (
    ("networking.karmada.io", "v1alpha1", "multiclusterservices", "multiclusterservice", ("CREATE", "UPDATE")),
    ("work.karmada.io", "v1alpha1", "works", "work", ("CREATE", "UPDATE")),
    ("work.karmada.io", "v1alpha2", "resourcebindings", "resourcebinding", ("CREATE",)),
)


class KarmadaWebhook:
    """Serves the webhooks while the block lasts, and is registered at one API server."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._authority = Authority("karmada-webhook-ca")
        self._runner: web.AppRunner | None = None
        self._port = 0
        self.calls: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        for _, _, _, path, _ in _RULES:
            app.router.add_post(f"/mutate-{path}", self._mutate)
        app.router.add_post("/convert", self._convert)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=server_context(self._authority))
        await site.start()
        self._port = self._runner.addresses[0][1]
        await self._api.apply(self._configuration())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        resource = "admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
        await self._api.delete(resource, "mutating-config", missing_ok=True)
        assert self._runner is not None
        await self._runner.cleanup()

    async def convert_bindings(self) -> None:
        """Serve ResourceBindings in v1alpha1 as well, converted by this server."""
        crd = await self._api.get(_CRDS, BINDINGS_CRD)
        versions = crd["spec"]["versions"]
        if all(one["name"] != "v1alpha1" for one in versions):
            older = {**copy.deepcopy(versions[0]), "name": "v1alpha1", "storage": False}
            older["schema"] = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
            versions.append(older)
        conversion = {
            "strategy": "Webhook",
            "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": self._client("/convert")},
        }
        body = {"spec": {"versions": versions, "conversion": conversion}}
        await self._api.patch(_CRDS, BINDINGS_CRD, body)

    def _client(self, path: str) -> Object:
        bundle = base64.b64encode(self._authority.certificate_pem).decode()
        return {"url": f"https://127.0.0.1:{self._port}{path}", "caBundle": bundle}

    def _configuration(self) -> Object:
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "mutating-config"},
            "webhooks": [
                {
                    "name": f"{path}.karmada.io",
                    "clientConfig": self._client(f"/mutate-{path}"),
                    "rules": [
                        {
                            "apiGroups": [group],
                            "apiVersions": [version],
                            "resources": [resource],
                            "operations": list(operations),
                            "scope": "Namespaced",
                        }
                    ],
                    "failurePolicy": "Fail",
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "timeoutSeconds": 10,
                }
                for group, version, resource, path, operations in _RULES
            ],
        }

    async def _mutate(self, request: web.Request) -> web.Response:
        self.calls[request.path] += 1
        review = await request.json()
        before = review["request"]["object"]
        after = mutated(before)
        patch = [
            {"op": "add", "path": f"/{key}", "value": after[key]} for key in after if after[key] != before.get(key)
        ]
        response: Object = {"uid": review["request"]["uid"], "allowed": True}
        if patch:
            response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
        return web.json_response({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})

    async def _convert(self, request: web.Request) -> web.Response:
        self.calls[request.path] += 1
        review = await request.json()
        wanted = review["request"]["desiredAPIVersion"]
        # Both versions say the same here; what matters is that every object has been through Go's structs.
        converted = [{"status": {}, **one, "apiVersion": wanted} for one in review["request"]["objects"]]
        response = {"uid": review["request"]["uid"], "convertedObjects": converted, "result": {"status": "Success"}}
        return web.json_response(
            {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response}
        )


def server_context(authority: Authority) -> ssl.SSLContext:
    """TLS for a server at 127.0.0.1."""
    pair = authority.server("127.0.0.1", "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.NamedTemporaryFile(suffix=".pem") as both:
        both.write(pair.certificate_pem + b"\n" + pair.key_pem)
        both.flush()
        context.load_cert_chain(both.name)
    return context
