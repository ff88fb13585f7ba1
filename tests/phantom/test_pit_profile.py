import numpy as np
import pytest

from asem.phantom.cell_geometry import Pit
from asem.phantom.pit_profile import measure_profile

ORIGIN, DOWN = np.zeros(3), np.array([1.0, 0.0, 0.0])


def pit(height, half_width, half_height, neck):
    return Pit(ORIGIN, DOWN, height, half_width, half_height, neck, coated=True)


def test_a_deep_pit_has_the_measures_of_its_parts():
    measures = measure_profile(pit(130, 50, 45, 15))
    assert measures.height_nm == pytest.approx(130, abs=0.2)
    assert measures.neck_nm == pytest.approx(30, abs=0.5)
    # The chord of the ellipse at half of the height: 65 nm deep, 20 nm above its centre.
    assert measures.width_nm == pytest.approx(100 * np.sqrt(1 - (20 / 45) ** 2), abs=1)
    assert not measures.is_open


def test_a_cap_is_open():
    """A spherical cap narrows downwards only: the neck is the width 8 nm below the membrane."""
    measures = measure_profile(pit(50, 55, 55, 0))
    assert measures.is_open
    assert measures.height_nm == pytest.approx(50, abs=0.2)
    assert measures.neck_nm > 2 * np.sqrt(55**2 - (8 + 5) ** 2)
    assert measures.width_nm == pytest.approx(2 * np.sqrt(55**2 - 30**2), abs=1)


def test_a_sunken_sphere_narrows_to_its_opening():
    measures = measure_profile(pit(85, 50, 50, 0))
    assert not measures.is_open
    assert measures.neck_nm < measures.width_nm


def test_depths_on_a_sphere_are_distances_from_it():
    """A bulb of 50 nm at the depth of 40 nm, in a sphere of 150 nm, by the law of cosines."""
    measures = measure_profile(pit(90, 50, 50, 0), 150.0)
    assert measures.height_nm == pytest.approx(90, abs=0.2)
    level, centre = 150 + 45, 150 + 40
    along = (level**2 + centre**2 - 50**2) / (2 * centre)
    assert measures.width_nm == pytest.approx(2 * np.sqrt(level**2 - along**2), abs=1)
