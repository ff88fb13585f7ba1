"""Endocytic or secretory: distances from the points of a membrane."""

import numpy as np
from scipy.spatial import cKDTree

from asem.measure.pits.location import locate
from asem.measure.pits.membrane_points import MembranePoints


def locate_one(x, *, is_pit, last_x=np.inf):
    """Locate an object x nm along x, 300 nm below a membrane of which labels end at `last_x`."""
    line = np.arange(0.0, min(last_x, 2000) + 1, 10)
    points = np.stack([np.zeros_like(line), np.zeros_like(line), line], axis=1)
    ends = np.array([[-np.inf] * 3, [np.inf, np.inf, last_x]])
    membrane = MembranePoints(points, cKDTree(points), ends)
    place = np.full((1, 3, 3), [300.0, 0.0, x])
    found = locate(
        membrane,
        is_pit=np.array([is_pit]),
        ring_nm=place if is_pit else np.full_like(place, np.nan),
        surface_nm=place,
        direction=np.array([[1.0, 0, 0]]),
        long_axis=np.array([[0.0, 0, 1]]),
    )
    return bool(found.is_endocytic[0]), bool(found.is_known[0]), float(found.distance_nm[0])


def test_a_vesicle_is_located_where_the_membrane_is_known_around_it():
    assert locate_one(500, is_pit=False) == (True, True, 300)
    assert locate_one(500, is_pit=False, last_x=800) == (True, True, 300)
    is_endocytic, is_known, distance = locate_one(500, is_pit=False, last_x=790)
    assert (is_endocytic, is_known) == (True, False)
    assert np.isnan(distance)
    assert not locate_one(500, is_pit=False, last_x=100)[1]


def test_an_inner_pit_is_located_where_the_membrane_is_known_within_40_nm():
    assert locate_one(500, is_pit=True, last_x=540) == (False, True, 300)
    assert not locate_one(500, is_pit=True, last_x=539)[1]
    assert not locate_one(500, is_pit=True, last_x=400)[1]
