"""Layers of planes that are decoded whole: too large for memory, they go through a file."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.system.resources import refuse_without_disk, refuse_without_memory
from asem.volume.arrays import SHARD
from asem.volume.planes import PlaneStack
from asem.volume.roi import Roi, Triple
from asem.volume.volume import Volume


def refuse_large_layers(volume: Volume, part: Roi, destination: Path, *, in_memory: int) -> None:
    """Refuse a source of which what is read at a time fits neither into memory nor on the disk.

    Parameters
    ----------
    volume, part
        What is imported.
    destination
        Beside which the file of a layer lies.
    in_memory
        Bytes of a layer of planes that goes through no file.
    """
    depth, height, width = part.shape
    row = min(SHARD[0], depth) * width * volume.dtype.itemsize
    name = f"a layer of {volume.name} ({min(SHARD[0], depth)} x {height} x {width} voxels)"
    if isinstance(volume.array, PlaneStack) and not volume.array.reads_rows:
        if row * height > in_memory:
            refuse_without_disk(destination.absolute().parent, row * height, name)
    else:
        rows = min(SHARD[1], height)
        refuse_without_memory(row * rows, f"{rows} rows of {name}")


@contextmanager
def layer_file(folder: Path, shape: Triple, dtype: np.dtype[Any]) -> Iterator[npt.NDArray[Any]]:
    """Make an array in a file for what is too large for memory; the file has no name."""
    with tempfile.TemporaryFile(dir=folder) as file:
        # A page that finds no space later would kill the process.
        size = prod(shape) * dtype.itemsize
        refuse_without_disk(folder, size, "a layer of planes")
        os.posix_fallocate(file.fileno(), 0, size)
        yield np.memmap(file, dtype, "r+", shape=shape)
