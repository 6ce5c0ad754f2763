"""The page over HTTP, of a process whose caches a test has filled."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest_asyncio

from mcs_controller.runtime.http import HttpServer
from testbed.pytest_plugin import cannot
from tests.support.chromium import INSTALL, Chromium, find_chromium
from tests.support.status_page import a_day_in_the_life

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def address() -> AsyncIterator[str]:
    """Where the page of `a_day_in_the_life` is, with a warning and an error of the log."""
    world = a_day_in_the_life()
    log = logging.Logger("test")
    log.addHandler(world.errors)
    refused = "the cluster refused the token in Secret karmada-cluster/ap-south"
    for _ in range(3):
        log.warning("Cannot connect to member", extra={"cluster": "ap-south", "problem": refused})
    said = {"controller": "endpointslice-dispatch-controller", "request": "eu-west/payments/checkout-abc12"}
    log.error("Reconcile failed", extra={**said, "error": 'namespaces "payments" not found'})
    async with HttpServer("status page", "127.0.0.1:0", world.page.routes()) as server:
        yield f"http://127.0.0.1:{server.port}/"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chromium]:
    """One browser for all tests."""
    path = find_chromium()
    if path is None:
        cannot(f"no Chromium; install it with: {INSTALL}")
    async with Chromium(path, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser
