import numpy as np
import pytest

from asem.phantom.random_values import hash_position, lattice_noise, normal, uniform


@pytest.fixture(scope="module")
def bits():
    return [np.uint64(hash_position(5, *index)) for index in np.ndindex(20, 20, 40)]


def test_bits_differ_between_positions_and_seeds(bits):
    assert len(set(bits)) == len(bits)
    assert hash_position(6, 1, 2, 3) != hash_position(5, 1, 2, 3)
    assert hash_position(5, -1, 0, 0) != hash_position(5, 1, 0, 0)


def test_uniform_values_fill_the_unit_interval_evenly(bits):
    counts, _ = np.histogram([uniform(b) for b in bits], 8, (0, 1))
    assert counts.sum() == len(bits)
    assert np.abs(counts / len(bits) - 1 / 8).max() < 0.01


def test_normal_values_have_mean_0_and_variance_1_and_neighbours_are_independent(bits):
    values = np.array([normal(b) for b in bits]).reshape(20, 20, 40)
    assert abs(values.mean()) < 0.03
    assert values.std() == pytest.approx(1, abs=0.02)
    assert np.abs(values).max() < 3.47
    for axis in range(3):
        steps = np.swapaxes(values, 0, axis)
        assert abs(np.mean(steps[1:] * steps[:-1])) < 0.05


def test_lattice_noise_is_continuous_across_lattice_points():
    for place in np.random.default_rng(0).uniform(-3, 3, (50, 3)).round(1):
        here = lattice_noise(9, *place)
        assert abs(here) <= 1
        for axis in range(3):
            step = np.zeros(3)
            step[axis] = 1e-4
            assert lattice_noise(9, *(place - step)) == pytest.approx(here, abs=1e-3)


def test_lattice_noise_is_that_of_the_hash_at_lattice_points():
    for point in ((0, 0, 0), (-2, 5, 1), (7, -7, 3)):
        drawn = 2 * uniform(np.uint64(hash_position(9, *point))) - 1
        assert lattice_noise(9, *map(float, point)) == pytest.approx(drawn, abs=1e-6)
