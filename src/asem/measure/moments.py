"""Volume, position, extent, axes and grey values of objects, from sums over their voxels.

Of an object with voxels at i (indices along z, y, x) and voxel size s::

    volume      V = n s_z s_y s_x
    position    offset_nm + s mean(i)
    extent      offset_nm + s (min(i) - 1/2) ... offset_nm + s (max(i) + 1/2)
    covariance  C_ab = s_a s_b (mean(i_a i_b) - mean(i_a) mean(i_b)) + [a = b] s_a^2 / 12
    axes        2 sqrt(5 lambda) for the eigenvalues lambda of C

s^2 / 12 is the variance within a voxel: a box of voxels has the covariance of the solid box. The
axes are those of the solid ellipsoid of equal covariance (scikit-image's `axis_major_length` leaves
the variance within a voxel out).

All sums are integers: the results are the same for every block grid. Products of indices are summed
in two parts of 32 bits, which do not overflow.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.config import NmZYX
from asem.measure.object_columns import BlockObjects, Columns, Reduction
from asem.volume.roi import Roi

AXES = "zyx"
PRODUCTS = ("zz", "yy", "xx", "zy", "zx", "yx")
"""Pairs of axes, in the order of `_sum_coordinates`."""
LOW_BITS = 32
MOMENT_REDUCTIONS: Mapping[str, Reduction] = {
    "voxels": "sum",
    **{f"sum_{axis}": "sum" for axis in AXES},
    **{f"min_{axis}": "min" for axis in AXES},
    **{f"max_{axis}": "max" for axis in AXES},
    **{f"{part}_{pair}": "sum" for pair in PRODUCTS for part in ("high", "low")},
}
"""Columns of `sum_moments`, int64, indices in voxels, and how they merge."""
GREY_REDUCTIONS: Mapping[str, Reduction] = {
    "grey_voxels": "sum", "grey_sum": "sum", "high_grey": "sum", "low_grey": "sum",
}  # fmt: skip
"""Columns of `sum_grey` of images of integers (`has_exact_sums`), int64."""
FLOAT_GREY_REDUCTIONS: Mapping[str, Reduction] = {
    "grey_voxels": "sum", "grey_sum": "sum", "grey_squares": "sum",
}  # fmt: skip
"""Columns of `sum_grey` of other images, float64."""
MAX_EXACT_BYTES = 2
"""Integers of up to so many bytes are summed exactly."""


def sum_moments(objects: BlockObjects, block: Roi) -> Columns:
    """Return the columns of `MOMENT_REDUCTIONS` of the objects of a block.

    Parameters
    ----------
    objects
        The objects of the block; at least one voxel each.
    block
        The block, voxels of the volume.
    """
    count = len(objects.ids)
    rows = objects.rows.reshape(block.shape)
    sums, lowest, highest = _sum_coordinates(rows, count)  # of indices within the block
    voxels, offset = objects.count(), np.array(block.offset)
    columns: Columns = {"voxels": voxels}
    for a, axis in enumerate(AXES):
        columns[f"sum_{axis}"] = sums[:, a] + offset[a] * voxels
        columns[f"min_{axis}"] = lowest[:, a] + offset[a]
        columns[f"max_{axis}"] = highest[:, a] + offset[a]
    for k, pair in enumerate(PRODUCTS):
        a, b = (AXES.index(axis) for axis in pair)
        # sum (i + p)(j + q) = sum ij + q sum i + p sum j + n p q; below 2^63 in one block
        product = sums[:, 3 + k] + offset[b] * sums[:, a] + offset[a] * sums[:, b]
        columns |= _split_bits(pair, product + voxels * offset[a] * offset[b])
    return columns


def _split_bits(name: str, values: npt.NDArray[np.int64]) -> Columns:
    return {f"high_{name}": values >> LOW_BITS, f"low_{name}": values & (2**LOW_BITS - 1)}


def _join_bits(name: str, sums: Columns) -> npt.NDArray[np.object_]:
    high, low = (sums[f"{part}_{name}"].astype(object) for part in ("high", "low"))
    return np.asarray((high << LOW_BITS) + low, object)


@njit(cache=True)
def _sum_coordinates(rows, count):  # type: ignore[no-untyped-def]
    """Return the sums of indices and their products, and the ranges of indices, of each row."""
    sums = np.zeros((count, 9), np.int64)
    lowest = np.full((count, 3), np.iinfo(np.int64).max)
    highest = np.full((count, 3), -1)
    for z in range(rows.shape[0]):
        for y in range(rows.shape[1]):
            for x in range(rows.shape[2]):
                row = rows[z, y, x]
                if row == count:
                    continue
                one = sums[row]
                one[0] += z
                one[1] += y
                one[2] += x
                one[3] += z * z
                one[4] += y * y
                one[5] += x * x
                one[6] += z * y
                one[7] += z * x
                one[8] += y * x
                low, high = lowest[row], highest[row]
                low[0], low[1], low[2] = min(low[0], z), min(low[1], y), min(low[2], x)
                high[0], high[1], high[2] = max(high[0], z), max(high[1], y), max(high[2], x)
    return sums, lowest, highest


def sum_grey(
    objects: BlockObjects, grey: npt.NDArray[np.generic], covered: npt.NDArray[np.bool_]
) -> Columns:
    """Return the columns of `GREY_REDUCTIONS`, or of `FLOAT_GREY_REDUCTIONS`, of a block.

    Parameters
    ----------
    objects
        The objects of the block.
    grey
        Grey values, shape of the block.
    covered
        Whether the image has the voxel; others do not count.
    """
    columns = {"grey_voxels": objects.sum(covered.astype(np.int64))}
    present = np.where(covered, grey, 0)
    if not has_exact_sums(grey.dtype):
        floats = present.astype(np.float64)
        return columns | {
            "grey_sum": objects.sum(floats),
            "grey_squares": objects.sum(floats**2),
        }
    integers = present.astype(np.int64)
    columns["grey_sum"] = objects.sum(integers)
    return columns | _split_bits("grey", objects.sum(integers**2))


def has_exact_sums(dtype: np.dtype[np.generic]) -> bool:
    """Return whether the grey values of a dtype are summed as integers."""
    return dtype.kind in "iu" and dtype.itemsize <= MAX_EXACT_BYTES


def derive_geometry(sums: Columns, voxel_size: NmZYX, offset_nm: NmZYX) -> Columns:
    """Return volume, position, extent and axes of objects, float64, (n,).

    Parameters
    ----------
    sums
        Merged columns of `sum_moments`.
    voxel_size, offset_nm
        Of the volume, nm.
    """
    voxels = sums["voxels"]
    derived: Columns = {"volume_um3": voxels * float(np.prod(voxel_size)) / 1e9}
    for axis, size, offset in zip(AXES, voxel_size, offset_nm, strict=True):
        derived[f"{axis}_nm"] = offset + size * (sums[f"sum_{axis}"] / voxels)
    for axis, size, offset in zip(AXES, voxel_size, offset_nm, strict=True):
        derived[f"{axis}_min_nm"] = offset + size * (sums[f"min_{axis}"] - 0.5)
        derived[f"{axis}_max_nm"] = offset + size * (sums[f"max_{axis}"] + 0.5)
    variances = np.linalg.eigvalsh(covariances(sums, voxel_size))  # ascending
    axes = 2 * np.sqrt(5 * np.maximum(variances, 0))
    for name, lengths in zip(("short", "mid", "long"), axes.T, strict=True):
        derived[f"axis_{name}_nm"] = lengths
    return derived


def covariances(sums: Columns, voxel_size: NmZYX) -> npt.NDArray[np.float64]:
    """Return the covariance of the positions in each object, nm^2, (n, 3, 3).

    Parameters
    ----------
    sums
        Merged columns of `sum_moments`.
    voxel_size
        nm.
    """
    voxels = sums["voxels"].astype(object)  # Python's integers: the difference is exact
    result = np.zeros((len(voxels), 3, 3))
    for pair in PRODUCTS:
        a, b = (AXES.index(axis) for axis in pair)
        products = _join_bits(pair, sums)
        centred = voxels * products - sums[f"sum_{pair[0]}"].astype(object) * sums[f"sum_{pair[1]}"]
        covariance = (centred / voxels**2).astype(np.float64) + (1 / 12 if a == b else 0)
        result[:, a, b] = result[:, b, a] = covariance * voxel_size[a] * voxel_size[b]
    return result


def derive_grey(sums: Columns) -> Columns:
    """Return mean and standard deviation of the grey values of objects; NaN where there are none.

    Parameters
    ----------
    sums
        Merged columns of `sum_grey`.
    """
    count = np.where(sums["grey_voxels"] > 0, sums["grey_voxels"], np.nan)
    mean = sums["grey_sum"] / count
    if "grey_squares" in sums:
        variance = sums["grey_squares"] / count - mean**2
    else:
        n, total = sums["grey_voxels"].astype(object), sums["grey_sum"].astype(object)
        squares = _join_bits("grey", sums)
        variance = (n * squares - total**2).astype(np.float64) / count**2
    return {"mean_grey": mean, "sd_grey": np.sqrt(np.maximum(variance, 0))}
