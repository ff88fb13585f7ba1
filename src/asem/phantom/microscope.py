"""A simulated FIB-SEM: blur, shot noise, curtaining, drift and brightness of planes, 8 bits."""

import numpy as np
import numpy.typing as npt
from numba import njit, prange
from scipy import ndimage

from asem.config import Config, NmZYX
from asem.phantom.frame import Float32
from asem.phantom.random_values import hash_position, lattice_noise, normal, uniform

TRUNCATE = 3.0
"""Extent of the blur, standard deviations."""
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
    curtaining: float = 3.0
    """Amplitude of vertical streaks."""
    drift_sd_nm: float = 1.0
    """Standard deviation of the shift of a plane that registration leaves, along y and x."""
    brightness_sd: float = 1.0
    """Standard deviation of the brightness of a plane."""
    jump_probability: float = 0.004
    """Of a jump of the brightness between two planes."""
    jump: float = 7.0
    """Standard deviation of jumps, which decay within about 40 planes."""


MICROSCOPES = {
    "hpfs": MicroscopeConfig(),
    "cf": MicroscopeConfig(white=225.0, contrast=175.0, noise_sd=10.0),
}
"""Presets for the two preparations."""


def plane_drift(planes: int, config: MicroscopeConfig, seed: int) -> npt.NDArray[np.float64]:
    """Return the shift of each plane along y and x, nm: correlated from plane to plane, (n, 2)."""
    rng = np.random.default_rng([seed, 1])
    steps = rng.normal(scale=config.drift_sd_nm, size=(planes, 2))
    drift = np.zeros((planes, 2))
    for plane in range(1, planes):
        drift[plane] = 0.7 * drift[plane - 1] + np.sqrt(1 - 0.49) * steps[plane]
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
    halo = blur_halo(config, voxel_size)
    sigma = [config.blur_nm / size for size in voxel_size]
    blurred = ndimage.gaussian_filter(density, sigma, mode="nearest", truncate=TRUNCATE)
    inner = blurred[tuple(slice(h, n - h) for h, n in zip(halo, blurred.shape, strict=True))]
    image = np.empty(inner.shape, np.uint8)
    planes = brightness[first_voxel[0] : first_voxel[0] + len(inner)]
    grey = np.array([config.white, config.contrast, config.noise_sd, config.curtaining], np.float32)
    _digitize(image, inner, first_voxel, np.array(voxel_size), grey, planes, np.uint64(seed))
    return image


@njit(cache=True, nogil=True, parallel=True)
def _digitize(image, density, first, size, grey, brightness, seed):  # type: ignore[no-untyped-def]
    """Convert densities to grey values with streaks and noise."""
    nz, ny, nx = image.shape
    white, contrast, noise, curtaining = grey
    for i in prange(nz):
        streaks = np.empty(nx, np.float32)
        for k in range(nx):
            z, x = (first[0] + i) * size[0], (first[2] + k) * size[2]
            wave = lattice_noise(seed + np.uint64(7), z / STREAK_DEPTH_NM, 0.0, x / STREAK_NM)
            streaks[k] = curtaining * np.float32(wave * wave * wave) + brightness[i]
        for j in range(ny):
            for k in range(nx):
                signal = white - contrast * density[i, j, k]
                bits = hash_position(seed, first[0] + i, first[1] + j, first[2] + k)
                spread = noise * np.sqrt(max(signal, np.float32(20)) / white)
                value = signal + streaks[k] + spread * normal(bits) + uniform(bits)
                image[i, j, k] = np.uint8(min(max(value, np.float32(0)), np.float32(255)))
