"""The feature gates of this binary; the mechanism is `runtime.feature_gates`."""

from __future__ import annotations

from typing import Final

from mcs_controller.runtime.feature_gates import Feature, Stage

MULTI_CLUSTER_SERVICE: Final = "MultiClusterService"

FEATURES: Final = (
    Feature(
        name=MULTI_CLUSTER_SERVICE,
        stage=Stage.ALPHA,
        default=False,
        description="Run the MultiClusterService controllers.",
    ),
)
