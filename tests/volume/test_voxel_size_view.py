import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asem.volume.downsample import downsample
from asem.volume.roi import Roi
from asem.volume.volume import OriginalGrid, Volume
from asem.volume.voxel_size_view import view_at_voxel_size, view_roi_within, warn_about_resampling

PAIRS = [  # of the volume, of the model
    ((5.2, 4.0, 4.0), (5.0, 5.0, 5.0)),
    ((5.0, 5.0, 5.0), (5.2, 4.0, 4.0)),
    ((5.24, 4.0, 3.5), (4.0, 8.0, 10.48)),
    ((4.0, 4.0, 4.0), (10.0, 8.0, 2.0)),
    ((5.0, 5.0, 5.0), (10.0, 5.0, 15.0)),
]


def centres(volume):
    """World positions along each axis."""
    each = zip(volume.offset_nm, volume.shape, volume.voxel_size, strict=True)
    return np.meshgrid(*(o + np.arange(n) * size for o, n, size in each), indexing="ij")


@pytest.mark.parametrize("kind", ["image", "labels"])
@pytest.mark.parametrize(("size", "model"), PAIRS)
def test_a_crop_sees_the_same_voxels_as_the_whole(kind, size, model, rng):
    voxels = rng.integers(0, 4, (31, 32, 33)).astype(np.uint8)
    whole = Volume(voxels, size, (2.0, -7.25, 1e5 + 0.3), kind=kind)
    offset = (3, 1, 4)
    crop = Volume(
        voxels[3:, 1:, 4:30],
        size,
        whole.position_nm(offset),
        kind=kind,
        stated_grid=whole.original_grid,
    )
    view, part = (view_at_voxel_size(v, model) for v in (whole, crop))
    place = view.roi_of(part)
    assert part.original_offset == place.offset
    assert part.original_grid == view.original_grid == OriginalGrid(view.shape, view.offset_nm)
    assert min(part.shape) > 6
    # But for the voxels that are made from some that the crop lacks.
    inside = Roi.from_bounds((3, 3, 3), np.subtract(part.shape, 3).tolist())
    assert (part.read(inside) == view.read(inside.shift(place.offset))).all()


@pytest.mark.parametrize(("size", "model"), PAIRS)
def test_a_ramp_stays_where_it_is_in_the_world(size, model):
    slope = (0.5, -0.3, 0.2)
    zeros = Volume(np.zeros((24, 26, 28), np.uint8), size, (100.0, -20.25, 3.5))

    def ramp(volume):
        return sum(a * at for a, at in zip(slope, centres(volume), strict=True))

    volume = zeros.with_array(ramp(zeros).astype(np.float32))
    view = view_at_voxel_size(volume, model)
    assert view.voxel_size == pytest.approx(model)
    inner = tuple(slice(2, -2) for _ in range(3))
    error = (view.read(view.roi) - ramp(view))[inner]
    assert error.size > 200
    # A covered part has the grey value of its whole voxel: by turns 1/8 of a voxel off either way.
    each = zip(slope, size, model, strict=True)
    bound = sum(abs(a) * fine / 8 * fine / coarse for a, fine, coarse in each if coarse % fine)
    assert np.abs(error).max() <= bound + 1e-4
    assert abs(error.mean()) < 0.02


@pytest.mark.parametrize("kind", ["image", "labels"])
@pytest.mark.parametrize(("size", "model"), PAIRS)
def test_a_ball_keeps_its_place_and_size(kind, size, model):
    zeros = Volume(np.zeros((48, 56, 60), np.uint8), size, (5.0, 6.0, 7.0), kind=kind)
    middle = zeros.position_nm((23, 28, 30))
    radius = 75.0

    def inside(volume):
        at = centres(volume)
        return sum((p - m) ** 2 for p, m in zip(at, middle, strict=True)) < radius**2

    view = view_at_voxel_size(zeros.with_array((inside(zeros) * 200).astype(np.uint8)), model)
    ball = view.read(view.roi) >= 100
    volume = np.count_nonzero(ball) * np.prod(view.voxel_size)
    assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)
    for at, m, *sizes in zip(centres(view), middle, size, model, strict=True):
        assert at[ball].mean() == pytest.approx(m, abs=0.2 * max(sizes))
    wrong = ball != inside(view)
    assert np.count_nonzero(wrong) < 0.1 * np.count_nonzero(ball)  # at the surface alone


@pytest.mark.parametrize(("size", "model"), PAIRS[:4])
def test_there_and_back(size, model):
    """What is smooth over some voxels survives; labels move by a part of a voxel at most."""
    zeros = Volume(np.zeros((30, 31, 32), np.uint8), size)
    z, y, x = centres(zeros)
    grey = 128 + 40 * (np.sin(z / 25) + np.cos(y / 30) + np.sin(x / 35))
    volume = zeros.with_array(np.rint(grey).astype(np.uint8))
    there = view_at_voxel_size(volume, model)
    back = view_at_voxel_size(there, size)
    same = np.subtract(back.offset_nm, volume.offset_nm)
    np.testing.assert_allclose(same, 0, atol=1e-9)
    assert all(a >= b for a, b in zip(back.shape, volume.shape, strict=True))
    inner = Roi((3, 3, 3), (24, 25, 26))
    difference = np.abs(back.read(inner).astype(int) - volume.read(inner))
    assert difference.max() <= 0.06 * 240
    labels = zeros.with_array((grey > 140).astype(np.uint8), kind="labels")
    again = view_at_voxel_size(view_at_voxel_size(labels, model), size).read(inner)
    truth = labels.read(inner)
    assert np.count_nonzero(again != truth) < 0.08 * truth.size
    assert 0.2 < truth.mean() < 0.8


@given(st.sampled_from(PAIRS), st.data())
def test_reading_is_cutting(pair, data):
    voxels = np.random.default_rng(1).integers(0, 255, (7, 9, 8)).astype(np.uint8)
    grid = OriginalGrid((20, 20, 20), (0.0, 0.0, 0.0))
    volume = Volume(voxels, pair[0], tuple(3 * s for s in pair[0]), stated_grid=grid)
    view = view_at_voxel_size(volume, pair[1])
    low = [data.draw(st.integers(-3, n)) for n in view.shape]
    high = [a + data.draw(st.integers(1, 5)) for a in low]
    padded = np.pad(view.read(view.roi), 9, mode="reflect")
    expected = padded[tuple(slice(a + 9, b + 9) for a, b in zip(low, high, strict=True))]
    assert (view.read(Roi.from_bounds(low, high)) == expected).all()


class Recorded:
    """An array that remembers what was read of it."""

    def __init__(self, voxels):
        self.voxels, self.shape, self.dtype = voxels, voxels.shape, voxels.dtype

    def __getitem__(self, index):
        self.index = index
        return self.voxels[index]


def test_only_the_voxels_needed_are_read():
    array = Recorded(np.zeros((50, 50, 50), np.uint8))
    view = view_at_voxel_size(Volume(array, (5.2, 4.0, 4.0)), (5.0, 5.0, 5.0))
    view.read(Roi((10, 8, 12), (6, 4, 4)))
    assert array.index == (slice(9, 16), slice(10, 15), slice(15, 20))


def test_the_centre_of_a_bin_is_the_mean_of_its_voxels():
    coarse = view_at_voxel_size(
        Volume(np.zeros((4, 4, 4), np.uint8), (5.0,) * 3), (10.0, 5.0, 20.0)
    )
    assert coarse.offset_nm == (2.5, 0.0, 7.5)


def test_voxels_begin_at_the_outer_face_of_the_original_grid():
    grid = OriginalGrid((20, 10, 10), (100.0, 0.0, 0.0))
    volume = Volume(
        np.zeros((4, 10, 10), np.uint8), (4.0,) * 3, (128.0, 0.0, 0.0), stated_grid=grid
    )
    view = view_at_voxel_size(volume, (5.0, 2.0, 4.0))
    # Along z the crop spans 28 .. 44 nm behind the face at 98 nm: 25 .. 45 in voxels of 5 nm.
    assert view.shape == (4, 20, 10)
    assert view.offset_nm == pytest.approx((98 + 27.5, -1.0, 0.0))
    assert view.original_offset == (5, 0, 0)
    assert view.original_grid.shape == (16, 20, 10)


def test_equal_voxel_sizes_are_the_volume_itself():
    volume = Volume(np.zeros((4, 4, 4), np.uint8), (5.0, 5.24, 5.0))
    assert view_at_voxel_size(volume, (5.0, 5.240001, 5.0), allow_resampling=False) is volume


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_whole_factors_within_a_millionth_are_downsampling(kind, rng):
    voxels = rng.integers(0, 4, (7, 8, 9)).astype(np.uint8)
    view = view_at_voxel_size(
        Volume(voxels, (5.24, 5.0, 4.0), kind=kind), (10.48, 5.000004, 12.00001)
    )
    assert view.read(view.roi).tolist() == downsample(voxels, (2, 1, 3), kind).tolist()


def test_labels_a_hundredth_of_a_voxel_off_are_at_home_on_the_finer_grid():
    raw = Volume(np.zeros((4, 4, 4), np.uint8), (10.0,) * 3)
    labels = Volume(
        np.ones((2, 2, 2), np.uint8),
        (10.0,) * 3,
        (10.09, 0, 0),
        kind="labels",
        stated_grid=raw.original_grid,
    )
    fine = [view_at_voxel_size(volume, (2.5,) * 3) for volume in (raw, labels)]
    assert fine[0].roi_of(fine[1]) == Roi((4, 0, 0), (8, 8, 8))


@pytest.mark.parametrize("model", [(10.0, 10.0, 10.0), (8.0, 5.0, 5.0), (2.5, 5.0, 5.0)])
def test_resampling_may_be_refused(model):
    volume = Volume(np.zeros((4, 4, 4), np.uint8), (5.0,) * 3, name="raw")
    message = r"raw has voxels of 5 x 5 x 5 nm, the model of .* nm, and resampling is switched off"
    with pytest.raises(ValueError, match=message):
        view_at_voxel_size(volume, model, allow_resampling=False)


def test_interpolation_is_warned_of_and_averaging_is_not(caplog):
    volume = Volume(np.zeros((4, 4, 4), np.uint8), (5.2, 4.0, 4.0), name="raw")
    with caplog.at_level(logging.WARNING, "asem"):
        warn_about_resampling(volume, (5.2, 4.0, 4.0))
        warn_about_resampling(volume, (10.4, 8.0, 4.0))
        assert caplog.messages == []
        warn_about_resampling(volume, (5.0, 5.0, 5.0))
        warn_about_resampling(volume, (2.6, 2.0, 2.0))
    messages = [message.split(";")[0] for message in caplog.messages]
    assert messages == [
        "raw: voxels of 5.2 x 4 x 4 nm are interpolated to the model's 5 x 5 x 5 nm",
        "raw: voxels of 5.2 x 4 x 4 nm are interpolated to the model's 2.6 x 2 x 2 nm",
    ]


@given(st.data(), st.sampled_from(PAIRS))
def test_voxels_within_a_part(data, pair):
    """Every voxel of the view within, and no other, is made from voxels of the part alone."""
    size, model = pair
    grid = OriginalGrid((30, 30, 30), (0.0, 0.0, 0.0))
    begin, shape = (5, 0, 7), (12, 13, 14)
    offset = tuple(b * s for b, s in zip(begin, size, strict=True))
    volume = Volume(np.zeros(shape, np.uint8), size, offset, kind="labels", stated_grid=grid)
    low = [data.draw(st.integers(0, n - 1)) for n in shape]
    high = [data.draw(st.integers(a + 1, n)) for a, n in zip(low, shape, strict=True)]
    view = view_at_voxel_size(volume, model)
    found = view_roi_within(Roi.from_bounds(low, high), volume, view)
    if found.size == 0:
        return
    for axis in range(3):
        first = view.original_offset[axis]
        edges = np.arange(first, first + view.shape[axis] + 1) * (model[axis] / size[axis])
        edges = np.clip(edges - begin[axis], 0, shape[axis])
        inside = (edges[:-1] > low[axis] - 1e-6) & (edges[1:] < high[axis] + 1e-6)
        place = np.flatnonzero(inside)
        assert (place[0], place[-1] + 1) == (found.offset[axis], found.end[axis])
