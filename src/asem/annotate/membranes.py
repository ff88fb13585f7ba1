"""The energy of fragments between membranes: what it costs to be on either side, and to part.

E(A) = sum_u  log(1 + exp(-s_u [A_u = 1] + s_u [A_u = 2]))
     + smoothness * sum_(u,v adjacent) n_uv exp(-m_uv / softness) [A_u != A_v]

    s_u = sqrt(n_u / mean n) (walk * logit w_u + look * o_u)

- w_u: probability that a random walk from u meets a stroke of the foreground first; it steps with
  weights n_uv exp(-m_uv / leak) and so hardly through membranes (`asem.annotate.walk`). It takes
  the place of the paper's distance to strokes.
- o_u: log odds of the look of u, of a logistic regression on what strokes touch
  (`asem.annotate.appearance`), in the place of the paper's histogram of grey values.
- Where a network has guessed before, walks may also end there (`meets_foreground`), their weight is
  larger, and looks have none.
- m_uv: how much membrane lies between u and v, 1 on average; n_uv: faces they share; n_u: size.

What was drawn keeps its label, and binds the fragments it is drawn on (`asem.annotate.marks`). In
the end borders, which run along faces of bins, are smoothed and brought to voxels.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
from numba import njit, prange
from pydantic import Field
from scipy import ndimage

from asem.annotate.appearance import features_of, log_odds
from asem.annotate.energy import Cut, Energy
from asem.annotate.fragments import FragmentConfig, Fragments, bins_of
from asem.annotate.marks import binned_strokes, split, without_grazes
from asem.annotate.strokes import BACKGROUND, FOREGROUND
from asem.annotate.walk import graph, meets_foreground
from asem.config import Config, Nm3
from asem.volume.downsample import downsample
from asem.volume.roi import Triple

MOST = 1e4
"""A weight is no larger."""
LEAST = 1e-6
"""Weight of a step through the thickest membrane."""
SUREST_WALK, SUREST_LOOK = 0.02, 4.0
"""Neither a probability nearer to 0 or 1 than this nor larger log odds are taken at their word."""


class MembraneConfig(Config):
    """Weights of the energy, and the fragments."""

    walk: float = Field(0.5, ge=0, le=MOST)
    """Of the random walk from strokes."""
    look: float = Field(1, ge=0, le=MOST)
    """Of what fragments look like."""
    tires: float = Field(0.1, ge=0, le=MOST)
    """How soon the walk ends at a guess, where there is one, instead of at strokes: more makes
    strokes overrule it less far."""
    guided: float = Field(8, ge=0, le=MOST)
    """Weight of the walk where there is a guess; looks have none there, since a few strokes that
    correct a guess do not show what either kind looks like."""
    smoothness: float = Field(0.4, ge=0, le=MOST)
    """Of borders between fragments."""
    softness: float = Field(0.35, ge=0.001, le=MOST)
    """Of the mean membrane, that makes a border a third as costly: less cuts through faint ones."""
    leak: float = Field(0.2, ge=0.001, le=MOST)
    """The same for the steps of the walk."""
    smoothing_nm: float = Field(15, ge=0, le=1000)
    """Standard deviation of the Gaussian that borders are smoothed by."""
    threshold: float = Field(0.5, gt=0, lt=1)
    """Share of foreground around a voxel, within that Gaussian, that makes it foreground: less
    makes objects thicker, more makes them thinner."""
    fragments: FragmentConfig = FragmentConfig()
    """How the region is divided."""


@dataclass(frozen=True)
class MembraneRegion:
    """What of a region does not depend on strokes.

    Parameters
    ----------
    shape
        Voxels.
    voxel_size
        nm.
    fragments
        Of its bins.
    features
        float32, (n, f): what each looks like.
    config
        The energy.
    """

    shape: Triple
    voxel_size: Nm3
    fragments: Fragments
    features: npt.NDArray[np.float32]
    config: MembraneConfig

    @classmethod
    def of(
        cls, unit: npt.NDArray[np.float32], voxel_size: Nm3, config: MembraneConfig
    ) -> "MembraneRegion":
        """Divide a region into fragments and describe them.

        Parameters
        ----------
        unit
            Grey values in [0, 1], shape (z, y, x).
        voxel_size
            nm.
        config
            The energy.
        """
        fragments = Fragments.of(unit, voxel_size, config.fragments)
        factors = bins_of(unit.shape, voxel_size)
        grey = downsample(unit, factors, "image")
        touching, number = fragments.touching, len(fragments.sizes)
        faces = graph(touching.first, touching.second, touching.faces, number)
        spacing = _spacing(factors, voxel_size)
        features = features_of(fragments.labels, grey, fragments.ridge, spacing, faces)
        z, y, x = unit.shape
        return cls((z, y, x), voxel_size, fragments, features, config)

    @property
    def factors(self) -> Triple:
        """Voxels of a bin along each axis."""
        return bins_of(self.shape, self.voxel_size)

    def cut(
        self, strokes: npt.NDArray[np.integer], guess: npt.NDArray[np.uint8] | None = None
    ) -> Cut:
        """Return the cut of least energy, as `asem.annotate.graphcut.cut` does."""
        labels = self.fragments.labels
        marks = without_grazes(binned_strokes(strokes, self.factors, labels.shape), labels)
        fragments, parents = split(self.fragments, marks, _spacing(self.factors, self.voxel_size))
        guessed = None if guess is None else _mean_of(fragments, guess, self.factors)
        energy = energy_of(fragments, self.features[parents], marks, self.config, guess=guessed)
        sides = energy.minimize()
        sigma = [
            self.config.smoothing_nm / (voxel * factor)
            for voxel, factor in zip(self.voxel_size, self.factors, strict=True)
        ]
        smooth = ndimage.gaussian_filter(sides[fragments.labels].astype(np.float32), sigma)
        foreground = to_voxels(smooth, self.factors, self.shape, self.config.threshold)
        foreground |= strokes == FOREGROUND
        foreground &= strokes != BACKGROUND
        margins = energy.margins(sides)
        return Cut(foreground, energy.of(sides), fragments.labels, self.factors, margins)


def energy_of(
    fragments: Fragments,
    features: npt.NDArray[np.float32],
    marks: npt.NDArray[np.uint8],
    config: MembraneConfig,
    *,
    guess: npt.NDArray[np.float64] | None = None,
) -> Energy:
    """Return the energy of the module's first lines.

    Parameters
    ----------
    fragments, features
        What is known of the region.
    marks
        Strokes on bins.
    config
        The weights.
    guess
        Probability of foreground of each fragment, where there is one.
    """
    touching, sizes = fragments.touching, fragments.sizes
    bound = np.zeros(len(sizes), np.uint8)
    drawn = np.flatnonzero(marks)
    bound[fragments.labels.ravel()[drawn]] = marks.ravel()[drawn]
    step = touching.faces * np.maximum(np.exp(-touching.membrane / config.leak), LEAST)
    steps = graph(touching.first, touching.second, step, len(sizes))
    meets = meets_foreground(steps, bound, guess=guess, tires=config.tires)
    meets = meets.clip(SUREST_WALK, 1 - SUREST_WALK)
    odds = np.log(meets / (1 - meets))
    if guess is None:
        look = log_odds(features, bound).clip(-SUREST_LOOK, SUREST_LOOK)
        sure = config.walk * odds + config.look * look
    else:
        sure = config.guided * odds
    sure *= np.sqrt(sizes / sizes.mean())
    unary = np.stack([np.logaddexp(0, -sure), np.logaddexp(0, sure)], 1)
    closed = np.exp(-touching.membrane / config.softness).astype(np.float64)
    pair = config.smoothness * touching.faces * closed
    return Energy(unary, touching.first, touching.second, pair, bound)


def _mean_of(
    fragments: Fragments, guess: npt.NDArray[np.uint8], factors: Triple
) -> npt.NDArray[np.float64]:
    """Return the mean of a probability of 0 to 255 over each fragment."""
    bins = downsample(guess, factors, "image").ravel()
    return np.bincount(fragments.labels.ravel(), bins) / 255 / fragments.sizes


def _spacing(factors: Triple, voxel_size: Nm3) -> Nm3:
    sizes = [factor * voxel for factor, voxel in zip(factors, voxel_size, strict=True)]
    z, y, x = (size / prod(sizes) ** (1 / 3) for size in sizes)
    return z, y, x


def to_voxels(
    share: npt.NDArray[np.float32], factors: Triple, shape: Triple, least: float
) -> npt.NDArray[np.bool_]:
    """Bring shares of foreground in bins to voxels, linearly, and take `least` and more.

    Examples
    --------
    >>> share = np.array([[[0, 0.6, 1]]], np.float32)
    >>> to_voxels(share, (1, 1, 2), (1, 1, 5), 0.5).astype(int).tolist()
    [[[0, 0, 0, 1, 1]]]
    """
    out = np.empty(shape, np.bool_)
    _enlarge(share, np.array(factors), np.float32(least), out)
    return out


@njit(cache=True, parallel=True, nogil=True)
def _enlarge(coarse, factors, least, out):  # type: ignore[no-untyped-def]
    depth, height, width = coarse.shape
    for n in prange(out.shape[0]):
        z0, z1, z = _between(np.int64(n), factors[0], depth)
        for j in range(out.shape[1]):
            y0, y1, y = _between(j, factors[1], height)
            for i in range(out.shape[2]):
                x0, x1, x = _between(i, factors[2], width)
                near = (1 - y) * ((1 - x) * coarse[z0, y0, x0] + x * coarse[z0, y0, x1]) + y * (
                    (1 - x) * coarse[z0, y1, x0] + x * coarse[z0, y1, x1]
                )
                far = (1 - y) * ((1 - x) * coarse[z1, y0, x0] + x * coarse[z1, y0, x1]) + y * (
                    (1 - x) * coarse[z1, y1, x0] + x * coarse[z1, y1, x1]
                )
                out[n, j, i] = (1 - z) * near + z * far >= least


@njit(cache=True, nogil=True, inline="always")
def _between(voxel, factor, size):  # type: ignore[no-untyped-def]
    """Return the two bins whose centres a voxel lies between, and how far on the way it is."""
    place = (voxel + 0.5) / factor - 0.5
    low = int(np.floor(place))
    return max(low, 0), min(low + 1, size - 1), np.float32(place - low)
