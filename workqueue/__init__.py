"""Queues of work for controllers: deduplicated, by priority, delayed, rate limited. Knows no Kubernetes."""

from workqueue.clock import Clock, RealClock, time_limit
from workqueue.delaying import DelayingQueue
from workqueue.metrics import NO_METRICS, MetricsProvider, QueueMetrics, QueueState
from workqueue.priority import LOW, NORMAL, URGENT, at_priority, current_priority
from workqueue.queue import Queue, ShutDown
from workqueue.rate_limiters import (
    BucketRateLimiter,
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
    "current_priority",
    "default_controller_rate_limiter",
    "time_limit",
]
