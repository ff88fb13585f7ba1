"""Thin objects to their centre lines, in the order of the distance to the background.

::

    # # # # # # # # # #        . . . . . . . . . .
    # # # # # # # # # #        . . . . . . . . . .
    # # # # # # # # # #   ->   . . o o o o o o . .      an end is the centre of the last ball
    # # # # # # # # # #        . . . . . . . . . .
    # # # # # # # # # #        . . . . . . . . . .

Voxels are removed one by one, those nearest to the background first, where that changes neither the
parts of the object nor its tunnels: distance-ordered homotopic thinning (Pudney, Computer Vision
and Image Understanding 1998). Each voxel is checked when it is removed, so that objects two voxels
thick remain (scikit-image's `skeletonize` deletes them, its issue 3757), and it is visited a few
times, not once per layer of the object. The lines are in the centre also where voxels are
anisotropic, since the distances are nm.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.config import NmZYX
from asem.image.simple_points import is_simple, neighbour_offsets, read_neighbours, touches_face

MAX_END_SLOPE = 0.45
"""Ends of lines remain where the distance to the background increases by less than this, in nm per
nm, on the way into the object: 0 along a tube, 0.6 to 0.7 from a corner or edge, 1 from a rough
surface."""
MIN_SLOPE_VOXELS = 4
"""Shortest way over which the increase is measured, voxels."""
BINS_PER_VOXEL = 4
"""Steps of the distance in the order of removal, per edge of a voxel."""


def thin_to_lines(
    mask: npt.NDArray[np.bool_], distance: npt.NDArray[np.float32], voxel_size: NmZYX
) -> npt.NDArray[np.bool_]:
    """Thin an object to lines one voxel wide, which have the same parts and tunnels.

    Objects are connected through faces, edges and corners (26 neighbours). A ball becomes one
    voxel. Lines end about a radius before the surface.

    Parameters
    ----------
    mask
        The object, shape (z, y, x): no background is enclosed by it, since no line could be, and
        the outermost voxels are background. At most 2^31 voxels.
    distance
        Distance of each voxel to the background, nm.
    voxel_size
        nm.

    Returns
    -------
    ndarray
        The voxels of the lines, shape of `mask`.

    Examples
    --------
    >>> tube = np.zeros((4, 4, 12), bool)
    >>> tube[1:3, 1:3, 1:11] = True
    >>> int(thin_to_lines(tube, tube.astype(np.float32), (1.0, 1.0, 1.0)).sum())
    10
    """
    state = np.ascontiguousarray(mask).astype(np.uint8)
    size = np.array(voxel_size, np.float64)
    order = (np.ascontiguousarray(distance) * (BINS_PER_VOXEL / size.min())).astype(np.int32)
    _remove_voxels(state.ravel(), order.ravel(), distance.ravel(), mask.shape, size)
    return state.view(np.bool_)


@njit(cache=True, nogil=True)
def _remove_voxels(state, order, distance, shape, size):  # type: ignore[no-untyped-def]
    """Remove voxels from `state`: 0 background, 1 object; 3 object in the queue, meanwhile.

    The queue has a linked list for each value of `order`: `first`, and `following` each voxel. Each
    list is a layer of the object, which is removed from one of six directions after the other, so
    that a sheet shrinks from its rim inwards, also where it is two voxels thick.
    """
    offsets = neighbour_offsets(shape)
    geometry = (distance, offsets, _neighbour_distances(size), size)
    first = np.full(order.max() + 1, -1, np.int32)
    queue = (first, np.full(len(state), -1, np.int32), order)
    for v in range(len(state)):
        if state[v] and touches_face(state, v, offsets, 0):
            _push(state, queue, v, 0)
    current = 0
    while current < len(first):
        if first[current] < 0:
            current += 1
            continue
        layer = _take_layer(queue, current)
        for face in (4, 21, 10, 15, 12, 13):
            exposed = _find_simple(layer, state, offsets, face)
            _remove_simple(layer, exposed, state, queue, current, geometry)
        for v in layer:
            if v >= 0:
                state[v] = 1
                if _is_removable(state, v, geometry):
                    _push(state, queue, v, current)


@njit(cache=True, nogil=True, inline="always")
def _push(state, queue, v, current):  # type: ignore[no-untyped-def]
    """Insert a voxel into the list of its order, or into that of `current` if it is later."""
    first, following, order = queue
    number = max(current, order[v])
    following[v] = first[number]
    first[number] = v
    state[v] = 3


@njit(cache=True, nogil=True)
def _take_layer(queue, current):  # type: ignore[no-untyped-def]
    """Empty a list; return its voxels."""
    first, following, _ = queue
    v, count = first[current], 0
    while v >= 0:
        count += 1
        v = following[v]
    layer = np.empty(count, np.int32)
    v, first[current] = first[current], -1
    for i in range(count):
        layer[i] = v
        v = following[v]
    return layer


@njit(cache=True, nogil=True)
def _find_simple(layer, state, offsets, face):  # type: ignore[no-untyped-def]
    """Return the places in a layer of the simple voxels that touch the background at a face."""
    found = np.empty(len(layer), np.int32)
    count = 0
    for i in range(len(layer)):
        v = layer[i]
        is_exposed = v >= 0 and not state[v + offsets[face]]
        if is_exposed and is_simple(read_neighbours(state, v, offsets)):
            found[count] = i
            count += 1
    return found[:count]


@njit(cache=True, nogil=True)
def _remove_simple(layer, places, state, queue, current, geometry):  # type: ignore[no-untyped-def]
    """Remove the voxels at places of a layer that are still simple; put neighbours in the queue."""
    offsets = geometry[1]
    for i in places:
        v = layer[i]
        if not _is_removable(state, v, geometry):
            continue
        state[v], layer[i] = 0, -1
        for n in range(26):
            u = v + offsets[n]
            if state[u] == 1:
                _push(state, queue, u, current)


@njit(cache=True, nogil=True)
def _is_removable(state, v, geometry):  # type: ignore[no-untyped-def]
    """Return whether a voxel is simple, and no end of a line that remains."""
    neighbours = read_neighbours(state, v, geometry[1])
    if not is_simple(neighbours):
        return False
    is_end = neighbours & (neighbours - 1) == 0
    return not (is_end and _slope(v, geometry) < MAX_END_SLOPE)


@njit(cache=True, nogil=True)
def _neighbour_distances(size):  # type: ignore[no-untyped-def]
    """Return the distances of the 26 neighbours, nm."""
    lengths = np.empty(26, np.float64)
    for n in range(26):
        bit = n + (n >= 13)
        z, y, x = bit // 9 - 1, bit // 3 % 3 - 1, bit % 3 - 1
        lengths[n] = np.sqrt((z * size[0]) ** 2 + (y * size[1]) ** 2 + (x * size[2]) ** 2)
    return lengths


@njit(cache=True, nogil=True)
def _slope(v, geometry):  # type: ignore[no-untyped-def]
    """Return the increase of the distance per nm on the steepest way from a voxel.

    The way is `MIN_SLOPE_VOXELS` and half of the distance at its end; it is shorter where the
    distance has its maximum.
    """
    distance, offsets, lengths, size = geometry
    u, travelled = v, 0.0
    least = MIN_SLOPE_VOXELS * size.max()
    while travelled < least + 0.5 * distance[u]:
        best, steepest = -1, 0.0
        for n in range(26):
            slope = (distance[u + offsets[n]] - distance[u]) / lengths[n]
            if slope > steepest:
                best, steepest = n, slope
        if best < 0:
            break
        u += offsets[best]
        travelled += lengths[best]
    return (distance[u] - distance[v]) / max(travelled, least)
