"""Smooth the lines of a skeleton and extend their free ends to the surface.

::

    surface   .--------------------------.
              |    x                     |
    skeleton  |      x o   o o   o o     |     x: cut, since the radius still increases up to o
              |          o     o     o   |
    result    |--------------------------|     smooth, and straight over a radius at its ends
              .--------------------------.

Digital lines are longer than what they approximate, by 8 to 15 % in most directions; thinning
shortens them by about a radius at each end.
"""

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.signal import savgol_filter

from asem.config import NmZYX
from asem.measure.skeleton_lines import Line, Points, measure_arc_length

STEPS_PER_VOXEL = 2
"""Points of a smooth line per shortest edge of a voxel."""
SMOOTHING_VOXELS = 2
"""Lines are smoothed over their radius and so many voxels, in both directions."""
TIP_RADIUS = 0.85
"""Lines are cut where their radius reaches this part of the largest one near their end."""
MAX_TIP_VOXELS = 4
"""The largest radius is that of the points nearer than two of their radii and so many voxels."""
DIRECTION_RADII = 1.5
"""The direction at an end is that of so many radii of the line, or of as much as is added."""
RAYS = 12
RAY_DISTANCES = (0.2, 0.4, 0.6)
"""Ends are extended to the surface, which rays at so many radii from the line meet."""
STEPS_PER_RAY_VOXEL = 8


def cut_tips(line: Line, voxel_nm: float) -> Line:
    """Cut the free ends of a line where they run into an edge or corner of the object.

    Parameters
    ----------
    line
        Lines without free ends are returned as they are.
    voxel_nm
        Largest edge of a voxel, nm.
    """
    first = _find_tip_end(line, voxel_nm) if line.start is None else 0
    last = len(line.points) - 1
    last -= _find_tip_end(line.reverse(), voxel_nm) if line.end is None else 0
    if line.is_closed or (first >= last and not line.is_open):
        return line
    return line.take(slice(min(first, last), max(first, last) + 1))


def _find_tip_end(line: Line, voxel_nm: float) -> int:
    """Return the first point of a line that is not on its tip."""
    is_far = line.arc_length[: len(line.radii)] > 2 * line.radii + MAX_TIP_VOXELS * voxel_nm
    near = line.radii[: np.argmax(is_far)] if is_far.any() else line.radii
    return int(np.argmax(near >= TIP_RADIUS * near.max()))


def smooth_line(line: Line, voxel_size: NmZYX) -> Points:
    """Return the points of a line, smoothed by local parabolas (Savitzky and Golay, 1964).

    Parabolas keep the radius of bends. Branch points keep their place. A ring is returned with its
    first point at the end.

    Parameters
    ----------
    line
        At least two points.
    voxel_size
        nm.
    """
    reach = float(np.median(line.radii)) + SMOOTHING_VOXELS * max(voxel_size)
    points, step = _resample(line, min(voxel_size) / STEPS_PER_VOXEL)
    half = round(reach / step)
    if line.is_closed:
        window = min(2 * half + 1, (len(points) - 2) | 1)
        if window > 3:
            points = savgol_filter(points[:-1], window, 2, axis=0, mode="wrap")
            points = np.concatenate([points, points[:1]])
        return np.asarray(points)
    window = min(2 * half + 1, (len(points) - 1) | 1)
    if window <= 3:
        return points
    smooth = savgol_filter(points, window, 2, axis=0, mode="interp")
    weights = np.clip(1 - np.arange(len(points)) / (window // 2), 0, 1)[:, None]
    if line.start is not None:
        smooth = smooth + weights * (points[0] - smooth[0])
    if line.end is not None:
        smooth = smooth + weights[::-1] * (points[-1] - smooth[-1])
    return np.asarray(smooth)


def _resample(line: Line, step_nm: float) -> tuple[Points, float]:
    """Return points at equal distances along a line, and the distance, at most `step_nm`."""
    points = np.concatenate([line.points, line.points[:1]]) if line.is_closed else line.points
    arc_length = line.arc_length
    count = max(2, int(np.ceil(arc_length[-1] / step_nm)) + 1)
    at = np.linspace(0, arc_length[-1], count)
    resampled = np.stack([np.interp(at, arc_length, along) for along in points.T], axis=1)
    return resampled, float(arc_length[-1]) / (count - 1)


def extend_end(
    points: Points, radius_nm: float, mask: npt.NDArray[np.bool_], voxel_size: NmZYX
) -> Points:
    """Extend the end of a line straight to the surface of the object.

    Parameters
    ----------
    points
        The line, at least two points.
    radius_nm
        Radius at its end.
    mask
        The object, shape (z, y, x), its first voxel at position 0; outermost voxels background.
    voxel_size
        nm.

    Returns
    -------
    ndarray
        The line and one more point, (n + 1, 3).
    """
    back = points[::-1]
    arc_length = measure_arc_length(back)
    base = DIRECTION_RADII * radius_nm
    while True:
        inner = back[np.searchsorted(arc_length, min(base, arc_length[-1]))]
        direction = (back[0] - inner) / np.linalg.norm(back[0] - inner)
        length = measure_to_surface(back[0], direction, radius_nm, mask, voxel_size)
        if length <= base or base >= arc_length[-1]:
            return np.concatenate([points, [points[-1] + length * direction]])
        base = length


def measure_to_surface(
    start: Points,
    direction: Points,
    radius_nm: float,
    mask: npt.NDArray[np.bool_],
    voxel_size: NmZYX,
) -> float:
    """Return the distance from a point to the surface in a direction, nm.

    It is that of a parabola through the ends of parallel rays, which hits a round end, too, and
    more accurate than a single ray, since the surface of voxels is rough.

    Parameters
    ----------
    start
        Position, nm, (3,).
    direction
        Of length 1, (3,).
    radius_nm
        Radius of the object at `start`.
    mask, voxel_size
        As for `extend_end`.
    """
    helper = np.eye(3)[np.argmin(np.abs(direction))]
    across = np.cross(direction, helper)
    across /= np.linalg.norm(across)
    angles = 2 * np.pi * np.arange(RAYS) / RAYS
    circle = np.outer(np.cos(angles), across) + np.outer(
        np.sin(angles), np.cross(direction, across)
    )
    around = np.outer(RAY_DISTANCES, np.ones(RAYS)).ravel()
    starts = start + radius_nm * around[:, None] * np.tile(circle, (len(RAY_DISTANCES), 1))
    step = min(voxel_size) / STEPS_PER_RAY_VOXEL
    distances = _follow_rays(
        mask, np.concatenate([[start], starts]), direction, np.array(voxel_size), step
    )
    squares = np.concatenate([[0.0], around**2])
    return max(0.0, float(np.polynomial.polynomial.polyfit(squares, distances, 1)[0]))


@njit(cache=True, nogil=True)
def _follow_rays(mask, starts, direction, size, step):  # type: ignore[no-untyped-def]
    """Return the distance from each start to the first voxel of the background."""
    distances = np.empty(len(starts), np.float64)
    for n in range(len(starts)):
        steps = 0
        while True:
            position = (starts[n] + (steps + 0.5) * step * direction) / size
            z, y, x = round(position[0]), round(position[1]), round(position[2])
            inside = 0 <= z < mask.shape[0] and 0 <= y < mask.shape[1] and 0 <= x < mask.shape[2]
            if not (inside and mask[z, y, x]):
                break
            steps += 1
        distances[n] = steps * step
    return distances
