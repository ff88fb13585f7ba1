"""Masks of objects: sampled on a fixed lattice, from any parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asem.measure import object_masks
from asem.measure.object_masks import Sampling, choose_sampling, count_samples, read_mask
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import Roi

BIG = 2**40 + 3


def sampled(mask, steps, origin=(0, 0, 0)):
    """Block maximum on the lattice from -origin, of a box that starts anywhere."""
    low = [o // s for o, s in zip(origin, steps, strict=True)]
    places = np.argwhere(mask) + origin
    places = places // steps - low
    ends = [-(-(o + n) // s) - b for o, n, s, b in zip(origin, mask.shape, steps, low, strict=True)]
    result = np.zeros(ends, bool)
    result[tuple(places.T)] = True
    return result


steps = st.tuples(*[st.sampled_from([1, 2, 4])] * 3)
triples = st.tuples(*[st.integers(0, 9)] * 3)


@given(steps, triples, st.tuples(*[st.integers(1, 7)] * 3), st.integers(0, 100))
def test_any_parts_give_the_block_maximum(step, origin, part, seed):
    labels = np.random.default_rng(seed).choice(
        np.array([0, 7, BIG, BIG + 1], np.uint64), (9, 13, 11), p=[0.6, 0.2, 0.1, 0.1]
    )
    whole = Roi.of_shape(labels.shape)
    parts = list(split_into_blocks(whole, part))
    found = read_mask(
        lambda roi: labels[roi.slices], BIG, parts, Sampling(step, (1.0,) * 3), origin=origin
    )
    assert (found == sampled(labels == BIG, step, origin)).all()


def test_a_crop_has_the_samples_of_the_volume():
    labels = (np.random.default_rng(0).random((12, 12, 12)) > 0.8).astype(np.uint8)
    labels[:3] = labels[:, :5] = 0
    sampling = Sampling((2, 4, 2), (1.0, 1.0, 1.0))
    box = Roi((3, 5, 0), (9, 7, 12))
    whole = read_mask(lambda roi: labels[roi.slices], 1, [box], sampling)
    crop = labels[3:, 5:]
    inside = Roi((0, 0, 0), (9, 7, 12))
    found = read_mask(lambda roi: crop[roi.slices], 1, [inside], sampling, origin=(3, 5, 0))
    assert (found == whole).all()


def test_parts_that_are_not_neighbours():
    labels = np.zeros((4, 4, 40), np.uint8)
    labels[1, 1, 2] = labels[3, 2, 35] = 5
    parts = [Roi((3, 2, 35), (1, 1, 1)), Roi((1, 1, 2), (1, 1, 1))]
    found = read_mask(lambda roi: labels[roi.slices], 5, parts, Sampling((1, 1, 2), (1.0,) * 3))
    assert np.argwhere(found).tolist() == [[0, 0, 0], [2, 1, 16]]


@pytest.mark.parametrize(
    ("shape", "voxel_size", "expected"),
    [
        ((256, 256, 256), (5.0, 5.0, 5.0), (1, 1, 1)),
        ((257, 256, 256), (5.0, 5.0, 5.0), (2, 2, 2)),
        ((1000, 900, 900), (5.0, 5.0, 5.0), (4, 4, 4)),
        ((20_000, 20_000, 20_000), (5.0, 5.0, 5.0), (128, 128, 128)),
        ((1, 1, 10_000_000), (5.0, 5.0, 5.0), (1, 1, 1)),
        ((40, 3000, 3000), (50.0, 5.0, 5.0), (1, 8, 8)),
        ((400, 400, 400), (5.2, 4.0, 4.0), (2, 2, 2)),
    ],
)
def test_large_boxes_are_sampled(shape, voxel_size, expected):
    sampling = choose_sampling(shape, voxel_size)
    assert sampling.steps == expected
    assert sampling.voxel_size == tuple(
        size * step for size, step in zip(voxel_size, expected, strict=True)
    )
    assert count_samples(shape, sampling.steps) <= object_masks.MAX_BOX_SAMPLES


@given(st.integers(1, 50), st.sampled_from([1, 2, 4, 8]), st.integers(0, 20))
def test_the_number_of_samples_is_the_largest_at_any_position(length, step, start):
    touched = len(np.unique((start + np.arange(length)) // step))
    assert touched <= count_samples((length, 1, 1), (step, 1, 1))
