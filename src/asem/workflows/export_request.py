"""What `asem export` writes, and the description of a format that it writes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from asem.blocks.run_blocks import Progress
from asem.provenance import make_provenance
from asem.system.overwrite_policy import OutputKind
from asem.volume.block_grid import split_into_blocks
from asem.volume.volume import Volume
from asem.volume.zarr_arrays import CHUNK

MAX_SLAB_BYTES = 2**29
"""Bytes read at a time: some planes, at most those of one chunk."""
STAGE = "export"


@dataclass(frozen=True)
class ExportRequest:
    """An image to be written in another format.

    Parameters
    ----------
    name
        Name of the image, for names of files and metadata.
    volume
        The image.
    canvas
        The grid to be written; zero outside of `volume`.
    levels
        The pyramid of the image, the finest first.
    progress
        Progress callback.
    """

    name: str
    volume: Volume
    canvas: Volume
    levels: tuple[Volume, ...]
    progress: Progress

    def provenance(self, format_name: str) -> dict[str, Any]:
        """Return what is stored in the output: version, command, input."""
        request = {"source": self.volume.identity, "format": format_name}
        return make_provenance("export", request)

    def iterate_planes(self) -> Iterator[npt.NDArray[Any]]:
        """Yield the planes of the canvas; a slab is read at a time."""
        _, height, width = self.canvas.shape
        thickness = MAX_SLAB_BYTES // (height * width * self.canvas.dtype.itemsize)
        slab_shape = (max(1, min(CHUNK[0], thickness)), height, width)
        for slab in split_into_blocks(self.canvas.roi, slab_shape):
            yield from self.canvas.read_aligned(self.volume, slab)
            self.progress(STAGE, slab.end[0] * height * width, self.canvas.roi.size)


@dataclass(frozen=True)
class ExportFormat:
    """A format that `asem export` writes.

    Parameters
    ----------
    name
        Value of ``--format``.
    suffixes
        Suffixes of destinations that choose it.
    write
        Writes an image to an empty folder; to a path that does not exist, where `is_file`.
    find_foreign
        Returns what is at a path and no export in this format: a file in a folder, relative to it;
        ``Path()`` if the path itself is none; None if there is nothing else.
    check
        Raises ValueError where the format cannot store the image, and logs a warning where it does
        not store it exactly.
    is_file
        Whether it is one file, not a folder.
    stores_position
        Whether it states the offset of the image. If not, the image is written on its original
        grid.
    has_levels
        Whether it is written with the pyramid of the image.
    is_compressed
        Whether its size on disk is not known in advance.
    """

    name: str
    suffixes: tuple[str, ...]
    write: Callable[[Path, ExportRequest], None]
    find_foreign: Callable[[Path], Path | None]
    check: Callable[[ExportRequest], None] = lambda request: None
    is_file: bool = False
    stores_position: bool = False
    has_levels: bool = False
    is_compressed: bool = False

    @property
    def output_kind(self) -> OutputKind:
        """What ``--overwrite`` replaces: an export in this format, without other files."""
        return OutputKind("an export", self.find_foreign, is_file=self.is_file)


def check_dtype(request: ExportRequest, format_name: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError where a format has not the dtype of an image."""
    name = request.canvas.dtype.name
    if name not in allowed:
        raise ValueError(
            f"{request.volume.name} holds {name}; {format_name} has {', '.join(allowed)}: choose "
            "another --format, for instance ome-zarr-0.4 or n5"
        )
