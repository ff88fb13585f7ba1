"""Fragments: watershed oversegmentation along membranes, and the strength of their boundaries.

::

    grey value           darkest across (ridge)      fragments
    ........             ........                    00011111
    ..####..   membrane  ..----..                    00011111   a watershed: flood from the minima
    ##....##   ------->  --....--  ------------->    02222221   of the ridge filter, until fragments
    ........             ........                    22222222   meet on the ridges

All steps use bins of voxels, of two voxels along an axis where the region has enough: the watershed
of 200^3 voxels takes one second instead of ten, and membranes are located as exactly as they are
annotated.
"""

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from numba import njit, prange
from pydantic import Field
from scipy import ndimage

from asem.annotate.adjacency import Adjacency, find_boundary_quantiles
from asem.annotate.bins import bin_factors_of
from asem.config import Config, NmZYX
from asem.volume.downsample import downsample

GAUSSIAN_TRUNCATE = 3.0
"""Standard deviations to which Gaussians extend."""


class FragmentConfig(Config):
    """Membrane filter, and the size of fragments."""

    membranes_are_dark: bool = True
    """True for FIB-SEM images with the usual contrast; False: membranes are bright."""
    membrane_nm: float = Field(12, gt=0, le=1000)
    """Standard deviation of the Gaussian of the ridge filter: about one and a half times the
    thickness of a membrane; more leaves out faint membranes and narrow organelles."""
    seed_spacing_bins: int = Field(3, gt=0, le=100)
    """Edge of a cube of bins that has one watershed seed; more gives fewer fragments."""
    quantile: float = Field(0.1, ge=0, le=1)
    """Quantile of the ridge over the faces of two fragments that measures how closed a membrane
    is."""


@dataclass(frozen=True)
class Fragments:
    """Fragments of a region, on its bins.

    Parameters
    ----------
    labels
        int32, shape (z, y, x) of the bins: 0, 1, ...
    ridge
        float32, the shape of `labels`: response of the ridge filter.
    scale
        Divisor of `membrane`: the mean over all pairs before any split.
    adjacency
        The pairs that share a face.
    membrane
        Membrane strength of each pair, float64, (m,): a low quantile of the ridge over its faces,
        over `scale`.
    config
        The settings that they were made with.
    """

    labels: npt.NDArray[np.int32]
    ridge: npt.NDArray[np.float32]
    scale: float
    adjacency: Adjacency
    membrane: npt.NDArray[np.float64]
    config: FragmentConfig

    @classmethod
    def from_image(
        cls, intensity: npt.NDArray[np.float32], voxel_size: NmZYX, config: FragmentConfig
    ) -> "Fragments":
        """Divide a region into fragments.

        Parameters
        ----------
        intensity
            Grey values in [0, 1], shape (z, y, x).
        voxel_size
            nm.
        config
            Membrane filter and fragment size.
        """
        ridge = downsample(
            ridge_filter(intensity, voxel_size, config),
            bin_factors_of(intensity.shape, voxel_size),
            "image",
        )
        labels = watershed(ridge, config.seed_spacing_bins)
        adjacency, height = find_boundary_quantiles(labels, ridge, config.quantile)
        scale = float(height.mean()) if height.size and height.any() else 1.0
        return cls(labels, ridge, scale, adjacency, height / scale, config)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Bins of each fragment, (n,)."""
        return np.bincount(self.labels.ravel())

    def with_labels(
        self, labels: npt.NDArray[np.int32], changed: npt.NDArray[np.bool_]
    ) -> "Fragments":
        """Return the fragments of other labels; only the changed ones are measured again.

        Parameters
        ----------
        labels
            int32, the shape of the old ones.
        changed
            Fragments of the new labels with other bins than before, (n,).
        """
        unchanged = ~self.adjacency.has_any_of(changed[: int(self.labels.max()) + 1])
        pairs, height = find_boundary_quantiles(
            labels, self.ridge, self.config.quantile, nodes=changed
        )
        adjacency, order = self.adjacency.select(unchanged).merge(pairs)
        membrane = np.concatenate([self.membrane[unchanged], height / self.scale])[order]
        return replace(self, labels=labels, adjacency=adjacency, membrane=membrane)


def ridge_filter(
    intensity: npt.NDArray[np.float32], voxel_size: NmZYX, config: FragmentConfig
) -> npt.NDArray[np.float32]:
    """Return the largest second derivative of the smoothed grey value, 0 where it is negative.

    This is the largest eigenvalue of the Hessian matrix, per (geometric mean of the voxel size)^2.
    It is large on a dark sheet of any orientation.

    Returns
    -------
    ndarray
        float32, the shape of `intensity`.
    """
    sigma = [config.membrane_nm / voxel for voxel in voxel_size]
    smooth = ndimage.gaussian_filter(intensity, sigma, truncate=GAUSSIAN_TRUNCATE)
    mean = prod(voxel_size) ** (1 / 3)
    spacing = np.array(voxel_size, np.float32) / np.float32(mean)
    out = np.empty(intensity.shape, np.float32)
    _ridge_filter(smooth if config.membranes_are_dark else -smooth, spacing, out)
    return out


@njit(cache=True, parallel=True, nogil=True)
def _ridge_filter(grey, spacing, out):  # type: ignore[no-untyped-def]
    """Compute central differences; values beyond the border equal those on it."""
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
                out[z, y, x] = max(0.0, _largest_eigenvalue(zz, yy, xx, zy, zx, yx))


@njit(cache=True, nogil=True, inline="always")
def _largest_eigenvalue(a, b, c, ab, ac, bc):  # type: ignore[no-untyped-def]
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


def watershed(ridge: npt.NDArray[np.float32], seed_spacing: int) -> npt.NDArray[np.int32]:
    """Flood from the local minima of the smoothed ridge, in cubes of `seed_spacing` bins.

    Returns
    -------
    ndarray
        int32, the shape of `ridge`: 0, 1, ... in the order of their seeds; each is connected.
    """
    smooth = ndimage.gaussian_filter(ridge, 1.0, truncate=GAUSSIAN_TRUNCATE)
    is_minimum = ndimage.minimum_filter(smooth, seed_spacing) == smooth
    markers, _ = ndimage.label(is_minimum, np.ones((3, 3, 3)))
    flooded = sitk.MorphologicalWatershedFromMarkers(
        sitk.GetImageFromArray(ridge),
        sitk.GetImageFromArray(markers.astype(np.uint32)),
        markWatershedLine=False,
        fullyConnected=False,
    )
    labels: npt.NDArray[np.int32] = sitk.GetArrayFromImage(flooded).astype(np.int32) - 1
    return labels
