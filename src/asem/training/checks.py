"""Checks of labelled regions before the first iteration: classes, and overlap with validation."""

import logging
from collections.abc import Sequence

import numpy as np

from asem.training.regions import Sample
from asem.training.targets import BEYOND, BLOCK
from asem.volume.grid import tile
from asem.volume.roi import Roi, Triple, negative
from asem.volume.volume import WHOLE_VOXEL_TOLERANCE, same_voxel_size

LOG = logging.getLogger(__name__)
COMPARED = 64
"""Edge of the box of grey values by which two images are recognized as one, voxels."""


def check_regions(training: Sequence[Sample], validation: Sequence[Sample]) -> None:
    """Refuse training without foreground; log a warning for what makes a score meaningless.

    Warned of are single regions of one class, and voxels that are both trained and validated on. A
    single training region without foreground is allowed beside others: it shows what is none.

    Parameters
    ----------
    training
        The regions that patches are drawn from.
    validation
        The regions that the network is scored on; may be empty.

    Raises
    ------
    ValueError
        No training region has foreground.
    """
    if not any(sample.foreground for sample in training):
        raise ValueError(
            "no [[train]] region has foreground, so that there is nothing to learn: "
            f"{'; '.join(sample.name for sample in training)}; check `labels`, `roi` and `mask` "
            "(in labels, 0 is background and the dtype's maximum is unlabelled)"
        )
    for sample in training:
        _warn_of_one_class(sample, "[[train]]", "it teaches the network one class only")
    for sample in validation:
        _warn_of_one_class(sample, "[[validation]]", "F1 means nothing there")
    if validation and not any(sample.foreground for sample in validation):
        LOG.warning(
            "no [[validation]] region has foreground: F1 is 0 or undefined whatever the network "
            "predicts; validate on a region that shows the structure"
        )
    for trained in training:
        for held_out in validation:
            _warn_of_overlap(trained, held_out)


def _warn_of_one_class(sample: Sample, table: str, consequence: str) -> None:
    missing = "foreground" if sample.foreground == 0 else "background"
    if sample.foreground in (0, sample.known):
        LOG.warning("%s %s has no %s: %s", table, sample.name, missing, consequence)


def _warn_of_overlap(trained: Sample, held_out: Sample) -> None:
    number = shared_voxels(trained, held_out)
    if number:
        LOG.warning(
            "[[train]] %s and [[validation]] %s share %d labelled voxels, %.3g %% of the "
            "validation region: its scores are better than those on other data; give regions that "
            "do not overlap (`roi`)",
            trained.name,
            held_out.name,
            number,
            100 * number / held_out.known,
        )


def shared_voxels(a: Sample, b: Sample) -> int:
    """Count the voxels that are labelled in both of two regions of one image.

    One image is: the same raw or the same labels, or equal grey values at the same world position,
    as crops and copies of one image have.

    Parameters
    ----------
    a, b
        At their voxel sizes; those of different voxel sizes share nothing.
    """
    shift = _shift(a, b)
    if shift is None:
        return 0
    common = Roi.whole(a.target.shape).intersect(Roi.whole(b.target.shape).shift(shift))
    if common.size == 0 or not (_same_source(a, b) or _same_grey(a, b, common, shift)):
        return 0
    number = 0
    for block in tile(common, BLOCK):
        there = block.shift(negative(shift))
        known = (np.asarray(one.target[r.slices]) < BEYOND for one, r in ((a, block), (b, there)))
        number += int(np.count_nonzero(np.logical_and(*known)))
    return number


def _shift(a: Sample, b: Sample) -> Triple | None:
    """Return the first voxel of b's target in voxels of a's; None on another lattice."""
    if not same_voxel_size(a.raw.voxel_size, b.raw.voxel_size):
        return None
    first, second = (np.array(one.raw.position_nm(one.place)) for one in (a, b))
    exact = (second - first) / a.raw.voxel_size
    z, y, x = (int(whole) for whole in np.rint(exact))
    return (z, y, x) if np.abs(exact - (z, y, x)).max() <= WHOLE_VOXEL_TOLERANCE else None


def _same_source(a: Sample, b: Sample) -> bool:
    """Whether two regions are of the same raw, or of the same labels."""
    pairs = zip(a.inputs[:2], b.inputs[:2], strict=False)
    return any(one.rsplit(": ", 1)[-1] == other.rsplit(": ", 1)[-1] for one, other in pairs)


def _same_grey(a: Sample, b: Sample, common: Roi, shift: Triple) -> bool:
    """Whether two regions have equal grey values in the middle of what they have in common."""
    size = np.minimum(common.shape, COMPARED)
    start = np.array(common.offset) + (np.array(common.shape) - size) // 2
    box = Roi.between(start.tolist(), (start + size).tolist())
    first = a.raw.read(box.shift(a.place))
    second = b.raw.read(box.shift(negative(shift)).shift(b.place))
    return bool(first.min() < first.max() and np.array_equal(first, second))
