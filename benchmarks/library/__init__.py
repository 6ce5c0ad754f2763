"""Benchmarks of the libraries: queues, decoders and informers, compared with those of others."""
