"""Measurements that are kept: each is a module to run, with its raw numbers in ``results`` and a page in ``docs``."""
