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
anisotropic, since the distances are nm. A sheet becomes a line along its middle. Where its
thickness crosses a multiple of `LAYER_VOXELS`, side lines may remain.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.config import NmZYX
from asem.image.simple_points import is_simple, neighbour_offsets, read_neighbours, touches_face

LAYER_VOXELS = 2
"""Thickness of the layers that are removed one after the other, shortest edges of voxels."""
LINE_VOXELS = 4
"""An end remains if so many voxels, it among them, form a line: bumps of a surface do not."""


def thin_to_lines(
    mask: npt.NDArray[np.bool_], distance: npt.NDArray[np.float32], voxel_size: NmZYX
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """Thin an object to lines one voxel wide, which have the same parts and tunnels.

    Objects are connected through faces, edges and corners (26 neighbours). A ball becomes a
    few voxels. Lines end about a radius before the surface.

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
    lines
        The voxels of the lines, bool, shape of `mask`.
    depth
        Distance to the surface on the way on which voxels were removed, nm: about the radius of a
        tube, half of the width of a sheet.

    Examples
    --------
    >>> tube = np.zeros((4, 4, 12), bool)
    >>> tube[1:3, 1:3, 1:11] = True
    >>> lines, _ = thin_to_lines(tube, tube.astype(np.float32), (1.0, 1.0, 1.0))
    >>> int(lines.sum())
    10
    """
    state = np.ascontiguousarray(mask).astype(np.uint8)
    distance = np.ascontiguousarray(distance)
    depth = distance.copy()
    size = np.array(voxel_size, np.float64)
    order = (distance / (LAYER_VOXELS * size.min())).astype(np.int32)
    _remove_voxels(state.ravel(), order.ravel(), depth.ravel(), size, mask.shape)
    return state.view(np.bool_), depth


@njit(cache=True, nogil=True)
def _remove_voxels(state, order, depth, size, shape):  # type: ignore[no-untyped-def]
    """Remove voxels from `state`: 0 background, 1 object; 2 in a layer, 3 in the queue, meanwhile.

    The queue has a linked list for each value of `order`: `first`, and `following` each voxel. Each
    list is a layer of the object, which is removed from one of six directions after the other, so
    that a sheet shrinks from its rim inwards, also where it is two voxels thick.
    """
    offsets = neighbour_offsets(shape)
    steps = (offsets, _neighbour_distances(size))
    first = np.full(order.max() + 1, -1, np.int32)
    queue = (first, np.full(len(state), -1, np.int32), order)
    _push_surface(state, queue, offsets)
    current = 0
    while current < len(first):
        if first[current] < 0:
            current += 1
            continue
        layer = _take_layer(state, queue, current, offsets)
        for face in (4, 21, 10, 15, 12, 13):
            for i in _find_simple(layer, state, offsets, shape, face):
                v = layer[i]
                if _is_removable(state, v, offsets):
                    state[v], layer[i] = 0, -1
                    _push_neighbours(state, queue, v, current, steps, depth)
        for v in layer:
            if v >= 0:
                state[v] = 1
                if _is_removable(state, v, offsets):
                    _push(state, queue, v, current)


@njit(cache=True, nogil=True)
def _push_surface(state, queue, offsets):  # type: ignore[no-untyped-def]
    """Insert the voxels that touch the background."""
    for v in range(len(state)):
        if state[v] and touches_face(state, v, offsets, 0):
            _push(state, queue, v, 0)


@njit(cache=True, nogil=True, inline="always")
def _push(state, queue, v, current):  # type: ignore[no-untyped-def]
    """Insert a voxel into the list of its order, or into that of `current` if it is later."""
    first, following, order = queue
    number = max(current, order[v])
    following[v] = first[number]
    first[number] = v
    state[v] = 3


@njit(cache=True, nogil=True)
def _take_layer(state, queue, current, offsets):  # type: ignore[no-untyped-def]
    """Empty a list; return its simple voxels."""
    first, following, _ = queue
    v, count = first[current], 0
    while v >= 0:
        count += 1
        v = following[v]
    layer = np.empty(count, np.int32)
    v, first[current], count = first[current], -1, 0
    while v >= 0:
        state[v] = 1
        if is_simple(read_neighbours(state, v, offsets)):
            layer[count], state[v] = v, 2
            count += 1
        v = following[v]
    return layer[:count]


@njit(cache=True, nogil=True)
def _find_simple(layer, state, offsets, shape, face):  # type: ignore[no-untyped-def]
    """Return the places in a layer of the simple voxels that touch the background at a face.

    Those of every second place along each axis come first, then those of the seven other subfields:
    a strip two voxels wide would be removed from its end on if neighbours followed each other.
    """
    found = np.empty(len(layer), np.int32)
    subfields = np.empty(len(layer), np.int8)
    count = 0
    for i in range(len(layer)):
        v = layer[i]
        is_exposed = v >= 0 and not state[v + offsets[face]]
        if is_exposed and is_simple(read_neighbours(state, v, offsets)):
            row = v // shape[2]
            z, y, x = row // shape[1], row % shape[1], v % shape[2]
            found[count], subfields[count] = i, 4 * (z % 2) + 2 * (y % 2) + x % 2
            count += 1
    return found[:count][np.argsort(subfields[:count], kind="mergesort")]


@njit(cache=True, nogil=True, inline="always")
def _push_neighbours(state, queue, v, current, steps, depth):  # type: ignore[no-untyped-def]
    """Insert the neighbours of a removed voxel that are not in the queue."""
    offsets, lengths = steps
    for n in range(26):
        u = v + offsets[n]
        if state[u] == 1:
            _push(state, queue, u, current)
            depth[u] = max(depth[u], depth[v] + lengths[n])


@njit(cache=True, nogil=True)
def _is_removable(state, v, offsets):  # type: ignore[no-untyped-def]
    """Return whether a voxel is simple, and no end of a line."""
    neighbours = read_neighbours(state, v, offsets)
    if not is_simple(neighbours):
        return False
    return neighbours & (neighbours - 1) != 0 or not _ends_line(state, v, offsets)


@njit(cache=True, nogil=True)
def _ends_line(state, v, offsets):  # type: ignore[no-untyped-def]
    """Return whether each of `LINE_VOXELS` voxels from an end on has one more neighbour."""
    before, u = -1, v
    for _ in range(LINE_VOXELS):
        after, count = -1, 0
        for n in range(26):
            w = u + offsets[n]
            if state[w] and w != before:
                after = w
                count += 1
        if count != 1:
            return count == 0
        before, u = u, after
    return True


@njit(cache=True, nogil=True)
def _neighbour_distances(size):  # type: ignore[no-untyped-def]
    """Return the distances of the 26 neighbours, nm."""
    lengths = np.empty(26, np.float64)
    for n in range(26):
        bit = n + (n >= 13)
        z, y, x = bit // 9 - 1, bit // 3 % 3 - 1, bit % 3 - 1
        lengths[n] = np.sqrt((z * size[0]) ** 2 + (y * size[1]) ** 2 + (x * size[2]) ** 2)
    return lengths
