"""A folder of PNG files, or one file, as a stack of planes: grey values, or ids of labels.

::

    colour type        image                          labels
    grey               stored values                  ids
    palette            not allowed                    indices are ids
    RGB                one sample, --channel          id = 65536 R + 256 G + B

The ids of RGB are those of VAST's export of segmentations (its rgbdecode.m; Berger, Seung and
Lichtman 2018).
Opacity (alpha) must be constant and is ignored.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from asem.system.files import write_new_file
from asem.system.resources import check_free_memory
from asem.volume.channel_selection import select_channel
from asem.volume.plane_order import list_plane_files, sort_planes
from asem.volume.plane_stack import PlaneReader, PlaneStack, check_equal_planes
from asem.volume.png_file import (
    PALETTE,
    RGB,
    RGBA,
    PngHeader,
    add_header_chunks,
    is_written_by_asem,
    read_png_header,
    read_png_samples,
)

PNG_SUFFIXES = (".png",)


@dataclass(frozen=True)
class PngPlane:
    """One PNG file.

    Parameters
    ----------
    header
        Of the file.
    sample_index
        Which sample of each pixel is read; None: the id that red, green and blue encode.
    """

    header: PngHeader
    sample_index: int | None = 0

    @property
    def path(self) -> Path:
        """The file."""
        return self.header.path

    @property
    def page_index(self) -> int:
        """A PNG file has one plane."""
        return 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.header.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values; uint32 for ids of three samples."""
        return self.header.dtype if self.sample_index is not None else np.dtype(np.uint32)

    @property
    def file_state(self) -> tuple[int, int]:
        """Size and time of change (ns) of the file when it was opened."""
        return self.header.file_state

    @property
    def can_read_rows(self) -> bool:
        """A PNG file is decoded as a whole."""
        return False


def open_png(path: Path, *, as_labels: bool = False, channel: str | None = None) -> PlaneStack:
    """Open a folder of PNG files, numbered as `asem.volume.plane_order` states, or one PNG file.

    All headers are read, no pixels.

    Parameters
    ----------
    path
        Folder or file.
    as_labels
        Whether pixels are ids.
    channel
        Channel number in the names of the files, or else number of the sample to read.

    Raises
    ------
    ValueError
        A file is missing, damaged, or differs from the others; or it has colours and no channel is
        selected.
    """
    path = path.resolve()  # workers may have another working directory
    files = list_plane_files(path, PNG_SUFFIXES) if path.is_dir() else [path]
    headers = {file: read_png_header(file) for file in files}
    ordered = sort_planes(files, channel)
    sample = None if len(ordered) < len(files) else channel  # else it was selected already
    planes = [_make_plane(headers[file], as_labels=as_labels, channel=sample) for file in ordered]
    check_equal_planes(planes)
    check_free_memory(max(p.header.decoded_bytes for p in planes), f"a plane of {path}")
    return PlaneStack(tuple(planes), PNG_READER)


def _make_plane(header: PngHeader, *, as_labels: bool, channel: str | None) -> PngPlane:
    """Choose what is read of a file; raise ValueError where that is not clear."""
    colours = header.samples - header.has_alpha
    if channel is not None:
        return PngPlane(header, select_channel(range(colours), (), channel, str(header.path)))
    if header.colour_type == PALETTE and not as_labels:
        raise ValueError(
            f"{header.path} has a colour palette; if its indices are labels, give --kind labels; "
            "else save it as grey values"
        )
    if header.colour_type not in (RGB, RGBA):
        return PngPlane(header)
    if not as_labels:
        raise ValueError(
            f"{header.path} has colours (RGB); choose one with --channel 0 to 2, or convert it to "
            "grey values; if the colours are ids, as VAST exports them, give --kind labels"
        )
    if header.bits == 16:
        raise ValueError(f"{header.path} has colours of 16 bits; ids are encoded in 8 bits each")
    return PngPlane(header, None)


def read_png_planes(planes: Sequence[PngPlane], rows: slice) -> Iterator[npt.NDArray[Any]]:
    """Yield rows of each plane."""
    for plane in planes:
        samples = read_png_samples(plane.header)
        if plane.header.has_alpha and samples[..., -1].min() != samples[..., -1].max():
            raise ValueError(
                f"{plane.path} has an opacity (alpha channel) that is not constant; save it without"
            )
        yield (
            _decode_ids(samples[rows])
            if plane.sample_index is None
            else (samples[rows, :, plane.sample_index])
        )


def _decode_ids(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return 65536 R + 256 G + B.

    Examples
    --------
    >>> _decode_ids(np.array([[[1, 2, 3]]], np.uint8)).tolist()
    [[66051]]
    """
    red, green, blue = (samples[..., n].astype(np.uint32) for n in range(3))
    return red << 16 | green << 8 | blue


PNG_READER = PlaneReader(read_png_planes)


def write_png_plane(
    path: Path, plane: npt.NDArray[Any], voxel_size_yx: tuple[float, float]
) -> None:
    """Write one plane of uint8 or uint16 with its pixel size.

    Parameters
    ----------
    path
        The file.
    plane
        Shape (y, x).
    voxel_size_yx
        nm.

    Raises
    ------
    OSError
        For instance, the disk is full. The message names the file.
    """
    encoded = add_header_chunks(bytes(imagecodecs.png_encode(plane)), voxel_size_yx)
    write_new_file(path, encoded)


def is_exported_png(path: Path) -> bool:
    """Whether a file is a plane that `write_png_plane` wrote."""
    return path.suffix == ".png" and path.is_file() and is_written_by_asem(path)
