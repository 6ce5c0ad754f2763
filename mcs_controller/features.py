"""The feature gates of this binary; the mechanism is `runtime.feature_gates`."""

from __future__ import annotations

from typing import Final

from mcs_controller.runtime.feature_gates import Feature, Stage

MULTI_CLUSTER_SERVICE: Final = "MultiClusterService"
CONTROLLER_PRIORITY_QUEUE: Final = "ControllerPriorityQueue"

FEATURES: Final = (
    Feature(
        name=MULTI_CLUSTER_SERVICE,
        stage=Stage.ALPHA,
        default=False,
        description="Run the MultiClusterService controllers.",
    ),
    Feature(
        name=CONTROLLER_PRIORITY_QUEUE,
        stage=Stage.BETA,
        default=True,
        description="Let changes go before what a start or a resync replays, in queues and where requests are limited.",
    ),
)
