"""Benchmarks: each scenario is a module, with a summary in ``results`` and a section of ``docs/performance.md``."""
