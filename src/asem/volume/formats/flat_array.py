"""Lazy array (z, y, x) of voxels that are stored one after another in a file (MRC, NIfTI)."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.system.files import open_regular_file
from asem.volume.band_reading import Slices
from asem.volume.formats.single_file import SingleFile
from asem.volume.roi import IntZYX, per_axis

NARROW_ROW_FACTOR = 4
"""A row is read in part where the box covers less than this fraction of it."""


@dataclass(frozen=True)
class FlatArray:
    """Read-only array whose voxels are read when it is indexed; it can be pickled.

    ::

        file    | header | voxel 0 0 0 | voxel 0 0 1 | ...      slowest axis first

    Parameters
    ----------
    file
        The file.
    byte_offset
        Of the first voxel in the file, after decompression.
    stored_dtype
        Of a stored voxel, in the byte order of the file.
    stored_shape
        Number of voxels along the stored axes, the slowest first.
    axes
        Stored axes that are z, y and x.
    is_4_bit
        Whether a byte holds two voxels, the first in its low bits; rows are whole bytes.
    scale
        Slope and intercept of voxels = slope x stored + intercept; None: the stored values.
    """

    file: SingleFile
    byte_offset: int
    stored_dtype: np.dtype[Any]
    stored_shape: IntZYX
    axes: IntZYX = (0, 1, 2)
    is_4_bit: bool = False
    scale: tuple[float, float] | None = None

    @property
    def shape(self) -> IntZYX:
        """Voxels along (z, y, x)."""
        return per_axis(lambda axis: self.stored_shape[axis], self.axes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the voxels, in native byte order; scaled voxels are floats."""
        if self.scale is None:
            return self.stored_dtype.newbyteorder("=")
        is_exact = self.stored_dtype.itemsize <= 2 or self.stored_dtype.newbyteorder("=") == "f4"
        return np.dtype(np.float32 if is_exact else np.float64)

    @property
    def row_items(self) -> int:
        """Items of `stored_dtype` in a row of the file."""
        width = self.stored_shape[2]
        return (width + 1) // 2 if self.is_4_bit else width

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels in the file, after decompression."""
        return prod((*self.stored_shape[:2], self.row_items)) * self.stored_dtype.itemsize

    def check_file_size(self) -> None:
        """Raise ValueError where the file is too small for the voxels."""
        if min(self.stored_shape) < 1:
            raise ValueError(f"{self.file.path} states {self.shape} voxels, and thus none")
        self.file.check_holds(self.byte_offset + self.nbytes)

    def __getitem__(self, index: Slices, /) -> npt.NDArray[Any]:
        """Read a box.

        Raises
        ------
        OSError
            The file changed after it was opened, or is damaged.
        """
        box = [range(*s.indices(n)) for s, n in zip(index, self.shape, strict=True)]
        ranges = [box[self.axes.index(stored)] for stored in range(3)]
        self.file.check_unchanged()
        stored = self._read_decompressed(ranges) if self.file.compression else self._read(ranges)
        voxels = np.ascontiguousarray(stored.transpose(self.axes), self.dtype)
        if not voxels.flags.writeable:  # a view of the decompressed voxels, which are cached
            voxels = voxels.copy()
        if self.scale is not None:
            slope, intercept = self.scale
            voxels *= self.dtype.type(slope)
            voxels += self.dtype.type(intercept)
        return voxels

    def _read_decompressed(self, ranges: list[range]) -> npt.NDArray[Any]:
        content = self.file.decompress(self.byte_offset, self.nbytes).view(self.stored_dtype)
        planes, rows, columns = ranges
        whole = content.reshape((*self.stored_shape[:2], self.row_items))
        part = whole[planes.start : planes.stop, rows.start : rows.stop]
        return self._select_columns(part, columns)

    def _read(self, ranges: list[range]) -> npt.NDArray[Any]:
        """Read a box in the order of the file: whole rows, or parts of rows where it is narrow."""
        planes, rows, columns = ranges
        is_narrow = len(columns) * NARROW_ROW_FACTOR < self.row_items and not self.is_4_bit
        start, items = (columns.start, len(columns)) if is_narrow else (0, self.row_items)
        stored = np.empty((len(planes), len(rows), len(columns)), self.stored_dtype)
        lines = np.empty((1 if is_narrow else len(rows), items), self.stored_dtype)
        with open_regular_file(self.file.path) as file:
            for number, plane in enumerate(planes):
                for first in range(0, len(rows), len(lines)):
                    row = plane * self.stored_shape[1] + rows.start + first
                    item = row * self.row_items + start
                    offset = self.byte_offset + item * self.stored_dtype.itemsize
                    self.file.read_into(lines, file, offset)
                    part = lines if is_narrow else self._select_columns(lines, columns)
                    stored[number, first : first + len(lines)] = part
        return stored

    def _select_columns(self, lines: npt.NDArray[Any], columns: range) -> npt.NDArray[Any]:
        """Return columns of whole rows, unpacked."""
        if self.is_4_bit:
            packed, lines = lines, np.empty((*lines.shape[:-1], 2 * lines.shape[-1]), np.uint8)
            lines[..., ::2], lines[..., 1::2] = packed & 15, packed >> 4
        return lines[..., columns.start : columns.stop]
