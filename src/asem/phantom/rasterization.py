"""Rasterize a synthetic cell: noise-free grey values and labels."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from asem.config import NmZYX
from asem.phantom.geometry import CellGeometry, Points, Sphere, Tube
from asem.volume.roi import per_axis

GreyArray = npt.NDArray[np.float32]
OpenGrid = tuple[npt.NDArray[np.float64], ...]
"""Coordinates along z, y and x of the positions of a grid; they broadcast to its shape, nm."""

CYTOSOL, MEMBRANE, MATRIX, LUMEN, LYSOSOME, VESICLE = 178.0, 38.0, 112.0, 192.0, 60.0, 196.0
MEMBRANE_THICKNESS_NM = 14.0
CRISTA_SPACING_NM = 75.0
"""Distance from one crista to the next."""


@dataclass(frozen=True)
class Specimen:
    """An unblurred cell.

    Parameters
    ----------
    grey
        float32 grey values, 0 to 255.
    mitochondria
        uint16 ids; 0 background. The outer membrane belongs to the mitochondrion.
    """

    grey: GreyArray
    mitochondria: npt.NDArray[np.uint16]


def rasterize(cell: CellGeometry, voxel_size: NmZYX, rng: np.random.Generator) -> Specimen:
    """Rasterize cytosol, plasma membranes, ER, spheres and mitochondria, in this order.

    Parameters
    ----------
    cell
        Geometry of the cell.
    voxel_size
        nm.
    rng
        Random generator of ribosomes, membranes and cristae.
    """
    shape = per_axis(lambda extent, size: round(extent / size), cell.extent_nm, voxel_size)
    grey = np.full(shape, CYTOSOL, np.float32)
    _add_ribosomes(grey, voxel_size, rng)
    _add_plasma_membranes(grey, voxel_size, rng)
    _add_er_sheets(grey, voxel_size, rng)
    for sphere in cell.spheres:
        _add_sphere(grey, sphere, voxel_size)
    ids = np.zeros(grey.shape, np.uint16)
    for number, tube in enumerate(cell.mitochondria, 1):
        _add_mitochondrion(grey, ids, number, tube, voxel_size, rng)
    return Specimen(grey, ids)


def smooth_noise(
    shape: tuple[int, ...], length_nm: float, voxel_size: NmZYX, rng: np.random.Generator
) -> GreyArray:
    """Return Gaussian noise of mean 0 and variance 1, smoothed with sigma `length_nm`."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    sigma = [length_nm / size for size in voxel_size]
    smooth = ndimage.gaussian_filter(noise, sigma, mode="wrap", truncate=3)
    return np.asarray((smooth - smooth.mean()) / smooth.std(), np.float32)


def _add_ribosomes(grey: GreyArray, voxel_size: NmZYX, rng: np.random.Generator) -> None:
    dots = smooth_noise(grey.shape, 9, voxel_size, rng)
    clouds = smooth_noise(grey.shape, 120, voxel_size, rng)
    clumps = smooth_noise(grey.shape, 25, voxel_size, rng)
    grey -= 50 * np.clip(dots - 1.0 + 0.5 * clouds, 0, 1.4)
    grey -= 16 * np.clip(clumps + 0.4 * clouds, 0, 2.5)


def _add_plasma_membranes(grey: GreyArray, voxel_size: NmZYX, rng: np.random.Generator) -> None:
    """Add the plasma membranes of two neighbouring cells, one denser, with a gap of 12 nm."""
    field, distance = _random_surface(grey.shape, 190, voxel_size, rng)
    grey -= np.where(field > 0, 16, 0)
    grey[distance < 6 + MEMBRANE_THICKNESS_NM] = MEMBRANE
    grey[distance < 6] = 110


def _add_er_sheets(grey: GreyArray, voxel_size: NmZYX, rng: np.random.Generator) -> None:
    """Add sheets of ER in part of the volume: two membranes and a lumen."""
    _, distance = _random_surface(grey.shape, 130, voxel_size, rng)
    has_er = smooth_noise(grey.shape, 170, voxel_size, rng) > 0.2
    grey[has_er & (distance < 16 + MEMBRANE_THICKNESS_NM)] = MEMBRANE + 20
    grey[has_er & (distance < 16)] = LUMEN


def _random_surface(
    shape: tuple[int, ...], length_nm: float, voxel_size: NmZYX, rng: np.random.Generator
) -> tuple[GreyArray, GreyArray]:
    """Return a smooth random field, and the approximate distance (nm) of voxels to its zeros."""
    field = smooth_noise(shape, length_nm, voxel_size, rng)
    slope = np.sqrt(sum(step**2 for step in np.gradient(field, *voxel_size)))
    return field, np.asarray(np.abs(field) / (slope + 1e-6), np.float32)


def _bounding_slices(
    points: Points, margin_nm: float, shape: tuple[int, ...], voxel_size: NmZYX
) -> tuple[slice, ...]:
    """Return the box of the voxels within `margin_nm` of the points, clipped to `shape`."""
    size = np.array(voxel_size)
    low = np.floor((points.min(0) - margin_nm) / size).astype(int)
    high = np.ceil((points.max(0) + margin_nm) / size).astype(int) + 1
    return tuple(
        slice(max(0, a), max(0, min(n, b))) for a, b, n in zip(low, high, shape, strict=True)
    )


def _voxel_centres_nm(box: tuple[slice, ...], voxel_size: NmZYX) -> OpenGrid:
    """Return the voxel centres of a box, nm."""
    axes = [np.arange(s.start, s.stop) * size for s, size in zip(box, voxel_size, strict=True)]
    return np.ix_(*axes)


def _dot(grid: OpenGrid, vector: Points) -> Points:
    """Return the scalar product of each position of a grid with a vector."""
    z, y, x = (axis * component for axis, component in zip(grid, vector, strict=True))
    return np.asarray(z + y + x, np.float64)


def _squared_distance(grid: OpenGrid, point: Points) -> Points:
    z, y, x = ((axis - component) ** 2 for axis, component in zip(grid, point, strict=True))
    return np.asarray(z + y + x, np.float64)


def _add_sphere(grey: GreyArray, sphere: Sphere, voxel_size: NmZYX) -> None:
    box = _bounding_slices(sphere.centre[None], sphere.radius_nm, grey.shape, voxel_size)
    distance = np.sqrt(_squared_distance(_voxel_centres_nm(box, voxel_size), sphere.centre))
    part = grey[box]
    part[distance < sphere.radius_nm] = MEMBRANE
    part[distance < sphere.radius_nm - MEMBRANE_THICKNESS_NM] = (
        LYSOSOME if sphere.electron_dense else VESICLE
    )


def _add_mitochondrion(
    grey: GreyArray,
    ids: npt.NDArray[np.uint16],
    number: int,
    tube: Tube,
    voxel_size: NmZYX,
    rng: np.random.Generator,
) -> None:
    """Add the outer and inner membrane, the matrix, and cristae across the tube."""
    box = _bounding_slices(tube.centreline, tube.radius_nm, grey.shape, voxel_size)
    if min(s.stop - s.start for s in box) < 1:
        return
    distance, position = _project_to_centreline(_voxel_centres_nm(box, voxel_size), tube.centreline)
    depth = tube.radius_nm - distance
    bend = smooth_noise(depth.shape, 60, voxel_size, rng)
    phase = position / CRISTA_SPACING_NM + 0.35 * bend
    crista = (np.abs(phase - np.rint(phase)) * CRISTA_SPACING_NM < MEMBRANE_THICKNESS_NM * 0.7) & (
        smooth_noise(depth.shape, 70, voxel_size, rng) > -0.5
    )
    part = grey[box]
    part[depth > 0] = MEMBRANE
    part[depth > MEMBRANE_THICKNESS_NM] = 130
    part[depth > MEMBRANE_THICKNESS_NM + 8] = MEMBRANE
    inside = depth > 2 * MEMBRANE_THICKNESS_NM + 8
    part[inside] = MATRIX
    part[inside & crista] = MEMBRANE + 10
    ids[box][depth > 0] = number


def _project_to_centreline(grid: OpenGrid, centreline: Points) -> tuple[Points, Points]:
    """Return the distance to a polyline, and the arc length of the nearest point on it, nm.

    For a position p at the fraction f of a segment from a to a + s::

        |p - a - f s|^2 = |p - a|^2 - 2 f (p - a) s + f^2 |s|^2
    """
    shape = np.broadcast_shapes(*(axis.shape for axis in grid))
    nearest, arc_length = np.full(shape, np.inf), np.zeros(shape)
    length_before = 0.0
    for start, stop in pairwise(centreline):
        segment = stop - start
        length = float(np.linalg.norm(segment))
        along = _dot(grid, segment) - start @ segment
        fraction = np.clip(along / length**2, 0, 1)
        squared = _squared_distance(grid, start) + fraction * (fraction * length**2 - 2 * along)
        closer = squared < nearest
        np.copyto(nearest, squared, where=closer)
        np.copyto(arc_length, length_before + fraction * length, where=closer)
        length_before += length
    return np.sqrt(np.maximum(nearest, 0)), arc_length
