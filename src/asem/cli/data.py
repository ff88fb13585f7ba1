"""Commands for data: import, export, clahe, mask."""

from pathlib import Path
from typing import Literal

from asem.cli.options import (
    DEFAULT_OUTPUT,
    IN_PROCESS,
    ExportFormatName,
    Flag,
    ImageAddress,
    OptionalAddress,
    OptionalIds,
    OutputOptions,
    OutputPath,
    SignedText,
    WorkerOptions,
    open_requested_executor,
    parse_offset_nm,
    parse_voxel_size,
)
from asem.cli.printing import print_result
from asem.cli.progress import show_progress
from asem.config import shorten


def import_image(
    source: ImageAddress,
    destination: OutputPath,
    /,
    *,
    voxel_size: str | None = None,
    offset_nm: SignedText = None,
    kind: Literal["image", "labels"] | None = None,
    roi: str | None = None,
    channel: str | None = None,
    invert: bool | None = None,
    voxel_size_override: Flag = False,
    window: SignedText = None,
    unlabelled: SignedText = None,
    ids: OptionalIds = None,
    overwrite: Flag = False,
    workers: WorkerOptions = IN_PROCESS,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Convert a stack or image in another format to an OME-Zarr image with a pyramid.

    Parameters
    ----------
    source
        Path or URL: a folder with one TIFF file per plane, a TIFF file with many pages, or an image
        in another format (docs/formats.md).
    destination
        Image to write, for instance cell.zarr/raw or cell.zarr/labels/mito.
    voxel_size
        Voxel size in nm, z,y,x (or one number); required if the files do not state it (OME-TIFF and
        ImageJ files do). It must agree with the stated one within 1 %.
    offset_nm
        World position of the centre of the first voxel in nm, z,y,x.
    kind
        image (default) or labels: integers, 0 is background, other values are objects, the maximum
        of the data type (255, 65535; 32767 for int16) is unlabelled.
    roi
        Import only these voxels, z0:z1,y0:y1,x0:x1; export restores their position.
    channel
        Number or name of the channel to import, if there are several.
    invert
        Invert the grey values (white minus value); --no-invert: import them as stored. By default
        they are imported as stored, with a warning if the files are WhiteIsZero; 1-bit images
        follow the files.
    voxel_size_override
        Use --voxel-size even if the files state another one.
    window
        Contrast window of 16-bit and float images: grey values black,white; by default the 0.1 and
        99.9 percentiles without padding, of all planes also for --roi; of the crop alone if SOURCE
        is a URL.
    unlabelled
        Label value of unlabelled voxels, or none. By default the maximum of the integer data type;
        an error if this value seems to be the foreground of a mask.
    ids
        Label ids of the structure, for instance 3,5-7: they are stored as 1, all others as 0.
    overwrite
        Replace the image at DESTINATION.
    """
    from asem.volume.formats.source_image import SourceOptions
    from asem.workflows.describe import describe_volume
    from asem.workflows.importing import ImportOptions, import_volume

    options = ImportOptions(
        SourceOptions(channel, invert, voxel_size_override),
        window=parse_contrast_window(window) if window is not None else None,
        unlabelled=parse_unlabelled(unlabelled),
        ids=ids,
    )
    with open_requested_executor(workers) as executor, show_progress() as report_progress:
        import_volume(
            source,
            destination,
            voxel_size=None if voxel_size is None else parse_voxel_size(voxel_size),
            offset_nm=None if offset_nm is None else parse_offset_nm(offset_nm),
            kind=kind,
            roi=roi,
            options=options,
            overwrite=overwrite,
            executor=executor,
            progress=report_progress,
        )
    fields = describe_volume(destination)
    del fields["made_by"]
    print_result(fields, as_json=output_options.json)


def parse_contrast_window(text: str) -> tuple[float, float]:
    """Read ``black,white``."""
    try:
        black, white = (float(part) for part in text.split(","))
    except ValueError as error:
        given = shorten(text, str)
        raise ValueError(f"--window {given}: write two grey values, black,white") from error
    return black, white


def parse_unlabelled(text: str | None) -> int | Literal["auto", "none"]:
    """Read ``none`` or an integer; None is ``auto``."""
    if text is None or text == "auto":
        return "auto"
    if text == "none":
        return "none"
    try:
        return int(text)
    except ValueError as error:
        given = shorten(text, str)
        raise ValueError(f"--unlabelled {given}: write a whole number, or none") from error


def export(
    source: ImageAddress,
    destination: OutputPath,
    /,
    *,
    format: ExportFormatName | None = None,  # noqa: A002 (the name of the option)
    like: OptionalAddress = None,
    overwrite: Flag = False,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Export an image as planes, BigTIFF, MRC, OME-Zarr, N5 or neuroglancer precomputed.

    TIFF and PNG store no position: they have the original grid of the image, zero without data.
    The others store the position; OME-Zarr, N5 and precomputed also the pyramid.

    Parameters
    ----------
    source
        Image to export, path or URL.
    destination
        Folder or file.
    format
        tiff and png are planes; ome-zarr-0.4 is for programs that read no Zarr 3. By default the
        suffix chooses bigtiff (.tif), mrc, n5, precomputed or ome-zarr-0.5 (.zarr), else tiff.
    like
        Use the original grid of this image, path or URL; for planes, bigtiff and mrc.
    overwrite
        Replace an export of the same format at DESTINATION.
    """
    from asem.workflows.exporting import export_volume

    with show_progress() as report_progress:
        planes = export_volume(
            source,
            destination,
            format_name=format,
            like=like,
            overwrite=overwrite,
            progress=report_progress,
        )
    kind = "folder" if destination.is_dir() else "file"
    print_result({kind: str(destination), "planes": planes}, as_json=output_options.json)


def clahe(
    raw: ImageAddress,
    destination: OutputPath,
    /,
    *,
    kernel: int = 128,
    clip_limit: float = 0.02,
    overwrite: Flag = False,
    workers: WorkerOptions = IN_PROCESS,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Equalize the contrast of an image in 3D (CLAHE).

    Parameters
    ----------
    raw
        Image, path or URL; for instance cell.zarr/raw.
    destination
        Image to write, for instance cell.zarr/clahe.
    kernel
        Edge of the cubes in which the contrast is equalized, voxels.
    clip_limit
        Limit of the contrast: larger values increase contrast and noise; above 0, at most 1.
    overwrite
        Replace the image at DESTINATION.
    """
    from asem.image.clahe import ClaheConfig
    from asem.workflows.clahe import clahe_volume

    given = {"kernel": (kernel, kernel, kernel), "clip_limit": clip_limit}
    config = ClaheConfig.from_dict(given, source="asem clahe")
    with open_requested_executor(workers) as executor, show_progress() as report_progress:
        volume = clahe_volume(
            raw,
            destination,
            config=config,
            overwrite=overwrite,
            executor=executor,
            progress=report_progress,
        )
    print_result(
        {"clahe": str(destination), "shape": list(volume.shape)}, as_json=output_options.json
    )


def mask(
    raw: ImageAddress,
    destination: OutputPath,
    /,
    *,
    config: Path | None = None,
    above: float | None = None,
    below: float | None = None,
    overwrite: Flag = False,
    workers: WorkerOptions = IN_PROCESS,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Compute a coarse mask of the cell: grey-value range, opening, closing, clean-up.

    Parameters
    ----------
    raw
        Image, path or URL; for instance cell.zarr/raw.
    destination
        Label image to write, for instance cell.zarr/mask: 1 inside, 0 outside.
    config
        TOML file with any of above, below, opening_nm, closing_nm, largest_hole_nm3 and
        smallest_nm3.
    above
        Lower grey-value limit of the cell, on a scale of 0 to 255 (default 2).
    below
        Upper grey-value limit of the cell (default 180).
    overwrite
        Replace the image at DESTINATION.
    """
    from asem.image.sample_mask import MaskConfig
    from asem.workflows.mask import mask_volume

    settings = MaskConfig.from_toml(config, requested_by="--config") if config else MaskConfig()
    given = {"above": above, "below": below}
    changed = {key: value for key, value in given.items() if value is not None}
    settings = MaskConfig.from_dict({**settings.model_dump(), **changed}, source="asem mask")
    with open_requested_executor(workers) as executor, show_progress() as report_progress:
        volume = mask_volume(
            raw,
            destination,
            config=settings,
            overwrite=overwrite,
            executor=executor,
            progress=report_progress,
        )
    print_result(
        {"mask": str(destination), "shape": list(volume.shape)}, as_json=output_options.json
    )
