"""Array functions that look around, applied block by block."""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.output import Output
from asem.system.resources import refuse_without_memory
from asem.volume.arrays import SHARD, Stored
from asem.volume.roi import Roi, Triple, negative
from asem.volume.volume import Volume

Function = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
"""Takes a box and returns one of its shape; what lies further away than the halo is not seen."""


def mapped(block: Roi, source: Volume, function: Function, halo: Triple) -> npt.NDArray[Any]:
    """Apply a function to a block with what lies around it, as far as the volume reaches.

    ::

        volume   |..............................|
        read         |-- halo --|--- block ---|--|      the border of the volume cuts the halo

    Parameters
    ----------
    block
        In the voxels of `source`.
    source
        What is read.
    function
        Sees the whole box.
    halo
        How far around a voxel its value is decided.

    Returns
    -------
    ndarray
        Shape of the block.
    """
    read = block.grow(halo).intersect(source.roi)
    found = function(source.read(read))
    return np.asarray(found[block.shift(negative(read.offset)).slices])


def check_halo(source: Volume, halo: Triple, what: str, free: int) -> None:
    """Raise ValueError where a block with what lies around it does not fit into memory.

    Parameters
    ----------
    source, halo
        As for `mapped`.
    what
        Names, in the message, what the halo is of.
    free
        Bytes, where blocks are computed.
    """
    largest = [
        min(size, edge + 2 * far)
        for size, edge, far in zip(source.shape, SHARD, halo, strict=True)
    ]  # fmt: skip
    refuse_without_memory(
        prod(largest) * voxel_bytes(source),
        f"a block with {max(halo)} voxels around it for {what}",
        "take a smaller width in nm",
        free=free,
    )


def voxel_bytes(source: Volume) -> int:
    """Return the memory of a voxel of a block while a function is applied."""
    return 16 + 2 * source.dtype.itemsize


def write_mapped(
    output: Output,
    source: Volume,
    function: Function,
    halo: Triple,
    *,
    stage: str,
    target: Stored | None = None,
) -> None:
    """Apply a function to a volume, shard by shard; the blocks do not show in the result.

    Parameters
    ----------
    output
        It runs the blocks; of the shape of `source`.
    source, function, halo
        As for `mapped`.
    stage
        Name for the journal and the progress.
    target
        Where to write; None: to the output.
    """
    read = partial(mapped, source=source, function=function, halo=halo)
    output.fill(read, stage=stage, voxel_bytes=voxel_bytes(source), halo=halo, target=target)
