"""Draw pits and vesicles: a plane of the image, the outline and the lines that were measured."""

import numpy as np
import numpy.typing as npt

from asem.measure.frame import FloatArray
from asem.measure.pits.ellipsoid import Ellipsoid
from asem.measure.pits.half_plane import Image, sample_at
from asem.measure.pits.picture import PICTURE_REACH_NM, PICTURE_STEP_NM, PitPicture
from asem.measure.pits.shape import PitShape


def draw_pit(grey: Image, pit: PitShape, centre: FloatArray) -> PitPicture:
    """Return the picture of a pit: its plane of u and the axis."""
    lengths, middle = pit.lengths, pit.lengths.centre_t_nm
    rho, down = pit.path.rho_nm, middle - pit.path.t_nm
    outline = np.stack([np.concatenate([-rho, rho[::-1]]), np.concatenate([down, down[::-1]])], 1)
    top = middle - pit.membrane.height_nm
    lines = {
        "plane": np.array([[-100.0, top], [100.0, top]]),
        "height": np.array([[0.0, top], [0.0, top + lengths.height_nm]]),
        "width": _level_line(lengths.width_nm, middle - lengths.width_t_nm),
        "neck": _level_line(lengths.neck_nm, middle - lengths.neck_t_nm),
    }
    return PitPicture(slice_plane(grey, centre, pit.axis.axes[0], -pit.axis.normal), outline, lines)


def _level_line(width: float, down: float) -> FloatArray:
    return np.array([[-width / 2, down], [width / 2, down]])


def slice_plane(
    grey: Image, centre: FloatArray, right: FloatArray, down: FloatArray
) -> npt.NDArray[np.float32]:
    """Return grey values of a plane, rows along `down`, columns along `right`."""
    n = round(PICTURE_REACH_NM / PICTURE_STEP_NM)
    line = PICTURE_STEP_NM * np.arange(-n, n + 1.0)
    points = centre + line[:, None, None] * down + line[None, :, None] * right
    return -sample_at(grey, points)


def draw_vesicle(grey: Image, ellipsoid: Ellipsoid) -> PitPicture:
    """Return the picture of a vesicle: the plane of its two longest axes."""
    a, b = ellipsoid.axes_nm[:2] / 2
    angle = np.linspace(0, 2 * np.pi, 73)
    view = slice_plane(grey, ellipsoid.centre_nm, ellipsoid.vectors[0], ellipsoid.vectors[1])
    outline = np.stack([a * np.cos(angle), b * np.sin(angle)], axis=1)
    return PitPicture(view, outline, {"width": _level_line(2 * a, 0.0)})
