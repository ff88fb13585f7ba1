import numpy as np
import pytest

from asem.measure.frame import Frame
from asem.measure.pores.half_lines import full_weight, measure_half_lines, scatter_variance
from asem.measure.pores.rim_fit import RimFit
from asem.measure.pores.rim_kernels import ANGLE_SD


def test_the_weight_of_a_half_line_in_a_full_image():
    axes = np.arange(-92.0, 93, 4), np.arange(-92.0, 93, 4), np.arange(-22.0, 23, 4)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    fit = RimFit(Frame(np.zeros(3), np.eye(3)), radius=45.0, noise=1.0)
    weights = measure_half_lines(fit, points, np.zeros(len(points)), 1.0)[1] * 4**3
    np.testing.assert_allclose(weights, full_weight(45.0), rtol=0.05)


def test_the_scatter_of_radii_gives_the_variance_of_their_mean():
    rng = np.random.default_rng(0)
    angles = np.arange(36) * np.pi / 18
    away = (angles[:, None] - angles + np.pi) % (2 * np.pi) - np.pi
    smoothing = np.exp(-((away / ANGLE_SD) ** 2) / 2)
    smoothing /= smoothing.sum(axis=1, keepdims=True)
    radii = rng.standard_normal((400, 36)) @ smoothing.T
    found = np.mean([scatter_variance(one) for one in radii])
    assert found == pytest.approx(1 / 36, rel=0.1)
    shape = 45 + 2 * np.cos(angles - 1) + 3 * np.cos(2 * angles)
    assert scatter_variance(radii[0] + shape) == pytest.approx(scatter_variance(radii[0]))
    partial = np.where(np.arange(36) % 9 == 0, np.nan, radii)
    found = np.mean([scatter_variance(one) for one in partial])
    assert found == pytest.approx(1 / 36, rel=0.3)
