import numpy as np
import pytest

from asem.phantom.smooth_surface import SmoothSurface

NO_WAVES = np.zeros((0, 5))
BALL = SmoothSurface((0.0, 0.0, 0.0), (1000.0, 1000.0, 1000.0), NO_WAVES)


@pytest.fixture
def wavy(rng):
    """An ellipsoid with waves and a fold."""
    vectors = rng.normal(size=(6, 3)) * 2 * np.pi / 3000
    waves = np.column_stack([np.full(6, 40.0), vectors, rng.uniform(0, 6, 6)])
    fold = [[0.0, 0.0, 1500.0, 0.0, 0.0, 500.0, 150.0]]
    return SmoothSurface((0.0, 0.0, 0.0), (900.0, 1000.0, 1100.0), waves, np.array(fold))


def test_distances_near_a_ball_are_exact(rng):
    points = rng.uniform(-1000, 1000, (500, 3))
    radii = np.linalg.norm(points, axis=1)
    near = np.abs(radii - 1000) < 100
    assert BALL.distances(points[near]) == pytest.approx(radii[near] - 1000, abs=1e-3)
    assert BALL.distances(points) == pytest.approx(radii - 1000, rel=3e-3)
    outwards = points[near] / radii[near, None]
    assert BALL.normals(points[near]) == pytest.approx(outwards, abs=2e-3)
    assert BALL.project(points[near]) == pytest.approx(1000 * outwards, abs=0.1)


def test_the_distance_is_that_to_the_nearest_point_of_the_surface(wavy, rng):
    """No surface point is nearer than the distance states; the foot point is that far away."""
    shell = rng.uniform(-1400, 1400, (40_000, 3))
    surface = wavy.project(shell[np.abs(wavy.distances(shell)) < 100])
    surface = surface[np.abs(wavy.distances(surface)) < 0.1]
    points = shell[np.abs(wavy.distances(shell)) < 90][:150]
    distances = np.abs(wavy.distances(points))
    nearest = np.linalg.norm(points[:, None] - surface, axis=2).min(axis=1)
    assert (distances <= nearest + 0.5).mean() > 0.98
    feet = wavy.project(points)
    assert np.linalg.norm(feet - points, axis=1) == pytest.approx(distances, abs=0.1)


def test_a_fold_is_outside(wavy):
    """The axis of the fold is outside of the surface, what is beside it is inside."""
    inside, fold = np.array([0.0, 500.0, 0.0]), np.array([0.0, 0.0, 800.0])
    assert wavy.distances(inside)[0] < -100
    assert 60 < wavy.distances(fold)[0] < 200


def test_the_grid_has_the_distances_of_its_points(wavy):
    grid = wavy.distance_grid(np.array([-40.0, 900.0, 100.0]), 20.0, (3, 4, 5))
    index = np.array([[0, 0, 0], [2, 3, 4], [1, 2, 0]])
    points = index * 20.0 + [-40, 900, 100]
    assert grid[tuple(index.T)] == pytest.approx(wavy.distances(points), abs=1e-3)
