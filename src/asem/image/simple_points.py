"""Simple points: voxels that can be removed without a change of topology (kernels for numba).

Objects are connected through faces, edges and corners (26 neighbours), the background through faces
(6). A voxel is simple if its object has one part among its 26 neighbours, and the background has
one part among its 18 neighbours through faces and edges, of those that touch its faces (Bertrand
and Malandain, Pattern Recognition Letters 1994). The neighbours are bits of an integer::

    plane z = 0      z = 1           z = 2
    0  1  2        9 10 11        18 19 20
    3  4  5       12  . 14        21 22 23        bit 9 z + 3 y + x
    6  7  8       15 16 17        24 25 26
"""

import numpy as np
from numba import njit

CENTRE = 13
"""Bit of the voxel itself."""
NEIGHBOURS = (1 << 27) - 1 & ~(1 << CENTRE)
"""Bits of the 26 neighbours."""
FACES = sum(1 << bit for bit in (4, 10, 12, 14, 16, 22))
"""Bits of the 6 neighbours through faces."""
FACES_AND_EDGES = NEIGHBOURS & ~sum(1 << bit for bit in (0, 2, 6, 8, 18, 20, 24, 26))
"""Bits of the 18 neighbours through faces and edges."""
X_FIRST, Y_FIRST = 0o111111111, 0o007007007
"""Bits with x = 0, and with y = 0."""
X_LAST, Y_LAST = X_FIRST << 2, Y_FIRST << 6
"""Bits with x = 2, and with y = 2."""


@njit(cache=True, nogil=True)
def neighbour_offsets(shape):  # type: ignore[no-untyped-def]
    """Return the offsets of the 26 neighbours in a raveled array, in the order of their bits."""
    offsets = np.empty(26, np.int64)
    for n in range(26):
        bit = n + (n >= CENTRE)
        z, y, x = bit // 9 - 1, bit // 3 % 3 - 1, bit % 3 - 1
        offsets[n] = (z * shape[1] + y) * shape[2] + x
    return offsets


@njit(cache=True, nogil=True, inline="always")
def read_neighbours(state, v, offsets):  # type: ignore[no-untyped-def]
    """Return the bits of the neighbours of voxel v that are not zero."""
    bits = np.int64(0)
    for n in range(26):
        if state[v + offsets[n]]:
            bits |= np.int64(1) << (n + (n >= CENTRE))
    return bits


@njit(cache=True, nogil=True, inline="always")
def touches_face(state, v, offsets, value):  # type: ignore[no-untyped-def]
    """Return whether a neighbour of voxel v through a face is object (1) or background (0)."""
    found = False
    for n in (4, 10, 12, 13, 15, 21):
        found |= (state[v + offsets[n]] != 0) == (value != 0)
    return found


@njit(cache=True, nogil=True, inline="always")
def count_bits(bits):  # type: ignore[no-untyped-def]
    """Return how many bits are set."""
    count = 0
    while bits:
        bits &= bits - 1
        count += 1
    return count


@njit(cache=True, nogil=True)
def is_simple(neighbours):  # type: ignore[no-untyped-def]
    """Return whether a voxel with these object neighbours is simple; an isolated one is not."""
    if neighbours == 0:
        return False
    part, grown = np.int64(0), neighbours & -neighbours
    while grown != part:
        part = grown
        grown = _dilate(part) & neighbours
    return part == neighbours and has_one_background(neighbours)


@njit(cache=True, nogil=True)
def has_one_background(neighbours):  # type: ignore[no-untyped-def]
    """Return whether the background that touches the faces of a voxel has one part.

    It has none inside of an object, and two in a sheet.
    """
    background = ~neighbours & FACES_AND_EDGES
    faces = background & FACES
    part, grown = np.int64(0), faces & -faces
    while grown != part:
        part = grown
        grown = _dilate_faces(part) & background
    return faces != 0 and part & FACES == faces


@njit(cache=True, nogil=True, inline="always")
def _dilate(bits):  # type: ignore[no-untyped-def]
    """Add the 26 neighbours of each bit."""
    bits |= (bits & ~X_LAST) << 1 | (bits & ~X_FIRST) >> 1
    bits |= (bits & ~Y_LAST) << 3 | (bits & ~Y_FIRST) >> 3
    return bits | bits << 9 | bits >> 9


@njit(cache=True, nogil=True, inline="always")
def _dilate_faces(bits):  # type: ignore[no-untyped-def]
    """Add the 6 neighbours of each bit."""
    along_x = (bits & ~X_LAST) << 1 | (bits & ~X_FIRST) >> 1
    along_y = (bits & ~Y_LAST) << 3 | (bits & ~Y_FIRST) >> 3
    return bits | along_x | along_y | bits << 9 | bits >> 9
