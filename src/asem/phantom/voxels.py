"""A drawn cell as voxels: grey values of unblurred matter, and labels."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from asem.config import Nm3
from asem.phantom.geometry import Ball, Cell, Points, Tube

Grey = npt.NDArray[np.float32]

CYTOSOL, MEMBRANE, MATRIX, LUMEN, LYSOSOME, VESICLE = 178.0, 38.0, 112.0, 192.0, 60.0, 196.0
MEMBRANE_NM = 14.0
CRISTA_NM = 75.0
"""Distance from one crista to the next."""


@dataclass(frozen=True)
class Matter:
    """An unblurred cell.

    Parameters
    ----------
    grey
        float32 grey values, 0 to 255.
    mitochondria
        uint16 ids; 0 background. The outer membrane belongs to the mitochondrion.
    """

    grey: Grey
    mitochondria: npt.NDArray[np.uint16]


def rasterize(cell: Cell, voxel_size: Nm3, rng: np.random.Generator) -> Matter:
    """Fill a grid with cytosol, cell borders, ER, balls and mitochondria, in this order.

    Parameters
    ----------
    cell
        What there is.
    voxel_size
        nm.
    rng
        Where ribosomes, sheets and cristae come from.
    """
    z, y, x = (round(e / size) for e, size in zip(cell.extent_nm, voxel_size, strict=True))
    grey = np.full((z, y, x), CYTOSOL, np.float32)
    _add_ribosomes(grey, voxel_size, rng)
    _add_borders(grey, voxel_size, rng)
    _add_sheets(grey, voxel_size, rng)
    for ball in cell.balls:
        _add_ball(grey, ball, voxel_size)
    ids = np.zeros(grey.shape, np.uint16)
    for number, tube in enumerate(cell.mitochondria, 1):
        _add_mitochondrion(grey, ids, number, tube, voxel_size, rng)
    return Matter(grey, ids)


def smooth_noise(
    shape: tuple[int, ...], length_nm: float, voxel_size: Nm3, rng: np.random.Generator
) -> Grey:
    """Return Gaussian noise of mean 0 and variance 1 that is smooth over `length_nm`."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    sigma = [length_nm / size for size in voxel_size]
    smooth = ndimage.gaussian_filter(noise, sigma, mode="wrap", truncate=3)
    return np.asarray((smooth - smooth.mean()) / smooth.std(), np.float32)


def _add_ribosomes(grey: Grey, voxel_size: Nm3, rng: np.random.Generator) -> None:
    dots = smooth_noise(grey.shape, 9, voxel_size, rng)
    clouds = smooth_noise(grey.shape, 120, voxel_size, rng)
    clumps = smooth_noise(grey.shape, 25, voxel_size, rng)
    grey -= 50 * np.clip(dots - 1.0 + 0.5 * clouds, 0, 1.4)
    grey -= 16 * np.clip(clumps + 0.4 * clouds, 0, 2.5)


def _add_borders(grey: Grey, voxel_size: Nm3, rng: np.random.Generator) -> None:
    """Add plasma membranes: two neighbouring cells, one denser, with a thin gap between."""
    field, distance = _random_surface(grey.shape, 190, voxel_size, rng)
    grey -= np.where(field > 0, 16, 0)
    grey[distance < 6 + MEMBRANE_NM] = MEMBRANE
    grey[distance < 6] = 110


def _add_sheets(grey: Grey, voxel_size: Nm3, rng: np.random.Generator) -> None:
    """Add ER: two membranes and a lumen, here and there."""
    _, distance = _random_surface(grey.shape, 130, voxel_size, rng)
    there = smooth_noise(grey.shape, 170, voxel_size, rng) > 0.2
    grey[there & (distance < 16 + MEMBRANE_NM)] = MEMBRANE + 20
    grey[there & (distance < 16)] = LUMEN


def _random_surface(
    shape: tuple[int, ...], length_nm: float, voxel_size: Nm3, rng: np.random.Generator
) -> tuple[Grey, Grey]:
    """Return a smooth random field, and about how far (nm) each voxel is from its zeros."""
    field = smooth_noise(shape, length_nm, voxel_size, rng)
    slope = np.sqrt(sum(step**2 for step in np.gradient(field, *voxel_size)))
    return field, np.asarray(np.abs(field) / (slope + 1e-6), np.float32)


def _box(
    points: Points, reach_nm: float, shape: tuple[int, ...], voxel_size: Nm3
) -> tuple[slice, ...]:
    """Return the voxels that may lie within `reach_nm` of the points."""
    size = np.array(voxel_size)
    low = np.floor((points.min(0) - reach_nm) / size).astype(int)
    high = np.ceil((points.max(0) + reach_nm) / size).astype(int) + 1
    return tuple(
        slice(max(0, a), max(0, min(n, b))) for a, b, n in zip(low, high, shape, strict=True)
    )


def _positions(box: tuple[slice, ...], voxel_size: Nm3) -> Points:
    """Return the voxel centres of a box, shape (z, y, x, 3), nm."""
    axes = [np.arange(s.start, s.stop) * size for s, size in zip(box, voxel_size, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def _add_ball(grey: Grey, ball: Ball, voxel_size: Nm3) -> None:
    box = _box(ball.centre[None], ball.radius_nm, grey.shape, voxel_size)
    distance = np.linalg.norm(_positions(box, voxel_size) - ball.centre, axis=-1)
    part = grey[box]
    part[distance < ball.radius_nm] = MEMBRANE
    part[distance < ball.radius_nm - MEMBRANE_NM] = LYSOSOME if ball.dark else VESICLE


def _add_mitochondrion(
    grey: Grey,
    ids: npt.NDArray[np.uint16],
    number: int,
    tube: Tube,
    voxel_size: Nm3,
    rng: np.random.Generator,
) -> None:
    """Add outer and inner membrane, a dark matrix, and cristae across the tube."""
    box = _box(tube.spine, tube.radius_nm, grey.shape, voxel_size)
    if min(s.stop - s.start for s in box) < 1:
        return
    distance, along = _from_spine(_positions(box, voxel_size), tube.spine)
    depth = tube.radius_nm - distance
    bend = smooth_noise(depth.shape, 60, voxel_size, rng)
    phase = along / CRISTA_NM + 0.35 * bend
    crista = (np.abs(phase - np.rint(phase)) * CRISTA_NM < MEMBRANE_NM * 0.7) & (
        smooth_noise(depth.shape, 70, voxel_size, rng) > -0.5
    )
    part = grey[box]
    part[depth > 0] = MEMBRANE
    part[depth > MEMBRANE_NM] = 130
    part[depth > MEMBRANE_NM + 8] = MEMBRANE
    inside = depth > 2 * MEMBRANE_NM + 8
    part[inside] = MATRIX
    part[inside & crista] = MEMBRANE + 10
    ids[box][depth > 0] = number


def _from_spine(positions: Points, spine: Points) -> tuple[Points, Points]:
    """Return the distance to a line of segments, and how far along it the nearest place is, nm."""
    best = np.full(positions.shape[:-1], np.inf)
    along = np.zeros(positions.shape[:-1])
    walked = 0.0
    for start, stop in pairwise(spine):
        segment = stop - start
        length = float(np.linalg.norm(segment))
        share = np.clip((positions - start) @ segment / length**2, 0, 1)
        distance = np.linalg.norm(positions - start - share[..., None] * segment, axis=-1)
        closer = distance < best
        best[closer] = distance[closer]
        along[closer] = walked + share[closer] * length
        walked += length
    return best, along
