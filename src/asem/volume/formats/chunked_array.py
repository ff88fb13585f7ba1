"""Lazy array (z, y, x) of a chunked format (Zarr 2, Zarr 3, N5, precomputed), by tensorstore."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorstore as ts

from asem.volume.address import Address
from asem.volume.chunk_limits import check_chunks
from asem.volume.formats.stores import translate_error

MAX_VOXELS = 10**16
"""Largest volume, voxels: ten times a mouse brain at 10 nm. A larger shape is damaged metadata."""


@dataclass(frozen=True)
class ChunkedArray:
    """Read-only array whose chunks are read when it is indexed; it can be pickled.

    A chunk without a file holds the fill value of the array, as all these formats define it.

    Parameters
    ----------
    address
        Its folder.
    store
        tensorstore array with the axes (z, y, x), from 0.
    """

    address: Address
    store: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along (z, y, x)."""
        return tuple(self.store.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Numpy dtype of the voxels, in native byte order."""
        dtype: np.dtype[Any] = np.dtype(self.store.dtype.numpy_dtype)
        return dtype

    @property
    def chunk(self) -> tuple[int, ...]:
        """Shape of a chunk, the smallest unit that is read, voxels."""
        return tuple(self.store.chunk_layout.read_chunk.shape)

    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata of the whole stored array, as they were read when it was opened."""
        metadata: dict[str, Any] = self.store.spec().to_json()["metadata"]
        return metadata

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[Any]:
        """Read a box.

        Raises
        ------
        ValueError
            A chunk is damaged.
        OSError
            It cannot be read: access is denied, or the server does not answer.
        """
        try:
            voxels: npt.NDArray[Any] = np.asarray(self.store[index].read().result())
            return voxels
        except ValueError as error:
            raise translate_error(error, self.address) from error


def make_chunked_array(address: Address, store: Any, axes: tuple[int, int, int]) -> ChunkedArray:
    """Return the array of an opened store; axes of one voxel that are not listed are dropped.

    Parameters
    ----------
    address
        Folder of the array, for messages.
    store
        From `asem.volume.formats.stores.open_store`.
    axes
        Dimensions of `store` that are z, y and x.

    Raises
    ------
    ValueError
        The dtype is no number, or chunks are too large or too small to be read.
    """
    if any(size != 1 for axis, size in enumerate(store.shape) if axis not in axes):
        raise ValueError(
            f"{address} has shape {tuple(store.shape)}; a volume has three axes (z, y, x)"
        )
    others = [axis for axis in range(store.rank) if axis not in axes]
    view = store[ts.d[:].translate_to[0]] if store.rank else store
    view = view[ts.d[others][0]] if others else view  # dimensions after them move to the left
    view = view[ts.d[tuple(axis - sum(o < axis for o in others) for axis in axes)].transpose[:]]
    array = ChunkedArray(address, view)
    _check_array(array)
    return array


def _check_array(array: ChunkedArray) -> None:
    """Raise ValueError where an array cannot be read with reasonable memory and requests."""
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{array.address} holds {array.dtype}; grey values or ids are needed")
    if min(array.shape) < 1:
        raise ValueError(f"{array.address} has shape {array.shape} and therefore no voxel")
    if prod(array.shape) > MAX_VOXELS:
        raise ValueError(
            f"{array.address} has shape {array.shape}, {prod(array.shape):.3g} voxels; at most "
            f"{MAX_VOXELS:.0e} are read, as its metadata seems to be damaged"
        )
    check_chunks(array.address, array.shape, array.chunk, array.dtype.itemsize)
