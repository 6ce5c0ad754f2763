"""PropagationPolicy: which objects of a namespace go to which clusters."""

from __future__ import annotations

import msgspec

from informers.meta import ObjectMeta
from mcs_controller.api.common import JsonObject


class PropagationPolicy(msgspec.Struct, frozen=True):
    """policy.karmada.io/v1alpha1 PropagationPolicy.

    `spec` as plain dicts and lists (read only): what this project does not know must not get lost, as it is a reason to
    refuse the policy.
    """

    metadata: ObjectMeta
    spec: JsonObject = {}
