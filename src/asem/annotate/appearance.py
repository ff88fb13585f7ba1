"""Appearance features of fragments, and a logistic regression of foreground against background."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from asem.annotate.edits import FOREGROUND, STROKE_LABELS
from asem.config import NmZYX

GAUSSIAN_SCALES = (0.7, 1.5, 3.0, 6.0)
"""Standard deviations of the Gaussians, bins."""
MAX_FEATURE_DEVIATIONS = 4.0
"""Features are clipped to this many standard deviations from the mean."""
INVERSE_REGULARIZATION = 0.03
"""C of the logistic regression; it is small, since few strokes are weak evidence."""
MAX_ITERATIONS = 1000


def feature_images(
    grey: npt.NDArray[np.float32], spacing: NmZYX
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the images whose means and deviations over a fragment are features.

    The grey value; at each of `GAUSSIAN_SCALES` the smoothed image, its gradient magnitude and its
    Laplacian, and at scales of more than one bin the local standard deviation.
    """
    yield grey
    squared = grey * grey
    for scale in GAUSSIAN_SCALES:
        sigma = [scale / step for step in spacing]
        smooth = ndimage.gaussian_filter(grey, sigma)
        yield smooth
        yield ndimage.gaussian_gradient_magnitude(grey, sigma)
        yield ndimage.gaussian_laplace(grey, sigma)
        if scale > 1:
            variance = ndimage.gaussian_filter(squared, sigma) - smooth * smooth
            yield np.sqrt(variance.clip(0))


def fragment_features(
    labels: npt.NDArray[np.int32],
    grey: npt.NDArray[np.float32],
    ridge: npt.NDArray[np.float32],
    spacing: NmZYX,
    shared_faces: sparse.csr_array,
) -> npt.NDArray[np.float32]:
    """Compute the appearance features of fragments.

    Parameters
    ----------
    labels, grey, ridge
        Fragments 0, 1, ..., grey values and ridges, shape (z, y, x).
    spacing
        Size of a bin over its geometric mean.
    shared_faces
        Number of faces that two fragments share, (n, n).

    Returns
    -------
    ndarray
        float32, (n, f), each feature of mean 0 and standard deviation 1: mean and deviation of
        `feature_images` and of the ridge over each fragment, the logarithm of its size, and the
        means of all these over its neighbours, weighted by shared faces.
    """
    flat, rows = labels.ravel(), []
    sizes = np.bincount(flat)
    for image in (*feature_images(grey, spacing), ridge):
        values = image.ravel().astype(np.float64)
        mean = np.bincount(flat, values) / sizes
        square = np.bincount(flat, values * values) / sizes
        rows += [mean, np.sqrt((square - mean * mean).clip(0))]
    own = np.array([*rows, np.log(sizes)]).T
    neighbours = (shared_faces @ own) / np.maximum(shared_faces.sum(1), 1)[:, None]
    features = np.hstack([own, neighbours])
    features -= features.mean(0)
    deviation = features.std(0)
    features /= np.where(deviation > 0, deviation, 1)
    return features.clip(-MAX_FEATURE_DEVIATIONS, MAX_FEATURE_DEVIATIONS).astype(np.float32)


def appearance_log_odds(
    features: npt.NDArray[np.float32], hard_constraints: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """Return the log odds of foreground of each fragment by its appearance.

    A logistic regression with an L2 penalty, fitted to the constrained fragments. Both classes have
    the same total weight, whatever the number of strokes.

    Parameters
    ----------
    features
        From `fragment_features`, (n, f).
    hard_constraints
        Stroke label of a constrained fragment, or 0, (n,).

    Returns
    -------
    ndarray
        float64, (n,); 0 where one label constrains no fragment.
    """
    if not np.isin(STROKE_LABELS, hard_constraints).all():
        return np.zeros(len(features))
    from sklearn.linear_model import LogisticRegression  # takes a second to load

    constrained = np.flatnonzero(hard_constraints)
    model = LogisticRegression(
        C=INVERSE_REGULARIZATION, class_weight="balanced", max_iter=MAX_ITERATIONS
    )
    model.fit(features[constrained], hard_constraints[constrained] == FOREGROUND)
    odds: npt.NDArray[np.float64] = model.decision_function(features).astype(np.float64)
    return odds
