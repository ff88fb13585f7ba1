from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asem.volume.downsample import downsample, whole_factors

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
