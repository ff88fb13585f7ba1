r"""Height, width, neck and ellipse of a pit, from its outline in the half plane.

::

    depth                       outline (rho, t)
      0   - - - - - - - . ---------------  surrounding membrane
      8   - - - - - - -(- -                the neck is the narrowest width from here
                        \                  to the widest place
     height / 2 - - - - -)- - -            width
                        /
     height  ---------'

Depth is the distance from the surrounding membrane, continued with its curvature over the pit: from
a plane, or from a sphere where the membrane is that of a small endosome.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from asem.measure.frame import FloatArray
from asem.measure.pits.outline import Line

NECK_START_NM = 8.0
"""Depth from which on the neck is measured."""
RIM_NM = 22.0
"""From the rim of a pit to where the surrounding membrane is flat."""
FAR_NM = 85.0
"""Distance from the axis where the membrane is flat, whatever the pit."""
LARGEST_CURVATURE = 1 / 90
NARROWEST_NM = 20.0
"""Width below which a line is no pit: twice the thickness of a membrane with its blur."""
NARROWING_NM = 2.0
"""What is widened by less has no neck: it is open."""
BOTTOM_NM = 14.0
STALK_NM = 1.0
"""The stalk is where the outline is wider than the neck by less, in radius."""
FREE_NM = 14.0
"""Depth below which the outline is that of the bulb, and not of the rim."""


@dataclass(frozen=True)
class Membrane:
    """The surrounding membrane: its height on the axis, nm, and its curvature, 1/nm, both up."""

    height_nm: float
    curvature: float

    def depth(self, rho: FloatArray, t: FloatArray) -> FloatArray:
        """Return the distance of points below the membrane, nm."""
        up = t - self.height_nm
        excess = self.curvature * (rho**2 + up**2) - 2 * up
        return np.asarray(excess / (np.sqrt(np.maximum(1 + self.curvature * excess, 0)) + 1))

    def depth_at(self, rho: float, t: float) -> float:
        """Return the depth of one point, nm."""
        return float(self.depth(np.array(rho), np.array(t)))


@dataclass(frozen=True)
class PitLengths:
    """Lengths of a pit, nm.

    Parameters
    ----------
    height_nm, width_nm, neck_nm
        To the darkest line.
    is_open
        Whether nothing narrows: the neck is the width at the depth of 8 nm.
    across_nm, along_nm
        Axes of the ellipse that fits the bulb, across and along the axis of the pit.
    centre_t_nm
        Height of its centre.
    width_t_nm, neck_t_nm
        Heights at which width and neck are measured.
    """

    height_nm: float
    width_nm: float
    neck_nm: float
    is_open: bool
    across_nm: float
    along_nm: float
    centre_t_nm: float
    width_t_nm: float
    neck_t_nm: float


def fit_membrane(path: Line) -> Membrane:
    """Fit the surrounding membrane to the outline beyond the rim of the pit."""
    rho, t = path.rho_nm, path.t_nm
    is_far = rho > FAR_NM
    membrane = Membrane(float(np.median(t[is_far]) if is_far.any() else t[0]), 0.0)
    start = FAR_NM
    for _ in range(3):
        membrane = _fit_circle(rho, t, rho > start, membrane)
        depth = membrane.depth(rho, t)
        below = np.flatnonzero(depth > NECK_START_NM)
        rim = rho[max(below[0] - 1, 0)] if len(below) else 0.0
        start = float(min(rim + RIM_NM, FAR_NM))
    return membrane


def _fit_circle(rho, t, chosen, start: Membrane) -> Membrane:  # type: ignore[no-untyped-def]
    count = len(rho) if chosen.all() else int(np.argmin(chosen))
    rho, t = rho[:count], t[:count]
    if len(rho) < 4:
        return start

    def residuals(parameters: FloatArray) -> FloatArray:
        return Membrane(parameters[0], parameters[1] / 100).depth(rho, t)

    limit = 100 * LARGEST_CURVATURE
    low, high = [-np.inf, -limit], [np.inf, limit]
    found = least_squares(
        residuals, [start.height_nm, 100 * start.curvature], bounds=(low, high), loss="soft_l1"
    )
    return Membrane(float(found.x[0]), float(found.x[1] / 100))


def measure_lengths(path: Line, membrane: Membrane) -> PitLengths | None:
    """Measure an outline; None where it has no depth, or no width.

    Parameters
    ----------
    path
        Outline, from the surrounding membrane to the axis, points a few nm apart.
    membrane
        The surrounding membrane.
    """
    rho, depth = path.rho_nm, membrane.depth(path.rho_nm, path.t_nm)
    height = _bottom(rho, depth)
    above = np.flatnonzero(depth < NECK_START_NM)
    if height <= NECK_START_NM or len(above) == 0 or above[-1] == len(rho) - 1:
        return None
    first = int(above[-1])
    rim, rim_t = _cross(path, depth, first, NECK_START_NM)
    inner, inner_t = rho[first + 1 :], path.t_nm[first + 1 :]
    widest = int(np.argmax(inner))
    narrowest = int(np.argmin(inner[: widest + 1]))
    is_open = inner[widest] < min(rim, inner[narrowest]) + NARROWING_NM / 2
    neck, neck_t = rim, rim_t
    if not is_open and inner[narrowest] < rim:
        neck, neck_t = float(inner[narrowest]), float(inner_t[narrowest])
    middle = int(np.flatnonzero(depth < height / 2)[-1])
    width, width_t = _cross(path, depth, min(middle, len(rho) - 2), height / 2)
    if 2 * width < NARROWEST_NM:
        return None
    stalk = inner[: widest + 1] < neck + STALK_NM
    end = float(depth[first + 1 :][np.flatnonzero(stalk)[-1]]) if stalk.any() else 0.0
    across, along, centre = _fit_ellipse(path, depth, end)
    return PitLengths(
        height, 2 * width, 2 * neck, bool(is_open), across, along, centre, width_t, neck_t
    )


def _bottom(rho: FloatArray, depth: FloatArray) -> float:
    """Return the depth on the axis: of a parabola through the last points."""
    wide = np.flatnonzero(rho[:-3] > BOTTOM_NM)
    first = int(wide[-1]) + 1 if len(wide) else 0
    rho, depth = rho[first:], depth[first:]
    basis = np.stack([np.ones(len(rho)), rho**2], axis=1)
    return float(np.linalg.lstsq(basis, depth, rcond=None)[0][0])


def _cross(path: Line, depth: FloatArray, row: int, level: float) -> tuple[float, float]:
    """Return rho and t where the line from a point to the next one has a depth."""
    rise = depth[row + 1] - depth[row]
    share = float(np.clip((level - depth[row]) / rise, 0, 1)) if rise else 0.5
    rho, t = path.rho_nm[row : row + 2], path.t_nm[row : row + 2]
    return float(rho[0] + share * (rho[1] - rho[0])), float(t[0] + share * (t[1] - t[0]))


def _fit_ellipse(path: Line, depth: FloatArray, stalk_end: float) -> tuple[float, float, float]:
    """Return the axes across and along, and the height of the centre, of the bulb's ellipse."""
    of_bulb = depth > max(stalk_end, FREE_NM)
    rho, t = path.rho_nm[of_bulb], path.t_nm[of_bulb]
    if len(rho) < 5:
        return np.nan, np.nan, float(path.t_nm[-1])

    def residuals(parameters: FloatArray) -> FloatArray:
        a, b, centre = parameters
        p, q = rho / a, (t - centre) / b
        k = np.sqrt(p**2 + q**2)
        return np.asarray(k * (k - 1) / np.sqrt((p / a) ** 2 + (q / b) ** 2))

    radius = float(rho.max())
    found = least_squares(
        residuals,
        [radius, radius, float(t.min()) + radius],
        bounds=([5, 5, -200], [150, 150, 200]),
        loss="soft_l1",
        f_scale=1.5,
    )
    a, b, centre = found.x.tolist()
    return 2 * a, 2 * b, centre
