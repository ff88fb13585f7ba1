"""Planes of neighbouring points: outliers of a point cloud, and normals."""

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

FloatArray = npt.NDArray[np.float64]
NEIGHBOURS = 6
MAX_DEVIATIONS = 3.0
"""Robust standard deviations of the distances to the planes, above which a point is an outlier."""
SD_OF_MAD = 1.4826
"""Standard deviation of a normal distribution / median absolute deviation."""
MIN_OUTLIER_NM = 30.0
"""Points nearer to the plane of their neighbours are no outliers: two thirds of the thickness of
the envelope."""
WIDE_NEIGHBOURS = 32
"""Neighbours whose centre shows the side to which a surface is bent."""
CURVED_NEIGHBOURS = 18
"""Neighbours to which a curved surface of second order is fitted."""
NORMAL_WEIGHT = 10.0
"""Distances along the own normal of a point count so many times when neighbours are chosen."""
MAX_TILT_DEG = 35.0
"""Between the own normal of a point and that of its neighbours along it."""


def find_outliers(
    points_nm: FloatArray, normals: FloatArray | None = None
) -> npt.NDArray[np.bool_]:
    """Return which points are far from the plane of their six neighbours.

    The height of a point above this plane has a sign, positive to the convex side. On a curved
    surface all points are above the plane of their neighbours, by a height that increases with the
    mean squared distance of these: the median ratio of both gives the expected height. An outlier
    differs from that by more than three robust standard deviations (median absolute deviation times
    1.48), at least by `MIN_OUTLIER_NM`.

    The difference that counts is the smallest of three: to this plane; to a surface of second order
    through 18 neighbours, since an envelope is bent differently from place to place; and to the
    plane of six neighbours along the own normal, if there is one, since on a folded envelope the
    nearest points may be on the other side.

    The farthest points are removed first, and others compared with the points that remain: a point
    is no outlier because one of its neighbours is.

    Parameters
    ----------
    points_nm
        (n, 3).
    normals
        Normal of each point where it has one, else 0, (n, 3).

    Returns
    -------
    ndarray
        bool, (n,); none of six points or less.
    """
    outliers = np.zeros(len(points_nm), bool)
    while True:
        rows = np.flatnonzero(~outliers)
        if len(rows) <= NEIGHBOURS:
            return outliers
        kept = points_nm[rows]
        wide = find_neighbours(kept, WIDE_NEIGHBOURS)
        own = None if normals is None else normals[rows]
        from_planes, deviations = _find_deviations(kept, wide, own)
        limit = max(MAX_DEVIATIONS * SD_OF_MAD * float(np.median(from_planes)), MIN_OUTLIER_NM)
        neighbours = wide[:, :NEIGHBOURS]
        found = (deviations > limit) & (deviations >= deviations[neighbours].max(axis=1))
        if not found.any():
            return outliers
        outliers[rows[found]] = True


def _find_deviations(
    points: FloatArray, wide: npt.NDArray[np.intp], own_normals: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Return the difference of each point from the plane of its neighbours, and the smallest."""
    from_planes, _ = _compare_with_planes(points, wide[:, :NEIGHBOURS], wide)
    deviations = from_planes
    if wide.shape[1] >= CURVED_NEIGHBOURS:
        curved = _compare_with_curved(points, wide[:, :CURVED_NEIGHBOURS])
        deviations = np.minimum(deviations, curved)
    if own_normals is not None and own_normals.any():
        along = _choose_along(points, wide, own_normals)
        others, planes = _compare_with_planes(points, along, along)
        cosine = np.abs(np.einsum("na,na->n", planes, own_normals))
        fits = cosine > np.cos(np.deg2rad(MAX_TILT_DEG))
        deviations = np.where(fits, np.minimum(deviations, others), deviations)
    return from_planes, deviations


def find_neighbours(points: FloatArray, count: int) -> npt.NDArray[np.intp]:
    """Return the nearest other points of each point, (n, min(count, n - 1))."""
    count = min(count, len(points) - 1)
    indices = np.asarray(cKDTree(points).query(points, k=count + 1)[1])
    is_self = indices == np.arange(len(points))[:, None]
    is_self[~is_self.any(axis=1), -1] = True  # of equal points, another one may be listed
    return np.asarray(indices[~is_self].reshape(len(points), count))


def _choose_along(
    points: FloatArray, candidates: npt.NDArray[np.intp], normals: FloatArray
) -> npt.NDArray[np.intp]:
    """Return the neighbours near the plane of the own normal of each point, (n, 6)."""
    offsets = points[candidates] - points[:, None]
    along = np.einsum("nka,na->nk", offsets, normals)
    weighted = (offsets**2).sum(axis=2) + (NORMAL_WEIGHT**2 - 1) * along**2
    order = np.argsort(weighted, axis=1, kind="stable")[:, :NEIGHBOURS]
    return np.take_along_axis(candidates, order, axis=1)


def _compare_with_planes(
    points: FloatArray, neighbours: npt.NDArray[np.intp], wide: npt.NDArray[np.intp]
) -> tuple[FloatArray, FloatArray]:
    """Return how far the height of each point is from the expected one, and the planes' normals.

    Heights are above the plane of the neighbours, to the side away from the centre of the wide
    neighbourhood.
    """
    means = points[neighbours].mean(axis=1)
    normals, _ = fit_planes(points[neighbours])
    bend = np.einsum("na,na->n", points[wide].mean(axis=1) - means, normals)
    heights = np.einsum("na,na->n", points - means, normals) * np.where(bend > 0, -1.0, 1.0)
    squares = ((points[neighbours] - points[:, None]) ** 2).sum(axis=2).mean(axis=1)
    expected = np.median(heights / np.maximum(squares, 1e-300)) * squares
    return np.abs(heights - expected), normals


def _compare_with_curved(points: FloatArray, neighbours: npt.NDArray[np.intp]) -> FloatArray:
    """Return the height of each point above a surface of second order through its neighbours."""
    means = points[neighbours].mean(axis=1)
    centred = points[neighbours] - means[:, None]
    _, axes = np.linalg.eigh(np.einsum("nka,nkb->nab", centred, centred))
    local = np.einsum("nka,nab->nkb", centred, axes)
    scale = np.abs(local[:, :, 1:]).max(axis=(1, 2))[:, None, None]
    coefficients = np.linalg.pinv(_quadratic_terms(local[:, :, 1:] / scale)) @ local[:, :, :1]
    own = np.einsum("na,nab->nb", points - means, axes)[:, None]
    predicted = _quadratic_terms(own[:, :, 1:] / scale) @ coefficients
    return np.asarray(np.abs(own[:, 0, 0] - predicted[:, 0, 0]))


def _quadratic_terms(places: FloatArray) -> FloatArray:
    """Return 1, u, v, u², uv, v² of places (n, k, 2), (n, k, 6)."""
    u, v = places[..., 0], places[..., 1]
    return np.stack([np.ones(u.shape), u, v, u**2, u * v, v**2], axis=-1)


def fit_planes(groups: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Fit a plane to each group of points.

    Parameters
    ----------
    groups
        (n, k, 3).

    Returns
    -------
    normals
        Of length 1, of either sign, (n, 3).
    width
        How well they are defined, 0 (points on a line) to 1 (points on a plane, equally far in all
        directions of it), (n,).
    """
    centred = groups - groups.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(np.einsum("nka,nkb->nab", centred, centred))
    width = (values[:, 1] - values[:, 0]) / np.maximum(values[:, 2], 1e-300)
    return vectors[:, :, 0], width
