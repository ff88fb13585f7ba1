import numpy as np
import pytest
from scipy import ndimage

from asem.annotate.bins import bin_factors_of, relative_spacing, upsample_and_threshold


@pytest.mark.parametrize(
    ("shape", "voxel_size", "factors"),
    [
        ((9, 9, 9), (5.0, 5.0, 5.0), (2, 2, 2)),
        ((9, 9, 9), (8.0, 4.0, 4.0), (1, 2, 2)),
        ((1, 9, 1), (5.0, 5.0, 5.0), (1, 2, 1)),
    ],
)
def test_voxels_per_bin(shape, voxel_size, factors):
    assert bin_factors_of(shape, voxel_size) == factors


def test_relative_spacing_has_a_geometric_mean_of_one(rng):
    sizes = rng.random(3) + 0.1
    spacing = np.array(relative_spacing(sizes))
    assert np.prod(spacing) == pytest.approx(1)
    assert np.allclose(spacing / sizes, spacing[0] / sizes[0])


def test_upsampling_is_linear_between_the_centres_of_bins(rng):
    coarse = rng.random((3, 4, 5)).astype(np.float32)
    fine = ndimage.zoom(coarse, 2, order=1, mode="nearest", grid_mode=True)
    found = upsample_and_threshold(coarse, (2, 2, 2), (5, 8, 9), 0.5)
    clear = np.abs(fine - 0.5)[:5, :8, :9] > 1e-5
    assert np.array_equal(found[clear], (fine >= 0.5)[:5, :8, :9][clear])
