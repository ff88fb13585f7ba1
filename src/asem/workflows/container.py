"""Describe the images in a folder, in any format (`asem info CONTAINER`)."""

import logging
import time
from typing import Any

from asem.volume.address import Address, AddressLike
from asem.volume.formats import detect
from asem.workflows.describe import describe_volume

LOG = logging.getLogger(__name__)
MAX_SECONDS = 60.0
"""Time after which the images that remain are listed, but not opened."""
SUMMARY = ("format", "shape", "dtype", "voxel_size", "kind")
"""Fields of an image in the list."""


def find_images(folder: AddressLike) -> list[Address]:
    """Return the images in a folder, not in images; none where the folder is an image.

    Logs a warning where the search ended at a limit (`asem.volume.formats.container`). Unfinished
    outputs and names that start with ``.`` are left out.

    Parameters
    ----------
    folder
        Path, or URL of a bucket that may be listed or of a Zarr container with consolidated
        metadata; a file, a dataset and a level are no folders.

    Raises
    ------
    OSError
        The folder cannot be read, or the server does not answer.
    ValueError
        Its metadata are damaged.
    """
    address = Address.parse(folder)
    images = detect.find_images(address)
    if images.addresses and not images.is_complete:
        LOG.warning("%s has more folders than are searched; name one of them", address)
    return list(images.addresses)


def describe_images(images: list[Address]) -> dict[str, dict[str, Any]]:
    """Return for each image the fields of `SUMMARY`, or ``error`` where it cannot be read."""
    end = time.monotonic() + MAX_SECONDS
    return {str(image): _summarize(image, end) for image in images}


def _summarize(image: Address, end: float) -> dict[str, Any]:
    if time.monotonic() > end:
        return {"error": f"not opened within {MAX_SECONDS:.0f} s; name it"}
    try:
        fields = describe_volume(image)
    except (OSError, ValueError) as error:
        return {"error": str(error)}
    return {key: fields[key] for key in SUMMARY}
