"""A simulated FIB-SEM: blur, shot noise, curtaining, drift and brightness of planes, 8 bits."""

from typing import Annotated

import numpy as np
import numpy.typing as npt
from numba import njit, prange
from pydantic import Field

from asem.config import Config, NmZYX
from asem.phantom.frame import Float32
from asem.phantom.random_values import hash_position, lattice_noise, normal, uniform

TRUNCATE = 3.0
"""Extent of the blur, standard deviations."""
DRIFT_CORRELATION = 0.7
"""Of the shifts of two neighbouring planes."""
STREAK_NM, STREAK_DEPTH_NM = 18.0, 60.0
"""Width of a curtaining streak along x, and its persistence along z; it runs along y."""


class MicroscopeConfig(Config):
    """Parameters of a microscope; grey values are those of 8-bit images."""

    white: float = 235.0
    """Grey value of resin."""
    contrast: float = 170.0
    """Grey values between resin and an electron density of 1."""
    blur_nm: float = 4.0
    """Standard deviation of the point spread."""
    noise_sd: float = 8.0
    """Standard deviation of the shot noise in resin; it grows with the root of the signal."""
    line_correlation: Annotated[float, Field(ge=0, le=0.5)] = 0.2
    """Correlation of the noise of neighbours along x, the direction of scanning."""
    curtaining: float = 3.0
    """Amplitude of streaks along y."""
    drift_sd_nm: float = 1.0
    """Standard deviation of the shift of a plane that registration leaves, along y and x."""
    brightness_sd: float = 1.0
    """Standard deviation of the brightness of a plane."""
    jump_probability: float = 0.004
    """Of a jump of the brightness between two planes."""
    jump: float = 7.0
    """Standard deviation of jumps, which decay within about 40 planes."""


MICROSCOPES = {
    "hpfs": MicroscopeConfig(white=240.0, contrast=185.0, noise_sd=6.5),
    "cf": MicroscopeConfig(white=225.0, contrast=175.0, noise_sd=11.0),
}
"""Presets for the two preparations."""


def plane_drift(planes: int, config: MicroscopeConfig, seed: int) -> npt.NDArray[np.float64]:
    """Return the shift of each plane along y and x, nm: correlated from plane to plane, (n, 2)."""
    rng = np.random.default_rng([seed, 1])
    steps = rng.normal(scale=config.drift_sd_nm, size=(planes, 2))
    drift, share = np.zeros((planes, 2)), np.sqrt(1 - DRIFT_CORRELATION**2)
    for plane in range(1, planes):
        drift[plane] = DRIFT_CORRELATION * drift[plane - 1] + share * steps[plane]
    return drift


def plane_brightness(planes: int, config: MicroscopeConfig, seed: int) -> Float32:
    """Return what is added to the grey values of each plane."""
    rng = np.random.default_rng([seed, 2])
    noise = rng.normal(scale=config.brightness_sd, size=planes)
    jumps = rng.normal(scale=config.jump, size=planes) * (
        rng.random(planes) < config.jump_probability
    )
    level = 0.0
    for plane in range(planes):
        level = 0.975 * level + jumps[plane]
        noise[plane] += level
    return noise.astype(np.float32)


def blur_halo(config: MicroscopeConfig, voxel_size: NmZYX) -> tuple[int, ...]:
    """Return the voxels around a block that its blur needs."""
    return tuple(int(TRUNCATE * config.blur_nm / size + 0.5) for size in voxel_size)


def expose(
    density: Float32,
    first_voxel: npt.NDArray[np.int64],
    voxel_size: NmZYX,
    config: MicroscopeConfig,
    brightness: Float32,
    seed: int,
) -> npt.NDArray[np.uint8]:
    """Return the image of a block.

    Parameters
    ----------
    density
        float32 electron density of the block and `blur_halo` voxels around it.
    first_voxel
        Index of the first voxel of the block, without halo, in the volume.
    voxel_size
        nm.
    config
        The microscope.
    brightness
        Of each plane of the volume.
    seed
        Of the noise.

    Returns
    -------
    ndarray
        uint8, without the halo.
    """
    blurred = gaussian_blur(density, config.blur_nm, voxel_size)
    nz, _, nx = blurred.shape
    image = np.empty(blurred.shape, np.uint8)
    planes = brightness[first_voxel[0] : first_voxel[0] + nz]
    grey = np.array(
        [config.white, config.contrast, config.noise_sd, *_line_weights(config.line_correlation)],
        np.float32,
    )
    size = np.array(voxel_size)
    streaks = np.empty((nz, nx), np.float32)
    _fill_streaks(streaks, first_voxel, size, np.float32(config.curtaining), np.uint64(seed + 1))
    streaks += planes[:, None]
    _digitize(image, blurred, first_voxel, grey, streaks, np.uint64(seed))
    return image


def _line_weights(correlation: float) -> tuple[float, float]:
    """Return weights of a voxel's noise and of its predecessor's that correlate neighbours."""
    before = (1 - np.sqrt(1 - 4 * correlation**2)) / 2 / correlation if correlation else 0.0
    scale = np.sqrt(1 + before**2)
    return float(1 / scale), float(before / scale)


def gaussian_blur(values: Float32, sigma_nm: float, voxel_size: NmZYX) -> Float32:
    """Return values blurred by a Gaussian, without the border of `TRUNCATE` standard deviations.

    Parameters
    ----------
    values
        float32, shape (z, y, x).
    sigma_nm
        Standard deviation; 0: no blur.
    voxel_size
        nm.

    Returns
    -------
    ndarray
        float32, smaller by ``int(TRUNCATE * sigma + 0.5)`` voxels at each end of an axis; equal to
        `scipy.ndimage.gaussian_filter` there.
    """
    kernels = [_half_kernel(sigma_nm / size) for size in voxel_size]
    inner = [n - 2 * (len(k) - 1) for n, k in zip(values.shape, kernels, strict=True)]
    blurred = np.empty(inner, np.float32)
    _blur(blurred, values, *kernels)
    return blurred


def _half_kernel(sigma: float) -> Float32:
    """Return the weights of a Gaussian at 0, 1, ... voxels from its centre."""
    radius = int(TRUNCATE * sigma + 0.5)
    if radius == 0:
        return np.ones(1, np.float32)
    weights = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    return np.asarray(weights / (2 * weights.sum() - weights[0]), np.float32)


@njit(cache=True, nogil=True, parallel=True)
def _blur(target, values, along_z, along_y, along_x):  # type: ignore[no-untyped-def]
    """Blur along the axes in turn, a plane at a time; kernels are symmetric halves."""
    radius = len(along_z) - 1
    for i in prange(len(target)):
        plane = along_z[0] * values[i + radius]
        for r in range(1, radius + 1):
            for j in range(plane.shape[0]):
                for k in range(plane.shape[1]):
                    ends = values[i + radius - r, j, k] + values[i + radius + r, j, k]
                    plane[j, k] += along_z[r] * ends
        _blur_plane(target[i], plane, along_y, along_x)


@njit(cache=True, nogil=True)
def _blur_plane(target, plane, along_y, along_x):  # type: ignore[no-untyped-def]
    """Blur a plane along y, then each of its rows along x."""
    ry, rx = len(along_y) - 1, len(along_x) - 1
    for j in range(target.shape[0]):
        row = along_y[0] * plane[j + ry]
        for r in range(1, ry + 1):
            for k in range(len(row)):
                row[k] += along_y[r] * (plane[j + ry - r, k] + plane[j + ry + r, k])
        for k in range(target.shape[1]):
            target[j, k] = along_x[0] * row[k + rx]
        for r in range(1, rx + 1):
            for k in range(target.shape[1]):
                target[j, k] += along_x[r] * (row[k + rx - r] + row[k + rx + r])


@njit(cache=True, nogil=True, parallel=True)
def _fill_streaks(streaks, first, size, amplitude, seed):  # type: ignore[no-untyped-def]
    """Set the curtaining of each column of each plane: few distinct streaks, narrow and wide."""
    for i in prange(streaks.shape[0]):
        z = (first[0] + i) * size[0] / STREAK_DEPTH_NM
        for k in range(streaks.shape[1]):
            x = (first[2] + k) * size[2] / STREAK_NM
            narrow = lattice_noise(seed, z, 0.0, x)
            wide = lattice_noise(seed, 0.25 * z, 1.0, 0.2 * x)
            streaks[i, k] = amplitude * np.float32(narrow * narrow * narrow + 0.7 * wide)


@njit(cache=True, nogil=True, parallel=True)
def _digitize(image, density, first, grey, streaks, seed):  # type: ignore[no-untyped-def]
    """Convert densities to grey values with streaks and noise, which is correlated along x."""
    nz, ny, nx = image.shape
    white, contrast, noise, own, before = grey
    for i in prange(nz):
        for j in range(ny):
            bits = hash_position(seed, first[0] + i, first[1] + j, first[2] - 1)
            previous = normal(bits)
            for k in range(nx):
                signal = white - contrast * density[i, j, k]
                bits = hash_position(seed, first[0] + i, first[1] + j, first[2] + k)
                current = normal(bits)
                spread = noise * np.sqrt(max(signal, np.float32(20)) / white)
                value = signal + streaks[i, k] + spread * (own * current + before * previous)
                previous = current
                value += uniform(bits)
                image[i, j, k] = np.uint8(min(max(value, np.float32(0)), np.float32(255)))
