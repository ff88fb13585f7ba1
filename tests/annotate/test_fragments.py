import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asem.annotate.fragments import (
    FragmentConfig,
    Fragments,
    Touching,
    ridges,
    touching_of,
    watershed,
)
from asem.image.components import components_of

VOXEL = (8.0, 4.0, 4.0)


def walls(shape, *, at, axis):
    """White, with a dark wall two voxels thick."""
    grey = np.ones(shape, np.float32)
    grey[tuple(slice(at, at + 2) if a == axis else slice(None) for a in range(3))] = 0
    return grey


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_wall_divides_in_two(axis):
    grey = walls((20, 20, 20), at=9, axis=axis)
    fragments = Fragments.of(grey, (5.0, 5.0, 5.0), FragmentConfig(membrane_nm=5, seeds=12))
    along = np.moveaxis(fragments.labels, axis, 0)
    assert len({*along[:4].ravel().tolist()} & {*along[6:].ravel().tolist()}) == 0


def test_the_ridge_is_the_largest_curvature():
    """Of g = (3 u^2 + v^2 - w^2) / 2 along turned axes u, v, w it is 3 everywhere."""
    turned, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))
    places = np.stack(np.indices((9, 9, 9)) - 4.0, -1) * np.array([2.0, 1.0, 0.5])
    u, v, w = np.moveaxis(places @ turned, -1, 0)
    grey = ((3 * u * u + v * v - w * w) / 2).astype(np.float32)
    found = ridges(grey, (2.0, 1.0, 0.5), FragmentConfig(membrane_nm=1e-3))
    assert np.allclose(found[1:-1, 1:-1, 1:-1], 3, atol=1e-3)


def test_bright_membranes_are_dark_ones_turned_over(rng):
    grey = rng.random((6, 7, 8), np.float32)
    bright = FragmentConfig(membranes_are_dark=False)
    assert np.allclose(
        ridges(1 - grey, VOXEL, bright), ridges(grey, VOXEL, FragmentConfig()), atol=1e-5
    )


def test_fragments_are_connected_and_numbered(rng):
    labels = watershed(rng.random((8, 20, 20), np.float32), 3)
    assert sorted(np.unique(labels)) == list(range(labels.max() + 1))
    assert components_of(labels + 1).max() == labels.max() + 1


def test_what_lies_between_two_fragments():
    """Faces of 0 and 1 have ridges 5, 7 and 3; of these the lower one and the middle one count."""
    labels = np.array([[[0, 1, 1], [0, 1, 2], [0, 1, 2]]], np.int32)
    ridge = np.array([[[5, 1, 0], [2, 7, 1], [3, 2, 4]]], np.float32)
    least = touching_of(labels, ridge, 0)
    assert list(zip(least.first.tolist(), least.second.tolist(), strict=True)) == [(0, 1), (1, 2)]
    assert least.faces.tolist() == [3, 3]
    assert least.membrane.tolist() == [3, 1]
    assert touching_of(labels, ridge, 0.5).membrane.tolist() == [5, 4]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_some_fragments_changed_are_as_all_measured_anew(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, (3, 5, 6)).astype(np.int32)
    labels.ravel()[:6] = np.arange(6)  # each is there
    ridge = rng.random(labels.shape).astype(np.float32)
    before = Fragments(
        labels, ridge, 1.0, touching_of(labels, ridge, 0.5), FragmentConfig(quantile=0.5)
    )
    torn = rng.integers(0, 6)
    after = labels.copy()
    after[(labels == torn) & (rng.random(labels.shape) < 0.5)] = 6
    after.ravel()[-1] = 6 if labels.ravel()[-1] == torn else after.ravel()[-1]
    changed = np.isin(np.arange(7), [torn, 6])
    quick, slow = before.relabelled(after, changed).touching, touching_of(after, ridge, 0.5)
    for name in vars(Touching(*[np.empty(0)] * 4)):
        assert np.array_equal(getattr(quick, name), getattr(slow, name))
