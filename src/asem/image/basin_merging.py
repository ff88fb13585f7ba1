r"""Merge basins into objects, strongest contact first, until all contacts are weak.

The strength of a contact of two parts of an object is

.. math:: S = \frac{s}{\min(p_1, p_2)} \cdot \frac{A}{\min(V_1, V_2)^{2/3}}

with the saddle s (the largest value of the landscape on the contact), the peaks p and volumes V of
both parts, and the area A of the contact, counted in faces of voxels. The first factor is the
relative height of the saddle: how much an object narrows at the contact, of which persistence is
the complement (Edelsbrunner et al., Discrete & Computational Geometry 28, 2002). The second is the
isoperimetric ratio of a cut (Cheeger's constant in three dimensions; Grady and Schwartz, IEEE PAMI
28, 2006): the area of a cut beside the smallest volume it separates. Neither has a unit, so that
one threshold holds for objects of all sizes at all voxel sizes.

::

    strength     1.9 a ball in halves; 0.5 the middle of a rod ten times as long as thick;
                 0.2 two balls of radius 1 whose contact has the radius 0.5 (before: the saddle
                 of half of the peaks)

Merges are greedy, as in agglomerative clustering of region adjacency graphs (Bailoni et al., CVPR
2022): areas of contacts with the same part add up, saddles and peaks are maxima, volumes are sums.
"""

import heapq
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.typed import Dict

from asem.config import NmZYX
from asem.image.basin_contacts import Contacts


def merge_basins(
    sizes: npt.NDArray[np.int64],
    peaks: npt.NDArray[np.int64],
    contacts: Contacts,
    voxel_size: NmZYX,
    min_strength: float,
) -> npt.NDArray[np.int64]:
    """Return for each basin the smallest index of the basins that are one object with it.

    The strongest contact is merged first, as long as it has `min_strength`; among equal ones that
    which contains the first contact of two basins.

    Parameters
    ----------
    sizes, peaks
        Voxels of each basin, and the landscape at its peak, int64, (n,).
    contacts
        Contacts of the basins.
    voxel_size
        nm.
    min_strength
        Contacts that are at least as strong are merged.

    Examples
    --------
    Three basins in a row, of 1000 voxels each; the second contact is a neck.

    >>> contacts = Contacts.from_rows([0, 1], [1, 2], [90, 30], [[100, 0, 0], [20, 0, 0]])
    >>> sizes, peaks = np.full(3, 1000), np.full(3, 100)
    >>> merge_basins(sizes, peaks, contacts, (5, 5, 5), min_strength=0.5).tolist()
    [0, 0, 2]
    """
    z, y, x = voxel_size
    # In units in which a voxel has the volume 1.
    face_areas = np.array([y * x, z * x, z * y]) / (z * y * x) ** (2 / 3)
    count = len(contacts.first)
    graph = _Graph(
        parts=np.stack([contacts.first, contacts.second], axis=1),
        saddles=contacts.saddles.copy(),
        faces=contacts.faces.copy(),
        ranks=np.arange(count),
        exists=np.ones(count, bool),
        first_entry=np.full(len(sizes), -1),
        next_entry=np.full(2 * count, -1),
        degree=np.zeros(len(sizes), np.int64),
        sizes=sizes.copy(),
        peaks=peaks.copy(),
        face_areas=face_areas,
    )
    return np.asarray(_merge_strongest_first(graph, min_strength))


class _Graph(NamedTuple):
    """Parts of objects and their contacts, for the kernels.

    Parameters
    ----------
    parts
        The two parts of each contact, (contacts, 2).
    saddles, faces
        As for `Contacts`.
    ranks
        Smallest index of the contacts of basins that a contact consists of.
    exists
        False where a contact was merged.
    first_entry, next_entry
        Linked lists of the contacts of each part: entry 2 c + s is contact c of ``parts[c, s]``.
    degree
        Length of each list.
    sizes, peaks
        Of each part.
    face_areas
        Area of a face across each axis.
    """

    parts: Any
    saddles: Any
    faces: Any
    ranks: Any
    exists: Any
    first_entry: Any
    next_entry: Any
    degree: Any
    sizes: Any
    peaks: Any
    face_areas: Any


@njit(cache=True)
def _merge_strongest_first(graph, min_strength):  # type: ignore[no-untyped-def]
    """Return the smallest basin of the object of each basin; changes the arrays of the graph.

    A merge makes contacts weaker, as parts are larger, unless both parts touched the same third
    one. So each contact is in the heap with its strength, or with an earlier one that is larger.
    """
    parent = np.arange(len(graph.sizes))
    contact_of_pair = Dict.empty(types.int64, types.int64)
    heap = [(0.0, 0, 0) for _ in range(0)]
    for contact in range(len(graph.saddles)):
        a, b = graph.parts[contact, 0], graph.parts[contact, 1]
        contact_of_pair[_pair(graph, a, b)] = contact
        _append(graph, 2 * contact, a)
        _append(graph, 2 * contact + 1, b)
        _push(heap, graph, contact, min_strength)
    while heap:
        negative, rank, contact = heapq.heappop(heap)
        if not graph.exists[contact]:
            continue
        if negative != -_strength(graph, contact) or rank != graph.ranks[contact]:
            _push(heap, graph, contact, min_strength)
            continue
        a, b = graph.parts[contact, 0], graph.parts[contact, 1]
        if graph.degree[a] < graph.degree[b]:
            a, b = b, a
        parent[max(_root(parent, a), _root(parent, b))] = min(_root(parent, a), _root(parent, b))
        graph.exists[contact] = False
        graph.sizes[a] += graph.sizes[b]
        graph.peaks[a] = max(graph.peaks[a], graph.peaks[b])
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
    a, b = graph.parts[contact, 0], graph.parts[contact, 1]
    peak, size = min(graph.peaks[a], graph.peaks[b]), min(graph.sizes[a], graph.sizes[b])
    area = 0.0
    for axis in range(3):
        area += graph.faces[contact, axis] * graph.face_areas[axis]
    narrowing = graph.saddles[contact] / peak if peak > 0 else 1.0
    return narrowing * area / size ** (2 / 3)


@njit(cache=True)
def _push(heap, graph, contact, min_strength):  # type: ignore[no-untyped-def]
    strength = _strength(graph, contact)
    if strength >= min_strength:
        heapq.heappush(heap, (-strength, graph.ranks[contact], contact))


@njit(cache=True)
def _move_contacts(graph, a, b, contact_of_pair, heap, min_strength):  # type: ignore[no-untyped-def]
    """Move the contacts of part b to part a; merge those with a part that a touches, too."""
    entry = graph.first_entry[b]
    while entry >= 0:
        following, moved, side = graph.next_entry[entry], entry // 2, entry % 2
        if graph.exists[moved]:
            pair = _pair(graph, a, graph.parts[moved, 1 - side])
            if pair in contact_of_pair:
                joined = contact_of_pair[pair]
                graph.faces[joined] += graph.faces[moved]
                graph.saddles[joined] = max(graph.saddles[joined], graph.saddles[moved])
                graph.ranks[joined] = min(graph.ranks[joined], graph.ranks[moved])
                graph.exists[moved] = False
                _push(heap, graph, joined, min_strength)
            else:
                contact_of_pair[pair] = moved
                _append(graph, entry, a)
        entry = following
