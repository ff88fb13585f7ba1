"""Masks of pits and vesicles: fragments of one object joined, specks and large masks marked."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from asem.config import NmZYX
from asem.measure.mask_parts import FIRST, LABEL, merge_masks, select_rows
from asem.measure.mask_shapes import MaskShapes, find_shapes
from asem.measure.object_columns import Columns

JOINED_NM = 70.0
"""Parts of one label whose centres are nearer are one object: two pits are farther apart."""
SPECK_NM = 130.0
"""The same where one of both is a speck."""
SMALLEST_NM3 = 2e4
"""A smaller mask is a speck: a disc of 50 nm, 10 nm thick."""
LONGEST_NM = 280.0
"""A longer mask is that of several objects: the deepest pit with its coat is 200 nm long."""


def join_parts(
    masks: Columns, voxel_size: NmZYX, offset_nm: NmZYX
) -> tuple[Columns, npt.NDArray[np.intp]]:
    """Join the parts of a label that are near each other.

    Parameters
    ----------
    masks
        Columns of `asem.measure.mask_parts.find_masks`, (n,).
    voxel_size, offset_nm
        Of the volume, nm.

    Returns
    -------
    objects
        Columns of the joined masks, in the order of their first voxels.
    object_of_mask
        Row of each mask in `objects`, (n,).
    """
    shapes = find_shapes(masks, voxel_size, offset_nm)
    centres, is_speck = shapes.centre_nm, shapes.volume_nm3 < SMALLEST_NM3
    pairs = cKDTree(centres).query_pairs(SPECK_NM, output_type="ndarray").reshape(-1, 2)
    gaps = np.linalg.norm(centres[pairs[:, 0]] - centres[pairs[:, 1]], axis=1)
    one_is_speck = is_speck[pairs[:, 0]] != is_speck[pairs[:, 1]]
    same = masks[LABEL][pairs[:, 0]] == masks[LABEL][pairs[:, 1]]
    pairs = pairs[same & (one_is_speck | (gaps < JOINED_NM))]
    count = len(centres)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, row = connected_components(graph, directed=False)
    joined = merge_masks(masks, row.astype(np.intp))
    order = np.argsort(joined[FIRST])
    return select_rows(joined, order), np.argsort(order)[row]


def flag_masks(shapes: MaskShapes) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which masks are `small` or `merged`, (n,) each."""
    return {
        "small": shapes.volume_nm3 < SMALLEST_NM3,
        "merged": shapes.axes_nm[:, 0] > LONGEST_NM,
    }
