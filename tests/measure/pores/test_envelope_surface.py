"""Surface through the centres of pores: closed and open, its normals, and its outliers."""

import numpy as np
import pytest

from asem.measure.pores.envelope_normals import MASK, build_envelope, is_in_envelope
from asem.measure.pores.envelope_surface import triangulate_surface
from asem.measure.pores.point_surface import find_outliers

RADIUS_NM = 3000.0


def directions(count, rng, lowest=-1.0):
    """Unit vectors, evenly spaced (a Fibonacci lattice) with some disorder, z above `lowest`."""
    n = np.arange(count) + 0.5
    z = 1 - (1 - lowest) * n / count
    phi = np.pi * (1 + 5**0.5) * n
    flat = np.sqrt(1 - z**2)
    points = np.stack([z, flat * np.cos(phi), flat * np.sin(phi)], axis=1)
    points += rng.normal(0, 0.25 / np.sqrt(count), points.shape)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def envelope_of(points, normals=None):
    """The envelope of points whose masks are balls, or discs with these normals."""
    is_flat = np.full(len(points), normals is not None)
    if normals is None:
        normals = np.tile([0.0, 0.0, 1.0], (len(points), 1))
    return build_envelope(points, normals, is_flat, np.ones(len(points), bool))


def angles(a, b):
    """Angles of unit vectors, degrees."""
    return np.rad2deg(np.arccos(np.clip((a * b).sum(axis=1), -1, 1)))


def find_volume(surface):
    a, b, c = (surface.points_nm[surface.triangles[:, k]] for k in range(3))
    return (np.cross(a, b) * c).sum() / 6


@pytest.mark.parametrize("count", [40, 400])
def test_a_sphere_is_closed(count, rng):
    u = directions(count, rng)
    points = RADIUS_NM * u + rng.normal(0, 5, u.shape)
    surface = triangulate_surface(points)
    assert surface.is_closed
    assert count - len(surface.edges) + len(surface.triangles) == 2  # Euler: a sphere
    assert set(surface.triangles.ravel()) == set(range(count))
    assert find_volume(surface) == pytest.approx(4 / 3 * np.pi * RADIUS_NM**3, rel=12 / count)
    assert surface.alpha_nm < RADIUS_NM
    limit = {40: 20, 400: 6}[count]
    assert angles(envelope_of(points).normals, u).max() < limit


def test_a_part_of_a_sphere_is_open(rng):
    u = directions(150, rng, lowest=0.3)
    envelope = envelope_of(RADIUS_NM * u + rng.normal(0, 5, u.shape))
    assert not envelope.surface.is_closed
    found = angles(envelope.normals, u)
    assert np.median(found) < 3
    assert found.max() < 20  # all on the convex side


def test_a_plane_has_one_normal(rng):
    flat = np.stack(np.meshgrid(np.arange(9) * 300, np.arange(8) * 300), -1).reshape(-1, 2)
    tilt = np.array([0.6, 0.0, 0.8])
    points = flat @ np.array([[0.8, 0, -0.6], [0, 1, 0]]) + rng.normal(0, 4, (72, 3))
    envelope = envelope_of(points)
    assert not envelope.surface.is_closed
    assert angles(envelope.normals, tilt).max() < 5


def test_a_saddle(rng):
    y, x = rng.uniform(-1500, 1500, (2, 400))
    points = np.stack([(y**2 - x**2) / 6000, y, x], axis=1)
    truth = np.stack([np.ones(400), -y / 3000, x / 3000], axis=1)
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    envelope = envelope_of(points)
    found = angles(envelope.normals * np.sign(envelope.normals[:, :1]), truth)
    assert np.percentile(found, 95) < 4
    assert np.abs(np.sign(envelope.normals[:, 0]).sum()) == 400
    assert not find_outliers(points).any()


def test_alpha_is_the_smallest_one_of_one_component():
    """Two squares of edge 100, 300 apart: circles through two corners of each."""
    square = np.array([[0, 0, 0], [0, 0, 100], [0, 100, 0], [0, 100, 100]], float)
    squares = np.concatenate([square, square + np.array([0, 0, 400])])
    surface = triangulate_surface(squares)
    assert surface.alpha_nm == pytest.approx(np.hypot(300, 100) / 2)
    assert not surface.is_closed


def test_few_pores_have_the_normals_of_their_masks():
    points = np.array([[0, 0, 0], [0, 300, 0], [20, 0, 300], [0, 300, 300]], float)
    normals = np.tile([1.0, 0.0, 0.0], (4, 1))
    for count in range(5):
        envelope = envelope_of(points[:count], normals[:count])
        cosines = (envelope.normals * normals[:count]).sum(axis=1)
        assert np.abs(cosines).min(initial=1) > 0.95
        assert abs(np.sign(cosines).sum()) == count
        assert (count < 3) == (len(envelope.surface.triangles) == 0)
    line = np.array([[0, 0, n] for n in range(0, 900, 300)], float)
    envelope = envelope_of(line, normals[:3] * [[1], [-1], [1]])
    assert envelope.source.tolist() == [MASK] * 3
    assert angles(envelope.normals, normals[:3]).max() == 0


def test_four_pores_in_a_plane_are_two_triangles():
    square = np.array([[0, 0, 0], [0, 0, 300], [0, 300, 0], [0, 300, 300]], float)
    surface = triangulate_surface(square)
    assert len(surface.triangles) == 2
    assert not surface.is_closed
    assert triangulate_surface(np.repeat(square[:1], 2, axis=0)).triangles.size == 0


def test_a_flat_mask_contradicts_a_poor_surface(rng):
    u = directions(200, rng)
    normals = u.copy()
    normals[7] = np.cross(u[7], u[8]) / np.linalg.norm(np.cross(u[7], u[8]))
    envelope = envelope_of(RADIUS_NM * u, normals)
    assert np.flatnonzero(envelope.source == MASK).tolist() == [7]
    assert abs(envelope.normals[7] @ normals[7]) == pytest.approx(1)


def test_outliers_are_far_from_the_plane_of_their_neighbours(rng):
    u = directions(300, rng)
    points = RADIUS_NM * u + rng.normal(0, 8, u.shape)
    assert find_outliers(points).sum() <= 1
    off = np.array([3, 50, 51, 200])
    points[off] += u[off] * np.array([[150], [-200], [180], [-120]])
    found = find_outliers(points)
    assert found[off].all()
    assert found.sum() <= 5


def test_rounding_is_no_outlier():
    flat = np.stack(np.meshgrid(np.arange(9) * 200.0, np.arange(8) * 200.0), -1).reshape(-1, 2)
    points = np.concatenate([np.zeros((72, 1)), flat], axis=1)
    points[10, 0] = 25  # five voxels
    assert not find_outliers(points).any()
    points[10, 0] = 35
    assert np.flatnonzero(find_outliers(points)).tolist() == [10]
    assert not find_outliers(points[:6] * [9, 1, 1]).any()


def test_a_fold_that_is_near_is_no_outlier(rng):
    """A small sheet 200 nm behind a large one: the nearest pores are on the other sheet."""
    flat = np.concatenate([rng.uniform(0, 6000, (300, 2)), rng.uniform(1000, 2500, (20, 2))])
    points = np.concatenate([np.repeat([0.0, -200], [300, 20])[:, None], flat], axis=1)
    normals = np.tile([1.0, 0.0, 0.0], (320, 1))
    assert find_outliers(points)[300:].sum() > 10
    assert find_outliers(points, normals).sum() <= 1


def test_a_rim_that_faces_as_its_neighbours_do_is_in_the_envelope(rng):
    """A ball with a bare cap: a pore in its middle, one far above it, and one that is edge on."""
    pole = np.array([1.0, 0.0, 0.0])
    around = directions(300, rng)
    ring = around[around @ pole < 0.75]
    centres = np.concatenate([800 * ring, 800 * pole[None], 1400 * pole[None], 800 * pole[None]])
    normals = np.concatenate([ring, np.tile(pole, (3, 1))])
    normals[-1] = [0.0, 1.0, 0.0]
    assert is_in_envelope(centres, normals)[-3:].tolist() == [True, False, False]
    centres[-3] = np.nan
    assert not is_in_envelope(centres, normals)[-3]
