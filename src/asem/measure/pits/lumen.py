r"""The outline of a pit from the border of its lumen.

Around a neck the membranes of pit and plane meet, and blur joins them: the darkest line of that
patch cuts the corner. The border of the lumen does not. So the outline is the contour of half of
the darkness of the wall, moved by the distance to the darkest line; where there is none within the
distance that the wall has elsewhere, it is moved by that distance::

      lumen  |  membrane | cytosol
    .........|.....*.....|.........
             |<--->|  offset; * the darkest line

Where the axis is dark, the lumen of the neck is narrower than blur. Then the neck is the ring of
radius R whose membrane, a Gaussian of standard deviation tau, has the darkness s that is found on
the axis (`ring_radius`). Unit of s, and tau, are those of the surrounding membrane, which has no
coat; where it is not flat, those of the wall of the bulb.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.measure import find_contours

from asem.measure.frame import FloatArray
from asem.measure.pits.half_plane import Grid
from asem.measure.pits.outline import Line, normals, resample

POINT_NM = 2.5
"""Distance of the points of an outline."""
BULB_TOP = 0.3
"""Height below which the wall is that of the bulb, in units of its radius."""
FLAT_NM = 85.0
"""Radius from which on the membrane is flat."""
MOST = 0.97
"""Largest level of a contour, in units of the darkness of the wall."""
REACH_NM, STEP_NM = 16.0, 0.5
HALF_WIDTH = 1.177
"""Half width at half height of a Gaussian, in standard deviations."""
NEAR_AXIS_NM = 3.0
UNRESOLVED = 0.5
"""Darkness on the axis from which on the neck is a ring, in units of a flat membrane."""
RING_FLAT_NM, FEWEST_POINTS = 75.0, 8
"""Radius from which on the profile of the surrounding membrane is measured; points needed."""
OUTSIDE_POINTS = 4
"""Points at the end of a profile that are outside of the cell."""
BACK_NM = 8.0
"""From a line to the darkest place of its profile, at most."""


@dataclass(frozen=True)
class Outline:
    """The outline of a pit, and the neck where its lumen is not resolved.

    Parameters
    ----------
    path
        From the surrounding membrane to the axis; None where the lumen has no border that leads to
        the membrane.
    ring_nm
        Radius of the neck from the darkness on the axis, nan where the lumen is resolved.
    ring_t_nm
        Its height.
    """

    path: Line | None
    ring_nm: float
    ring_t_nm: float


@dataclass(frozen=True)
class _Mirrored:
    """A half plane with its mirror image: darkness, columns from -radius to radius."""

    values: FloatArray
    grid: Grid

    @classmethod
    def of(cls, plane: FloatArray, grid: Grid) -> "_Mirrored":
        plane = np.nan_to_num(plane)
        return cls(np.concatenate([plane[:, :0:-1], plane], axis=1), grid)

    def at(self, rho: FloatArray, t: FloatArray) -> FloatArray:
        """Return darkness at points of any shape, linear."""
        step, middle = self.grid.step_nm, len(self.grid.rho_nm) - 1
        places = [(t - self.grid.t_nm[0]) / step, middle + rho / step]
        return np.asarray(ndimage.map_coordinates(self.values, places, order=1, mode="nearest"))

    def contours(self, level: float) -> list[Line]:
        """Return the lines of a level."""
        step, middle = self.grid.step_nm, len(self.grid.rho_nm) - 1
        return [
            Line((line[:, 1] - middle) * step, line[:, 0] * step + self.grid.t_nm[0], 0.0)
            for line in find_contours(self.values, level)  # type: ignore[no-untyped-call]
        ]


def find_outline(plane: FloatArray, grid: Grid, path: Line, radius_nm: float) -> Outline | None:
    """Return the outline, or None where there is no lumen.

    Parameters
    ----------
    plane, grid
        Mean half plane, darkness, with the centre of the bulb at height 0.
    path
        The darkest line in it.
    radius_nm
        Of the bulb.
    """
    mirrored = _Mirrored.of(plane, grid)
    bulb = path.t_nm < BULB_TOP * radius_nm
    wall = float(np.median(mirrored.at(path.rho_nm[bulb], path.t_nm[bulb])))
    away = np.hypot(*np.meshgrid(grid.t_nm, grid.rho_nm, indexing="ij"))
    lumen = float(np.nanmedian(plane[away < 0.5 * radius_nm]))
    if not wall > lumen:
        return None
    is_flat = path.rho_nm > FLAT_NM
    top = float(np.median(path.t_nm[is_flat])) if is_flat.any() else float(path.t_nm[0])
    darkest, ring_t = _darkest_on_axis(mirrored, top)
    level = min(max((wall + lumen) / 2, darkest + 0.03), lumen + MOST * (wall - lumen))
    flat, tau = _flat_membrane(mirrored, path, radius_nm)
    share = (darkest - lumen) / flat
    ring = ring_radius(share, tau) if share > UNRESOLVED else np.nan
    border = _trace_border(mirrored, level)
    if border is None:
        return Outline(None, ring, ring_t)
    return Outline(_move_to_membrane(mirrored, border, radius_nm), ring, ring_t)


def _flat_membrane(mirrored: _Mirrored, path: Line, radius_nm: float) -> tuple[float, float]:
    """Return the darkness of the surrounding membrane over its outside, and its deviation tau."""
    line = resample(path, POINT_NM, 4.0)
    n = normals(line)
    chosen = line.rho_nm > RING_FLAT_NM
    away = n[:, 1]
    if np.count_nonzero(chosen) < FEWEST_POINTS:
        chosen, away = (
            line.t_nm < BULB_TOP * radius_nm,
            -(n[:, 0] * line.rho_nm + n[:, 1] * line.t_nm),
        )
    n = (n * np.sign(away)[:, None])[chosen]
    offsets = np.arange(-BACK_NM, REACH_NM + STEP_NM, STEP_NM)
    profiles = mirrored.at(
        line.rho_nm[chosen, None] + n[:, :1] * offsets, line.t_nm[chosen, None] + n[:, 1:] * offsets
    )
    profile = np.median(profiles, axis=0)
    profile -= np.median(profile[-OUTSIDE_POINTS:])
    peak = int(np.argmax(profile[offsets <= BACK_NM]))
    half = float(np.interp(-profile[peak] / 2, -profile[peak:], np.arange(len(profile) - peak)))
    return float(profile[peak]), half * STEP_NM / HALF_WIDTH


def _darkest_on_axis(mirrored: _Mirrored, top: float) -> tuple[float, float]:
    """Return the largest darkness on the axis from the bulb to the plane, and its height."""
    t = np.arange(0.0, max(top, 0) + 1)
    on_axis = np.mean(
        [mirrored.at(np.full_like(t, rho), t) for rho in (-NEAR_AXIS_NM, 0, NEAR_AXIS_NM)], axis=0
    )
    row = int(np.argmax(on_axis))
    return float(on_axis[row]), float(t[row])


def _trace_border(mirrored: _Mirrored, level: float) -> Line | None:
    """Return the contour from the membrane to the bottom of the bulb, None if it is closed."""
    down = np.arange(0.0, mirrored.grid.t_nm[0], -1.0)
    dark = np.flatnonzero(mirrored.at(0 * down, down) > level)
    if len(dark) == 0 or dark[0] == 0:
        return None
    bottom = float(down[dark[0]])
    for line in mirrored.contours(level):
        distance = np.hypot(line.rho_nm, line.t_nm - bottom)
        start = int(np.argmin(distance))
        if distance[start] > 4:
            continue
        sides = (slice(start + 1, None), slice(start - 1, None, -1) if start else slice(0, 0))
        for side in sides:
            rho, t = line.rho_nm[side], line.t_nm[side]
            if len(rho) > 3 and rho[1] > 0 and (rho > 0).all() and _is_open(line):
                return Line(
                    np.concatenate([[0.0], rho])[::-1], np.concatenate([[bottom], t])[::-1], 0.0
                )
    return None


def _is_open(line: Line) -> bool:
    return bool(np.hypot(line.rho_nm[0] - line.rho_nm[-1], line.t_nm[0] - line.t_nm[-1]) > 1e-6)


def _move_to_membrane(mirrored: _Mirrored, border: Line, radius_nm: float) -> Line:
    """Move the border of the lumen to the darkest line."""
    line = resample(border, POINT_NM, 2.0)
    n = normals(line)
    offsets = np.arange(0, REACH_NM, STEP_NM)

    def profiles(sign: int) -> FloatArray:
        rho = line.rho_nm[:, None] + sign * n[:, :1] * offsets
        return mirrored.at(rho, line.t_nm[:, None] + sign * n[:, 1:] * offsets)

    both = {sign: profiles(sign) for sign in (1, -1)}
    sign = max(both, key=lambda key: float(both[key][:, len(offsets) // 2].mean()))
    smooth = ndimage.gaussian_filter1d(both[sign], 1.0, axis=0)
    offset = offsets[np.argmax(smooth, axis=1)]
    of_bulb, of_plane = line.t_nm < BULB_TOP * radius_nm, line.rho_nm > FLAT_NM
    at_bulb = float(np.median(offset[of_bulb]))
    at_plane = float(np.median(offset[of_plane])) if of_plane.any() else at_bulb
    limit = np.full(len(offset), (at_bulb + at_plane) / 2)
    limit[of_bulb], limit[of_plane] = at_bulb + STEP_NM, at_plane + STEP_NM
    offset = ndimage.gaussian_filter1d(np.minimum(offset, limit), 1.5, mode="nearest")
    moved = Line(
        np.maximum(line.rho_nm + sign * offset * n[:, 0], 0),
        line.t_nm + sign * offset * n[:, 1],
        0.0,
    )
    return resample(moved, POINT_NM, 1.5)


def ring_radius(share: float, tau_nm: float) -> float:
    """Return the radius of the ring of membrane that has a darkness on its axis.

    With the darkness s on the axis in units of that of a flat membrane, and the standard deviation
    tau of the membrane's profile::

        s = sqrt(2 pi) (R / tau) exp(-R^2 / (2 tau^2)),   R >= tau

    Examples
    --------
    >>> tau, radius = 6.0, 11.0
    >>> s = (2 * np.pi) ** 0.5 * radius / tau * np.exp(-((radius / tau) ** 2) / 2)
    >>> round(ring_radius(s, tau), 1)
    11.0
    """
    radius = np.linspace(1, 5, 400)
    darkness = np.sqrt(2 * np.pi) * radius * np.exp(-(radius**2) / 2)
    return tau_nm * float(np.interp(-share, -darkness, radius))
