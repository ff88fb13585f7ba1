"""Analytic images of the nuclear envelope with pores, flat or spherical, and of what has none.

The membrane is where the signed distance d (negative in the lumen) is 0, with rho the distance from
the axis of a pore of radius R, s the signed distance to the middle surface, h half of the lumen::

    d = sqrt(max(0, R + h - rho)^2 + s^2) - h

All lengths in nm, axes (z, y, x). Grey values: 160 outside, membranes darker by `contrast`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

CYTOPLASM = 160.0
RIBOSOME_RADIUS_NM = 12.0


@dataclass(frozen=True)
class Pore:
    """A pore: the point on the middle surface where its axis passes, diameter 2 R."""

    centre_nm: np.ndarray
    diameter_nm: float = 90.0
    ellipticity: float = 0.0
    """(a - b) / (a + b) of the semi-axes of the rim."""


@dataclass(frozen=True)
class Envelope:
    """A plane through `point_nm`, or a sphere; `normal` (of the plane) points to the nucleus."""

    point_nm: np.ndarray = field(default_factory=lambda: np.zeros(3))
    normal: np.ndarray = field(default_factory=lambda: np.array([1.0, 0.0, 0.0]))
    radius_nm: float = np.inf
    """Of the sphere that touches the plane in `point_nm`; its centre is on the side of the nucleus,
    or of the cytoplasm if negative."""
    half_lumen_nm: float = 15.0

    @property
    def sphere_centre_nm(self) -> np.ndarray:
        return self.point_nm + self.radius_nm * self.normal

    def normal_at(self, point_nm: np.ndarray) -> np.ndarray:
        """Unit vector to the nucleus."""
        if np.isinf(self.radius_nm):
            return self.normal
        inward = (self.sphere_centre_nm - point_nm) * np.sign(self.radius_nm)
        return inward / np.linalg.norm(inward)

    def height(self, points: np.ndarray) -> np.ndarray:
        """Signed distance s to the middle surface, positive in the nucleus, (..., 3) -> (...)."""
        if np.isinf(self.radius_nm):
            return project(points - self.point_nm.astype(points.dtype), self.normal[:, None])[
                ..., 0
            ]
        offset = points - self.sphere_centre_nm.astype(points.dtype)
        distance = np.sqrt(np.einsum("...i,...i->...", offset, offset))
        return np.sign(self.radius_nm) * (abs(self.radius_nm) - distance)


@dataclass(frozen=True)
class Look:
    """What the microscope and the stain do; `plug` is a part of `contrast`."""

    thickness_nm: float = 10.0
    gaussian: bool = False
    """A Gaussian profile of full width at half maximum `thickness_nm`, else a box."""
    contrast: float = 80.0
    lumen: float = 10.0
    """Grey value of the lumen above that of the cytoplasm."""
    plug: float = 0.3
    plug_radius: float = 0.7
    """Of the plug, a cylinder with soft edges, as a part of R."""
    chromatin: float = 0.0
    """A part of `contrast`."""
    ribosomes: float = 0.0
    """A part of `contrast`."""
    blur_nm: float = 4.0
    noise: float = 12.0


def basis(normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors perpendicular to a unit vector and each other."""
    other = np.eye(3)[np.argmin(np.abs(normal))]
    u = np.cross(normal, other)
    u /= np.linalg.norm(u)
    return u, np.cross(normal, u)


def axis_distance(points: np.ndarray, pore: Pore, normal: np.ndarray) -> np.ndarray:
    """Distance rho from the axis, scaled so that an elliptical rim is at R."""
    axes = np.stack([*basis(normal), normal], axis=1)
    scale = np.array([1 + pore.ellipticity, 1 - pore.ellipticity, 1])
    a, b, along = np.moveaxis(
        project(points - pore.centre_nm.astype(points.dtype), axes / scale), -1, 0
    )
    return np.where(np.abs(along) < 200, np.hypot(a, b), np.inf)


def project(points: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Coordinates of points (..., 3) along the columns of (3, n), with the dtype of the points."""
    return (points.reshape(-1, 3) @ axes.astype(points.dtype)).reshape(*points.shape[:-1], -1)


def clumps(shape, step, size_nm, rng):
    """A smooth random field, mean 0, standard deviation 1."""
    coarse = [max(int(n * step[i] / size_nm) + 3, 4) for i, n in enumerate(shape)]
    grid = np.meshgrid(
        *[np.arange(n) * step[i] / size_nm + rng.random() for i, n in enumerate(shape)],
        indexing="ij",
        sparse=True,
    )
    values = ndimage.map_coordinates(
        rng.standard_normal(coarse), np.broadcast_arrays(*grid), order=2, mode="nearest"
    )
    return values / values.std()


def stain(distance, look):
    """The profile of a membrane, 0 to 1, at a distance from its middle."""
    if look.gaussian:
        return np.exp(-4 * np.log(2) * (distance / look.thickness_nm) ** 2)
    return np.clip((look.thickness_nm / 2 - np.abs(distance)) / 2 + 0.5, 0, 1)


def envelope_image(points, step, envelope, pores, look, rng):
    """Grey values before blur."""
    h = envelope.half_lumen_nm
    s = envelope.height(points)
    deficit, plug, spared = np.full(s.shape, -np.inf), np.zeros(s.shape), np.zeros(s.shape, bool)
    for pore in pores:
        radius = pore.diameter_nm / 2
        rho = axis_distance(points, pore, envelope.normal_at(pore.centre_nm))
        deficit = np.maximum(deficit, radius + h - rho)
        edge = np.clip((look.plug_radius * radius - rho) / 10 + 0.5, 0, 1)
        plug = np.maximum(plug, edge * np.clip((25 - np.abs(s)) / 10 + 0.5, 0, 1))
        spared |= rho < radius + 0.5 * np.maximum(s - h, 0)
    distance = np.hypot(np.maximum(deficit, 0), s) - h
    image = CYTOPLASM + look.lumen * np.clip(0.5 - distance / 2, 0, 1)
    if look.chromatin:
        dense = np.clip(clumps(s.shape, step, 60.0, rng) + 0.5, 0, 1)
        dense *= np.clip((s - h - look.thickness_nm / 2) / 5, 0, 1) * ~spared
        image -= look.contrast * look.chromatin * dense
    if look.ribosomes:
        field_ = clumps(s.shape, step, 2.5 * RIBOSOME_RADIUS_NM, rng)
        image -= look.contrast * look.ribosomes * np.clip(2 * field_ - 2, 0, 1) * (s < -h - 15)
    image -= look.contrast * look.plug * plug
    dark = stain(distance, look)
    return image * (1 - dark) + (CYTOPLASM - look.contrast) * dark


def render(
    image: Callable[[np.ndarray, np.ndarray], np.ndarray],
    shape: tuple[int, int, int],
    voxel_size: tuple[float, float, float],
    origin_nm: np.ndarray,
    look: Look,
    rng: np.random.Generator,
) -> np.ndarray:
    """Sample `image(points, step)` at 2 x 2 x 2 points a voxel, blur, add noise: float32."""
    step = np.array(voxel_size) / 2
    margin = int(np.ceil(3 * look.blur_nm / min(voxel_size)))
    axes = [
        origin_nm[i] + step[i] * (np.arange(2 * (n + 2 * margin)) - 2 * margin - 0.5)
        for i, n in enumerate(shape)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1, dtype=np.float32)
    fine = ndimage.gaussian_filter(image(points, step), look.blur_nm / step, truncate=3.5)
    n = [shape[i] + 2 * margin for i in range(3)]
    mean = fine.reshape(n[0], 2, n[1], 2, n[2], 2).mean(axis=(1, 3, 5))
    inner = tuple(slice(margin, margin + k) for k in shape)
    noise = look.noise * rng.standard_normal(shape)
    return (mean[inner] + noise).astype(np.float32)


def render_envelope(shape, voxel_size, origin_nm, envelope, pores, look, rng):
    """The image of an envelope with pores; `origin_nm` is the centre of the first voxel."""
    return render(
        lambda points, step: envelope_image(points, step, envelope, pores, look, rng),
        shape,
        voxel_size,
        np.asarray(origin_nm, float),
        look,
        rng,
    )


def random_direction(rng):
    vector = rng.standard_normal(3)
    return vector / np.linalg.norm(vector)


def tilted(normal, degrees, rng):
    """A unit vector at an angle to another one, in a random direction."""
    u, v = basis(normal)
    phi = 2 * np.pi * rng.random()
    angle = np.deg2rad(degrees)
    return np.cos(angle) * normal + np.sin(angle) * (np.cos(phi) * u + np.sin(phi) * v)


@dataclass(frozen=True)
class PoreImage:
    """The image of one pore, and a pose with errors, as from its mask."""

    patch: np.ndarray
    origin_nm: np.ndarray
    voxel_size: tuple[float, float, float]
    centre_nm: np.ndarray
    normal: np.ndarray
    diameter_nm: float
    start_centre_nm: np.ndarray
    start_normal: np.ndarray


def box_around(centre_nm, reach_nm, voxel_size, rng):
    """Origin and shape of a patch whose faces are `reach_nm` from a point, or a voxel more."""
    size = np.array(voxel_size)
    count = np.ceil(reach_nm / size).astype(int)
    return centre_nm - (count + rng.random(3) - 0.5) * size, tuple(int(n) for n in 2 * count + 1)


def place(rng, diameter_nm, voxel_size, reach_nm, shift_nm, tilt_degrees):
    """A random pose, a start with errors, and an image around the start that is not rendered."""
    normal, centre = random_direction(rng), rng.uniform(-500, 500, 3)
    start = centre + shift_nm * rng.random() ** (1 / 3) * random_direction(rng)
    start_normal = tilted(normal, tilt_degrees * np.sqrt(rng.random()), rng)
    origin, shape = box_around(start, reach_nm, voxel_size, rng)
    empty = np.empty(shape, np.float32)
    return PoreImage(empty, origin, voxel_size, centre, normal, diameter_nm, start, start_normal)


def render_pore(
    rng,
    *,
    diameter_nm=90.0,
    ellipticity=0.0,
    voxel_size=(5.0, 5.0, 5.0),
    look=None,
    radius_nm=np.inf,
    half_lumen_nm=15.0,
    reach_nm=160.0,
    shift_nm=15.0,
    tilt_degrees=12.0,
    pores=True,
    neighbour_nm=None,
):
    """One pore in a random pose; the start is off by at most `shift_nm` and `tilt_degrees`.

    Two others, of 90 nm, are on both sides at the distance `neighbour_nm`.
    """
    empty = place(rng, diameter_nm, voxel_size, reach_nm, shift_nm, tilt_degrees)
    centre, normal = empty.centre_nm, empty.normal
    envelope = Envelope(centre, normal, radius_nm, half_lumen_nm)
    one = [Pore(centre, diameter_nm, ellipticity)] if pores else []
    if neighbour_nm is not None:
        across = neighbour_nm * basis(normal)[0]
        one += [Pore(centre + across), Pore(centre - across)]
    shape, origin = empty.patch.shape, empty.origin_nm
    patch = render_envelope(shape, voxel_size, origin, envelope, one, look or Look(), rng)
    return replace(empty, patch=patch)


def render_false(kind, rng, *, voxel_size=(5.0, 5.0, 5.0), look=None, reach_nm=160.0):
    """An image without a pore: "flat", "cytoplasm", "noise", "tubule" or "vesicle"."""
    look = look or Look()
    if kind == "flat":
        return render_pore(rng, voxel_size=voxel_size, look=look, reach_nm=reach_nm, pores=False)
    empty = place(rng, np.nan, voxel_size, reach_nm, 15.0, 12.0)
    centre, axis = empty.centre_nm, empty.normal

    def image(points, step):
        values = np.full(points.shape[:-1], CYTOPLASM)
        offset = points - centre
        if kind == "tubule":
            distance = np.linalg.norm(np.cross(offset, axis), axis=-1) - 30
        elif kind == "vesicle":
            distance = np.linalg.norm(offset, axis=-1) - 45
        else:
            distance = np.full(values.shape, 1e3)
        if kind != "noise":
            dots = clumps(values.shape, step, 2.5 * RIBOSOME_RADIUS_NM, rng)
            values -= 0.6 * look.contrast * np.clip(2 * dots - 2, 0, 1) * (distance > 15)
        dark = stain(distance, look)
        return values * (1 - dark) + (CYTOPLASM - look.contrast) * dark

    patch = render(image, empty.patch.shape, voxel_size, empty.origin_nm, look, rng)
    return replace(empty, patch=patch)
