"""Label arrays: unlabelled voxels, foreground, exclusion zone, block-wise dilation."""

from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.output_image import OutputImage
from asem.config import NmZYX
from asem.image.map_overlap import map_overlap
from asem.image.morphology import (
    ElementShape,
    binary_dilation,
    dilate_labels,
    warn_zero_radius,
    zone_radii_in_voxels,
)
from asem.volume.label_views import unlabelled_id as unlabelled_id  # also exported
from asem.volume.roi import IntZYX, per_axis
from asem.volume.volume import Volume


def id_dtype(voxels: int) -> np.dtype[Any]:
    """Return the dtype that holds the ids of all possible objects, and the unlabelled id.

    At most half of the voxels are separate objects (a checkerboard).

    Examples
    --------
    >>> id_dtype(2000**3).name, id_dtype(2100**3).name
    ('uint32', 'uint64')
    """
    return np.dtype(np.uint32 if (voxels + 1) // 2 < np.iinfo(np.uint32).max else np.uint64)


def is_foreground(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return the voxels of objects: neither background (0) nor unlabelled."""
    return np.asarray((labels != 0) & (labels != unlabelled_id(labels.dtype)))


def exclusion_zone(
    labels: npt.NDArray[Any], outside: IntZYX, inside: IntZYX, shape: ElementShape = "diamond"
) -> npt.NDArray[np.bool_]:
    """Return the exclusion zone: the voxels near a border of the labels, which are not scored.

    The dilation of the foreground by `outside` without its erosion by `inside` (paper, Data
    preprocessing, step 7), that is: voxels near the foreground and near the background. The border
    of the volume is not a border of an object, and unlabelled voxels make no zone.

    ::

        labels       . . . . . # # # # # # .
        inside 1     . . . . . z # # # # z .
        outside 2    . . . z z z # # # # z z

    Parameters
    ----------
    labels
        Shape (z, y, x), unsigned; the maximum of the dtype is unlabelled.
    outside, inside
        Widths in voxels along each axis (`asem.image.morphology.zone_radii_in_voxels`).
    shape
        ``"diamond"``: abs(dz) / nz + abs(dy) / ny + abs(dx) / nx <= 1, the iterated cross where
        isotropic. ``"ball"``: the Euclidean counterpart, which is wider.
    """
    foreground = is_foreground(labels)
    return binary_dilation(foreground, outside, shape) & binary_dilation(labels == 0, inside, shape)


def zone_halo(outside: IntZYX, inside: IntZYX) -> IntZYX:
    """Return the halo of a block, in voxels, on which its exclusion zone depends."""
    return per_axis(max, outside, inside)


def warn_zero_zone_width(name: str, out_nm: float, in_nm: float, voxel_size: NmZYX) -> None:
    """Log a warning where a zone is 0 voxels wide along an axis; call it once per command.

    Parameters
    ----------
    name
        Name of the structure.
    out_nm, in_nm
        Widths outside and inside of the borders, nm.
    voxel_size
        nm.
    """
    for side, width_nm in (("outside", out_nm), ("inside", in_nm)):
        what = f"{name}: the exclusion zone {side}"
        warn_zero_radius(what, width_nm, voxel_size, zone_radii_in_voxels(width_nm, voxel_size))


def write_exclusion_zone(
    output: OutputImage, source: Volume, outside: IntZYX, inside: IntZYX, shape: ElementShape
) -> None:
    """Write the exclusion zone of labels, block by block.

    ::

        read     |-- halo --|--- block ---|-- halo --|    clipped to the volume

    Parameters
    ----------
    output
        Runs the blocks; of the shape of `source`.
    source
        The labels.
    outside, inside, shape
        As for `exclusion_zone`.
    """

    def zone(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return exclusion_zone(labels, outside, inside, shape)

    map_overlap(output, source, zone, zone_halo(outside, inside), stage="zone")


def write_dilated(output: OutputImage, source: Volume, radii: IntZYX) -> None:
    """Write labels dilated by a diamond (`asem.image.morphology.dilate_labels`), block by block."""
    unlabelled = unlabelled_id(source.dtype)

    def dilate(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return dilate_labels(labels, radii, unlabelled)

    map_overlap(output, source, dilate, radii, stage="dilation")
