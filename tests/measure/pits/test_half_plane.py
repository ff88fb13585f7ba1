"""Sampling of an image around an axis."""

import numpy as np
import pytest

from asem.measure.frame import Frame
from asem.measure.pits.half_plane import Grid, Image, average_angles, unroll

SIZE = np.array([5.2, 4.0, 4.0])
FIRST = np.array([-60.0, 30.0, 500.0])
DIRECTION = np.array([2.0, -1.0, 1.0]) / np.sqrt(6)


def linear_image(slope):
    """An image whose value is the product of position and a vector."""
    places = np.stack(np.meshgrid(*[np.arange(30)] * 3, indexing="ij"), axis=-1)
    return Image(((FIRST + places * SIZE) @ slope).astype(np.float32), FIRST, SIZE)


def test_the_vectors_of_an_axis_are_across_each_other():
    for direction in (DIRECTION, [1.0, 0, 0], [0, 0, -3.0]):
        vectors = Frame.from_normal(np.zeros(3), np.array(direction)).axes
        np.testing.assert_allclose(vectors @ vectors.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(vectors[2], direction / np.linalg.norm(direction))
        assert np.linalg.det(vectors) == pytest.approx(1)


def test_a_linear_image_is_sampled_exactly():
    slope = np.array([0.3, -0.2, 0.5])
    axis = Frame.from_normal(FIRST + 14 * SIZE, DIRECTION)
    grid = Grid.of_reach(-20.0, 30.0, 25.0, 2.5)
    samples = unroll(linear_image(slope), axis, grid, 8)
    assert samples.shape == (8, 21, 11)
    assert grid.step_nm == 2.5
    theta = 2 * np.pi * np.arange(8)[:, None, None] / 8
    rho, t = grid.rho_nm[None, None], grid.t_nm[None, :, None]
    local = np.broadcast_arrays(rho * np.cos(theta), rho * np.sin(theta), t)
    expected = axis.to_world(np.stack(local, axis=-1)) @ slope
    np.testing.assert_allclose(samples, expected, atol=1e-3)


def test_values_outside_of_the_image_are_nan():
    axis = Frame.from_normal(FIRST + np.array([2 * 5.2, 60.0, 60.0]), np.array([1.0, 0, 0]))
    samples = unroll(linear_image(np.ones(3)), axis, Grid.of_reach(-25.0, 25.0, 25.0, 5.0), 4)
    np.testing.assert_array_equal(np.isnan(samples[:, :, 0].mean(axis=0)), np.arange(-5, 6) < -2)


def test_the_mean_over_the_angles_needs_half_of_them():
    samples = np.array([[[1.0, 4, 7]], [[3, np.nan, np.nan]], [[2, 6, np.nan]]], np.float32)
    np.testing.assert_array_equal(average_angles(samples), [[2, 5, np.nan]])
