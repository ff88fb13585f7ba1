"""Diameter of one nuclear pore from the image around it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.measure.pore_view import FloatArray, Frame, Patch, radial_profile, view_en_face

PORE_REACH_NM = 160.0
"""Distance from the centre of a mask to the sides of the patch that `measure_pore` needs."""
LINES = 18


@dataclass(frozen=True)
class PoreMeasurement:
    """The pose and the diameter of a pore; nan where it is not measurable."""

    centre_nm: NmZYX
    normal: tuple[float, float, float]
    diameter_nm: float
    diameter_sd_nm: float
    diameter_se_nm: float
    lines_used: int
    flags: tuple[str, ...]
    notes: tuple[str, ...]
    radii_nm: FloatArray
    view: npt.NDArray[np.float32]
    profile: FloatArray


def measure_pore(
    patch: npt.NDArray[np.generic],
    patch_origin_nm: NmZYX,
    voxel_size: NmZYX,
    centre_nm: NmZYX,
    normal: tuple[float, float, float],
) -> PoreMeasurement:
    """Measure a pore (first version: no refinement of the pose but of the centre)."""
    image = Patch(np.asarray(patch, np.float32), np.array(patch_origin_nm, float), voxel_size)
    frame = Frame.from_normal(np.array(centre_nm, float), np.array(normal, float))
    radii = np.full(2 * LINES, np.nan)
    for _ in range(3):
        radii = _darkest(image, frame)
        angles = np.arange(2 * LINES) * np.pi / LINES
        shift = np.array([(radii * np.cos(angles)).mean(), (radii * np.sin(angles)).mean(), 0])
        frame = Frame(frame.to_world(2 * np.nan_to_num(shift)), frame.axes)
    radii = _darkest(image, frame)
    diameters = radii[:LINES] + radii[LINES:]
    used = diameters[np.isfinite(diameters)]
    flags = () if len(used) > LINES // 2 else ("cut",)
    view = view_en_face(image, frame)
    sd = float(used.std(ddof=1)) if not flags else np.nan
    return PoreMeasurement(
        tuple(frame.origin_nm.tolist()),
        tuple(frame.normal.tolist()),
        float(np.median(used)) if not flags else np.nan,
        sd,
        sd / 3,
        len(used),
        flags,
        (),
        radii,
        view,
        radial_profile(view),
    )


def _darkest(image: Patch, frame: Frame) -> FloatArray:
    """Return the distance of the darkest point in each of 36 directions, (36,)."""
    rho = np.arange(25.0, 80.0)
    angles = np.arange(2 * LINES) * np.pi / LINES
    s = np.array([-6.0, -3, 0, 3, 6])
    u = np.cos(angles)[:, None, None] * rho[:, None]
    v = np.sin(angles)[:, None, None] * rho[:, None]
    points = np.stack(np.broadcast_arrays(u, v, s), axis=-1)
    lines = image.sample(frame.to_world(points)).mean(axis=-1)
    lost = ~np.isfinite(lines).all(axis=1)
    return np.where(lost, np.nan, rho[np.argmin(np.nan_to_num(lines), axis=1)])
