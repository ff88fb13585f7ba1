"""The paper's energy: grey values, distances to strokes, and borders between supervoxels.

E(A) = likelihood  * sum_u P_u(A_u)
     + distance    * sum_u D_u(A_u)
     + smoothness  * sum_(u,v adjacent) B_uv [A_u != A_v]      (paper, Graph-cut annotation)

- P_u(l): mean over the voxels of u of -log of the share that their grey values have among the
  strokes of l, in a histogram of few bins to each of which one is added.
- D_u(l): log(1 + mean distance of u's voxels to the nearest stroke of l).
- B_uv: contrast(g_u, g_v) / distance of the centroids, where g is the mean grey value of 0 to 255,
  contrast = exp(-b (g_u - g_v)^2 / (2 s^2)), and b = 1 / (2 E[(g_u - g_v)^2]) over adjacent pairs.

Distances are in voxel equivalents, nm over the geometric mean of the voxel size, so that weights
mean the same at every voxel size. What was drawn keeps its label: a supervoxel with strokes of one
kind is bound to it; one with both is cut in two, each voxel to the stroke that is nearer.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import ndimage

from asem.annotate.energy import Cut, Energy
from asem.annotate.strokes import KINDS
from asem.annotate.supervoxels import (
    GREY_LEVELS,
    Neighbours,
    SupervoxelConfig,
    neighbours,
    supervoxels,
)
from asem.config import Config, Nm3
from asem.volume.roi import Triple


class PaperConfig(Config):
    """Weights of the energy, and the supervoxels."""

    likelihood: float = Field(1, ge=0, le=1e4)
    """Of grey values (the paper's beta)."""
    distance: float = Field(1, ge=0, le=1e4)
    """Of the distance to strokes (gamma)."""
    smoothness: float = Field(2, ge=0, le=1e4)
    """Of borders between supervoxels (lambda): 2 as in the published code; the paper's 10 leaves
    out thin and small objects."""
    bins: int = Field(5, gt=0, le=255)
    """Of the histograms of grey values."""
    contrast_sigma: float = Field(50, ge=0.01, le=1e6)
    """Grey levels, of 255, that count as a difference (s)."""
    supervoxels: SupervoxelConfig = SupervoxelConfig()
    """How the region is cut into pieces."""


@dataclass(frozen=True)
class Pieces:
    """Supervoxels and what is known of each.

    Parameters
    ----------
    labels
        int32, shape (z, y, x): 0, 1, ...
    sizes
        Voxels of each, (n,).
    centroids
        (n, 3), voxel equivalents.
    grey
        Mean grey value of each, 0 to 255, (n,).
    bins
        How many voxels of each fall into each bin of the histogram, (n, bins).
    touching
        Which share a face.
    """

    labels: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.int64]
    centroids: npt.NDArray[np.float64]
    grey: npt.NDArray[np.float64]
    bins: npt.NDArray[np.int64]
    touching: Neighbours


@dataclass(frozen=True)
class PaperRegion:
    """What of a region does not depend on strokes.

    Parameters
    ----------
    unit, binned
        Grey value in [0, 1] and bin of the histogram of each voxel, shape (z, y, x).
    spacing
        Voxel size over its geometric mean.
    pieces
        Its supervoxels.
    config
        The energy.
    """

    unit: npt.NDArray[np.float32]
    binned: npt.NDArray[np.uint8]
    spacing: Nm3
    pieces: Pieces
    config: PaperConfig

    @classmethod
    def of(
        cls, unit: npt.NDArray[np.float32], voxel_size: Nm3, config: PaperConfig | None = None
    ) -> "PaperRegion":
        """Cut a region into supervoxels and measure them.

        Parameters
        ----------
        unit
            Grey values in [0, 1], shape (z, y, x), not all equal.
        voxel_size
            nm.
        config
            The energy; None: the defaults.
        """
        config = config or PaperConfig()
        low, high = float(unit.min()), float(unit.max())
        scaled = (unit - low) * np.float32(config.bins / (high - low))
        binned = np.minimum(scaled.astype(np.uint8), np.uint8(config.bins - 1))
        mean = prod(voxel_size) ** (1 / 3)
        z, y, x = (size / mean for size in voxel_size)
        labels = supervoxels(unit, voxel_size, config.supervoxels)
        pieces = measured(labels, unit, binned, (z, y, x), config.bins)
        return cls(unit, binned, (z, y, x), pieces, config)

    @property
    def shape(self) -> Triple:
        """Voxels."""
        z, y, x = self.unit.shape
        return z, y, x

    def cut(
        self, strokes: npt.NDArray[np.integer], guess: npt.NDArray[np.uint8] | None = None
    ) -> Cut:
        """Return the cut of least energy, as `asem.annotate.graphcut.cut` does; without a guess."""
        if guess is not None:
            raise ValueError('the paper\'s energy takes no guess; use energy = "membranes"')
        pieces = _split(self, strokes)
        energy = energy_of(self, pieces, strokes)
        foreground = energy.minimize()
        return Cut(
            foreground[pieces.labels],
            energy.of(foreground),
            pieces.labels,
            (1, 1, 1),
            energy.margins(foreground),
        )


def measured(
    labels: npt.NDArray[np.int32],
    unit: npt.NDArray[np.float32],
    binned: npt.NDArray[np.uint8],
    spacing: Nm3,
    bins: int,
) -> Pieces:
    """Measure supervoxels."""
    flat = labels.ravel()
    sizes = np.bincount(flat)
    number = len(sizes)
    centroids = np.empty((number, 3))
    for axis, step in enumerate(spacing):
        shape = [-1 if a == axis else 1 for a in range(3)]
        place = np.broadcast_to(np.arange(labels.shape[axis]).reshape(shape), labels.shape)
        centroids[:, axis] = step * np.bincount(flat, place.ravel()) / sizes
    grey = GREY_LEVELS * np.bincount(flat, unit.ravel()) / sizes
    counts = np.bincount(flat.astype(np.intp) * bins + binned.ravel(), minlength=number * bins)
    return Pieces(labels, sizes, centroids, grey, counts.reshape(number, bins), neighbours(labels))


def _split(region: PaperRegion, strokes: npt.NDArray[np.integer]) -> Pieces:
    """Cut supervoxels that carry both kinds in two, by the nearer stroke."""
    pieces = region.pieces
    drawn = [pieces.labels[strokes == kind] for kind in KINDS]
    torn = np.intersect1d(drawn[0], drawn[1])
    if not torn.size:
        return pieces
    labels, boxes = pieces.labels.copy(), ndimage.find_objects(pieces.labels + 1)
    for number, piece in enumerate(torn.tolist(), start=len(pieces.sizes)):
        box = boxes[piece]
        inside, here = pieces.labels[box] == piece, strokes[box]
        to = [
            ndimage.distance_transform_edt(~(inside & (here == kind)), region.spacing)
            for kind in KINDS
        ]
        labels[box][inside & (to[1] < to[0])] = number
    return measured(labels, region.unit, region.binned, region.spacing, region.config.bins)


def energy_of(region: PaperRegion, pieces: Pieces, strokes: npt.NDArray[np.integer]) -> Energy:
    """Return the energy of the module's first lines."""
    config, touching = region.config, pieces.touching
    unary, bound = np.zeros((len(pieces.sizes), 2)), np.zeros(len(pieces.sizes), np.uint8)
    for label, kind in enumerate(KINDS):
        drawn = strokes == kind
        counts = 1 + np.bincount(region.binned[drawn], minlength=config.bins)
        costs = -np.log(counts / counts.sum())
        unary[:, label] += config.likelihood * (pieces.bins @ costs) / pieces.sizes
        away = ndimage.distance_transform_edt(~drawn, region.spacing)
        mean = np.bincount(pieces.labels.ravel(), away.ravel()) / pieces.sizes
        unary[:, label] += config.distance * np.log1p(mean)
        bound[pieces.labels[drawn]] = kind
    differs = (pieces.grey[touching.first] - pieces.grey[touching.second]) ** 2
    typical = 2 * differs.mean() if differs.any() else 1.0
    contrast = np.exp(-differs / typical / (2 * config.contrast_sigma**2))
    apart = np.linalg.norm(
        pieces.centroids[touching.first] - pieces.centroids[touching.second], axis=1
    )
    pair = config.smoothness * contrast / np.maximum(apart, 1e-6)
    return Energy(unary, touching.first, touching.second, pair, bound)
