"""Make matter look like a FIB-SEM image: blur, noise, uneven planes, 8 bits."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from asem.config import Nm3
from asem.phantom.voxels import Grey, smooth_noise

BLUR_NM = 7.0
NOISE = 12.0
PLANE_DRIFT = 1.5


def image(matter: Grey, voxel_size: Nm3, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Image unblurred matter.

    Parameters
    ----------
    matter
        Grey values, shape (z, y, x).
    voxel_size
        nm.
    rng
        Where noise comes from.

    Returns
    -------
    ndarray
        uint8, the shape of `matter`.
    """
    sigma = [BLUR_NM / size for size in voxel_size]
    grey = ndimage.gaussian_filter(matter, sigma, mode="nearest")
    grey += 5 * smooth_noise(grey.shape, 250, voxel_size, rng)
    shot = rng.standard_normal(grey.shape, dtype=np.float32)
    # The detector smears a little within the plane, never from plane to plane.
    grey += NOISE * ndimage.gaussian_filter(shot, (0, 0.5, 0.5), mode="wrap")
    grey += PLANE_DRIFT * rng.standard_normal((grey.shape[0], 1, 1), dtype=np.float32)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
