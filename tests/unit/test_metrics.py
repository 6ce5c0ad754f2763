"""What the process shows of itself."""

from prometheus_client import CollectorRegistry

from mcs_controller.features import FEATURES
from mcs_controller.metrics import Metrics
from mcs_controller.runtime.feature_gates import FeatureGates


def test_feature_gates_are_shown_as_kubernetes_components_do():
    registry = CollectorRegistry()
    Metrics(registry).show_features(FeatureGates(FEATURES, "MultiClusterService=true,ControllerPriorityQueue=false"))

    def shown(name: str, stage: str) -> float | None:
        return registry.get_sample_value("kubernetes_feature_enabled", {"name": name, "stage": stage})

    assert shown("MultiClusterService", "ALPHA") == 1
    assert shown("ControllerPriorityQueue", "BETA") == 0


def test_the_process_and_its_python_are_shown():
    registry = CollectorRegistry()
    Metrics(registry)
    names = {family.name for family in registry.collect()}
    assert names >= {"process_resident_memory_bytes", "process_cpu_seconds", "python_info", "python_gc_collections"}
