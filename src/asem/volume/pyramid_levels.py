"""Levels of a multiscale pyramid: shapes, factors, voxel sizes and offsets."""

from dataclasses import dataclass

from asem.config import NmZYX
from asem.volume.roi import IntZYX, per_axis

MAX_COARSEST_EDGE = 64
"""The last level is the first where no axis that may be halved has more voxels."""


@dataclass(frozen=True)
class PyramidLevel:
    """One level of a pyramid.

    Parameters
    ----------
    path
        Name of its array in the image group.
    shape
        Voxels along (z, y, x).
    factors
        Voxels of the previous level per voxel of this one.
    voxel_size, offset_nm
        nm; the offset includes the shift of half a voxel by averaging.
    """

    path: str
    shape: IntZYX
    factors: IntZYX
    voxel_size: NmZYX
    offset_nm: NmZYX


def plan_pyramid(shape: IntZYX, voxel_size: NmZYX, offset_nm: NmZYX) -> list[PyramidLevel]:
    """Plan the levels of an image.

    An axis is halved only while its voxel size is less than twice the smallest, so that
    anisotropic voxels become isotropic at coarser levels.

    Examples
    --------
    >>> [level.shape for level in plan_pyramid((20, 256, 256), (50, 5, 5), (0, 0, 0))]
    [(20, 256, 256), (20, 128, 128), (20, 64, 64)]
    """
    levels = [PyramidLevel("0", shape, (1, 1, 1), voxel_size, offset_nm)]
    while True:
        last = levels[-1]
        axes = list(zip(last.voxel_size, last.shape, strict=True))
        finest = min((size for size, voxels in axes if voxels > 1), default=0.0)
        halved = [size < 2 * finest and voxels > 1 for size, voxels in axes]
        if not any(
            is_halved and voxels > MAX_COARSEST_EDGE
            for is_halved, voxels in zip(halved, last.shape, strict=True)
        ):
            return levels
        factors = per_axis(lambda is_halved: 2 if is_halved else 1, halved)
        levels.append(
            PyramidLevel(
                str(len(levels)),
                per_axis(lambda n, f: -(-n // f), last.shape, factors),
                factors,
                per_axis(lambda size, f: size * f, last.voxel_size, factors),
                per_axis(
                    lambda offset, f, size: offset + (f - 1) / 2 * size,
                    last.offset_nm,
                    factors,
                    last.voxel_size,
                ),
            )
        )
