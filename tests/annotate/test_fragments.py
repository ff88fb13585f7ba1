import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asem.annotate.adjacency import find_boundary_quantiles
from asem.annotate.fragments import FragmentConfig, Fragments, ridge_filter, watershed
from asem.image.components import label_components

VOXEL = (8.0, 4.0, 4.0)


def walls(shape, *, at, axis):
    """White, with a dark wall two voxels thick."""
    grey = np.ones(shape, np.float32)
    grey[tuple(slice(at, at + 2) if a == axis else slice(None) for a in range(3))] = 0
    return grey


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_wall_divides_in_two(axis):
    grey = walls((20, 20, 20), at=9, axis=axis)
    config = FragmentConfig(membrane_nm=5, seed_spacing_bins=12)
    fragments = Fragments.from_image(grey, (5.0, 5.0, 5.0), config)
    along = np.moveaxis(fragments.labels, axis, 0)
    assert len({*along[:4].ravel().tolist()} & {*along[6:].ravel().tolist()}) == 0


def test_the_ridge_is_the_largest_curvature():
    """Of g = (3 u^2 + v^2 - w^2) / 2 along rotated axes u, v, w it is 3 everywhere."""
    turned, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))
    places = np.stack(np.indices((9, 9, 9)) - 4.0, -1) * np.array([2.0, 1.0, 0.5])
    u, v, w = np.moveaxis(places @ turned, -1, 0)
    grey = ((3 * u * u + v * v - w * w) / 2).astype(np.float32)
    found = ridge_filter(grey, (2.0, 1.0, 0.5), FragmentConfig(membrane_nm=1e-3))
    assert np.allclose(found[1:-1, 1:-1, 1:-1], 3, atol=1e-3)


def test_bright_membranes_are_dark_ones_inverted(rng):
    grey = rng.random((6, 7, 8), np.float32)
    bright = FragmentConfig(membranes_are_dark=False)
    assert np.allclose(
        ridge_filter(1 - grey, VOXEL, bright),
        ridge_filter(grey, VOXEL, FragmentConfig()),
        atol=1e-5,
    )


def test_fragments_are_connected_and_numbered(rng):
    labels = watershed(rng.random((8, 20, 20), np.float32), 3)
    assert sorted(np.unique(labels)) == list(range(labels.max() + 1))
    assert label_components(labels + 1).max() == labels.max() + 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_some_fragments_changed_are_as_all_measured_again(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, (3, 5, 6)).astype(np.int32)
    labels.ravel()[:6] = np.arange(6)  # each is there
    ridge = rng.random(labels.shape).astype(np.float32)
    adjacency, membrane = find_boundary_quantiles(labels, ridge, 0.5)
    config = FragmentConfig(quantile=0.5)
    before = Fragments(labels, ridge, 2.0, adjacency, membrane / 2.0, config)
    split = rng.integers(0, 6)
    after = labels.copy()
    after[(labels == split) & (rng.random(labels.shape) < 0.5)] = 6
    after.ravel()[-1] = 6 if labels.ravel()[-1] == split else after.ravel()[-1]
    changed = np.isin(np.arange(7), [split, 6])
    updated = before.with_labels(after, changed)
    adjacency, membrane = find_boundary_quantiles(after, ridge, 0.5)
    for name in ("first", "second", "faces"):
        assert np.array_equal(getattr(updated.adjacency, name), getattr(adjacency, name))
    assert np.array_equal(updated.membrane, membrane / 2.0)
