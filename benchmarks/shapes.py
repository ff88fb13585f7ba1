"""Shapes of known volume, surface and length of the centreline, as masks in any orientation.

::

    rng = np.random.default_rng(0)
    mask = rasterize(Torus(150.0, 40.0), (5.2, 4.0, 4.0), *random_pose(rng, (5.2, 4.0, 4.0)))

Lengths are nm. Bodies are centred at the origin; the axis of those that have one is z.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation
from scipy.special import elliprg

Points = npt.NDArray[np.float64]
"""Shape (..., 3), nm along (z, y, x)."""
Triple = tuple[float, float, float]


class Shape(Protocol):
    """A body around the origin."""

    @property
    def volume_nm3(self) -> float:
        """Volume."""

    @property
    def surface_nm2(self) -> float:
        """Area of the surface, with edges."""

    @property
    def length_nm(self) -> float:
        """Length of the centreline from end to end of the body; closed for a torus."""

    @property
    def half_extent_nm(self) -> Triple:
        """Half of the edges of the bounding box along (z, y, x)."""

    def contains(self, points: Points) -> npt.NDArray[np.bool_]:
        """Return whether each point is inside, (...)."""


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid with three semi-axes along (z, y, x).

    The surface is 4 pi R_G(a^2 b^2, a^2 c^2, b^2 c^2) with Carlson's integral R_G (NIST DLMF
    19.33.2).
    """

    semi_axes_nm: Triple

    @property
    def volume_nm3(self) -> float:
        """Volume."""
        return 4 / 3 * math.pi * math.prod(self.semi_axes_nm)

    @property
    def surface_nm2(self) -> float:
        """Area of the surface."""
        a, b, c = (axis**2 for axis in self.semi_axes_nm)
        return float(4 * math.pi * elliprg(a * b, a * c, b * c))

    @property
    def length_nm(self) -> float:
        """Length of the longest axis."""
        return 2 * max(self.semi_axes_nm)

    @property
    def half_extent_nm(self) -> Triple:
        """Half of the edges of the bounding box."""
        return self.semi_axes_nm

    def contains(self, points: Points) -> npt.NDArray[np.bool_]:
        """Return whether each point is inside."""
        return np.asarray(((points / self.semi_axes_nm) ** 2).sum(-1) <= 1)


def sphere(radius_nm: float) -> Ellipsoid:
    """Return a sphere."""
    return Ellipsoid((radius_nm, radius_nm, radius_nm))


@dataclass(frozen=True)
class Torus:
    """A torus: `tube_nm` is the radius of the tube, `ring_nm` that of its centreline."""

    ring_nm: float
    tube_nm: float

    @property
    def volume_nm3(self) -> float:
        """Volume."""
        return 2 * math.pi**2 * self.ring_nm * self.tube_nm**2

    @property
    def surface_nm2(self) -> float:
        """Area of the surface."""
        return 4 * math.pi**2 * self.ring_nm * self.tube_nm

    @property
    def length_nm(self) -> float:
        """Length of the closed centreline."""
        return 2 * math.pi * self.ring_nm

    @property
    def half_extent_nm(self) -> Triple:
        """Half of the edges of the bounding box."""
        return (self.tube_nm, self.ring_nm + self.tube_nm, self.ring_nm + self.tube_nm)

    def contains(self, points: Points) -> npt.NDArray[np.bool_]:
        """Return whether each point is inside."""
        along = np.hypot(points[..., 1], points[..., 2]) - self.ring_nm
        return np.asarray(along**2 + points[..., 0] ** 2 <= self.tube_nm**2)


@dataclass(frozen=True)
class Cylinder:
    """A cylinder with flat ends: a disc where it is short."""

    radius_nm: float
    length_nm: float

    @property
    def volume_nm3(self) -> float:
        """Volume."""
        return math.pi * self.radius_nm**2 * self.length_nm

    @property
    def surface_nm2(self) -> float:
        """Area of the side and of both ends."""
        return 2 * math.pi * self.radius_nm * (self.radius_nm + self.length_nm)

    @property
    def half_extent_nm(self) -> Triple:
        """Half of the edges of the bounding box."""
        return (self.length_nm / 2, self.radius_nm, self.radius_nm)

    def contains(self, points: Points) -> npt.NDArray[np.bool_]:
        """Return whether each point is inside."""
        radial = np.hypot(points[..., 1], points[..., 2])
        return np.asarray((radial <= self.radius_nm) & (abs(points[..., 0]) <= self.length_nm / 2))


@dataclass(frozen=True)
class Capsule:
    """A cylinder with round ends: the points within `radius_nm` of a segment along z."""

    radius_nm: float
    segment_nm: float

    @property
    def volume_nm3(self) -> float:
        """Volume."""
        return math.pi * self.radius_nm**2 * (self.segment_nm + 4 / 3 * self.radius_nm)

    @property
    def surface_nm2(self) -> float:
        """Area of the surface."""
        return 2 * math.pi * self.radius_nm * (self.segment_nm + 2 * self.radius_nm)

    @property
    def length_nm(self) -> float:
        """Length from tip to tip."""
        return self.segment_nm + 2 * self.radius_nm

    @property
    def half_extent_nm(self) -> Triple:
        """Half of the edges of the bounding box."""
        return (self.length_nm / 2, self.radius_nm, self.radius_nm)

    def contains(self, points: Points) -> npt.NDArray[np.bool_]:
        """Return whether each point is inside."""
        beyond = np.maximum(abs(points[..., 0]) - self.segment_nm / 2, 0)
        squared = beyond**2 + points[..., 1] ** 2 + points[..., 2] ** 2
        return np.asarray(squared <= self.radius_nm**2)


@dataclass(frozen=True)
class Box:
    """A box with three edges along (z, y, x): a plate where one is short."""

    edges_nm: Triple

    @property
    def volume_nm3(self) -> float:
        """Volume."""
        return math.prod(self.edges_nm)

    @property
    def surface_nm2(self) -> float:
        """Area of the six faces."""
        a, b, c = self.edges_nm
        return 2 * (a * b + a * c + b * c)

    @property
    def length_nm(self) -> float:
        """Length of the longest edge."""
        return max(self.edges_nm)

    @property
    def half_extent_nm(self) -> Triple:
        """Half of the edges of the bounding box."""
        return (self.edges_nm[0] / 2, self.edges_nm[1] / 2, self.edges_nm[2] / 2)

    def contains(self, points: Points) -> npt.NDArray[np.bool_]:
        """Return whether each point is inside."""
        return np.asarray((abs(points) <= np.array(self.edges_nm) / 2).all(-1))


def random_pose(rng: np.random.Generator, voxel_size: Triple) -> tuple[Rotation, Triple]:
    """Return a uniform random rotation, and a shift of up to half a voxel along each axis."""
    shift = rng.uniform(-0.5, 0.5, 3) * voxel_size
    return Rotation.random(rng=rng), (float(shift[0]), float(shift[1]), float(shift[2]))


def rasterize(
    shape: Shape,
    voxel_size: Triple,
    rotation: Rotation | None = None,
    shift_nm: Triple = (0.0, 0.0, 0.0),
    *,
    margin: int = 4,
) -> npt.NDArray[np.bool_]:
    """Return the voxels whose centres are inside a body, with `margin` voxels of background.

    Parameters
    ----------
    shape
        The body.
    voxel_size
        nm along (z, y, x).
    rotation
        Of the body around its centre, acting on vectors (z, y, x); None: none.
    shift_nm
        From the centre of the array to that of the body.
    margin
        Minimum number of background voxels around the body.

    Returns
    -------
    mask
        Boolean; odd numbers of voxels, so that the centre of the array is that of a voxel.
    """
    turn = (rotation or Rotation.identity()).as_matrix()
    radii = abs(turn) @ np.array(shape.half_extent_nm)  # of the rotated box around the body
    counts = [
        int((radius + abs(shift)) / size) + 1 + margin
        for radius, shift, size in zip(radii, shift_nm, voxel_size, strict=True)
    ]
    axes = [
        np.arange(-n, n + 1) * size - shift
        for n, size, shift in zip(counts, voxel_size, shift_nm, strict=True)
    ]
    y, x = np.meshgrid(axes[1], axes[2], indexing="ij")
    mask = np.zeros(tuple(len(axis) for axis in axes), bool)
    for plane, z in zip(mask, axes[0], strict=True):  # by planes: limits memory
        plane[...] = shape.contains(np.stack([np.full_like(y, z), y, x], -1) @ turn)
    return mask
