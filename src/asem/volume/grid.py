"""Cutting a Roi into blocks on a lattice."""

from collections.abc import Iterator
from itertools import product
from math import prod

from asem.volume.roi import Roi, Triple, extent

MOST_BLOCKS = 2**22
"""Of one volume: 41,000 voxels along each axis in shards of 256. All of them are listed."""


def tile(roi: Roi, block: Triple, *, origin: Triple = (0, 0, 0)) -> Iterator[Roi]:
    """Cut `roi` along the lattice of blocks that has a corner at `origin`.

    ::

        lattice   |-------|-------|-------|      block 8, origin 0
        roi           |-----------|              4..16
        blocks        |---|-------|              4..8, 8..16

    The blocks cover the Roi exactly once, in (z, y, x) order; those at its faces are cut to it.

    Parameters
    ----------
    roi
        What is covered.
    block
        Voxels of a whole block along each axis, at least 1.
    origin
        A corner of the lattice, in the voxels of `roi`.

    Raises
    ------
    ValueError
        There are more blocks than `MOST_BLOCKS`.

    Examples
    --------
    >>> [str(b) for b in tile(Roi((0, 0, 4), (1, 1, 12)), (1, 1, 8))]
    ['0:1,0:1,4:8', '0:1,0:1,8:16']
    """
    if min(block) < 1:
        raise ValueError(f"a block needs at least one voxel along each axis, not {block}")
    starts = _starts(roi, block, origin)
    for start in product(*starts):
        z, y, x = start
        yield Roi((z, y, x), block).intersect(roi)


def refuse_many_blocks(roi: Roi, block: Triple) -> None:
    """Raise ValueError where `tile` would."""
    _starts(roi, block, (0, 0, 0))


def _starts(roi: Roi, block: Triple, origin: Triple) -> list[range]:
    """Return where the blocks of a Roi begin along each axis."""
    starts = [
        range(low - (low - zero) % step, high, step)
        for low, high, step, zero in zip(roi.offset, roi.end, block, origin, strict=True)
    ]
    ends = zip(starts, roi.end, block, strict=True)
    number = prod(max(0, -(-(high - steps.start) // step)) for steps, high, step in ends)
    if number > MOST_BLOCKS:
        raise ValueError(
            f"{extent(roi.shape)} voxels are {number:,} blocks of {extent(block)}; at most "
            f"{MOST_BLOCKS:,} can be worked on: take a smaller part (--roi)"
        )
    return starts


def split_evenly(roi: Roi, largest: Triple, *, multiple: int = 1) -> list[Roi]:
    """Cut `roi` into equal blocks, each axis a multiple of `multiple` and at most `largest`.

    The blocks begin at the Roi's offset; those at its end may reach beyond it by less than one
    block, since all have the same shape. Equal blocks waste less than full ones and a remainder.

    Examples
    --------
    >>> [b.shape for b in split_evenly(Roi((0, 0, 0), (250, 8, 8)), (104, 104, 104), multiple=8)]
    [(88, 8, 8), (88, 8, 8), (88, 8, 8)]
    """
    edges: list[int] = []
    for length, limit in zip(roi.shape, largest, strict=True):
        if limit < multiple:
            raise ValueError(f"a block of at most {limit} voxels holds no multiple of {multiple}")
        blocks = -(-length // (limit - limit % multiple))
        edges.append(-(-length // (max(1, blocks) * multiple)) * multiple)
    shape = (edges[0], edges[1], edges[2])
    return [Roi(block.offset, shape) for block in tile(roi, shape, origin=roi.offset)]
