"""Drop foreground voxels whose intensity is rare under the strokes (Gaussian mixture)."""

import numpy as np
import numpy.typing as npt

from asem.annotate.edits import FOREGROUND

MAX_FIT_VOXELS = 100_000
"""The mixture is fitted to at most this many voxels, evenly spread."""
MIN_STROKE_FRACTION = 0.05
"""Voxels of components with a smaller fraction of the foreground strokes are outliers."""


def drop_intensity_outliers(
    foreground: npt.NDArray[np.bool_],
    intensity: npt.NDArray[np.float32],
    strokes: npt.NDArray[np.integer],
    components: int,
) -> npt.NDArray[np.bool_]:
    """Drop foreground voxels whose intensity is rare under the foreground strokes.

    A mixture of Gaussians is fitted to the grey values of the foreground (paper, Graph-cut
    annotation), and each voxel is assigned to its likeliest component. Voxels of components with
    less than `MIN_STROKE_FRACTION` of the stroke voxels are dropped, except stroke voxels.

    Parameters
    ----------
    foreground
        A cut, bool, shape (z, y, x).
    intensity, strokes
        Grey values in [0, 1] and strokes, the same shape.
    components
        Number of Gaussians in the mixture.

    Returns
    -------
    ndarray
        bool, the same shape.
    """
    values = intensity[foreground].astype(np.float64)
    sample = values[:: max(1, -(-len(values) // MAX_FIT_VOXELS)), None]
    if len(np.unique(sample)) < components:
        return foreground
    from sklearn.mixture import GaussianMixture  # takes a second to load

    mixture = GaussianMixture(components, random_state=0).fit(sample)
    drawn = strokes == FOREGROUND
    stroke_components = mixture.predict(intensity[drawn][:, None])
    fractions = np.bincount(stroke_components, minlength=components) / drawn.sum()
    retained = foreground.copy()
    retained[foreground] = (fractions >= MIN_STROKE_FRACTION)[mixture.predict(values[:, None])]
    return np.asarray(retained | drawn)
