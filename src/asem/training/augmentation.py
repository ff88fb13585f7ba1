"""Random augmentation parameters of a training patch: a spatial and an intensity transform.

`asem.training.spatial_cpu` and `asem.training.intensity_cpu` apply them on the CPU,
`asem.training.transforms_torch` on any device.
"""

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.training.config import AugmentConfig
from asem.training.random_fields import MAX_SIGMAS, NodeField, draw_smooth_field
from asem.volume.roi import per_axis

MAX_ROTATION_ANISOTROPY = 1.5
"""Two axes are rotated into each other where their voxel sizes differ by at most this factor."""
RIGHT_ANGLE = math.pi / 2


@dataclass(frozen=True)
class SpatialTransform:
    """Source position of each voxel of a patch.

    ::

        source(i) = centre + matrix (i - (shape - 1) / 2) + displacement(i) + shifts_z[i_z] + ...

    Parameters
    ----------
    shape
        Voxels of the patch.
    matrix
        Shape (3, 3): rotation, scale, mirrors and transposes, from patch to source voxels.
    displacement
        Three channels: elastic displacement in source voxels.
    slice_shifts
        One array (voxels along the axis, 3) for each axis of the patch: displacement of whole
        planes, in source voxels.
    """

    shape: tuple[int, int, int]
    matrix: npt.NDArray[np.float64]
    displacement: NodeField
    slice_shifts: tuple[npt.NDArray[np.float32], ...]

    def source_half_extent(self, shape: tuple[int, int, int]) -> npt.NDArray[np.float64]:
        """Return the largest distance, along each axis, of source positions from the centre.

        Parameters
        ----------
        shape
            Voxels of the central part of the patch that is considered.
        """
        half = (np.array(shape) - 1) / 2
        extent: npt.NDArray[np.float64] = np.abs(self.matrix) @ half
        extent += np.abs(self.displacement).max((1, 2, 3))
        for shift in self.slice_shifts:
            extent += np.abs(shift).max(0)
        return extent


@dataclass(frozen=True)
class IntensityTransform:
    """Change of grey values in [0, 1], in this order.

    ::

        blur;  v = mean + (v - mean) scale (1 + drift_0) + shift + drift_1, clipped;
        v = v ** gamma;  v = v + noise, clipped

    Parameters
    ----------
    blur
        Standard deviation along each axis, patch voxels.
    scale, shift, gamma
        Contrast factor, brightness offset, exponent.
    drift
        Two channels, a gain and an offset that vary slowly in space.
    noise
        Standard deviation of the noise.
    seed
        Seed of the noise.
    """

    blur: NmZYX
    scale: float
    shift: float
    drift: NodeField
    gamma: float
    noise: float
    seed: int


def draw_spatial_transform(
    config: AugmentConfig,
    shape: tuple[int, int, int],
    *,
    voxel_size: NmZYX,
    rng: np.random.Generator,
) -> SpatialTransform:
    """Draw a spatial transform (paper, Table S8: transpose, mirror, rotate, elastic, slice shift).

    Rotation and elastic deformation are computed in nm, also for anisotropic voxels.

    Parameters
    ----------
    config
        Probabilities and amplitudes.
    shape
        Voxels of the patch.
    voxel_size
        nm; only axes of equal voxel size are exchanged, only similar ones rotated.
    rng
        Random generator; a call draws the same number of values for all settings.
    """
    sizes = np.array(voxel_size)
    matrix = _draw_orientation(config, voxel_size, rng)
    if (choice := rng.random()) < config.rotate_p:
        axis, angle = draw_rotation(voxel_size, choice / config.rotate_p, rng.random())
        matrix = matrix @ _to_voxel_units(rotation_matrix(axis, angle), sizes)
    else:
        rng.random()
    matrix = matrix / (1 + config.scale * rng.uniform(-1, 1))
    is_elastic, child = rng.random() < config.elastic_p, _spawn_generator(rng)
    sigma = config.elastic_sigma_nm * is_elastic / sizes
    field = draw_smooth_field(shape, config.elastic_spacing_nm / sizes, 3, rng=child)
    return SpatialTransform(
        shape,
        matrix,
        field * sigma[:, None, None, None].astype(np.float32),
        _draw_slice_shifts(config, shape, matrix, voxel_size=sizes, rng=_spawn_generator(rng)),
    )


def draw_intensity_transform(
    config: AugmentConfig,
    shape: tuple[int, int, int],
    *,
    voxel_size: NmZYX,
    rng: np.random.Generator,
) -> IntensityTransform:
    """Draw an intensity transform (paper, Table S8: scale and shift about the patch's mean).

    Parameters
    ----------
    config, shape, voxel_size, rng
        As for `draw_spatial_transform`.
    """
    scale, shift, gamma = rng.uniform(-1, 1, 3)
    applied = rng.random(4) < config.intensity_p
    blur_nm, noise = rng.random(2) * applied[:2] * (config.blur_nm, config.noise)
    sizes = np.array(voxel_size)
    drift = draw_smooth_field(shape, config.drift_nm / sizes, 2, rng=_spawn_generator(rng))
    return IntensityTransform(
        blur=per_axis(lambda size: float(blur_nm / size), voxel_size),
        scale=float(1 + config.contrast * scale),
        shift=float(config.brightness * shift),
        drift=drift * np.float32(config.drift * applied[2]),
        gamma=float((1 + config.gamma) ** (gamma * applied[3])),
        noise=float(noise),
        seed=int(rng.integers(2**62)),
    )


def max_source_half_extent(
    config: AugmentConfig, patch: int, voxel_size: NmZYX
) -> tuple[int, int, int]:
    """Return the largest possible distance of source voxels from a patch's centre, in voxels.

    Examples
    --------
    >>> max_source_half_extent(AugmentConfig.disabled(), 204, (5, 5, 5))
    (102, 102, 102)
    >>> max_source_half_extent(AugmentConfig(), 204, (5, 5, 5))
    (164, 164, 164)
    """
    sizes = np.array(voxel_size)
    shift_nm = MAX_SIGMAS * config.shift_nm * (config.shift_p > 0)
    elastic_nm = MAX_SIGMAS * config.elastic_sigma_nm * (config.elastic_p > 0)
    diagonal = math.sqrt(2) if config.rotate_p else 1.0
    stretch = max(_rotation_axes(voxel_size).values(), default=1.0)
    half = (patch / 2 + shift_nm / sizes.min()) * diagonal / (1 - config.scale)
    extent = half * (stretch if config.rotate_p else 1.0) + elastic_nm / sizes
    return per_axis(int, np.ceil(extent))


def _rotation_axes(voxel_size: NmZYX) -> dict[int, float]:
    """Map each allowed rotation axis to the ratio of the two others' voxel sizes."""
    ratios = {}
    for axis in range(3):
        a, b = (size for other, size in enumerate(voxel_size) if other != axis)
        if max(a, b) <= MAX_ROTATION_ANISOTROPY * min(a, b):
            ratios[axis] = max(a, b) / min(a, b)
    return ratios


def _draw_orientation(
    config: AugmentConfig, voxel_size: NmZYX, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draw a signed permutation: mirrors, and an exchange of axes of equal voxel size."""
    orders = [
        order
        for order in permutations(range(3))
        if all(voxel_size[new] == voxel_size[old] for new, old in enumerate(order))
    ]
    order = orders[int(rng.integers(len(orders)))]
    signs = rng.integers(2, size=3) * 2.0 - 1
    matrix = np.eye(3)
    if config.transpose:
        matrix = matrix[list(order)]
    return matrix * signs if config.mirror else matrix


def draw_rotation(
    voxel_size: NmZYX, axis_uniform: float, angle_uniform: float
) -> tuple[int, float]:
    """Choose an axis whose two others have similar voxel sizes, and an angle of 0 to 90 degrees.

    Returns
    -------
    axis
        0, 1 or 2.
    angle
        Radians; 0 where no two voxel sizes are similar.
    """
    allowed = list(_rotation_axes(voxel_size))
    if not allowed:
        return 0, 0.0
    return allowed[int(axis_uniform * len(allowed))], angle_uniform * RIGHT_ANGLE


def rotation_matrix(axis: int, angle: float) -> npt.NDArray[np.float64]:
    """Return the rotation about `axis` that turns the other axes (a, b), in order, from a to b."""
    a, b = (other for other in range(3) if other != axis)
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = math.cos(angle)
    matrix[b, a] = math.sin(angle)
    matrix[a, b] = -math.sin(angle)
    return matrix


def _to_voxel_units(
    matrix: npt.NDArray[np.float64], voxel_size: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Convert a matrix in nm to one in voxels."""
    out: npt.NDArray[np.float64] = matrix * voxel_size / voxel_size[:, None]
    return out


def _draw_slice_shifts(
    config: AugmentConfig,
    shape: tuple[int, int, int],
    matrix: npt.NDArray[np.float64],
    *,
    voxel_size: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float32], ...]:
    """Draw planes along one random axis at which they and all later planes shift in the plane.

    `matrix` maps patch voxels to source voxels.
    """
    shifts = tuple(np.zeros((size, 3), np.float32) for size in shape)
    axis = int(rng.integers(3))
    shifting = rng.random(shape[axis]) < config.shift_p
    steps_nm = rng.uniform(-1, 1, (shape[axis], 3)) * config.shift_nm * shifting[:, None]
    steps_nm[:, axis] = 0
    total_nm = np.cumsum(steps_nm, axis=0)
    total_nm -= total_nm[shape[axis] // 2]
    limit_nm = MAX_SIGMAS * config.shift_nm
    shifts[axis][:] = (np.clip(total_nm, -limit_nm, limit_nm) / voxel_size) @ matrix.T
    return shifts


def _spawn_generator(rng: np.random.Generator) -> np.random.Generator:
    """Return a separate generator for draws whose number depends on the settings."""
    return np.random.default_rng(int(rng.integers(2**62)))
