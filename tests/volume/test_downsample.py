from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asem.volume.downsample import at_voxel_size, downsample, whole_factors
from asem.volume.roi import Roi
from asem.volume.volume import OriginalGrid, Volume

small = st.tuples(*[st.integers(1, 5)] * 3)
factors = st.tuples(*[st.integers(1, 3)] * 3)


def bins(voxels, by, start):
    """Yield each bin's index and voxels, the slow way."""
    first = [s % f for s, f in zip(start, by, strict=True)]
    shape = [-(-(f + n) // b) for f, n, b in zip(first, voxels.shape, by, strict=True)]
    for index in np.ndindex(*shape):
        low = [i * b - f for i, b, f in zip(index, by, first, strict=True)]
        cut = tuple(slice(max(0, a), a + b) for a, b in zip(low, by, strict=True))
        yield index, voxels[cut]


@given(arrays(np.uint8, small), factors, st.tuples(*[st.integers(0, 4)] * 3))
def test_images_take_the_mean_rounded_half_up(voxels, by, start):
    out = downsample(voxels, by, "image", start=start)
    for index, members in bins(voxels, by, start):
        assert out[index] == (2 * int(members.sum()) + members.size) // (2 * members.size)


@given(arrays(np.uint16, small, elements=st.integers(0, 3)), factors)
def test_labels_take_the_mode_ties_to_the_smallest_that_is_not_zero(voxels, by):
    out = downsample(voxels, by, "labels")
    for index, members in bins(voxels, by, (0, 0, 0)):
        counts = Counter(members.ravel().tolist())
        most = max(counts.values())
        ids = sorted(i for i, n in counts.items() if n == most)
        assert out[index] == next((i for i in ids if i), 0)


def test_floats_keep_their_mean():
    assert downsample(np.array([[[0.25, 0.5]]], np.float32), (1, 1, 2), "image")[0, 0, 0] == 0.375


def test_whole_factors():
    assert whole_factors((5.24, 4, 4), (10.48, 4, 12)) == (2, 1, 3)
    assert whole_factors((5, 5, 5), (8, 10, 10)) is None
    assert whole_factors((10, 10, 10), (5, 5, 5)) is None


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_a_crop_sees_the_same_bins_as_the_whole(kind, rng):
    voxels = rng.integers(0, 4, (11, 12, 13)).astype(np.uint8)
    whole = Volume(voxels, (5.0, 5.0, 5.0), (2.0, 2.0, 2.0), kind=kind)
    offset = (3, 1, 4)
    crop = Volume(
        voxels[3:, 1:, 4:], (5.0,) * 3, whole.position_nm(offset), kind=kind, original=whole.grid
    )
    coarse, part = (at_voxel_size(v, (10.0, 15.0, 10.0)) for v in (whole, crop))
    place = coarse.place_of(part)
    assert place.offset == (1, 0, 2)
    inside = Roi((1, 1, 0), (3, 2, 3))  # bins that lie wholly in the crop
    assert (part.read(inside) == coarse.read(inside.shift(place.offset))).all()
    assert part.original_offset == place.offset
    assert coarse.grid == OriginalGrid((6, 4, 7), coarse.offset_nm)


def test_the_centre_of_a_bin_is_the_mean_of_its_voxels():
    coarse = at_voxel_size(Volume(np.zeros((4, 4, 4), np.uint8), (5.0,) * 3), (10.0, 5.0, 20.0))
    assert coarse.offset_nm == (2.5, 0.0, 7.5)


def test_other_voxel_sizes_are_refused():
    with pytest.raises(ValueError, match=r"5 x 5 x 5 nm, from which 8 x 8 x 8 nm cannot be made"):
        at_voxel_size(Volume(np.zeros((4, 4, 4), np.uint8), (5.0,) * 3), (8.0,) * 3)
