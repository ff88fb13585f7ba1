"""Lengths of exact outlines."""

import numpy as np
import pytest

from asem.measure.pits.lengths import Membrane, fit_membrane, measure_lengths
from asem.measure.pits.outline import Line

FLAT = Membrane(0.0, 0.0)


def line_to_axis(*parts):
    """An outline of parts (rho, t), points 1.5 nm apart, from far away to the axis."""
    rho, t = (np.concatenate(values) for values in zip(*parts, strict=True))
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(rho), np.diff(t)))])
    places = np.linspace(0, length[-1], int(length[-1] / 1.5))
    return Line(np.interp(places, length, rho), np.interp(places, length, t), 0.0)


def arc(radius, centre, start):
    """A part of a circle around the axis from an angle above its middle down to the axis."""
    angle = np.linspace(start, -np.pi / 2, 400)
    return radius * np.cos(angle), centre + radius * np.sin(angle)


def plane(radius):
    return np.array([140.0, radius]), np.zeros(2)


def cap_line(radius, height):
    centre = radius - height
    return line_to_axis(
        plane(np.sqrt(radius**2 - centre**2)),
        arc(radius, centre, -1.0 * np.arcsin(centre / radius)),
    )


def stalk_line(radius, stalk, length):
    half = np.sqrt(radius**2 - stalk**2)
    walls = np.full(2, stalk), np.array([0.0, -length])
    return line_to_axis(plane(stalk), walls, arc(radius, -length - half, np.arccos(stalk / radius)))


def test_an_open_cap():
    found = measure_lengths(cap_line(50.0, 36.0), FLAT)
    assert found.height_nm == pytest.approx(36, abs=0.3)
    assert found.width_nm == pytest.approx(2 * np.sqrt(50**2 - 32**2), abs=0.5)
    assert found.neck_nm == pytest.approx(2 * np.sqrt(50**2 - 22**2), abs=0.5)
    assert found.is_open


def test_more_than_half_a_sphere():
    found = measure_lengths(cap_line(45.0, 80.0), FLAT)
    assert found.height_nm == pytest.approx(80, abs=0.3)
    assert found.width_nm == pytest.approx(2 * np.sqrt(45**2 - 5**2), abs=0.5)
    assert found.neck_nm == pytest.approx(2 * np.sqrt(45**2 - 27**2), abs=0.8)
    assert not found.is_open
    assert found.across_nm == pytest.approx(90, abs=0.5)
    assert found.along_nm == pytest.approx(90, abs=0.5)
    assert found.centre_t_nm == pytest.approx(-35, abs=0.5)


def test_a_sphere_on_a_stalk():
    found = measure_lengths(stalk_line(40.0, 11.0, 25.0), FLAT)
    height = 65 + np.sqrt(40**2 - 11**2)
    assert found.height_nm == pytest.approx(height, abs=0.3)
    assert found.width_nm == pytest.approx(2 * np.sqrt(40**2 - (40 - height / 2) ** 2), abs=0.6)
    assert found.neck_nm == pytest.approx(22, abs=0.1)
    assert not found.is_open
    assert found.across_nm == pytest.approx(80, abs=1.5)
    assert found.along_nm == pytest.approx(80, abs=1.5)


def test_the_ellipse_is_that_of_the_bulb():
    angle = np.linspace(1.2, -np.pi / 2, 300)
    oval = 48 * np.cos(angle), -50 + 36 * np.sin(angle)
    rho = 48 * np.cos(1.2)
    wall = np.full(2, rho), np.array([0.0, -50 + 36 * np.sin(1.2)])
    found = measure_lengths(line_to_axis(plane(rho), wall, oval), FLAT)
    assert found.across_nm == pytest.approx(96, abs=0.7)
    assert found.along_nm == pytest.approx(72, abs=0.7)
    assert found.centre_t_nm == pytest.approx(-50, abs=0.5)


@pytest.mark.parametrize("rise", [0.0, 13.0, -40.0])
def test_depth_is_from_the_height_of_the_membrane(rise):
    flat = stalk_line(40.0, 11.0, 25.0)
    moved = Line(flat.rho_nm, flat.t_nm + rise, 0.0)
    membrane = fit_membrane(moved)
    assert membrane.height_nm == pytest.approx(rise, abs=0.1)
    assert membrane.curvature == pytest.approx(0, abs=1e-4)
    found, other = measure_lengths(moved, membrane), measure_lengths(flat, FLAT)
    assert found.height_nm == pytest.approx(other.height_nm, abs=0.2)


@pytest.mark.parametrize("radius", [150.0, 400.0, -400.0])
def test_a_membrane_that_is_a_circle(radius):
    """Its centre is above the pit if the radius is positive: the membrane rises from the axis."""
    flat = stalk_line(40.0, 11.0, 25.0)
    rho = flat.rho_nm
    bend = radius - np.sign(radius) * np.sqrt(radius**2 - rho**2)
    on_plane = flat.t_nm > -1e-9
    line = Line(rho, np.where(on_plane, bend, flat.t_nm), 0.0)
    membrane = fit_membrane(line)
    assert membrane.curvature == pytest.approx(1 / radius, rel=0.02)
    assert membrane.height_nm == pytest.approx(0, abs=0.2)
    depth = membrane.depth(
        np.array([0.0, 60.0]),
        np.array([-20.0, radius - np.sign(radius) * np.sqrt(radius**2 - 60**2)]),
    )
    np.testing.assert_allclose(depth, [20, 0], atol=0.2)
    found = measure_lengths(line, membrane)
    assert found.height_nm == pytest.approx(65 + np.sqrt(40**2 - 11**2), abs=0.5)
    assert found.neck_nm == pytest.approx(22, abs=0.3)


def test_a_membrane_without_a_pit_has_no_lengths():
    rho = np.linspace(140, 0, 90)
    assert measure_lengths(Line(rho, np.zeros(90), 0.0), FLAT) is None
    assert measure_lengths(Line(rho, -5 * np.exp(-(rho**2) / 800), 0.0), FLAT) is None


def test_a_tube_without_a_lumen_has_no_lengths():
    def tube(radius):
        rho = np.array([120.0, radius, radius, 0])
        return line_to_axis((rho, np.array([0.0, 0, -200, -200])))

    assert measure_lengths(tube(4.0), FLAT) is None
    assert measure_lengths(tube(14.0), FLAT).width_nm == pytest.approx(28, abs=1)
