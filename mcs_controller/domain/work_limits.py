"""How much one member's slices may make the control plane hold: a bound on their Works, and on the bytes in these.

Every slice is a Work of its own in the control plane, and one more for each consumer. All count toward the provider:
it decides how many slices there are, and what is in them. At the limit no Work is created for it any more. Those that
are there are updated, and withdrawn, so nobody's endpoints grow old by the limit; only beyond `GROWTH` times the bytes
are updates refused that make a Work larger.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from mcs_controller.api.common import canonical
from mcs_controller.domain.naming import execution_namespace
from mcs_controller.domain.works import CreateWork, PatchWork, Role, origin_of, role_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcs_controller.api.work import Work
    from mcs_controller.domain.works import WorkWrite

GROWTH: Final = 2
"""How many times the limit of bytes the Works may reach by growing."""


class Withheld(enum.Enum):
    """What is not done at the limit, in the order in which it is made up for."""

    GROWTH = "a Work that becomes larger"
    COPY = "a dispatched Work that is new: without it the collected one is of no use"
    SLICE = "a collected Work that is new"


class WorkUsage(NamedTuple):
    """Collected and dispatched Works of one provider's slices, and the bytes of their manifests."""

    works: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class WorkLimits:
    """What the flags say; 0 is no limit."""

    max_works: int = 0
    max_bytes: int = 0

    def problem(self, usage: WorkUsage, what: Withheld = Withheld.SLICE, *, share: float = 1.0) -> str | None:
        """Why it is withheld, in words that do not change as long as it is; None if there is room.

        With a smaller `share` of the limits there is room only if that much is left.
        """
        if what is Withheld.GROWTH:
            share *= GROWTH
        elif self.max_works and usage.works >= share * self.max_works:
            return f"it has the {self.max_works} Works that one member may have (--member-max-works)"
        if self.max_bytes and usage.bytes >= share * self.max_bytes:
            return f"its Works have the {self.max_bytes} bytes that one member may have (--member-max-work-bytes)"
        return None

    def withheld(
        self, provider: str, write: WorkWrite, observed: Callable[[], Work | None], usage: WorkUsage
    ) -> Withheld | None:
        """What of a write there is no room for; None if it may be done.

        Args:
            provider: of the slice.
            write: of its collected Work, or of a dispatched one.
            observed: the Work as it is; asked only where that matters.
            usage: of the provider.
        """
        if isinstance(write, CreateWork):
            if self.problem(usage) is None:
                return None
            return Withheld.SLICE if is_new_slice(provider, write) else Withheld.COPY
        if not isinstance(write, PatchWork) or "spec" not in write.body:
            return None
        if self.problem(usage, Withheld.GROWTH) is None:
            return None
        after = sum(len(canonical(one)) for one in write.body["spec"]["workload"]["manifests"])
        return Withheld.GROWTH if after > _bytes(observed()) else None


def is_new_slice(provider: str, write: WorkWrite) -> bool:
    """Whether a write makes the collected Work of a slice."""
    return isinstance(write, CreateWork) and write.namespace == execution_namespace(provider)


def usage_of(work: Work | None) -> tuple[str, int] | None:
    """The provider that a Work counts toward, and its bytes; None if it is no copy of a slice."""
    if work is None or role_of(work) not in (Role.COLLECTED, Role.DISPATCHED) or (origin := origin_of(work)) is None:
        return None
    return origin.cluster, _bytes(work)


def _bytes(work: Work | None) -> int:
    return sum(len(one.raw) for one in work.manifests) if work is not None else 0
