from dataclasses import replace

import numpy as np
import pytest

from asem.measure.frame import Frame
from asem.measure.pores.rim_fit import RimFit, fit_rim, radius_variance, rim_evidence
from asem.measure.pores.rim_kernels import (
    E_1,
    E_2,
    GREY,
    GREYS,
    RADIUS,
    evaluate_points,
    rim_equations,
)

TRUE = RimFit(
    Frame.from_normal(np.array([10.0, 20.0, 30.0]), np.array([1.0, 2.0, -1.0])),
    curvature=np.array([1, 0.2, -0.5]) / 400,
    radius=40.0,
    ellipse=np.array([1.0, -2.0]),
    h=13.0,
    sigma=4.5,
    stain=7.0,
    grey=np.array([150.0, -70, 10, -15, 5, -10, -20, -10, 0]),
)


@pytest.fixture(scope="module")
def voxels():
    """World positions around the rim, plane by plane but else random, and their grey values."""
    rng = np.random.default_rng(0)
    local = rng.uniform([-105, -105, -45], [105, 105, 45], (16000, 3))
    points = TRUE.frame.to_world(local)
    points[:, 0] = 5 * np.rint(points[:, 0] / 5)
    points = points[np.argsort(points[:, 0])]
    return points, evaluate_points(TRUE.to_local(points), TRUE.shape, TRUE.tables)


def test_the_equations_contain_the_gradient_of_the_squares(voxels):
    points, values = voxels
    local, tables, shape = TRUE.to_local(points), TRUE.tables, TRUE.shape
    shape[4:6] += [0.5, 0.8]
    vector = rim_equations(local, values, shape, tables, np.inf)[1]
    indices = [(E_1, 4), (E_2, 5), *((GREY + k, 7 + k) for k in range(GREYS))]
    for parameter, place in indices:
        step = 0.01 * (np.arange(len(shape)) == place)
        more, less = (
            rim_equations(local, values, changed, tables, np.inf)[3]
            for changed in (shape + step, shape - step)
        )
        assert vector[parameter] == pytest.approx(-(more - less) / 0.04, rel=0.02, abs=20)


def test_a_fit_from_another_pose_finds_the_parameters(voxels):
    start = replace(
        TRUE,
        frame=Frame.from_normal(
            TRUE.frame.origin_nm + np.array([3.0, -2.0, 3.0]),
            TRUE.frame.normal + np.array([0.05, 0, 0.03]),
        ),
        curvature=np.zeros(3),
        radius=44.0,
        ellipse=np.zeros(2),
        h=15.0,
        sigma=5.0,
        grey=np.zeros(GREYS),
    )
    fit = fit_rim(start, *voxels, 70.0)
    np.testing.assert_allclose(fit.frame.origin_nm, TRUE.frame.origin_nm, atol=0.1)
    np.testing.assert_allclose(fit.frame.normal, TRUE.frame.normal, atol=0.002)
    assert fit.radius == pytest.approx(40, abs=0.1)
    assert fit.h == pytest.approx(13, abs=0.1)
    assert np.hypot(*fit.ellipse) == pytest.approx(np.sqrt(5), abs=0.15)
    gain, significance = rim_evidence(fit, *voxels)
    assert gain > 0.01
    assert significance > 1000


def test_voxels_that_share_errors_do_not_reduce_the_variance_from_groups(voxels):
    points, values = voxels
    values = values + 10 * np.random.default_rng(1).standard_normal(len(values))
    ratios = []
    for copies in (1, 4):
        near = np.repeat(points, copies, axis=0), np.repeat(values, copies)
        fit = fit_rim(TRUE, *near, 70.0)
        ratios.append(radius_variance(fit, *near, 70.0) / fit.covariance[RADIUS, RADIUS])
    assert 0.8 < ratios[0] < 4  # the sum of planes and cubes
    assert ratios[1] == pytest.approx(4 * ratios[0], rel=0.2)
