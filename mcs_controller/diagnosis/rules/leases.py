"""What a Lease says of its holder."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from mcs_controller.diagnosis.world import dig, moment, text

if TYPE_CHECKING:
    from mcs_controller.diagnosis.world import Object, World

TAKEOVER_SECONDS: Final = 10.0
"""A standby, or a Pod that is restarted, has taken the Lease by then: before that, it is an ordinary fail-over."""


def overdue_seconds(world: World, lease: Object) -> float:
    """How long nobody has held a Lease; 0 or less while somebody does."""
    renewed = moment(lease, "spec", "renewTime")
    if renewed is None:
        return math.inf
    duration = dig(lease, "spec", "leaseDurationSeconds")
    held = duration if text(lease, "spec", "holderIdentity") and isinstance(duration, int) else 0
    return (world.now - renewed).total_seconds() - held


def described(world: World, lease: Object) -> str:
    """A Lease as evidence."""
    renewed = moment(lease, "spec", "renewTime")
    when = f"renewed {(world.now - renewed).total_seconds():.0f} s ago" if renewed is not None else "never renewed"
    holder = text(lease, "spec", "holderIdentity") or "nobody"
    return f"holder {holder}, {when}, duration {dig(lease, 'spec', 'leaseDurationSeconds')} s"
