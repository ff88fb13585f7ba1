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
NORMAL_WEIGHT = 3.0
"""Distances along the own normal of a point count so many times when neighbours are chosen."""


def find_outliers(
    points_nm: FloatArray, normals: FloatArray | None = None
) -> npt.NDArray[np.bool_]:
    """Return which points are far from the plane of their six neighbours.

    The farthest ones are removed first, and others compared with the points that remain: a point is
    no outlier because one of its neighbours is. The scale of the distances is their median, which
    is 0.67 standard deviations. The limit is three of these, at least `MIN_OUTLIER_NM`.

    Parameters
    ----------
    points_nm
        (n, 3).
    normals
        Normal of each point where it has one, else 0, (n, 3). Neighbours along the surface are
        tried, too: where an envelope is folded, the nearest points may be on the other side.

    Returns
    -------
    ndarray
        bool, (n,); none of five points or less.
    """
    outliers = np.zeros(len(points_nm), bool)
    while True:
        rows = np.flatnonzero(~outliers)
        if len(rows) < NEIGHBOURS:
            return outliers
        kept = points_nm[rows]
        neighbours = find_neighbours(kept, NEIGHBOURS)
        distances = _distances_to_planes(kept, neighbours)
        if normals is not None and normals[rows].any():
            along = _find_neighbours_along(kept, normals[rows])
            distances = np.minimum(distances, _distances_to_planes(kept, along))
        limit = max(MAX_DEVIATIONS * SD_OF_MAD * float(np.median(distances)), MIN_OUTLIER_NM)
        farthest = distances >= distances[neighbours].max(axis=1)
        found = (distances > limit) & farthest
        if not found.any():
            return outliers
        outliers[rows[found]] = True


def find_neighbours(points: FloatArray, count: int) -> npt.NDArray[np.intp]:
    """Return the nearest other points of each point, (n, min(count, n - 1))."""
    count = min(count, len(points) - 1)
    _, indices = cKDTree(points).query(points, k=count + 1)
    is_self = indices == np.arange(len(points))[:, None]
    is_self[~is_self.any(axis=1), -1] = True  # of equal points, another one may be listed
    return np.asarray(indices[~is_self].reshape(len(points), count))


def _find_neighbours_along(points: FloatArray, normals: FloatArray) -> npt.NDArray[np.intp]:
    """Return the neighbours near the plane of the own normal of each point."""
    candidates = find_neighbours(points, 4 * NEIGHBOURS)
    offsets = points[candidates] - points[:, None]
    along = np.einsum("nka,na->nk", offsets, normals)
    weighted = (offsets**2).sum(axis=2) + (NORMAL_WEIGHT**2 - 1) * along**2
    order = np.argsort(weighted, axis=1, kind="stable")[:, :NEIGHBOURS]
    return np.take_along_axis(candidates, order, axis=1)


def _distances_to_planes(points: FloatArray, neighbours: npt.NDArray[np.intp]) -> FloatArray:
    """Return the distance of each point from the plane of its neighbours, (n,)."""
    means = points[neighbours].mean(axis=1)
    normals, _ = fit_planes(points[neighbours])
    return np.abs(np.einsum("na,na->n", points - means, normals))


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
