"""What can be opened, by looking at it."""

import logging
from dataclasses import dataclass
from pathlib import Path

from asem.config import Nm3
from asem.provenance import files_identity
from asem.volume import ngff, tiff
from asem.volume.planes import PlaneStack
from asem.volume.tiff_stack import TiffOptions
from asem.volume.volume import Kind, OriginalGrid, Volume, nm, refuse_bad_place, same_voxel_size

LOG = logging.getLogger(__name__)
MOST_DIFFERENCE = 0.01
"""Of a given voxel size from the one that the source states."""
USUAL_NM = (0.5, 1000.0)
"""Between a transmission microscope's and a light microscope's voxels."""


def open_volume(path: Path) -> Volume:
    """Open a volume that states its voxel size: an OME-NGFF image group.

    Raises
    ------
    FileNotFoundError
        There is nothing at `path`.
    ValueError
        It is no finished image; TIFF is to be imported first.
    """
    return ngff.open_image(image_metadata(path))


def image_metadata(path: Path) -> ngff.Metadata:
    """Read what an image states about itself; raises as `open_volume` does."""
    if not path.exists():
        raise FileNotFoundError(f"there is nothing at {path}")
    if is_tiff(path):
        raise ValueError(f"{path} is TIFF, which lacks a voxel size; first `asem import` it")
    return ngff.read_metadata(path)


def open_labels(path: Path) -> Volume:
    """Open a volume that holds labels; ValueError where it is an image."""
    labels = open_volume(path)
    if labels.kind != "labels":
        raise ValueError(f"{path} is an image; import labels with --kind labels")
    return labels


def refuse_labels(volume: Volume) -> None:
    """Raise ValueError where a volume holds labels instead of grey values."""
    if volume.kind == "labels":
        raise ValueError(f"{volume.name} holds labels; name an image")


@dataclass(frozen=True)
class SourceOptions:
    """What a source leaves open, or states otherwise than it is.

    Parameters
    ----------
    channel
        Number or name of the channel to read.
    invert
        Whether grey values are to be inverted (`asem.volume.tiff_stack.TiffOptions`).
    voxel_size_override
        Whether a given voxel size replaces the one that the source states.
    """

    channel: str | None = None
    invert: bool | None = None
    voxel_size_override: bool = False


AS_STATED = SourceOptions()


def open_source(
    path: Path,
    *,
    voxel_size: Nm3 | None = None,
    offset_nm: Nm3 | None = None,
    kind: Kind | None = None,
    options: SourceOptions = AS_STATED,
) -> Volume:
    """Open anything that `asem import` takes: TIFF, or an image with its own metadata.

    Parameters
    ----------
    path
        A folder of TIFF planes, a TIFF file, or an OME-NGFF image group.
    voxel_size
        nm; where the source does not state its own. Given besides, it must be the same within 1 %.
    offset_nm
        World position of the centre of the first voxel, nm; 0 for TIFF if not given; refused for a
        source that states its own.
    kind
        ``"image"`` (TIFF's default) or ``"labels"``.
    options
        Channel, inversion, which voxel size counts.

    Raises
    ------
    FileNotFoundError
        There is nothing at `path`.
    ValueError
        It cannot be read, or its voxel size is missing or another one is given.
    """
    refuse_bad_place(voxel_size, offset_nm, kind)
    if not path.exists():
        raise FileNotFoundError(f"there is nothing at {path}")
    volume = _open_tiff(path, kind, options) if is_tiff(path) else _open_image(path, kind, options)
    if not isinstance(volume.array, PlaneStack) and offset_nm is not None:
        raise ValueError(f"{path} states its own offset; give none")
    array = volume.array
    stated = array.voxel_size if isinstance(array, PlaneStack) else volume.voxel_size
    size = decide_voxel_size(path, stated, voxel_size, override=options.voxel_size_override)
    warn_of_voxel_size(size, str(path))
    if isinstance(array, PlaneStack):
        return volume.like(array, voxel_size=size, offset_nm=offset_nm or (0.0, 0.0, 0.0))
    return volume if same_voxel_size(size, volume.voxel_size) else _resized(volume, size)


def _resized(volume: Volume, voxel_size: Nm3) -> Volume:
    """Return a volume with voxels of another size at the same place of its original grid."""
    steps = zip(volume.offset_nm, volume.original_offset, voxel_size, strict=True)
    z, y, x = (offset - index * size for offset, index, size in steps)
    grid = OriginalGrid(volume.grid.shape, (z, y, x))
    return volume.like(volume.array, voxel_size=voxel_size, original=grid)


def _open_image(path: Path, kind: Kind | None, options: SourceOptions) -> Volume:
    volume = ngff.open_image(path)
    if options.channel is not None or options.invert is not None:
        raise ValueError(f"{path} is an OME-Zarr image; --channel and --invert are for TIFF")
    return volume if kind is None else volume.like(volume.array, kind=kind)


def _open_tiff(path: Path, kind: Kind | None, options: SourceOptions) -> Volume:
    """Open TIFF with voxels of 1 nm, in place of those that are decided later."""
    of_tiff = TiffOptions(labels=kind == "labels", channel=options.channel, invert=options.invert)
    read = tiff.open_planes if path.is_dir() else tiff.open_pages
    stack = read(path, of_tiff)
    return Volume(
        stack,
        (1.0, 1.0, 1.0),
        kind=kind or "image",
        identity=files_identity(path, dict.fromkeys(plane.path for plane in stack.planes)),
        name=str(path),
    )


def decide_voxel_size(
    path: Path,
    stated: tuple[float | None, float | None, float | None],
    given: Nm3 | None,
    *,
    override: bool = False,
) -> Nm3:
    """Return the voxel size of a source, nm along (z, y, x).

    Parameters
    ----------
    path
        The source, for messages.
    stated
        What it states along each axis.
    given
        What the user states.
    override
        Whether `given` counts although the source states another one.

    Raises
    ------
    ValueError
        An axis has none, or the two differ by more than 1 %.
    """
    text = ",".join("?" if size is None else f"{size:.6g}" for size in stated)
    if given is None:
        z, y, x = stated
        if z is None or y is None or x is None:
            states = "" if text == "?,?,?" else f" (it states {text})"
            raise ValueError(
                f"{path} does not state its voxel size{states}; give --voxel-size z,y,x in nm"
            )
        LOG.info("%s states voxels of %s nm", path, nm((z, y, x)))
        return z, y, x
    pairs = zip(given, stated, strict=True)
    differs = any(own and abs(size - own) > MOST_DIFFERENCE * own for size, own in pairs)
    if differs and not override:
        raise ValueError(
            f"{path} states voxels of {text} nm (z,y,x), but --voxel-size is "
            f"{','.join(f'{size:.6g}' for size in given)}; leave it out, or give "
            "--voxel-size-override to take yours"
        )
    return given


def warn_of_voxel_size(voxel_size: Nm3, name: str) -> None:
    """Log a warning where voxels are smaller or larger than those of any electron microscope."""
    low, high = USUAL_NM
    if 0 < min(voxel_size) < low or max(voxel_size) > high:
        LOG.warning(
            "%s: voxels of %s nm are outside of %g to %g nm; voxel sizes are nm, not micrometres "
            "(5 nm = 0.005 um)",
            name,
            nm(voxel_size),
            low,
            high,
        )


def is_tiff(path: Path) -> bool:
    """Whether `path` is a TIFF file or a folder with TIFF files in it."""
    if path.is_file():
        return path.suffix.lower() in tiff.SUFFIXES
    return any(entry.suffix.lower() in tiff.SUFFIXES for entry in path.iterdir())
