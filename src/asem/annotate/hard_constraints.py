"""Hard constraints from strokes: downsample them to bins, drop grazes, split conflicting segments.

A stroke constrains the segments that it covers. It often ends beyond its object, in a segment of
another one, so that a few bins at the edge of a segment do not constrain it::

    a a a|b b b b
    a 1 1|1 b b b       1: a stroke. It constrains a, and grazes b
    a 1 1|b b b b
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from asem.annotate.edits import BACKGROUND, FOREGROUND, STROKE_LABELS
from asem.config import NmZYX
from asem.image.components import label_components
from asem.volume.roi import IntZYX

MAX_GRAZING_BINS, MAX_GRAZING_FRACTION = 3, 0.02
"""A stroke grazes a segment where it covers fewer bins of it, and less of it, than this. Chosen on
the windows of `benchmarks/annotation.py`, with four random draws of strokes including its own."""


def downsample_strokes(
    strokes: npt.NDArray[np.integer], factors: IntZYX, shape: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """Return the most frequent stroke label of each bin, 1 of equally many; 0 without strokes."""
    counts = []
    for label in STROKE_LABELS:
        voxels = np.unravel_index(np.flatnonzero(strokes == label), strokes.shape)
        bins = [along // factor for along, factor in zip(voxels, factors, strict=True)]
        flat = np.ravel_multi_index(bins, shape)
        counts.append(np.bincount(flat, minlength=int(np.prod(shape))))
    labels = np.where(counts[0] >= counts[1], FOREGROUND, BACKGROUND) * (counts[0] + counts[1] > 0)
    return labels.astype(np.uint8).reshape(shape)


def drop_grazing_strokes(
    bin_strokes: npt.NDArray[np.uint8], labels: npt.NDArray[np.int32]
) -> npt.NDArray[np.uint8]:
    """Remove the parts of strokes that graze a segment while the stroke constrains another one.

    Bins of one label that touch, also by a corner, are one stroke; a stroke that only grazes, such
    as a click, remains.

    Examples
    --------
    >>> labels = np.repeat([0, 1], (4, 500)).astype(np.int32).reshape(1, 2, 252)
    >>> strokes = np.zeros(labels.shape, np.uint8)
    >>> strokes[0, 0, 2:5], strokes[0, 1, 9] = 1, 1
    >>> np.argwhere(drop_grazing_strokes(strokes, labels)).tolist()
    [[0, 0, 2], [0, 0, 3], [0, 1, 9]]
    """
    drawn = np.flatnonzero(bin_strokes)
    strokes, covered = label_components(bin_strokes, 26).ravel()[drawn], labels.ravel()[drawn]
    sizes = np.bincount(labels.ravel())
    pairs, pair_of_bin, bins = np.unique(
        strokes * np.int64(len(sizes)) + covered, return_inverse=True, return_counts=True
    )
    stroke, segment = np.divmod(pairs, len(sizes))
    grazes = (bins < MAX_GRAZING_BINS) & (bins < MAX_GRAZING_FRACTION * sizes[segment])
    constrains = np.bincount(stroke, ~grazes) > 0
    remaining = bin_strokes.copy()
    remaining.ravel()[drawn[(grazes & constrains[stroke])[pair_of_bin]]] = 0
    return remaining


def split_conflicts(
    labels: npt.NDArray[np.int32], strokes: npt.NDArray[np.integer], spacing: NmZYX
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Split each segment with strokes of both labels in two, by the nearer stroke.

    Voxels at equal distances remain in the part of the foreground, which has the old id.

    Parameters
    ----------
    labels
        Segments 0, 1, ..., each of them present, shape (z, y, x).
    strokes
        1 foreground, 2 background, 0 nothing, the same shape.
    spacing
        Distances between neighbouring voxels along (z, y, x).

    Returns
    -------
    ndarray
        New labels; `labels` itself where no segment has a conflict.
    ndarray
        The split segments, ascending; their other parts have the ids n, n + 1, ... in this order.

    Examples
    --------
    >>> labels, strokes = np.array([[[0, 0, 0, 1]]], np.int32), np.array([[[1, 0, 2, 0]]])
    >>> split_conflicts(labels, strokes, (1.0, 1.0, 1.0))
    (array([[[0, 0, 2, 1]]], dtype=int32), array([0], dtype=int32))
    """
    conflicting = np.intersect1d(*(labels[strokes == label] for label in STROKE_LABELS))
    if not conflicting.size:
        return labels, conflicting
    split = labels.copy()
    boxes = ndimage.find_objects(labels + 1)
    for new, old in enumerate(conflicting.tolist(), start=int(labels.max()) + 1):
        box = boxes[old]
        inside, strokes_inside = labels[box] == old, strokes[box]
        distances = [
            ndimage.distance_transform_edt(~(inside & (strokes_inside == label)), spacing)
            for label in STROKE_LABELS
        ]
        split[box][inside & (distances[1] < distances[0])] = new
    return split, conflicting


def constrain_nodes(
    labels: npt.NDArray[np.int32], strokes: npt.NDArray[np.integer], node_count: int
) -> npt.NDArray[np.uint8]:
    """Return the stroke label of each segment, 0 without strokes, (n,); there are no conflicts."""
    constraints = np.zeros(node_count, np.uint8)
    drawn = np.flatnonzero(strokes)
    constraints[labels.ravel()[drawn]] = strokes.ravel()[drawn]
    return constraints
