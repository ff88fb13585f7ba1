"""Membrane energy: random walk from strokes, appearance, and membrane strength between fragments.

E(A) = sum_u  log(1 + exp(-s_u [A_u = 1] + s_u [A_u = 2]))
     + smoothness * sum_(u,v adjacent) n_uv exp(-m_uv / membrane_softness) [A_u != A_v]

    s_u = sqrt(n_u / mean n) (walk_weight * logit w_u + appearance_weight * o_u)

- w_u: probability that a random walk from u reaches a foreground stroke first; its steps have
  weights n_uv exp(-m_uv / walk_leak), so that it rarely crosses membranes
  (`asem.annotate.random_walk`). It replaces the paper's distance to strokes.
- o_u: log odds of foreground by the appearance of u, from a logistic regression on constrained
  fragments (`asem.annotate.appearance`). It replaces the paper's histogram of grey values.
- With a network's prediction as prior, walks may also end at the prior
  (`random_walker_probability`), their weight is larger, and the appearance has none.
- m_uv: membrane strength between u and v, 1 on average; n_uv: shared faces; n_u: size.

Strokes are hard constraints on the fragments that they cover (`asem.annotate.hard_constraints`).
The boundary of the cut, which follows faces of bins, is smoothed and interpolated to voxels.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import ndimage

from asem.annotate.appearance import appearance_log_odds, fragment_features
from asem.annotate.bins import bin_factors_of, relative_spacing, upsample_and_threshold
from asem.annotate.edits import BACKGROUND, FOREGROUND
from asem.annotate.energy import Cut, Energy, find_minimum_cut
from asem.annotate.fragments import FragmentConfig, Fragments
from asem.annotate.hard_constraints import (
    constrain_nodes,
    downsample_strokes,
    drop_grazing_strokes,
    split_conflicts,
)
from asem.annotate.random_walk import random_walker_probability
from asem.config import Config, NmZYX
from asem.volume.downsample import downsample
from asem.volume.roi import IntZYX, per_axis

MAX_WEIGHT = 1e4
"""Upper limit of all weights."""
MIN_STEP_WEIGHT = 1e-6
"""Weight of a step through the strongest membrane."""
MIN_WALK_PROBABILITY, MAX_APPEARANCE_LOG_ODDS = 0.02, 4.0
"""Walk probabilities nearer to 0 or 1, and larger appearance log odds, are clipped to these."""
SMALL_REGION_MAX_WIDTH = 64
"""Maximum width of a Gaussian, voxels, in regions that are smaller."""


class MembraneConfig(Config):
    """Weights of the energy, and the fragments."""

    walk_weight: float = Field(0.5, ge=0, le=MAX_WEIGHT)
    """Weight of the random walk from strokes."""
    appearance_weight: float = Field(1, ge=0, le=MAX_WEIGHT)
    """Weight of the appearance of fragments."""
    prior_weight: float = Field(0.1, ge=0, le=MAX_WEIGHT)
    """Odds that a walk ends at a prior, where there is one, before a step: more reduces the range
    in which strokes overrule it."""
    walk_weight_with_prior: float = Field(8, ge=0, le=MAX_WEIGHT)
    """Weight of the walk where there is a prior. The appearance then has none, since the few
    strokes that correct a prior do not represent the appearance of either class."""
    smoothness: float = Field(0.4, ge=0, le=MAX_WEIGHT)
    """Weight of boundaries between fragments."""
    membrane_softness: float = Field(0.35, ge=0.001, le=MAX_WEIGHT)
    """Membrane strength, relative to the mean, that reduces the cost of a boundary by a factor e:
    less cuts through faint membranes."""
    walk_leak: float = Field(0.2, ge=0.001, le=MAX_WEIGHT)
    """The same for the weights of the walk's steps."""
    smoothing_nm: float = Field(15, ge=0, le=1000)
    """Standard deviation of the Gaussian that smooths the boundary."""
    threshold: float = Field(0.5, gt=0, lt=1)
    """Fraction of foreground around a voxel, within that Gaussian, from which on it is foreground:
    less makes objects thicker, more makes them thinner."""
    fragments: FragmentConfig = FragmentConfig()
    """Membrane filter and fragment size."""


@dataclass(frozen=True)
class PreparedMembraneRegion:
    """Fragments of a region and their features, which do not depend on strokes.

    Parameters
    ----------
    shape
        Voxels.
    voxel_size
        nm.
    fragments
        Fragments on its bins.
    features
        Appearance features of the fragments, float32, (n, f).
    config
        The energy.
    """

    shape: IntZYX
    voxel_size: NmZYX
    fragments: Fragments
    features: npt.NDArray[np.float32]
    config: MembraneConfig

    @property
    def bin_factors(self) -> IntZYX:
        """Voxels of a bin along each axis."""
        return bin_factors_of(self.shape, self.voxel_size)

    def with_boundary(self, *, smoothing_nm: float, threshold: float) -> Self:
        """Return a region whose cuts have another smoothing and threshold (`MembraneConfig`)."""
        update = {"smoothing_nm": smoothing_nm, "threshold": threshold}
        return replace(self, config=self.config.model_copy(update=update))

    def cut(
        self, strokes: npt.NDArray[np.integer], prior: npt.NDArray[np.uint8] | None = None
    ) -> Cut:
        """Return the cut of minimum energy (`asem.annotate.graphcut.cut_region`)."""
        labels, factors = self.fragments.labels, self.bin_factors
        bin_strokes = drop_grazing_strokes(
            downsample_strokes(strokes, factors, labels.shape), labels
        )
        fragments, features = self.split(bin_strokes)
        fragment_prior = None if prior is None else _fragment_means(fragments, prior, factors)
        energy = build_membrane_energy(
            fragments, features, bin_strokes, self.config, prior=fragment_prior
        )
        return find_minimum_cut(
            energy,
            fragments.labels,
            bin_factors=factors,
            to_voxels=partial(self._smooth_boundary, strokes=strokes),
        )

    def _smooth_boundary(
        self, bins: npt.NDArray[np.bool_], strokes: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.bool_]:
        """Return the voxels of a foreground of bins, smoothed; strokes keep their label."""
        sigma = per_axis(
            lambda size: self.config.smoothing_nm / size,
            _bin_sizes(self.bin_factors, self.voxel_size),
        )
        smooth = ndimage.gaussian_filter(bins.astype(np.float32), sigma)
        foreground = upsample_and_threshold(
            smooth, self.bin_factors, self.shape, self.config.threshold
        )
        foreground |= strokes == FOREGROUND
        foreground &= strokes != BACKGROUND
        return foreground

    def split(
        self, bin_strokes: npt.NDArray[np.uint8]
    ) -> tuple[Fragments, npt.NDArray[np.float32]]:
        """Return fragments without conflicting strokes, and the features of each; parts inherit."""
        spacing = relative_spacing(_bin_sizes(self.bin_factors, self.voxel_size))
        labels, conflicting = split_conflicts(self.fragments.labels, bin_strokes, spacing)
        if not conflicting.size:
            return self.fragments, self.features
        parents = np.concatenate([np.arange(len(self.features)), conflicting])
        fragments = self.fragments.with_labels(labels, np.isin(parents, conflicting))
        return fragments, self.features[parents]


def prepare(
    intensity: npt.NDArray[np.float32], voxel_size: NmZYX, config: MembraneConfig
) -> PreparedMembraneRegion:
    """Divide a region into fragments and compute their features.

    Parameters
    ----------
    intensity
        Grey values in [0, 1], shape (z, y, x).
    voxel_size
        nm.
    config
        The energy.

    Raises
    ------
    ValueError
        A Gaussian is wider than the region.
    """
    check_gaussian_widths(intensity.shape, voxel_size, config)
    fragments = Fragments.from_image(intensity, voxel_size, config.fragments)
    factors = bin_factors_of(intensity.shape, voxel_size)
    grey = downsample(intensity, factors, "image")
    faces = fragments.adjacency.to_matrix(fragments.adjacency.faces, len(fragments.sizes))
    spacing = relative_spacing(_bin_sizes(factors, voxel_size))
    features = fragment_features(fragments.labels, grey, fragments.ridge, spacing, faces)
    shape = per_axis(int, intensity.shape)
    return PreparedMembraneRegion(shape, voxel_size, fragments, features, config)


def check_gaussian_widths(
    shape: tuple[int, ...], voxel_size: NmZYX, config: MembraneConfig
) -> None:
    """Raise ValueError where a Gaussian is wider than a region: its run time grows with its width.

    Parameters
    ----------
    shape
        Of the region, voxels.
    voxel_size
        nm.
    config
        The energy.
    """
    widths = {
        "fragments.membrane_nm": config.fragments.membrane_nm,
        "smoothing_nm": config.smoothing_nm,
    }
    max_width = max(SMALL_REGION_MAX_WIDTH, *shape)
    for name, width_nm in widths.items():
        voxels = width_nm / min(voxel_size)
        if voxels > max_width:
            raise ValueError(
                f"'membranes.{name}': {width_nm:g} nm are {voxels:.4g} voxels; at most "
                f"{max_width}, as many as the region has, are allowed: check that it is in nm, and "
                "the voxel size"
            )


def build_membrane_energy(
    fragments: Fragments,
    features: npt.NDArray[np.float32],
    bin_strokes: npt.NDArray[np.uint8],
    config: MembraneConfig,
    *,
    prior: npt.NDArray[np.float64] | None = None,
) -> Energy:
    """Return the energy defined at the top of this module.

    Parameters
    ----------
    fragments, features
        Fragments without conflicting strokes, and their features, (n, f).
    bin_strokes
        Strokes on bins.
    config
        The weights.
    prior
        Probability of foreground of each fragment, (n,).
    """
    pairs, membrane, sizes = fragments.adjacency, fragments.membrane, fragments.sizes
    constraints = constrain_nodes(fragments.labels, bin_strokes, len(sizes))
    steps = pairs.faces * np.maximum(np.exp(-membrane / config.walk_leak), MIN_STEP_WEIGHT)
    probability = random_walker_probability(
        pairs.to_matrix(steps, len(sizes)),
        constraints,
        prior=prior,
        prior_weight=config.prior_weight,
    ).clip(MIN_WALK_PROBABILITY, 1 - MIN_WALK_PROBABILITY)
    log_odds = np.log(probability / (1 - probability))
    if prior is None:
        appearance = appearance_log_odds(features, constraints).clip(
            -MAX_APPEARANCE_LOG_ODDS, MAX_APPEARANCE_LOG_ODDS
        )
        log_odds = config.walk_weight * log_odds + config.appearance_weight * appearance
    else:
        log_odds = config.walk_weight_with_prior * log_odds
    log_odds *= np.sqrt(sizes / sizes.mean())
    unary = np.stack([np.logaddexp(0, -log_odds), np.logaddexp(0, log_odds)], 1)
    openness = np.exp(-membrane / config.membrane_softness).astype(np.float64)
    pairwise = config.smoothness * pairs.faces * openness
    return Energy(unary, pairs.first, pairs.second, pairwise, constraints)


def _fragment_means(
    fragments: Fragments, prior: npt.NDArray[np.uint8], factors: IntZYX
) -> npt.NDArray[np.float64]:
    """Return the mean of a probability of 0 to 255 over each fragment, in [0, 1]."""
    bins = downsample(prior, factors, "image").ravel()
    return np.bincount(fragments.labels.ravel(), bins) / 255 / fragments.sizes


def _bin_sizes(factors: IntZYX, voxel_size: NmZYX) -> NmZYX:
    return per_axis(lambda factor, voxel: factor * voxel, factors, voxel_size)
