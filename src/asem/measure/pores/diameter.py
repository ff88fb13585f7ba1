r"""Diameter of one nuclear pore from the image around it.

Membranes of the nuclear envelope are at both sides of its middle surface and joined at the rim of
the pore. With R the radius, h half of the lumen, rho the distance from the axis and s the height
above the middle surface, the signed distance to the membrane is ::

    d = sqrt(max(0, R + h - rho)^2 + s^2) - h

    cross-section                                  en face, the middle plane
                        s                                   .-###-.
    ______________      |      ______________            ##'   |   '##
                  \     |     /                         ##  \  |  /  ##
    lumen          |----+----|          lumen          ##-----+-----## line 0
    ______________/     |     \______________            ##  /  |  \  ##
                        |                                ##.   |   .##
                   <--- 2R --->                             '-###-'

**The diameter is 2 R**: the median, over 18 lines through the centre, 10 degrees apart, of the
distance of the two membranes within the middle surface (Gallusser et al., 2022, Materials and
methods, "Analysis of nuclear pores").

1. The envelope and the pore in it are searched near the given pose (`rim_search`).
2. A model of the blurred rim is fitted to the voxels: pose, curvature, R, h, blur
   (`rim_fit`, `rim_model`).
3. The model is shifted along each half-line (`asem.measure.pores.half_lines`).

Blur moves the darkest point of a curved rim outward, by 0.4 nm for a blur of 4 nm, and 1.7 nm for
7 nm (h = 15 nm). The model contains that shift; the radii are those of the membrane, not of the
darkest point. How wide the stain of a membrane is before blur follows from the image of the rim,
but not precisely: it has a prior (variance 14 nm^2, standard deviation 5.5 nm^2), so that the mean
error is within 0.5 nm for boxes of 8 to 14 nm and Gaussians of 8 nm (full width at half maximum),
and -1 nm for Gaussians of 14 nm (`benchmarks/pore_renders.py`).

The standard error is the largest of three: that of the fit, for independent noise; that of the fit
if the voxels of a plane of the image (first axis), and those of a cube of 45 nm, share errors, as
slices differ in brightness and are shifted, and ribosomes are near
(`rim_fit.radius_variance`); and that from the scatter of the radii around the rim:
the squared amplitude of a harmonic of the radii is expected to equal the variance of their mean, if
errors have the same size at all angles; harmonics 3 to 7 contain errors, but no centre and no
ellipse. It does not contain the mean error, which pores of one image share.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.measure.frame import FloatArray, Frame
from asem.measure.pores.half_lines import LINES, full_weight, measure_half_lines, scatter_variance
from asem.measure.pores.rim_fit import RimFit, fit_rim, radius_variance, rim_evidence
from asem.measure.pores.rim_kernels import MEMBRANE, PARAMETERS, RADIUS, RHO_REACH_NM
from asem.measure.pores.rim_search import find_rim, find_sheet
from asem.measure.pores.view import Patch, radial_profile, select_voxels, view_en_face

PORE_REACH_NM = 160.0
"""Distance from the centre of a mask to the sides of the patch that `measure_pore` needs."""
LARGEST_SHIFT_NM = 45.0
"""Between the given centre and that of the pore, in the middle plane."""
LARGEST_SE_NM = 3.0
"""What has a larger standard error is no pore, or its fit is wrong; those of pores are below 2."""
SUSPECT_SE_NM, RETRY_TILTS = 2.0, ((0.5, 0.0), (-0.5, 0.0), (0.0, 0.5), (0.0, -0.5))
"""Standard error from which on other starts are tried, and the slopes of these."""
GREY_SPREAD, GREY_LIMIT = 50.0, 2500.0
"""Width of the middle 80 % of the grey values that are measured, and the largest absolute value."""
SMALLEST_CONTRAST = 0.7
"""Of membranes, in units of the standard deviation of noise."""
SMALLEST_GAIN, SMALLEST_SIGNIFICANCE = 0.004, 60.0
"""Of a rim compared with an envelope without a pore (`rim_fit.rim_evidence`)."""
RADIUS_LIMITS_NM = (21.0, 78.0)
SMALLEST_SHARE = 0.4
"""Of the voxels of a half-line that are in the image."""
MOST_LOST = 8
"""Half-lines outside of the image, of 36."""
LARGEST_DEVIATION_NM = 15.0
"""Of the radius of a half-line from that of the rim."""
FEW_LINES, TOO_FEW_LINES = 14, 9
SCATTER_FACTOR = 1.6
"""Ratio of the variance of a diameter to that from scatter, which does not contain the errors of h,
blur and stain that all half-lines share."""
SE_FLOOR_NM = 0.08
"""Standard error without noise: sampling."""
SEARCH_H_NM, SEARCH_SIGMA_NM = 15.0, 5.0


@dataclass(frozen=True)
class PoreMeasurement:
    """The pose and the diameter of a pore.

    `flags` exclude a pore from statistics: ``no_rim`` (no pore, or none within 45 nm of the given
    centre), ``cut`` (not enough of the rim is in the image). Diameters are nan then. `notes`
    exclude nothing: ``few_lines`` (less than 14 of 18).
    """

    centre_nm: NmZYX
    """Refined, in the frame of `patch_origin_nm`."""
    normal: tuple[float, float, float]
    """Refined unit vector, (z, y, x), on the side of the given normal."""
    diameter_nm: float
    """Median of the lines."""
    diameter_sd_nm: float
    """Standard deviation of the lines."""
    diameter_se_nm: float
    """Standard error of the diameter."""
    lines_used: int
    """Of 18."""
    flags: tuple[str, ...]
    notes: tuple[str, ...]
    radii_nm: FloatArray
    """(36,), from the centre to the membrane; half-line i is at 10 i degrees from the second to the
    first axis of `view`; nan where it is rejected."""
    view: npt.NDArray[np.float32]
    """The middle plane, (n, n), step `view.VIEW_STEP_NM`."""
    profile: FloatArray
    """Radial mean of the view, (m,), from 0, in the same step."""


def measure_pore(
    patch: npt.NDArray[np.generic],
    patch_origin_nm: NmZYX,
    voxel_size: NmZYX,
    centre_nm: NmZYX,
    normal: tuple[float, float, float],
) -> PoreMeasurement:
    """Measure the diameter of a pore, from a pose that may be off by 30 nm and 25 degrees.

    Parameters
    ----------
    patch
        Grey values around the pore, membranes dark, any real dtype and unit, (z, y, x); nan outside
        of the image. Its sides are `PORE_REACH_NM` from `centre_nm`.
    patch_origin_nm
        World position of the centre of the first voxel.
    voxel_size
        nm along (z, y, x).
    centre_nm, normal
        World position of the centre of the pore, about, and of a vector about perpendicular to the
        envelope.

    Returns
    -------
    measurement
        With a flag if there is no pore in the image.
    """
    values, level, unit = _scale_grey(patch)
    image = Patch(values, np.array(patch_origin_nm, float), voxel_size)
    start = Frame.from_normal(np.array(centre_nm, float), np.array(normal, float))
    measured = _measure_from(image, start)
    for tilt in RETRY_TILTS:
        if measured.flags or measured.diameter_se_nm < SUSPECT_SE_NM:
            break
        tilted = Frame.from_normal(start.origin_nm, np.array([*tilt, 1.0]) @ start.axes)
        again = _measure_from(image, tilted)
        if not again.flags and again.diameter_se_nm < measured.diameter_se_nm:
            measured = again
    if measured.diameter_se_nm > LARGEST_SE_NM:
        measured = _unmeasured(image, start, "no_rim")
    view = (measured.view.astype(np.float64) * unit + level).astype(np.float32)
    return replace(measured, view=view, profile=measured.profile * unit + level)


def _scale_grey(patch: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.float32], float, float]:
    """Return grey values on one scale, whatever the unit of the image, with its level and unit.

    Parameters
    ----------
    patch
        Grey values; what is not finite becomes nan.

    Returns
    -------
    values
        ``(patch - level) / unit``, with a median of 0, limited to `GREY_LIMIT`, float32.
    level, unit
        Grey values of `patch`.
    """
    values = np.array(patch, np.float64)
    values[~np.isfinite(values)] = np.nan
    known = values[np.isfinite(values)]
    low, level, high = np.percentile(known, (10, 50, 90)) if known.size else (0.0, 0.0, 0.0)
    unit = (high - low) / GREY_SPREAD if high > low else 1.0
    scaled = np.clip((values - level) / unit, -GREY_LIMIT, GREY_LIMIT)
    return scaled.astype(np.float32), float(level), float(unit)


def _measure_from(image: Patch, start: Frame) -> PoreMeasurement:
    """Measure the pore that is found from one start."""
    sheet = find_sheet(image, start)
    if sheet is None:
        return _unmeasured(image, start, "cut")
    rim = find_rim(image, sheet, SEARCH_H_NM, SEARCH_SIGMA_NM)
    near = _voxels_near(image, rim.fit)
    if len(near[1]) < PARAMETERS:
        return _unmeasured(image, start, "cut")
    contrast = max(rim.contrast, 0.1 * float(np.nanstd(image.values)), 1e-6)
    fit = fit_rim(rim.fit, *near, contrast)
    radii, weights = measure_half_lines(fit, *near, contrast)
    missing = weights * np.prod(image.voxel_size) < SMALLEST_SHARE * full_weight(fit.radius)
    if missing.sum() > MOST_LOST and np.isnan(image.values).any():
        return _unmeasured(image, fit.frame, "cut")
    radii[missing | (np.abs(radii - np.median(radii)) > LARGEST_DEVIATION_NM)] = np.nan
    lines_used = int(np.isfinite(radii[:LINES] + radii[LINES:]).sum())
    found = _has_rim(fit, *near) and _shift_within(start, fit) < LARGEST_SHIFT_NM
    if not found or lines_used < TOO_FEW_LINES:
        return _unmeasured(image, fit.frame, "no_rim")
    variance = max(
        fit.covariance[RADIUS, RADIUS],
        SCATTER_FACTOR * scatter_variance(radii),
        radius_variance(fit, *near, contrast),
    )
    return _measured(image, fit, radii, float(np.sqrt(4 * variance + SE_FLOOR_NM**2)))


def _measured(image: Patch, fit: RimFit, radii: FloatArray, se_nm: float) -> PoreMeasurement:
    diameters = radii[:LINES] + radii[LINES:]
    used = diameters[np.isfinite(diameters)]
    view = view_en_face(image, fit.frame)
    return PoreMeasurement(
        centre_nm=to_triple(fit.frame.origin_nm),
        normal=to_triple(fit.frame.normal),
        diameter_nm=float(np.median(used)),
        diameter_sd_nm=float(used.std(ddof=1)),
        diameter_se_nm=se_nm,
        lines_used=len(used),
        flags=(),
        notes=("few_lines",) if len(used) < FEW_LINES else (),
        radii_nm=radii,
        view=view,
        profile=radial_profile(view),
    )


def to_triple(vector: FloatArray) -> tuple[float, float, float]:
    """Return the three numbers of an array."""
    a, b, c = vector.tolist()
    return a, b, c


def _unmeasured(image: Patch, frame: Frame, flag: str) -> PoreMeasurement:
    view = view_en_face(image, frame)
    return PoreMeasurement(
        centre_nm=to_triple(frame.origin_nm),
        normal=to_triple(frame.normal),
        diameter_nm=np.nan,
        diameter_sd_nm=np.nan,
        diameter_se_nm=np.nan,
        lines_used=0,
        flags=(flag,),
        notes=(),
        radii_nm=np.full(2 * LINES, np.nan),
        view=view,
        profile=radial_profile(view),
    )


def _voxels_near(image: Patch, fit: RimFit) -> tuple[FloatArray, FloatArray]:
    """Return positions and grey values of the voxels that a fit may need."""
    points, values = select_voxels(
        image.values,
        image.origin_nm,
        np.array(image.voxel_size),
        fit.frame.origin_nm,
        fit.frame.normal,
        fit.radius + RHO_REACH_NM + 15,
        55.0,
    )
    return points, values


def _has_rim(fit: RimFit, points: FloatArray, values: FloatArray) -> bool:
    """Return whether the image near a fit has membranes and a rim."""
    low, high = RADIUS_LIMITS_NM
    if not low < fit.radius < high or -fit.grey[MEMBRANE] < SMALLEST_CONTRAST * fit.noise:
        return False
    gain, significance = rim_evidence(fit, points, values)
    return gain > SMALLEST_GAIN and significance > SMALLEST_SIGNIFICANCE


def _shift_within(start: Frame, fit: RimFit) -> float:
    """Return the distance of the start from the axis of a pore, nm."""
    offset = start.origin_nm - fit.frame.origin_nm
    return float(np.hypot(*(fit.frame.axes[:2] @ offset)))
