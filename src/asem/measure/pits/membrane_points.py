"""Points of the plasma membrane: from its labels, or from the border of a mask of the cell.

Voxels of the membrane are averaged in cubes of `CUBE_NM`: one point in each, in the middle of the
membrane. Sums are integers, and the cubes are those of the world: no block grid changes a digit.
"""

import logging
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from asem.blocks.block_output import BlockOutput, write_blocks
from asem.blocks.results_folder import NoResultsError
from asem.image.cleanup import unlabelled_to_background
from asem.system.npz import ArraySpec
from asem.volume.roi import Roi, negate, per_axis
from asem.volume.volume import Volume

LOG = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float64]
CUBE_NM = 20.0
PLANE_NM = 90.0
"""Distance up to which points define the normal of the membrane."""
MARGIN_NM = 450.0
"""From the segmentation to the farthest membrane that is found."""
LARGEST_INNER_SHARE = 0.5
"""Of cubes with membrane on all six sides; labels of 100 nm have it, and masks of cells."""
VOXEL_BYTES = 60
_SPECS = {
    "cube": ArraySpec("int64", (None, 3)),
    "sums": ArraySpec("int64", (None, 4)),
    "inner": ArraySpec("int64", (1,)),
    "unlabelled": ArraySpec("int64", (1,)),
}


@dataclass(frozen=True)
class MembranePoints:
    """World positions on the plasma membrane, (n, 3), nm.

    `ends_nm` are the first and the last position along each axis at which the membrane is labelled,
    (2, 3); infinite where it is labelled as far as the segmentation extends.
    """

    points_nm: FloatArray
    tree: cKDTree
    ends_nm: FloatArray

    def distances(self, positions_nm: FloatArray) -> FloatArray:
        """Return the distance of world positions (..., 3) from the nearest point, inf for nan."""
        flat = positions_nm.reshape(-1, 3)
        known = np.isfinite(flat).all(axis=1)
        found = np.full(len(flat), np.inf)
        found[known] = self.tree.query(flat[known])[0]
        return found.reshape(positions_nm.shape[:-1])

    def distances_to_end(self, positions_nm: FloatArray) -> FloatArray:
        """Return the distance of world positions (..., 3) from where the labels end, 0 beyond."""
        first, last = self.ends_nm
        inside = np.minimum(positions_nm - first, last - positions_nm).min(axis=-1)
        return np.asarray(np.maximum(np.where(np.isnan(inside), np.inf, inside), 0))

    def normal(self, position_nm: FloatArray) -> FloatArray:
        """Return the normal of the membrane nearest to a world position, (3,), of either sign."""
        _, nearest = self.tree.query(position_nm)
        near = self.points_nm[self.tree.query_ball_point(self.points_nm[nearest], PLANE_NM)]
        return np.asarray(np.linalg.svd(near - near.mean(axis=0), full_matrices=True)[2][2])


def find_membrane_points(
    output: BlockOutput, grid: Volume, membrane: Volume, *, is_mask: bool, stage: str
) -> MembranePoints:
    """Find the points of a membrane in a segmentation, and up to `MARGIN_NM` beyond.

    Parameters
    ----------
    output
        Runs the blocks, on the voxels of `grid`.
    grid
        The segmentation.
    membrane
        Labels of the membrane, or a mask of the cell, in voxels of the same grid.
    is_mask
        The membrane is the border of the mask.
    stage
        Name in the journal, the progress and the results.

    Raises
    ------
    NoResultsError
        There is no membrane, or the labels are those of a cell.
    """
    own = grid.roi_of(membrane)
    margin = per_axis(lambda size: ceil(MARGIN_NM / size), grid.voxel_size)
    blocks = write_blocks(grid.roi.grow(margin).intersect(own))
    results = output.store_block_results(
        partial(_sum_cubes, membrane=membrane, shift=own.offset, is_mask=is_mask),
        blocks,
        stage=stage,
        block_bytes=VOXEL_BYTES * max(block.size for block in blocks),
    )
    stored = [results.load(block, **_SPECS) for block in blocks]
    cubes = np.concatenate([part["cube"] for part in stored])
    if len(cubes) == 0:
        what = "no border" if is_mask else "no membrane"
        raise NoResultsError(
            f"{membrane.name} has {what} within the segmentation, nor up to {MARGIN_NM:g} nm "
            "beyond: is it the right image?"
        )
    if not is_mask and sum(part["inner"].sum() for part in stored) > LARGEST_INNER_SHARE * len(
        cubes
    ):
        raise NoResultsError(
            f"{membrane.name} is thicker than a membrane: most of its labels are 100 nm thick and "
            "more; give --mask if it is a mask of the cell, or labels of the plasma membrane alone"
        )
    if any(part["unlabelled"].any() for part in stored):
        LOG.warning(
            "%s: unlabelled voxels count as background: objects near them may be called secretory; "
            "crop them off, or label them",
            membrane.name,
        )
    sums = np.concatenate([part["sums"] for part in stored])
    unique, row = np.unique(cubes, axis=0, return_inverse=True)
    total = np.zeros((len(unique), 4), np.int64)
    np.add.at(total, row.ravel(), sums)
    voxels = total[:, :3] / total[:, 3:]
    points = voxels * np.array(membrane.voxel_size) + np.array(membrane.offset_nm)
    return MembranePoints(points, cKDTree(points), _find_ends(grid, own))


def _find_ends(grid: Volume, own: Roi) -> FloatArray:
    """Return where the voxels `own` end within a segmentation, nm, infinite where they do not."""
    first, last = np.array(own.offset), np.array(own.end) - 1
    ends = np.stack([first, last]) * np.array(grid.voxel_size) + np.array(grid.offset_nm)
    is_end = np.stack([first > 0, last < np.array(grid.shape) - 1])
    return np.where(is_end, ends, [[-np.inf], [np.inf]])


def _sum_cubes(
    block: Roi, *, membrane: Volume, shift: tuple[int, int, int], is_mask: bool
) -> dict[str, npt.NDArray[Any]]:
    """Return the cubes of a block that contain membrane, and sums of positions and voxels.

    ``inner`` is the number of cubes with membrane on all six sides, ``unlabelled`` that of voxels.
    """
    found, unlabelled = _find_voxels(membrane, block.shift(negate(shift)), is_mask)
    place = found * np.array(membrane.voxel_size) + np.array(membrane.offset_nm)
    cubes, row = np.unique(np.floor(place / CUBE_NM).astype(np.int64), axis=0, return_inverse=True)
    sums = np.zeros((len(cubes), 4), np.int64)
    np.add.at(sums, row.ravel(), np.concatenate([found, np.ones((len(found), 1), int)], axis=1))
    cubes = cubes.reshape(-1, 3)
    counts = {"inner": _count_inner(cubes), "unlabelled": unlabelled}
    return {"cube": cubes, "sums": sums, **{name: np.array([n]) for name, n in counts.items()}}


def _count_inner(cubes: npt.NDArray[np.int64]) -> int:
    """Return the number of cubes, (n, 3), with another one on all six sides."""
    if len(cubes) == 0:
        return 0
    low = cubes.min(axis=0)
    is_membrane = np.zeros(cubes.max(axis=0) - low + 1, np.bool_)
    is_membrane[tuple((cubes - low).T)] = True
    return int(ndimage.binary_erosion(is_membrane).sum())


def _find_voxels(membrane: Volume, roi: Roi, is_mask: bool) -> tuple[npt.NDArray[np.int64], int]:
    """Return the voxels of the membrane in a box, (n, 3), and the number of unlabelled ones."""
    halo = roi.grow((1, 1, 1)).intersect(membrane.roi) if is_mask else roi
    read = membrane.read(halo)
    voxels = unlabelled_to_background(read) > 0
    unlabelled = int(np.count_nonzero(read) - np.count_nonzero(voxels))
    if is_mask:
        voxels &= ~ndimage.binary_erosion(voxels, border_value=1)
        voxels = voxels[roi.shift(negate(halo.offset)).slices]
    return np.asarray(np.argwhere(voxels) + np.array(roi.offset), np.int64), unlabelled
