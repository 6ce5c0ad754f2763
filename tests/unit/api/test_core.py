"""What is kept of core kinds."""

from __future__ import annotations

import gc

import msgspec

from mcs_controller.api.core import decode_endpointslice
from tests.support.builders import slice_

OWNER = {"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "u"}


def test_a_slice_in_a_cache_has_no_owners_and_no_age_and_is_nothing_to_the_garbage_collector():
    content = slice_()
    content["metadata"] |= {"ownerReferences": [OWNER], "creationTimestamp": "2026-01-01T00:00:00Z"}
    decoded = decode_endpointslice(msgspec.json.encode(content))
    assert (decoded.metadata.owner_references, decoded.metadata.creation_timestamp) == ((), None)
    assert decoded.metadata.name == "web-1"
    assert not gc.is_tracked(decoded)
