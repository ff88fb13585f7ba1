"""Labels: unknown voxels, foreground, the zone around borders that is not scored."""

from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.output import Output
from asem.config import Nm3
from asem.image.halo import write_mapped
from asem.image.morphology import ElementShape, grown, near, warn_of_lost_width, zone_radii
from asem.volume.roi import Triple
from asem.volume.volume import Volume


def unknown_id(dtype: np.dtype[Any]) -> int:
    """Return the id that means "nobody knows": the largest of an unsigned dtype."""
    return int(np.iinfo(dtype).max)


def is_foreground(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return where labels name an object: neither background (0) nor unknown."""
    return np.asarray((labels != 0) & (labels != unknown_id(labels.dtype)))


def exclusion_zone(
    labels: npt.NDArray[Any], outside: Triple, inside: Triple, shape: ElementShape = "diamond"
) -> npt.NDArray[np.bool_]:
    """Return the voxels near a border of the labels, which are not scored.

    The foreground's dilation by `outside` without its erosion by `inside` (paper, Data
    preprocessing, step 7), which is: voxels near the foreground and near the background. The
    border of the volume is no border of an object, and an unknown voxel makes no zone.

    ::

        labels       . . . . . # # # # # # .
        inside 1     . . . . . z # # # # z .
        outside 2    . . . z z z # # # # z z

    Parameters
    ----------
    labels
        Shape (z, y, x), unsigned; the dtype's maximum is unknown.
    outside, inside
        Widths in voxels along each axis (`asem.image.morphology.zone_radii`).
    shape
        ``"diamond"``: abs(dz) / nz + abs(dy) / ny + abs(dx) / nx <= 1, the iterated cross where
        isotropic. ``"ball"``: the Euclidean counterpart, which is wider.
    """
    foreground = is_foreground(labels)
    return near(foreground, outside, shape) & near(labels == 0, inside, shape)


def zone_halo(outside: Triple, inside: Triple) -> Triple:
    """Return how far around a block its zone depends on the labels."""
    z, y, x = (max(a, b) for a, b in zip(outside, inside, strict=True))
    return z, y, x


def warn_of_lost_zone(name: str, out_nm: float, in_nm: float, voxel_size: Nm3) -> None:
    """Log a warning where a zone is 0 voxels wide along an axis; call it once for each command.

    Parameters
    ----------
    name
        Of the structure.
    out_nm, in_nm
        Widths outside and inside of the borders.
    voxel_size
        nm.
    """
    for side, width_nm in (("outside", out_nm), ("inside", in_nm)):
        what = f"{name}: the exclusion zone {side}"
        warn_of_lost_width(what, width_nm, voxel_size, zone_radii(width_nm, voxel_size))


def write_zone(
    output: Output, source: Volume, outside: Triple, inside: Triple, shape: ElementShape
) -> None:
    """Write the exclusion zone of labels, block by block.

    ::

        read     |-- halo --|--- block ---|-- halo --|    within the volume

    Parameters
    ----------
    output
        Of the shape of `source`.
    source
        The labels.
    outside, inside, shape
        As for `exclusion_zone`.
    """

    def zone(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return exclusion_zone(labels, outside, inside, shape)

    write_mapped(output, source, zone, zone_halo(outside, inside), stage="zone")


def write_grown(output: Output, source: Volume, radii: Triple) -> None:
    """Write labels dilated by a diamond (`asem.image.morphology.grown`), block by block."""
    unknown = unknown_id(source.dtype)

    def dilate(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return grown(labels, radii, unknown)

    write_mapped(output, source, dilate, radii, stage="dilation")
