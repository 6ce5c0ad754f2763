"""The competitors in Python: ``python -m benchmarks.library.competitors.<what> <who> <parameters as JSON>``.

Each prints one JSON object a line. Those in Go, which do the same, are in ``benchmarks/go``.
"""
