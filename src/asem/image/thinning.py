"""Thin objects to their centre lines, in the order of the distance to the background.

::

    # # # # # # # # # #        . . . . . . . . . .
    # # # # # # # # # #        . . . . . . . . . .
    # # # # # # # # # #   ->   . . o o o o o o . .      an end is the centre of the last ball
    # # # # # # # # # #        . . . . . . . . . .
    # # # # # # # # # #        . . . . . . . . . .

Voxels are removed one by one, those nearest to the background first, if that changes neither the
parts of the object nor its holes (distance-ordered homotopic thinning: Pudney, Computer Vision and
Image Understanding 1998; simple points: Bertrand and Malandain, Pattern Recognition Letters 1994).
Each one is checked again when its turn comes, so that objects two voxels thick do not vanish
(scikit-image's `skeletonize` deletes them, its issue 3757), and each voxel is visited a few times,
not once per layer of the object. Distances in nm keep the lines in the centre also where voxels are
anisotropic.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.config import NmZYX

MAX_END_SLOPE = 0.45
"""Ends of lines are kept where the distance to the background increases by less than this on the
way into the object. It is 0 along a tube, 0.7 from an edge, and 1 from a rough surface."""
BINS_PER_VOXEL = 4
"""Steps of the distance per voxel edge, in the order of removal."""
NEIGHBOURS = 0o777777777 & ~(1 << 13)
"""Bits of the 26 neighbours: bit 9 z + 3 y + x, each 0 to 2; the centre is bit 13."""
FACES = 1 << 4 | 1 << 10 | 1 << 12 | 1 << 14 | 1 << 16 | 1 << 22
"""Bits of the 6 neighbours."""
CORNERS = 1 << 0 | 1 << 2 | 1 << 6 | 1 << 8 | 1 << 18 | 1 << 20 | 1 << 24 | 1 << 26
"""Bits of the 8 neighbours through corners."""
X_LOW, Y_LOW = 0o111111111, 0o007007007
"""Bits of the neighbours with x = 0, and with y = 0."""


def thin_to_lines(
    mask: npt.NDArray[np.bool_], distance: npt.NDArray[np.float32], voxel_size: NmZYX
) -> npt.NDArray[np.bool_]:
    """Thin an object to lines one voxel wide, with the same parts and tunnels.

    Objects are connected through faces, edges and corners (26 neighbours), the background through
    faces (6). A ball becomes one voxel. Cavities must be filled: a line cannot surround them.

    Parameters
    ----------
    mask
        Shape (z, y, x); its outermost voxels are background.
    distance
        Distance of each voxel to the background, nm.
    voxel_size
        nm.

    Returns
    -------
    ndarray
        The lines, shape of `mask`.

    Examples
    --------
    >>> tube = np.zeros((4, 4, 12), bool)
    >>> tube[1:3, 1:3, 1:11] = True
    >>> int(thin_to_lines(tube, tube.astype(np.float32), (1.0, 1.0, 1.0)).sum())
    10
    """
    state = np.ascontiguousarray(mask).astype(np.uint8)
    size = np.array(voxel_size, np.float64)
    bins = np.int64(distance.max(initial=0) * BINS_PER_VOXEL / size.min()) + 2
    _thin(state.ravel(), np.ascontiguousarray(distance).ravel(), mask.shape, size, bins)
    return state.astype(np.bool_)


@njit(cache=True, nogil=True)
def _thin(state, distance, shape, size, bins):  # type: ignore[no-untyped-def]
    """Remove voxels from `state`: 0 background, 1 object, 2 object in the queue.

    The queue is a linked list for each bin of the distance, first in first out.
    """
    offsets, lengths = _neighbour_offsets(shape, size)
    first, last = np.full(bins, -1, np.int32), np.full(bins, -1, np.int32)
    following = np.full(len(state), -1, np.int32)
    per_nm = BINS_PER_VOXEL / size.min()
    for v in range(len(state)):
        if state[v] and ~_read_neighbours(state, v, offsets) & FACES:
            _push(first, last, following, v, np.int64(distance[v] * per_nm))
            state[v] = 2
    current = 0
    while current < bins:
        v = first[current]
        if v < 0:
            current += 1
            continue
        first[current] = following[v]
        state[v] = 1
        neighbours = _read_neighbours(state, v, offsets)
        if not _is_simple(neighbours):
            continue
        is_end = neighbours & (neighbours - 1) == 0
        if is_end and _slope(state, distance, v, offsets, lengths, size) < MAX_END_SLOPE:
            continue
        state[v] = 0
        for n in range(26):
            u = v + offsets[n]
            if state[u] == 1:
                state[u] = 2
                bin_of_u = max(current, np.int64(distance[u] * per_nm))
                _push(first, last, following, u, bin_of_u)
    return


@njit(cache=True, nogil=True)
def _neighbour_offsets(shape, size):  # type: ignore[no-untyped-def]
    """Return the index offsets of the 26 neighbours in the order of their bits, and distances."""
    offsets, lengths = np.empty(26, np.int64), np.empty(26, np.float64)
    n = 0
    for bit in range(27):
        if bit != 13:
            z, y, x = bit // 9 - 1, bit // 3 % 3 - 1, bit % 3 - 1
            offsets[n] = (z * shape[1] + y) * shape[2] + x
            lengths[n] = np.sqrt((z * size[0]) ** 2 + (y * size[1]) ** 2 + (x * size[2]) ** 2)
            n += 1
    return offsets, lengths


@njit(cache=True, nogil=True, inline="always")
def _push(first, last, following, v, number):  # type: ignore[no-untyped-def]
    following[v] = -1
    if first[number] < 0:
        first[number] = v
    else:
        following[last[number]] = v
    last[number] = v


@njit(cache=True, nogil=True, inline="always")
def _read_neighbours(state, v, offsets):  # type: ignore[no-untyped-def]
    """Return the bits of the neighbours of voxel v that are objects."""
    bits = np.int64(0)
    for n in range(26):
        if state[v + offsets[n]]:
            bits |= np.int64(1) << (n + (n > 12))
    return bits


@njit(cache=True, nogil=True)
def _is_simple(neighbours):  # type: ignore[no-untyped-def]
    """Return whether a voxel can be removed: its object has one part around it, and so has the
    background that touches its faces."""
    if neighbours == 0 or neighbours & FACES == FACES:
        return False
    part = neighbours & -neighbours
    while True:
        grown = _dilate(part) & neighbours
        if grown == part:
            break
        part = grown
    if part != neighbours:
        return False
    background = ~neighbours & NEIGHBOURS & ~CORNERS
    faces = background & FACES
    part = faces & -faces
    while True:
        grown = _dilate_faces(part) & background
        if grown == part:
            break
        part = grown
    return part & FACES == faces


@njit(cache=True, nogil=True, inline="always")
def _dilate(bits):  # type: ignore[no-untyped-def]
    """Add the 26 neighbours of each bit of a 3 x 3 x 3 box."""
    bits |= (bits & ~(X_LOW << 2)) << 1 | (bits & ~X_LOW) >> 1
    bits |= (bits & ~(Y_LOW << 6)) << 3 | (bits & ~Y_LOW) >> 3
    return (bits | bits << 9 | bits >> 9) & 0o777777777


@njit(cache=True, nogil=True, inline="always")
def _dilate_faces(bits):  # type: ignore[no-untyped-def]
    """Add the 6 neighbours of each bit of a 3 x 3 x 3 box."""
    x = (bits & ~(X_LOW << 2)) << 1 | (bits & ~X_LOW) >> 1
    y = (bits & ~(Y_LOW << 6)) << 3 | (bits & ~Y_LOW) >> 3
    return (bits | x | y | bits << 9 | bits >> 9) & 0o777777777


@njit(cache=True, nogil=True)
def _slope(state, distance, v, offsets, lengths, size):  # type: ignore[no-untyped-def]
    """Return the increase of the distance per nm on the steepest way from a voxel.

    The way is as long as two voxels and half of the distance at its start.
    """
    reach = 4 * size.max() + 0.5 * distance[v]
    u, travelled = v, 0.0
    while travelled < reach:
        best, steepest = -1, 0.0
        for n in range(26):
            slope = (distance[u + offsets[n]] - distance[u]) / lengths[n]
            if slope > steepest:
                best, steepest = n, slope
        if best < 0:
            break
        u += offsets[best]
        travelled += lengths[best]
    return (distance[u] - distance[v]) / max(travelled, reach)
