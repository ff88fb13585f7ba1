"""Warn where an image seems to hold ids, or labels seem to hold grey values.

Neighbouring voxels of an object have the same id; those of an image differ by noise. A box in the
middle of the volume is read::

    +-----------------+
    |      +---+      |   16 x 256 x 256 voxels
    |      +---+      |
    +-----------------+
"""

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.volume.roi import IntZYX, Roi, per_axis
from asem.volume.volume import Volume

LOG = logging.getLogger(__name__)
SAMPLE_SHAPE: IntZYX = (16, 256, 256)
"""Largest box that is read, voxels."""
MIN_PAIRS = 500
"""Fewest pairs of neighbours for a warning."""
MIN_EQUAL_FRACTION_OF_IDS = 0.8
"""Of the neighbours in labels."""


def count_equal_neighbours(values: npt.NDArray[Any], ignored_value: int) -> tuple[int, int]:
    """Count pairs of neighbours along x, and those of them that are equal.

    Pairs with 0 or `ignored_value` do not count.

    Examples
    --------
    >>> count_equal_neighbours(np.array([[[0, 3, 3, 4, 255]]], np.uint8), 255)
    (2, 1)
    """
    is_id = (values != 0) & (values != ignored_value)
    both = is_id[..., 1:] & is_id[..., :-1]
    equal = values[..., 1:] == values[..., :-1]
    return int(np.count_nonzero(both)), int(np.count_nonzero(both & equal))


def warn_of_ids(image: Volume) -> None:
    """Log a warning where most neighbouring voxels of an image of integers are equal."""
    if image.dtype.kind not in "ui":
        return
    pairs, equal = _count_in_sample(image)
    if pairs >= MIN_PAIRS and equal > MIN_EQUAL_FRACTION_OF_IDS * pairs:
        LOG.warning(
            "%s: most neighbouring voxels are equal; if these are ids, import it with --kind "
            "labels, else give --kind image",
            image.name,
        )


def warn_of_grey_values(labels: Volume) -> None:
    """Log a warning where most neighbouring voxels of labels differ."""
    if _seem_grey(labels):
        LOG.warning(
            "%s: most neighbouring voxels differ; are these grey values, not ids?", labels.name
        )


def check_are_ids(labels: Volume) -> None:
    """Raise ValueError where most neighbouring voxels of labels differ."""
    if _seem_grey(labels):
        raise ValueError(
            f"{labels.name}: most neighbouring voxels differ, as in grey values; name a "
            "segmentation"
        )


def _seem_grey(labels: Volume) -> bool:
    pairs, equal = _count_in_sample(labels)
    return pairs >= MIN_PAIRS and 2 * equal < pairs


def _count_in_sample(volume: Volume) -> tuple[int, int]:
    """Return the pairs of neighbours in the box, and how many are equal."""
    shape = per_axis(min, volume.shape, SAMPLE_SHAPE)
    offset = per_axis(lambda size, edge: (size - edge) // 2, volume.shape, shape)
    voxels = volume.read(Roi(offset, shape))
    return count_equal_neighbours(voxels, int(np.iinfo(voxels.dtype).max))
