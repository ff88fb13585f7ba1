"""Draw locations at objects, each object with the same chance, whatever its size.

Objects need no ids and may be in pieces, as traces of single rows of voxels are: with the number
n_v of foreground voxels in the box of an output's size around the foreground voxel v,

    P(v) = (1 / n_v) / sum_u (1 / n_u)

so that the voxels of an object that fits into an output, far from others, have the sum of one
object; those of a larger one have more, in proportion to its extent.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.training.targets import FOREGROUND, READ_BLOCK
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import Roi
from asem.volume.volume import ArrayLike

MAX_VOXELS = 1 << 20
"""Foreground voxels of a region that are stored; of more, every 2nd, 3rd ... one."""
Starts = tuple[npt.NDArray[np.int64], ...]


@dataclass(frozen=True)
class ObjectVoxels:
    """Foreground voxels of a region, with the probability that each is drawn.

    Parameters
    ----------
    positions
        int32, shape (n, 3), voxels (z, y, x) of the region's target.
    cumulative
        Cumulative weights, (n,).
    """

    positions: npt.NDArray[np.int32]
    cumulative: npt.NDArray[np.float64]

    @property
    def objects(self) -> float:
        """About the number of objects of the size of an output, or smaller."""
        return float(self.cumulative[-1]) if self.cumulative.size else 0.0

    def draw(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw a foreground voxel of an object."""
        value = rng.random() * self.cumulative[-1]
        index = int(np.searchsorted(self.cumulative, value, side="right"))
        position: npt.NDArray[np.int64] = self.positions[min(index, len(self.positions) - 1)]
        return position.astype(np.int64)


def find_object_voxels(
    target: ArrayLike, starts: Starts, foreground: npt.NDArray[np.integer], edge: int
) -> ObjectVoxels:
    """Find the foreground voxels of a region, weighted so that each object has the same chance.

    Parameters
    ----------
    target
        uint8 codes; read block by block.
    starts
        Per axis, first voxels of the boxes whose foreground is counted.
    foreground
        Foreground voxels of each of these boxes.
    edge
        Voxels of a box along each axis.
    """
    step = max(1, -(-_count_foreground(target) // MAX_VOXELS))
    positions = _read_positions(target, step)
    nearest = [
        _nearest(axis_starts, positions[:, axis] - edge // 2)
        for axis, axis_starts in enumerate(starts)
    ]
    # A box at a border of the region, or at a candidate in steps, need not contain the voxel.
    weights = step / np.maximum(foreground[tuple(nearest)], 1)
    return ObjectVoxels(positions, np.cumsum(weights))


def _count_foreground(target: ArrayLike) -> int:
    blocks = split_into_blocks(Roi.of_shape(target.shape), READ_BLOCK)
    return sum(int(np.count_nonzero(np.asarray(target[b.slices]) == FOREGROUND)) for b in blocks)


def _read_positions(target: ArrayLike, step: int) -> npt.NDArray[np.int32]:
    """Return the positions of every `step`-th foreground voxel."""
    parts, seen = [np.zeros((0, 3), np.int32)], 0
    for block in split_into_blocks(Roi.of_shape(target.shape), READ_BLOCK):
        found = np.argwhere(np.asarray(target[block.slices]) == FOREGROUND)
        parts.append((found[-seen % step :: step] + block.offset).astype(np.int32))
        seen += len(found)
    return np.concatenate(parts)


def _nearest(
    starts: npt.NDArray[np.int64], position: npt.NDArray[np.integer]
) -> npt.NDArray[np.int64]:
    """Return the index of the start nearest to each position."""
    after = np.clip(np.searchsorted(starts, position), 0, len(starts) - 1)
    before = np.maximum(after - 1, 0)
    is_before = position - starts[before] < starts[after] - position
    return np.where(is_before, before, after)
