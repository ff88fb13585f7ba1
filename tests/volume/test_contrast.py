import numpy as np
import pytest

from asem.volume.contrast import (
    GreyBins,
    GreyHistogram,
    contrast_window_of,
    count_values,
    dtype_range,
    scale_to_unit,
)
from asem.volume.volume import Volume


def window(pieces):
    low, high = (float(f([f(piece) for piece in pieces])) for f in (np.min, np.max))
    integer = np.issubdtype(pieces[0].dtype, np.integer)
    bins = GreyBins.from_range(*(dtype_range(pieces[0].dtype) or (low, high)), integer=integer)
    return bins.window(sum(bins.histogram(piece) for piece in pieces))


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.float32])
def test_the_window_holds_all_but_a_thousandth_at_each_end(dtype, rng):
    voxels = rng.normal(3000, 500, 100_000).astype(dtype)
    expected = np.percentile(voxels.astype(float), [0.1, 99.9])
    assert np.allclose(window(np.split(voxels, 4)), expected, atol=2)


def test_a_float_window_is_exact_to_a_bin(rng):
    found = window([rng.uniform(0, 1, 50_000).astype(np.float32)])
    assert np.allclose(found, [0.001, 0.999], atol=2e-3)


@pytest.mark.parametrize(("dtype", "value"), [(np.uint16, 7), (np.uint16, 65_535), (float, -0.5)])
def test_a_constant_volume_has_a_window(dtype, value):
    black, white = window([np.full(9, value, dtype)])
    assert black == value
    assert white == value + 1


def test_few_bright_voxels_have_a_window():
    voxels = np.zeros(10_000, np.int16)
    voxels[0] = 50
    assert window([voxels]) == (0, 50)


def test_values_beyond_the_window_are_clipped():
    assert scale_to_unit(np.array([10, 20, 30, 99], np.uint16), (20, 30)).tolist() == [0, 0, 1, 1]


def test_16_bit_without_a_window_is_refused():
    with pytest.raises(ValueError, match="is uint16 and has no contrast window; import it"):
        contrast_window_of(Volume(np.zeros((1, 1, 1), np.uint16), (1.0,) * 3))


@pytest.mark.parametrize("dtype", [np.uint32, np.int32, np.int64, np.uint64, np.float64])
def test_grey_values_around_two_thousand_million_differ(dtype):
    grey = 2_000_000_000 + np.arange(1000).astype(dtype)
    unit = scale_to_unit(grey.reshape(1, 10, 100), (2_000_000_000, 2_000_000_999))
    assert len(np.unique(unit)) == 1000
    assert unit.dtype == np.float32
    assert unit.shape == (1, 10, 100)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_every_value_is_counted(dtype, rng):
    info = np.iinfo(dtype)
    voxels = rng.integers(info.min, info.max, (7, 9, 11), endpoint=True).astype(dtype)
    counts = count_values(voxels[:, ::2])
    values, numbers = np.unique(voxels[:, ::2], return_counts=True)
    assert counts.shape == (65_536,)
    assert (counts[values.astype(int) - info.min] == numbers).all()
    assert counts.sum() == numbers.sum()


def counted(voxels):
    return GreyHistogram.from_value_counts(count_values(voxels), voxels.dtype)


@pytest.mark.parametrize(
    ("dtype", "mean", "sd", "padding"),
    [
        (np.uint16, 33_500, 900, 0),
        (np.uint16, 33_500, 900, 65_535),
        (np.uint16, 3_000, 400, 0),
        (np.int16, 5_000, 300, 0),
        (np.int16, -5_000, 300, 0),
        (np.int16, 5_000, 300, -32_768),
        (np.uint8, 120, 25, 0),
        (np.uint8, 120, 25, 255),
    ],
)
@pytest.mark.parametrize("share", [0.001, 0.2, 0.9])
def test_padding_is_no_sample(rng, dtype, mean, sd, padding, share):
    sample = rng.normal(mean, sd, (40, 50, 50)).astype(dtype)
    padded = sample.copy().ravel()
    padded[: int(share * padded.size)] = padding
    counts = counted(padded.reshape(sample.shape))
    assert counts.find_padding() == (padding,)
    expected = np.percentile(padded[int(share * padded.size) :], [0.1, 99.9], method="inverted_cdf")
    assert counts.window() == tuple(expected)


@pytest.mark.parametrize(("mean", "sd"), [(30, 30), (60, 30), (10, 40), (230, 25)])
def test_grey_values_that_are_clipped_are_sample(rng, mean, sd):
    clipped = np.clip(rng.normal(mean, sd, (40, 50, 50)), 0, 255).astype(np.uint8)
    assert counted(clipped).find_padding() == ()


def test_dead_pixels_are_no_padding(rng):
    voxels = rng.normal(20_000, 1_000, (20, 60, 70)).astype(np.uint16)
    voxels[0, 0, :3] = 0
    assert counted(voxels).find_padding() == ()


@pytest.mark.parametrize("values", [[0], [7], [0, 255], [0, 1], [255]])
def test_one_or_two_values_are_no_padding(values):
    voxels = np.resize(np.array(values, np.uint8), (4, 5, 6))
    assert counted(voxels).find_padding() == ()
