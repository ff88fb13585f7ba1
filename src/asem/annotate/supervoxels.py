"""Supervoxels: pieces of similar grey value and equal extent, and where they touch.

A cut between some thousand pieces is found while one draws; between millions of voxels it is not.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from pydantic import Field

from asem.config import Config, Nm3
from asem.image.components import components_of

GREY_LEVELS = 255.0
"""The range of grey values that compactness is meant for."""


class SupervoxelConfig(Config):
    """How many supervoxels, and of what shape."""

    number: int = Field(4000, gt=1, le=10**6)
    """About so many in a region; pieces that are not connected make it more or less."""
    compactness: float = Field(25, ge=1e-3, le=1e6)
    """Of 255 grey levels that weigh as much as the distance to the next supervoxel: more gives
    rounder ones, less follows the borders of what is seen, and noise."""
    iterations: int = Field(5, gt=0, le=1000)
    """Rounds of SLIC."""


def supervoxels(
    unit: npt.NDArray[np.float32], voxel_size: Nm3, config: SupervoxelConfig
) -> npt.NDArray[np.int32]:
    """Cut a region into supervoxels by SLIC (Achanta et al., 2012) in 3D.

    k-means of place and grey value from a grid of seeds, whose cells have the same extent in nm
    along each axis.

    Parameters
    ----------
    unit
        Grey values in [0, 1], shape (z, y, x).
    voxel_size
        nm.
    config
        How many, and of what shape.

    Returns
    -------
    ndarray
        int32, the shape of `unit`: 0, 1, ... in the order of their first voxels; each is connected.
    """
    grid = seed_grid(unit.shape, voxel_size, config.number)
    image = sitk.GetImageFromArray(unit * np.float32(GREY_LEVELS))
    found = sitk.SLIC(
        image,
        maximumNumberOfIterations=config.iterations,
        superGridSize=grid[::-1],
        spatialProximityWeight=config.compactness,
    )
    return numbered(components_of(sitk.GetArrayFromImage(found) + 1))  # SLIC leaves some in parts


def seed_grid(shape: tuple[int, ...], voxel_size: Nm3, number: int) -> list[int]:
    """Return the distance of the seeds along each axis, voxels.

    Examples
    --------
    >>> seed_grid((100, 200, 200), (8.0, 4.0, 4.0), 4000)
    [6, 13, 13]
    >>> seed_grid((1, 600, 600), (8.0, 4.0, 4.0), 4000)
    [1, 9, 9]
    """
    extents = [size * voxel for size, voxel in zip(shape, voxel_size, strict=True)]
    wide = [0, 1, 2]
    while True:  # where the region is thinner than a cell, cells are longer along the other axes
        thin = prod(extents[axis] for axis in range(3) if axis not in wide)
        edge_nm = (prod(extents) / thin / number) ** (1 / len(wide))
        still = [axis for axis in wide if extents[axis] > edge_nm]
        if still == wide or not still:
            break
        wide = still
    return [
        min(size, max(1, round(edge_nm / voxel)))
        for size, voxel in zip(shape, voxel_size, strict=True)
    ]


def numbered(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """Return labels as 0, 1, ... in the order of their first voxels."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse].reshape(labels.shape)


@dataclass(frozen=True)
class Neighbours:
    """The pairs of supervoxels that share a face; each pair once.

    Parameters
    ----------
    first, second
        Supervoxels, int64, ``first < second``, ordered.
    """

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]


def neighbours(labels: npt.NDArray[np.int32]) -> Neighbours:
    """Find which supervoxels touch.

    Parameters
    ----------
    labels
        0, 1, ..., shape (z, y, x).

    Examples
    --------
    >>> found = neighbours(np.array([[[0, 0, 1], [2, 2, 1]]], np.int32))
    >>> found.first.tolist(), found.second.tolist()
    ([0, 0, 1], [1, 2, 2])
    """
    number, keys = int(labels.max()) + 1, []
    for axis in range(3):
        low = labels[tuple(slice(None, -1 if a == axis else None) for a in range(3))]
        high = labels[tuple(slice(1 if a == axis else None, None) for a in range(3))]
        differ = low != high
        a, b = low[differ].astype(np.int64), high[differ].astype(np.int64)
        keys.append(np.minimum(a, b) * number + np.maximum(a, b))
    pairs = np.unique(np.concatenate(keys))
    return Neighbours(pairs // number, pairs % number)
