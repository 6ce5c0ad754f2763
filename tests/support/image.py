"""The image that `make image` makes, of this checkout, as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from testbed.containers import ImageFiles
from testbed.pytest_plugin import cannot
from tools import image

if TYPE_CHECKING:
    from pathlib import Path


class Unpacked(NamedTuple):
    """An image, and what is in it."""

    image: image.Image
    files: ImageFiles


def image_inputs() -> image.Inputs:
    """What an image is made of, downloaded by the first run. Without it the test is skipped, and fails in CI."""
    try:
        return image.cached()
    except image.ImageError as error:
        cannot(str(error))


def unpacked_image(inputs: image.Inputs, folder: Path) -> Unpacked:
    """Make the image in this folder, and unpack it there."""
    made = image.make(inputs, folder)
    return Unpacked(made, ImageFiles(folder / "root", image.unpack(made.archive, folder / "root")))
