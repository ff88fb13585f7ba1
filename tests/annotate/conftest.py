"""A ball to segment by a few strokes; an empty annotation of a small volume."""

import numpy as np
import pytest

from asem.annotate.session import AnnotationSession


@pytest.fixture
def ball(rng):
    """A bright ball with a dark skin, with noise: grey values and truth; voxels of 8 x 4 x 4 nm."""
    z, y, x = np.indices((16, 32, 32))
    away = np.sqrt((2 * (z - 8)) ** 2 + (y - 15) ** 2 + (x - 17) ** 2)
    grey = np.where(away < 7, 0.7, np.where(away < 9, 0.2, 0.5))
    noisy = grey + 0.05 * rng.standard_normal(away.shape)
    return noisy.clip(0, 1).astype(np.float32), away < 8


@pytest.fixture
def strokes(ball):
    """On one plane: a line through the ball, a frame around it."""
    strokes = np.zeros(ball[0].shape, np.uint8)
    strokes[8, 15, 12:23] = 1
    strokes[8, 2, 2:30] = strokes[8, 2:30, 2] = 2
    return strokes


@pytest.fixture
def session(tmp_path):
    with AnnotationSession.open(tmp_path / "session", "raw", (4, 5, 6)) as session:
        yield session


@pytest.fixture
def annotation(session):
    return session.open_structure("mito")
