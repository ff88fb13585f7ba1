"""Histograms of distances equal those of all pairs of boundary voxels, for every block grid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.metrics import hausdorff_distance

from asem.measure.boundary_distance import (
    DistanceBins,
    count_distances,
    find_boundary,
    find_percentile,
    summarize_distances,
)
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import Roi, negate

small = st.tuples(*[st.integers(1, 9)] * 3)
voxel_sizes = st.sampled_from([(5.0, 5.0, 5.0), (50.0, 4.6, 4.6), (15.0, 16.0, 16.0)])


@given(arrays(np.uint8, small, elements=st.sampled_from([0, 1, 255])))
def test_the_boundary_is_what_a_dilated_background_covers(labels):
    foreground, background = labels == 1, labels == 0
    expected = ndimage.binary_dilation(background) & foreground
    assert (find_boundary(foreground, background) == expected).all()


@settings(max_examples=50)
@given(small, voxel_sizes, st.integers(0, 2**32), st.sampled_from([7.0, 30.0, 500.0]))
def test_distances_are_those_of_the_nearest_of_all_voxels(shape, voxel_size, seed, max_nm):
    rng = np.random.default_rng(seed)
    first, second = (rng.random(shape) < p for p in (0.3, 0.1))
    bins = DistanceBins(voxel_size, max_nm)
    counts = count_distances(first, second, bins)
    if first.any() and second.any():
        tree = cKDTree(np.argwhere(second) * voxel_size)
        distance = tree.query(np.argwhere(first) * voxel_size)[0]
        near = distance[distance <= max_nm * (1 + 1e-6)]
        assert counts[-1] == len(distance) - len(near)
        found = np.repeat(np.arange(bins.count - 1) * bins.width_nm, counts[:-1])
        assert found == pytest.approx(np.sort(near), abs=0.51 * bins.width_nm)
    else:
        assert counts.sum() == counts[-1] == np.count_nonzero(first)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.tuples(*[st.integers(2, 7)] * 3), voxel_sizes)
def test_blocks_add_up_to_the_whole(seed, block_shape, voxel_size):
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal((2, 11, 9, 13)), (0, 1.5, 1.5, 1.5))
    first, second = noise > 0
    bins = DistanceBins(voxel_size, 23.0)
    ends = find_boundary(first, ~first), find_boundary(second, ~second)
    whole = count_distances(*ends, bins)
    total, volume = np.zeros(bins.count, np.int64), Roi.of_shape(first.shape)
    for block in split_into_blocks(volume, block_shape):
        read = block.grow(bins.halo).intersect(volume)
        core = np.zeros(read.shape, bool)
        core[block.shift(negate(read.offset)).slices] = True
        parts = [find_boundary(a[read.slices], ~a[read.slices]) for a in (first, second)]
        total += count_distances(parts[0] & core, parts[1], bins)
    assert total.tolist() == whole.tolist()


def test_a_shifted_box():
    """A box shifted by 2 voxels of 5 nm along x."""
    truth, found = np.zeros((2, 12, 12, 20), bool)
    truth[3:9, 3:9, 3:13], found[3:9, 3:9, 5:15] = True, True
    bins = DistanceBins((5.0, 5.0, 5.0), 200.0)
    ends = [find_boundary(mask, ~mask) for mask in (found, truth)]
    scores = summarize_distances(
        count_distances(ends[0], ends[1], bins), count_distances(ends[1], ends[0], bins), bins
    )
    assert scores["hausdorff_95_nm"] == 10
    assert scores["prediction_to_truth"] == scores["truth_to_prediction"]
    assert scores["median_nm"] == 0
    assert scores["beyond_max"] == 0


def test_the_largest_distance_is_the_hausdorff_distance(rng):
    first, second = rng.random((2, 9, 10, 11)) < 0.05
    bins = DistanceBins((5.0, 5.0, 5.0), 500.0)
    largest = [
        find_percentile(count_distances(*pair, bins), 100, bins)
        for pair in ((first, second), (second, first))
    ]
    assert max(largest) == pytest.approx(5 * hausdorff_distance(first, second), abs=0.026)


def test_percentiles_and_mean_against_numpy(rng):
    values = rng.integers(0, 300, 1001)
    bins = DistanceBins((10.0, 10.0, 10.0), 100.0)
    counts = np.bincount(values, minlength=bins.count)
    scores = summarize_distances(counts, counts, bins)["prediction_to_truth"]
    assert scores["mean_nm"] == pytest.approx(values.mean() / 10)
    for percent, found in ((50, scores["median_nm"]), (95, scores["percentile_95_nm"])):
        expected = np.percentile(values, percent, method="inverted_cdf") / 10
        assert found == pytest.approx(expected)


def test_distances_beyond_the_maximum():
    bins = DistanceBins((10.0, 10.0, 10.0), 50.0)
    counts = np.zeros(bins.count, np.int64)
    counts[100], counts[-1] = 90, 10
    scores = summarize_distances(counts, np.zeros_like(counts), bins)
    assert scores["prediction_to_truth"]["percentile_95_nm"] is None
    assert scores["hausdorff_95_nm"] is None
    assert scores["prediction_to_truth"]["mean_nm"] == pytest.approx(0.9 * 10 + 0.1 * 50)
    assert scores["prediction_to_truth"]["beyond_max"] == 0.1
    assert scores["truth_to_prediction"]["mean_nm"] is None
    assert scores["truth_to_prediction"]["beyond_max"] is None


@pytest.mark.parametrize("max_nm", [0, -1, float("nan"), float("inf"), 1e9])
def test_largest_distances_that_cannot_be_used(max_nm):
    with pytest.raises(ValueError, match="it must be above 0 and at most 52428"):
        DistanceBins((5.0, 5.0, 5.0), max_nm)
