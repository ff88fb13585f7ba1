"""Recognize the format of an address, and open it.

::

    a local file             by its suffix                    FILE_FORMATS
    a folder of planes       by the suffixes of its files     PLANE_FORMATS
    a folder of chunks       by its metadata documents        FOLDER_FORMATS; also remote
"""

from pathlib import Path
from types import ModuleType

from asem.volume.address import Address
from asem.volume.formats import (
    hdf5,
    mrc,
    n5,
    nifti,
    ome_zarr,
    png,
    precomputed,
    tiff,
    zarr_array,
)
from asem.volume.formats.container import (
    UNFINISHED,
    ImageList,
    describe_container,
    list_images,
)
from asem.volume.formats.folder import DOCUMENT_NAMES, FolderMetadata, read_folder
from asem.volume.formats.source_image import (
    DEFAULT_SOURCE_OPTIONS,
    SourceImage,
    SourceOptions,
)
from asem.volume.volume import VolumeKind

FILE_FORMATS: tuple[ModuleType, ...] = (tiff, png, hdf5, mrc, nifti)
"""Each has NAME, SUFFIXES (lower case) and open_path(path, options, kind); that of HDF5 also
takes a dataset."""
PLANE_FORMATS: tuple[ModuleType, ...] = (tiff, png)
"""As `FILE_FORMATS`; open_path then takes a folder."""
FOLDER_FORMATS: tuple[ModuleType, ...] = (ome_zarr, zarr_array, n5, precomputed)
"""Each has NAME, is_format(folder) and open_folder(folder, options, kind); the first one that
recognizes a folder opens it."""


def open_source_image(
    address: Address,
    options: SourceOptions = DEFAULT_SOURCE_OPTIONS,
    kind: VolumeKind | None = None,
) -> SourceImage:
    """Open an image in any format, without reading voxels.

    Parameters
    ----------
    address
        Path or URL; its level selects one of a pyramid.
    options
        Channel and inversion.
    kind
        Requested kind, where the source states none.

    Raises
    ------
    FileNotFoundError
        Nothing exists at the address.
    OSError
        It cannot be read: access is denied, or the server does not answer.
    ValueError
        The format is not known, or the source is damaged; the message names it.
    """
    path = address.local_path
    _check_address(address)
    if path is not None and (module := _find_file_format(path)):
        if module is hdf5:
            image = hdf5.open_path(path, options, kind, address.dataset)
        else:
            image = module.open_path(path, options, kind)
    else:
        image = _open_folder(address, options, kind)
    selected: SourceImage = image.select_level(address.level)
    return selected


def format_name(address: Address) -> str:
    """Return the name of the format of an address; empty where it is not recognized."""
    path = address.local_path
    if path is not None and path.exists() and (module := _find_file_format(path)):
        return str(module.NAME)
    module = _find_folder_format(read_folder(address))
    return str(module.NAME) if module else ""


def find_images(address: Address) -> ImageList:
    """Return the images in a folder; none where it is an image, a file or an unfinished output.

    Raises
    ------
    OSError
        The folder cannot be read, or the server does not answer.
    ValueError
        Its metadata are damaged.
    """
    path = address.local_path
    if address.dataset or address.level is not None:
        return ImageList()
    if path is not None and (not _is_container(path) or _find_file_format(path)):
        return ImageList()
    folder = read_folder(address)
    if _find_folder_format(folder) is not None:
        return ImageList()
    return list_images(folder, _is_image)


def _is_image(address: Address) -> bool:
    """Return whether a folder or a local file is an image in any format."""
    path = address.local_path
    if path is not None and not path.is_dir():
        return path.is_file() and _find_suffix(path.name) is not None
    return bool(format_name(address))


def _is_container(path: Path) -> bool:
    """Return whether a path is a folder, and no unfinished output."""
    return path.is_dir() and not (path / UNFINISHED).exists()


def _find_file_format(path: Path) -> ModuleType | None:
    """Return the module of a file, or of a folder of planes."""
    if path.is_dir():
        if any((path / name).exists() for name in DOCUMENT_NAMES):
            return None
        suffixes = {entry.suffix.lower() for entry in path.iterdir()}
        return next((m for m in PLANE_FORMATS if suffixes & set(m.SUFFIXES)), None)
    return _find_suffix(path.name)


def _find_suffix(name: str) -> ModuleType | None:
    """Return the module of a file by the suffix of its name."""
    return next((m for m in FILE_FORMATS if name.lower().endswith(tuple(m.SUFFIXES))), None)


def _check_address(address: Address) -> None:
    """Raise an error where nothing exists, for a remote file, and for a dataset in no HDF5 file."""
    path, module = address.local_path, _find_suffix(Address(address.location).name)
    if path is not None and not path.exists():
        raise FileNotFoundError(f"there is nothing at {address}")
    if path is None and module is not None:
        raise ValueError(
            f"{address} is a single file ({module.NAME}); copy it first, then open the copy"
        )
    if address.dataset and module is not hdf5:
        raise ValueError(f"{address}: only HDF5 files have a dataset after ':'")


def _open_folder(address: Address, options: SourceOptions, kind: VolumeKind | None) -> SourceImage:
    folder = read_folder(address)
    module = _find_folder_format(folder)
    if module is not None:
        image: SourceImage = module.open_folder(folder, options, kind)
        return image
    if message := _describe_container(folder):
        raise ValueError(message)
    if not address.is_remote:
        raise ValueError(_describe_non_image(address.path))
    if not folder.documents:
        raise FileNotFoundError(f"there is no image at {address}")
    found = ", ".join(folder.documents)
    raise ValueError(f"{address} is no image; it holds {found}: name an image in it")


def _find_folder_format(folder: FolderMetadata) -> ModuleType | None:
    return next((module for module in FOLDER_FORMATS if module.is_format(folder)), None)


def _describe_non_image(path: Path) -> str:
    if (path / UNFINISHED).exists():
        return f"{path} is unfinished; run the same command again to resume"
    return f"{path} is no OME-NGFF 0.5 image and holds no TIFF plane (*.tif, *.tiff)"


def _describe_container(folder: FolderMetadata) -> str:
    """Return a message about the images in a folder; empty where none are found."""
    path = folder.address.local_path
    return (
        ""
        if path is not None and not _is_container(path)
        else (describe_container(folder, _is_image))
    )
