"""The contestants in Python: ``python -m benchmarks.library.contestants.<what> <who> <parameters as JSON>``.

Each prints one JSON object a line. Those in Go, which do the same, are in ``benchmarks/go``.
"""
