"""List the images in a folder, in any format (`asem info CONTAINER`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asem.blocks.output_ownership import is_unfinished_output
from asem.volume.address import Address, AddressLike
from asem.volume.formats.detect import FILE_FORMATS, format_name
from asem.workflows.describe import describe_volume

MAX_DEPTH = 5
"""Levels of folders that are searched."""
MAX_IMAGES = 1000
"""Most images that are listed."""
SUMMARY = ("format", "shape", "dtype", "voxel_size", "kind")
"""Fields of an image in the list."""


def find_images(folder: AddressLike) -> list[Address]:
    """Return the images in a local folder, not in images; none where the folder is an image.

    Unfinished outputs and names that start with ``.`` are left out.

    Parameters
    ----------
    folder
        Address; a file, a URL, a dataset and a level are no folders.
    """
    address = Address.parse(folder)
    path = address.local_path
    if path is None or not path.is_dir() or address.dataset or address.level is not None:
        return []
    if is_unfinished_output(path) or _is_image(path):
        return []
    found = _walk(path, MAX_DEPTH)
    return [Address(str(image)) for image, _ in zip(found, range(MAX_IMAGES), strict=False)]


def describe_images(images: list[Address]) -> dict[str, dict[str, Any]]:
    """Return for each image the fields of `SUMMARY`, or ``error`` where it cannot be read."""
    return {str(image): _summarize(image) for image in images}


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or (entry.is_dir() and is_unfinished_output(entry)):
            continue
        if _is_image(entry):
            yield entry
        elif entry.is_dir() and not entry.is_symlink() and depth > 1:
            yield from _walk(entry, depth - 1)


def _is_image(path: Path) -> bool:
    if not path.is_dir():
        return any(path.name.lower().endswith(one.suffixes) for one in FILE_FORMATS)
    try:
        return bool(format_name(Address(str(path))))
    except (OSError, ValueError):  # not readable, or its metadata is damaged
        return False


def _summarize(image: Address) -> dict[str, Any]:
    try:
        fields = describe_volume(image)
    except (OSError, ValueError) as error:
        return {"error": str(error)}
    return {key: fields[key] for key in SUMMARY}
