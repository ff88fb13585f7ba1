"""Fragments: what membranes divide a region into, and how much membrane lies between two of them.

::

    grey value           darkest across (ridge)      fragments
    ........             ........                    00011111
    ..####..   membrane  ..----..                    00011111   a watershed: from the places of
    ##....##   ------->  --....--  ------------->    02222221   least ridge up, until fragments
    ........             ........                    22222222   meet on the ridges

All is done on bins of voxels, twice as coarse where there are voxels enough: the watershed of 200^3
voxels takes one second instead of ten, and membranes are as well placed as they are annotated.
"""

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from numba import njit, prange
from pydantic import Field
from scipy import ndimage

from asem.config import Config, Nm3
from asem.volume.downsample import downsample
from asem.volume.roi import Triple

TRUNCATE = 3.0
"""Standard deviations to which Gaussians reach."""


class FragmentConfig(Config):
    """What is a membrane, and how small fragments may be."""

    membranes_are_dark: bool = True
    """As in FIB-SEM images that are shown as usual; False: they are bright."""
    membrane_nm: float = Field(12, gt=0, le=1000)
    """Standard deviation of the Gaussian that ridges are sought on: about a membrane's thickness
    and a half; more leaves out membranes that are faint, and organelles that are narrow."""
    seeds: int = Field(3, gt=0, le=100)
    """Edge of a cube of bins that has one seed of a fragment; more gives fewer fragments."""
    quantile: float = Field(0.1, ge=0, le=1)
    """Of the ridge on the faces between two fragments, which tells how closed a membrane is."""


@dataclass(frozen=True)
class Touching:
    """The pairs of fragments that share a face; each pair once.

    Parameters
    ----------
    first, second
        Fragments, int64, ``first < second``, ordered.
    faces
        Of bins that they share, int64.
    membrane
        A low quantile of the ridge over these faces, over the mean of all pairs, float64.
    """

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    faces: npt.NDArray[np.int64]
    membrane: npt.NDArray[np.float64]

    def among(self, chosen: npt.NDArray[np.bool_]) -> "Touching":
        """Return the pairs of which neither is one of some fragments, (n,)."""
        kept = ~(chosen[self.first] | chosen[self.second])
        return Touching(*(values[kept] for values in vars(self).values()))

    def with_(self, other: "Touching") -> "Touching":
        """Return these pairs and others, in order."""
        both = zip(vars(self).values(), vars(other).values(), strict=True)
        pairs = [np.concatenate(two) for two in both]
        order = np.lexsort((pairs[1], pairs[0]))
        return Touching(*(values[order] for values in pairs))


@dataclass(frozen=True)
class Fragments:
    """Fragments of a region, on its bins.

    Parameters
    ----------
    labels
        int32, shape (z, y, x) of the bins: 0, 1, ...
    ridge
        float32, the shape of `labels`: how much darker than on both sides it is across.
    scale
        What `Touching.membrane` was divided by.
    touching
        Which share a face.
    config
        How they were made.
    """

    labels: npt.NDArray[np.int32]
    ridge: npt.NDArray[np.float32]
    scale: float
    touching: Touching
    config: FragmentConfig

    @classmethod
    def of(
        cls, unit: npt.NDArray[np.float32], voxel_size: Nm3, config: FragmentConfig
    ) -> "Fragments":
        """Divide a region.

        Parameters
        ----------
        unit
            Grey values in [0, 1], shape (z, y, x).
        voxel_size
            nm.
        config
            What is a membrane.
        """
        ridge = downsample(
            ridges(unit, voxel_size, config), bins_of(unit.shape, voxel_size), "image"
        )
        labels = watershed(ridge, config.seeds)
        touching, scale = touching_of(labels, ridge, config.quantile), 1.0
        if touching.membrane.size and touching.membrane.any():
            scale = float(touching.membrane.mean())
        return cls(
            labels, ridge, scale, replace(touching, membrane=touching.membrane / scale), config
        )

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Bins of each, (n,)."""
        return np.bincount(self.labels.ravel())

    def relabelled(
        self, labels: npt.NDArray[np.int32], changed: npt.NDArray[np.bool_]
    ) -> "Fragments":
        """Return them after some, of the new numbers, (n,), lost or won bins."""
        old = changed[: int(self.labels.max()) + 1]
        anew = touching_of(labels, self.ridge, self.config.quantile, only=changed)
        anew = replace(anew, membrane=anew.membrane / self.scale)
        return replace(self, labels=labels, touching=self.touching.among(old).with_(anew))


def bins_of(shape: tuple[int, ...], voxel_size: Nm3) -> Triple:
    """Return the voxels of a bin along each axis: 2, but 1 where voxels are long, or one plane.

    Examples
    --------
    >>> bins_of((100, 200, 200), (8.0, 4.0, 4.0))
    (1, 2, 2)
    """
    z, y, x = (
        2 if size > 1 and voxel < 2 * min(voxel_size) else 1
        for size, voxel in zip(shape, voxel_size, strict=True)
    )
    return z, y, x


def ridges(
    unit: npt.NDArray[np.float32], voxel_size: Nm3, config: FragmentConfig
) -> npt.NDArray[np.float32]:
    """Return the largest second derivative of the smoothed grey value, 0 where it is negative.

    It is large on a dark sheet, whatever its direction: the largest eigenvalue of the Hessian
    matrix, per (geometric mean of the voxel size)^2.

    Returns
    -------
    ndarray
        float32, the shape of `unit`.
    """
    sigma = [config.membrane_nm / voxel for voxel in voxel_size]
    smooth = ndimage.gaussian_filter(unit, sigma, truncate=TRUNCATE)
    mean = prod(voxel_size) ** (1 / 3)
    spacing = np.array(voxel_size, np.float32) / np.float32(mean)
    out = np.empty(unit.shape, np.float32)
    _ridges(smooth if config.membranes_are_dark else -smooth, spacing, out)
    return out


@njit(cache=True, parallel=True, nogil=True)
def _ridges(grey, spacing, out):  # type: ignore[no-untyped-def]
    """Take central differences; beyond the border as on it."""
    depth, height, width = grey.shape
    d, e, f = spacing
    for n in prange(depth):
        z = np.int64(n)
        a, b = max(z - 1, 0), min(z + 1, depth - 1)
        for y in range(height):
            p, q = max(y - 1, 0), min(y + 1, height - 1)
            for x in range(width):
                s, t = max(x - 1, 0), min(x + 1, width - 1)
                twice = 2 * grey[z, y, x]
                zz = (grey[a, y, x] + grey[b, y, x] - twice) / (d * d)
                yy = (grey[z, p, x] + grey[z, q, x] - twice) / (e * e)
                xx = (grey[z, y, s] + grey[z, y, t] - twice) / (f * f)
                zy = (grey[b, q, x] - grey[b, p, x] - grey[a, q, x] + grey[a, p, x]) / (4 * d * e)
                zx = (grey[b, y, t] - grey[b, y, s] - grey[a, y, t] + grey[a, y, s]) / (4 * d * f)
                yx = (grey[z, q, t] - grey[z, q, s] - grey[z, p, t] + grey[z, p, s]) / (4 * e * f)
                out[z, y, x] = max(0.0, _largest(zz, yy, xx, zy, zx, yx))


@njit(cache=True, nogil=True, inline="always")
def _largest(a, b, c, ab, ac, bc):  # type: ignore[no-untyped-def]
    """Return the largest eigenvalue of a symmetric matrix (Smith, 1961)."""
    mean = (a + b + c) / 3
    a, b, c = a - mean, b - mean, c - mean
    square = (a * a + b * b + c * c + 2 * (ab * ab + ac * ac + bc * bc)) / 6
    if square <= 0:
        return mean
    radius = np.sqrt(square)
    determinant = a * (b * c - bc * bc) - ab * (ab * c - bc * ac) + ac * (ab * bc - b * ac)
    cosine = min(1.0, max(-1.0, determinant / (2 * square * radius)))
    return mean + 2 * radius * np.cos(np.arccos(cosine) / 3)


def watershed(ridge: npt.NDArray[np.float32], seeds: int) -> npt.NDArray[np.int32]:
    """Flood from the minima of the smoothed ridge that are least in a cube of `seeds` bins.

    Returns
    -------
    ndarray
        int32, the shape of `ridge`: 0, 1, ... in the order of their seeds; each is connected.
    """
    smooth = ndimage.gaussian_filter(ridge, 1.0, truncate=TRUNCATE)
    least = ndimage.minimum_filter(smooth, seeds) == smooth
    markers, _ = ndimage.label(least, np.ones((3, 3, 3)))
    flooded = sitk.MorphologicalWatershedFromMarkers(
        sitk.GetImageFromArray(ridge),
        sitk.GetImageFromArray(markers.astype(np.uint32)),
        markWatershedLine=False,
        fullyConnected=False,
    )
    labels: npt.NDArray[np.int32] = sitk.GetArrayFromImage(flooded).astype(np.int32) - 1
    return labels


def touching_of(
    labels: npt.NDArray[np.int32],
    ridge: npt.NDArray[np.float32],
    quantile: float,
    *,
    only: npt.NDArray[np.bool_] | None = None,
) -> Touching:
    """Find which fragments touch, and what lies between them.

    Parameters
    ----------
    labels, ridge
        Shape (z, y, x). A face has the larger ridge of its two bins.
    quantile
        Of the ridge over the faces of a pair; the face below it counts.
    only
        Only pairs with at least one of these, (n,).

    Returns
    -------
    Touching
        Its membrane is the ridge as it is.
    """
    pairs, heights = [], []
    for axis in range(3):
        low = tuple(slice(None, -1 if a == axis else None) for a in range(3))
        high = tuple(slice(1 if a == axis else None, None) for a in range(3))
        differ = labels[low] != labels[high]
        if only is not None:
            differ &= only[labels[low]] | only[labels[high]]
        pairs.append(np.stack([labels[low][differ], labels[high][differ]]))
        heights.append(np.maximum(ridge[low][differ], ridge[high][differ]))
    ends, height = np.sort(np.concatenate(pairs, 1), 0), np.concatenate(heights)
    keys = ends[0] * (np.int64(labels.max()) + 1) + ends[1]
    order = np.lexsort((height, keys))
    _, start, faces = np.unique(keys[order], return_index=True, return_counts=True)
    at = order[start]
    chosen = order[start + ((faces - 1) * quantile).astype(np.int64)]
    first, second = ends[:, at].astype(np.int64)
    return Touching(first, second, faces, height[chosen].astype(np.float64))
