import numpy as np
import pytest

from asem.annotate.supervoxels import SupervoxelConfig, neighbours, numbered, supervoxels
from asem.image.components import components_of


@pytest.fixture
def smooth(rng):
    """Slowly varying grey values with some noise."""
    z, y, x = np.indices((20, 41, 50))
    wave = 0.5 + 0.4 * np.sin(z / 5) * np.sin(y / 7) * np.sin(x / 9)
    return (wave + 0.02 * rng.standard_normal(wave.shape)).clip(0, 1).astype(np.float32)


def test_about_as_many_as_asked_for_connected_and_in_order(smooth):
    labels = supervoxels(smooth, (8.0, 4.0, 4.0), SupervoxelConfig(number=200))
    assert labels.dtype == np.int32
    assert 100 < labels.max() + 1 < 400
    assert np.array_equal(numbered(labels), labels)
    assert components_of(labels + 1).max() == labels.max() + 1
    again = supervoxels(smooth, (8.0, 4.0, 4.0), SupervoxelConfig(number=200))
    assert np.array_equal(again, labels)


def test_they_have_the_same_extent_in_nm_along_each_axis(rng):
    flat = (0.5 + 0.001 * rng.standard_normal((20, 80, 80))).astype(np.float32)
    labels = supervoxels(flat, (20.0, 5.0, 5.0), SupervoxelConfig(number=250))
    spans = []
    for piece in range(labels.max() + 1):
        spans.append([np.ptp(axis) + 1 for axis in np.nonzero(labels == piece)])
    z, y, x = np.median(spans, axis=0) * (20, 5, 5)
    assert z == pytest.approx(y, rel=0.35)
    assert y == pytest.approx(x, rel=0.1)


def test_a_single_plane(smooth):
    labels = supervoxels(smooth[:1], (8.0, 4.0, 4.0), SupervoxelConfig(number=30))
    assert labels.shape == (1, 41, 50)
    assert 15 < labels.max() + 1 < 60


def test_neighbours_are_those_that_a_plain_search_finds(rng):
    labels = np.repeat(rng.integers(0, 9, (4, 5, 6), dtype=np.int32), 2, axis=1)
    found = neighbours(labels)
    expected = set()
    for axis in range(3):
        moved = np.moveaxis(labels, axis, 0)
        for low, high in zip(moved[:-1].ravel(), moved[1:].ravel(), strict=True):
            if low != high:
                expected.add((min(low, high), max(low, high)))
    pairs = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert pairs == sorted(expected)
