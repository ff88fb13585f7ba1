"""Images that the client cannot read: chunks of a precomputed volume, read here on request.

::

    raw/info                            scales: levels of the image, then every 2nd, 4th, ... voxel
    raw/1/64-128_0-64_192-256           a chunk (x, y, z), as plain bytes
                          |
                          asem.volume.sources reads these voxels: TIFF, HDF5, MRC, NIfTI, URLs, ...

Only what the client requests is read. Scales beyond the levels of the image have the voxel at the
centre of each of their larger voxels: every s-th plane is read, and of it every s-th row and
column, in pieces of `MAX_PIECE_BYTES`.
"""

import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.view.client_formats import DTYPES, is_corner_aligned
from asem.view.served_content import Content, MemoryContent
from asem.volume.band_reading import chunk_of, decodes_whole_planes
from asem.volume.roi import IntZYX, Roi, per_axis
from asem.volume.volume import Volume

LOG = logging.getLogger(__name__)
CHUNK: IntZYX = (64, 64, 64)
PLANE_CHUNK: IntZYX = (8, 256, 256)
"""Of images whose planes are decoded as a whole."""
MAX_PIECE_BYTES = 2**25
"""Of voxels that are read at a time for a chunk, where a plane's rows are not longer."""
COARSEST_VOXELS = 64
"""Longest edge of the coarsest scale, voxels."""
_CHUNK_KEY = re.compile(r"(\d{1,3})/(\d+)-(\d+)_(\d+)-(\d+)_(\d+)-(\d+)", flags=re.ASCII)


@dataclass(frozen=True)
class Scale:
    """A scale of the virtual volume.

    Parameters
    ----------
    volume
        Level of the image from which it is read.
    step
        Voxels of that level per voxel of the scale, along (z, y, x).
    """

    volume: Volume
    step: IntZYX

    @property
    def shape(self) -> IntZYX:
        """Voxels along (z, y, x)."""
        return per_axis(lambda size, step: -(-size // step), self.volume.shape, self.step)

    @property
    def voxel_size(self) -> NmZYX:
        """Edges of a voxel, nm."""
        return per_axis(lambda size, step: size * step, self.volume.voxel_size, self.step)

    def read(self, roi: Roi) -> npt.NDArray[Any]:
        """Read a box: of the voxels in each voxel of the scale, the one at the centre."""
        if self.step == (1, 1, 1):
            return self.volume.read(roi)
        z, y, x = (self._positions(roi, axis) for axis in range(3))
        out = np.empty(roi.shape, self.volume.dtype)
        row_bytes = (int(x[-1]) - int(x[0]) + 1) * self.volume.dtype.itemsize
        rows = max(1, MAX_PIECE_BYTES // (row_bytes * self.step[1]))
        for plane, index in zip(out, z.tolist(), strict=True):
            for start in range(0, len(y), rows):
                part = y[start : start + rows]
                box = Roi.from_bounds(
                    (index, int(part[0]), int(x[0])), (index + 1, int(part[-1]) + 1, int(x[-1]) + 1)
                )
                voxels = self.volume.read(box)[0]
                plane[start : start + rows] = voxels[np.ix_(part - part[0], x - x[0])]
        return out

    def _positions(self, roi: Roi, axis: int) -> npt.NDArray[np.int64]:
        """Return the indices in the level that are read along an axis."""
        step, size = self.step[axis], self.volume.shape[axis]
        steps = np.arange(roi.offset[axis], roi.end[axis], dtype=np.int64)
        positions: npt.NDArray[np.int64] = np.minimum(steps * step + step // 2, size - 1)
        return positions


@dataclass(frozen=True)
class VirtualImage:
    """An image as a precomputed volume whose chunks are read when they are requested.

    Parameters
    ----------
    levels
        From `asem.volume.sources.open_levels`, the finest first. Levels that do not start at the
        corner of the finest are not used.
    """

    levels: Sequence[Volume]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the chunks: that of the image, or float32 where the client does not read it."""
        dtype = self.levels[0].dtype
        return dtype if dtype.name in DTYPES else np.dtype(np.float32)

    @cached_property
    def chunk(self) -> IntZYX:
        """Voxels of a chunk."""
        array = self.levels[0].array
        is_planes = decodes_whole_planes(array) or chunk_of(array)[0] == 1 < chunk_of(array)[1]
        return PLANE_CHUNK if is_planes else CHUNK

    @cached_property
    def scales(self) -> list[Scale]:
        """The scales, the finest first."""
        finest = self.levels[0]
        levels = [level for level in self.levels if is_corner_aligned(finest, level)]
        return [Scale(level, (1, 1, 1)) for level in levels] + list(_coarser_scales(levels[-1]))

    def open(self, key: str) -> Content | None:
        """Return ``info``, or the voxels of a chunk; None where there is no such chunk."""
        if key == "info":
            return MemoryContent(json.dumps(self._info()).encode())
        match = _CHUNK_KEY.fullmatch(key)
        number, *bounds = (int(group) for group in match.groups()) if match else (len(self.scales),)
        if number >= len(self.scales):
            return None
        roi = self._chunk_roi(self.scales[number], bounds)
        if roi is None:
            return None
        voxels = self.scales[number].read(roi)
        return MemoryContent(np.ascontiguousarray(voxels, self.dtype.newbyteorder("<")).tobytes())

    def _chunk_roi(self, scale: Scale, bounds: Sequence[int]) -> Roi | None:
        """Return the voxels of a chunk; None where the bounds are not those of one."""
        start, stop = bounds[4::-2], bounds[5::-2]
        end = per_axis(lambda low, edge, n: min(low + edge, n), start, self.chunk, scale.shape)
        on_grid = all(low % edge == 0 for low, edge in zip(start, self.chunk, strict=True))
        is_inside = all(low < n for low, n in zip(start, scale.shape, strict=True))
        return Roi.from_bounds(start, end) if on_grid and is_inside and end == tuple(stop) else None

    def _info(self) -> dict[str, Any]:
        scales = [
            {
                "key": str(number),
                "encoding": "raw",
                "size": scale.shape[::-1],
                "resolution": scale.voxel_size[::-1],
                "voxel_offset": [0, 0, 0],
                "chunk_sizes": [self.chunk[::-1]],
            }
            for number, scale in enumerate(self.scales)
        ]
        return {
            "@type": "neuroglancer_multiscale_volume",
            "type": "segmentation" if self.levels[0].kind == "labels" else "image",
            "data_type": self.dtype.name,
            "num_channels": 1,
            "scales": scales,
        }


def _coarser_scales(level: Volume) -> Iterator[Scale]:
    """Yield scales with larger steps; an axis is halved while its voxels are not too long."""
    step, scale = (1, 1, 1), Scale(level, (1, 1, 1))
    while max(scale.shape) > COARSEST_VOXELS and prod(scale.shape) > 1:
        shortest = min(scale.voxel_size)
        axes = zip(step, scale.voxel_size, scale.shape, strict=True)
        z, y, x = (2 * old if size < 2 * shortest and n > 1 else old for old, size, n in axes)
        step = (z, y, x)
        scale = Scale(level, step)
        yield scale
