"""Warnings at start about objects that this process does not serve, as no condition will name them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from informers.errors import KubeError, NotFound
from mcs_controller.api.resources import MULTICLUSTERSERVICES
from mcs_controller.controllers import CONTROLLERS, SERVICE_CONTROLLERS
from mcs_controller.domain import well_known as wk
from mcs_controller.features import MULTI_CLUSTER_SERVICE

if TYPE_CHECKING:
    from informers.client.wire import ListPage
    from informers.resource import Resource
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.options import Options
    from workqueue.clock import Clock

_log = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 10.0

_SERVING: Final = [info.key for info in CONTROLLERS if info.key in SERVICE_CONTROLLERS]


class ListClient(Protocol):
    """The part of ApiClient that is needed here."""

    async def list(
        self, resource: Resource[MultiClusterService], *, continue_token: str = ""
    ) -> ListPage[MultiClusterService]:
        """See `ApiClient.list`."""
        ...


def why_unserved(options: Options) -> str:
    """Why this process serves no MultiClusterService, and what to do about it; empty if it serves them.

    An agent never does: it collects what the control plane's controllers ask it for.
    """
    if options.cluster_name:
        return ""
    if not options.feature_gates.enabled(MULTI_CLUSTER_SERVICE):
        return f"the feature gate is off; --feature-gates={MULTI_CLUSTER_SERVICE}=true switches it on"
    if not any(name in options.controllers for name in _SERVING):
        return f"--controllers leaves out {', '.join(_SERVING)}"
    return ""


class UnservedServices:
    """A runnable that looks at the MultiClusterServices once and warns if there are any. It watches nothing."""

    def __init__(self, client: ListClient, why: str, *, clock: Clock) -> None:
        """Args: the control plane, what `why_unserved` says, and a clock for the pauses between tries."""
        self._client = client
        self._why = why
        self._clock = clock

    async def run(self) -> None:
        """Count them, and warn. Tries until the control plane has answered; a kind that it lacks has no objects."""
        while True:
            try:
                count, untouched = await self._count()
            except NotFound:
                return
            except KubeError as error:
                _log.debug("Cannot count MultiClusterServices", extra={"error": str(error)})
                await self._clock.sleep(_RETRY_SECONDS)
                continue
            if count:
                fields = {"count": count, "served_by_nobody_so_far": untouched, "because": self._why}
                _log.warning("MultiClusterServices exist and are not served by this process", extra=fields)
            return

    async def _count(self) -> tuple[int, int]:
        count = untouched = 0
        token = ""
        while True:
            page = await self._client.list(MULTICLUSTERSERVICES, continue_token=token)
            crossing = [one for one in page.items if one.is_cross_cluster]
            count += len(crossing)
            untouched += sum(wk.MCS_FINALIZER not in one.metadata.finalizers for one in crossing)
            if not (token := page.continue_token):
                return count, untouched
