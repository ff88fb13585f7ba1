"""Analytic images that several tests measure: rendered and located once."""

from dataclasses import dataclass

import numpy as np
import pytest

from asem.measure.pits.bulb import Bulb
from asem.measure.pits.half_plane import Image
from asem.measure.pits.pose import PitPose
from pits import HalfPlane, Rendering, Stain, Vesicle, locate, render_pit, render_vesicle
from pits import sphere_on_stalk as make_sphere_on_stalk

REACH_NM, HALF_PLANE_NM = 150.0, 220.0
COATED = Stain(coat=0.45, noise=8.0)
BARE = Stain(noise=8.0)


@dataclass(frozen=True)
class Located:
    """An image of a pit or vesicle, what is in it, and where it is found."""

    shape: HalfPlane | Vesicle
    look: Stain
    rendering: Rendering
    bulb: Bulb
    image: Image
    pose: PitPose


def located(shape, look, rendering):
    return Located(shape, look, rendering, *locate(rendering))


@pytest.fixture(scope="session")
def stalk_pit():
    """A coated sphere of radius 42 nm on a stalk of radius 15 nm; 5 nm voxels."""
    rng = np.random.default_rng(1)
    shape = HalfPlane(make_sphere_on_stalk(42.0, 15.0, 12.0), HALF_PLANE_NM)
    return located(shape, COATED, render_pit(rng, shape, look=COATED, reach_nm=REACH_NM))


@pytest.fixture(scope="session")
def turned_pit(stalk_pit):
    """The same, in another direction, in voxels of 5.2 x 4 x 4 nm."""
    rng = np.random.default_rng(2)
    u = stalk_pit.rendering.outward
    image = render_pit(
        rng,
        stalk_pit.shape,
        look=COATED,
        voxel_size=(5.2, 4.0, 4.0),
        outward=-np.roll(u, 1),
        reach_nm=REACH_NM,
    )
    return located(stalk_pit.shape, COATED, image)


@pytest.fixture(scope="session")
def near_vesicle():
    """An ellipsoid without coat, its wall 40 nm below a membrane."""
    rng = np.random.default_rng(3)
    a, b, c = 1 / np.sqrt(3), 1 / np.sqrt(2), 1 / np.sqrt(6)
    vectors = np.array([[a, a, a], [b, -b, 0], [c, c, -2 * c]])
    shape = Vesicle(np.array([45.0, 37.0, 33.0]), vectors, 40.0)
    return located(shape, BARE, render_vesicle(rng, shape, look=BARE, reach_nm=REACH_NM))
