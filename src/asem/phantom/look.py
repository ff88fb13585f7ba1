"""Make matter look like a FIB-SEM image: stain, blur, noise, uneven planes, 8 bits."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from asem.config import Nm3
from asem.phantom.voxels import Grey, smooth_noise

WHITE = 255.0


@dataclass(frozen=True)
class Look:
    """How one preparation and one microscope show the same matter.

    Parameters
    ----------
    gamma
        Stain: below 1 pale, above 1 dark; grey values in [0, 1] are raised to it.
    black, white
        Grey values, 0 to 255, that what is blackest and whitest gets.
    blur_nm
        Standard deviation of the blur.
    noise
        Standard deviation of the noise, grey values.
    plane_drift
        Standard deviation of the planes' brightness, grey values.
    shading
        Amplitude of slow changes of brightness, grey values.
    """

    gamma: float = 1.0
    black: float = 0.0
    white: float = WHITE
    blur_nm: float = 7.0
    noise: float = 12.0
    plane_drift: float = 1.5
    shading: float = 5.0


FIRST = Look()
SECOND = Look(gamma=0.7, black=70, white=215, blur_nm=10, noise=18, plane_drift=4, shading=12)
"""Another preparation: paler stain, half the contrast, blurred, noisy."""


def image(
    matter: Grey, voxel_size: Nm3, rng: np.random.Generator, look: Look = FIRST
) -> npt.NDArray[np.uint8]:
    """Image unblurred matter.

    Parameters
    ----------
    matter
        Grey values, shape (z, y, x).
    voxel_size
        nm.
    rng
        Where noise comes from.
    look
        Preparation and microscope.

    Returns
    -------
    ndarray
        uint8, the shape of `matter`.
    """
    stained = WHITE * np.clip(matter / WHITE, 0, 1) ** look.gamma
    span = (look.white - look.black) / WHITE
    sigma = [look.blur_nm / size for size in voxel_size]
    blurred = ndimage.gaussian_filter(stained.astype(np.float32), sigma, mode="nearest")
    grey = look.black + span * blurred
    grey += look.shading * smooth_noise(grey.shape, 250, voxel_size, rng)
    shot = rng.standard_normal(grey.shape, dtype=np.float32)
    # The detector smears a little within the plane, never from plane to plane.
    grey += look.noise * ndimage.gaussian_filter(shot, (0, 0.5, 0.5), mode="wrap")
    grey += look.plane_drift * rng.standard_normal((grey.shape[0], 1, 1), dtype=np.float32)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
