"""Arrays of which some rows of planes cannot be read without decoding the whole planes."""

from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from asem.volume.roi import IntZYX
from asem.volume.volume import ArrayLike

MAX_PIECE_BYTES = 2**27
"""Read at a time by `read_in_pieces`, where chunks are not larger."""
Slices = tuple[slice, slice, slice]


@runtime_checkable
class BandArray(ArrayLike, Protocol):
    """Array that states how it is decoded: a TIFF stack, an HDF5 dataset, a view of an array."""

    @property
    def chunk(self) -> IntZYX | None:
        """Voxels along (z, y, x) that are read at a time; None: any number."""

    @property
    def can_read_rows(self) -> bool:
        """Whether some rows of a plane can be read without decoding the whole plane."""

    def read_into(self, out: npt.NDArray[Any], index: Slices) -> None:
        """Read a box into an array of its shape."""


def chunk_of(array: ArrayLike) -> IntZYX:
    """Return the voxels along (z, y, x) that are read at a time; 1, 1, 1 where any number can be.

    Parameters
    ----------
    array
        Arrays that are no `BandArray` have small chunks.
    """
    chunk = array.chunk if isinstance(array, BandArray) else None
    return chunk or (1, 1, 1)


def decodes_whole_planes(array: ArrayLike) -> bool:
    """Return whether rows of a plane cannot be read without decoding the whole plane."""
    return isinstance(array, BandArray) and not array.can_read_rows


def read_in_pieces(array: ArrayLike, out: npt.NDArray[Any], index: Slices) -> None:
    """Read a box into an array of its shape, some planes at a time; decode each chunk once.

    Parameters
    ----------
    array
        Is indexed.
    out
        Shape of the box.
    index
        The box.
    """
    depth = chunk_of(array)[0]
    layer_bytes = max(1, depth * out[:1].nbytes)
    step = max(1, MAX_PIECE_BYTES // layer_bytes) * depth
    start, stop, _ = index[0].indices(array.shape[0])
    first = start
    while first < stop:
        last = min(stop, (first // step + 1) * step)
        out[first - start : last - start] = array[slice(first, last), index[1], index[2]]
        first = last
