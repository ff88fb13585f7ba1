"""Advice in messages about addresses that are no image: what was probably meant.

::

    cell.h5/volumes/raw          a dataset is cell.h5:/volumes/raw
    cell.zarr/raw/0/zarr.json    a part of the image cell.zarr/raw/0
    stack.tif, an MRC file       rename it with the suffix .mrc
"""

import re
from collections.abc import Callable
from pathlib import Path

from asem.system.files import open_regular_file
from asem.volume.address import Address
from asem.volume.formats.folder import FolderMetadata, read_folder

SIGNATURES = (
    ("TIFF", ".tif", 0, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ("PNG", ".png", 0, (b"\x89PNG\r\n",)),
    ("HDF5", ".h5", 0, (b"\x89HDF\r\n",)),
    ("MRC", ".mrc", 208, (b"MAP ", b"MAP\0")),
    ("NIfTI", ".nii", 344, (b"n+1\0",)),
    ("JPEG", ".jpg", 0, (b"\xff\xd8\xff",)),
    ("gzip", ".gz", 0, (b"\x1f\x8b",)),
    ("zip", ".zip", 0, (b"PK\x03\x04",)),
)
"""Formats, their suffixes, and the bytes at a position by which they are recognized."""
START_BYTES = 512
FOLDERS_ABOVE = 3
"""Folders above an address that are tested for an image."""
_NO_SLASH = re.compile(r"(.+\.(?:h5|hdf5|hdf|ims)):([^/:]+.*)", flags=re.IGNORECASE | re.DOTALL)


def suggest_dataset(address: Address, suffixes: tuple[str, ...]) -> str:
    """Return how a dataset in an existing HDF5 file is written; empty where there is no such file.

    Parameters
    ----------
    address
        A local path at which nothing exists.
    suffixes
        Of HDF5 files, lower case.
    """
    advice = "; write a dataset in a file as {}:/{}"
    if (match := _NO_SLASH.fullmatch(address.location)) and Path(match[1]).is_file():
        return advice.format(match[1], match[2])
    path = Path(address.location)
    for file in path.parents:
        if file.name.lower().endswith(suffixes) and file.is_file():
            return advice.format(file, path.relative_to(file))
    return ""


def find_image_above(
    address: Address, is_image: Callable[[FolderMetadata], bool]
) -> Address | None:
    """Return the image that contains a file or folder; None where there is none.

    Parameters
    ----------
    address
        Of what is no image.
    is_image
        Whether metadata of a folder are those of an image.
    """
    above = Address(address.location)
    for _ in range(FOLDERS_ABOVE):
        above = above.parent()
        try:
            if is_image(read_folder(above)):
                return above
        except (OSError, ValueError):  # damaged, or access is denied
            return None
    return None


def suggest_suffix(path: Path, format_name: str) -> str:
    """Return the format that the first bytes of a file state, as advice.

    Empty where it is the expected format, or not recognized.

    Parameters
    ----------
    path
        A file that cannot be read in the format of its suffix.
    format_name
        That format.
    """
    try:
        with open_regular_file(path) as file:
            start = file.read(START_BYTES)
    except OSError:
        return ""
    for name, suffix, position, marks in SIGNATURES:
        if start[position:].startswith(marks):
            is_expected = name == format_name or path.name.lower().endswith(suffix)
            return "" if is_expected else f"it holds {name}: rename it with the suffix {suffix}"
    return ""
