r"""Separate the mask of several pores that touch: discs, rings, or both.

The mask is seen along its shortest axis, the normal of the envelope there::

    a ring and a disc        silhouette, holes     distance to its border: its
    that touch               filled                peaks are centres of pores
    . # # # . . # # .        . # # # . . # # .        . 1 1 1 . . 1 1 .
    # . . . # # # # #        # # # # # # # # #        1 2 2 2 1 1 2 2 1
    # . . . # # # # #        # # # # # # # # #        1 2 3 2 1 1 2 2 1
    # . . . # # # # #        # # # # # # # # #        1 2 2 2 1 1 2 2 1
    . # # # . . # # .        . # # # . . # # .        . 1 1 1 . . 1 1 .

A pixel belongs to the nearest of the circles around the peaks, whose radii are these distances.
Two peaks stay one part where the neck between them is wide: two discs of equal radius are separated
where their centres are at least 1.3 radii from each other. The gap between three discs that touch
is no hole of a ring: it has three spikes, and stays. A ring that is open or thin may come apart;
its parts are joined again because they are together as long as one pore (`masks`).

Discs that overlap more have no neck. A part whose area is that of two or more typical pores is
divided into as many compact clusters (k-means), if each of these is round and about as large.
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull

from asem.config import NmZYX

MIN_NECK, WIDE_NECK = 0.75, 0.92
"""Width of a neck / width of the smaller part, above which both are one if they are near to each
other, and in any case."""
MIN_PEAK_DISTANCE = 1.2
"""Distance of two peaks / mean of their heights, above which they are not near."""
CLOSING_NM = 5.0
"""Gaps of up to twice this width in a silhouette are closed."""
MIN_HOLE_SOLIDITY = 0.7
"""Area of a hole of a ring / area of its convex hull. Three discs that touch leave 0.4."""
SMALL_HOLE = 8
"""Holes of up to so many pixels are filled, whatever their shape."""
SMOOTHING_NM = 5.0
"""Standard deviation of the Gaussian that smooths the distances."""
MIN_CLUSTERED = 1.7
"""Area of a part that may be divided into clusters / that of a typical pore."""
MIN_PAIR_ELONGATION = 1.3
"""Of a part that is divided into two; a rounder one is a large pore."""
MIN_CLUSTER, MAX_CLUSTER_ELONGATION = 0.6, 1.5
"""Area of a cluster / that of a typical pore, at least, and its elongation, at most."""
MAX_CLUSTERS = 20
CLUSTER_ROUNDS = 50
FloatArray = npt.NDArray[np.float64]


def split_mask(
    mask: npt.NDArray[np.bool_], voxel_size: NmZYX, typical_nm2: float = np.inf
) -> npt.NDArray[np.uint32]:
    """Return the part of each voxel of a mask, 1, 2, ... in the order of their first voxels.

    Parameters
    ----------
    mask
        A connected mask, (z, y, x).
    voxel_size
        nm.
    typical_nm2
        Area of a typical pore, seen along the normal.

    Examples
    --------
    >>> y, x = np.mgrid[-15:16, -15:45]
    >>> discs = (y**2 + x**2 <= 144) | (y**2 + (x - 26)**2 <= 196)
    >>> parts = split_mask(np.stack([discs] * 6), (5, 5, 5))
    >>> parts[0, 15, [15, 41]].tolist(), int(parts.max())
    ([2, 1], 2)
    """
    voxels = np.argwhere(mask).astype(np.float64)
    pixels, step_nm = _project(voxels * np.array(voxel_size, np.float64), max(voxel_size))
    margin = int(np.ceil(CLOSING_NM / step_nm)) + 1
    pixels += margin
    silhouette = np.zeros(pixels.max(axis=0) + margin + 1, bool)
    silhouette[tuple(pixels.T)] = True
    found = _find_parts(_fill(silhouette, step_nm), step_nm)
    parts = _cluster_parts(found, typical_nm2 / step_nm**2)[tuple(pixels.T)]
    numbers = np.zeros(mask.shape, np.uint32)
    _, first = np.unique(parts, return_index=True)
    rank = np.zeros(parts.max() + 1, np.uint32)
    rank[parts[np.sort(first)]] = np.arange(1, len(first) + 1)
    numbers[mask] = rank[parts]
    return numbers


def _project(points: FloatArray, step_nm: float) -> tuple[npt.NDArray[np.intp], float]:
    """Return the pixels of points in the plane of their two longest axes, from 0."""
    centred = points - points.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    plane = centred @ axes[:, 1:]
    return np.floor((plane - plane.min(axis=0)) / step_nm).astype(np.intp), step_nm


def _fill(silhouette: npt.NDArray[np.bool_], step_nm: float) -> npt.NDArray[np.bool_]:
    """Close gaps and fill the holes of rings."""
    reach = CLOSING_NM / step_nm
    near = ndimage.distance_transform_edt(~silhouette) <= reach
    closed = ndimage.distance_transform_edt(near) > reach
    closed |= silhouette
    holes, count = ndimage.label(ndimage.binary_fill_holes(closed) & ~closed)
    for number in range(1, count + 1):
        hole = holes == number
        if np.count_nonzero(hole) <= SMALL_HOLE or _find_solidity(hole) >= MIN_HOLE_SOLIDITY:
            closed |= hole
    return np.asarray(closed)


def _find_solidity(region: npt.NDArray[np.bool_]) -> float:
    """Return the area of pixels / area of their convex hull."""
    pixels = np.argwhere(region)
    corners = (pixels[:, None] + [(0, 0), (0, 1), (1, 0), (1, 1)]).reshape(-1, 2)
    return len(pixels) / float(ConvexHull(corners).volume)


def _find_parts(silhouette: npt.NDArray[np.bool_], step_nm: float) -> npt.NDArray[np.intp]:
    """Return the part of each pixel of a silhouette, from 1; 0 outside."""
    distance = ndimage.distance_transform_edt(silhouette)
    heights = ndimage.gaussian_filter(distance, SMOOTHING_NM / step_nm) * silhouette
    order = np.lexsort((np.arange(heights.size), -heights.ravel()))
    order = order[: np.count_nonzero(silhouette)]
    peaks = _flood(heights, order)
    pixels = np.argwhere(silhouette)
    smallest, nearest = np.full(len(pixels), np.inf), np.zeros(len(pixels), np.intp)
    for number, peak in enumerate(peaks, 1):
        offsets = pixels - divmod(peak, heights.shape[1])
        gaps = np.linalg.norm(offsets, axis=1) - heights.flat[peak]
        nearest[gaps < smallest] = number
        smallest = np.minimum(smallest, gaps)
    parts = np.zeros(silhouette.shape, np.intp)
    parts[silhouette] = nearest
    return parts


def _flood(heights: FloatArray, order: npt.NDArray[np.intp]) -> list[int]:
    """Flood peaks from the highest pixel down; join peaks at wide necks; return those that remain.

    The neck of two peaks is where their floods meet first.
    """
    width = heights.shape[1]
    flat, part = heights.ravel(), np.zeros(heights.size, np.intp)
    parent, peaks = [0], [0]
    offsets = (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1)
    for pixel in order.tolist():
        near = [pixel + o for o in offsets if part[pixel + o]]
        if not near:
            parent.append(len(parent))
            peaks.append(pixel)
            part[pixel] = len(parent) - 1
            continue
        part[pixel] = part[max(near, key=lambda n: (flat[n], -n))]
        roots = sorted({_root(parent, part[n]) for n in near}, key=lambda r: (-flat[peaks[r]], r))
        for lower in roots[1:]:
            if _is_one(flat, peaks[roots[0]], peaks[lower], flat[pixel], width):
                parent[lower] = roots[0]
    return [peak for n, peak in enumerate(peaks) if n > 0 and parent[n] == n]


def _is_one(heights: FloatArray, first: int, second: int, neck: float, width: int) -> bool:
    """Return whether two peaks are one part, the second one not higher than the first."""
    a, b = heights[first], heights[second]
    offset = np.subtract(divmod(first, width), divmod(second, width))
    is_near = np.hypot(*offset) < MIN_PEAK_DISTANCE * (a + b) / 2
    return bool(neck > (MIN_NECK if is_near else WIDE_NECK) * b)


def _root(parent: list[int], number: int) -> int:
    while parent[number] != number:
        number = parent[number]
    return number


def _cluster_parts(parts: npt.NDArray[np.intp], typical: float) -> npt.NDArray[np.intp]:
    """Divide large parts into clusters of about `typical` pixels each."""
    result = parts.copy()
    for part in np.unique(parts[parts > 0]):
        pixels = np.argwhere(parts == part)
        count = round(len(pixels) / typical)
        if not 2 <= count <= MAX_CLUSTERS or len(pixels) < MIN_CLUSTERED * typical:
            continue
        if count == 2 and _find_elongation(pixels) < MIN_PAIR_ELONGATION:
            continue
        cluster = _find_clusters(pixels.astype(np.float64), count)
        if all(_is_pore(pixels[cluster == c], typical) for c in range(count)):
            result[tuple(pixels.T)] = np.where(cluster == 0, part, result.max() + cluster)
    return result


def _find_clusters(points: FloatArray, count: int) -> npt.NDArray[np.intp]:
    """Return the cluster of each point (k-means, from points that are far from each other)."""
    centres = points[:1]
    for _ in range(count):  # the first point is only a start
        gaps = np.linalg.norm(points[:, None] - centres, axis=2).min(axis=1)
        centres = np.concatenate([centres, points[[np.argmax(gaps)]]])
    centres, nearest = centres[1:], np.zeros(len(points), np.intp)
    for _ in range(CLUSTER_ROUNDS):
        before = nearest
        nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(axis=1)
        sizes = np.bincount(nearest, minlength=count)
        if (nearest == before).all() or sizes.min() == 0:
            break
        sums = np.stack([np.bincount(nearest, points[:, k], count) for k in range(2)], axis=1)
        centres = sums / sizes[:, None]
    return nearest


def _is_pore(pixels: npt.NDArray[np.intp], typical: float) -> bool:
    """Return whether pixels are about as many as those of a typical pore, and round."""
    return (
        len(pixels) >= MIN_CLUSTER * typical and _find_elongation(pixels) <= MAX_CLUSTER_ELONGATION
    )


def _find_elongation(pixels: npt.NDArray[np.intp]) -> float:
    """Return the ratio of the axes of the ellipse of equal covariance."""
    short, long = np.linalg.eigvalsh(np.cov(pixels.T) + np.eye(2) / 12)
    return float(np.sqrt(long / short))
