import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asem.training.augmentation import (
    draw_intensity_transform,
    draw_rotation,
    draw_spatial_transform,
    max_source_half_extent,
    rotation_matrix,
)
from asem.training.config import AugmentConfig
from asem.training.random_fields import NODE_SPACING, draw_smooth_field

CUBE = (10.0, 10.0, 10.0)
SHAPE = (20, 20, 20)
FULL = AugmentConfig(scale=0.1, drift=0.1, gamma=0.3, noise=0.05, blur_nm=8)


def draw_spatial(config, rng, *, voxel_size=CUBE, shape=SHAPE):
    return draw_spatial_transform(config, shape, voxel_size=voxel_size, rng=rng)


def draw_intensity(config, rng, *, voxel_size=CUBE):
    return draw_intensity_transform(config, SHAPE, voxel_size=voxel_size, rng=rng)


def test_everything_off_is_the_identity(rng):
    spatial, intensity = (
        draw_spatial(AugmentConfig.disabled(), rng),
        draw_intensity(AugmentConfig.disabled(), rng),
    )
    assert (spatial.matrix == np.eye(3)).all()
    assert not spatial.displacement.any()
    assert not any(shift.any() for shift in spatial.slice_shifts)
    assert (intensity.blur, intensity.scale, intensity.shift) == ((0, 0, 0), 1, 0)
    assert (intensity.gamma, intensity.noise) == (1, 0)
    assert not intensity.drift.any()


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ({"rotate_p": 1}, "matrix"),
        ({"scale": 0.1}, "matrix"),
        ({"mirror": True}, "matrix"),
        ({"transpose": True}, "matrix"),
        ({"elastic_p": 1}, "displacement"),
        ({"shift_p": 1}, "slice_shifts"),
    ],
)
def test_each_setting_changes_its_part_alone(setting, part):
    off = draw_spatial(AugmentConfig.disabled(), np.random.default_rng(2))
    on = draw_spatial(AugmentConfig.disabled(**setting), np.random.default_rng(2))
    for name in ("matrix", "displacement", "slice_shifts"):
        same = np.array_equal(np.concatenate(on.slice_shifts), np.concatenate(off.slice_shifts))
        if name != "slice_shifts":
            same = np.array_equal(getattr(on, name), getattr(off, name))
        assert same == (name != part)


def test_a_setting_does_not_change_what_others_draw():
    """All settings use the same number of random values."""
    for config in (AugmentConfig.disabled(), AugmentConfig(), FULL):
        one, other = np.random.default_rng(5), np.random.default_rng(5)
        draw_spatial(config, one), draw_intensity(config, one)
        draw_spatial(AugmentConfig(), other), draw_intensity(AugmentConfig(), other)
        assert one.random() == other.random()


def test_orientations_are_all_those_of_a_cube(rng):
    config = AugmentConfig.disabled(mirror=True, transpose=True)
    seen = {draw_spatial(config, rng).matrix.tobytes() for _ in range(600)}
    assert len(seen) == 48


def test_only_axes_of_equal_voxel_size_are_exchanged(rng):
    config = AugmentConfig.disabled(transpose=True)
    seen = {
        tuple(map(tuple, draw_spatial(config, rng, voxel_size=(50.0, 4.6, 4.6)).matrix))
        for _ in range(99)
    }
    keep_z = {matrix[0] for matrix in seen}
    assert len(seen) == 2
    assert keep_z == {(1, 0, 0)}


def test_only_similar_axes_are_rotated():
    assert {draw_rotation((50, 4, 5), c, 0.5)[0] for c in np.linspace(0, 0.99, 20)} == {0}
    assert {draw_rotation(CUBE, c, 0.5)[0] for c in np.linspace(0, 0.99, 20)} == {0, 1, 2}
    assert draw_rotation((50, 4, 10), 0.3, 0.5) == (0, 0)


def test_a_rotation_turns_by_its_angle():
    turned = rotation_matrix(0, 0.3) @ [0, 1, 0]
    assert np.allclose(turned, [0, np.cos(0.3), np.sin(0.3)])


def test_angles_cover_a_right_angle(rng):
    angles = []
    for _ in range(400):
        matrix = draw_spatial(AugmentConfig.disabled(rotate_p=1), rng).matrix
        assert np.allclose(matrix @ matrix.T, np.eye(3))
        angles.append(np.degrees(np.arccos((np.trace(matrix) - 1) / 2)))
    assert 0 <= min(angles) < 3
    assert 87 < max(angles) <= 90


def test_half_of_all_patches_are_rotated_at_one_half(rng):
    config = AugmentConfig.disabled(rotate_p=0.5)
    turned = [not np.array_equal(draw_spatial(config, rng).matrix, np.eye(3)) for _ in range(400)]
    assert np.mean(turned) == pytest.approx(0.5, abs=0.08)


def test_a_field_is_a_spline_through_its_control_points(rng):
    spacing = np.full(3, 32.0)
    fields = [draw_smooth_field((129, 33, 33), spacing, 3, rng=rng) for _ in range(40)]
    assert fields[0].shape == (3, 17, 5, 5)
    # A Catmull-Rom spline's variance is 1 at control points and less in between.
    assert 0.7 < np.std(fields) <= 1
    assert np.abs(fields).max() <= 4
    steps = np.diff(fields[0], axis=1)
    assert np.abs(steps).max() < 2  # smooth: NODE_SPACING is a quarter of the spacing


def test_displacements_are_in_nm(rng):
    config = AugmentConfig.disabled(elastic_p=1)
    fields = [
        draw_spatial(config, rng, voxel_size=(50, 5, 5), shape=(9, 65, 65)).displacement
        for _ in range(60)
    ]
    z, y, x = np.std(fields, axis=(0, 2, 3, 4))
    assert y / z == pytest.approx(10, rel=0.3)
    assert x == pytest.approx(10 / 5, rel=0.4)


def test_slice_shifts_move_all_later_planes(rng):
    config = AugmentConfig.disabled(shift_p=0.2)
    fractions, steps = [], []
    for _ in range(80):
        shifts = draw_spatial(config, rng, voxel_size=(5, 5, 5)).slice_shifts
        moved = [axis for axis, shift in enumerate(shifts) if shift.any()]
        assert len(moved) <= 1
        for axis in moved:
            assert not shifts[axis][:, axis].any()
            between = np.abs(np.diff(shifts[axis], axis=0))
            fractions.append((between.sum(1) > 0).mean())
            steps.append(between.max())
    assert np.mean(fractions) == pytest.approx(0.2, abs=0.05)
    assert 1.8 < max(steps) <= 2 + 1e-6  # 10 nm


def test_slice_shifts_stay_in_their_plane_in_rotated_patches(rng):
    config = AugmentConfig(elastic_p=0, shift_p=0.3)
    for _ in range(30):
        spatial = draw_spatial(config, rng, voxel_size=(6, 5, 4))
        for axis, shift in enumerate(spatial.slice_shifts):
            in_patch = np.linalg.solve(spatial.matrix, shift.T)
            assert np.abs(in_patch[axis]).max() < 1e-5


SIZES = [(5, 5, 5), (50, 4.6, 4.6), (6, 4, 4), (5, 4, 3)]


@given(seed=st.integers(0, 2**32), size=st.sampled_from(SIZES))
def test_source_positions_are_within_the_maximum_extent(seed, size):
    patch = 28
    spatial = draw_spatial(
        AugmentConfig(scale=0.2), np.random.default_rng(seed), voxel_size=size, shape=(patch,) * 3
    )
    assert (
        spatial.source_half_extent(spatial.shape)
        <= np.array(max_source_half_extent(AugmentConfig(scale=0.2), patch, size))
    ).all()


def test_intensity_parameters_stay_in_their_bounds(rng):
    transforms = [draw_intensity(FULL, rng, voxel_size=(16, 8, 8)) for _ in range(300)]

    def span(values):
        return min(values), max(values)

    low, high = span([t.scale for t in transforms])
    assert 0.85 <= low < 0.87
    assert 1.13 < high <= 1.15
    low, high = span([t.shift for t in transforms])
    assert -0.15 <= low < -0.13
    assert 0.13 < high <= 0.15
    low, high = span([t.gamma for t in transforms])
    assert 1 / 1.3 <= low < 0.8
    assert 1.25 < high <= 1.3
    assert 0.045 < max(t.noise for t in transforms) <= 0.05
    assert 0.9 < max(t.blur[1] for t in transforms) <= 1
    assert all(t.blur[1] == 2 * t.blur[0] == t.blur[2] for t in transforms)
    for name in ("noise", "gamma"):
        fraction = np.mean([getattr(t, name) not in (0, 1) for t in transforms])
        assert fraction == pytest.approx(FULL.intensity_p, abs=0.1)


def test_number_of_nodes():
    assert draw_smooth_field(
        (1, NODE_SPACING, NODE_SPACING + 1), np.ones(3), 1, rng=np.random.default_rng(0)
    ).shape == (
        1,
        1,
        2,
        2,
    )
