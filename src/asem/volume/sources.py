"""Open OME-Zarr volumes and the sources of `asem import` (also TIFF); determine their voxel size.

The format is detected from the files.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from asem.config import NmZYX
from asem.provenance import identify_files
from asem.volume import ngff, tiff_sources
from asem.volume.plane_stack import PlaneStack
from asem.volume.roi import per_axis
from asem.volume.tiff_stack import TiffOptions
from asem.volume.volume import (
    OriginalGrid,
    Volume,
    VolumeKind,
    check_geometry,
    format_nm,
    same_voxel_size,
)

LOG = logging.getLogger(__name__)
MAX_VOXEL_SIZE_DIFFERENCE = 0.01
"""Largest relative difference of a given voxel size from the one in the source."""
USUAL_VOXEL_NM = (0.5, 1000.0)
"""From the voxels of transmission electron microscopes to those of light microscopes."""


def open_volume(path: Path) -> Volume:
    """Open a volume that states its voxel size: an OME-NGFF image group.

    Raises
    ------
    FileNotFoundError
        `path` does not exist.
    ValueError
        It is not a finished image; TIFF must be imported first.
    """
    return ngff.open_image(read_any_metadata(path))


def read_any_metadata(path: Path) -> ngff.ImageMetadata:
    """Read the metadata of an image; raise as `open_volume` does."""
    if not path.exists():
        raise FileNotFoundError(f"there is nothing at {path}")
    if is_tiff(path):
        raise ValueError(f"{path} is TIFF, which lacks a voxel size; first `asem import` it")
    return ngff.read_image_metadata(path)


def open_labels(path: Path) -> Volume:
    """Open a volume of labels; raise ValueError where it is an image."""
    labels = open_volume(path)
    if labels.kind != "labels":
        raise ValueError(f"{path} is an image; import labels with --kind labels")
    return labels


def check_is_image(volume: Volume) -> None:
    """Raise ValueError where a volume has labels instead of grey values."""
    if volume.kind == "labels":
        raise ValueError(f"{volume.name} holds labels; name an image")


@dataclass(frozen=True)
class SourceOptions:
    """Options that the metadata of a source lacks or states wrongly.

    Parameters
    ----------
    channel
        Number or name of the channel to read.
    invert
        Whether to invert the grey values (`asem.volume.tiff_stack.TiffOptions`).
    voxel_size_override
        Whether a given voxel size replaces the one in the source.
    """

    channel: str | None = None
    invert: bool | None = None
    voxel_size_override: bool = False


DEFAULT_SOURCE_OPTIONS = SourceOptions()


def open_source(
    path: Path,
    *,
    voxel_size: NmZYX | None = None,
    offset_nm: NmZYX | None = None,
    kind: VolumeKind | None = None,
    options: SourceOptions = DEFAULT_SOURCE_OPTIONS,
) -> Volume:
    """Open a source of `asem import`: TIFF, or an image with metadata.

    Parameters
    ----------
    path
        A folder of TIFF planes, a TIFF file, or an OME-NGFF image group.
    voxel_size
        nm; required where the source states none. Must agree with a stated one within 1 %.
    offset_nm
        World position of the centre of the first voxel, nm; default for TIFF: 0. Not allowed for a
        source that states its own.
    kind
        ``"image"`` (TIFF's default) or ``"labels"``.
    options
        Channel, inversion, precedence of the voxel size.

    Raises
    ------
    FileNotFoundError
        `path` does not exist.
    ValueError
        The source cannot be read, or its voxel size is missing or differs from the given one.
    """
    check_geometry(voxel_size, offset_nm, kind)
    if not path.exists():
        raise FileNotFoundError(f"there is nothing at {path}")
    volume = _open_tiff(path, kind, options) if is_tiff(path) else _open_image(path, kind, options)
    if not isinstance(volume.array, PlaneStack) and offset_nm is not None:
        raise ValueError(f"{path} states its own offset; give none")
    array = volume.array
    source_size = array.voxel_size if isinstance(array, PlaneStack) else volume.voxel_size
    size = resolve_voxel_size(path, source_size, voxel_size, override=options.voxel_size_override)
    warn_about_voxel_size(size, str(path))
    if isinstance(array, PlaneStack):
        return volume.with_array(array, voxel_size=size, offset_nm=offset_nm or (0.0, 0.0, 0.0))
    return volume if same_voxel_size(size, volume.voxel_size) else _with_voxel_size(volume, size)


def _with_voxel_size(volume: Volume, voxel_size: NmZYX) -> Volume:
    """Return a volume with another voxel size at the same index of its original grid."""
    origin_nm = per_axis(
        lambda offset, index, size: offset - index * size,
        volume.offset_nm,
        volume.original_offset,
        voxel_size,
    )
    grid = OriginalGrid(volume.original_grid.shape, origin_nm)
    return volume.with_array(volume.array, voxel_size=voxel_size, stated_grid=grid)


def _open_image(path: Path, kind: VolumeKind | None, options: SourceOptions) -> Volume:
    volume = ngff.open_image(path)
    if options.channel is not None or options.invert is not None:
        raise ValueError(f"{path} is an OME-Zarr image; --channel and --invert are for TIFF")
    return volume if kind is None else volume.with_array(volume.array, kind=kind)


def _open_tiff(path: Path, kind: VolumeKind | None, options: SourceOptions) -> Volume:
    """Open TIFF with a temporary voxel size of 1 nm, which the caller replaces."""
    tiff_options = TiffOptions(
        as_labels=kind == "labels", channel=options.channel, invert=options.invert
    )
    open_tiff = tiff_sources.open_tiff_folder if path.is_dir() else tiff_sources.open_tiff_file
    stack = open_tiff(path, tiff_options)
    return Volume(
        stack,
        (1.0, 1.0, 1.0),
        kind=kind or "image",
        identity=identify_files(path, dict.fromkeys(plane.path for plane in stack.planes)),
        name=str(path),
    )


def resolve_voxel_size(
    path: Path,
    source_size: tuple[float | None, float | None, float | None],
    user_size: NmZYX | None,
    *,
    override: bool = False,
) -> NmZYX:
    """Return the voxel size of a source, nm along (z, y, x).

    Parameters
    ----------
    path
        The source, for messages.
    source_size
        Voxel size in the source along each axis; None: not stated.
    user_size
        Voxel size given by the user.
    override
        Whether `user_size` replaces a different `source_size`.

    Raises
    ------
    ValueError
        An axis has no voxel size, or the two differ by more than 1 %.
    """
    text = ",".join("?" if size is None else f"{size:.6g}" for size in source_size)
    if user_size is None:
        z, y, x = source_size
        if z is None or y is None or x is None:
            states = "" if text == "?,?,?" else f" (it states {text})"
            raise ValueError(
                f"{path} does not state its voxel size{states}; give --voxel-size z,y,x in nm"
            )
        LOG.info("%s states voxels of %s nm", path, format_nm((z, y, x)))
        return z, y, x
    pairs = zip(user_size, source_size, strict=True)
    differs = any(own and abs(size - own) > MAX_VOXEL_SIZE_DIFFERENCE * own for size, own in pairs)
    if differs and not override:
        raise ValueError(
            f"{path} states voxels of {text} nm (z,y,x), but --voxel-size is "
            f"{','.join(f'{size:.6g}' for size in user_size)}; leave it out, or give "
            "--voxel-size-override to use it"
        )
    return user_size


def warn_about_voxel_size(voxel_size: NmZYX, name: str) -> None:
    """Log a warning where voxels are smaller or larger than those of microscopes."""
    low, high = USUAL_VOXEL_NM
    if 0 < min(voxel_size) < low or max(voxel_size) > high:
        LOG.warning(
            "%s: voxels of %s nm are outside of %g to %g nm; voxel sizes are nm, not micrometres "
            "(5 nm = 0.005 um)",
            name,
            format_nm(voxel_size),
            low,
            high,
        )


def is_tiff(path: Path) -> bool:
    """Return whether `path` is a TIFF file or a folder with TIFF files in it."""
    if path.is_file():
        return path.suffix.lower() in tiff_sources.TIFF_SUFFIXES
    return any(entry.suffix.lower() in tiff_sources.TIFF_SUFFIXES for entry in path.iterdir())
