r"""Merge basins into objects, strongest contact first, until all contacts are weak.

The strength of the contact of two parts of an object compares its area with the sections of both
parts in the same direction: how much the object narrows there,

.. math:: S = \frac{2 \bar h}{\min(p_1, p_2)} \cdot \frac{A}{\min(Q_1, Q_2)}

with the area A of the contact; the section Q of each part perpendicular to the normal of the
contact, where the part counts as the ellipsoid of its second moments; the mean h of the landscape
on the contact, and the peaks p of both parts, whose landscape is about the distance to the surface.

::

    S    1 in the middle of a plate, q^2 where its thickness is q times that of the middle;
         2/3 in the middle of a rod, 2/3 q^3 where its diameter is q times that of the middle;
         0 where objects touch at a point

S has no unit: one threshold holds for thin and thick, round and long objects, at all voxel sizes.
Two plates that are stacked are separated where they touch in a part of their area only, though the
area is larger than a section of each plate.

The narrowing is the isoperimetric ratio of a cut (Cheeger's constant; Grady and Schwartz, IEEE PAMI
28, 2006) with a section in place of the volume^(2/3), times the relative height of the saddle, of
which the persistence of a peak is the complement (Edelsbrunner et al., Discrete & Computational
Geometry 28, 2002), as a mean instead of the maximum. Merges are greedy, as in agglomerative
clustering of region adjacency graphs (Bailoni et al., CVPR 2022): all quantities of joined contacts
and parts are sums, but for the peak, which is the maximum.
"""

import heapq
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.typed import Dict

from asem.config import NmZYX
from asem.image.basin_contacts import Contacts
from asem.image.basin_moments import central_moments, section_area

STEPS = 1e9
"""Strengths are integers of 1e-9: ties do not depend on the last bits of floats."""


def merge_basins(
    sizes: npt.NDArray[np.int64],
    moments: npt.NDArray[np.int64],
    peaks: npt.NDArray[np.int64],
    contacts: Contacts,
    *,
    voxel_size: NmZYX,
    min_strength: float,
) -> npt.NDArray[np.int64]:
    """Return for each basin the smallest index of the basins that are one object with it.

    The strongest contact is merged first, as long as it has `min_strength`; among equal ones that
    which contains the first contact of two basins. The strength of a contact counts as that when
    it arose from others; if it is lower when its turn comes, it waits for another turn.

    Parameters
    ----------
    sizes, moments, peaks
        Voxels of each basin, (n,), their moments (`asem.image.basin_moments.sum_moments`), (n, 9),
        and the landscape at its peak, (n,).
    contacts
        Contacts of the basins.
    voxel_size
        nm.
    min_strength
        Contacts that are at least as strong are merged.

    Returns
    -------
    ndarray
        int64, (n,).
    """
    z, y, x = voxel_size
    face_areas = np.array([y * x, z * x, z * y], np.float64)
    centres, seconds = central_moments(sizes, moments, voxel_size)
    count = len(contacts.first)
    graph = _Graph(
        parts=np.stack([contacts.first, contacts.second], axis=1),
        faces=contacts.faces.copy(),
        normals=contacts.normals.copy(),
        heights=contacts.heights.copy(),
        ranks=np.arange(count),
        versions=np.zeros(count, np.int64),
        first_entry=np.full(len(sizes), -1),
        next_entry=np.full(2 * count, -1),
        degree=np.zeros(len(sizes), np.int64),
        sizes=sizes.copy(),
        centres=centres,
        seconds=seconds,
        peaks=peaks.copy(),
        face_areas=face_areas,
    )
    return np.asarray(_merge_strongest_first(graph, int(np.rint(min_strength * STEPS))))


class _Graph(NamedTuple):
    """Parts of objects and their contacts, for the kernels.

    Parameters
    ----------
    parts
        The two parts of each contact, (contacts, 2).
    faces, normals, heights
        As for `Contacts`; normals point from ``parts[c, 0]`` to ``parts[c, 1]``.
    ranks
        Smallest index of the contacts of basins that a contact consists of.
    versions
        Number of joins of each contact, after which its earlier entry in the heap is obsolete; -1
        where it was merged.
    first_entry, next_entry
        Linked lists of the contacts of each part: entry 2 c + s is contact c of ``parts[c, s]``.
    degree
        Length of each list.
    sizes, centres, seconds, peaks
        Of each part: voxels, moments (`asem.image.basin_moments.central_moments`), peak.
    face_areas
        Area of a face across each axis.
    """

    parts: Any
    faces: Any
    normals: Any
    heights: Any
    ranks: Any
    versions: Any
    first_entry: Any
    next_entry: Any
    degree: Any
    sizes: Any
    centres: Any
    seconds: Any
    peaks: Any
    face_areas: Any


@njit(cache=True)
def _merge_strongest_first(graph, min_strength):  # type: ignore[no-untyped-def]
    """Return the smallest basin of the object of each basin; changes the arrays of the graph."""
    parent = np.arange(len(graph.sizes))
    contact_of_pair = Dict.empty(types.int64, types.int64)
    heap = [(0, 0, 0, 0) for _ in range(0)]
    for contact in range(len(graph.heights)):
        a, b = graph.parts[contact, 0], graph.parts[contact, 1]
        contact_of_pair[_pair(graph, a, b)] = contact
        _append(graph, 2 * contact, a)
        _append(graph, 2 * contact + 1, b)
        _push(heap, graph, contact, min_strength)
    while heap:
        negative, _, contact, version = heapq.heappop(heap)
        if version != graph.versions[contact]:
            continue
        if _strength(graph, contact) < -negative:
            _push(heap, graph, contact, min_strength)
            continue
        a, b = graph.parts[contact, 0], graph.parts[contact, 1]
        if graph.degree[a] < graph.degree[b]:
            a, b = b, a
        parent[max(_root(parent, a), _root(parent, b))] = min(_root(parent, a), _root(parent, b))
        graph.versions[contact] = -1
        _add_part(graph, a, b)
        _move_contacts(graph, a, b, contact_of_pair, heap, min_strength)
    for basin in range(len(parent)):
        parent[basin] = parent[parent[basin]]  # smaller ones are done
    return parent


@njit(cache=True)
def _root(parent, part):  # type: ignore[no-untyped-def]
    while parent[part] != part:
        parent[part] = parent[parent[part]]
        part = parent[part]
    return part


@njit(cache=True)
def _pair(graph, a, b):  # type: ignore[no-untyped-def]
    return min(a, b) * len(graph.sizes) + max(a, b)


@njit(cache=True)
def _append(graph, entry, part):  # type: ignore[no-untyped-def]
    """Insert an entry in front of the contacts of a part."""
    graph.parts[entry // 2, entry % 2] = part
    graph.next_entry[entry] = graph.first_entry[part]
    graph.first_entry[part] = entry
    graph.degree[part] += 1


@njit(cache=True)
def _strength(graph, contact):  # type: ignore[no-untyped-def]
    """Return the strength of a contact in units of 1e-9."""
    a, b = graph.parts[contact, 0], graph.parts[contact, 1]
    areas = graph.faces[contact] * graph.face_areas
    # The faces of an oblique contact form stairs; their areas across the axes are components.
    area = np.sqrt((areas**2).sum())
    normal = graph.normals[contact] * graph.face_areas
    section = min(
        section_area(graph.sizes[a], graph.seconds[a], normal),
        section_area(graph.sizes[b], graph.seconds[b], normal),
    )
    peak = min(graph.peaks[a], graph.peaks[b])
    height = graph.heights[contact] / graph.faces[contact].sum()
    strength = (2 * height / peak if peak > 0 else 1.0) * area / section
    return np.int64(np.rint(strength * STEPS))


@njit(cache=True)
def _add_part(graph, a, b):  # type: ignore[no-untyped-def]
    """Add part b to part a (parallel axis theorem)."""
    size = graph.sizes[a] + graph.sizes[b]
    weight = graph.sizes[a] * (graph.sizes[b] / size)
    z, y, x = graph.centres[b] - graph.centres[a]
    graph.seconds[a] += graph.seconds[b] + weight * np.array(
        [z * z, y * y, x * x, y * x, z * x, z * y]
    )
    graph.centres[a] += (graph.centres[b] - graph.centres[a]) * (graph.sizes[b] / size)
    graph.sizes[a] = size
    graph.peaks[a] = max(graph.peaks[a], graph.peaks[b])


@njit(cache=True)
def _push(heap, graph, contact, min_strength):  # type: ignore[no-untyped-def]
    strength = _strength(graph, contact)
    if strength >= min_strength:
        entry = (-strength, graph.ranks[contact], contact, graph.versions[contact])
        heapq.heappush(heap, entry)


@njit(cache=True)
def _move_contacts(graph, a, b, contact_of_pair, heap, min_strength):  # type: ignore[no-untyped-def]
    """Move the contacts of part b to part a; merge those with a part that a touches, too."""
    entry = graph.first_entry[b]
    while entry >= 0:
        following, moved, side = graph.next_entry[entry], entry // 2, entry % 2
        if graph.versions[moved] >= 0:
            pair = _pair(graph, a, graph.parts[moved, 1 - side])
            if pair in contact_of_pair:
                joined = contact_of_pair[pair]
                same_order = (graph.parts[joined, 0] == a) == (side == 0)
                graph.faces[joined] += graph.faces[moved]
                graph.normals[joined] += graph.normals[moved] * (1 if same_order else -1)
                graph.heights[joined] += graph.heights[moved]
                graph.versions[joined] += 1
                graph.ranks[joined] = min(graph.ranks[joined], graph.ranks[moved])
                graph.versions[moved] = -1
                _push(heap, graph, joined, min_strength)
            else:
                contact_of_pair[pair] = moved
                _append(graph, entry, a)
        entry = following
