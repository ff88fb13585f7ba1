"""The shape of one pit or vesicle on the image: which of both it is, its outline and lengths."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from asem.measure.frame import FloatArray, Frame
from asem.measure.pits.bulb import Bulb
from asem.measure.pits.ellipsoid import GROUPS, RAYS, Ellipsoid, fit_vesicle
from asem.measure.pits.half_plane import Image, average_angles, unroll
from asem.measure.pits.lengths import Membrane, PitLengths, fit_membrane, measure_lengths
from asem.measure.pits.lumen import find_outline
from asem.measure.pits.outline import Line, normals, resample, snap
from asem.measure.pits.pose import ANGLES, PitPose, mean_profile, sample_profiles

OFFSETS_NM = np.arange(-9.0, 9.1, 1.0)
GAP_NM = 15.0
SMALLEST_LINE = 0.5
"""Darkness of the outline of a pit over any `GAP_NM` of it, in units of that of membranes."""
AXIS_NM, LARGEST_GAP, DARK_AXIS = 6.0, 0.5, 0.7
"""Radius around the axis; darkness of a gap on it, less than that of both its sides, and of the
darkest side, of a vesicle beside a membrane."""
SHALLOWEST_NM = 20.0
COMMON_ERRORS_NM = np.array([1.0, 1.2, 2.0])
"""Standard errors of height, width and neck that all sectors share: membrane, coat, blur."""
SECTORS = 8
"""Parts of the half planes that are left out in turn for standard errors."""


@dataclass(frozen=True)
class PitShape:
    """A pit: its axis, outline and lengths.

    Parameters
    ----------
    axis
        Through the middle of the bulb, out of the cytosol.
    path
        Outline in the half plane.
    membrane
        The surrounding membrane in the half plane.
    lengths
        Of the outline.
    se_nm
        Standard errors of height, width and neck, (3,).
    """

    axis: Frame
    path: Line
    membrane: Membrane
    lengths: PitLengths
    se_nm: FloatArray


def line_darkness(image: Image, pose: PitPose) -> float:
    """Return the darkness of the outline of a pit where it is least dark, over `GAP_NM`.

    A vesicle has no membrane that leads to its wall: the line crosses cytosol.
    """
    path = resample(pose.path, 3.0, 6.0)
    profiles = sample_profiles(image, pose.axis, path, normals(path), OFFSETS_NM[2:-2], ANGLES)
    darkness = np.max(mean_profile(profiles), axis=1)
    window = round(GAP_NM / 3)
    mean = np.convolve(np.nan_to_num(darkness), np.full(window, 1 / window), mode="valid")
    return float(mean.min(initial=np.inf))


def leads_to_membrane(image: Image, pose: PitPose) -> bool:
    """Return whether a membrane leads to the bulb: the object is a pit.

    The outline is dark all along, and the axis does not cross a wall, a gap and a membrane.
    """
    if line_darkness(image, pose) < SMALLEST_LINE:
        return False
    near = pose.grid.rho_nm <= AXIS_NM
    above = pose.grid.t_nm >= 0
    weight = np.maximum(pose.grid.rho_nm[near], pose.grid.step_nm / 4)
    on_axis = np.nan_to_num(pose.plane[np.ix_(above, near)]) @ (weight / weight.sum())
    below = np.maximum.accumulate(on_axis)
    beyond = np.maximum.accumulate(on_axis[::-1])[::-1]
    gap = float(np.max(np.minimum(below, beyond) - on_axis))
    return not (gap > LARGEST_GAP and on_axis.max() > DARK_AXIS)


def measure_pit(image: Image, pose: PitPose, bulb: Bulb) -> PitShape | None:
    """Measure a pit; None where its outline has no depth.

    Standard errors are those of the jackknife over `SECTORS` sectors around the axis, and
    `COMMON_ERRORS_NM`.
    """
    samples = unroll(image, pose.axis, pose.grid, ANGLES)
    whole = _measure_samples(image, pose, bulb, samples, np.arange(ANGLES))
    if whole is None:
        return None
    parts = []
    for sector in np.array_split(np.arange(ANGLES), SECTORS):
        part = _measure_samples(image, pose, bulb, samples, np.delete(np.arange(ANGLES), sector))
        if part is not None:
            lengths = part.lengths
            parts.append((lengths.height_nm, lengths.width_nm, lengths.neck_nm))
    scatter = jackknife_errors(np.array(parts).reshape(-1, 3))
    return replace(whole, se_nm=np.hypot(scatter, COMMON_ERRORS_NM))


def jackknife_errors(parts: FloatArray) -> FloatArray:
    """Return standard errors from values without each part, (parts, values)."""
    count = len(parts)
    if count < 2:
        return np.full(parts.shape[1], np.nan)
    return np.asarray(np.sqrt((count - 1) * parts.var(axis=0)))


def _measure_samples(
    image: Image,
    pose: PitPose,
    bulb: Bulb,
    samples: npt.NDArray[np.float32],
    angles: npt.NDArray[np.intp],
) -> PitShape | None:
    """Measure some of the half planes around an axis."""
    plane = average_angles(samples[angles])
    outline = find_outline(plane, pose.grid, pose.path, bulb.radius_nm)
    border = None if outline is None else outline.path
    path = _darkest_line(image, pose, angles) if border is None else border
    membrane = fit_membrane(path)
    lengths = measure_lengths(path, membrane)
    if lengths is None or lengths.height_nm < SHALLOWEST_NM:
        return None
    if outline is not None and np.isfinite(outline.ring_nm):
        lengths = replace(lengths, neck_nm=2 * outline.ring_nm, neck_t_nm=outline.ring_t_nm)
    return PitShape(pose.axis, path, membrane, lengths, np.full(3, np.nan))


def _darkest_line(image: Image, pose: PitPose, angles: npt.NDArray[np.intp]) -> Line:
    """Return the darkest line: the outline where the lumen has no border."""
    path = resample(pose.path, 3.0, 6.0)
    for smoothing in (4.0, 4.0, 2.0):
        n = normals(path)
        profiles = sample_profiles(image, pose.axis, path, n, OFFSETS_NM, ANGLES)[angles]
        path = resample(snap(path, n, mean_profile(profiles), OFFSETS_NM), 3.0, smoothing)
    return path


@dataclass(frozen=True)
class VesicleShape:
    """A vesicle: its ellipsoid, and the standard error of its diameter, nm."""

    ellipsoid: Ellipsoid
    se_nm: float


def measure_vesicle(image: Image, bulb: Bulb) -> VesicleShape:
    """Measure a vesicle; the standard error is that of the jackknife over parts of its wall."""
    whole = fit_vesicle(image, bulb)
    group = np.arange(RAYS) * GROUPS // RAYS
    parts = [fit_vesicle(image, bulb, group == part).diameter_nm for part in range(GROUPS)]
    scatter = float(jackknife_errors(np.array(parts)[:, None])[0])
    return VesicleShape(whole, float(np.hypot(scatter, COMMON_ERRORS_NM[1])))
