"""Names, labels and buckets, as dashboards made for Karmada expect them (contract 7)."""

from prometheus_client import CollectorRegistry, generate_latest

from mcs_controller.standalone.metrics import PrometheusPropagationMetrics


def test_the_exposition_is_karmadas() -> None:
    registry = CollectorRegistry()
    metrics = PrometheusPropagationMetrics(registry)
    metrics.created("m1", "v1", "Service", ok=True, recreate=False)
    metrics.updated("m1", "discovery.k8s.io/v1", "EndpointSlice", ok=False, result="none")
    metrics.deleted("m1", "v1", "Service", ok=True)
    metrics.binding_synced(0.0015, ok=True)
    metrics.work_synced(3.0, ok=False)
    lines = generate_latest(registry).decode().splitlines()
    service = 'apiversion="v1",kind="Service",member_cluster="m1"'
    slice_ = 'apiversion="discovery.k8s.io/v1",kind="EndpointSlice",member_cluster="m1"'
    for line in (
        f'create_resource_to_cluster{{{service},recreate="false",result="success"}} 1.0',
        f'update_resource_to_cluster{{{slice_},operationResult="none",result="error"}} 1.0',
        f'delete_resource_from_cluster{{{service},result="success"}} 1.0',
        'binding_sync_work_duration_seconds_bucket{le="0.001",result="success"} 0.0',
        'binding_sync_work_duration_seconds_bucket{le="0.002",result="success"} 1.0',
        'work_sync_workload_duration_seconds_bucket{le="2.048",result="error"} 0.0',
    ):
        assert _sorted_labels(line) in {_sorted_labels(one) for one in lines}


def test_both_results_of_the_histograms_are_there_from_the_beginning() -> None:
    registry = CollectorRegistry()
    PrometheusPropagationMetrics(registry)
    for name in ("binding_sync_work_duration_seconds", "work_sync_workload_duration_seconds"):
        for result in ("success", "error"):
            assert registry.get_sample_value(f"{name}_count", {"result": result}) == 0


def _sorted_labels(line: str) -> str:
    name, _, rest = line.partition("{")
    labels, _, value = rest.rpartition("}")
    return f"{name}{{{','.join(sorted(labels.split(',')))}}}{value}"
