"""Rasterize a brush along a path of voxels in a plane."""

import numpy as np
import numpy.typing as npt
from numba import njit


def rasterize_path(
    path: npt.NDArray[np.int64],
    radius: float,
    *,
    square: bool,
    corner: npt.NDArray[np.int64],
    shape: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Return the voxels of a rectangle of a plane that a brush covers.

    Run time and memory depend on the rectangle, the radius and the number of points, not on the
    length of the path: only voxels within `radius` of the rectangle are drawn.

    Parameters
    ----------
    path
        Points that straight lines connect, (n, 2).
    radius
        Of the brush, voxels; 0 draws the path alone.
    square
        Whether the brush is a square, of `radius` to each side, or a disk.
    corner, shape
        First voxel and shape of the rectangle, (2,).

    Returns
    -------
    ndarray
        bool, of `shape`.

    Examples
    --------
    >>> path, size = np.array([[1, 1], [1, 3]]), np.array([3, 5])
    >>> rasterize_path(path, 1, square=False, corner=np.array([0, 0]), shape=size).astype(int)
    array([[0, 1, 1, 1, 0],
           [1, 1, 1, 1, 1],
           [0, 1, 1, 1, 0]])
    """
    reach = int(radius)
    drawn = np.zeros(shape + 2 * reach, np.bool_)
    rows = np.zeros(len(drawn), np.bool_)
    _draw_lines(path - (corner - reach), drawn, rows)
    steps = np.arange(reach + 1)
    halves = np.sqrt(radius**2 - steps**2).astype(np.int64)
    if square:
        halves[:] = reach
    changes = np.zeros((shape[0] + 1, shape[1]), np.int32)
    _add_runs(drawn, np.flatnonzero(rows), halves, changes)
    return np.asarray(changes.cumsum(axis=0)[:-1] > 0)


@njit(cache=True, nogil=True)
def _draw_lines(path, drawn, rows):  # type: ignore[no-untyped-def]
    """Draw straight lines of voxels without gaps between the points of a path, (n, 2).

    Only voxels in `drawn` are visited; `rows` is set where a row has drawn voxels.
    """
    size = drawn.shape
    for n in range(len(path)):
        start, way = path[n], path[min(n + 1, len(path) - 1)] - path[n]
        steps = max(abs(way[0]), abs(way[1]), 1)  # 1: the last point, or a repeated one
        first, behind = 0, steps
        for axis in range(2):
            if way[axis] == steps:
                first, behind = max(first, -start[axis]), min(behind, size[axis] - start[axis])
            elif way[axis] == -steps:
                first, behind = (
                    max(first, start[axis] - size[axis] + 1),
                    min(behind, start[axis] + 1),
                )
        for step in range(first, behind):  # rounded half up
            row = start[0] + (2 * way[0] * step + steps) // (2 * steps)
            column = start[1] + (2 * way[1] * step + steps) // (2 * steps)
            if 0 <= row < size[0] and 0 <= column < size[1]:
                drawn[row, column] = rows[row] = True


@njit(cache=True, nogil=True)
def _add_runs(drawn, rows, halves, changes):  # type: ignore[no-untyped-def]
    """Add 1 to `changes` at the start of each run along a column, and subtract 1 behind its end.

    A brush with a half height of `halves[d]` at a distance of d columns covers a run of rows in
    each column; of several voxels in a row, the run of the nearest one contains all others.
    """
    reach, (behind, width) = len(halves) - 1, changes.shape
    height, distances = behind - 1, np.empty(width, np.int64)
    for i in rows:
        _nearest_distances(drawn[i], reach, distances)
        for k in range(width):
            if distances[k] <= reach:
                half = halves[distances[k]]
                first, end = max(i - reach - half, 0), min(i - reach + half + 1, height)
                if first < end:
                    changes[first, k] += 1
                    changes[end, k] -= 1


@njit(cache=True, nogil=True)
def _nearest_distances(row, reach, distances):  # type: ignore[no-untyped-def]
    """Write distances to the nearest drawn voxel of a row, from its voxel `reach` on."""
    width, last = len(distances), -2 * len(row)
    for x in range(reach + width):
        if row[x]:
            last = x
        if x >= reach:
            distances[x - reach] = x - last
    last = 4 * len(row)
    for x in range(len(row) - 1, reach - 1, -1):
        if row[x]:
            last = x
        if x < reach + width:
            distances[x - reach] = min(distances[x - reach], last - x)
