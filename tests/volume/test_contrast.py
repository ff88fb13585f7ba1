import numpy as np
import pytest

from asem.volume.contrast import GreyBins, dtype_extremes, to_unit, window_of
from asem.volume.volume import Volume


def window(pieces):
    low, high = (float(f([f(piece) for piece in pieces])) for f in (np.min, np.max))
    integer = np.issubdtype(pieces[0].dtype, np.integer)
    bins = GreyBins.between(*(dtype_extremes(pieces[0].dtype) or (low, high)), integer=integer)
    return bins.window(sum(bins.count(piece) for piece in pieces))


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
    assert to_unit(np.array([10, 20, 30, 99], np.uint16), (20, 30)).tolist() == [0, 0, 1, 1]


def test_16_bit_without_a_window_is_refused():
    with pytest.raises(ValueError, match="is uint16 and has no contrast window; import it"):
        window_of(Volume(np.zeros((1, 1, 1), np.uint16), (1.0,) * 3))
