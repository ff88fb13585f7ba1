"""Nucleus, plasma membrane and nuclear pores of a synthetic cell."""

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.phantom.cell_geometry import ENVELOPE_HALF_NM, Points, Pore
from asem.phantom.free_space import perpendicular_axes, random_direction, unit
from asem.phantom.smooth_surface import SmoothSurface

MIN_CURVATURE_RADIUS_NM = 900.0
"""Smallest radius of curvature that the waves of a surface have, about."""
PORE_GAP_NM = 45.0
"""Smallest distance between the rims of two pores."""
PORES_PER_UM2 = 7.0
MAX_ROUNDS = 6
"""Samples of the envelope that are tried until all pores are placed."""
RING_NM = 95.0
"""Around a pore, the envelope is nearly plane up to this distance from its axis."""
MASK_MARGIN_NM = 25.0
"""Envelope around a pore that is in its mask (paper, Automated segmentation of nuclear pores)."""


def generate_surface(
    centre_nm: NmZYX,
    semi_axes_nm: NmZYX,
    rng: np.random.Generator,
    *,
    roughness: float,
    folds: int = 0,
) -> SmoothSurface:
    """Generate an ellipsoid with random waves and folds.

    Parameters
    ----------
    centre_nm, semi_axes_nm
        Of the ellipsoid.
    rng
        Random generator.
    roughness
        1 for a chemically fixed cell; less for smoother surfaces.
    folds
        Number of tube-shaped invaginations.
    """
    mean = float(np.mean(semi_axes_nm))
    waves = []
    for _ in range(7):
        wavelength = mean * rng.uniform(0.5, 1.6)
        vector = random_direction(rng) * 2 * np.pi / wavelength
        largest = 1 / (float(vector @ vector) * max(MIN_CURVATURE_RADIUS_NM, 0.6 * mean))
        waves.append([roughness * largest * rng.uniform(0.2, 0.5), *vector, rng.uniform(0, 6.3)])
    tubes = [_random_fold(np.array(centre_nm), np.array(semi_axes_nm), rng) for _ in range(folds)]
    return SmoothSurface(centre_nm, semi_axes_nm, np.array(waves), np.array(tubes).reshape(-1, 7))


def _random_fold(centre: Points, semi_axes: Points, rng: np.random.Generator) -> list[float]:
    """Return a tube from outside into the ellipsoid: start, end, radius."""
    outwards = random_direction(rng)
    start = centre + 1.1 * semi_axes * outwards
    bend = unit(outwards + rng.normal(scale=0.2, size=3))
    end = centre + rng.uniform(0.35, 0.6) * semi_axes * bend
    return [*start, *end, float(rng.uniform(110, 190))]


def estimate_area(surface: SmoothSurface, rng: np.random.Generator) -> float:
    """Estimate the area of a surface in nm^2 from the share of positions within 40 nm."""
    half_nm = 40.0
    extent = 2.4 * np.array(surface.semi_axes_nm)
    points = rng.uniform(-0.5, 0.5, (50_000, 3)) * extent + surface.centre_nm
    share = float(np.mean(np.abs(surface.distances(points)) < half_nm))
    return share * float(np.prod(extent)) / (2 * half_nm)


def sample_surface(
    surface: SmoothSurface, extent_nm: NmZYX, rng: np.random.Generator, attempts: int = 20_000
) -> tuple[Points, Points]:
    """Return random points of a surface within the box, uniform in area, and outward normals."""
    low = np.maximum(np.array(surface.centre_nm) - 1.25 * np.array(surface.semi_axes_nm), 0)
    high = np.minimum(
        np.array(surface.centre_nm) + 1.25 * np.array(surface.semi_axes_nm), extent_nm
    )
    points = rng.uniform(low, high, (attempts, 3))
    near = points[np.abs(surface.distances(points)) < 40]
    return surface.project(near), surface.normals(near)


def generate_pores(
    nucleus: SmoothSurface,
    extent_nm: NmZYX,
    rng: np.random.Generator,
    *,
    count: int | None,
    diameter_nm: float,
    diameter_sd_nm: float,
) -> tuple[Pore, ...]:
    """Place pores at random on an envelope, where it is smooth and not near another part of it.

    Parameters
    ----------
    nucleus
        Middle of the envelope.
    extent_nm
        Size of the box; centres of pores lie within it.
    rng
        Random generator.
    count
        Number of pores; None: 7 per square micrometre. Fewer where they do not fit.
    diameter_nm, diameter_sd_nm
        Mean and standard deviation of their diameters, which are clipped to 60 to 130 nm
        (paper, Automated segmentation of nuclear pores).
    """
    if count is None:
        count = round(PORES_PER_UM2 * estimate_area(nucleus, rng) / 1e6)
    pores: list[Pore] = []
    placed = np.zeros((0, 4))
    for _ in range(MAX_ROUNDS):
        centres, normals = sample_surface(nucleus, extent_nm, rng)
        centres, normals = centres[: 40 * count + 200], normals[: 40 * count + 200]
        is_smooth = _is_smooth(nucleus, centres, normals)
        for centre, normal in zip(centres[is_smooth], normals[is_smooth], strict=True):
            if len(pores) >= count:
                return tuple(pores)
            radius = 0.5 * float(np.clip(rng.normal(diameter_nm, diameter_sd_nm), 60, 130))
            apart = np.linalg.norm(placed[:, :3] - centre, axis=1) - placed[:, 3]
            if apart.min(initial=np.inf) > radius + 2 * ENVELOPE_HALF_NM + PORE_GAP_NM:
                pores.append(Pore(centre, normal, radius))
                placed = np.vstack([placed, [*centre, radius]])
    return tuple(pores)


def _is_smooth(nucleus: SmoothSurface, centres: Points, normals: Points) -> npt.NDArray[np.bool_]:
    """Whether the envelope around each position is nearly plane, without another part nearby."""
    along = np.array([-150.0, -75.0, 75.0, 150.0])
    line = centres[:, None] + along[:, None] * normals[:, None]
    off = np.abs(nucleus.distances(line).reshape(-1, len(along)) - along).max(axis=1)
    angles = np.arange(8) * np.pi / 4
    first, second = (axes[:, None] for axes in perpendicular_axes(normals))
    ring = np.cos(angles)[:, None] * first + np.sin(angles)[:, None] * second
    height = np.abs(nucleus.distances(centres[:, None] + RING_NM * ring)).reshape(-1, len(angles))
    return np.asarray((off <= 12) & (height.max(axis=1) <= 20))
