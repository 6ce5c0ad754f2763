"""The feature gates of this binary; the mechanism is `runtime.feature_gates`."""

from __future__ import annotations

from typing import Final

MULTI_CLUSTER_SERVICE: Final = "MultiClusterService"
CONTROLLER_PRIORITY_QUEUE: Final = "ControllerPriorityQueue"
