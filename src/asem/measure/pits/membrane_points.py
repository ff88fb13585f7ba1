"""Points of the plasma membrane: from its labels, or from the border of a mask of the cell.

Voxels of the membrane are averaged in cubes of `CUBE_NM`: one point in each, in the middle of the
membrane. Sums are integers, and the cubes are those of the world: no block grid changes a digit.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from asem.blocks.block_output import BlockOutput
from asem.blocks.results_folder import NoResultsError
from asem.image.cleanup import unlabelled_to_background
from asem.system.npz import ArraySpec
from asem.volume.roi import Roi, negate
from asem.volume.volume import Volume

FloatArray = npt.NDArray[np.float64]
CUBE_NM = 20.0
PLANE_NM = 90.0
"""Distance up to which points define the normal of the membrane."""
VOXEL_BYTES = 60
_SPECS = {"cube": ArraySpec("int64", (None, 3)), "sums": ArraySpec("int64", (None, 4))}


@dataclass(frozen=True)
class MembranePoints:
    """World positions on the plasma membrane, (n, 3), nm."""

    points_nm: FloatArray
    tree: cKDTree

    def distances(self, positions_nm: FloatArray) -> FloatArray:
        """Return the distance of world positions (..., 3) from the nearest point, inf for nan."""
        flat = positions_nm.reshape(-1, 3)
        known = np.isfinite(flat).all(axis=1)
        found = np.full(len(flat), np.inf)
        found[known] = self.tree.query(flat[known])[0]
        return found.reshape(positions_nm.shape[:-1])

    def normal(self, position_nm: FloatArray) -> FloatArray:
        """Return the normal of the membrane nearest to a world position, (3,), of either sign."""
        _, nearest = self.tree.query(position_nm)
        near = self.points_nm[self.tree.query_ball_point(self.points_nm[nearest], PLANE_NM)]
        return np.asarray(np.linalg.svd(near - near.mean(axis=0), full_matrices=True)[2][2])


def find_membrane_points(
    output: BlockOutput, grid: Volume, membrane: Volume, *, is_mask: bool, stage: str
) -> MembranePoints:
    """Find the points of a membrane.

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
        There is no membrane.
    """
    shift = grid.roi_of(membrane).offset
    blocks = output.write_blocks()
    results = output.store_block_results(
        partial(_sum_cubes, membrane=membrane, shift=shift, is_mask=is_mask),
        blocks,
        stage=stage,
        block_bytes=VOXEL_BYTES * max(block.size for block in blocks),
    )
    stored = [results.load(block, **_SPECS) for block in blocks]
    cubes = np.concatenate([part["cube"] for part in stored])
    if len(cubes) == 0:
        what = "no border within the segmentation" if is_mask else "no membrane"
        raise NoResultsError(f"{membrane.name} has {what}: is it the right image?")
    sums = np.concatenate([part["sums"] for part in stored])
    unique, row = np.unique(cubes, axis=0, return_inverse=True)
    total = np.zeros((len(unique), 4), np.int64)
    np.add.at(total, row.ravel(), sums)
    voxels = total[:, :3] / total[:, 3:]
    points = voxels * np.array(membrane.voxel_size) + np.array(membrane.offset_nm)
    return MembranePoints(points, cKDTree(points))


def _sum_cubes(
    block: Roi, *, membrane: Volume, shift: tuple[int, int, int], is_mask: bool
) -> dict[str, npt.NDArray[Any]]:
    """Return the cubes of a block that contain membrane, and sums of positions and voxels."""
    inside = block.shift(negate(shift)).intersect(membrane.roi)
    found = _find_voxels(membrane, inside, is_mask)
    place = found * np.array(membrane.voxel_size) + np.array(membrane.offset_nm)
    cubes, row = np.unique(np.floor(place / CUBE_NM).astype(np.int64), axis=0, return_inverse=True)
    sums = np.zeros((len(cubes), 4), np.int64)
    np.add.at(sums, row.ravel(), np.concatenate([found, np.ones((len(found), 1), int)], axis=1))
    return {"cube": cubes.reshape(-1, 3), "sums": sums}


def _find_voxels(membrane: Volume, roi: Roi, is_mask: bool) -> npt.NDArray[np.int64]:
    """Return the voxels of the membrane in a box, (n, 3), in the voxels of the image."""
    if roi.size == 0:
        return np.zeros((0, 3), np.int64)
    halo = roi.grow((1, 1, 1)).intersect(membrane.roi) if is_mask else roi
    voxels = unlabelled_to_background(membrane.read(halo)) > 0
    if is_mask:
        voxels &= ~ndimage.binary_erosion(voxels, border_value=1)
        voxels = voxels[roi.shift(negate(halo.offset)).slices]
    return np.asarray(np.argwhere(voxels) + np.array(roi.offset), np.int64)
