"""What may happen to a training patch at random, drawn before anything is computed.

One patch takes one `Warp`, where each of its voxels comes from, and one `Tone`, what happens to
its grey values. `asem.training.warp` and `asem.training.tone` apply them on the processor,
`asem.training.on_device` on any device.
"""

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from asem.config import Nm3
from asem.model.config import AugmentConfig
from asem.training.fields import SIGMAS, Field, smooth_field

SIMILAR = 1.5
"""Axes whose voxel sizes differ by a smaller factor are rotated into each other."""
RIGHT_ANGLE = math.pi / 2


@dataclass(frozen=True)
class Warp:
    """Where the voxels of a patch come from.

    ::

        source(i) = centre + matrix (i - (shape - 1) / 2) + field(i) + shifts_z[i_z] + ...

    Parameters
    ----------
    shape
        Voxels of the patch.
    matrix
        Shape (3, 3): rotation, scale, mirrors and transposes, from patch to source voxels.
    field
        Three channels: elastic displacement in source voxels.
    shifts
        Per axis of the patch an array (voxels along it, 3): displacement of whole planes, in source
        voxels.
    """

    shape: tuple[int, int, int]
    matrix: npt.NDArray[np.float64]
    field: Field
    shifts: tuple[npt.NDArray[np.float32], ...]

    def half_extent(self, shape: tuple[int, int, int]) -> npt.NDArray[np.float64]:
        """Return how far from the centre the source of the middle of a patch lies at most.

        Parameters
        ----------
        shape
            Of the middle.
        """
        half = (np.array(shape) - 1) / 2
        extent: npt.NDArray[np.float64] = np.abs(self.matrix) @ half
        extent += np.abs(self.field).max((1, 2, 3))
        for shift in self.shifts:
            extent += np.abs(shift).max(0)
        return extent


@dataclass(frozen=True)
class Tone:
    """What happens to grey values in [0, 1], in this order.

    ::

        blur;  v = mean + (v - mean) scale (1 + drift_0) + shift + drift_1, clipped;
        v = v ** gamma;  v = v + noise, clipped

    Parameters
    ----------
    blur
        Standard deviation along each axis, patch voxels.
    scale, shift, gamma
        Numbers.
    drift
        Two channels, a gain and an offset that vary slowly in space.
    noise
        Standard deviation.
    seed
        Of the noise.
    """

    blur: Nm3
    scale: float
    shift: float
    drift: Field
    gamma: float
    noise: float
    seed: int


def draw_warp(
    config: AugmentConfig,
    shape: tuple[int, int, int],
    *,
    voxel_size: Nm3,
    rng: np.random.Generator,
) -> Warp:
    """Draw a warp (paper, Table S8: transposes, mirrors, rotation, elastic, slice shift).

    Rotation and elastic deformation are those of a rigid or soft body in nm, whatever the voxels.

    Parameters
    ----------
    config
        What may happen and by how much.
    shape
        Voxels of the patch.
    voxel_size
        nm; only axes of equal voxel size are exchanged, only similar ones rotated.
    rng
        Where chance comes from; one call takes the same number of values whatever the settings.
    """
    sizes = np.array(voxel_size)
    matrix = _orientation(config, voxel_size, rng)
    if (choice := rng.random()) < config.rotate_p:
        axis, angle = draw_rotation(voxel_size, choice / config.rotate_p, rng.random())
        matrix = matrix @ _in_voxels(rotation(axis, angle), sizes)
    else:
        rng.random()
    matrix = matrix / (1 + config.scale * rng.uniform(-1, 1))
    bends, child = rng.random() < config.elastic_p, _child(rng)
    sigma = config.elastic_sigma_nm * bends / sizes
    field = smooth_field(shape, config.elastic_spacing_nm / sizes, 3, rng=child)
    return Warp(
        shape,
        matrix,
        field * sigma[:, None, None, None].astype(np.float32),
        _shifts(config, shape, matrix, voxel_size=sizes, rng=_child(rng)),
    )


def draw_tone(
    config: AugmentConfig,
    shape: tuple[int, int, int],
    *,
    voxel_size: Nm3,
    rng: np.random.Generator,
) -> Tone:
    """Draw a change of grey values (paper, Table S8: scale and shift about the patch's mean).

    Parameters
    ----------
    config, shape, voxel_size, rng
        As `draw_warp` takes them.
    """
    scale, shift, gamma = rng.uniform(-1, 1, 3)
    happens = rng.random(4) < config.intensity_p
    blur_nm, noise = rng.random(2) * happens[:2] * (config.blur_nm, config.noise)
    sizes = np.array(voxel_size)
    drift = smooth_field(shape, config.drift_nm / sizes, 2, rng=_child(rng))
    z, y, x = (float(blur_nm / size) for size in voxel_size)
    return Tone(
        blur=(z, y, x),
        scale=float(1 + config.contrast * scale),
        shift=float(config.brightness * shift),
        drift=drift * np.float32(config.drift * happens[2]),
        gamma=float((1 + config.gamma) ** (gamma * happens[3])),
        noise=float(noise),
        seed=int(rng.integers(2**62)),
    )


def reach_of(config: AugmentConfig, patch: int, voxel_size: Nm3) -> tuple[int, int, int]:
    """Return how far from the centre of a patch its voxels may come from, voxels along each axis.

    Examples
    --------
    >>> off = AugmentConfig.off()
    >>> reach_of(off, 204, (5, 5, 5)), reach_of(AugmentConfig(), 204, (5, 5, 5))
    ((102, 102, 102), (164, 164, 164))
    """
    sizes = np.array(voxel_size)
    shift_nm = SIGMAS * config.shift_nm * (config.shift_p > 0)
    bend_nm = SIGMAS * config.elastic_sigma_nm * (config.elastic_p > 0)
    largest = math.sqrt(2) if config.rotate_p else 1.0
    stretch = max(_turned(voxel_size).values(), default=1.0)
    half = (patch / 2 + shift_nm / sizes.min()) * largest / (1 - config.scale)
    z, y, x = np.ceil(half * (stretch if config.rotate_p else 1.0) + bend_nm / sizes).astype(int)
    return int(z), int(y), int(x)


def _turned(voxel_size: Nm3) -> dict[int, float]:
    """Return the axes that are rotated about: the ratio of the two others' voxel sizes."""
    turned = {}
    for axis in range(3):
        a, b = (size for other, size in enumerate(voxel_size) if other != axis)
        if max(a, b) <= SIMILAR * min(a, b):
            turned[axis] = max(a, b) / min(a, b)
    return turned


def _orientation(
    config: AugmentConfig, voxel_size: Nm3, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draw mirrors and an exchange of axes of equal voxel size: a signed permutation."""
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


def draw_rotation(voxel_size: Nm3, axis_chance: float, angle_chance: float) -> tuple[int, float]:
    """Choose an axis whose two others have similar voxel sizes, and an angle of 0 to 90 degrees.

    Returns
    -------
    axis
        0, 1 or 2.
    angle
        Radians; 0 where no two voxel sizes are similar.
    """
    allowed = list(_turned(voxel_size))
    if not allowed:
        return 0, 0.0
    return allowed[int(axis_chance * len(allowed))], angle_chance * RIGHT_ANGLE


def rotation(axis: int, angle: float) -> npt.NDArray[np.float64]:
    """Return the matrix that turns the two other axes (a, b), in their order, from a towards b."""
    a, b = (other for other in range(3) if other != axis)
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = math.cos(angle)
    matrix[b, a] = math.sin(angle)
    matrix[a, b] = -math.sin(angle)
    return matrix


def _in_voxels(
    matrix: npt.NDArray[np.float64], voxel_size: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Turn a matrix of nm into one of voxels."""
    out: npt.NDArray[np.float64] = matrix * voxel_size / voxel_size[:, None]
    return out


def _shifts(
    config: AugmentConfig,
    shape: tuple[int, int, int],
    matrix: npt.NDArray[np.float64],
    *,
    voxel_size: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float32], ...]:
    """Draw planes, along one axis of the patch, from which on everything is shifted in the plane.

    `matrix` takes the patch's voxels to the source's.
    """
    shifts = tuple(np.zeros((size, 3), np.float32) for size in shape)
    axis = int(rng.integers(3))
    shifting = rng.random(shape[axis]) < config.shift_p
    steps_nm = rng.uniform(-1, 1, (shape[axis], 3)) * config.shift_nm * shifting[:, None]
    steps_nm[:, axis] = 0
    total_nm = np.cumsum(steps_nm, axis=0)
    total_nm -= total_nm[shape[axis] // 2]
    limit_nm = SIGMAS * config.shift_nm
    shifts[axis][:] = (np.clip(total_nm, -limit_nm, limit_nm) / voxel_size) @ matrix.T
    return shifts


def _child(rng: np.random.Generator) -> np.random.Generator:
    """Return a generator of its own for draws whose number depends on settings."""
    return np.random.default_rng(int(rng.integers(2**62)))
