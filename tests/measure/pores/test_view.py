import numpy as np
import pytest

from asem.measure.frame import Frame
from asem.measure.pores.view import VIEW_STEP_NM, Patch, radial_profile, select_voxels, view_en_face

SIZE = (5.2, 4.0, 4.0)
ORIGIN = np.array([100.0, -50.0, 20.0])


def linear_patch(shape=(9, 10, 11)):
    places = np.moveaxis(np.indices(shape), 0, -1) * SIZE + ORIGIN
    return Patch((places @ [1.0, 2.0, -3.0]).astype(np.float32), ORIGIN, SIZE)


def test_axes_of_a_frame_are_right_handed_and_perpendicular():
    frame = Frame.from_normal(ORIGIN, np.array([3.0, -4.0, 12.0]))
    np.testing.assert_allclose(frame.axes @ frame.axes.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(frame.normal * 13, [3, -4, 12])
    assert np.linalg.det(frame.axes) == pytest.approx(1)


def test_interpolation_is_exact_for_linear_images_and_nan_outside():
    patch = linear_patch()
    low, high = ORIGIN, ORIGIN + np.array(SIZE) * [8, 9, 10]
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(low, high, (40, 3)), [low, high]])
    np.testing.assert_allclose(patch.sample(points), points @ [1, 2, -3], rtol=1e-5)
    assert np.isnan(patch.sample(np.stack([low - 0.1, high + 0.1]))).all()


def test_rows_of_a_view_are_along_v():
    frame = Frame.from_normal(ORIGIN + np.array([20.0, 18.0, 20.0]), np.array([1.0, 0.2, 0.3]))
    view = view_en_face(linear_patch(), frame)
    middle = len(view) // 2
    slopes = frame.axes @ [1, 2, -3] * VIEW_STEP_NM
    assert view[middle, middle + 1] - view[middle, middle] == pytest.approx(slopes[0], abs=1e-3)
    assert view[middle + 1, middle] - view[middle, middle] == pytest.approx(slopes[1], abs=1e-3)


def test_a_radial_profile_leaves_out_what_is_missing():
    n = 10
    y, x = np.indices((2 * n + 1, 2 * n + 1)) - n
    view = np.rint(np.hypot(y, x)).astype(np.float32)
    view[:, :n] = np.nan
    np.testing.assert_array_equal(radial_profile(view), np.arange(n + 1.0))
    assert np.isnan(radial_profile(np.full_like(view, np.nan))).all()


def test_voxels_of_a_cylinder():
    patch = linear_patch()
    patch.values[4, 5, 5] = np.nan
    normal = np.array([0.6, 0.0, 0.8])
    centre = ORIGIN + np.array([20.0, 18.0, 20.0])
    start, size = patch.origin_nm, np.array(SIZE)
    points, values = select_voxels(patch.values, start, size, centre, normal, 12.0, 7.0)
    places = np.moveaxis(np.indices(patch.values.shape), 0, -1).reshape(-1, 3) * SIZE + ORIGIN
    along = (places - centre) @ normal
    across = np.linalg.norm(places - centre - along[:, None] * normal, axis=1)
    inside = (np.abs(along) <= 7) & (across <= 12) & np.isfinite(patch.values.ravel())
    np.testing.assert_allclose(points, places[inside])
    np.testing.assert_array_equal(values, patch.values.ravel()[inside])
