"""Generate a synthetic cell: raw image and mitochondria labels."""

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.phantom.geometry import generate_geometry
from asem.phantom.imaging_model import DEFAULT_IMAGING, ImagingModel, simulate_image
from asem.phantom.rasterization import rasterize
from asem.volume.roi import IntZYX, per_axis


def make_synthetic_cell(
    shape: IntZYX,
    voxel_size: NmZYX,
    rng: np.random.Generator,
    *,
    imaging: ImagingModel = DEFAULT_IMAGING,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """Generate a box of cytoplasm with mitochondria, ER sheets, vesicles and lysosomes.

    Parameters
    ----------
    shape
        Voxels along (z, y, x).
    voxel_size
        nm.
    rng
        Random generator; the same state gives the same cell.
    imaging
        Parameters of preparation and microscope.

    Returns
    -------
    raw
        uint8 image.
    mitochondria
        uint16 ids, 0 background.
    """
    extent_nm = per_axis(lambda voxels, size: voxels * size, shape, voxel_size)
    specimen = rasterize(generate_geometry(extent_nm, rng), voxel_size, rng)
    return simulate_image(specimen.grey, voxel_size, rng, imaging), specimen.mitochondria
