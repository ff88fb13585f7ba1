"""Count the voxels of a block by prediction, truth and exclusion zone, in one pass.

::

    prediction   uint8, 255 p or 0/1     \
    truth        0, 1, 2: not scored      >   counts of each cube by zone, truth and value
    zone index   of `zone_curve`         /    counts of the block by truth, prediction and zone

All counts add up over blocks. Cubes, the units of a bootstrap, are parts of the scored box, equal
for every block grid.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.config import NmZYX
from asem.measure.segmentation_scores import ConfusionCounts
from asem.volume.roi import IntZYX, Roi, per_axis

VALUES = 256
"""Values of a probability stored as uint8."""
BACKGROUND, FOREGROUND, NOT_SCORED = 0, 1, 2
"""Values of the truth of a voxel."""
DEFAULT_CUBE_NM = 1000.0
"""Edge of the cubes, doubled until there are at most `MAX_DEFAULT_CUBES`; nm."""
MAX_DEFAULT_CUBES = 1000
MAX_CUBES = 20_000
"""Most cubes, each of which needs 8 kB for a probability."""


@dataclass(frozen=True)
class CubeGrid:
    """Cubes of the scored box, numbered in (z, y, x) order; those at its end may be smaller.

    Parameters
    ----------
    roi
        The scored box.
    edge
        Voxels of a cube along each axis.
    """

    roi: Roi
    edge: IntZYX

    @classmethod
    def of_edge_nm(cls, roi: Roi, voxel_size: NmZYX, edge_nm: float | None = None) -> "CubeGrid":
        """Return the cubes of an edge in nm, rounded to voxels; None: `DEFAULT_CUBE_NM`.

        Raises
        ------
        ValueError
            The edge is not positive, or there are more than `MAX_CUBES`.
        """
        edge = DEFAULT_CUBE_NM if edge_nm is None else edge_nm
        if not 0 < edge < 1e9:
            raise ValueError(f"cubes of an edge of {edge:g} nm; the edge must be above 0 nm")
        grid = cls._of_edge(roi, voxel_size, edge)
        while edge_nm is None and prod(grid.shape) > MAX_DEFAULT_CUBES:
            edge *= 2
            grid = cls._of_edge(roi, voxel_size, edge)
        if prod(grid.shape) > MAX_CUBES:
            raise ValueError(
                f"an edge of {edge:g} nm makes {prod(grid.shape):,} cubes; at most {MAX_CUBES:,} "
                "are allowed: take a larger edge"
            )
        return grid

    @classmethod
    def _of_edge(cls, roi: Roi, voxel_size: NmZYX, edge_nm: float) -> "CubeGrid":
        return cls(roi, per_axis(lambda size: max(1, int(edge_nm / size + 0.5)), voxel_size))

    @property
    def shape(self) -> IntZYX:
        """Number of cubes along each axis."""
        return per_axis(lambda size, edge: -(-size // edge), self.roi.shape, self.edge)

    def axis_indices(self, block: Roi) -> tuple[npt.NDArray[np.intp], ...]:
        """Return along each axis the cube of each plane of voxels of a block."""
        bounds = zip(block.offset, block.end, self.roi.offset, self.edge, strict=True)
        return tuple((np.arange(low, high) - start) // edge for low, high, start, edge in bounds)

    def find(self, voxels: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Return the numbers of the cubes of voxels, (n, 3), in the voxels of the box's array."""
        index = (voxels - np.array(self.roi.offset)) // np.array(self.edge)
        numbers = np.ravel_multi_index((index[:, 0], index[:, 1], index[:, 2]), self.shape)
        return np.asarray(numbers, np.int64)


def count_scored_voxels(
    values: npt.NDArray[np.uint8],
    truth: npt.NDArray[np.uint8],
    steps: npt.NDArray[np.uint8] | None,
    *,
    cube_indices: tuple[npt.NDArray[np.intp], ...],
    cube_shape: IntZYX,
    zone: int,
    zones: int,
    threshold: int,
) -> dict[str, npt.NDArray[np.int64]]:
    """Count the scored voxels of a block.

    Parameters
    ----------
    values
        The prediction, shape (z, y, x).
    truth
        `BACKGROUND`, `FOREGROUND` or `NOT_SCORED`.
    steps
        Index of the first zone that contains each voxel; None: no zone.
    cube_indices, cube_shape
        Cube of each voxel along each axis (`CubeGrid.axis_indices`), and the number of cubes.
    zone, zones
        Index of the zone outside of which is scored (-1: none), and the number of zones.
    threshold
        Smallest value that is foreground.

    Returns
    -------
    dict
        ``cubes``: numbers of the cubes in this block, (n,). ``values``: counts for each of them by
        zone (0 outside, 1 inside), truth (0, 1) and value, (n, 2, 2, 256). ``curve``: counts by
        truth, prediction and zone, (2, 2, zones + 1).
    """
    first = tuple(int(index[0]) for index in cube_indices)
    inner = tuple(index - start for index, start in zip(cube_indices, first, strict=True))
    shape = per_axis(lambda index: int(index[-1]) + 1, inner)
    by_cube = np.zeros((*shape, 2, 2, VALUES), np.int64)
    curve = np.zeros((2, 2, zones + 1), np.int64)
    if steps is None:
        steps = np.full((1, 1, 1), zones, np.uint8)
    _count(values, truth, steps, inner, zone, threshold, by_cube, curve)
    numbers = np.ravel_multi_index(
        tuple(np.indices(shape).reshape(3, -1) + np.array(first)[:, None]), cube_shape
    )
    flat = by_cube.reshape(-1, 2, 2, VALUES)
    present = flat.any(axis=(1, 2, 3))
    return {
        "cubes": numbers[present].astype(np.int64),
        "values": flat[present],
        "curve": curve,
    }


@njit(cache=True)
def _count(values, truth, steps, cubes, zone, threshold, by_cube, curve):  # type: ignore[no-untyped-def]
    """Add the scored voxels to the counts; `steps` of one voxel is valid for all."""
    cubes_z, cubes_y, cubes_x = cubes
    has_steps = steps.size == values.size
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            rows = by_cube[cubes_z[i], cubes_y[j]]
            for k in range(values.shape[2]):
                t = truth[i, j, k]
                if t == NOT_SCORED:
                    continue
                value = values[i, j, k]
                step = steps[i, j, k] if has_steps else steps[0, 0, 0]
                rows[cubes_x[k], np.int64(step <= zone), t, value] += 1
                curve[t, np.int64(value >= threshold), step] += 1


def confusion_counts(values: npt.NDArray[Any], threshold: int) -> npt.NDArray[Any]:
    """Return true positives, false positives, false negatives and all voxels, (..., 4).

    Parameters
    ----------
    values
        Counts by truth and value, (..., 2, 256).
    threshold
        Smallest value that is foreground.
    """
    predicted = values[..., threshold:].sum(axis=-1)
    all_voxels = values.sum(axis=-1)
    columns = (
        predicted[..., 1],
        predicted[..., 0],
        all_voxels[..., 1] - predicted[..., 1],
        all_voxels.sum(axis=-1),
    )
    return np.stack(columns, axis=-1)


def to_confusion(values: npt.NDArray[np.int64], threshold: int) -> ConfusionCounts:
    """Return the confusion counts of counts by truth and value, (2, 256)."""
    return ConfusionCounts(*map(int, confusion_counts(values, threshold)))
