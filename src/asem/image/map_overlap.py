"""Apply an array function block by block with a halo (as `dask.array.map_overlap`)."""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.output_image import OutputImage
from asem.system.resources import check_free_memory
from asem.volume.roi import IntZYX, Roi, negate, per_axis
from asem.volume.volume import Volume
from asem.volume.zarr_arrays import SHARD, ZarrArray

ArrayFunction = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
"""Takes a box and returns one of its shape; a voxel depends on voxels within the halo only."""


def read_with_halo(
    volume: Volume, block: Roi, halo: IntZYX
) -> tuple[npt.NDArray[Any], tuple[slice, slice, slice]]:
    """Read a block with a halo, clipped to the volume.

    ::

        volume   |..............................|
        read         |-- halo --|--- block ---|--|      the border of the volume clips the halo

    Parameters
    ----------
    volume
        The volume to read.
    block
        In voxels of `volume`.
    halo
        Voxels to read around the block, along each axis.

    Returns
    -------
    voxels
        The block and its halo.
    core
        Index of the block in `voxels`.
    """
    read = block.grow(halo).intersect(volume.roi)
    return volume.read(read), block.shift(negate(read.offset)).slices


def apply_with_halo(
    block: Roi, source: Volume, function: ArrayFunction, halo: IntZYX
) -> npt.NDArray[Any]:
    """Apply a function to a block read with a halo (`read_with_halo`).

    Parameters
    ----------
    block
        In voxels of `source`.
    source
        The volume to read.
    function
        Called with the block and its halo.
    halo
        Distance in voxels within which the result of a voxel depends on others.

    Returns
    -------
    ndarray
        Shape of the block.
    """
    voxels, core = read_with_halo(source, block, halo)
    return np.asarray(function(voxels)[core])


def check_halo_memory(
    source: Volume, halo: IntZYX, what: str, free_bytes: int, *, voxel_bytes: int | None = None
) -> None:
    """Raise ValueError where a block with its halo does not fit into memory.

    Parameters
    ----------
    source, halo
        As for `apply_with_halo`.
    what
        What needs the halo, for the message.
    free_bytes
        Free memory of the process that computes the blocks.
    voxel_bytes
        Memory per voxel read, bytes; None: that of `apply_with_halo`.
    """
    largest = per_axis(
        lambda size, edge, margin: min(size, edge + 2 * margin), source.shape, SHARD, halo
    )
    check_free_memory(
        prod(largest) * (overlap_voxel_bytes(source) if voxel_bytes is None else voxel_bytes),
        f"a block with {max(halo)} voxels around it for {what}",
        "take a smaller width in nm",
        free_bytes=free_bytes,
    )


def overlap_voxel_bytes(source: Volume) -> int:
    """Return the memory in bytes of each voxel of a block while a function is applied."""
    return 16 + 2 * source.dtype.itemsize


def map_overlap(
    output: OutputImage,
    source: Volume,
    function: ArrayFunction,
    halo: IntZYX,
    *,
    stage: str,
    target: ZarrArray | None = None,
) -> None:
    """Apply a function to a volume shard by shard; the result does not depend on the block grid.

    Parameters
    ----------
    output
        Runs the blocks; of the shape of `source`.
    source, function, halo
        As for `apply_with_halo`.
    stage
        Name in the journal and the progress.
    target
        Array to write; None: that of the output.
    """
    compute = partial(apply_with_halo, source=source, function=function, halo=halo)
    output.fill(
        compute, stage=stage, voxel_bytes=overlap_voxel_bytes(source), halo=halo, target=target
    )
