"""Measure one pit or vesicle on the image around the centre of its mask.

1. The sphere whose wall is darkest against its lumen (`bulb`).
2. The axis around which a line from a membrane around the bulb is darkest (`axis_search`, `pose`).
3. If that line is dark all along, a membrane leads to the bulb, and the object is a pit; else it is
   a vesicle (`shape.leads_to_membrane`).
4. Outline, lengths, standard errors (`shape`), coat (`coat`), the view of the paper (`view`).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.measure.frame import FloatArray, Frame
from asem.measure.pits.axis_search import find_pose
from asem.measure.pits.bulb import Bulb, find_bulb, sphere_directions
from asem.measure.pits.coat import LINE_NM, OFFSETS_NM, coat_signal, is_coated, line_signal
from asem.measure.pits.drawing import draw_pit, draw_vesicle, slice_plane
from asem.measure.pits.ellipsoid import RAYS, Ellipsoid, sample_wall
from asem.measure.pits.half_plane import Image, sample_at
from asem.measure.pits.interior import inside_ellipsoid, inside_pit
from asem.measure.pits.outline import Line, normals
from asem.measure.pits.picture import PitPicture
from asem.measure.pits.pose import ANGLES, mean_profile, sample_profiles
from asem.measure.pits.shape import (
    PitShape,
    leads_to_membrane,
    measure_pit,
    measure_vesicle,
)
from asem.measure.pits.view import View, measure_view

OBJECT_REACH_NM = 230.0
"""From the centre of a mask to the sides of the patch that is needed."""
NEAR_NM = 130.0
"""Radius around a bulb whose grey values set the scale of darkness."""
LEVELS = (25.0, 96.0)
"""Percentiles of darkness there: surroundings, and membranes."""
LARGEST_SHIFT_NM = 60.0
"""From the centre of a mask to that of its object."""
FLAT_NM, FEWEST_FLAT = 75.0, 6
"""Radius from which on the membrane is that around a pit, and points of it that are compared."""
RING_NM, RING_POINTS = 95.0, 8
"""Radius of the points on the surrounding membrane."""
DARK_WALL, SMALLEST_WALL = 0.55, 0.93
LARGEST_MISFIT_NM, LARGEST_ELONGATION = 4.0, 2.0
"""Limits of what is a vesicle: part of its wall that is this dark; distance from an ellipsoid; its
elongation."""
LUMEN_SHARE, SMALLEST_CONTRAST = 0.6, 0.35
"""Radius of the lumen, in units of the ellipsoid's; by how much the wall is darker than it."""
VIEW_DIFFERENCE_NM = 10.0
"""Of a length in the view and in 3D, from which on it is noted."""
SMALLEST_KNOWN = 0.7
"""Part of the voxels around an outline that is in the image."""


@dataclass(frozen=True)
class MeasuredObject:
    """A pit or vesicle; all lengths are nm, nan where they do not exist or were not measured.

    `flags` exclude it: ``no_outline`` (neither a pit nor a vesicle within 60 nm of the given
    centre), ``cut`` (not enough of it is in the image). `notes`: ``open``, ``view_differs``.
    """

    is_pit: bool
    coated: bool
    centre_nm: FloatArray
    """World position of the middle of the ellipse of the bulb, (3,)."""
    direction: FloatArray
    """Of a pit: unit vector out of the cytosol, (3,); nan for a vesicle."""
    lengths_nm: FloatArray
    """Height, width and neck, (3,)."""
    se_nm: FloatArray
    """Their standard errors, (3,)."""
    axes_nm: FloatArray
    """Long and short axis of the ellipse that fits the outline best, (2,)."""
    long_axis: FloatArray
    """Unit vector of the long axis, (3,)."""
    ring_nm: FloatArray
    """Points on the membrane around a pit, (`RING_POINTS`, 3); nan for a vesicle."""
    surface_nm: FloatArray
    """Points on the outline, (n, 3), from which the distance to the plasma membrane is measured."""
    view: View
    picture: PitPicture
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def measure_object(
    patch: npt.NDArray[np.generic],
    patch_origin_nm: NmZYX,
    voxel_size: NmZYX,
    centre_nm: NmZYX,
) -> MeasuredObject:
    """Measure a pit or vesicle.

    Parameters
    ----------
    patch
        Grey values around the object, membranes dark, any real dtype and unit, (z, y, x); nan
        outside of the image. Its sides are `OBJECT_REACH_NM` from `centre_nm`.
    patch_origin_nm
        World position of the centre of the first voxel.
    voxel_size
        nm along (z, y, x).
    centre_nm
        World position of the centre of its mask, within about 30 nm of the middle of the bulb.

    Returns
    -------
    object
        With a flag where there is no such object in the image.
    """
    grey = np.where(np.isfinite(patch), patch, np.nan).astype(np.float32)
    first, size = np.array(patch_origin_nm, float), np.array(voxel_size, float)
    start = np.array(centre_nm, float)
    unscaled = Image(-grey, first, size)
    bulb = find_bulb(unscaled, start)
    image = _scale(unscaled, bulb)
    if image is None or not np.isfinite(bulb.contrast) or bulb.radius_nm == 0:
        return _unmeasured(unscaled, start, _name_failure(unscaled, bulb))
    pose = find_pose(image, bulb, start)
    if leads_to_membrane(image, pose):
        pit = measure_pit(image, pose, bulb)
        found = None if pit is None else _describe_pit(image, unscaled, pit)
    else:
        found = _measure_vesicle(image, unscaled, bulb)
    if found is None or np.linalg.norm(found.centre_nm - start) > LARGEST_SHIFT_NM:
        return _unmeasured(unscaled, start, _name_failure(unscaled, bulb))
    return found


def _scale(image: Image, bulb: Bulb) -> Image | None:
    """Return darkness in units of that of membranes, None where too little is known."""
    places = np.indices(image.values.shape, np.float32).transpose(1, 2, 3, 0)
    away = np.linalg.norm(places * image.voxel_size + image.first_nm - bulb.centre_nm, axis=-1)
    near = image.values[(away < NEAR_NM) & np.isfinite(image.values)]
    if near.size < 100:
        return None
    low, high = np.percentile(near, LEVELS)
    if not high > low:
        return None
    values = ((image.values - low) / (high - low)).astype(np.float32)
    return Image(values, image.first_nm, image.voxel_size)


def _name_failure(image: Image, bulb: Bulb) -> str:
    """Return the flag of what was not measured: whether its surroundings are in the image."""
    points = bulb.centre_nm + (bulb.radius_nm + 20) * sphere_directions(200)
    is_cut = np.isfinite(sample_at(image, points)).mean() < SMALLEST_KNOWN
    return "cut" if is_cut else "no_outline"


def _describe_pit(image: Image, grey: Image, pit: PitShape) -> MeasuredObject:
    """Return the measurement of a pit."""
    lengths, axis = pit.lengths, pit.axis
    centre = axis.origin_nm + lengths.centre_t_nm * axis.normal
    surface = _turn(pit.path.rho_nm[::3], pit.path.t_nm[::3], axis)
    known = np.isfinite(sample_at(image, surface)).mean()
    is_long = lengths.along_nm >= lengths.across_nm
    axes = np.sort([lengths.along_nm, lengths.across_nm])[::-1]
    view = measure_view(image, centre, inside_pit(pit), axis, pit.membrane)
    values = np.array([lengths.height_nm, lengths.width_nm, lengths.neck_nm])
    signal = _pit_coat(image, pit)
    notes = ("open",) if lengths.is_open else ()
    return MeasuredObject(
        is_pit=True,
        coated=is_coated(signal, *values.tolist()),
        centre_nm=centre,
        direction=axis.normal,
        lengths_nm=values,
        se_nm=pit.se_nm,
        axes_nm=axes,
        long_axis=np.where(np.isfinite(axes[0]), axis.normal if is_long else axis.axes[0], np.nan),
        ring_nm=_ring(pit),
        surface_nm=surface,
        view=view,
        picture=draw_pit(grey, pit, centre),
        flags=("cut",) if known < SMALLEST_KNOWN else (),
        notes=notes + _compare_view(view, values),
    )


def _compare_view(view: View, lengths: FloatArray) -> tuple[str, ...]:
    """Return the note that a view differs from the fit in 3D."""
    differences = np.array([view.height_nm, view.width_nm, view.neck_nm]) - lengths
    return ("view_differs",) if np.any(np.abs(differences) > VIEW_DIFFERENCE_NM) else ()


def _turn(rho: FloatArray, t: FloatArray, axis: Frame) -> FloatArray:
    """Return points of an outline turned around its axis, (n `RING_POINTS`, 3)."""
    theta = 2 * np.pi * np.arange(RING_POINTS) / RING_POINTS
    rho, t = rho[:, None], t[:, None]
    local = np.stack([rho * np.cos(theta), rho * np.sin(theta), t + 0 * theta], axis=-1)
    return axis.to_world(local).reshape(-1, 3)


def _ring(pit: PitShape) -> FloatArray:
    """Return points on the membrane around a pit."""
    flat = np.flatnonzero(pit.path.rho_nm > RING_NM)
    row = flat[-1:] if len(flat) else np.array([0])
    return _turn(pit.path.rho_nm[row], pit.path.t_nm[row], pit.axis)


def _pit_coat(image: Image, pit: PitShape) -> float:
    """Return the coat signal of the lower half of a pit, compared with its surroundings."""
    path, lengths = pit.path, pit.lengths
    low = pit.membrane.depth(path.rho_nm, path.t_nm) > lengths.height_nm / 2
    half, flat = (Line(path.rho_nm[at], path.t_nm[at], 0.0) for at in (low, _is_flat(path)))
    n = normals(half)
    outward = np.sign(n[:, 0] * half.rho_nm + n[:, 1] * (half.t_nm - lengths.centre_t_nm))
    profiles = sample_profiles(image, pit.axis, half, n * outward[:, None], OFFSETS_NM, ANGLES)
    signal = coat_signal(mean_profile(profiles))
    if len(flat.rho_nm) < FEWEST_FLAT:
        return signal
    lines = (half, n), (flat, normals(flat))
    darkness = [sample_profiles(image, pit.axis, *line, LINE_NM, ANGLES) for line in lines]
    return signal + line_signal(*(mean_profile(one).max(axis=1) for one in darkness))


def _is_flat(path: Line) -> npt.NDArray[np.bool_]:
    """Return which points of an outline are of the membrane around the pit."""
    return np.asarray(np.cumsum(path.rho_nm < FLAT_NM) == 0)


def _measure_vesicle(image: Image, grey: Image, bulb: Bulb) -> MeasuredObject | None:
    """Return the measurement of a vesicle, None if there is none."""
    shape = measure_vesicle(image, bulb)
    ellipsoid = shape.ellipsoid
    directions = sphere_directions(RAYS)
    radii = ellipsoid.radii(directions)
    surface = ellipsoid.centre_nm + radii[:, None] * directions
    wall = sample_at(image, surface)
    known = np.isfinite(wall)
    if not known.any() or not _is_vesicle(image, ellipsoid, wall[known]):
        return None
    # Far from other membranes the wall is darker than the scale of the image.
    scale = max(float(np.median(wall[known])), 1.0)
    signal = coat_signal(sample_wall(image, ellipsoid, OFFSETS_NM)) / scale
    diameter = ellipsoid.diameter_nm
    view = measure_view(
        image,
        ellipsoid.centre_nm,
        inside_ellipsoid(ellipsoid),
        Frame.from_normal(ellipsoid.centre_nm, ellipsoid.vectors[0]),
        None,
    )
    return MeasuredObject(
        is_pit=False,
        coated=is_coated(signal, np.nan, diameter, np.nan),
        centre_nm=ellipsoid.centre_nm,
        direction=np.full(3, np.nan),
        lengths_nm=np.array([np.nan, diameter, np.nan]),
        se_nm=np.array([np.nan, shape.se_nm, np.nan]),
        axes_nm=ellipsoid.axes_nm[:2],
        long_axis=ellipsoid.vectors[0],
        ring_nm=np.full((RING_POINTS, 3), np.nan),
        surface_nm=surface[::4],
        view=view,
        picture=draw_vesicle(grey, ellipsoid),
        flags=("cut",) if known.mean() < SMALLEST_KNOWN else (),
    )


def _is_vesicle(image: Image, ellipsoid: Ellipsoid, wall: npt.NDArray[np.float32]) -> bool:
    """Return whether an ellipsoid has a dark wall all around and a bright lumen."""
    directions = sphere_directions(RAYS)
    radii = LUMEN_SHARE * ellipsoid.radii(directions)
    lumen = sample_at(image, ellipsoid.centre_nm + radii[:, None] * directions)
    elongation = ellipsoid.axes_nm[0] / ellipsoid.axes_nm[2]
    return bool(
        (wall > DARK_WALL).mean() > SMALLEST_WALL
        and np.median(wall) - np.nanmedian(lumen) > SMALLEST_CONTRAST
        and ellipsoid.misfit_nm < LARGEST_MISFIT_NM
        and elongation < LARGEST_ELONGATION
    )


def _unmeasured(grey: Image, centre: FloatArray, flag: str) -> MeasuredObject:
    """Return an object without lengths."""
    _, right, down = np.eye(3)
    return MeasuredObject(
        is_pit=False,
        coated=False,
        centre_nm=centre,
        direction=np.full(3, np.nan),
        lengths_nm=np.full(3, np.nan),
        se_nm=np.full(3, np.nan),
        axes_nm=np.full(2, np.nan),
        long_axis=np.full(3, np.nan),
        ring_nm=np.full((RING_POINTS, 3), np.nan),
        surface_nm=centre[None],
        view=View(0, int(np.rint(grey.to_voxels(centre)[0]))),
        picture=PitPicture(slice_plane(grey, centre, down, right), np.zeros((0, 2)), {}),
        flags=(flag,),
    )
