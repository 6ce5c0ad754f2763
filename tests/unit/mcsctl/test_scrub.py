from __future__ import annotations

import json

import pytest

from mcs_controller.mcsctl.scrub import scrub, scrub_text

CANARY = "canary0123456789abcdef"
JWT = f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.{CANARY}"
KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "planted",
    [
        {"kind": "Secret", "data": {"x": CANARY}, "stringData": {"y": CANARY}},
        {"spec": {"workload": {"manifests": [{"kind": "Secret", "data": {"x": CANARY}}]}}},
        {"kind": "ConfigMap", "data": {"x": CANARY}, "binaryData": {"y": CANARY}},
        {"kind": "Secret", "data": CANARY},
        {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": CANARY}}},
        {"metadata": {"managedFields": [CANARY]}},
        {"spec": {"proxyHeader": {"X-Key": CANARY}}},
        {"spec": {"proxyURL": f"socks5://a:{CANARY}@example.org:1"}},
        {"webhooks": [{"clientConfig": {"caBundle": CANARY}}]},
        {"users": [{"user": {"token": CANARY, "client-key-data": CANARY, "client-certificate-data": CANARY}}]},
        {
            "containers": [
                {"env": [{"name": "A", "value": CANARY}], "args": [f"--token={CANARY}", f"--api-key={CANARY}"]}
            ]
        },
        {"message": f"401 for Authorization: Bearer {CANARY}"},
        {"message": f"the server said {JWT}!"},
        {"message": KEY},
        {"message": KEY.partition("\n-----END")[0]},
        {"message": f"GET https://a/?access_token={CANARY}&b=1"},
    ],
)
def test_secrets_are_removed_wherever_they_are(planted: object):
    assert CANARY in json.dumps(planted)
    assert CANARY not in json.dumps(scrub(planted))
    assert CANARY not in json.dumps(scrub([planted]))


def test_what_a_report_needs_stays():
    deployment = {
        "kind": "Deployment",
        "metadata": {"name": "a", "labels": {"app": "token-service"}, "annotations": {"x": "y"}},
        "spec": {"args": ["--v=4", "--tls-private-key-file=/key", "--feature-gates=A=true"], "replicas": 2},
        "status": {"conditions": [{"type": "Ready", "status": "True", "message": "see https://a.b/c@d"}], "x": None},
        "automountServiceAccountToken": False,
        "schema": {"properties": {"kind": {"type": "string"}, "data": {"type": "object"}}},
    }
    assert scrub(deployment) == deployment


def test_text_around_a_secret_stays():
    assert scrub_text(f"GET https://u:{CANARY}@h:1/p: 401, Bearer {CANARY}.") == (
        "GET https://[redacted]@h:1/p: 401, Bearer [redacted]"
    )
