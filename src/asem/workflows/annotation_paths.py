"""Default folders of annotations and labels of an image, by its address.

::

    raw                        annotations                            labels of mito
    cell.zarr/raw              cell.zarr/annotations                  cell.zarr/labels/mito
    cell.zarr/raw#2            cell.zarr/annotations_level2           cell.zarr/labels/mito
    stack.tif                  stack.tif.annotations                  labels/mito
    cell.h5:/em/raw            cell.h5.em_raw.annotations             labels/mito
    cell.n5/em/s0              cell.n5.em_s0.annotations              labels/mito
    s3://bucket/cell.n5/em/s0  cell.n5.em_s0.annotations              labels/mito

Those of a local image are next to it, those of a URL in the working directory.
"""

from pathlib import Path, PurePosixPath

from asem.volume.address import Address, AddressLike
from asem.volume.formats.label_attributes import CONTAINER_SUFFIXES

ANNOTATIONS = "annotations"
ZARR2_GROUP = ".zgroup"
MAX_NAME_CHARACTERS = 100
"""Characters of the path in a URL or file that a folder name repeats, the last ones."""


def session_folder(raw: AddressLike) -> Path:
    """Return the default folder of the annotations of an image.

    Examples
    --------
    >>> session_folder(Path("/data/cell.zarr/raw")).as_posix()
    '/data/cell.zarr/annotations'
    >>> session_folder(Path("stack.tif")).as_posix()
    'stack.tif.annotations'
    >>> session_folder("s3://bucket/cell.n5/em/s0").as_posix()
    'cell.n5.em_s0.annotations'
    """
    address = Address.parse(raw)
    level = "" if not address.level else f"_level{address.level}"
    cell = _own_container(address)
    if cell is not None:
        return cell / f"{ANNOTATIONS}{level}"
    outer, inner = _split(address)
    name = f"{outer.name}.{inner}" if inner else outer.name
    return _folder_of(address) / f"{name[-MAX_NAME_CHARACTERS:]}.{ANNOTATIONS}{level}"


def default_labels_path(raw: AddressLike, structure: str) -> Path:
    """Return the default path of the labels of a structure: ``labels/STRUCTURE`` next to raw.

    Examples
    --------
    >>> default_labels_path("cell.zarr/raw", "mito").as_posix()
    'cell.zarr/labels/mito'
    """
    address = Address.parse(raw)
    in_zarr = _own_container(address) is not None
    folder = address.path.parent if in_zarr else _folder_of(address)
    return folder / "labels" / structure


def _own_container(address: Address) -> Path | None:
    """Return the ``NAME.zarr`` around a local image, unless it is Zarr 2, which asem reads only."""
    if address.is_remote or address.dataset:
        return None
    parents = address.path.absolute().parents
    cell = next((folder for folder in parents if folder.suffix == ".zarr"), None)
    return None if cell is None or (cell / ZARR2_GROUP).exists() else cell


def _split(address: Address) -> tuple[PurePosixPath, str]:
    """Return the file or container of an image, and the path of the image in it with ``_``."""
    location = PurePosixPath(address.location.partition("://")[2] or address.location)
    if address.is_remote and len(location.parts) > 1:
        location = PurePosixPath(*location.parts[1:])  # without bucket or host
    containers = [p for p in location.parents if p.suffix in CONTAINER_SUFFIXES]
    outer = containers[0] if containers else location
    inner = PurePosixPath(address.dataset.strip("/")) if address.dataset else None
    inner = inner or (location.relative_to(outer) if containers else None)
    return outer, "_".join(inner.parts) if inner else ""


def _folder_of(address: Address) -> Path:
    """Return the folder that contains the file or container of an image; of a URL: ``.``."""
    return Path() if address.is_remote else Path(_split(address)[0]).parent
