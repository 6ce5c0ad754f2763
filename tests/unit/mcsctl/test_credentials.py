from __future__ import annotations

import base64
import json

import pytest

from mcs_controller.mcsctl.credentials import account_of


def jwt(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.x"


def test_the_account_of_a_token():
    assert account_of(jwt({"sub": "system:serviceaccount:karmada-cluster:karmada-m"})) == (
        "karmada-cluster",
        "karmada-m",
    )


@pytest.mark.parametrize(
    "token",
    ["", "opaque", "a.b.c", jwt([]), jwt({}), jwt({"sub": 1}), jwt({"sub": "alice"}), jwt({"sub": "system:node:n"})],
)
def test_tokens_of_nobody_that_we_know(token: str):
    assert account_of(token) is None
