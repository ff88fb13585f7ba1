"""Recognize the format of an address, and open it.

::

    a local file             by its suffix                    FILE_FORMATS
    a folder of planes       by the suffixes of its files     PLANE_FORMATS
    a folder of chunks       by its metadata documents        FOLDER_FORMATS; also remote
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from asem.volume import ngff
from asem.volume.address import Address
from asem.volume.formats import n5, ome_zarr, precomputed, zarr_array
from asem.volume.formats.address_hints import (
    find_image_above,
    suggest_dataset,
    suggest_suffix,
)
from asem.volume.formats.container import (
    ImageList,
    describe_container,
    list_images,
)
from asem.volume.formats.folder import (
    OTHER_DOCUMENT_NAMES,
    ZARR_DOCUMENT_NAMES,
    FolderMetadata,
    read_folder,
)
from asem.volume.formats.listing import describe_bucket
from asem.volume.formats.source_image import (
    DEFAULT_SOURCE_OPTIONS,
    SourceImage,
    SourceOptions,
)
from asem.volume.volume import VolumeKind


@dataclass(frozen=True)
class FileFormat:
    """A format of files, whose module is imported when one of them is opened.

    Parameters
    ----------
    name
        For messages.
    module
        In this package; has NAME and open_path(path, options, kind), that of HDF5 also takes a
        dataset. Those of `PLANE_FORMATS` also take a folder.
    suffixes
        Ends of the names of its files, lower case.
    """

    name: str
    module: str
    suffixes: tuple[str, ...]

    def load(self) -> ModuleType:
        """Import the module, and with it the library of the format."""
        return import_module(f"asem.volume.formats.{self.module}")


TIFF = FileFormat("TIFF", "tiff", (".tif", ".tiff"))
PNG = FileFormat("PNG", "png", (".png",))
HDF5 = FileFormat("HDF5", "hdf5", (".h5", ".hdf5", ".hdf", ".ims"))
MRC = FileFormat(
    "MRC",
    "mrc",
    tuple(
        plain + compression
        for plain in (".mrc", ".map", ".rec", ".st", ".ali", ".mrcs", ".ccp4")
        for compression in ("", ".gz", ".bz2")
    ),
)
NIFTI = FileFormat(
    "NIfTI",
    "nifti",
    (".nii", ".nii.gz", ".nii.bz2", ".hdr", ".img", ".hdr.gz", ".img.gz"),
)
FILE_FORMATS = (TIFF, PNG, HDF5, MRC, NIFTI)
PLANE_FORMATS = (TIFF, PNG)
"""Formats with one file per plane."""
FIGURE_FOLDER_FILES = ("provenance.json", "run.json")
"""Files of asem's results and training runs, whose folders have figures."""
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
    if path is not None and (file_format := _find_file_format(path)):
        _check_inversion(path, file_format.name, options)
        image = _open_path(path, address, file_format, options, kind)
    else:
        image = _open_folder(address, options, kind)
    selected: SourceImage = image.select_level(address.level)
    return selected


def _open_path(
    path: Path,
    address: Address,
    file_format: FileFormat,
    options: SourceOptions,
    kind: VolumeKind | None,
) -> SourceImage:
    """Open a file, or a folder of planes; an error states a wrong suffix."""
    more = (address.dataset,) if file_format is HDF5 else ()
    try:
        image: SourceImage = file_format.load().open_path(path, options, kind, *more)
    except ValueError as error:
        if path.is_file() and (advice := suggest_suffix(path, file_format.name)):
            raise ValueError(f"{path} is no {file_format.name} file; {advice}") from error
        raise
    return image


def format_name(address: Address) -> str:
    """Return the name of the format of an address; empty where it is not recognized."""
    path = address.local_path
    if path is not None and path.exists() and (file_format := _find_file_format(path)):
        return file_format.name
    module = _find_folder_format(read_folder(address))
    return str(module.NAME) if module else ""


def is_of_planes(address: Address) -> bool:
    """Return whether an address is a local file or folder of planes: TIFF or PNG."""
    path = address.local_path
    return path is not None and path.exists() and _find_file_format(path) in PLANE_FORMATS


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
    """Return whether a folder or a local file is an image in any format, for a list of images."""
    path = address.local_path
    if path is not None and not path.is_dir():
        found = _find_suffix(path.name) if path.is_file() else None
        return found is not None and not (found is PNG and _has_figures(path.parent))
    if path is not None and (found := _find_file_format(path)):
        return not (found is PNG and _has_figures(path))
    folder = read_folder(address)
    module = _find_folder_format(folder)
    is_other = module is precomputed and not precomputed.may_be_volume(folder)
    return module is not None and not is_other and not _has_too_few_axes(folder)


def _has_figures(folder: Path) -> bool:
    """Return whether the PNG files in a folder are figures of asem's results or run, no planes."""
    return any((folder / name).is_file() for name in FIGURE_FOLDER_FILES)


def _has_too_few_axes(folder: FolderMetadata) -> bool:
    """Return whether a folder is an array that cannot be a volume, as xarray's coordinates."""
    shapes = (
        folder.get(".zarray").get("shape"),
        folder.get("zarr.json").get("shape"),
        folder.get("attributes.json").get("dimensions"),
    )
    return any(isinstance(shape, list) and len(shape) < len("zyx") for shape in shapes)


def _is_container(path: Path) -> bool:
    """Return whether a path is a folder, and no unfinished output."""
    return path.is_dir() and not (path / ngff.UNFINISHED).exists()


def _find_file_format(path: Path) -> FileFormat | None:
    """Return the format of a file, or of a folder of planes."""
    if not path.is_dir():
        return _find_suffix(path.name)
    suffixes = {entry.suffix.lower() for entry in path.iterdir()}
    found = next((one for one in PLANE_FORMATS if suffixes & set(one.suffixes)), None)
    return None if found is None or _is_folder_of_chunks(path) else found


def _is_folder_of_chunks(path: Path) -> bool:
    """Return whether a local folder has metadata of chunks; other files may have their names."""
    if any((path / name).exists() for name in ZARR_DOCUMENT_NAMES):
        return True
    try:
        folder = read_folder(Address(str(path)), OTHER_DOCUMENT_NAMES)
    except (OSError, ValueError):
        return False
    return _find_folder_format(folder) is not None


def _find_suffix(name: str) -> FileFormat | None:
    """Return the format of a file by the suffix of its name."""
    return next((one for one in FILE_FORMATS if name.lower().endswith(one.suffixes)), None)


def _check_address(address: Address) -> None:
    """Raise an error where nothing exists, for a remote file, and for a dataset in no HDF5 file."""
    path, file_format = address.local_path, _find_suffix(Address(address.location).name)
    if path is not None and not path.exists():
        advice = suggest_dataset(address, HDF5.suffixes)
        raise FileNotFoundError(f"there is nothing at {address}{advice}")
    if path is None and file_format is not None:
        raise ValueError(
            f"{address} is a single file ({file_format.name}); copy it first, then open the copy"
        )
    if address.dataset and file_format is not HDF5:
        raise ValueError(f"{address}: only HDF5 files have a dataset after ':'")


def _check_inversion(location: Path | Address, name: str, options: SourceOptions) -> None:
    if options.invert is not None and name != TIFF.name:
        raise ValueError(f"{location} is {name}; --invert is for TIFF")


def _open_folder(address: Address, options: SourceOptions, kind: VolumeKind | None) -> SourceImage:
    folder = read_folder(address)
    module = _find_folder_format(folder)
    if module is not None:
        _check_inversion(folder.address, module.NAME, options)
        image: SourceImage = module.open_folder(folder, options, kind)
        return image
    path = address.local_path
    is_searched = path is None or _is_container(path)
    if is_searched and (message := describe_container(folder, _is_image)):
        raise ValueError(message)
    if path is None and folder.documents:
        found = ", ".join(folder.documents)
        raise ValueError(
            f"{address} is no image but a container ({found}), which the server does not list; add "
            "the path of an image in it, for instance em/s0"
        )
    above = find_image_above(address, lambda one: _find_folder_format(one) is not None)
    if path is None:
        advice = f"; the image above it is {above}" if above else describe_bucket(address)
        raise FileNotFoundError(f"there is no image at {address}{advice}")
    if above:
        raise ValueError(f"{address} is a part of an image; name the image: {above}")
    raise ValueError(ngff.describe_non_image(path))


def _find_folder_format(folder: FolderMetadata) -> ModuleType | None:
    return next((module for module in FOLDER_FORMATS if module.is_format(folder)), None)
