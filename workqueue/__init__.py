"""Queues of work for controllers: deduplicated, by priority, fair, delayed, rate limited. Knows no Kubernetes."""

from workqueue.clock import Clock, RealClock, time_limit
from workqueue.delaying import DelayingQueue
from workqueue.metrics import NO_METRICS, MetricsProvider, QueueMetrics, QueueState
from workqueue.priority import LOW, NORMAL, URGENT, Flow, at_priority, current_flow, current_priority, in_flow
from workqueue.queue import Queue, ShutDown
from workqueue.rate_limiters import (
    BucketRateLimiter,
    FlowBucketRateLimiter,
    ItemExponentialFailureRateLimiter,
    MaxOfRateLimiter,
    RateLimiter,
    default_controller_rate_limiter,
)
from workqueue.rate_limiting import RateLimitingQueue
from workqueue.token_bucket import TokenBucket

__all__ = [
    "LOW",
    "NORMAL",
    "NO_METRICS",
    "URGENT",
    "BucketRateLimiter",
    "Clock",
    "DelayingQueue",
    "Flow",
    "FlowBucketRateLimiter",
    "ItemExponentialFailureRateLimiter",
    "MaxOfRateLimiter",
    "MetricsProvider",
    "Queue",
    "QueueMetrics",
    "QueueState",
    "RateLimiter",
    "RateLimitingQueue",
    "RealClock",
    "ShutDown",
    "TokenBucket",
    "at_priority",
    "current_flow",
    "current_priority",
    "default_controller_rate_limiter",
    "in_flow",
    "time_limit",
]
