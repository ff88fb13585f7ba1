"""The paper's energy: intensity histograms, distance to strokes, contrast between supervoxels.

E(A) = likelihood  * sum_u P_u(A_u)
     + distance    * sum_u D_u(A_u)
     + smoothness  * sum_(u,v adjacent) B_uv [A_u != A_v]      (paper, Graph-cut annotation)

- P_u(l): mean over the voxels of u of -log of the frequency of their grey values among the strokes
  of l, in a histogram of few bins with one added to each.
- D_u(l): log(1 + mean distance of u's voxels to the nearest stroke of l).
- B_uv: contrast(g_u, g_v) / distance of the centroids, where g is the mean grey value of 0 to 255,
  contrast = exp(-b (g_u - g_v)^2 / (2 s^2)), and b = 1 / (2 E[(g_u - g_v)^2]) over adjacent pairs.

Distances are in voxel equivalents, nm over the geometric mean of the voxel size, so that weights
do not depend on the voxel size. Strokes are hard constraints (`asem.annotate.supervoxel_energy`).
"""

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import ndimage

from asem.annotate.edits import STROKE_LABELS
from asem.annotate.supervoxel_energy import SupervoxelGraph, SupervoxelTerms
from asem.annotate.supervoxels import MAX_GREY, SupervoxelConfig
from asem.config import Config


class PaperConfig(Config):
    """Weights of the energy, and the supervoxels."""

    likelihood: float = Field(1, ge=0, le=1e4)
    """Weight of the grey values (the paper's beta)."""
    distance: float = Field(1, ge=0, le=1e4)
    """Weight of the distance to strokes (gamma)."""
    smoothness: float = Field(2, ge=0, le=1e4)
    """Weight of boundaries between supervoxels (lambda): 2 as in the published code; the paper's 10
    loses thin and small objects."""
    bins: int = Field(5, gt=0, le=255)
    """Bins of the histograms of grey values."""
    contrast_sigma: float = Field(50, ge=0.01, le=1e6)
    """Grey levels, of 255, that are a significant difference (s)."""
    supervoxels: SupervoxelConfig = SupervoxelConfig()
    """Number and shape of the supervoxels."""


def _unary(
    graph: SupervoxelGraph, strokes: npt.NDArray[np.integer], config: PaperConfig
) -> npt.NDArray[np.float64]:
    """Return the likelihood of the grey values plus the distance to strokes, (n, 2)."""
    histogram_bin = _histogram_bins(graph.intensity, config.bins)
    histograms = _supervoxel_histograms(graph, histogram_bin, config.bins)
    costs = np.zeros((len(graph.sizes), 2))
    for column, label in enumerate(STROKE_LABELS):
        drawn = strokes == label
        counts = 1 + np.bincount(histogram_bin[drawn], minlength=config.bins)
        bin_costs = -np.log(counts / counts.sum())
        costs[:, column] += config.likelihood * (histograms @ bin_costs) / graph.sizes
        distance = ndimage.distance_transform_edt(~drawn, graph.spacing)
        costs[:, column] += config.distance * np.log1p(graph.means(distance))
    return costs


def _histogram_bins(intensity: npt.NDArray[np.float32], bin_count: int) -> npt.NDArray[np.uint8]:
    """Return the bin of each voxel's grey value; equal bins between minimum and maximum."""
    low, high = float(intensity.min()), float(intensity.max())
    scaled = (intensity - low) * np.float32(bin_count / (high - low))
    return np.minimum(scaled.astype(np.uint8), np.uint8(bin_count - 1))


def _supervoxel_histograms(
    graph: SupervoxelGraph, histogram_bin: npt.NDArray[np.uint8], bin_count: int
) -> npt.NDArray[np.int64]:
    """Return the voxels of each supervoxel in each bin, (n, bins)."""
    count = len(graph.sizes)
    keys = graph.labels.ravel().astype(np.intp) * bin_count + histogram_bin.ravel()
    return np.bincount(keys, minlength=count * bin_count).reshape(count, bin_count)


def _pairwise(graph: SupervoxelGraph, config: PaperConfig) -> npt.NDArray[np.float64]:
    """Return the contrast of the mean grey values over the distance of the centroids, (m,)."""
    first, second = graph.adjacency.first, graph.adjacency.second
    mean_grey = MAX_GREY * graph.sums(graph.intensity) / graph.sizes
    squared = (mean_grey[first] - mean_grey[second]) ** 2
    typical = 2 * squared.mean() if squared.any() else 1.0
    contrast = np.exp(-squared / typical / (2 * config.contrast_sigma**2))
    centroids = _centroids(graph)
    separation = np.linalg.norm(centroids[first] - centroids[second], axis=1)
    return np.asarray(config.smoothness * contrast / np.maximum(separation, 1e-6))


def _centroids(graph: SupervoxelGraph) -> npt.NDArray[np.float64]:
    """Return the centroid of each supervoxel in voxel equivalents, (n, 3)."""
    centroids = np.empty((len(graph.sizes), 3))
    for axis, step in enumerate(graph.spacing):
        shape = [-1 if a == axis else 1 for a in range(3)]
        position = np.arange(graph.labels.shape[axis]).reshape(shape)
        sums = graph.sums(np.broadcast_to(position, graph.labels.shape))
        centroids[:, axis] = step * sums / graph.sizes
    return centroids


PAPER_TERMS = SupervoxelTerms(_unary, _pairwise)
"""The energy defined at the top of this module."""
