"""Lazy array (z, y, x) of a dataset in an HDF5 file."""

from dataclasses import dataclass
from math import prod
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from asem.system.resources import format_bytes
from asem.volume.band_reading import Slices, read_in_pieces
from asem.volume.chunk_limits import check_chunks
from asem.volume.formats.hdf5_file import DatasetInfo, open_hdf5
from asem.volume.formats.single_file import SingleFile
from asem.volume.roi import IntZYX, format_shape, per_axis
from asem.volume.zarr_arrays import SHARD

DTYPES = tuple(np.dtype(name) for name in (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16",
    "float32", "float64",
))  # fmt: skip
MAX_SPARSE_FACTOR = 10**4
"""Largest ratio of the voxels' bytes to those of the file, above `MAX_SPARSE_BYTES`."""
MAX_SPARSE_BYTES = 2**36
"""Chunks of one value, or without data, need almost no space; a volume of this size may have
nothing else."""


@dataclass(frozen=True)
class Hdf5Array:
    """Read-only array of a dataset; it can be pickled, and the file is opened for each read.

    Parameters
    ----------
    file
        The file.
    dataset
        Path in it, without links.
    shape
        Voxels along (z, y, x); may be less than stored.
    dtype
        Of the voxels, in native byte order; uint8 for stored booleans, and another dtype of the
        same size where programs store values under it.
    axes
        Stored axes that are z, y and x.
    fixed
        Index along each other stored axis; 0 along `axes`.
    chunk
        Shape of a chunk along (z, y, x), which is decoded as a whole; None: contiguous.
    """

    file: SingleFile
    dataset: str
    shape: IntZYX
    dtype: np.dtype[Any]
    axes: IntZYX
    fixed: tuple[int, ...]
    chunk: IntZYX | None

    @property
    def can_read_rows(self) -> bool:
        """Whether some rows of planes can be read without decoding all of them."""
        return self.chunk is None or self.chunk[1] <= SHARD[1]

    def __getitem__(self, index: Slices, /) -> npt.NDArray[Any]:
        """Read a box, in one call of the library: each chunk is decoded once.

        Raises
        ------
        OSError
            The file changed after it was opened.
        ValueError
            A chunk is damaged; the message names the file.
        """
        box = [slice(*s.indices(n)) for s, n in zip(index, self.shape, strict=True)]
        selection: list[int | slice] = list(self.fixed)
        for axis, part in zip(self.axes, box, strict=True):
            selection[axis] = part
        with open_hdf5(self.file) as file:
            stored = np.asarray(_open_dataset(file, self.dataset)[tuple(selection)])
        order = np.argsort(self.axes)  # of the three axes in `stored`
        voxels = stored.transpose(np.argsort(order))
        native = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
        return np.ascontiguousarray(native).view(self.dtype)

    def read_into(self, out: npt.NDArray[Any], index: Slices) -> None:
        """Read a box into an array of its shape, some planes at a time."""
        read_in_pieces(self, out, index)


def _open_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Open a dataset by a path without links."""
    return h5py.Dataset(h5py.h5d.open(file.id, name.encode(errors="surrogateescape")))


def check_dataset(file: SingleFile, info: DatasetInfo) -> np.dtype[Any]:
    """Return the dtype of the voxels of a dataset that can be read.

    Raises
    ------
    ValueError
        It uses other files, its values are no numbers, a filter is missing, or its shape or chunks
        are absurd.
    """
    name = f"{file.path}:{info.name}"
    if info.other_files:
        raise ValueError(f"{name} is {info.other_files}; copy its voxels into one file")
    if info.dtype is None or info.dtype.newbyteorder("=") not in DTYPES:
        allowed = ", ".join(dtype.name for dtype in DTYPES)
        what = "no array" if not info.shape else f"an array of {info.dtype or 'other types'}"
        raise ValueError(f"{name} is {what:.80}; allowed: {allowed}")
    for code, label in info.filters:
        if not h5py.h5z.filter_avail(code):
            raise ValueError(
                f"{name} is compressed with {label or 'a filter'} (HDF5 filter {code}), which is "
                "not installed; save it with gzip"
            )
    if not info.shape or min(info.shape) < 1:
        raise ValueError(f"{name} has shape {info.shape} and therefore no voxel")
    _check_sizes(name, info, info.dtype, file.size)
    return np.dtype(np.uint8) if info.dtype == np.bool_ else info.dtype.newbyteorder("=")


def _check_sizes(name: str, info: DatasetInfo, dtype: np.dtype[Any], file_bytes: int) -> None:
    """Raise ValueError where a file cannot hold a dataset, or its chunks cannot be read."""
    size = prod(info.shape) * dtype.itemsize
    is_stored = info.chunk is None and info.storage_bytes > 0
    if size > (file_bytes if is_stored else max(MAX_SPARSE_BYTES, file_bytes * MAX_SPARSE_FACTOR)):
        raise ValueError(
            f"{name} states {format_shape(info.shape)} voxels, {format_bytes(size)}, but the file "
            f"has {format_bytes(file_bytes)}; it is truncated or damaged: copy it again"
        )
    if info.chunk is not None:
        check_chunks(name, info.shape, info.chunk, dtype.itemsize)


def make_array(
    file: SingleFile,
    info: DatasetInfo,
    axes: IntZYX,
    fixed: dict[int, int],
    *,
    shape: IntZYX | None = None,
    dtype: np.dtype[Any] | None = None,
) -> Hdf5Array:
    """Return the array of a dataset.

    Parameters
    ----------
    file, info
        The dataset.
    axes
        Stored axes that are z, y and x.
    fixed
        Index along each of the other stored axes.
    shape
        Voxels along (z, y, x); None: as stored.
    dtype
        As which stored values are read, of the same size; None: as stored.

    Raises
    ------
    ValueError
        `check_dataset` raises.
    """
    stored_dtype = check_dataset(file, info)
    chunk = info.chunk
    return Hdf5Array(
        file,
        info.name,
        shape or per_axis(lambda axis: info.shape[axis], axes),
        dtype or stored_dtype,
        axes,
        tuple(fixed.get(axis, 0) for axis in range(len(info.shape))),
        None if chunk is None else per_axis(lambda axis: chunk[axis], axes),
    )
