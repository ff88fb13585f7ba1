import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asem.annotate.window_grid import WindowGrid
from asem.volume.roi import Roi
from extremes import bounded


@given(st.tuples(*[st.integers(1, 12)] * 3), st.integers(1, 13))
def test_windows_cover_each_voxel_once(shape, edge):
    windows, count = WindowGrid(Roi.of_shape(shape), edge), np.zeros(shape, int)
    for number, window in enumerate(windows):
        assert 0 < max(window.shape) <= edge
        assert window == windows[number] == windows[number - len(windows)]
        assert windows.first_index_in(window) == number
        count[window.slices] += 1
    assert (count == 1).all()
    assert windows[:] == list(windows)
    with pytest.raises(IndexError):
        windows[len(windows)]


def test_the_first_window_of_a_box():
    windows = WindowGrid(Roi.of_shape((4, 4, 4)), 2)
    assert windows.first_index_in(Roi((-3, 1, 1), (9, 2, 2))) == 0
    assert windows.first_index_in(Roi((2, 3, 1), (1, 1, 1))) == 6
    assert windows.first_index_in(Roi((0, 0, 4), (1, 1, 9))) is None


def test_a_volume_of_a_hundred_million_windows():
    with bounded(most_bytes=2**27):
        windows = WindowGrid(Roi.of_shape((100_000, 100_000, 100_000)), 200)
        assert len(windows) == 500**3
        assert windows[-1] == Roi((99_800, 99_800, 99_800), (200, 200, 200))
        assert windows.first_index_in(windows[10**8]) == 10**8
