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
do not depend on the voxel size. Strokes are hard constraints: a supervoxel with strokes of one
label has it; one with both is split, each voxel going to the nearer stroke. Grazing strokes are not
dropped here, unlike in `asem.annotate.membrane_energy`.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import ndimage

from asem.annotate.adjacency import Adjacency, find_adjacency
from asem.annotate.bins import relative_spacing
from asem.annotate.edits import STROKE_LABELS
from asem.annotate.energy import Cut, Energy
from asem.annotate.hard_constraints import constrain_nodes, split_conflicts
from asem.annotate.supervoxels import MAX_GREY, SupervoxelConfig, slic_supervoxels
from asem.config import Config, NmZYX
from asem.volume.roi import IntZYX, per_axis


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


@dataclass(frozen=True)
class SupervoxelGraph:
    """Supervoxels of a region, their measurements, and their adjacency.

    Parameters
    ----------
    labels
        int32, shape (z, y, x): 0, 1, ...
    sizes
        Voxels of each, (n,).
    centroids
        (n, 3), voxel equivalents.
    mean_grey
        Mean grey value of each, 0 to 255, (n,).
    histograms
        Voxels of each in each bin of the histogram, (n, bins).
    adjacency
        The pairs that share a face.
    """

    labels: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.int64]
    centroids: npt.NDArray[np.float64]
    mean_grey: npt.NDArray[np.float64]
    histograms: npt.NDArray[np.int64]
    adjacency: Adjacency


@dataclass(frozen=True)
class PreparedPaperRegion:
    """Supervoxels of a region, which do not depend on strokes.

    Parameters
    ----------
    intensity, histogram_bin
        Grey value in [0, 1] and bin of the histogram of each voxel, shape (z, y, x).
    spacing
        Voxel size over its geometric mean.
    graph
        The supervoxels.
    config
        The energy.
    """

    intensity: npt.NDArray[np.float32]
    histogram_bin: npt.NDArray[np.uint8]
    spacing: NmZYX
    graph: SupervoxelGraph
    config: PaperConfig

    @property
    def shape(self) -> IntZYX:
        """Voxels."""
        return per_axis(int, self.intensity.shape)

    def cut(
        self, strokes: npt.NDArray[np.integer], prior: npt.NDArray[np.uint8] | None = None
    ) -> Cut:
        """Return the cut of minimum energy (`asem.annotate.graphcut.cut_region`); no prior."""
        if prior is not None:
            raise ValueError('energy = "paper" allows no prediction; use energy = "membranes"')
        graph = _split_conflicting_supervoxels(self, strokes)
        energy = build_paper_energy(self, graph, strokes)
        foreground = energy.minimize()
        return Cut(
            foreground[graph.labels],
            energy.evaluate(foreground),
            graph.labels,
            (1, 1, 1),
            energy.node_margins(foreground),
        )

    def with_boundary(self, *, smoothing_nm: float, threshold: float) -> Self:
        """Return the region itself: the boundary of this energy has no settings."""
        return self


def prepare(
    intensity: npt.NDArray[np.float32], voxel_size: NmZYX, config: PaperConfig
) -> PreparedPaperRegion:
    """Divide a region into supervoxels and measure them.

    Parameters
    ----------
    intensity
        Grey values in [0, 1], shape (z, y, x), not all equal.
    voxel_size
        nm.
    config
        The energy.
    """
    low, high = float(intensity.min()), float(intensity.max())
    scaled = (intensity - low) * np.float32(config.bins / (high - low))
    histogram_bin = np.minimum(scaled.astype(np.uint8), np.uint8(config.bins - 1))
    spacing = relative_spacing(voxel_size)
    labels = slic_supervoxels(intensity, voxel_size, config.supervoxels)
    graph = measure_supervoxels(labels, intensity, histogram_bin, spacing, config.bins)
    return PreparedPaperRegion(intensity, histogram_bin, spacing, graph, config)


def measure_supervoxels(
    labels: npt.NDArray[np.int32],
    intensity: npt.NDArray[np.float32],
    histogram_bin: npt.NDArray[np.uint8],
    spacing: NmZYX,
    bin_count: int,
) -> SupervoxelGraph:
    """Measure supervoxels; the parameters are those of `PreparedPaperRegion`."""
    flat = labels.ravel()
    sizes = np.bincount(flat)
    count = len(sizes)
    centroids = np.empty((count, 3))
    for axis, step in enumerate(spacing):
        shape = [-1 if a == axis else 1 for a in range(3)]
        position = np.broadcast_to(np.arange(labels.shape[axis]).reshape(shape), labels.shape)
        centroids[:, axis] = step * np.bincount(flat, position.ravel()) / sizes
    grey = MAX_GREY * np.bincount(flat, intensity.ravel()) / sizes
    histograms = np.bincount(
        flat.astype(np.intp) * bin_count + histogram_bin.ravel(), minlength=count * bin_count
    )
    return SupervoxelGraph(
        labels,
        sizes,
        centroids,
        grey,
        histograms.reshape(count, bin_count),
        find_adjacency(labels),
    )


def _split_conflicting_supervoxels(
    region: PreparedPaperRegion, strokes: npt.NDArray[np.integer]
) -> SupervoxelGraph:
    labels, conflicting = split_conflicts(region.graph.labels, strokes, region.spacing)
    if not conflicting.size:
        return region.graph
    return measure_supervoxels(
        labels, region.intensity, region.histogram_bin, region.spacing, region.config.bins
    )


def build_paper_energy(
    region: PreparedPaperRegion, graph: SupervoxelGraph, strokes: npt.NDArray[np.integer]
) -> Energy:
    """Return the energy defined at the top of this module."""
    config, first, second = region.config, graph.adjacency.first, graph.adjacency.second
    unary = np.zeros((len(graph.sizes), 2))
    for column, label in enumerate(STROKE_LABELS):
        drawn = strokes == label
        counts = 1 + np.bincount(region.histogram_bin[drawn], minlength=config.bins)
        costs = -np.log(counts / counts.sum())
        unary[:, column] += config.likelihood * (graph.histograms @ costs) / graph.sizes
        distance = ndimage.distance_transform_edt(~drawn, region.spacing)
        mean = np.bincount(graph.labels.ravel(), distance.ravel()) / graph.sizes
        unary[:, column] += config.distance * np.log1p(mean)
    squared = (graph.mean_grey[first] - graph.mean_grey[second]) ** 2
    typical = 2 * squared.mean() if squared.any() else 1.0
    contrast = np.exp(-squared / typical / (2 * config.contrast_sigma**2))
    separation = np.linalg.norm(graph.centroids[first] - graph.centroids[second], axis=1)
    pairwise = config.smoothness * contrast / np.maximum(separation, 1e-6)
    constraints = constrain_nodes(graph.labels, strokes, len(graph.sizes))
    return Energy(unary, first, second, pairwise, constraints)
