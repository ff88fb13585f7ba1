"""Which positions are within the outline of a pit or vesicle."""

import numpy as np
import numpy.typing as npt
from skimage.draw import polygon2mask

from asem.measure.frame import FloatArray
from asem.measure.pits.ellipsoid import Ellipsoid
from asem.measure.pits.shape import PitShape
from asem.measure.pits.view import Inside, offsets_in

STEP_NM = 2.0
"""Of the half plane in which the outline of a pit is filled."""


def inside_pit(pit: PitShape) -> Inside:
    """Return the function that is true within the outline, below the membrane."""
    path, step = pit.path, STEP_NM
    top = pit.membrane.height_nm
    rho = np.concatenate([path.rho_nm, [0.0]])
    t = np.concatenate([np.minimum(path.t_nm, top), [top]])
    below = pit.membrane.depth(path.rho_nm, path.t_nm) > 1
    keep = np.concatenate([below | (path.rho_nm < pit.lengths.neck_nm), [True]])
    low = float(t.min()) - step
    corners = np.stack([(t - low) / step, rho / step], axis=1)[keep]
    shape = (int((top - low) / step) + 3, int(rho[keep].max() / step) + 3)
    mask = polygon2mask(shape, corners)  # type: ignore[no-untyped-call]

    def inside(points: FloatArray) -> npt.NDArray[np.bool_]:
        local = offsets_in(pit.axis, points)
        row = np.rint((local[..., 2] - low) / step).astype(int)
        column = np.rint(np.hypot(local[..., 0], local[..., 1]) / step).astype(int)
        is_near = (row >= 0) & (row < shape[0]) & (column < shape[1])
        return np.asarray(
            is_near & mask[np.clip(row, 0, shape[0] - 1), np.clip(column, 0, shape[1] - 1)]
        )

    return inside


def inside_ellipsoid(ellipsoid: Ellipsoid) -> Inside:
    """Return the function that is true within an ellipsoid."""

    def inside(points: FloatArray) -> npt.NDArray[np.bool_]:
        local = (points - ellipsoid.centre_nm) @ ellipsoid.vectors.T
        return np.asarray(((2 * local / ellipsoid.axes_nm) ** 2).sum(axis=-1) < 1)

    return inside
