"""Memory-mapped buffer for slabs of planes that do not fit into memory."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.system.resources import check_free_disk, check_free_memory
from asem.volume.band_reading import decodes_whole_planes
from asem.volume.roi import IntZYX, Roi
from asem.volume.volume import Volume
from asem.volume.zarr_arrays import SHARD

MAX_IN_MEMORY_SLAB_BYTES = 2**30
"""Where planes are decoded as a whole, larger slabs are read into a memory-mapped file."""


def in_memory_bytes(slab_bytes: int) -> int:
    """Return how much memory a slab of planes uses; a large one is read into a buffer file."""
    return min(slab_bytes, MAX_IN_MEMORY_SLAB_BYTES)


def check_slab_fits(volume: Volume, roi: Roi, destination: Path) -> None:
    """Raise ValueError where what is read at a time fits neither into memory nor on the disk.

    Parameters
    ----------
    volume, roi
        Source of the import, and the box to read.
    destination
        The buffer file is in its folder.
    """
    depth, height, width = roi.shape
    row_bytes = min(SHARD[0], depth) * width * volume.dtype.itemsize
    name = f"a slab of {volume.name} ({min(SHARD[0], depth)} x {height} x {width} voxels)"
    if decodes_whole_planes(volume.array):
        if row_bytes * height > MAX_IN_MEMORY_SLAB_BYTES:
            check_free_disk(destination.absolute().parent, row_bytes * height, name)
    else:
        rows = min(SHARD[1], height)
        check_free_memory(row_bytes * rows, f"{rows} rows of {name}")


@contextmanager
def open_slab_buffer(
    folder: Path, shape: IntZYX, dtype: np.dtype[Any]
) -> Iterator[npt.NDArray[Any]]:
    """Yield an array in an unnamed temporary file, for slabs that are too large for memory."""
    with tempfile.TemporaryFile(dir=folder) as file:
        # Allocated now: on a full disk, a write to the mapping would kill the process.
        size = prod(shape) * dtype.itemsize
        check_free_disk(folder, size, "a slab of planes")
        os.posix_fallocate(file.fileno(), 0, size)
        yield np.memmap(file, dtype, "r+", shape=shape)
