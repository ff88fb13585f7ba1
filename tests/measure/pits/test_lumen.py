"""The outline from the border of the lumen, and necks narrower than blur."""

import numpy as np
import pytest
from scipy import ndimage

from asem.measure.pits.half_plane import Grid
from asem.measure.pits.lengths import fit_membrane, measure_lengths
from asem.measure.pits.lumen import find_outline, ring_radius
from asem.measure.pits.outline import trace_outline
from pits import HalfPlane, Stain, cap, sphere_on_stalk


def blurred_plane(half_plane, look):
    """The half plane of a blurred solid of revolution, in units of its membrane.

    Blur is that of the solid: Gaussian along the axis, and over the sections across it.
    """
    bulb, reach = half_plane.pit.bulb_depth_nm, half_plane.reach_nm
    step = 2.0
    grid = Grid.of_reach(-76.0, 110.0, 120.0, step)
    line = np.arange(-130.0, 130.1, step)
    rho = np.hypot(*np.meshgrid(line, line))
    depth = (bulb - grid.t_nm)[:, None, None]
    places = np.broadcast_arrays(depth + reach, rho)
    distance = ndimage.map_coordinates(half_plane.distance, places, order=1, mode="nearest")
    dark = ndimage.gaussian_filter(look.darkness(distance, 0.0), look.blur_nm / step)
    row = len(line) // 2
    plane = dark[:, row, row : row + len(grid.rho_nm)]
    return plane / np.percentile(plane[:, -20:], 99), grid


def outline_of(half_plane, look):
    plane, grid = blurred_plane(half_plane, look)
    path = trace_outline(plane, grid, 0.0, -13.0)
    return find_outline(plane, grid, path, half_plane.pit.half_width_nm)


@pytest.mark.parametrize("pit", [cap(44.0, 74.0, 6.0), cap(55.0, 40.0, 8.0)])
def test_the_outline_of_a_resolved_lumen(pit):
    half_plane, look = HalfPlane(pit, 180.0), Stain()
    truth = half_plane.lengths(look)
    outline = outline_of(half_plane, look)
    assert not 2 * outline.ring_nm < truth.neck_nm
    found = measure_lengths(outline.path, fit_membrane(outline.path))
    assert found.height_nm == pytest.approx(truth.height_nm, abs=2)
    assert found.width_nm == pytest.approx(truth.width_nm, abs=2)
    assert found.neck_nm == pytest.approx(truth.neck_nm, abs=3)
    assert found.is_open == truth.is_open


@pytest.mark.parametrize(("stalk", "blur"), [(7.0, 3.0), (7.0, 5.0), (10.0, 5.0)])
def test_the_ring_of_a_neck_that_is_narrower_than_blur(stalk, blur):
    half_plane = HalfPlane(sphere_on_stalk(42.0, stalk, 14.0, 6.0), 180.0)
    outline = outline_of(half_plane, Stain(blur_nm=blur))
    assert 2 * outline.ring_nm == pytest.approx(2 * stalk, abs=4.5)
    depth = half_plane.pit.bulb_depth_nm - outline.ring_t_nm
    assert 2 < depth < 16


@pytest.mark.parametrize(("radius", "tau"), [(8.0, 6.0), (12.0, 6.0), (15.0, 7.0)])
def test_the_radius_of_a_blurred_ring(radius, tau):
    """Darkness on the axis of a long tube, blurred in its section, relative to a flat membrane."""
    line = np.arange(-60, 60.1, 0.5)
    circle = np.exp(-((np.hypot(*np.meshgrid(line, line)) - radius) ** 2) / (2 * 1.0**2))
    blurred = ndimage.gaussian_filter(circle, np.sqrt(tau**2 - 1) / 0.5)
    flat = ndimage.gaussian_filter1d(np.exp(-(line**2) / 2), np.sqrt(tau**2 - 1) / 0.5)
    share = blurred[len(line) // 2, len(line) // 2] / flat.max()
    assert ring_radius(share, tau) == pytest.approx(radius, abs=0.5)


def test_there_is_no_outline_without_a_lumen():
    grid = Grid.of_reach(-76.0, 110.0, 120.0, 2.0)
    plane = np.exp(-(np.hypot(*np.meshgrid(grid.t_nm, grid.rho_nm, indexing="ij")) ** 2) / 800)
    path = trace_outline(plane, grid, 0.0, -13.0)
    assert find_outline(plane, grid, path, 42.0) is None
