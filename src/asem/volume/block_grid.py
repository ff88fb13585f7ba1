"""Split a Roi into blocks on a regular lattice."""

from collections.abc import Iterator
from itertools import product
from math import prod

from asem.volume.roi import IntZYX, Roi, format_shape, per_axis

MAX_BLOCKS = 2**22
"""Largest number of blocks of a volume: 41,000 voxels along each axis in shards of 256."""


def split_into_blocks(roi: Roi, block: IntZYX, *, origin: IntZYX = (0, 0, 0)) -> Iterator[Roi]:
    """Split `roi` along the lattice of blocks that has a corner at `origin`.

    ::

        lattice   |-------|-------|-------|      block 8, origin 0
        roi           |-----------|              4..16
        blocks        |---|-------|              4..8, 8..16

    The blocks cover the Roi exactly once, in (z, y, x) order; those at its faces are cropped to it.

    Parameters
    ----------
    roi
        The Roi to be covered.
    block
        Voxels of a full block along each axis, at least 1.
    origin
        A corner of the lattice, in the voxels of `roi`.

    Raises
    ------
    ValueError
        There would be more blocks than `MAX_BLOCKS`.

    Examples
    --------
    >>> [str(b) for b in split_into_blocks(Roi((0, 0, 4), (1, 1, 12)), (1, 1, 8))]
    ['0:1,0:1,4:8', '0:1,0:1,8:16']
    """
    if min(block) < 1:
        raise ValueError(f"a block needs at least one voxel along each axis, not {block}")
    for start in product(*_block_starts(roi, block, origin)):
        yield Roi(start, block).intersect(roi)


def check_block_count(roi: Roi, block: IntZYX) -> None:
    """Raise ValueError where `split_into_blocks` would."""
    _block_starts(roi, block, (0, 0, 0))


def _block_starts(roi: Roi, block: IntZYX, origin: IntZYX) -> tuple[range, range, range]:
    """Return the starts of the blocks of a Roi along each axis."""
    starts = per_axis(
        lambda low, high, step, corner: range(low - (low - corner) % step, high, step),
        roi.offset,
        roi.end,
        block,
        origin,
    )
    ends = zip(starts, roi.end, block, strict=True)
    count = prod(max(0, -(-(high - steps.start) // step)) for steps, high, step in ends)
    if count > MAX_BLOCKS:
        raise ValueError(
            f"{format_shape(roi.shape)} voxels are {count:,} blocks of {format_shape(block)}; at "
            f"most {MAX_BLOCKS:,} can be processed: take a smaller part (--roi)"
        )
    return starts


def split_evenly(roi: Roi, max_shape: IntZYX, *, multiple: int = 1) -> list[Roi]:
    """Split `roi` into equal blocks, each axis a multiple of `multiple` and at most `max_shape`.

    The blocks start at the Roi's offset; those at its end may extend beyond it by less than one
    block, since all have the same shape. Equal blocks waste less than full ones and a remainder.

    Examples
    --------
    >>> [b.shape for b in split_evenly(Roi((0, 0, 0), (250, 8, 8)), (104, 104, 104), multiple=8)]
    [(88, 8, 8), (88, 8, 8), (88, 8, 8)]
    """

    def block_edge(length: int, limit: int) -> int:
        if limit < multiple:
            raise ValueError(f"a block of at most {limit} voxels holds no multiple of {multiple}")
        blocks = -(-length // (limit - limit % multiple))
        return -(-length // (max(1, blocks) * multiple)) * multiple

    shape = per_axis(block_edge, roi.shape, max_shape)
    return [Roi(block.offset, shape) for block in split_into_blocks(roi, shape, origin=roi.offset)]
