"""Strokes on fragments: which of them they bind, and what becomes of one that both kinds bind.

A stroke binds what it is drawn on. It seldom ends just where its object does, and what it only
grazes is often part of another, so that a few bins at the edge of a fragment do not bind it::

    a a a|b b b b
    a 1 1|1 b b b       1: a stroke. It binds a, and grazes b
    a 1 1|b b b b
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from asem.annotate.fragments import Fragments
from asem.annotate.strokes import BACKGROUND, FOREGROUND, KINDS
from asem.config import Nm3
from asem.image.components import components_of
from asem.volume.roi import Triple

GRAZED_BINS, GRAZED_SHARE = 3, 0.02
"""A stroke that fills fewer bins of a fragment and less of it than this only grazes it. Chosen on
the windows of `benchmarks/annotation.py`, with four draws of strokes, its own among them."""


def binned_strokes(
    strokes: npt.NDArray[np.integer], factors: Triple, shape: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """Return the kind that most voxels drawn in a bin have, 1 of equally many; 0 where none is."""
    counts = []
    for kind in KINDS:
        places = np.unravel_index(np.flatnonzero(strokes == kind), strokes.shape)
        bins = [place // factor for place, factor in zip(places, factors, strict=True)]
        flat = np.ravel_multi_index(bins, shape)
        counts.append(np.bincount(flat, minlength=int(np.prod(shape))))
    marks = np.where(counts[0] >= counts[1], FOREGROUND, BACKGROUND) * (counts[0] + counts[1] > 0)
    return marks.astype(np.uint8).reshape(shape)


def without_grazes(
    marks: npt.NDArray[np.uint8], labels: npt.NDArray[np.int32]
) -> npt.NDArray[np.uint8]:
    """Return the strokes without those parts that graze a fragment, and bind another.

    Bins of a kind that touch, also by a corner, are one stroke; one that only grazes, as a click
    may, is kept.

    Examples
    --------
    >>> labels = np.repeat([0, 1], (4, 500)).astype(np.int32).reshape(1, 2, 252)
    >>> marks = np.zeros(labels.shape, np.uint8)
    >>> marks[0, 0, 2:5], marks[0, 1, 9] = 1, 1
    >>> np.argwhere(without_grazes(marks, labels)).tolist()
    [[0, 0, 2], [0, 0, 3], [0, 1, 9]]
    """
    drawn = np.flatnonzero(marks)
    strokes, touched = components_of(marks, 26).ravel()[drawn], labels.ravel()[drawn]
    sizes = np.bincount(labels.ravel())
    pairs, of, bins = np.unique(
        strokes * np.int64(len(sizes)) + touched, return_inverse=True, return_counts=True
    )
    stroke, fragment = np.divmod(pairs, len(sizes))
    grazed = (bins < GRAZED_BINS) & (bins < GRAZED_SHARE * sizes[fragment])
    binds = np.bincount(stroke, ~grazed) > 0
    firm = marks.copy()
    firm.ravel()[drawn[(grazed & binds[stroke])[of]]] = 0
    return firm


def split(
    fragments: Fragments, marks: npt.NDArray[np.uint8], spacing: Nm3
) -> tuple[Fragments, npt.NDArray[np.intp]]:
    """Cut fragments that carry both kinds of strokes in two, by the nearer stroke.

    Returns
    -------
    Fragments
        New parts have the last numbers.
    ndarray
        The number that each had before, (n,).
    """
    number = len(fragments.sizes)
    torn = np.intersect1d(*(fragments.labels[marks == kind] for kind in KINDS))
    if not torn.size:
        return fragments, np.arange(number)
    labels = fragments.labels.copy()
    boxes = ndimage.find_objects(labels + 1)
    for new, piece in enumerate(torn.tolist(), start=number):
        box = boxes[piece]
        inside, here = fragments.labels[box] == piece, marks[box]
        to = [ndimage.distance_transform_edt(~(inside & (here == kind)), spacing) for kind in KINDS]
        labels[box][inside & (to[1] < to[0])] = new
    parents = np.concatenate([np.arange(number), torn])
    changed = np.isin(parents, torn)
    return fragments.relabelled(labels, changed), parents
