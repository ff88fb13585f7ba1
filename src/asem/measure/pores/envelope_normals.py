"""Normals of pores: of the triangles of the envelope, of neighbours, or of the mask itself.

::

    closed envelope                  normals point outward
    open envelope                    consistent from pore to pore, to the convex side
    few pores, poor triangles        the plane of the neighbours, then the short axis of the mask
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree

from asem.measure.mask_shapes import point_forward
from asem.measure.pores.envelope_surface import Surface, triangulate_surface
from asem.measure.pores.point_surface import NEIGHBOURS, FloatArray, find_neighbours, fit_planes

MIN_AGREEMENT = 0.7
"""Of the normals of the triangles at a pore (largest eigenvalue of their mean outer product, 1/3 to
1), below which the plane of the neighbours is used."""
MIN_WIDTH = 0.05
"""Of the neighbours of a pore (`asem.measure.pores.point_surface.fit_planes`)."""
MAX_ANGLE_DEG = 35.0
"""Between the envelope and the short axis of a flat mask; else the latter is the normal."""
MAX_HEIGHT_NM, MIN_CURVATURE_RADIUS_NM, MIN_COSINE = 40.0, 400.0, 0.8
"""Of a rim above the plane of its neighbours, of the envelope, and of the angle between both
(`is_in_envelope`)."""
ENVELOPE, NEIGHBOUR_PLANE, MASK = range(3)
"""Where a normal is from."""


@dataclass(frozen=True)
class Envelope:
    """The surface of pores that are reliable, and the normals of all pores.

    Parameters
    ----------
    surface
        Its points are the centres of `rows`.
    rows
        Rows of the pores that are corners of the surface, (m,).
    normals
        Of length 1, (n, 3).
    source
        `ENVELOPE`, `NEIGHBOUR_PLANE` or `MASK`, (n,).
    """

    surface: Surface
    rows: npt.NDArray[np.intp]
    normals: FloatArray
    source: npt.NDArray[np.int64]


def is_in_envelope(centres_nm: FloatArray, normals: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which pores, as found on the image, are in the envelope although they are off a plane.

    Few pores on a small or folded nucleus are far from the plane of their neighbours. The image is
    independent of the masks: a rim is part of the envelope if it faces the direction of the plane
    of the six nearest rims, within 37 degrees, and is no farther above it than on an envelope with
    a radius of curvature of 400 nm, and 40 nm.

    Parameters
    ----------
    centres_nm, normals
        Of the rims on the image, (n, 3); nan where none was found.
    """
    agrees = np.zeros(len(centres_nm), np.bool_)
    rows = np.flatnonzero(np.isfinite(centres_nm).all(axis=1))
    if len(rows) <= NEIGHBOURS:
        return agrees
    points = centres_nm[rows]
    neighbours = points[find_neighbours(points, NEIGHBOURS)]
    planes, width = fit_planes(neighbours)
    above = points[:, None] - neighbours
    heights = np.einsum("nka,na->nk", above, planes)
    within = np.square(above).sum(axis=2) - np.square(heights)
    limit = MAX_HEIGHT_NM + within.mean(axis=1) / (2 * MIN_CURVATURE_RADIUS_NM)
    cosine = np.abs(np.einsum("na,na->n", normals[rows], planes))
    is_level = np.abs(heights.mean(axis=1)) <= limit
    agrees[rows] = is_level & (cosine >= MIN_COSINE) & (width >= MIN_WIDTH)
    return agrees


def build_envelope(
    centres_nm: FloatArray,
    mask_normals: FloatArray,
    is_flat: npt.NDArray[np.bool_],
    is_corner: npt.NDArray[np.bool_],
) -> Envelope:
    """Triangulate the centres of pores; return the surface and the normal of each pore.

    Parameters
    ----------
    centres_nm
        (n, 3).
    mask_normals
        Short axes of the masks, (n, 3).
    is_flat
        Which masks have a clear short axis, (n,).
    is_corner
        Pores that the surface goes through: no outliers, no specks, (n,).
    """
    rows = np.flatnonzero(is_corner)
    points, first = np.unique(centres_nm[rows], axis=0, return_index=True)
    rows = np.sort(rows[first]) if len(points) < len(rows) else rows
    surface = triangulate_surface(centres_nm[rows])
    normals, source = _find_corner_normals(surface)
    _replace_by_masks(normals, source, mask_normals[rows], is_flat[rows])
    normals = _orient(surface, normals, source)
    all_normals, all_sources = point_forward(mask_normals), np.full(len(centres_nm), MASK)
    all_normals[rows], all_sources[rows] = normals, source
    _extend(all_normals, all_sources, centres_nm, rows, mask_normals, is_flat)
    return Envelope(surface, rows, all_normals, all_sources)


def _find_corner_normals(surface: Surface) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return the normals of the corners of a surface, not yet oriented, and their sources."""
    count = len(surface.points_nm)
    tensors, sums = np.zeros((count, 3, 3)), np.zeros((count, 3))
    weighted = surface.normals
    lengths = np.maximum(np.linalg.norm(weighted, axis=1), 1e-300)
    outer = weighted[:, :, None] * weighted[:, None, :] / lengths[:, None, None]
    for corner in range(3):
        np.add.at(tensors, surface.triangles[:, corner], outer)
        np.add.at(sums, surface.triangles[:, corner], weighted)
    values, vectors = np.linalg.eigh(tensors)
    agreement = values[:, 2] / np.maximum(values.sum(axis=1), 1e-300)
    normals, source = vectors[:, :, 2].copy(), np.full(count, ENVELOPE)
    if surface.is_closed:
        length = np.linalg.norm(sums, axis=1)
        clear = length > 0.5 * np.maximum(values.sum(axis=1), 1e-300)
        normals[clear] = sums[clear] / length[clear, None]
    poor = agreement < MIN_AGREEMENT
    if poor.any():
        _replace_by_planes(normals, source, surface.points_nm, poor)
    return normals, source


def _replace_by_planes(
    normals: FloatArray,
    source: npt.NDArray[np.int64],
    points: FloatArray,
    poor: npt.NDArray[np.bool_],
) -> None:
    """Replace poor normals by those of the planes of the neighbours; mark those that fail, too."""
    source[poor] = MASK
    if len(points) < 3:
        return
    neighbours = find_neighbours(points, NEIGHBOURS)
    groups = np.concatenate([points[:, None], points[neighbours]], axis=1)
    planes, width = fit_planes(groups)
    good = poor & (width >= MIN_WIDTH)
    normals[good], source[good] = planes[good], NEIGHBOUR_PLANE


def _replace_by_masks(
    normals: FloatArray,
    source: npt.NDArray[np.int64],
    mask_normals: FloatArray,
    is_flat: npt.NDArray[np.bool_],
) -> None:
    """Replace missing normals, and those that differ much from a flat mask, by its short axis."""
    cosine = np.abs(np.einsum("na,na->n", normals, mask_normals))
    other = is_flat & (cosine < np.cos(np.deg2rad(MAX_ANGLE_DEG)))
    chosen = other | (source == MASK)
    normals[chosen], source[chosen] = mask_normals[chosen], MASK


def _orient(surface: Surface, normals: FloatArray, source: npt.NDArray[np.int64]) -> FloatArray:
    """Return the normals outward, or consistently along the edges of the surface."""
    count = len(normals)
    if count == 0:
        return normals
    edges = surface.edges
    if len(edges) == 0:  # up to two pores, or pores on a line
        edges = np.stack([np.arange(count - 1), np.arange(1, count)], axis=1)
    sums = np.zeros((count, 3))
    if surface.is_closed:
        for corner in range(3):
            np.add.at(sums, surface.triangles[:, corner], surface.normals)
    agreement = np.einsum("na,na->n", normals, sums)
    clear = np.abs(agreement) > 0.5 * np.linalg.norm(sums, axis=1)
    clear &= sums.any(axis=1)
    oriented = normals * np.where(clear & (agreement < 0), -1.0, 1.0)[:, None]
    oriented = _propagate(oriented, edges, clear)
    return oriented if clear.any() else _point_to_convex_side(surface.points_nm, oriented)


def _propagate(
    normals: FloatArray, edges: npt.NDArray[np.int64], fixed: npt.NDArray[np.bool_]
) -> FloatArray:
    """Orient normals like those of neighbours, along the edges where they are most parallel.

    The minimum spanning tree of the edges, weight 1 - |cosine| (Hoppe et al., SIGGRAPH 1992), is
    walked from the fixed normals, or from the first one of each part.
    """
    count = len(normals)
    cosines = np.einsum("ea,ea->e", normals[edges[:, 0]], normals[edges[:, 1]])
    weights = 1e-6 + np.clip(1 - np.abs(cosines), 0, 1)
    hub = np.flatnonzero(fixed)
    rows = np.concatenate([edges[:, 0], np.full(len(hub), count)])
    columns = np.concatenate([edges[:, 1], hub])
    values = np.concatenate([weights, np.full(len(hub), 1e-9)])
    graph = coo_array((values, (rows, columns)), shape=(count + 1, count + 1)).tocsr()
    tree = minimum_spanning_tree(graph)
    result = np.concatenate([normals, np.zeros((1, 3))])
    _, part = connected_components(tree, directed=False)
    starts = [count, *(np.flatnonzero(part == p)[0] for p in np.unique(part) if p != part[count])]
    for start in starts:
        order, before = breadth_first_order(tree, start, directed=False)
        for node in order[1:]:
            if before[node] != count and result[node] @ result[before[node]] < 0:
                result[node] *= -1
    return result[:count]


def _point_to_convex_side(points: FloatArray, normals: FloatArray) -> FloatArray:
    """Return all normals, or all their opposites: to the side away from the neighbours.

    Neighbours of a pore are on the concave side of its tangent plane. Where there is no curvature,
    the first component of the mean normal that is not 0 is positive.
    """
    mean = point_forward(normals.mean(axis=0, keepdims=True))[0]
    if len(points) > 3:
        neighbours = find_neighbours(points, NEIGHBOURS)
        offsets = points[neighbours] - points[:, None]
        heights = np.einsum("nka,na->nk", offsets, normals)
        lengths = np.linalg.norm(offsets, axis=2)
        slopes = heights / np.maximum(lengths, 1e-300)
        spread = np.abs(slopes).mean()
        if spread > 1e-6 and abs(slopes.mean()) > 0.1 * spread:
            return normals if slopes.mean() < 0 else -normals
    return normals if normals.mean(axis=0) @ mean >= 0 else -normals


def _extend(
    normals: FloatArray,
    source: npt.NDArray[np.int64],
    centres: FloatArray,
    rows: npt.NDArray[np.intp],
    mask_normals: FloatArray,
    is_flat: npt.NDArray[np.bool_],
) -> None:
    """Fill in the normals of pores that are no corners of the surface, from the nearest ones."""
    others = np.setdiff1d(np.arange(len(centres)), rows)
    if len(others) == 0 or len(rows) == 0:
        return
    count = min(3, len(rows))
    _, nearest = cKDTree(centres[rows]).query(centres[others], k=count)
    sums = normals[rows][nearest.reshape(-1, count)].sum(axis=1)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    near = np.where(length > 0.5, sums / np.maximum(length, 1e-300), mask_normals[others])
    cosine = np.einsum("na,na->n", near, mask_normals[others])
    keep = ~is_flat[others] | (np.abs(cosine) >= np.cos(np.deg2rad(MAX_ANGLE_DEG)))
    keep &= length[:, 0] > 0.5
    sign = np.where(cosine < 0, -1.0, 1.0)[:, None]
    normals[others] = np.where(keep[:, None], near, sign * mask_normals[others])
    source[others] = np.where(keep, NEIGHBOUR_PLANE, MASK)
