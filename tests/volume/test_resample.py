from collections import Counter
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from asem.volume.downsample import downsample
from asem.volume.resample import Resampling, voxel_size_ratios
from asem.volume.roi import Roi, negate

SIZES = st.tuples(*[st.integers(1, 5)] * 3)
COARSER = st.tuples(*[st.sampled_from([(1, 1), (13, 10), (5, 4), (7, 3), (2, 1), (8, 3)])] * 3)
ANY = st.tuples(
    *[st.sampled_from([(1, 1), (13, 10), (7, 3), (2, 1), (10, 13), (1, 2), (3, 7)])] * 3
)


def resampled(voxels, fractions, kind):
    by = tuple(p / q for p, q in fractions)
    resampling = Resampling(by, Roi.of_shape(voxels.shape), kind)
    return resampling.apply(voxels, resampling.target_roi)


def covered(voxels, fractions):
    """Yield each target voxel's index and the source voxels it covers, each cut into q^3."""
    small = voxels
    for axis, (_, q) in enumerate(fractions):
        small = small.repeat(q, axis)
    shape = [ceil(n / p) for n, (p, _) in zip(small.shape, fractions, strict=True)]
    for index in np.ndindex(*shape):
        cut = (slice(i * p, (i + 1) * p) for i, (p, _) in zip(index, fractions, strict=True))
        yield index, small[tuple(cut)]


@given(arrays(np.uint8, SIZES), COARSER)
def test_coarser_images_take_the_mean_of_what_a_voxel_covers(voxels, fractions):
    out = resampled(voxels.astype(float), fractions, "image")
    for index, members in covered(voxels, fractions):
        assert out[index] == pytest.approx(members.mean())


@given(arrays(np.uint16, SIZES, elements=st.sampled_from([0, 1, 2, 65535])), ANY)
def test_labels_take_the_id_that_covers_most(voxels, fractions):
    out = resampled(voxels, fractions, "labels")
    for index, members in covered(voxels, fractions):
        counts = Counter(members.ravel().tolist())
        most = max(counts.values())
        ids = sorted(i for i, n in counts.items() if n == most)
        assert out[index] == next((i for i in ids if i), 0)


def test_labels_that_cover_a_half_each():
    voxels = np.array([[[0, 7, 3, 3, 9]]], np.uint8)
    assert resampled(voxels, [(1, 1), (1, 1), (2, 1)], "labels").tolist() == [[[7, 3, 9]]]
    # The middle one of three covers a half of the second and of the third voxel.
    assert resampled(voxels, [(1, 1), (1, 1), (2, 3)], "labels").tolist() == [
        [[0, 7, 7, 3, 3, 3, 9, 9]]
    ]


@given(arrays(np.uint8, SIZES), st.tuples(*[st.sampled_from([(1, 1), (10, 13), (1, 2)])] * 3))
def test_finer_images_are_linear_between_centres(voxels, fractions):
    out = resampled(voxels.astype(float), fractions, "image")
    axes = [
        (np.arange(n) + 0.5) * p / q - 0.5 for n, (p, q) in zip(out.shape, fractions, strict=True)
    ]
    centres = np.meshgrid(*axes, indexing="ij")
    expected = ndimage.map_coordinates(voxels.astype(float), centres, order=1, mode="mirror")
    np.testing.assert_allclose(out, expected, atol=1e-9)


@given(arrays(np.uint8, SIZES), st.tuples(*[st.integers(1, 3)] * 3), st.booleans())
def test_whole_factors_are_downsampling(voxels, factors, image):
    kind = "image" if image else "labels"
    out = resampled(voxels, [(f, 1) for f in factors], kind)
    assert (out == downsample(voxels, factors, kind)).all()


@given(arrays(np.uint8, SIZES), ANY, st.booleans(), st.data())
def test_any_box_is_cut_out_of_the_whole(voxels, fractions, image, data):
    place = tuple(data.draw(st.integers(-9, 9)) for _ in range(3))
    whole = Roi(place, voxels.shape)
    by = tuple(p / q for p, q in fractions)
    resampling = Resampling(by, whole, "image" if image else "labels")
    full = resampling.apply(
        voxels[resampling.source_roi_of(resampling.target_roi).shift(negate(place)).slices],
        resampling.target_roi,
    )
    low = [data.draw(st.integers(0, n - 1)) for n in full.shape]
    high = [data.draw(st.integers(a + 1, n)) for a, n in zip(low, full.shape, strict=True)]
    box = Roi.from_bounds(low, high)
    target = box.shift(resampling.target_roi.offset)
    needed = resampling.source_roi_of(target)
    assert whole.contains(needed)
    part = resampling.apply(voxels[needed.shift(negate(place)).slices], target)
    assert (part == full[box.slices]).all()


def test_no_more_than_the_needed_voxels_are_read():
    by = Resampling((1.3, 0.5, 2), Roi((0, 0, 0), (100, 100, 100)), "image")
    # z: 13 .. 26; y: centres 4.75 .. 9.25; x: whole bins.
    assert by.source_roi_of(Roi((10, 10, 10), (10, 10, 10))) == Roi((13, 4, 20), (13, 7, 20))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("by", [(1.3, 0.8, 0.8), (1 / 1.3, 1.25, 1.25), (5.24 / 3, 0.5, 1)])
def test_a_constant_stays_constant(dtype, by):
    for value in (0, 7, 201, 255):
        voxels = np.full((9, 10, 11), value, dtype)
        resampling = Resampling(by, Roi.of_shape(voxels.shape), "image")
        out = resampling.apply(voxels, resampling.target_roi)
        assert out.dtype == dtype
        assert (out == value).all()


def test_integers_are_rounded_half_up():
    halves = Resampling((1, 1, 0.5), Roi((0, 0, 0), (1, 1, 2)), "image")
    voxels = np.array([[[1, 3]]], np.uint16)
    assert halves.apply(voxels, halves.target_roi).tolist() == [[[2, 2, 3, 3]]]  # 1.5 1.5 2.5 2.5


def test_ratios():
    assert voxel_size_ratios((5.2, 4, 4), (5, 5, 5)) == pytest.approx((5 / 5.2, 1.25, 1.25))
    assert voxel_size_ratios((5, 5, 10), (5.000004, 9.999992, 3.333335)) == (1, 2, 1 / 3)
    assert voxel_size_ratios((5, 5, 5), (5.00001, 9.9999, 2.501)) != (1, 2, 0.5)
