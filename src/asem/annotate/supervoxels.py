"""SLIC supervoxels: connected segments of similar grey value and size.

A cut of some thousand supervoxels is fast enough for interactive use; one of millions of voxels is
not.
"""

from math import prod

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from pydantic import Field

from asem.config import Config, NmZYX
from asem.image.components import label_components

MAX_GREY = 255.0
"""Range of grey values that compactness refers to."""


class SupervoxelConfig(Config):
    """Number and shape of the supervoxels."""

    number: int = Field(4000, gt=1, le=10**6)
    """Approximate number in a region; parts that are not connected count separately."""
    compactness: float = Field(25, ge=1e-3, le=1e6)
    """Grey levels, of 255, that weigh as much as the distance between seeds: more gives rounder
    supervoxels, less follows edges in the image, and noise."""
    iterations: int = Field(5, gt=0, le=1000)
    """Iterations of SLIC."""


def slic_supervoxels(
    intensity: npt.NDArray[np.float32], voxel_size: NmZYX, config: SupervoxelConfig
) -> npt.NDArray[np.int32]:
    """Divide a region into supervoxels by SLIC (Achanta et al., 2012) in 3D.

    k-means of position and grey value, from a grid of seeds whose cells have the same extent in nm
    along each axis.

    Parameters
    ----------
    intensity
        Grey values in [0, 1], shape (z, y, x).
    voxel_size
        nm.
    config
        Number and shape of the supervoxels.

    Returns
    -------
    ndarray
        int32, the shape of `intensity`: 0, 1, ... in the order of their first voxels; each is
        connected.
    """
    grid = seed_spacing(intensity.shape, voxel_size, config.number)
    image = sitk.GetImageFromArray(intensity * np.float32(MAX_GREY))
    clusters = sitk.SLIC(
        image,
        maximumNumberOfIterations=config.iterations,
        superGridSize=grid[::-1],
        spatialProximityWeight=config.compactness,
    )
    # SLIC leaves some clusters unconnected.
    return relabel_in_scan_order(label_components(sitk.GetArrayFromImage(clusters) + 1))


def seed_spacing(shape: tuple[int, ...], voxel_size: NmZYX, seed_count: int) -> list[int]:
    """Return the spacing of the seeds along each axis, voxels.

    Examples
    --------
    >>> seed_spacing((100, 200, 200), (8.0, 4.0, 4.0), 4000)
    [6, 13, 13]
    >>> seed_spacing((1, 600, 600), (8.0, 4.0, 4.0), 4000)
    [1, 9, 9]
    """
    extents = [size * voxel for size, voxel in zip(shape, voxel_size, strict=True)]
    wide = [0, 1, 2]
    while True:  # where the region is thinner than a cell, cells are longer along the other axes
        thin = prod(extents[axis] for axis in range(3) if axis not in wide)
        edge_nm = (prod(extents) / thin / seed_count) ** (1 / len(wide))
        remaining = [axis for axis in wide if extents[axis] > edge_nm]
        if remaining == wide or not remaining:
            break
        wide = remaining
    return [
        min(size, max(1, round(edge_nm / voxel)))
        for size, voxel in zip(shape, voxel_size, strict=True)
    ]


def relabel_in_scan_order(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """Return labels as 0, 1, ... in the order of their first voxels."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse].reshape(labels.shape)
