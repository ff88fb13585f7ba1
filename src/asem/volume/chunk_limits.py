"""Limits of chunks that can be read with reasonable memory and number of requests."""

from collections.abc import Sequence
from math import prod

from asem.system.resources import format_bytes, free_memory_bytes
from asem.volume.roi import IntZYX, format_shape

CHUNK: IntZYX = (64, 64, 64)
"""Chunks that asem writes, and recommends."""
MAX_CHUNK_BYTES = 2**31
"""Largest chunk, bytes, as a chunk is decoded as a whole and usual compressors allow no more; or a
quarter of the free memory, where that is more."""
MIN_CHUNK_VOXELS, MAX_SMALL_CHUNKS = 64, 2**20
"""Chunks of fewer voxels are small; an array may have this many of them, since each is looked
up."""


def check_chunks(name: object, shape: Sequence[int], chunk: Sequence[int], itemsize: int) -> None:
    """Raise ValueError where chunks are too large, or too small and too many.

    Parameters
    ----------
    name
        The array, for messages.
    shape, chunk
        Voxels of the array and of a chunk, along the same axes.
    itemsize
        Bytes of a voxel.
    """
    size = prod(chunk) * itemsize
    if size > max(MAX_CHUNK_BYTES, free_memory_bytes() // 4):
        raise ValueError(
            f"{name} has chunks of {format_shape(chunk)} voxels, {format_bytes(size)} each; save "
            f"it in chunks of about {format_shape(CHUNK)}"
        )
    count = prod(-(-n // c) for n, c in zip(shape, chunk, strict=True))
    if prod(chunk) < MIN_CHUNK_VOXELS and count > MAX_SMALL_CHUNKS:
        raise ValueError(
            f"{name} has {count} chunks of {format_shape(chunk)} voxels, too many to be read; save "
            f"it in chunks of about {format_shape(CHUNK)}"
        )
