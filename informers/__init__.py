"""Caches fed by list and watch: client, reflector, store, shared informer. Knows no controller."""
