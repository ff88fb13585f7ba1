"""What `asem export` writes, and the description of a format that it writes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from asem.blocks.output_nesting import check_output_path
from asem.blocks.run_blocks import Progress
from asem.provenance import make_provenance
from asem.system.folder_replacement import replace_file_from_folder, replace_folder
from asem.system.overwrite_policy import OutputKind
from asem.system.path_replacement import DeletionCheck
from asem.volume.address import Address
from asem.volume.block_grid import split_into_blocks
from asem.volume.chunk_limits import CHUNK
from asem.volume.replaced_inputs import check_not_replaced
from asem.volume.volume import Volume

MAX_SLAB_BYTES = 2**29
"""Bytes read at a time: some planes, at most those of one chunk."""
STAGE = "export"


@dataclass(frozen=True)
class ExportRequest:
    """An image to be written in another format.

    Parameters
    ----------
    source
        Address of the image.
    name
        Name of the image, for names of files and metadata.
    volume
        The image.
    canvas
        The grid to be written; zero outside of `volume`.
    levels
        The pyramid of the image, the finest first; for other formats only the finest.
    progress
        Progress callback.
    """

    source: Address
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


WriteOutput = Callable[[Path, ExportRequest], None]
"""Writes an image to an empty folder, or to a file that does not exist."""
FindForeign = Callable[[Path], Path | None]
"""Returns what is at a path and no export in a format: a file in a folder, relative to it;
``Path()`` if the path itself is none; None if there is nothing else."""
CreateOutput = Callable[[Path, ExportRequest, bool], None]
"""Creates an output at a destination; whether it may replace an export in the same format there."""


@dataclass(frozen=True)
class ExportFormat:
    """A format that `asem export` writes.

    Parameters
    ----------
    name
        Value of ``--format``.
    suffixes
        Suffixes of destinations that choose it.
    create
        Creates the output: `create_folder`, `create_file`, or a function that resumes it.
    check
        Raises ValueError where the format cannot store the image, and logs a warning where it does
        not store it exactly.
    stores_position
        Whether it states the offset of the image. If not, the image is written on its original
        grid.
    pyramid
        Whether its coarser levels are copied from the image or computed again; None: it has none.
    is_compressed
        Whether its size on disk is not known in advance.
    """

    name: str
    suffixes: tuple[str, ...]
    create: CreateOutput
    check: Callable[[ExportRequest], None] = lambda request: None
    stores_position: bool = False
    pyramid: Literal["copied", "computed"] | None = None
    is_compressed: bool = False


def create_folder(name: str, write: WriteOutput, find_foreign: FindForeign) -> CreateOutput:
    """Return a function that writes a folder, which gets its name when it is complete.

    `name` is that of the output with an article, for messages.
    """
    kind = OutputKind(name, find_foreign)

    def create(destination: Path, request: ExportRequest, overwrite: bool) -> None:
        with replace_folder(destination, _check_output(kind, destination, overwrite)) as folder:
            write(folder, request)
            check_not_replaced([request.volume])

    return create


def create_file(name: str, write: WriteOutput, find_foreign: FindForeign) -> CreateOutput:
    """Return a function that writes one file, which gets its name when it is complete."""
    kind = OutputKind(name, find_foreign, is_file=True)

    def create(destination: Path, request: ExportRequest, overwrite: bool) -> None:
        check = _check_output(kind, destination, overwrite)
        with replace_file_from_folder(destination, check) as (folder, publish):
            file = folder / destination.name
            write(file, request)
            check_not_replaced([request.volume])
            publish(file)

    return create


def _check_output(kind: OutputKind, destination: Path, overwrite: bool) -> DeletionCheck:
    """Check a destination; return the check of what is replaced there."""
    check_output_path(destination)
    return partial(kind.check_replaceable, overwrite=overwrite)


def check_dtype(request: ExportRequest, format_name: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError where a format has not the dtype of an image."""
    name = request.canvas.dtype.name
    if name not in allowed:
        raise ValueError(
            f"{request.volume.name} holds {name}; {format_name} has {', '.join(allowed)}: choose "
            "another --format, for instance ome-zarr-0.4 or n5"
        )
