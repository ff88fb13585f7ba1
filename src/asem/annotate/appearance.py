"""What fragments look like, and how well that tells foreground from background."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse
from sklearn.linear_model import LogisticRegression

from asem.annotate.strokes import FOREGROUND, KINDS
from asem.config import Nm3

SCALES = (0.7, 1.5, 3.0, 6.0)
"""Standard deviations of Gaussians, bins."""
FARTHEST = 4.0
"""Standard deviations from the mean, to which a feature is cut."""
INVERSE_PENALTY = 0.03
"""C of the logistic regression: few strokes are to say little."""
MOST_ITERATIONS = 1000


def maps_of(grey: npt.NDArray[np.float32], spacing: Nm3) -> Iterator[npt.NDArray[np.float32]]:
    """Yield images whose means and deviations tell fragments from one another.

    The grey value; at each of `SCALES` its Gaussian, the size of its gradient and its Laplacian,
    and where it is wider than a bin the deviation within the Gaussian.
    """
    yield grey
    squared = grey * grey
    for scale in SCALES:
        sigma = [scale / step for step in spacing]
        smooth = ndimage.gaussian_filter(grey, sigma)
        yield smooth
        yield ndimage.gaussian_gradient_magnitude(grey, sigma)
        yield ndimage.gaussian_laplace(grey, sigma)
        if scale > 1:
            variance = ndimage.gaussian_filter(squared, sigma) - smooth * smooth
            yield np.sqrt(variance.clip(0))


def features_of(
    labels: npt.NDArray[np.int32],
    grey: npt.NDArray[np.float32],
    ridge: npt.NDArray[np.float32],
    spacing: Nm3,
    faces: sparse.csr_array,
) -> npt.NDArray[np.float32]:
    """Describe fragments.

    Parameters
    ----------
    labels, grey, ridge
        Fragments 0, 1, ..., grey values and ridges, shape (z, y, x).
    spacing
        Size of a bin over its geometric mean.
    faces
        How many bins' faces two fragments share, (n, n).

    Returns
    -------
    ndarray
        float32, (n, f), each feature of mean 0 and deviation 1: mean and deviation of `maps_of` and
        of the ridge over each fragment, the logarithm of its size, and the means of all that over
        what it touches, by shared faces.
    """
    flat, rows = labels.ravel(), []
    sizes = np.bincount(flat)
    for image in (*maps_of(grey, spacing), ridge):
        values = image.ravel().astype(np.float64)
        mean = np.bincount(flat, values) / sizes
        square = np.bincount(flat, values * values) / sizes
        rows += [mean, np.sqrt((square - mean * mean).clip(0))]
    own = np.array([*rows, np.log(sizes)]).T
    around = (faces @ own) / np.maximum(faces.sum(1), 1)[:, None]
    both = np.hstack([own, around])
    both -= both.mean(0)
    deviation = both.std(0)
    both /= np.where(deviation > 0, deviation, 1)
    return both.clip(-FARTHEST, FARTHEST).astype(np.float32)


def log_odds(
    features: npt.NDArray[np.float32], bound: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """Return how much likelier each fragment's look is in the foreground, as a log of odds.

    A logistic regression with an L2 penalty on the fragments that strokes bind. Either kind weighs
    the same as a whole: how much one draws of it says nothing.

    Parameters
    ----------
    features
        From `features_of`, (n, f).
    bound
        Code of the stroke that binds a fragment, or 0, (n,).

    Returns
    -------
    ndarray
        float64, (n,); 0 where one kind binds none.
    """
    if not np.isin(KINDS, bound).all():
        return np.zeros(len(features))
    drawn = np.flatnonzero(bound)
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=MOST_ITERATIONS)
    model.fit(features[drawn], bound[drawn] == FOREGROUND)
    odds: npt.NDArray[np.float64] = model.decision_function(features).astype(np.float64)
    return odds
