"""The verbs that move volumes: import, info, export."""

from pathlib import Path
from typing import Literal

from asem.cli.common import (
    HERE,
    PLAIN,
    Flag,
    Shown,
    Signed,
    Workers,
    executing,
    offset_of,
    progress,
    show,
    voxel_size_of,
)
from asem.config import excerpt


def import_(
    source: Path,
    destination: Path,
    /,
    *,
    voxel_size: str | None = None,
    offset_nm: Signed = None,
    kind: Literal["image", "labels"] | None = None,
    roi: str | None = None,
    channel: str | None = None,
    invert: bool | None = None,
    voxel_size_override: Flag = False,
    window: Signed = None,
    unlabelled: Signed = None,
    overwrite: Flag = False,
    workers: Workers = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Store a TIFF stack as an OME-Zarr image with its pyramid; count what labels hold.

    Parameters
    ----------
    source
        A folder with one TIFF file a plane, a TIFF file with many pages, or an OME-Zarr image.
    destination
        The image to write, for instance cell.zarr/raw or cell.zarr/labels/mito.
    voxel_size
        Size of a voxel in nm, z,y,x (or one number); needed where the files do not state it
        (OME-TIFF and ImageJ do). It must be the stated one within 1 %.
    offset_nm
        World position of the first voxel's centre in nm, z,y,x.
    kind
        image (default) or labels: whole numbers, 0 background, others objects, the largest value
        of their dtype (255, 65535; 32767 of int16) unlabelled.
    roi
        Import only these voxels, z0:z1,y0:y1,x0:x1; export puts them back in place.
    channel
        Number or name of the channel to import, where there are several.
    invert
        Import white minus the stored grey values; --no-invert the stored ones. Without either,
        stored values, with a warning where the files are WhiteIsZero; 1 bit follows the files.
    voxel_size_override
        Take --voxel-size although the files state another one.
    window
        Grey values of black and white, black,white, for 16-bit and float images; by default the 0.1
        and 99.9 percentile of the sample.
    unlabelled
        The value of labels that means unlabelled, or none. By default the largest of an integer
        dtype, which is refused where it looks like the foreground of a mask.
    overwrite
        Replace the image at DESTINATION.
    """
    from asem.volume.formats import SourceOptions
    from asem.workflows.describe import describe_volume
    from asem.workflows.importing import ImportOptions, import_volume

    options = ImportOptions(
        SourceOptions(channel, invert, voxel_size_override),
        window=grey_window(window) if window is not None else None,
        unlabelled=unlabelled_value(unlabelled),
    )
    with executing(workers) as executor, progress() as told:
        import_volume(
            source,
            destination,
            voxel_size=None if voxel_size is None else voxel_size_of(voxel_size),
            offset_nm=None if offset_nm is None else offset_of(offset_nm),
            kind=kind,
            roi=roi,
            options=options,
            overwrite=overwrite,
            executor=executor,
            progress=told,
        )
    fields = describe_volume(destination)
    del fields["made_by"]
    show(fields, as_json=shown.json)


def grey_window(text: str) -> tuple[float, float]:
    """Read ``black,white``."""
    try:
        black, white = (float(part) for part in text.split(","))
    except ValueError as error:
        given = excerpt(text, str)
        raise ValueError(f"--window {given}: write two grey values, black,white") from error
    return black, white


def unlabelled_value(text: str | None) -> int | Literal["auto", "none"]:
    """Read ``none`` or a whole number; nothing is ``auto``."""
    if text is None or text == "auto":
        return "auto"
    if text == "none":
        return "none"
    try:
        return int(text)
    except ValueError as error:
        given = excerpt(text, str)
        raise ValueError(f"--unlabelled {given}: write a whole number, or none") from error


def info(path: Path, /, *, shown: Shown = PLAIN) -> None:
    """Say what an image is: shape, dtype, voxel size, place, pyramid, what made it.

    Parameters
    ----------
    path
        The image, for instance cell.zarr/raw.
    """
    from asem.workflows.describe import describe_volume

    show(describe_volume(path), as_json=shown.json)


def export(
    source: Path,
    destination: Path,
    /,
    *,
    like: Path | None = None,
    overwrite: Flag = False,
    shown: Shown = PLAIN,
) -> None:
    """Write an image as TIFF planes on the grid it was cut from; zero where there is nothing.

    Parameters
    ----------
    source
        The image to export.
    destination
        The folder to make.
    like
        Take the original grid of this image instead.
    overwrite
        Replace the folder of TIFF planes at DESTINATION.
    """
    from asem.workflows.exporting import export_volume

    with progress() as told:
        planes = export_volume(source, destination, like=like, overwrite=overwrite, progress=told)
    show({"folder": str(destination), "planes": planes}, as_json=shown.json)
