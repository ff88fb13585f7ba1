import numpy as np
import pytest

from asem.annotate.supervoxels import (
    SupervoxelConfig,
    relabel_in_scan_order,
    slic_supervoxels,
)
from asem.image.components import label_components


@pytest.fixture
def smooth(rng):
    """Slowly varying grey values with some noise."""
    z, y, x = np.indices((20, 41, 50))
    wave = 0.5 + 0.4 * np.sin(z / 5) * np.sin(y / 7) * np.sin(x / 9)
    return (wave + 0.02 * rng.standard_normal(wave.shape)).clip(0, 1).astype(np.float32)


def test_about_the_requested_number_connected_and_in_order(smooth):
    labels = slic_supervoxels(smooth, (8.0, 4.0, 4.0), SupervoxelConfig(number=200))
    assert labels.dtype == np.int32
    assert 100 < labels.max() + 1 < 400
    assert np.array_equal(relabel_in_scan_order(labels), labels)
    assert label_components(labels + 1).max() == labels.max() + 1
    again = slic_supervoxels(smooth, (8.0, 4.0, 4.0), SupervoxelConfig(number=200))
    assert np.array_equal(again, labels)


def test_they_have_the_same_extent_in_nm_along_each_axis(rng):
    flat = (0.5 + 0.001 * rng.standard_normal((20, 80, 80))).astype(np.float32)
    labels = slic_supervoxels(flat, (20.0, 5.0, 5.0), SupervoxelConfig(number=250))
    spans = []
    for supervoxel in range(labels.max() + 1):
        spans.append([np.ptp(axis) + 1 for axis in np.nonzero(labels == supervoxel)])
    z, y, x = np.median(spans, axis=0) * (20, 5, 5)
    assert z == pytest.approx(y, rel=0.35)
    assert y == pytest.approx(x, rel=0.1)


def test_a_single_plane(smooth):
    labels = slic_supervoxels(smooth[:1], (8.0, 4.0, 4.0), SupervoxelConfig(number=30))
    assert labels.shape == (1, 41, 50)
    assert 15 < labels.max() + 1 < 60
