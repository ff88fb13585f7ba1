"""ER of a synthetic cell: tubules that grow from the nuclear envelope, sheets at their tips."""

from collections.abc import Sequence

import numpy as np

from asem.config import NmZYX
from asem.phantom.cell_geometry import Points, Pore, Sheet, Tube
from asem.phantom.free_space import FreeSpace, perpendicular_axes, random_direction, unit
from asem.phantom.nuclear_envelope import sample_surface
from asem.phantom.smooth_surface import SmoothSurface

STEP_NM = 35.0
GAP_NM = 25.0
"""Free space around the ER."""
FREE_STEPS = 5
"""Steps at the start of a tubule, within its parent, for which space is not checked."""
SHEET_HALF_NM = 14.0


def generate_er(
    nucleus: SmoothSurface,
    pores: Sequence[Pore],
    extent_nm: NmZYX,
    space: FreeSpace,
    rng: np.random.Generator,
) -> tuple[tuple[Tube, ...], tuple[Sheet, ...]]:
    """Grow tubules from the envelope and from other tubules, and sheets at their tips.

    Parameters
    ----------
    nucleus, pores
        The envelope; tubules start where it has no pore.
    extent_nm
        Size of the box.
    space
        Free space, which is updated.
    rng
        Random generator.

    Returns
    -------
    tubules, sheets
        All continuous with the envelope.
    """
    volume_um3 = space.volume_um3
    tubules: list[Tube] = []
    sheets: list[Sheet] = []
    centres = np.array([pore.centre for pore in pores]).reshape(-1, 3)
    for start, normal in zip(*sample_surface(nucleus, extent_nm, rng), strict=True):
        if len(tubules) >= 1.5 * volume_um3:
            break
        if np.linalg.norm(centres - start, axis=1).min(initial=np.inf) > 170:
            _add_tubule(tubules, sheets, start, normal, space, rng)
    for _ in range(round(14 * volume_um3)):
        if not tubules:
            break
        parent = tubules[int(rng.integers(len(tubules)))]
        first = FREE_STEPS + 1
        if len(parent.points) > first + 2:
            index = int(rng.integers(first, len(parent.points) - 1))
            along = unit(parent.points[index + 1] - parent.points[index])
            across = unit(np.cross(along, random_direction(rng)))
            _add_tubule(tubules, sheets, parent.points[index], across, space, rng)
    return tuple(tubules), tuple(sheets)


def _add_tubule(
    tubules: list[Tube],
    sheets: list[Sheet],
    start: Points,
    direction: Points,
    space: FreeSpace,
    rng: np.random.Generator,
) -> None:
    radius = float(rng.uniform(22, 34))
    points = _walk(start, direction, radius, int(rng.integers(10, 45)), space, rng)
    if len(points) < FREE_STEPS + 3:
        return
    sheet = _sheet_at_tip(points, space, rng) if rng.random() < 0.7 else None
    tubules.append(Tube(points, radius))
    space.occupy(points, radius)
    if sheet is not None:
        sheets.append(sheet)
        space.occupy(_sheet_points(sheet), SHEET_HALF_NM + 20)


def _walk(
    start: Points,
    direction: Points,
    radius_nm: float,
    steps: int,
    space: FreeSpace,
    rng: np.random.Generator,
) -> Points:
    """Return the points of a persistent random walk that ends where space ends."""
    points = [start]
    for number in range(steps):
        for _ in range(6):
            turned = unit(direction + rng.normal(scale=0.22, size=3) * (number > 2))
            position = points[-1] + STEP_NM * turned
            if number < FREE_STEPS or space.at(position)[0] > radius_nm + GAP_NM:
                break
        else:
            break
        points.append(position)
        direction = turned
    return np.array(points)


def _sheet_at_tip(points: Points, space: FreeSpace, rng: np.random.Generator) -> Sheet | None:
    """Return a sheet whose rim holds the tip of a tubule; None where it has no space."""
    forward = unit(points[-1] - points[-2])
    for radius in (700.0, 500.0, 360.0, 240.0):
        for _ in range(6):
            normal = unit(np.cross(forward, random_direction(rng)))
            centre = points[-1] + 0.9 * radius * forward
            sheet = Sheet(centre, normal, float(rng.uniform(900, 2500)), radius, SHEET_HALF_NM)
            rim = _sheet_points(sheet)
            near_tip = np.linalg.norm(rim - points[-1], axis=1) < 150
            if np.all(space.at(rim)[~near_tip] > SHEET_HALF_NM + GAP_NM):
                return sheet
    return None


def _sheet_points(sheet: Sheet) -> Points:
    """Return points on the middle surface of a sheet, at most 50 nm apart."""
    first, second = perpendicular_axes(sheet.normal)
    steps = np.arange(-sheet.radius_nm, sheet.radius_nm + 1, 40.0)
    u, v = np.meshgrid(steps, steps)
    inside = u * u + v * v <= sheet.radius_nm**2
    u, v = u[inside], v[inside]
    sag = (u * u + v * v) / (2 * sheet.curvature_radius_nm)
    return np.asarray(
        sheet.centre + u[:, None] * first + v[:, None] * second - sag[:, None] * sheet.normal
    )
