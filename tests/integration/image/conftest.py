"""The image that `make image` makes, of this checkout."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from testbed.pytest_plugin import cannot
from tests.support.image import Unpacked, image_inputs, unpacked_image

if TYPE_CHECKING:
    from tools.image import Inputs


@pytest.fixture(scope="session")
def inputs() -> Inputs:
    """What an image is made of."""
    return image_inputs()


@pytest.fixture(scope="session")
def unpacked(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    return unpacked_image(inputs, tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="session")
def root_user() -> None:
    """Skips the test where containers cannot be made."""
    if os.geteuid() != 0:
        cannot("a container needs root")
