"""Masks of pores from their moments: fragments of one pore joined, sizes, axes, flags.

::

    fragments    # # . . # #    one pore: together they are no longer than a typical mask
    two pores    # # # # . # # # #    together they are twice as long

The typical mask is that at which half of the volume of all masks is in larger ones: specks and
fragments hardly change it.
"""

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from asem.config import NmZYX
from asem.measure.mask_parts import FIRST, merge_masks, select_rows
from asem.measure.mask_shapes import FloatArray, MaskShapes, find_shapes
from asem.measure.moments import covariances
from asem.measure.object_columns import Columns

MAX_SINGLE_LENGTH = 1.35
"""Longest axis of a mask of one pore / that of a typical mask. Two pores are 2.2 times as long."""
MAX_JOINED_LENGTH = 1.5
"""The same of two masks of which one has less than `WHOLE_FRACTION` of the volume of a typical one:
the largest pores are 1.4 times as large as a typical one."""
WHOLE_FRACTION = 0.55
LONGEST_NM = 240.0
"""Longest axis of a mask that is not examined for several pores: a ring around a pore of 130 nm has
220 nm, discs less."""
MAX_SINGLE_ELONGATION, ELONGATED_NM = 1.5, 215.0
"""The same for a mask whose longest axis / middle axis is larger: the masks of the two smallest
pores next to each other have 215 nm."""
MERGED_LENGTH, MERGED_ELONGATION = 1.7, 1.8
"""Longer masks, and masks that are larger than typical and more elongated, are `merged`."""
SMALL_FRACTION = 0.25
"""Volume of a small mask / that of a typical one."""
SMALLEST_NM3 = 1e4
"""A smaller mask is small even if all are: a disc of 40 nm, 8 nm thick."""
SHORT_FRACTION = 0.5
"""Shortest axis of a short mask / that of a typical one."""
PAIRS_AT_ONCE = 10**5


def find_typical(values: FloatArray, volumes: FloatArray) -> float:
    """Return the value of the mask at which half of the volume is in masks of larger values.

    Examples
    --------
    >>> find_typical(np.array([1.0, 1, 1, 1, 90, 100, 110]), np.array([1, 1, 1, 1, 90, 100, 110]))
    100.0
    """
    order = np.argsort(values)
    below = np.cumsum(volumes[order])
    return float(values[order][np.searchsorted(below, below[-1] / 2)])


def may_be_several(shapes: MaskShapes) -> tuple[npt.NDArray[np.bool_], float]:
    """Return which masks are to be examined for pores that touch, and the area of a typical pore.

    They are longer than a mask of one pore: than others, or than those of the largest pores are. An
    open ring is elongated, but not longer than a closed one.

    Returns
    -------
    several
        bool, (n,).
    typical_nm2
        Area of a typical one of the others along the shortest axis, that of an ellipse of equal
        covariance; inf where there are none.
    """
    length, middle, volume = shapes.axes_nm[:, 0], shapes.axes_nm[:, 1], shapes.volume_nm3
    large = volume >= SMALLEST_NM3
    elongated = length > MAX_SINGLE_ELONGATION * middle
    several = length > MAX_SINGLE_LENGTH * find_typical(length, volume)
    several |= length > np.where(elongated, ELONGATED_NM, LONGEST_NM)
    several &= large
    single, typical_nm2 = large & ~several, np.inf
    if single.any():  # long and middle axis are sqrt(5/4) times as long as those of the ellipse
        areas = np.pi / 5 * length * middle
        typical_nm2 = find_typical(areas[single], volume[single])
    return several, typical_nm2


def join_fragments(
    masks: Columns, voxel_size: NmZYX, offset_nm: NmZYX
) -> tuple[Columns, npt.NDArray[np.intp]]:
    """Join masks that are together no longer than one pore, those most similar to one first.

    Two pores next to each other are at least twice as long as one. So are they if their masks
    overlap: masks of which the centres are nearer than about 0.4 diameters are joined.

    Parameters
    ----------
    masks
        Columns of `asem.measure.pores.mask_components.split_masks`, (n,).
    voxel_size, offset_nm
        Of the volume, nm.

    Returns
    -------
    pores
        Columns of the joined masks, in the order of their first voxels.
    pore_of_mask
        Row of each mask in `pores`, (n,).
    """
    count = len(masks[FIRST])
    current = masks
    pore_of_mask = np.arange(count)
    while True:
        shapes = find_shapes(current, voxel_size, offset_nm)
        typical = find_typical(shapes.axes_nm[:, 0], shapes.volume_nm3)
        variances = covariances(current, voxel_size)
        pairs = _choose_pairs(current, shapes, variances, typical)
        if len(pairs) == 0:
            order = np.argsort(current[FIRST])
            return select_rows(current, order), np.argsort(order)[pore_of_mask]
        target = np.arange(len(current[FIRST]))
        target[pairs[:, 1]] = pairs[:, 0]
        _, row = np.unique(target, return_inverse=True)
        current = merge_masks(current, row)
        pore_of_mask = row[pore_of_mask]


def _choose_pairs(
    masks: Columns, shapes: MaskShapes, variances: FloatArray, typical: float
) -> npt.NDArray[np.intp]:
    """Return pairs of masks to join, no mask twice, the most similar to a pore first, (m, 2)."""
    pairs = cKDTree(shapes.centre_nm).query_pairs(typical, output_type="ndarray")
    if len(pairs) == 0:
        return np.zeros((0, 2), np.intp)
    axes = _find_joined_axes(pairs, masks["voxels"], shapes.centre_nm, variances)
    volumes = shapes.volume_nm3
    is_whole = volumes >= WHOLE_FRACTION * find_typical(volumes, volumes)
    limit = np.where(is_whole[pairs].all(axis=1), MAX_SINGLE_LENGTH, MAX_JOINED_LENGTH)
    fits = axes[:, 0] <= limit * typical
    pairs = pairs[fits]
    differences = np.abs(axes[fits] - typical).sum(axis=1)
    chosen, used = [], set()
    for a, b in pairs[np.lexsort((pairs[:, 1], pairs[:, 0], differences))].tolist():
        if a not in used and b not in used:
            used |= {a, b}
            chosen.append((a, b))
    return np.array(chosen, np.intp).reshape(-1, 2)


def _find_joined_axes(
    pairs: npt.NDArray[np.intp],
    voxels: npt.NDArray[np.int64],
    centres: FloatArray,
    variances: FloatArray,
) -> FloatArray:
    """Return the long and the middle axis of the two masks of each pair together, nm, (m, 2).

    Parameters
    ----------
    pairs
        Rows of masks, (m, 2).
    voxels, centres, variances
        Voxels, centre and covariance of each mask, nm and nm^2; (n,), (n, 3) and (n, 3, 3).
    """
    axes = np.empty((len(pairs), 2))
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        first, second = pairs[start : start + PAIRS_AT_ONCE].T
        share = (voxels[first] / (voxels[first] + voxels[second]))[:, None, None]
        offset = (centres[first] - centres[second])[:, :, None]
        joined = share * variances[first] + (1 - share) * variances[second]
        joined += share * (1 - share) * offset * offset.transpose(0, 2, 1)
        largest = np.linalg.eigvalsh(joined)[:, :0:-1]
        axes[start : start + PAIRS_AT_ONCE] = 2 * np.sqrt(5 * np.maximum(largest, 0))
    return axes


def flag_masks(shapes: MaskShapes) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which masks are `small`, `short` or `merged`, (n,) each."""
    length, middle, short = shapes.axes_nm.T
    volume = shapes.volume_nm3
    typical_length = find_typical(length, volume)
    typical_volume = find_typical(volume, volume)
    typical_short = find_typical(short, volume)
    larger = volume > MAX_SINGLE_LENGTH * typical_volume
    return {
        "small": volume < max(SMALL_FRACTION * typical_volume, SMALLEST_NM3),
        "short": short < SHORT_FRACTION * typical_short,
        "merged": (length > MERGED_LENGTH * typical_length)
        | (larger & (length > MERGED_ELONGATION * middle)),
    }


def find_origins(
    pore_of_mask: npt.NDArray[np.intp], parent_of_mask: npt.NDArray[np.intp]
) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which pores have `fragments`, several connected masks, or were `split` from others.

    Parameters
    ----------
    pore_of_mask
        Pore of each mask, (n,).
    parent_of_mask
        Connected mask that each one is a part of, (n,).

    Examples
    --------
    >>> marks = find_origins(np.array([0, 0, 1, 2]), np.array([0, 1, 2, 2]))
    >>> marks["fragments"].tolist(), marks["split"].tolist()
    ([True, False, False], [False, True, True])
    """
    pairs = np.unique(np.stack([pore_of_mask, parent_of_mask], axis=1), axis=0)
    pores, parents = pairs.T
    is_split = np.zeros(pores.max() + 1, bool)
    is_split[pores[np.bincount(parents)[parents] > 1]] = True
    return {"fragments": np.bincount(pores) > 1, "split": is_split}
