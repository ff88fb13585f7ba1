"""PNG: a folder with one file per plane, or one file."""

from pathlib import Path

from asem.provenance import identify_files
from asem.volume.address import Address
from asem.volume.formats.source_image import SourceImage, SourceLevel, SourceOptions
from asem.volume.png_planes import open_png
from asem.volume.volume import VolumeKind

NAME = "PNG"


def open_path(path: Path, options: SourceOptions, kind: VolumeKind | None) -> SourceImage:
    """Open a PNG file, or a folder with one PNG file per plane; they state no voxel size.

    Raises
    ------
    ValueError
        As `asem.volume.png_planes.open_png` raises.
    """
    stack = open_png(path, as_labels=kind == "labels", channel=options.channel)
    identity = identify_files(path, [plane.path for plane in stack.planes])
    return SourceImage(Address(str(path)), NAME, (SourceLevel(stack, stack.voxel_size),), identity)
