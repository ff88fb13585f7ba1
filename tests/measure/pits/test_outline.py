"""The darkest line in a half plane."""

import numpy as np
import pytest
from scipy import ndimage

from asem.measure.pits.half_plane import Grid
from asem.measure.pits.outline import Line, normals, resample, snap, trace_outline
from pits import HalfPlane, Stain, cap

SHAPE = HalfPlane(cap(44.0, 70.0, 6.0), 180.0)
LOOK = Stain()


@pytest.fixture(scope="module")
def half_plane():
    """Darkness of a blurred pit on a grid around the centre of its bulb, and its true line."""
    dark = LOOK.darkness(SHAPE.distance, 0.0)
    blurred = ndimage.gaussian_filter(dark, LOOK.blur_nm)
    grid = Grid.of_reach(-70.0, 120.0, 120.0, 2.5)
    depth = SHAPE.pit.bulb_depth_nm - grid.t_nm
    places = np.meshgrid(depth + 180.0, grid.rho_nm, indexing="ij")
    plane = ndimage.map_coordinates(blurred / blurred.max(), places, order=1)
    truth = SHAPE.outline(LOOK)
    return plane, grid, np.stack([truth[:, 1], SHAPE.pit.bulb_depth_nm - truth[:, 0]], axis=1)


def away(path, truth):
    """Distance of points of a path from the true line."""
    points = np.stack([path.rho_nm, path.t_nm], axis=1)
    return np.linalg.norm(points[:, None] - truth[None, ::5], axis=2).min(axis=1)


def test_the_line_leads_along_the_membrane_to_the_deepest_point(half_plane):
    plane, grid, truth = half_plane
    path = trace_outline(plane, grid, 0.0, -13.0)
    assert path.rho_nm[0] == grid.rho_nm[-1]
    assert path.rho_nm[-1] == 0
    assert path.t_nm[-1] == pytest.approx(-44, abs=4)
    assert np.median(away(path, truth)) < 1.5
    assert away(path, truth).max() < 7


def test_darker_lines_cost_less(half_plane):
    plane, grid, _ = half_plane
    dark, faint = (trace_outline(share * plane, grid, 0.0, -13.0).cost for share in (1.0, 0.6))
    assert dark < 0.5 * faint


def test_snapping_moves_points_to_the_darkest_place():
    path = Line(np.linspace(60, 20, 21), np.zeros(21), 0.0)
    offsets = np.arange(-9.0, 9.1, 1.0)
    profiles = np.exp(-((offsets - 3.4) ** 2) / 50) * np.ones((21, 1))
    n = normals(path)
    np.testing.assert_allclose(np.abs(n), [[0, 1]] * 21, atol=1e-12)
    snapped = snap(path, n, profiles, offsets)
    np.testing.assert_allclose(snapped.t_nm, 3.4 * n[:, 1], atol=0.1)
    np.testing.assert_allclose(snapped.rho_nm, path.rho_nm, atol=1e-9)


def test_points_are_at_equal_distances():
    angle = np.linspace(0, np.pi / 2, 300) ** 2 / (np.pi / 2)
    path = resample(Line(50 * np.cos(angle), 50 * np.sin(angle), 1.0), 3.0, 2.0)
    steps = np.hypot(np.diff(path.rho_nm), np.diff(path.t_nm))
    np.testing.assert_allclose(steps[3:-3], 3, rtol=0.06)
    np.testing.assert_allclose(np.hypot(path.rho_nm, path.t_nm)[3:-3], 50, atol=0.3)
