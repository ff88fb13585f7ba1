"""Analytic images of pits, caveolae and vesicles, and their true lengths.

A pit is a solid of revolution. In the half plane of the distance rho from its axis and the depth u
below the membrane, its lumen is the union of the extracellular space, an ellipsoid and a stalk.
Edges of the cytosol are rounded: with the distance D from the lumen, the membrane is at a distance
of r from the line D = r (the opening of the cytosol by a disk of radius r)::

      extracellular space
    ---------.   .---------  membrane, u = 0
              ) (            rounded edges; stalk
             /   \
            (     )          ellipsoid
             `---'

All lengths in nm, axes (z, y, x). Grey values: 160 in the cytosol, membranes darker by `contrast`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import find_contours

from asem.measure.pits.bulb import Bulb, find_bulb
from asem.measure.pits.half_plane import Image
from asem.measure.pits.pose import PitPose, find_pose
from pores import basis, box_around, project, random_direction, render, stain

CYTOSOL = 160.0
NECK_START_NM = 8.0
REACH_NM = 320.0
"""Extent of a half plane in both directions, for a patch of any size."""
FAR_NM = 60.0
"""Largest distance from a membrane that is computed."""
SHARP_NM = 0.5
"""Radius of an edge that is not rounded."""
RIBOSOME_RADIUS_NM = 11.0
RIBOSOMES_PER_NM3 = 4e-6
FREE_NM = 32.0
"""Distance of ribosomes from membranes."""


@dataclass(frozen=True)
class Stain:
    """What the microscope and the stain do; `coat` and `ribosomes` are parts of `contrast`."""

    thickness_nm: float = 9.0
    gaussian: bool = False
    """A Gaussian profile of full width at half maximum `thickness_nm`, else a box."""
    contrast: float = 80.0
    lumen: float = 10.0
    """Grey value of lumen and extracellular space above that of the cytosol."""
    coat: float = 0.0
    coat_nm: float = 22.0
    """Distance from the middle of the membrane to where the coat ends."""
    coat_start_nm: float = 12.0
    """Depth in a pit from which on it has a coat."""
    ribosomes: float = 0.0
    blur_nm: float = 4.0
    noise: float = 12.0

    def darkness(self, distance: np.ndarray, coated: np.ndarray | float) -> np.ndarray:
        """Return contrast at signed distances from a membrane, positive in the cytosol."""
        coat = self.coat * coated * np.clip((self.coat_nm - distance) / 4, 0, 1) * (distance > 0)
        membrane = stain(distance, self)
        return membrane + (1 - membrane) * coat

    @property
    def darkest_nm(self) -> float:
        """Distance of the darkest line from the middle of a flat membrane with a full coat."""
        distance = np.arange(-60, 60, 0.05)
        grey = np.where(distance < 0, self.lumen / self.contrast, 0.0)
        dark = self.darkness(distance, 1.0)
        profile = ndimage.gaussian_filter1d(dark - grey * (1 - dark), self.blur_nm / 0.05)
        return float(distance[np.argmax(profile)])


@dataclass(frozen=True)
class Lengths:
    """True lengths of a pit; `eccentricity` is that of its ellipsoid."""

    height_nm: float
    width_nm: float
    neck_nm: float
    is_open: bool
    eccentricity: float


@dataclass(frozen=True)
class Pit:
    """An ellipsoid of revolution, `height_nm` deep, and a stalk of radius `stalk_nm` (0: none)."""

    half_width_nm: float
    half_height_nm: float
    height_nm: float
    stalk_nm: float = 0.0
    rim_nm: float = 6.0
    """Radius of rounded edges."""
    curvature_nm: float = np.inf
    """Radius of the membrane, whose centre is in the cytosol, or outside if negative."""

    @property
    def bulb_depth_nm(self) -> float:
        """Depth of the centre of the ellipsoid."""
        return self.height_nm - self.half_height_nm


def sphere_on_stalk(
    radius_nm: float, stalk_nm: float, length_nm: float, rim_nm: float = 6.0
) -> Pit:
    """A sphere on a stalk, from the plane to where its wall meets the sphere."""
    height = length_nm + np.sqrt(radius_nm**2 - stalk_nm**2) + radius_nm
    return Pit(radius_nm, radius_nm, height, stalk_nm, rim_nm)


def cap(radius_nm: float, height_nm: float, rim_nm: float = SHARP_NM) -> Pit:
    """A part of a sphere of a height below two radii: open up to one radius, then an omega."""
    return Pit(radius_nm, radius_nm, height_nm, 0.0, rim_nm)


def caveola(rng: np.random.Generator) -> Pit:
    """A flask about 61 nm deep and 81 nm wide."""
    half_height = rng.uniform(22, 26)
    height = 2 * half_height + rng.uniform(8, 16)
    return Pit(rng.uniform(38, 44), half_height, height, rng.uniform(12, 17), rng.uniform(4, 7))


class HalfPlane:
    """Signed distance to the membrane of a pit, positive in the cytosol, in steps of 1 nm.

    Rows are depths from -`reach_nm`, columns radii.
    """

    def __init__(self, pit: Pit, reach_nm: float = REACH_NM):
        self.pit, self.reach_nm = pit, reach_nm
        depth = np.arange(-reach_nm, reach_nm + 1)
        self.depth, self.rho = np.meshgrid(depth, np.arange(reach_nm + 1), indexing="ij")
        sharp = self._distance(self._wall())
        sharp[self._is_lumen()] *= -1
        line = np.concatenate(find_contours(sharp, pit.rim_nm)) - [self.reach_nm, 0]
        line = np.concatenate([line, line * [1, -1]])
        away = self._distance(densify(line))
        self.distance = pit.rim_nm + np.where(sharp > pit.rim_nm, away, -away)

    def _distance(self, line: np.ndarray) -> np.ndarray:
        """Distance from points of a line, up to `FAR_NM`."""
        points = np.stack([self.depth.ravel(), self.rho.ravel()], axis=1)
        away = cKDTree(line).query(points, distance_upper_bound=FAR_NM)[0]
        return np.minimum(away, FAR_NM).reshape(self.depth.shape)

    def surface_depth(self, depth: np.ndarray, rho: np.ndarray) -> np.ndarray:
        """Distance below the membrane without the pit."""
        radius = self.pit.curvature_nm
        if np.isinf(radius):
            return depth
        return np.sign(radius) * (abs(radius) - np.hypot(depth - radius, rho))

    def _is_lumen(self) -> np.ndarray:
        pit = self.pit
        along = (self.depth - pit.bulb_depth_nm) / pit.half_height_nm
        bulb = np.hypot(self.rho / pit.half_width_nm, along) < 1
        stalk = (self.rho < pit.stalk_nm) & (self.depth < pit.bulb_depth_nm)
        return (self.surface_depth(self.depth, self.rho) < 0) | bulb | stalk

    def _wall(self) -> np.ndarray:
        """Points (depth, rho) of the borders of ellipsoid, stalk and extracellular space."""
        pit = self.pit
        angle = np.linspace(0, 2 * np.pi, 4000)
        parts = [
            (
                pit.bulb_depth_nm + pit.half_height_nm * np.cos(angle),
                pit.half_width_nm * np.sin(angle),
            )
        ]
        far = self.reach_nm + FAR_NM
        rho = np.arange(-far, far, 0.2)
        radius = pit.curvature_nm
        if np.isinf(radius):
            parts.append((np.zeros_like(rho), rho))
        else:
            angle = rho / abs(radius)
            parts.append((radius * (1 - np.cos(angle)), abs(radius) * np.sin(angle)))
        if pit.stalk_nm:
            depth = np.arange(0, pit.bulb_depth_nm, 0.2)
            parts += [(depth, np.full_like(depth, side * pit.stalk_nm)) for side in (-1, 1)]
        return np.concatenate([np.stack(part, axis=1) for part in parts])

    def coated(self, depth: np.ndarray, look: Stain) -> np.ndarray:
        """Part of the full coat at depths of the axis."""
        return np.clip((depth - look.coat_start_nm) / 8, 0, 1)

    def outline(self, look: Stain) -> np.ndarray:
        """The darkest line (depth, rho), from the membrane far away to the axis, (n, 2)."""
        shift = look.darkest_nm if look.coat else 0.0
        moved = self.distance - shift * self.coated(self.depth, look)
        line = max(find_contours(moved, 0), key=len)
        line = line[::-1] if line[0, 1] < line[-1, 1] else line
        return densify(line - [self.reach_nm, 0])

    def lengths(self, look: Stain) -> Lengths:
        """True lengths of the darkest line."""
        depth, rho = self.outline(look).T
        depth = self.surface_depth(depth, rho)
        height = float(depth[-1])
        inside = rho[np.flatnonzero(depth < NECK_START_NM)[-1] + 1 :]
        width = 2 * rho[np.flatnonzero(depth < height / 2)[-1]]
        neck = 2 * inside[: np.argmax(inside) + 1].min()
        shift = look.darkest_nm if look.coat else 0.0
        axes = np.array([self.pit.half_width_nm, self.pit.half_height_nm]) + shift
        is_open = bool(2 * inside.max() < neck + 0.5)
        ratio = float(axes.max() / axes.min())
        return Lengths(height, float(width), float(neck), is_open, ratio)


def densify(line: np.ndarray) -> np.ndarray:
    """Points on a line in steps of 0.2 nm; jumps of more than 3 nm are kept."""
    ahead = np.diff(line, axis=0)
    ahead[np.linalg.norm(ahead, axis=1) > 3] = 0
    share = np.linspace(0, 1, 6)[:-1, None, None]
    points = np.moveaxis(line[:-1] + share * ahead, 0, 1).reshape(-1, 2)
    return np.concatenate([points, line[-1:]])


@dataclass(frozen=True)
class Vesicle:
    """An ellipsoid: `half_axes_nm` along the rows of `vectors`.

    Its membrane is `gap_nm` below a plane membrane across `outward`; inf: there is none.
    """

    half_axes_nm: np.ndarray
    vectors: np.ndarray
    gap_nm: float = np.inf

    def distance(self, offset: np.ndarray) -> np.ndarray:
        """Signed distance from the wall at offsets from the centre, near it; positive outside."""
        axes = np.asarray(self.half_axes_nm, float)
        scaled = project(offset, (self.vectors / axes[:, None]).T)
        k = np.linalg.norm(scaled, axis=-1)
        slope = np.linalg.norm(scaled / axes.astype(scaled.dtype), axis=-1)
        return np.where(k > 0, k * (k - 1) / np.maximum(slope, 1e-9), -axes.min())

    def top(self, direction: np.ndarray) -> float:
        """Distance from the centre to the plane that touches the ellipsoid in a direction."""
        return float(np.linalg.norm(self.half_axes_nm * (self.vectors @ direction)))


@dataclass(frozen=True)
class Rendering:
    """An image of one object; `outward` is its axis, or across the membrane near a vesicle.

    `start_nm` is the centre of its bulb or of a vesicle, with an error as that of a mask.
    """

    patch: np.ndarray
    origin_nm: np.ndarray
    voxel_size: tuple[float, float, float]
    centre_nm: np.ndarray
    outward: np.ndarray
    start_nm: np.ndarray

    def darkness(self) -> Image:
        """The image without scale, as `find_bulb` reads it."""
        return Image(-self.patch, self.origin_nm, np.array(self.voxel_size))

    def scaled(self, centre_nm: np.ndarray, within_nm: float = 130.0) -> Image:
        """The image in units of membranes: 0 and 1 are its percentiles 25 and 96 near a centre."""
        axes = [
            (self.origin_nm[i] + np.arange(n) * self.voxel_size[i] - centre_nm[i]) ** 2
            for i, n in enumerate(self.patch.shape)
        ]
        z, y, x = np.ix_(*axes)
        near = -self.patch[z + y + x < within_nm**2]
        low, high = np.percentile(near, [25, 96])
        values = ((-self.patch - low) / (high - low)).astype(np.float32)
        return Image(values, self.origin_nm, np.array(self.voxel_size))


Layers = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From points to signed distances to the nearest membrane, and to their part of the coat."""


def pit_layers(half_plane: HalfPlane, pole_nm: np.ndarray, outward: np.ndarray, look: Stain):
    """Layers of a pit whose axis passes through the membrane at `pole_nm`."""
    axes = np.stack([*basis(outward), -outward], axis=1)

    def layers(points):
        a, b, depth = np.moveaxis(project(points - pole_nm.astype(points.dtype), axes), -1, 0)
        places = [depth + half_plane.reach_nm, np.hypot(a, b)]
        plane = half_plane.distance.astype(np.float32)
        distance = ndimage.map_coordinates(plane, places, order=1, mode="nearest")
        return distance, half_plane.coated(depth, look)

    return layers


def vesicle_layers(vesicle: Vesicle, centre_nm: np.ndarray, outward: np.ndarray):
    """Layers of a vesicle and of the membrane above it."""

    def layers(points):
        offset = points - centre_nm.astype(points.dtype)
        wall = vesicle.distance(offset)
        if np.isinf(vesicle.gap_nm):
            return wall, np.ones_like(wall)
        above = vesicle.top(outward) + vesicle.gap_nm
        plane = above - project(offset, outward[:, None])[..., 0]
        return np.minimum(wall, plane), (wall < plane).astype(np.float32)

    return layers


def layers_image(layers: Layers, look: Stain, rng: np.random.Generator):
    """Grey values before blur, as a function of points and their distances."""

    def image(points, step):
        distance, coated = layers(points)
        values = CYTOSOL + look.lumen * np.clip(0.5 - distance / 2, 0, 1)
        if look.ribosomes:
            values -= look.contrast * look.ribosomes * dots(points, step, distance, rng)
        dark = look.darkness(distance, coated)
        return values * (1 - dark) + (CYTOSOL - look.contrast) * dark

    return image


def dots(points, step, distance, rng):
    """Spheres in the cytosol at random, 0 or 1."""
    shape = points.shape[:-1]
    count = rng.poisson(RIBOSOMES_PER_NM3 * np.prod(shape) * np.prod(step))
    place = np.stack([rng.integers(0, n, count) for n in shape], axis=1)
    place = place[distance[tuple(place.T)] > FREE_NM]
    seeds = np.ones(shape, bool)
    seeds[tuple(place.T)] = False
    reach = np.ceil(RIBOSOME_RADIUS_NM / step).astype(int)
    ball = [np.arange(-n, n + 1) * step[i] for i, n in enumerate(reach)]
    z, y, x = np.ix_(*ball)
    offsets = np.argwhere(z**2 + y**2 + x**2 < RIBOSOME_RADIUS_NM**2) - reach
    values = np.zeros(shape, np.float32)
    voxels = (place[:, None] + offsets).reshape(-1, 3)
    voxels = voxels[((voxels >= 0) & (voxels < shape)).all(axis=1)]
    values[tuple(voxels.T)] = 1
    return values


def render_pit(
    rng,
    pit: Pit | HalfPlane,
    *,
    look: Stain | None = None,
    voxel_size=(5.0, 5.0, 5.0),
    outward=None,
    reach_nm=175.0,
    shift_nm=8.0,
) -> Rendering:
    """A pit in a random pose, or along `outward`."""
    half_plane = pit if isinstance(pit, HalfPlane) else HalfPlane(pit)
    look = look or Stain()
    outward = random_direction(rng) if outward is None else np.asarray(outward, float)
    centre = rng.uniform(-500, 500, 3)
    pole = centre + half_plane.pit.bulb_depth_nm * outward
    layers = pit_layers(half_plane, pole, outward, look)
    return _render(rng, layers, centre, outward, look, voxel_size, reach_nm, shift_nm)


def render_vesicle(
    rng,
    vesicle: Vesicle,
    *,
    look: Stain | None = None,
    voxel_size=(5.0, 5.0, 5.0),
    outward=None,
    reach_nm=175.0,
    shift_nm=8.0,
) -> Rendering:
    """A vesicle below a membrane across a random direction, or `outward`."""
    look = look or Stain()
    outward = random_direction(rng) if outward is None else np.asarray(outward, float)
    centre = rng.uniform(-500, 500, 3)
    layers = vesicle_layers(vesicle, centre, outward)
    return _render(rng, layers, centre, outward, look, voxel_size, reach_nm, shift_nm)


def _render(rng, layers, centre, outward, look, voxel_size, reach_nm, shift_nm):
    start = centre + shift_nm * rng.random() ** (1 / 3) * random_direction(rng)
    origin, shape = box_around(start, reach_nm, voxel_size, rng)
    patch = render(layers_image(layers, look, rng), shape, voxel_size, origin, look, rng)
    return Rendering(patch, origin, tuple(voxel_size), centre, outward, start)


def with_noise(rendering: Rendering, noise: float, rng: np.random.Generator) -> Rendering:
    """The same with noise added."""
    shape = rendering.patch.shape
    return replace(
        rendering, patch=rendering.patch + noise * rng.standard_normal(shape, np.float32)
    )


def locate(rendering: Rendering) -> tuple[Bulb, Image, PitPose]:
    """Bulb, the image in units of membranes, and pose, from the start with its error."""
    bulb = find_bulb(rendering.darkness(), rendering.start_nm)
    image = rendering.scaled(bulb.centre_nm)
    return bulb, image, find_pose(image, bulb, rendering.start_nm)


def random_vectors(rng) -> np.ndarray:
    """Three unit vectors across each other, rows, (3, 3)."""
    direction = random_direction(rng)
    return np.stack([*basis(direction), direction])
