import numpy as np
import pytest

from asem.volume.contrast import percentile_window, to_unit, window_of
from asem.volume.volume import Volume


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_the_window_holds_all_but_a_thousandth_at_each_end(dtype, rng):
    voxels = rng.normal(3000, 500, 100_000).astype(dtype)
    pieces = np.split(voxels, 4)
    black, white = percentile_window(pieces, float(voxels.min()), float(voxels.max()))
    expected = np.percentile(voxels.astype(float), [0.1, 99.9])
    assert np.allclose([black, white], expected, atol=2)


def test_a_float_window_is_exact_to_a_bin(rng):
    voxels = rng.uniform(0, 1, 50_000).astype(np.float32)
    window = percentile_window([voxels], float(voxels.min()), float(voxels.max()))
    assert np.allclose(window, [0.001, 0.999], atol=2e-3)


def test_a_constant_volume_has_a_window():
    black, white = percentile_window([np.full(9, 7, np.uint16)], 7, 7)
    assert np.isfinite(to_unit(np.full(9, 7, np.uint16), (black, white))).all()


def test_values_beyond_the_window_are_clipped():
    assert to_unit(np.array([10, 20, 30, 99], np.uint16), (20, 30)).tolist() == [0, 0, 1, 1]


def test_16_bit_without_a_window_is_refused():
    with pytest.raises(ValueError, match="is uint16 and has no contrast window; import it"):
        window_of(Volume(np.zeros((1, 1, 1), np.uint16), (1.0,) * 3))
