"""The axis of a pit: where its bulb opens, or of all directions the one whose outline is darkest.

1. Where the wall of the bulb is least dark: the opening of most pits.
2. All directions: the outline around each is traced on a coarse grid.
3. Towards what is bright beyond the wall: a neck that is narrower than blur.

The best of each are fitted to the image (`pose`). A clear outline ends the search.
"""

import numpy as np

from asem.measure.frame import FloatArray, Frame
from asem.measure.pits.bulb import Bulb, sphere_directions
from asem.measure.pits.half_plane import Image, sample_at
from asem.measure.pits.pose import PitPose, PitSearch, refine

SEARCH_DIRECTIONS = 150
APART_NM = 8.0
"""From the centre of the bulb to that of the mask, from which on this is another start."""
WALL_RANGE, CONE, DARK = np.arange(0.75, 1.3, 0.08), 0.93, 0.6
"""Wall of a bulb: radii in units of its own, cosine of the cone over which it is smoothed, and
darkness from which on it counts."""
CANDIDATES, APART = 3, 0.8
"""Directions that are refined; cosine of the angle between any two."""
CLEAR_COST_NM, HIDDEN_COST_NM = 7.0, 12.0
"""Costs of an outline that is dark all along: no other axis is tried; no hidden neck is."""
BEYOND_NM, FINE_DIRECTIONS, FINE_CONE = np.arange(20.0, 71.0, 5.0), 3000, 0.966
"""Search for hidden necks: distances from the wall that are compared, number of directions on a
sphere, and cosine of the cone of those that are tried."""


def find_pose(image: Image, bulb: Bulb, centre_nm: FloatArray) -> PitPose:
    """Return the pose whose outline is the darkest.

    Parameters
    ----------
    image
        Darkness in units of that of membranes.
    bulb
        Of the pit.
    centre_nm
        Of its mask: another start, since a sphere may not be in the middle of a flat bulb.
    """
    wall = map_wall(image, bulb)
    search = PitSearch(image, bulb.radius_nm, float((wall > DARK).mean()))
    axes = [Frame.from_normal(bulb.centre_nm, w) for w in sphere_directions(SEARCH_DIRECTIONS)]
    best = refine_best(search, choose_apart(axes, wall))
    starts = [bulb.centre_nm]
    if np.linalg.norm(centre_nm - bulb.centre_nm) > APART_NM:
        starts.append(centre_nm)
    for start in starts:
        if best.path.cost < CLEAR_COST_NM:
            return best
        moved = [Frame(start, axis.axes) for axis in axes]
        found = refine_best(search, choose_apart(moved, search.costs(moved)))
        best = min(best, found, key=lambda pose: pose.path.cost)
    if best.path.cost < HIDDEN_COST_NM:
        return best
    found = refine_best(search, _search_hidden_necks(search, bulb, axes))
    return min(best, found, key=lambda pose: pose.path.cost)


def _search_hidden_necks(search: PitSearch, bulb: Bulb, axes: list[Frame]) -> list[Frame]:
    """Return axes towards what is brightest beyond the wall, the best of many directions each.

    A narrow neck leaves the wall dark everywhere. Behind it is the outside of the cell, or the
    lumen of an endosome, which are brighter than cytosol.
    """
    beyond = _smooth(_mean_rays(search.image, bulb, BEYOND_NM))
    fine = sphere_directions(FINE_DIRECTIONS)
    chosen = []
    for axis in choose_apart(axes, beyond):
        near = [Frame.from_normal(bulb.centre_nm, w) for w in fine[fine @ axis.normal > FINE_CONE]]
        chosen.append(near[int(np.argmin(search.costs(near)))])
    return chosen


def refine_best(search: PitSearch, axes: list[Frame]) -> PitPose:
    """Fit poses from several axes; return the first with a clear outline, or the darkest."""
    best: PitPose | None = None
    for axis in axes:
        pose = refine(search, axis)
        if best is None or pose.path.cost < best.path.cost:
            best = pose
        if best.path.cost < CLEAR_COST_NM:
            break
    assert best is not None
    return best


def choose_apart(axes: list[Frame], costs: FloatArray) -> list[Frame]:
    """Return the `CANDIDATES` axes of the smallest costs, any two far apart."""
    chosen: list[Frame] = []
    for row in np.argsort(costs).tolist():
        if all(axes[row].normal @ other.normal < APART for other in chosen):
            chosen.append(axes[row])
        if len(chosen) == CANDIDATES:
            break
    return chosen


def map_wall(image: Image, bulb: Bulb) -> FloatArray:
    """Return the darkness of the wall of a bulb in each direction, smoothed, (n,)."""
    return _smooth(_sample_ray_grid(image, bulb, WALL_RANGE * bulb.radius_nm).max(axis=1))


def _mean_rays(image: Image, bulb: Bulb, beyond_nm: FloatArray) -> FloatArray:
    """Return the mean darkness in each direction at distances from the wall of a bulb, (n,)."""
    return np.asarray(_sample_ray_grid(image, bulb, bulb.radius_nm + beyond_nm).mean(axis=1))


def _sample_ray_grid(image: Image, bulb: Bulb, radii: FloatArray) -> FloatArray:
    """Return the darkness in each direction at distances from the centre, (n, m)."""
    directions = sphere_directions(SEARCH_DIRECTIONS)
    points = bulb.centre_nm + directions[:, None] * radii[:, None]
    return sample_at(image, points).astype(np.float64)


def _smooth(values: FloatArray) -> FloatArray:
    """Return means over cones of values of each direction, (n,); 1, as of a wall, where unknown."""
    directions = sphere_directions(SEARCH_DIRECTIONS)
    known = np.isfinite(values)
    weight = np.maximum(directions @ directions.T - CONE, 0) * known
    total = weight.sum(axis=1)
    mean = weight @ np.where(known, values, 0) / np.maximum(total, 1e-9)
    return np.where(total > 0, mean, 1.0)
