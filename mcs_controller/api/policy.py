"""PropagationPolicy: which objects of a namespace go to which clusters."""

from __future__ import annotations

import msgspec

from informers.meta import ObjectMeta
from mcs_controller.api.shapes import JsonObject, check_nesting


class PropagationPolicy(msgspec.Struct, frozen=True):
    """policy.karmada.io/v1alpha1 PropagationPolicy.

    `spec` as plain dicts and lists (read only): what this project does not know must not get lost, as it is a reason to
    refuse the policy.
    """

    metadata: ObjectMeta
    spec: JsonObject = {}


_policy = msgspec.json.Decoder(PropagationPolicy)


def decode_propagationpolicy(raw: bytes | msgspec.Raw) -> PropagationPolicy:
    """Decode a PropagationPolicy."""
    policy = _policy.decode(raw)
    check_nesting(raw, policy.spec)
    return policy
