"""The optional clean-up of a cut: foreground voxels whose grey values strokes never showed."""

import numpy as np
import numpy.typing as npt
from sklearn.mixture import GaussianMixture

from asem.annotate.strokes import FOREGROUND

MOST_VOXELS = 100_000
"""That the mixture is fitted to, evenly spread; the more of the same tell no more."""
LEAST_SHARE = 0.05
"""Of the foreground's strokes that a component has, or else its voxels are outliers."""


def without_outliers(
    foreground: npt.NDArray[np.bool_],
    unit: npt.NDArray[np.float32],
    strokes: npt.NDArray[np.integer],
    components: int,
) -> npt.NDArray[np.bool_]:
    """Take away what is as bright or dark as few strokes of the foreground are.

    A mixture of Gaussians is fitted to the grey values of the foreground (paper, Graph-cut
    annotation), and each voxel belongs to its likeliest component. Components to which less than
    `LEAST_SHARE` of the voxels under strokes belong are taken away, but for what was drawn.

    Parameters
    ----------
    foreground
        A cut, bool, shape (z, y, x).
    unit, strokes
        Grey values in [0, 1] and strokes, the same shape.
    components
        Of the mixture.

    Returns
    -------
    ndarray
        bool, the same shape.
    """
    values = unit[foreground].astype(np.float64)
    some = values[:: max(1, -(-len(values) // MOST_VOXELS)), None]
    if len(np.unique(some)) < components:
        return foreground
    mixture = GaussianMixture(components, random_state=0).fit(some)
    drawn = strokes == FOREGROUND
    shares = np.bincount(mixture.predict(unit[drawn][:, None]), minlength=components) / drawn.sum()
    kept = foreground.copy()
    kept[foreground] = (shares >= LEAST_SHARE)[mixture.predict(values[:, None])]
    return np.asarray(kept | drawn)
