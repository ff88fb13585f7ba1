"""Sizes and axes of masks, from their moments."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.measure.moments import covariances, derive_geometry
from asem.measure.object_columns import Columns

FloatArray = npt.NDArray[np.float64]
FLAT_RATIO = 0.75
"""Shortest axis / middle axis below which the shortest axis is the normal of a mask."""


@dataclass(frozen=True)
class MaskShapes:
    """Sizes and axes of masks.

    Parameters
    ----------
    centre_nm
        Centre of mass, world position, (n, 3).
    axes_nm
        Long, middle and short axis, (n, 3).
    normal
        Direction of the short axis, of length 1, first non-zero component positive, (n, 3).
    volume_nm3
        (n,).
    """

    centre_nm: FloatArray
    axes_nm: FloatArray
    normal: FloatArray
    volume_nm3: FloatArray

    @property
    def is_flat(self) -> npt.NDArray[np.bool_]:
        """Whether the shape has a normal, (n,)."""
        return np.asarray(self.axes_nm[:, 2] < FLAT_RATIO * self.axes_nm[:, 1])


@dataclass(frozen=True)
class ObjectMasks:
    """Masks of objects, their shapes and the marks that are set from them, (n,) each.

    Parameters
    ----------
    columns
        Of `asem.measure.mask_parts.find_masks`.
    shapes
        Sizes and axes.
    in_raw
        Masks with voxels in the image.
    flags, notes
        Marks by name.
    """

    columns: Columns
    shapes: MaskShapes
    in_raw: npt.NDArray[np.bool_]
    flags: dict[str, npt.NDArray[np.bool_]]
    notes: dict[str, npt.NDArray[np.bool_]]


def find_shapes(masks: Columns, voxel_size: NmZYX, offset_nm: NmZYX) -> MaskShapes:
    """Return sizes and axes of masks.

    Parameters
    ----------
    masks
        Columns of `asem.measure.moments.sum_moments`, (n,).
    voxel_size, offset_nm
        Of the volume, nm.
    """
    geometry = derive_geometry(masks, voxel_size, offset_nm)
    _, vectors = np.linalg.eigh(covariances(masks, voxel_size))
    return MaskShapes(
        np.stack([geometry[f"{axis}_nm"] for axis in "zyx"], axis=1),
        np.stack([geometry[f"axis_{name}_nm"] for name in ("long", "mid", "short")], axis=1),
        point_forward(vectors[:, :, 0]),
        geometry["volume_um3"] * 1e9,
    )


def point_forward(vectors: FloatArray) -> FloatArray:
    """Return vectors, or their opposites, with a positive first component that is not 0, (n, 3).

    Examples
    --------
    >>> point_forward(np.array([[0.0, -0.6, 0.8], [-1.0, 0.0, 0.0]])).tolist()
    [[0.0, 0.6, -0.8], [1.0, 0.0, 0.0]]
    """
    clear = np.abs(vectors) > 1e-9
    first = np.take_along_axis(vectors, clear.argmax(axis=1)[:, None], axis=1)
    return np.asarray(np.where(first < 0, -vectors, vectors) + 0.0)
