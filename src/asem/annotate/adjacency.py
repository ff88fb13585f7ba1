"""Adjacency graph of labelled segments: the pairs that share faces, and the faces they share.

::

    0 0 1      (0, 1): 1 face
    2 2 1      (0, 2): 2 faces
               (1, 2): 1 face
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

Slices = tuple[slice, ...]


@dataclass(frozen=True)
class Adjacency:
    """The pairs of segments that share a face, each pair once, in lexicographic order.

    Parameters
    ----------
    first, second
        Segments, int64, ``first < second``, (m,).
    faces
        Number of shared faces, int64, (m,).
    """

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    faces: npt.NDArray[np.int64]

    def has_any_of(self, nodes: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return for each pair whether at least one of its segments is in `nodes`, (n,)."""
        return nodes[self.first] | nodes[self.second]

    def select(self, pairs: npt.NDArray[np.bool_]) -> "Adjacency":
        """Return the pairs where a mask, (m,), is True."""
        return Adjacency(self.first[pairs], self.second[pairs], self.faces[pairs])

    def merge(self, other: "Adjacency") -> tuple["Adjacency", npt.NDArray[np.intp]]:
        """Return the pairs of both graphs, which have none in common, in lexicographic order.

        Returns
        -------
        Adjacency
            The merged pairs.
        ndarray
            The order: indices into the concatenated pairs of `self` and `other`.
        """
        first = np.concatenate([self.first, other.first])
        second = np.concatenate([self.second, other.second])
        faces = np.concatenate([self.faces, other.faces])
        order = np.lexsort((second, first))
        return Adjacency(first[order], second[order], faces[order]), order

    def to_matrix(self, weights: npt.NDArray[np.number], node_count: int) -> sparse.csr_array:
        """Return the symmetric (n, n) matrix of one weight per pair."""
        ends = (
            np.concatenate([self.first, self.second]),
            np.concatenate([self.second, self.first]),
        )
        return sparse.csr_array(
            (np.concatenate([weights, weights]), ends), shape=(node_count, node_count)
        )


def find_adjacency(labels: npt.NDArray[np.int32]) -> Adjacency:
    """Find which segments share a face.

    Parameters
    ----------
    labels
        Segments 0, 1, ..., shape (z, y, x).

    Examples
    --------
    >>> graph = find_adjacency(np.array([[[0, 0, 1], [2, 2, 1]]], np.int32))
    >>> graph.first.tolist(), graph.second.tolist(), graph.faces.tolist()
    ([0, 0, 1], [1, 2, 2], [1, 2, 1])
    """
    keys = [keys for _, _, _, keys in _boundary_faces(labels, None)]
    pairs, faces = np.unique(np.concatenate(keys), return_counts=True)
    return Adjacency(*np.divmod(pairs, int(labels.max()) + 1), faces)


def find_boundary_quantiles(
    labels: npt.NDArray[np.int32],
    heights: npt.NDArray[np.float32],
    quantile: float,
    *,
    nodes: npt.NDArray[np.bool_] | None = None,
) -> tuple[Adjacency, npt.NDArray[np.float64]]:
    """Find which segments share a face, and a quantile of a height over the faces of each pair.

    Parameters
    ----------
    labels, heights
        Segments 0, 1, ... and an image, shape (z, y, x). The height of a face is the larger one of
        its two voxels.
    quantile
        In [0, 1], rounded down to the next face.
    nodes
        Return only pairs with at least one of these, (n,).

    Returns
    -------
    Adjacency
        The pairs.
    ndarray
        The quantile of each pair, (m,).
    """
    keys, face_heights = [], []
    for low, high, differ, face_keys in _boundary_faces(labels, nodes):
        keys.append(face_keys)
        face_heights.append(np.maximum(heights[low][differ], heights[high][differ]))
    key, height = np.concatenate(keys), np.concatenate(face_heights)
    order = np.lexsort((height, key))
    pairs, start, faces = np.unique(key[order], return_index=True, return_counts=True)
    selected = order[start + ((faces - 1) * quantile).astype(np.int64)]
    graph = Adjacency(*np.divmod(pairs, int(labels.max()) + 1), faces)
    return graph, height[selected].astype(np.float64)


def _boundary_faces(
    labels: npt.NDArray[np.int32], nodes: npt.NDArray[np.bool_] | None
) -> Iterator[tuple[Slices, Slices, npt.NDArray[np.bool_], npt.NDArray[np.int64]]]:
    """Yield, per axis, slices to both sides of all faces, where labels differ, and pairs as keys.

    The key of a pair is ``first * n + second``.
    """
    count = int(labels.max()) + 1
    for axis in range(3):
        low = tuple(slice(None, -1 if a == axis else None) for a in range(3))
        high = tuple(slice(1 if a == axis else None, None) for a in range(3))
        differ = labels[low] != labels[high]
        if nodes is not None:
            differ &= nodes[labels[low]] | nodes[labels[high]]
        a, b = labels[low][differ].astype(np.int64), labels[high][differ].astype(np.int64)
        yield low, high, differ, np.minimum(a, b) * count + np.maximum(a, b)
