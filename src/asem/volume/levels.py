"""The pyramid of an image: which levels there are, and where they lie."""

from dataclasses import dataclass

from asem.config import Nm3
from asem.volume.roi import Triple

DEEPEST_AXIS = 64
"""A pyramid ends when no axis that may be halved has more voxels."""


@dataclass(frozen=True)
class Level:
    """One level of a pyramid.

    Parameters
    ----------
    path
        Name of its array in the image group.
    shape
        Voxels along (z, y, x).
    factors
        Voxels of the level before that make one of this.
    voxel_size, offset_nm
        nm; the offset holds the shift of half a voxel that averaging makes.
    """

    path: str
    shape: Triple
    factors: Triple
    voxel_size: Nm3
    offset_nm: Nm3


def pyramid(shape: Triple, voxel_size: Nm3, offset_nm: Nm3) -> list[Level]:
    """Plan the levels of an image.

    An axis is halved only while its voxel size is less than twice the smallest, so that
    anisotropic voxels become isotropic on the way down.

    Examples
    --------
    >>> [level.shape for level in pyramid((20, 256, 256), (50, 5, 5), (0, 0, 0))]
    [(20, 256, 256), (20, 128, 128), (20, 64, 64)]
    """
    levels = [Level("0", shape, (1, 1, 1), voxel_size, offset_nm)]
    while True:
        last = levels[-1]
        axes = list(zip(last.voxel_size, last.shape, strict=True))
        finest = min((size for size, voxels in axes if voxels > 1), default=0.0)
        halved = [size < 2 * finest and voxels > 1 for size, voxels in axes]
        if not any(h and n > DEEPEST_AXIS for h, n in zip(halved, last.shape, strict=True)):
            return levels
        z, y, x = (2 if h else 1 for h in halved)
        factors = (z, y, x)
        each = list(zip(last.shape, factors, last.voxel_size, last.offset_nm, strict=True))
        d, h, w = (-(-n // f) for n, f, _, _ in each)
        a, b, c = (size * f for _, f, size, _ in each)
        o, p, q = (offset + (f - 1) / 2 * size for _, f, size, offset in each)
        levels.append(Level(str(len(levels)), (d, h, w), factors, (a, b, c), (o, p, q)))
