"""A synthetic cell in one call."""

import numpy as np
import numpy.typing as npt

from asem.config import Nm3
from asem.phantom.geometry import draw_cell
from asem.phantom.look import FIRST, Look, image
from asem.phantom.voxels import rasterize
from asem.volume.roi import Triple


def make_cell(
    shape: Triple, voxel_size: Nm3, rng: np.random.Generator, *, look: Look = FIRST
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """Make a piece of cytoplasm with mitochondria, ER sheets, vesicles and lysosomes.

    Parameters
    ----------
    shape
        Voxels along (z, y, x).
    voxel_size
        nm.
    rng
        The same generator state gives the same cell.
    look
        Preparation and microscope.

    Returns
    -------
    raw
        uint8 image.
    mitochondria
        uint16 ids, 0 background.
    """
    z, y, x = (n * size for n, size in zip(shape, voxel_size, strict=True))
    matter = rasterize(draw_cell((z, y, x), rng), voxel_size, rng)
    return image(matter.grey, voxel_size, rng, look), matter.mitochondria
