"""TIFF: a folder of planes, or a file of many pages (BigTIFF, OME, ImageJ)."""

from pathlib import Path

from asem.provenance import identify_files
from asem.volume import tiff_sources
from asem.volume.address import Address
from asem.volume.formats.source_image import SourceImage, SourceLevel, SourceOptions
from asem.volume.tiff_stack import TiffOptions
from asem.volume.volume import VolumeKind

NAME = "TIFF"


def open_path(path: Path, options: SourceOptions, kind: VolumeKind | None) -> SourceImage:
    """Open a TIFF file, or a folder with one TIFF file per plane.

    Raises
    ------
    ValueError
        As `asem.volume.tiff_sources.open_tiff_file` and `open_tiff_folder` raise.
    """
    tiff_options = TiffOptions(
        as_labels=kind == "labels", channel=options.channel, invert=options.invert
    )
    open_tiff = tiff_sources.open_tiff_folder if path.is_dir() else tiff_sources.open_tiff_file
    stack = open_tiff(path, tiff_options)
    identity = identify_files(path, dict.fromkeys(plane.path for plane in stack.planes))
    return SourceImage(Address(str(path)), NAME, (SourceLevel(stack, stack.voxel_size),), identity)
