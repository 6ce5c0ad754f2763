"""The image that `make image` makes, of this checkout."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from testbed.pytest_plugin import cannot
from tools import image

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Unpacked:
    """An image, its files in a folder, and its configuration."""

    image: image.Image
    root: Path
    config: dict[str, Any]


@pytest.fixture(scope="session")
def inputs() -> image.Inputs:
    """What an image is made of; downloaded by the first run."""
    try:
        return image.cached()
    except image.ImageError as error:
        cannot(str(error))


@pytest.fixture(scope="session")
def unpacked(inputs: image.Inputs, tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    folder = tmp_path_factory.mktemp("image")
    made = image.make(inputs, folder)
    return Unpacked(made, folder / "root", image.unpack(made.archive, folder / "root"))


@pytest.fixture(scope="session")
def root_user() -> None:
    """Skips the test where containers cannot be made."""
    if os.geteuid() != 0:
        cannot("a container needs root")
