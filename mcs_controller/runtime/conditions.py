"""Status conditions of an object, for people and for `kubectl wait`.

    wanted = Condition("Ready", "True", "Copied", "3 copies are up to date", observed_generation=meta.generation)
    if patch := plan_conditions(obj, obj.status.conditions, [wanted], now=clock.utcnow()):
        await mine.patch(meta.namespace, meta.name, patch, subresource="status")

The rules are those of `meta.SetStatusCondition` in k8s.io/apimachinery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from informers.meta import find_condition

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from informers.meta import Condition, KubeObject


def is_condition_true(conditions: Iterable[Condition], kind: str) -> bool:
    """Whether there is a condition of that type, and it is True."""
    found = find_condition(conditions, kind)
    return found is not None and found.status == "True"


def set_condition(conditions: Sequence[Condition], wanted: Condition, *, now: datetime) -> tuple[Condition, ...]:
    """The conditions with this one in it, those of other types as they were, in the order they had.

    `last_transition_time` is kept while the status is the same, and else the one given in `wanted`, or `now`. Reason,
    message and observed generation are always those of `wanted`. The result equals `conditions` if nothing differs,
    and then nothing needs to be written.

    Args:
        conditions: what the status says.
        wanted: what it is to say; without a time of its own in the ordinary case.
        now: with a time zone.
    """
    before = find_condition(conditions, wanted.type)
    if before is not None and before.status == wanted.status:
        time = before.last_transition_time
    else:
        time = wanted.last_transition_time or _timestamp(now)
    after = msgspec.structs.replace(wanted, last_transition_time=time)
    if before is None:
        return (*conditions, after)
    return tuple(after if one is before else one for one in conditions)


def remove_condition(conditions: Iterable[Condition], kind: str) -> tuple[Condition, ...]:
    """The conditions without that type."""
    return tuple(one for one in conditions if one.type != kind)


def plan_conditions(
    obj: KubeObject, conditions: Sequence[Condition], wanted: Iterable[Condition], *, now: datetime
) -> dict[str, Any] | None:
    """The merge patch, for subresource `status`, that sets these conditions; None if they are as they should be.

    It names the resourceVersion, as it replaces the whole list, in which others may have theirs.

    Args:
        obj: whose status it is.
        conditions: what its `status.conditions` are now.
        wanted: what each of these types is to be, see :func:`set_condition`.
        now: with a time zone.
    """
    after: tuple[Condition, ...] = tuple(conditions)
    for one in wanted:
        after = set_condition(after, one, now=now)
    if after == tuple(conditions):
        return None
    return {
        "metadata": {"resourceVersion": obj.metadata.resource_version},
        "status": {"conditions": [msgspec.to_builtins(one) for one in after]},
    }


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
