import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asem.volume.reflection import reflect_indices
from asem.volume.roi import Roi
from asem.volume.volume import OriginalGrid, Volume


def volume(shape, **place):
    voxels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    return Volume(voxels, place.pop("voxel_size", (5.0, 4.0, 5.24)), **place)


@given(st.integers(1, 6), st.integers(0, 15), st.integers(0, 15))
def test_reflection_is_numpys(size, before, after):
    expected = np.pad(np.arange(size), (before, after), mode="reflect") if size > 1 else 0
    assert (reflect_indices(-before, size + after, size) == expected).all()


@given(st.tuples(*[st.integers(-6, 6)] * 3), st.tuples(*[st.integers(1, 8)] * 3))
def test_reading_any_box_is_a_cut_of_the_padded_array(offset, shape):
    one = volume((3, 4, 1))
    pad = 20
    padded = np.pad(np.asarray(one.array), [(pad, pad), (pad, pad), (0, 0)], mode="reflect")
    padded = np.pad(padded, [(0, 0), (0, 0), (pad, pad)], mode="edge")
    cut = padded[Roi(offset, shape).shift((pad, pad, pad)).slices]
    assert (one.read(Roi(offset, shape)) == cut).all()


def test_a_crop_stores_its_place_on_the_original_grid():
    whole = volume((10, 10, 10), offset_nm=(1.0, 2.0, 3.0))
    crop = volume(
        (4, 4, 4), offset_nm=whole.position_nm((3, 1, 2)), stated_grid=whole.original_grid
    )
    assert crop.original_offset == (3, 1, 2)
    assert whole.roi_of(crop) == Roi((3, 1, 2), (4, 4, 4))
    assert crop.roi_of(whole) == Roi((-3, -1, -2), (10, 10, 10))
    assert crop.original_grid == OriginalGrid((10, 10, 10), (1.0, 2.0, 3.0))


def test_fractional_voxel_sizes_stay_whole_far_from_the_origin():
    whole = volume((2000, 1, 1), voxel_size=(5.24, 5.24, 5.24), offset_nm=(0.1, 0.2, 0.3))
    far = volume(
        (1, 1, 1), voxel_size=(5.24, 5.24, 5.24), offset_nm=whole.position_nm((1999, 0, 0))
    )
    assert whole.roi_of(far).offset == (1999, 0, 0)


def test_a_shift_of_part_of_a_voxel_is_refused():
    with pytest.raises(ValueError, match=r"shifted by 0.5 x 0 x 0 voxels; the shift must be"):
        volume((4, 4, 4)).roi_of(volume((4, 4, 4), offset_nm=(-2.5, 0.0, 0.0)))


def test_unequal_voxel_sizes_are_refused():
    with pytest.raises(ValueError, match=r"voxels of 10 x 4 x 5.24 nm, but .* 5 x 4 x 5.24 nm"):
        volume((4, 4, 4)).roi_of(volume((4, 4, 4), voxel_size=(10.0, 4.0, 5.24)))


def test_bad_volumes_are_refused():
    with pytest.raises(ValueError, match="three axes"):
        Volume(np.zeros((4, 4)), (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="must be positive"):
        volume((4, 4, 4), voxel_size=(0.0, 1.0, 1.0))
