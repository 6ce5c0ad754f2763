"""Queues of work for controllers: deduplicated, delayed, rate limited. Knows no Kubernetes."""
