"""Fill cavities and smooth the surface of a mask, without loss of thin parts."""

import cc3d
import numpy as np
import numpy.typing as npt
from numba import njit

from asem.image.simple_points import (
    NEIGHBOURS,
    count_bits,
    has_one_background,
    is_simple,
    neighbour_offsets,
    read_neighbours,
    touches_face,
)

CORE_DISTANCE = 3
"""Voxels of the surface are removed up to this distance from a voxel whose neighbours are all
object: not from parts that are thinner than about five voxels."""
MIN_PART_VOXELS = 27
"""Smaller parts, bits of a rough surface, may be cut off."""


def fill_cavities(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Fill the background that the object encloses.

    Parameters
    ----------
    mask
        Shape (z, y, x); its first voxel is background outside of the object.

    Examples
    --------
    >>> mask = np.zeros((5, 5, 5), bool)
    >>> mask[1:4, 1:4, 1:4] = True
    >>> mask[2, 2, 2] = False
    >>> int(fill_cavities(mask).sum())
    27
    """
    background = cc3d.connected_components(np.ascontiguousarray(~mask), connectivity=6)
    return np.asarray(background != background[0, 0, 0])


def smooth_surface(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Fill pits of a rough surface, then remove its bumps.

    A voxel of the background becomes object if more than half of its 26 neighbours are object; a
    voxel of the object is removed if fewer than half are, except where the object is thin
    (`CORE_DISTANCE`). Pits and tunnels one voxel wide are closed, and small loops on the surface
    are cut. If that would cut off a part (`MIN_PART_VOXELS`), such as a thin branch, only voxels
    that connect nothing are removed. Thin sheets are not pierced.

    ::

        . # . . . . #             . . . . . . .
        # # # . # # #      ->     # # # # # # #
        # # # # # # #             # # # # # # #

    Parameters
    ----------
    mask
        Shape (z, y, x); the outermost voxels are background.
    """
    filled = np.ascontiguousarray(mask).astype(np.uint8)
    _fill_pits(filled.ravel(), mask.shape)
    bumps = _find_bumps(filled.ravel(), mask.shape)
    smooth = filled.copy()
    _remove(smooth.ravel(), bumps, mask.shape, may_cut=True)
    if _count_parts(smooth) > _count_parts(filled):
        smooth = filled
        _remove(smooth.ravel(), bumps, mask.shape, may_cut=False)
    return smooth.view(np.bool_)


def _count_parts(mask: npt.NDArray[np.uint8]) -> int:
    """Return the number of connected parts of at least `MIN_PART_VOXELS`."""
    parts = cc3d.connected_components(mask, connectivity=26)
    return int(np.count_nonzero(np.bincount(parts.ravel())[1:] >= MIN_PART_VOXELS))


@njit(cache=True, nogil=True)
def _fill_pits(state, shape):  # type: ignore[no-untyped-def]
    """Add the voxels of which more than half of the neighbours are object."""
    offsets = neighbour_offsets(shape)
    pits = [0 for _ in range(0)]
    for v in range(offsets[25], len(state) - offsets[25]):
        is_outside = not state[v] and touches_face(state, v, offsets, 1)
        if is_outside and count_bits(read_neighbours(state, v, offsets)) > 13:
            pits.append(v)
    for v in pits:
        state[v] = 1


@njit(cache=True, nogil=True)
def _find_bumps(state, shape):  # type: ignore[no-untyped-def]
    """Return the voxels, near a core, of which fewer than half of the neighbours are object."""
    offsets = neighbour_offsets(shape)
    bumps = [0 for _ in range(0)]
    for v in range(offsets[25], len(state) - offsets[25]):
        if state[v] and touches_face(state, v, offsets, 0):
            few = count_bits(read_neighbours(state, v, offsets)) < 13
            if few and _is_near_core(state, v, shape, offsets):
                bumps.append(v)
    return np.array(bumps, np.int64)


@njit(cache=True, nogil=True)
def _remove(state, voxels, shape, may_cut):  # type: ignore[no-untyped-def]
    """Remove voxels, one after the other, but pierce no sheet and, unless allowed, cut no line."""
    offsets = neighbour_offsets(shape)
    for v in voxels:
        neighbours = read_neighbours(state, v, offsets)
        if has_one_background(neighbours) and (may_cut or is_simple(neighbours)):
            state[v] = 0


@njit(cache=True, nogil=True)
def _is_near_core(state, v, shape, offsets):  # type: ignore[no-untyped-def]
    """Return whether all neighbours of a voxel within `CORE_DISTANCE` are object."""
    x, row = v % shape[2], v // shape[2]
    z, y = row // shape[1], row % shape[1]
    d = CORE_DISTANCE
    for i in range(max(1, z - d), min(shape[0] - 1, z + d + 1)):
        for j in range(max(1, y - d), min(shape[1] - 1, y + d + 1)):
            for k in range(max(1, x - d), min(shape[2] - 1, x + d + 1)):
                u = (i * shape[1] + j) * shape[2] + k
                if state[u] and read_neighbours(state, u, offsets) == NEIGHBOURS:
                    return True
    return False
