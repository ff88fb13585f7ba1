"""Analytic images of a flat plasma membrane with pits and vesicles below it, and of an endosome.

::

    ~~~~~~~~~     ~~~~~~~~   plasma membrane, z = 0
            |     |          neck: a cylinder
           (   o   )         bulb: a sphere around a centre, its radius to the membrane
             ~~~~~

The membrane is where the distance d from the border of the cytosol is 0; d > 0 in the cytosol. A
coat is in the first nanometres of the cytosol at a bulb. All lengths in nm, axes (z, y, x).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

CYTOSOL, OUTSIDE, DARK = 150.0, 165.0, 60.0
ROUNDING_NM = 6.0
"""Of the edge where neck and membrane meet."""
COAT_NM = 20.0
MASK_NM = 14.0
"""From the membrane of an object to the border of its mask."""


@dataclass(frozen=True)
class Bulb:
    """A bulb: centre, radius, width of the neck (0: a vesicle), direction of the neck, coat."""

    centre_nm: tuple[float, float, float]
    radius_nm: float
    neck_nm: float = 0.0
    coat: float = 0.6
    """Its darkness, as a part of that of a membrane."""
    out: float = -1.0
    """Along z, from the bulb to the membrane."""


@dataclass(frozen=True)
class Endosome:
    """A sphere of membrane that is not the plasma membrane."""

    centre_nm: tuple[float, float, float]
    radius_nm: float


def join(first, second):
    """Return the distance from the union of two bodies, with a rounded edge."""
    near = np.clip(ROUNDING_NM - np.abs(first - second), 0, None) / ROUNDING_NM
    return np.minimum(first, second) - near**2 * ROUNDING_NM / 4


def sphere(points, centre_nm, radius_nm):
    return np.linalg.norm(points - np.array(centre_nm, np.float32), axis=-1) - radius_nm


def body(points, one):
    """Return the distance from a bulb and its neck, which is 200 nm long at most."""
    bulb = sphere(points, one.centre_nm, one.radius_nm)
    if one.neck_nm == 0:
        return bulb
    z, y, x = np.moveaxis(points - np.array(one.centre_nm, np.float32), -1, 0)
    across = np.hypot(y, x) - one.neck_nm / 2
    along = one.out * z
    tube = np.maximum(across, np.maximum(-along, along - 100))
    return join(bulb, tube)


def render_cell(shape, voxel_size, origin_nm, bulbs, endosomes=(), *, noise=5.0, rng=None):
    """Return the image, the ids of the masks (1, 2, ... of the bulbs) and the plasma membrane.

    Returns
    -------
    image
        float32, (z, y, x).
    ids
        uint8.
    membrane
        Signed distance from the plasma membrane, positive in the cell, float32.
    """
    axes = [o + s * np.arange(n) for o, s, n in zip(origin_nm, voxel_size, shape, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1, dtype=np.float32)
    depth = points[..., 0]
    distance = depth.copy()
    for one in endosomes:
        distance = np.minimum(distance, sphere(points, one.centre_nm, one.radius_nm))
    bodies = [body(points, one) for one in bulbs]
    for one in bodies:
        distance = join(distance, one)
    dark = np.exp(-((distance / 6) ** 2))
    ids = np.zeros(shape, np.uint8)
    for n, (one, own) in enumerate(zip(bulbs, bodies, strict=True), 1):
        at_bulb = sphere(points, one.centre_nm, one.radius_nm)
        beside = np.clip((COAT_NM - distance) / 4, 0, 1) * (distance > 0) * (at_bulb < COAT_NM)
        dark = np.maximum(dark, one.coat * beside)
        ids[(at_bulb < MASK_NM) & (own < MASK_NM) & (depth > 0)] = n
    image = np.where(distance > 0, CYTOSOL, OUTSIDE)
    image = image + (DARK - image) * dark
    image = ndimage.gaussian_filter(image, 3 / np.array(voxel_size))
    rng = np.random.default_rng(0) if rng is None else rng
    image = ndimage.gaussian_filter(image + rng.normal(0, noise * 2, shape), 0.5)
    return image.astype(np.float32), ids, depth
