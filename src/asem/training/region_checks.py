"""Check labelled regions before training: classes present, overlap of training and validation."""

import logging
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from asem.training.labelled_regions import LabelledRegion, input_identity
from asem.training.targets import OUTSIDE, READ_BLOCK
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import IntZYX, Roi, negate, per_axis
from asem.volume.volume import WHOLE_VOXEL_TOLERANCE, same_voxel_size

LOG = logging.getLogger(__name__)
COMPARED_EDGE = 64
"""Edge of the box whose grey values are compared to detect copies of one image, voxels."""


def check_regions(training: Sequence[LabelledRegion], validation: Sequence[LabelledRegion]) -> None:
    """Check that training regions have foreground; warn about regions that distort the scores.

    Warnings are for regions of one class, and for voxels in both training and validation, or in two
    validation regions. A training region without foreground is allowed with others: it provides
    background.

    Parameters
    ----------
    training
        Training regions.
    validation
        Validation regions; may be empty.

    Raises
    ------
    ValueError
        No training region has foreground.
    """
    if not any(region.foreground_voxels for region in training):
        raise ValueError(
            "no [[train]] region has foreground, the network cannot learn: "
            f"{'; '.join(region.name for region in training)}; check `labels`, `roi` and `mask` "
            "(in labels, 0 is background and the dtype's maximum is unlabelled)"
        )
    for region in training:
        _warn_of_one_class(region, "[[train]]", "from it, the network learns only one class")
    for region in validation:
        _warn_of_one_class(region, "[[validation]]", "its F1 is not meaningful")
    if validation and not any(region.foreground_voxels for region in validation):
        LOG.warning(
            "no [[validation]] region has foreground: F1 is 0 or undefined for every prediction; "
            "validate on a region that contains the structure"
        )
    for trained in training:
        for held_out in validation:
            _warn_of_overlap(trained, held_out)
    for one, other in combinations(validation, 2):
        if shared := count_shared_voxels(one, other):
            LOG.warning(
                "[[validation]] %s and %s share %d labelled voxels, which count twice in the "
                "pooled scores; choose regions that do not overlap (`roi`)",
                one.name,
                other.name,
                shared,
            )


def _warn_of_one_class(region: LabelledRegion, table: str, consequence: str) -> None:
    missing = "foreground" if region.foreground_voxels == 0 else "background"
    if region.foreground_voxels in (0, region.labelled_voxels):
        LOG.warning("%s %s has no %s: %s", table, region.name, missing, consequence)


def _warn_of_overlap(trained: LabelledRegion, held_out: LabelledRegion) -> None:
    shared = count_shared_voxels(trained, held_out)
    if shared:
        LOG.warning(
            "[[train]] %s and [[validation]] %s share %d labelled voxels, %.3g %% of the "
            "validation region: its scores are better than those on other data; choose regions "
            "that do not overlap (`roi`)",
            trained.name,
            held_out.name,
            shared,
            100 * shared / held_out.labelled_voxels,
        )


def count_shared_voxels(a: LabelledRegion, b: LabelledRegion) -> int:
    """Count the voxels that are labelled in both of two regions of one image.

    Regions are of one image if raw or labels are the same, or if grey values at the same world
    position are equal, as in crops and copies.

    Parameters
    ----------
    a, b
        The regions; the count is 0 for different voxel sizes.
    """
    shift = _find_voxel_shift(a, b)
    if shift is None:
        return 0
    common = Roi.of_shape(a.target.shape).intersect(Roi.of_shape(b.target.shape).shift(shift))
    if common.size == 0 or not (
        _have_same_source(a, b) or _have_equal_grey_values(a, b, common, shift)
    ):
        return 0
    shared = 0
    for block in split_into_blocks(common, READ_BLOCK):
        rois = (a, block), (b, block.shift(negate(shift)))
        labelled = (np.asarray(region.target[roi.slices]) < OUTSIDE for region, roi in rois)
        shared += int(np.count_nonzero(np.logical_and(*labelled)))
    return shared


def _find_voxel_shift(a: LabelledRegion, b: LabelledRegion) -> IntZYX | None:
    """Return the first voxel of b's target in voxels of a's; None if the voxel grids differ."""
    if not same_voxel_size(a.raw.voxel_size, b.raw.voxel_size):
        return None
    first, second = (np.array(region.raw.position_nm(region.target_offset)) for region in (a, b))
    exact = (second - first) / a.raw.voxel_size
    shift = per_axis(int, np.rint(exact))
    return shift if np.abs(exact - shift).max() <= WHOLE_VOXEL_TOLERANCE else None


def _have_same_source(a: LabelledRegion, b: LabelledRegion) -> bool:
    """Return whether two regions have the same raw or the same labels."""
    pairs = zip(a.inputs[:2], b.inputs[:2], strict=False)
    return any(input_identity(one) == input_identity(other) for one, other in pairs)


def _have_equal_grey_values(
    a: LabelledRegion, b: LabelledRegion, common: Roi, shift: IntZYX
) -> bool:
    """Return whether grey values in the middle of the common box of two regions are equal."""
    size = np.minimum(common.shape, COMPARED_EDGE)
    start = np.array(common.offset) + (np.array(common.shape) - size) // 2
    box = Roi.from_bounds(start.tolist(), (start + size).tolist())
    first = a.raw.read(box.shift(a.target_offset))
    second = b.raw.read(box.shift(negate(shift)).shift(b.target_offset))
    return bool(first.min() < first.max() and np.array_equal(first, second))
