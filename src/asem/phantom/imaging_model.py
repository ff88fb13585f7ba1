"""Simulate FIB-SEM imaging: stain contrast, blur, noise, shading, 8-bit quantization."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from asem.config import NmZYX
from asem.phantom.rasterization import GreyArray, smooth_noise

WHITE = 255.0


@dataclass(frozen=True)
class ImagingModel:
    """Parameters of a sample preparation and a microscope.

    Parameters
    ----------
    gamma
        Stain, the exponent of grey values in [0, 1]: pale below 1, dark above 1.
    black, white
        Grey values, 0 to 255, of the darkest and the brightest voxels.
    blur_nm
        Standard deviation of the blur.
    noise_sd
        Standard deviation of the noise, grey values.
    plane_brightness_noise
        Standard deviation of the brightness of planes, grey values.
    shading_amplitude
        Amplitude of the shading (slow changes of brightness), grey values.
    """

    gamma: float = 1.0
    black: float = 0.0
    white: float = WHITE
    blur_nm: float = 7.0
    noise_sd: float = 12.0
    plane_brightness_noise: float = 1.5
    shading_amplitude: float = 5.0


DEFAULT_IMAGING = ImagingModel()
LOW_CONTRAST_IMAGING = ImagingModel(
    gamma=0.7,
    black=70,
    white=215,
    blur_nm=10,
    noise_sd=18,
    plane_brightness_noise=4,
    shading_amplitude=12,
)
"""Paler stain, half the contrast, more blur and noise."""


def simulate_image(
    specimen: GreyArray,
    voxel_size: NmZYX,
    rng: np.random.Generator,
    imaging: ImagingModel = DEFAULT_IMAGING,
) -> npt.NDArray[np.uint8]:
    """Simulate the image of an unblurred specimen.

    Parameters
    ----------
    specimen
        Grey values, shape (z, y, x).
    voxel_size
        nm.
    rng
        Random generator of the noise.
    imaging
        Parameters of preparation and microscope.

    Returns
    -------
    ndarray
        uint8, the shape of `specimen`.
    """
    stained = WHITE * np.clip(specimen / WHITE, 0, 1) ** imaging.gamma
    span = (imaging.white - imaging.black) / WHITE
    sigma = [imaging.blur_nm / size for size in voxel_size]
    blurred = ndimage.gaussian_filter(stained.astype(np.float32), sigma, mode="nearest")
    grey = imaging.black + span * blurred
    grey += imaging.shading_amplitude * smooth_noise(grey.shape, 250, voxel_size, rng)
    shot = rng.standard_normal(grey.shape, dtype=np.float32)
    # Noise of the detector is correlated within a plane, not between planes.
    grey += imaging.noise_sd * ndimage.gaussian_filter(shot, (0, 0.5, 0.5), mode="wrap")
    grey += imaging.plane_brightness_noise * rng.standard_normal(
        (grey.shape[0], 1, 1), dtype=np.float32
    )
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
