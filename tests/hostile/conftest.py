"""Attacks take minutes of both processors: `make test-long` runs them, on the beds of the product's tests."""

from tests.integration.product.conftest import fleet_bed, run

__all__ = ["fleet_bed", "run"]
